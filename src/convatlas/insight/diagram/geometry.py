"""The parts of a drawing: rectangles, labels and wires, and pieces that stand beside and below each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from convatlas.insight.diagram.boxes import Box
from convatlas.insight.diagram.text import text_width

LINE_HEIGHT, PAD, LABEL, BODY = 15.0, 8.0, 10.0, 12.0  # pixels; the sizes of small and of usual text
STUB = 18.0  # below each box a straight piece of wire, beside which its shape stands
LANE = 16.0  # between wires that pass by
GAP = 20.0  # between branches
CIRCLE = 22.0
ARROW = 8.0  # of a wire's end, which is straight
LEAST_WIDTH = 110.0  # of what is written in a box
PORTS = 14.0  # between wires that end on the same box, at most
BEHIND = 4.0  # how far a box that stands for several shows another behind it


@dataclass(frozen=True)
class Rect:
    """A rectangle: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def overlaps(self, other: Rect) -> bool:
        """Returns whether the two rectangles overlap."""
        across = self.x < other.right and other.x < self.right
        return across and self.y < other.bottom and other.y < self.bottom

    def contains(self, x: float, y: float) -> bool:
        """Returns whether a point lies inside the rectangle, not on its border."""
        near = 0.01
        return self.x + near < x < self.right - near and self.y + near < y < self.bottom - near

    def moved(self, x: float, y: float) -> Rect:
        """Returns a copy that is moved."""
        return Rect(self.x + x, self.y + y, self.width, self.height)


@dataclass(frozen=True)
class Node:
    """A box at its place in the drawing."""

    box: Box
    rect: Rect


@dataclass(frozen=True)
class Label:
    """A line of small text; `x` and `y` are the left end of its base line."""

    text: str
    x: float
    y: float

    @property
    def rect(self) -> Rect:
        return Rect(self.x, self.y - LABEL + 1, text_width(self.text, LABEL), LABEL + 1)


@dataclass(frozen=True)
class Wire:
    """A line through points: straight between points above each other, else a curve that leaves and ends upright."""

    points: tuple[tuple[float, float], ...]
    arrow: bool = False

    def moved(self, x: float, y: float) -> Wire:
        """Returns a copy that is moved."""
        return replace(self, points=tuple((a + x, b + y) for a, b in self.points))

    def sampled(self, count: int = 24) -> Iterator[tuple[float, float]]:
        """Returns points along the line, curves as they are drawn."""
        for (x, y), (to_x, to_y) in zip(self.points, self.points[1:], strict=False):
            for index in range(count + 1):
                t = index / count
                if x == to_x or y == to_y:
                    yield x + t * (to_x - x), y + t * (to_y - y)
                    continue
                middle = (y + to_y) / 2  # a cubic curve with both handles at half height
                a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                yield (a + b) * x + (c + d) * to_x, a * y + (b + c) * middle + d * to_y


@dataclass(frozen=True)
class Frame:
    """A tinted ground behind the boxes of a group, and its name."""

    text: str
    rect: Rect


@dataclass
class Piece:
    """A part of a drawing, around x = 0 from y = 0 down to `height`; it reaches from `left` to `right`.

    Wires from above enter at the points `entries` at y = 0; wires leave at the points `exits` at y = height. `inside`
    says for each entry whether a box is there, at which an arrow points.
    """

    left: float
    right: float
    height: float
    entries: list[tuple[float, bool]] = field(default_factory=list)
    exits: list[float] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    def take(self, other: Piece, x: float, y: float) -> None:
        """Takes the parts of another piece, moved to this place."""
        self.nodes += [replace(node, rect=node.rect.moved(x, y)) for node in other.nodes]
        self.labels += [replace(label, x=label.x + x, y=label.y + y) for label in other.labels]
        self.wires += [wire.moved(x, y) for wire in other.wires]
        self.frames += [replace(frame, rect=frame.rect.moved(x, y)) for frame in other.frames]


def box_piece(box: Box, *, leads: bool) -> Piece:
    """Returns a box; its shape stands beside the wire that leaves it, where there is one."""
    width, height = box_size(box)
    foot = height + (BEHIND if box.count > 1 else 0)
    label = Label(box.said, 5, foot + 13)
    right = max(width / 2 + foot - height + (LANE if box.skip else 0), label.rect.right if leads else 0)
    left = width / 2
    piece = Piece(
        left, right, foot + (STUB if leads else 0), [] if box.kind == "image" else [(0, True)], [0] if leads else []
    )
    piece.nodes.append(Node(box, Rect(-width / 2, 0, width, height)))
    if leads:
        piece.labels.append(label)
        piece.wires.append(Wire(((0, height), (0, foot + STUB))))
    return piece


def box_size(box: Box) -> tuple[float, float]:
    """Returns width and height of a box: of a circle or a pill for operations and ends, else as its lines need."""
    widest = max(text_width(line, BODY) for line in box.lines)
    if box.kind == "operation":
        return (CIRCLE, CIRCLE) if len(box.lines[0]) == 1 else (widest + 2 * PAD, CIRCLE)
    if box.kind in ("image", "output"):
        return widest + 2 * PAD + 8, CIRCLE
    head = text_width(box.path, LABEL) + (text_width(f"× {box.count}", BODY) + PAD if box.count > 1 else 0)
    above = LINE_HEIGHT - 2 if box.path or box.count > 1 else 0
    least = 0.0 if box.narrow else LEAST_WIDTH
    return max(widest, head, least) + 2 * PAD, above + LINE_HEIGHT * len(box.lines) + PAD + 2


def junction() -> Piece:
    """Returns a point that a wire comes to, and from which other wires may part."""
    return Piece(0, 0, 0, [(0, False)], [0])


def lane_piece() -> Piece:
    """Returns a wire that passes by."""
    return Piece(LANE / 2, LANE / 2, 0, [(0, False)], [0])


def ports(starts: list[float], middle: float, width: float) -> list[float]:
    """Returns the points on the upper side of a box around `middle` where the wires from `starts` end, in order.

    A wire from straight above stays straight.
    """
    step = min(PORTS, (width - 8) / max(len(starts) - 1, 2))
    straight = [index for index, start in enumerate(starts) if start == middle]
    first = straight[0] if straight else (len(starts) - 1) / 2
    return [middle + (index - first) * step for index in range(len(starts))]


def bounds(pieces: Iterable[Piece]) -> float:
    """Returns the width of pieces side by side."""
    listed = list(pieces)
    return sum(piece.left + piece.right for piece in listed) + GAP * (len(listed) - 1)
