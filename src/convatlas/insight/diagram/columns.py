"""The layout of a pyramid of features: a column for each level, the finest on the left, as papers draw it.

Boxes of one size stand below each other. What leads from one size to the next is an arrow to the side, so that a path
from the coarsest level to the finest is a row, and so is the path back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from convatlas.insight.diagram.boxes import Box, View
from convatlas.insight.diagram.geometry import ARROW, LANE, PORTS, STUB, Piece, Wire, box_piece

APART = 10.0  # between columns, where arrows lead to the side
BETWEEN = 20.0  # between rows
LEAST_SIZES = 3

Cell = tuple[int, int]  # column and row


def in_columns(view: View, boxes: list[int], *, entered: list[int], left: list[int]) -> Piece | None:
    """Returns the boxes in a column for each size; None for a graph that is no pyramid, or that does not fit.

    Wires lead from above to the boxes `entered`, and below from the boxes `left`. A pyramid has at least three sizes,
    and arrows lead from some to finer ones. What is finer than these belongs to the first column.
    """
    sizes = {box: _size(view.boxes[box]) for box in boxes}
    arrows = [(a, b) for a, b in sorted(view.arrows) if a in sizes and b in sizes]
    finer = [sizes[b] for a, b in arrows if sizes[a] < sizes[b]]
    if () in sizes.values() or not finer:
        return None
    order = sorted({min(size, max(finer)) for size in sizes.values()}, reverse=True)
    if len(order) < LEAST_SIZES:
        return None
    columns = {box: order.index(min(size, max(finer))) for box, size in sizes.items()}
    grid = _Grid(view, columns, _rows(boxes, columns, arrows), arrows)
    return grid.drawn(entered=entered, left=left) if grid.fits(entered, left) else None


def _size(box: Box) -> tuple[int, ...]:
    """Returns the rows and columns of a box's output; nothing where there are none, or several."""
    sizes = {shape[1:] for shape in box.shapes}
    return sizes.pop() if len(sizes) == 1 and all(len(shape) == 3 for shape in box.shapes) else ()


