"""The counts of a network: a tree of its modules, and the tables made from it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

ROWS = 32  # of a table that is read at a glance
BYTES = 4  # of a value in float32
GATHERS = "receptive fields leave out the means over the whole image of norms and gates"
MOST_NAMED = 5  # convolutions and matrix products of a folded row that are named one by one


@dataclass(frozen=True)
class Part:
    """A module in a network, with all that it contains: what it is, and its counts for one image.

    `operation` is its class, `detail` what else is to be said of it; `shape` is its output's, without the batch, and
    `shapes` are those of all outputs where there are several: of a detector's levels, or of several calls.
    `weights` are the `params` that are no biases. `macs` are multiply-adds of convolutions and matrix products;
    `not_counted` are operations that may multiply and add beside them, for which there is no formula, each time that
    one worked. `activations` are the values that are new in memory after a layer, or after an operation between layers:
    what is computed in place, and what is only another view of values that were there, adds none. `receptive_field` are
    the rows and columns of the image, with padding, on which a value of the output can depend, `stride` how far the
    fields of neighbours are apart; both None where the output has no rows and columns. `parts` are the modules inside
    in the order in which they work, those that do not work at the end; what several share counts in the first of them.
    """

    name: str
    operation: str
    detail: str
    shape: tuple[int, ...]
    params: int
    weights: int
    macs: int
    activations: int
    receptive_field: tuple[int, int] | None = None
    stride: tuple[float, float] | None = None
    not_counted: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    works: bool = True  # whether the network used it; auxiliary heads work in training only
    parts: tuple[Part, ...] = ()

    @property
    def at_least(self) -> str:
        """The words before a number of multiply-adds that leaves some out: "at least ", else nothing."""
        return "at least " if self.not_counted else ""

    @property
    def own(self) -> Part | None:
        """The module's own work, without that of the modules inside it; None where there is none."""
        names = ("params", "weights", "macs", "activations")
        counts = {name: getattr(self, name) - sum(getattr(part, name) for part in self.parts) for name in names}
        missed = Counter(self.not_counted)
        missed.subtract(Counter(name for part in self.parts for name in part.not_counted))
        own = replace(self, parts=(), **counts, not_counted=tuple(missed.elements()))
        return own if any(counts.values()) or own.not_counted else None

    def rows(self, depth: int | None = None) -> Iterator[Part]:
        """Returns the parts `depth` levels down, or all, in order; their counts add up to those of the whole."""
        if depth == 0 or not self.parts:
            yield self
            return
        for part in self.parts:
            yield from part.rows(None if depth is None else depth - 1)
        if self.own is not None:
            yield self.own

    @cached_property
    def depth(self) -> int:
        """Levels of modules inside."""
        return 1 + max(part.depth for part in self.parts) if self.parts else 0


@dataclass(frozen=True)
class Complexity:
    """A network's counts for one image of `shape` (C, H, W); `network` is the whole as a part.

    `gathers` says that norms or gates see the whole image, which the receptive fields leave out.
    """

    shape: tuple[int, ...]
    network: Part
    gathers: bool = False

    @property
    def params(self) -> int:
        """Learned values, shared ones once."""
        return self.network.params

    @property
    def weights(self) -> int:
        """Learned values that are no biases."""
        return self.network.weights

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and matrix products; FLOPs are twice as many."""
        return self.network.macs

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence on the operations whose multiply-adds are not counted; none where all are."""
        names = ", ".join(dict.fromkeys(self.network.not_counted))
        return (f"the multiply-adds of {names} are not counted: the MACs are at least as many",) if names else ()

    @property
    def activations(self) -> int:
        """Values of the image and of all layers."""
        return math.prod(self.shape) + self.network.activations

    @property
    def stages(self) -> tuple[Part, ...]:
        """The network's own children, as far as they work."""
        return tuple(part for part in self.network.parts if part.works)

    @cached_property
    def layers(self) -> tuple[Part, ...]:
        """Everything in its smallest parts."""
        return tuple(self.network.rows()) if self.network.parts else ()

    @property
    def readable_depth(self) -> int:
        """The deepest level of at most 32 rows, but at least that of the stages."""
        depths = range(2, self.network.depth + 1)
        fitting = (depth for depth in reversed(depths) if sum(1 for _ in self.network.rows(depth)) <= ROWS)
        return next(fitting, min(1, self.network.depth))


def size_of(shape: tuple[int, ...], between: str = " x ") -> str:
    """Returns a shape in words.

    >>> size_of((3, 32, 32)), size_of((3, 32, 32), "x")
    ('3 x 32 x 32', '3x32x32')
    """
    return between.join(map(str, shape))


def output_of(part: Part, between: str = " x ") -> str:
    """Returns a part's output in words; of outputs of several shapes the first and the last.

    >>> output_of(Part("", "Cell", "", (), 0, 0, 0, 0, shapes=((64, 8, 8), (64, 4, 4), (64, 2, 2))))
    '64 x 8 x 8 to 64 x 2 x 2'
    """
    ends = dict.fromkeys((part.shapes[0], part.shapes[-1]) if part.shapes else (part.shape,))
    return " to ".join(size_of(shape, between) for shape in ends)


def side_of(pixels: tuple[float, float] | None) -> str:
    """Returns one side of a square, or an empty text where there are no rows and columns.

    >>> side_of((7, 7)), side_of((7, 1)), side_of((20 / 3, 20 / 3)), side_of(None)
    ('7', '7 x 1', '6.67', '')
    """
    if pixels is None:
        return ""
    sides = [f"{side:.2f}".removesuffix(".00") for side in pixels]
    return sides[0] if sides[0] == sides[1] else " x ".join(sides)


def macs_of(part: Part, write: Callable[[int], str]) -> str:
    """Returns a row's multiply-adds in words: none, a number, or "not counted" for a lone operation.

    >>> macs_of(Part("", "Bilinear", "", (), 0, 0, 8, 0), str)
    '8'
    >>> macs_of(Part("", "Upsample", "", (), 0, 0, 0, 0, not_counted=("upsample_bilinear2d",)), str)
    'not counted'
    """
    if part.not_counted and not part.macs and not part.parts:
        return "not counted"
    return f"{part.at_least}{write(part.macs)}" if part.macs or part.not_counted else ""


def operation_of(part: Part) -> str:
    """Returns a row's operation in words: its class and its detail; what is inside where it is folded."""
    if not part.works:
        return f"{part.operation} (not used in eval mode)"
    if not part.parts:
        return f"{part.operation} {part.detail}".strip()
    inside = list(part.rows())
    if len(inside) <= 3 and part.own is None:
        return " + ".join(f"{layer.operation} {layer.detail}".strip() for layer in inside)
    products = [layer for layer in inside if layer.macs and layer.detail]
    if not products:
        return part.operation
    if len(products) <= MOST_NAMED:
        return f"{part.operation} ({'; '.join(layer.detail for layer in products)})"
    blocks = [(name, sum(1 for _ in equal)) for name, equal in groupby(map(operation_of, part.parts))]
    if part.own is None and len(blocks) <= 2 < len(part.parts):
        return "; ".join(name if count == 1 else f"{count} of {name}" for name, count in blocks)
    only = all("Conv" in layer.operation for layer in products)
    return f"{part.operation} of {len(products)} {'convolutions' if only else 'layers with weights'}"
