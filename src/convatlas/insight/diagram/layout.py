"""The place of each box: chains go downward, branches stand side by side, shortcuts pass them on the right.

Where all paths of a graph lead through a box, the graph is cut there. Parts between two cuts that no arrow joins are
branches, and each branch is laid out in the same way. A part that cannot be cut is laid out in columns, where it is a
pyramid of features, and else in layers, as in Sugiyama, Tagawa and Toda 1981.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from convatlas.insight.diagram.boxes import View
from convatlas.insight.diagram.columns import in_columns
from convatlas.insight.diagram.geometry import (
    ARROW,
    GAP,
    LANE,
    Frame,
    Label,
    Piece,
    Rect,
    Wire,
    bounds,
    box_piece,
    lane_piece,
    ports,
)
from convatlas.insight.diagram.layers import in_layers
from convatlas.insight.diagram.text import text_width

CURVE = 18.0  # height of the curves where wires part and come together, at least
FRAME = 20.0  # of a ground around a piece, above and below it
SPREAD, HIGHEST = 0.14, 64.0  # of a curve's width is its height, and no more than so much
MANY = 3  # equal branches from which on one is drawn for all


def arranged(view: View) -> list[Piece]:
    """Returns the pieces of a view from top to bottom: the boxes that all paths lead through, and the parts between."""
    return _chain(_Section(view, list(range(len(view.boxes))), [], []))


def stacked(pieces: Sequence[Piece], gaps: Sequence[float] | None = None) -> Piece:
    """Returns pieces below each other, with the wires between them; `gaps` is the room above each piece."""
    gaps = gaps or [0.0, *(gap_height(before, piece) for before, piece in pairwise(pieces))]
    whole = Piece(0, 0, 0, entries=list(pieces[0].entries), exits=list(pieces[-1].exits))
    before = None
    for piece, gap in zip(pieces, gaps, strict=True):
        if before is not None:
            whole.wires += joints(before, piece, y=whole.height, height=gap)
        whole.take(piece, 0, whole.height + gap)
        whole.left, whole.right = max(whole.left, piece.left), max(whole.right, piece.right)
        whole.height += gap + piece.height
        before = piece
    return whole


def gap_height(before: Piece, after: Piece) -> float:
    """Returns the room between two pieces: more where wires go far to the side."""
    far = max((abs(a - b) for a in before.exits for b, _ in after.entries), default=0.0)
    return ARROW if far == 0 and len(before.exits) == 1 else min(CURVE + SPREAD * far, HIGHEST) + ARROW


def joints(before: Piece, after: Piece, *, y: float, height: float) -> list[Wire]:
    """Returns the wires from a piece, which ends at `y`, to the next: from one point to all, or from all to one box."""
    if len(after.entries) == 1 and after.entries[0][1] and len(before.exits) > 1:
        x = after.entries[0][0]
        width = after.nodes[0].rect.width if after.nodes else 40.0
        starts = sorted(before.exits)
        pairs = [(start, (end, True)) for start, end in zip(starts, ports(starts, x, width), strict=True)]
    else:
        pairs = [(start, entry) for start in before.exits for entry in after.entries]
    return [_joint(start, end, y=y, height=height, arrow=arrow) for start, (end, arrow) in pairs]


def _joint(start: float, end: float, *, y: float, height: float, arrow: bool) -> Wire:
    if start == end:
        return Wire(((start, y), (end, y + height)), arrow)
    return Wire(((start, y), (end, y + height - ARROW), (end, y + height)), arrow)


@dataclass(frozen=True)
class _Section:
    """Some boxes of a view. Wires from outside lead to the boxes `entered`; wires lead outside from the boxes `left`.

    A box stands in these lists once for each wire.
    """

    view: View
    boxes: list[int]
    entered: list[int]
    left: list[int]

    @cached_property
    def arrows(self) -> set[tuple[int, int]]:
        """Returns the arrows from box to box within the section."""
        own = set(self.boxes)
        return {(a, b) for a, b in self.view.arrows if a in own and b in own}


def _chain(section: _Section) -> list[Piece]:
    """Returns the pieces of a section: the boxes at which it is cut, and the parts between them."""
    cuts = _without_pyramids(section, _cuts(section))
    if not cuts and len(_parts(section.boxes, section.arrows)) == 1:
        ends = {"entered": section.entered, "left": section.left}
        pyramid = in_columns(section.view, section.boxes, **ends)
        return [in_layers(section.view, section.boxes, **ends) if pyramid is None else pyramid]
    pieces: list[Piece] = []
    for start, end in pairwise([-1, *cuts, len(section.boxes)]):
        between = section.boxes[start + 1 : end]
        above = section.boxes[start] if start >= 0 else None
        below = section.boxes[end] if end < len(section.boxes) else None
        if between:
            pieces.append(_branches(section, between, above, below))
        if below is not None:
            pieces.append(box_piece(section.view.boxes[below], leads=bool(section.view.after(below))))
    return pieces


def _without_pyramids(section: _Section, cuts: list[int]) -> list[int]:
    """Returns the cuts without those in the chain of boxes above a pyramid: they belong to its first column."""
    kept = list(cuts)
    for start, end in pairwise([-1, *cuts, len(section.boxes)]):
        first = start
        while first in cuts and section.view.boxes[section.boxes[first]].kind != "operation":
            first -= 1
        if first < start and end - start > 1 and _is_pyramid(section, first + 1, end):
            kept = [cut for cut in kept if not first < cut <= start]
    return kept


def _is_pyramid(section: _Section, start: int, end: int) -> bool:
    """Returns whether the boxes from one place to another can be laid out in columns."""
    boxes = section.boxes[start:end]
    entered = [box for box in boxes[:1] if section.view.before(box)]
    left = [box for box in boxes for b in section.view.after(box) if b not in boxes]
    return in_columns(section.view, boxes, entered=entered, left=left) is not None


def _passing(section: _Section, above: int | None, below: int | None) -> int:
    """Returns the number of wires that go from one cut straight to the next, past the boxes between them."""
    if above is None:
        return section.entered.count(below) if below is not None else 0
    return section.left.count(above) if below is None else int((above, below) in section.arrows)


def _cuts(section: _Section) -> list[int]:
    """Returns the places, in the order of the section, of the boxes that no arrow leads past."""
    boxes = section.boxes
    place = {box: index for index, box in enumerate(boxes)}
    passed = [0] * (len(boxes) + 1)  # differences: where arrows begin and end to lead past boxes
    spans = [(place[a], place[b]) for a, b in section.arrows]
    spans += [(-1, place[box]) for box in section.entered]
    spans += [(-1, place[box]) for box in boxes if not section.view.before(box)]  # an input beside the first
    spans += [(place[box], len(boxes)) for box in section.left]
    for start, end in spans:
        passed[start + 1] += 1
        passed[end] -= 1
    cuts, open_now = [], 0
    for index in range(len(boxes)):
        open_now += passed[index]
        if open_now == 0:
            cuts.append(index)
    return cuts


def _parts(boxes: list[int], arrows: set[tuple[int, int]]) -> list[list[int]]:
    """Returns the boxes in groups that no arrow joins."""
    group = {box: box for box in boxes}

    def root(box: int) -> int:
        while group[box] != box:
            box = group[box]
        return box

    for a, b in arrows:
        if a in group and b in group:
            group[root(b)] = root(a)
    found: dict[int, list[int]] = {}
    for box in boxes:
        found.setdefault(root(box), []).append(box)
    return list(found.values())


def _branches(section: _Section, between: list[int], above: int | None, below: int | None) -> Piece:
    """Returns the piece between two cuts: its parts side by side, and a lane for each wire that passes by."""
    view = section.view
    ends = {
        box: (
            section.entered.count(box) + ((above, box) in view.arrows),
            section.left.count(box) + ((box, below) in view.arrows),
        )
        for box in between
    }
    pieces = []
    for part, count in _alike(view, _parts(between, section.arrows), ends):
        into, out = ([box for box in part for _ in range(ends[box][side])] for side in (0, 1))
        piece = stacked(_chain(_Section(view, part, into, out)))
        pieces.append(piece if count == 1 else _framed(piece, f"× {count}"))
    return side_by_side(pieces, _passing(section, above, below))


def _alike(view: View, parts: list[list[int]], ends: dict[int, tuple[int, int]]) -> list[tuple[list[int], int]]:
    """Returns the parts to draw, each with its count: of three or more equal parts one is drawn.

    `ends` holds the wires from above and to below for each box.
    """
    kinds: dict[object, list[list[int]]] = {}
    for part in parts:
        place = {box: index for index, box in enumerate(part)}
        wires = tuple(sorted((place[a], place[b]) for a, b in view.arrows if a in place and b in place))
        boxes = tuple((view.boxes[box].signature, view.boxes[box].lines, ends[box]) for box in part)
        kinds.setdefault((boxes, wires), []).append(part)
    return [
        pair
        for same in kinds.values()
        for pair in ([(same[0], len(same))] if len(same) >= MANY else [(part, 1) for part in same])
    ]


def _framed(piece: Piece, text: str) -> Piece:
    """Returns a piece on a ground of its own, which says how often the piece occurs."""
    side = max(piece.left, piece.right) + 8
    room = FRAME
    framed = Piece(side, side, piece.height + 2 * room, list(piece.entries), list(piece.exits))
    framed.take(piece, 0, room)
    framed.wires += [Wire(((x, 0), (x, room)), arrow) for x, arrow in piece.entries]
    framed.wires += [Wire(((x, piece.height + room), (x, framed.height))) for x in piece.exits]
    framed.entries = [(x, False) for x, _ in piece.entries]
    framed.frames.append(Frame("", Rect(-side, 2, 2 * side, framed.height - 4)))
    framed.labels.append(Label(text, side - text_width(text, 10) - 4, 13))
    return framed


def side_by_side(pieces: Sequence[Piece], passing: int = 0) -> Piece:
    """Returns pieces beside each other, each in the middle of the height, and `passing` wires on their right."""
    height = max(piece.height for piece in pieces)
    across = bounds(pieces)
    whole = Piece(0, 0, height)
    x = -pieces[0].left if len(pieces) == 1 else -across / 2
    start = x
    for piece in pieces:
        x += piece.left
        _set_between(whole, piece, x, height=height)
        x += piece.right + GAP
    x += LANE - GAP
    for _ in range(passing):
        _set_between(whole, lane_piece(), x, height=height)
        x += LANE
    whole.left, whole.right = -start, x - (LANE / 2 if passing else LANE)
    return whole


def _set_between(whole: Piece, piece: Piece, x: float, *, height: float) -> None:
    """Returns a piece in the middle of the height, with its wires drawn out to both ends."""
    top = (height - piece.height) / 2
    whole.take(piece, x, top)
    for entry, arrow in piece.entries:
        whole.entries.append((x + entry, arrow and top == 0))
        if top:
            whole.wires.append(Wire(((x + entry, 0), (x + entry, top)), arrow))
    for end in piece.exits:
        whole.exits.append(x + end)
        if top:
            whole.wires.append(Wire(((x + end, top + piece.height), (x + end, height))))
