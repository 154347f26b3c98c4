"""Receptive fields along rows or columns, by arithmetic: which pixels each value of a row can depend on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

Number = int | Fraction


@dataclass(frozen=True)
class Edge:
    """Values at an end of a row that depend on more than their place says: padding that mirrors or repeats is there.

    At the beginning these are the values before `index`, at the end those from `index` on. They can depend on the
    pixels from `low` to `high` too.
    """

    index: int
    low: Number
    high: Number


@dataclass(frozen=True)
class Axis:
    """Along rows or columns: value i depends on the pixels from `low + i * stride` to `high + i * stride`.

    Pixels outside the image are padding; a pixel that is cut is not seen, as a pooling to a fixed size has it, whose
    windows do not begin equally far apart. `front` and `back` are the ends of the row where that is not all.
    Araujo, Norris and Sim 2019, https://doi.org/10.23915/distill.00021.

    >>> pixel = Axis(0, 0, 1)
    >>> pixel.window(7, stride=2, before=3).window(3, stride=2, before=1)
    Axis(low=-5, high=5, stride=4)
    """

    low: Number
    high: Number
    stride: Number
    front: Edge | None = field(default=None, repr=False)
    back: Edge | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Pixels of the field; where fields differ, those of the largest."""
        return math.floor(self.high - self.low) + 1

    def window(self, size: Number, *, stride: Number = 1, before: Number = 0, dilation: int = 1) -> Axis:
        """Returns the axis after a window of so many values that moves by `stride`, with `before` more in front."""
        after = dilation * (size - 1) - before
        return Axis(
            self.low - before * self.stride,
            self.high + after * self.stride,
            self.stride * stride,
            self.front and _moved(self.front, math.ceil(Fraction(self.front.index + before) / stride)),
            self.back and _moved(self.back, math.ceil(Fraction(self.back.index - after) / stride)),
        )

    def whole(self, count: int) -> Axis:
        """Returns the axis after all of `count` values became one."""
        return self.window(count, stride=count)

    def evenly(self, count: int, *, windows: int) -> Axis:
        """Returns the axis after windows that cover `count` values: from i / windows of them to (i + 1) / windows.

        >>> axis = Axis(0, 0, 1).evenly(40, windows=6)
        >>> [axis.span(index) for index in range(6)]
        [(0, 6), (6, 13), (13, 19), (20, 26), (26, 33), (33, 39)]
        """
        width = Fraction(count, windows)
        rounded = 1 - Fraction(1, width.denominator)  # by so much, at most, a window begins earlier and ends later
        return self.window(width + 2 * rounded, stride=width, before=rounded)

    def mirrored(self, before: int, after: int, *, count: int) -> Axis:
        """Returns the axis after `count` values are padded with their neighbours in reverse order."""
        return self._folded(before, after, count, first=(1, before), last=(count - 1 - after, count - 2))

    def repeated(self, before: int, after: int, *, count: int) -> Axis:
        """Returns the axis after `count` values are padded with the first and the last of them."""
        return self._folded(before, after, count, first=(0, 0), last=(count - 1, count - 1))

    def _folded(self, before: int, after: int, count: int, *, first: tuple[int, int], last: tuple[int, int]) -> Axis:
        """Returns the axis after padding with the values of these indices, from the first to the last of them."""
        moved = self.window(1, before=before)
        front, back = moved.front, moved.back
        if before > 0:
            front = _joined(Edge(before, *self._over(*first)), front, index=max)
        if after > 0:
            back = _joined(Edge(before + count, *self._over(*last)), back, index=min)
        return Axis(moved.low, moved.high, moved.stride, front, back)

    def union(self, other: Axis) -> Axis:
        """Returns the axis of both, added or concatenated."""
        low, high, stride = min(self.low, other.low), max(self.high, other.high), max(self.stride, other.stride)
        front = _joined(self.front, other.front, index=max)
        return Axis(low, high, stride, front, _joined(self.back, other.back, index=min))

    def span(self, index: int) -> tuple[int, int]:
        """Returns the first and the last pixel on which value `index` can depend, in the padding too."""
        low, high = self._over(index, index)
        return math.ceil(low), math.floor(high)

    def seen(self, index: int, pixels: int) -> tuple[int, int]:
        """Returns the first and the last of the image's `pixels` on which value `index` can depend."""
        first, last = self.span(index)
        return max(0, first), min(pixels - 1, last)

    def _over(self, first: int, last: int) -> tuple[Number, Number]:
        """Returns from where to where the values from the first to the last see."""
        low, high = self.low + first * self.stride, self.high + last * self.stride
        front = self.front if self.front is not None and first < self.front.index else None
        back = self.back if self.back is not None and last >= self.back.index else None
        edges = [edge for edge in (front, back) if edge is not None]
        return min([low, *(edge.low for edge in edges)]), max([high, *(edge.high for edge in edges)])


def _moved(edge: Edge, index: int) -> Edge:
    return Edge(index, edge.low, edge.high)


def _joined(edge: Edge | None, other: Edge | None, *, index: Callable[[int, int], int]) -> Edge | None:
    """Returns an edge of all that is in one of both."""
    if edge is None or other is None:
        return edge or other
    return Edge(index(edge.index, other.index), min(edge.low, other.low), max(edge.high, other.high))
