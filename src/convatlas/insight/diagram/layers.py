"""The layout of a graph in layers, for graphs that are no chain of branches. Each box stands below all its inputs."""

from __future__ import annotations

from dataclasses import dataclass

from convatlas.insight.diagram.boxes import View
from convatlas.insight.diagram.geometry import ARROW, GAP, Piece, Wire, box_piece, lane_piece, ports

BETWEEN = 40.0  # room for curves from layer to layer
SWEEPS = 8


@dataclass(eq=False)
class _Place:
    """A box in its layer, or a wire that passes through it."""

    piece: Piece
    box: int | None
    x: float = 0.0

    @property
    def width(self) -> float:
        return self.piece.left + self.piece.right


def in_layers(view: View, boxes: list[int], *, entered: list[int], left: list[int]) -> Piece:
    """Returns the boxes in layers. Wires lead from above to the boxes `entered`, and below from the boxes `left`."""
    layers, links = _layers(view, boxes, entered=entered, left=left)
    for sweep in range(SWEEPS):
        _sort(layers, links, down=sweep % 2 == 0)
    for sweep in range(SWEEPS):
        _settle(layers, links, down=sweep % 2 == 0)
    return _drawn(layers, links, entered=entered, left=left)


Layers = list[list[_Place]]
Links = list[tuple[_Place, _Place]]


def _layers(view: View, boxes: list[int], *, entered: list[int], left: list[int]) -> tuple[Layers, Links]:
    """Returns the places of each layer and the joined pairs; the outer layers are for wires from and to outside."""
    after = {box: [b for b in view.after(box) if b in boxes] for box in boxes}
    level = _levels(view, boxes, after=after)
    depth = max(level.values())
    layers: Layers = [[] for _ in range(depth + 2)]
    places = {box: _Place(box_piece(view.boxes[box], leads=bool(view.after(box))), box) for box in boxes}
    for box in boxes:
        layers[level[box]].append(places[box])
    links: Links = []

    lanes: dict[tuple[object, int], _Place] = {}  # one for all wires from the same place

    def lead(start: _Place, first: int, end: _Place | None, last: int) -> None:
        """Adds a wire through the layers from `first` to `last`; `end` is the box there, if it ends at one."""
        origin = start
        for index in range(first, last):
            if (origin, index) not in lanes:
                lanes[origin, index] = _Place(lane_piece(), None)
                layers[index].append(lanes[origin, index])
                links.append((start, lanes[origin, index]))
            start = lanes[origin, index]
        if end is not None:
            links.append((start, end))

    if entered:
        top = _Place(lane_piece(), None)
        layers[0].append(top)
        for box in entered:
            lead(top, 1, places[box], level[box])
    for box in boxes:
        for target in after[box]:
            lead(places[box], level[box] + 1, places[target], level[target])
    for box in left:
        lead(places[box], level[box] + 1, None, depth + 2)
    return layers, links


def _levels(view: View, boxes: list[int], *, after: dict[int, list[int]]) -> dict[int, int]:
    """Returns the layer of each box: below all boxes that lead to it, and then as far down as possible."""
    before = {box: [a for a in view.before(box) if a in after] for box in boxes}
    level: dict[int, int] = {}
    for box in boxes:
        level[box] = 1 + max((level[a] for a in before[box]), default=0)
    for box in reversed(boxes):
        if not before[box] and after[box]:
            level[box] = min(level[b] for b in after[box]) - 1
    return level


def _neighbours(links: Links, *, above: bool) -> dict[_Place, list[_Place]]:
    found: dict[_Place, list[_Place]] = {}
    for start, end in links:
        found.setdefault(end if above else start, []).append(start if above else end)
    return found


def _sort(layers: Layers, links: Links, *, down: bool) -> None:
    """Orders each layer by the mean place of its neighbours in the layer before."""
    joined = _neighbours(links, above=down)
    for layer in layers if down else reversed(layers):
        rank = {place: index / max(len(each) - 1, 1) for each in layers for index, place in enumerate(each)}
        layer.sort(key=lambda place: _mean([rank[other] for other in joined.get(place, [place])]))


def _settle(layers: Layers, links: Links, *, down: bool) -> None:
    """Moves the places of each layer towards their neighbours, as far as they do not overlap."""
    joined = _neighbours(links, above=down)
    for layer in layers if down else reversed(layers):
        wanted = [_mean([other.x for other in joined.get(place, [place])]) for place in layer]
        end = None
        for place, x in zip(layer, wanted, strict=True):
            place.x = x if end is None else max(x, end + GAP / 2 + place.piece.left)
            end = place.x + place.piece.right
        shift = _mean([x - place.x for place, x in zip(layer, wanted, strict=True)]) if layer else 0.0
        for place in layer:
            place.x += shift


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _drawn(layers: Layers, links: Links, *, entered: list[int], left: list[int]) -> Piece:
    """Returns the piece: layers below each other with curves between them."""
    inner = layers[1:-1]
    tops, y = {}, 0.0 if not layers[0] else BETWEEN
    whole = Piece(0, 0, 0)
    for layer in inner:
        height = max(place.piece.height for place in layer)
        for place in layer:
            tops[place] = (y, height)
        y += height + BETWEEN
    whole.height = y
    for layer in inner:
        for place in layer:
            top, height = tops[place]
            whole.take(place.piece, place.x, top)
            foot = top + place.piece.height
            whole.wires += [Wire(((place.x, foot), (place.x, top + height)))] if foot < top + height else []
            whole.left = max(whole.left, place.piece.left - place.x)
            whole.right = max(whole.right, place.piece.right + place.x)
    _join(whole, layers, links, tops)
    return whole


def _join(whole: Piece, layers: Layers, links: Links, tops: dict[_Place, tuple[float, float]]) -> None:
    """Draws the wires between the layers, and gives the piece its entries and exits."""
    for place in layers[0]:
        whole.entries.append((place.x, False))
    for place in layers[-1]:
        whole.exits.append(place.x)
    arriving = _neighbours(links, above=True)
    ends = {}
    for place, starts in arriving.items():
        starts.sort(key=lambda start: start.x)
        xs = [start.x for start in starts]
        width = place.piece.nodes[0].rect.width if place.box is not None else 0.0
        spread = ports(xs, place.x, width) if place.box is not None else [place.x] * len(starts)
        ends.update({(start, place): x for start, x in zip(starts, spread, strict=True)})
    for start, place in links:
        top, height = tops.get(start, (0.0, 0.0))
        y = top + height
        bottom = tops[place][0] if place in tops else whole.height
        x, arrow = ends[start, place], place.box is not None
        knee = bottom - (ARROW if arrow else 0)
        points = ((start.x, y), (x, knee), (x, bottom)) if arrow else ((start.x, y), (x, bottom))
        whole.wires.append(Wire(points, arrow))
    _even_out(whole)


def _even_out(whole: Piece) -> None:
    """Puts the middle of the piece at x = 0."""
    shift = (whole.left - whole.right) / 2
    moved = Piece(0, 0, whole.height)
    moved.take(whole, shift, 0)
    whole.nodes, whole.labels, whole.wires, whole.frames = moved.nodes, moved.labels, moved.wires, moved.frames
    whole.entries = [(x + shift, arrow) for x, arrow in whole.entries]
    whole.exits = [x + shift for x in whole.exits]
    whole.left = whole.right = (whole.left + whole.right) / 2
