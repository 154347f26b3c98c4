"""A drawing on a sheet: the pieces in columns that a page of A4 has room for, with a ground behind each stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from convatlas.insight.diagram.boxes import View
from convatlas.insight.diagram.geometry import LABEL, Frame, Label, Node, Piece, Rect, Wire, junction
from convatlas.insight.diagram.layout import arranged, gap_height, stacked
from convatlas.insight.diagram.text import text_width

COLUMN = 1200.0  # pixels: the highest column with which the smallest text is 6 points high on A4
WIDE = 600.0  # pixels: half of what a page is wide
MARGIN, TITLE = 24.0, 60.0
BAND, BETWEEN_BANDS = 18.0, 16.0  # a stage's name above its first box; more room between two stages
LEAST = 78.0  # half the width of a ground, so that its name stands beside the wire
GUTTER = 44.0  # between columns, for the wire that leads to the next


@dataclass(frozen=True)
class Drawing:
    """The nodes, labels, wires and frames of a sheet, in pixels from the upper left corner."""

    title: str
    subtitle: str
    width: float
    height: float
    nodes: tuple[Node, ...]
    labels: tuple[Label, ...]
    wires: tuple[Wire, ...]
    frames: tuple[Frame, ...]

    @property
    def points(self) -> float:
        """The size of the smallest text, in points, where the sheet is printed on A4 with margins of 10 mm."""
        scale = max(min(190 / self.width, 277 / self.height), min(277 / self.width, 190 / self.height))
        return LABEL * scale * 72 / 25.4


def sheet(view: View, *, title: str, subtitle: str) -> Drawing:
    """Returns a view as a drawing, with a title above it."""
    columns = [_column(pieces) for pieces in _columns(arranged(view))]
    whole = Piece(0, 0, 0)
    x, joints_at = MARGIN, []
    for column in columns:
        x += column.left
        whole.take(column, x, MARGIN + TITLE)
        joints_at.append((x, column))
        x += column.right + GUTTER
    for (start, before), (end, after) in pairwise(joints_at):
        gutter = start + before.right + GUTTER / 2
        whole.wires.append(_to_next(start, before, end, after, gutter=gutter))
    heading = max(text_width(title, 18), text_width(subtitle, LABEL))
    width = max(x - GUTTER, MARGIN + heading) + MARGIN
    height = TITLE + 2 * MARGIN + max(column.height for column in columns)
    shift = max(0.0, (width - (x - GUTTER) - MARGIN) / 2) if len(columns) == 1 else 0.0
    moved = Piece(0, 0, 0)
    moved.take(whole, shift, 0)
    parts = (tuple(moved.nodes), tuple(moved.labels), tuple(moved.wires), tuple(moved.frames))
    return Drawing(title, subtitle, width, height, *parts)


def _to_next(start: float, before: Piece, end: float, after: Piece, *, gutter: float) -> Wire:
    """Returns the wire from the foot of a column to the head of the next."""
    foot, head = MARGIN + TITLE + before.height, MARGIN + TITLE
    x, to_x = start + before.exits[0], end + after.entries[0][0]
    corners = ((x, foot), (x, foot + 8), (gutter, foot + 8), (gutter, head - 10), (to_x, head - 10))
    arrow = after.entries[0][1]
    return Wire((*corners, (to_x, head + (min(node.rect.y for node in after.nodes) if arrow else 0))), arrow)


def _stage(piece: Piece) -> str:
    """Returns the stage that all boxes of a piece belong to."""
    stages = {node.box.stage for node in piece.nodes}
    return stages.pop() if len(stages) == 1 else ""


def _columns(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Returns the pieces in columns of about the same height; a column begins only where a single wire leads on."""
    heights = [piece.height + _between(before, piece) for before, piece in zip([None, *pieces], pieces, strict=False)]
    wide = any(piece.left + piece.right > WIDE for piece in pieces)  # beside it is no room for another column
    count = 1 if wide else -(-sum(heights) // COLUMN)
    limit = sum(heights) / count + 40
    columns: list[list[Piece]] = [[]]
    filled = 0.0
    for piece, height in zip(pieces, heights, strict=True):
        whole = columns[-1] and len(columns[-1][-1].exits) == 1 and columns[-1][-1].nodes
        if filled + height > limit and whole and not _is_end(piece):
            columns.append([] if len(piece.entries) == 1 and piece.entries[0][1] else [junction()])
            filled = 0.0
        columns[-1].append(piece)
        filled += height
    return columns


def _is_end(piece: Piece) -> bool:
    return any(node.box.kind == "output" for node in piece.nodes)


def _between(before: Piece | None, piece: Piece) -> float:
    if before is None:
        return BAND if _stage(piece) else 0.0
    changed = _stage(before) != _stage(piece)
    return gap_height(before, piece) + (BETWEEN_BANDS if changed else 0.0)


def _column(pieces: list[Piece]) -> Piece:
    """Returns pieces below each other, with a ground behind the pieces of each stage."""
    gaps = [_between(before, piece) for before, piece in zip([None, *pieces], pieces, strict=False)]
    whole = stacked(pieces, gaps)
    feet = list(accumulate(gap + piece.height for gap, piece in zip(gaps, pieces, strict=True)))
    tops = [foot - piece.height for foot, piece in zip(feet, pieces, strict=True)]
    whole.left, whole.right = (max(side, LEAST) + 10 for side in (whole.left, whole.right))
    for stage, group in groupby(range(len(pieces)), key=lambda index: _stage(pieces[index])):
        if stage:
            members = list(group)
            top, last = tops[members[0]] - BAND, members[-1]
            rect = Rect(-whole.left, top, whole.left + whole.right, feet[last] + 2 - top)
            whole.frames.append(Frame(stage, rect))
            whole.labels.append(Label(stage, 6 - whole.left, top + 13))
    return whole