def _rows(boxes: Sequence[int], columns: dict[int, int], arrows: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Returns the row of each box: below what leads to it from its own size, beside what leads to it from another."""
    rows: dict[int, int] = {}
    for box in boxes:  # each box after those that lead to it
        before = [rows[a] + (columns[a] == columns[box]) for a, b in arrows if b == box]
        rows[box] = max(before, default=0)
    return rows


@dataclass
class _Grid:
    """The boxes in their columns and rows, and the middle of each column and row in pixels."""

    view: View
    columns: dict[int, int]
    rows: dict[int, int]
    arrows: list[tuple[int, int]]
    pieces: dict[int, Piece] = field(default_factory=dict)
    middles: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)  # the right end of each column, where its lane begins
    tops: list[float] = field(default_factory=list)
    heights: list[float] = field(default_factory=list)
    feet: dict[int, float] = field(default_factory=dict)  # where the wire below a box begins

    def fits(self, entered: list[int], left: list[int]) -> bool:
        """Returns whether all wires have a way: to the side to the next column, down in their own."""
        cells = [(self.columns[box], self.rows[box]) for box in self.columns]
        to_the_side = [(a, b) for a, b in self.arrows if self.columns[a] != self.columns[b]]
        near = all(abs(self.columns[a] - self.columns[b]) == 1 for a, b in to_the_side)
        free = all(self._free(self.columns[a], self.rows[a], self.rows[b] + 1) for a, b in to_the_side)
        above = all(self._free(self.columns[box], -1, self.rows[box]) for box in entered)
        below = all(self._free(self.columns[box], self.rows[box], self._last + 1) for box in left)
        return len(set(cells)) == len(cells) and near and free and above and below

    @property
    def _last(self) -> int:
        return max(self.rows.values())

    def _free(self, column: int, above: int, below: int) -> bool:
        """Returns whether nothing stands in a column between two rows."""
        taken = {self.rows[box] for box in self.rows if self.columns[box] == column}
        return not taken & set(range(above + 1, below))

    def drawn(self, *, entered: list[int], left: list[int]) -> Piece:
        """Returns the piece."""
        self._measure(entered)
        whole = Piece(0, 0, self.tops[-1] + self.heights[-1])
        for box, piece in self.pieces.items():
            top = self._middle(box) - piece.nodes[0].rect.height / 2
            whole.take(piece, self.middles[self.columns[box]], top)
            self.feet[box] = top + piece.height
        for a, b in self.arrows:
            whole.wires.append(self._beside(a, b) if self.columns[a] != self.columns[b] else self._below(a, b))
        for box in entered:
            x, top = self.middles[self.columns[box]], self._middle(box) - self.pieces[box].nodes[0].rect.height / 2
            whole.entries.append((x, top == 0))
            whole.wires += [Wire(((x, 0), (x, top)), arrow=True)] if top else []
        for box in left:
            x = self.middles[self.columns[box]]
            whole.exits.append(x)
            whole.wires += [Wire(((x, self.feet[box]), (x, whole.height)))] if self.feet[box] < whole.height else []
        whole.left, whole.right = -self._start, self.ends[-1] + LANE
        return whole

    def _measure(self, entered: list[int]) -> None:
        """Finds the places of columns and rows; x = 0 lies in the middle."""
        for box in self.columns:
            self.pieces[box] = box_piece(replace(self.view.boxes[box], narrow=True), leads=self._leads(box))
        x = 0.0
        for column in range(max(self.columns.values()) + 1):
            inside = [self.pieces[box] for box in self.columns if self.columns[box] == column]
            left, right = max(piece.left for piece in inside), max(piece.right for piece in inside)
            self.middles.append(x + left)
            self.ends.append(x + left + right)
            x += left + right + LANE + APART
        shift = (x - APART) / 2
        self._start = -shift
        self.middles, self.ends = ([value - shift for value in values] for values in (self.middles, self.ends))
        y = 0.0
        for row in range(self._last + 1):
            inside = [self.pieces[box] for box in self.rows if self.rows[box] == row]
            highest = max(piece.nodes[0].rect.height for piece in inside)
            self.tops.append(y)
            self.heights.append(highest + STUB + 4)
            y += self.heights[-1] + BETWEEN

    _start: float = 0.0

    def _leads(self, box: int) -> bool:
        """Returns whether a wire leads down from a box, inside the grid or out of it."""
        after = self.view.after(box)
        return any(self.columns.get(b, self.columns[box]) == self.columns[box] or self._turns(box, b) for b in after)

    def _turns(self, a: int, b: int) -> bool:
        """Returns whether a wire leads down first and then to the side."""
        return b in self.columns and self.rows[a] != self.rows[b]

    def _middle(self, box: int) -> float:
        """Returns the height of the middle of a box: that of its row."""
        row = self.rows[box]
        return self.tops[row] + (self.heights[row] - STUB - 4) / 2

    def _beside(self, a: int, b: int) -> Wire:
        """Returns the wire to the side: from box to box, or from the wire below a box that stands higher."""
        right = self.columns[b] > self.columns[a]
        y, x, to_x = self._middle(b), self.middles[self.columns[a]], self.middles[self.columns[b]]
        width = self.pieces[b].nodes[0].rect.width / 2
        end = (to_x - width if right else to_x + width, y)
        if self.rows[a] != self.rows[b]:
            return Wire(((x, self.feet[a]), (x, y), end), arrow=True)
        own = self.pieces[a].nodes[0].rect.width / 2
        return Wire(((x + own if right else x - own, y), end), arrow=True)

    def _below(self, a: int, b: int) -> Wire:
        """Returns the wire down to a box of the same size, past the boxes between them on their right."""
        column, x, y = self.columns[a], self.middles[self.columns[a]], self.feet[a]
        top = self._middle(b) - self.pieces[b].nodes[0].rect.height / 2
        taken = sorted(row for box, row in self.rows.items() if self.columns[box] == column)
        between = [row for row in taken if self.rows[a] < row < self.rows[b]]
        if not between:
            return Wire(((x, y), (x, top)), arrow=True)
        lane, port = self.ends[column] + LANE / 2, x + PORTS
        above, below = self.tops[between[0]], self.tops[self.rows[b]]
        turn = ((x, above - BETWEEN), (lane, above)) if above - BETWEEN > y else ((lane, above),)
        return Wire(((x, y), *turn, (lane, below - BETWEEN), (port, top - ARROW), (port, top)), arrow=True)
