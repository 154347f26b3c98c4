"""The boxes and arrows of a diagram, and the rules that draw several boxes as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

from convatlas.complexity import size_of

MOST_SHAPES = 3  # in a label
SHARED = 4  # lines of a box that several layers share


@dataclass(frozen=True)
class Box:
    """A box of the diagram: the path of its module, its lines of text, its kind, and the `shapes` of its outputs.

    `kind` is image, output, conv, pool, layer, operation or block. `skip` marks a closed block with a shortcut inside.
    `count` is the number of equal boxes in a row that this box stands for. `stage` is the stage of the network that the
    box belongs to. Boxes of one `signature` hold the same layers, joined in the same way.
    """

    path: str
    lines: tuple[str, ...]
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    stage: str = ""
    skip: bool = False
    count: int = 1
    signature: tuple[object, ...] = ()
    narrow: bool = False  # no wider than its text

    @property
    def said(self) -> str:
        """Returns the shapes as a label, of many the first and the last."""
        if len(self.shapes) > MOST_SHAPES:
            return f"{size_of(self.shapes[0])} to {size_of(self.shapes[-1])}"
        return " and ".join(map(size_of, self.shapes))

    def is_like(self, other: Box) -> bool:
        """Returns whether both boxes hold the same layers."""
        same = (self.kind, self.signature, self.stage) == (other.kind, other.signature, other.stage)
        return same and self.kind in ("conv", "pool", "layer", "block")


@dataclass(frozen=True)
class View:
    """The boxes of a diagram, each after the boxes that lead to it, and the arrows as pairs of indices."""

    boxes: tuple[Box, ...]
    arrows: frozenset[tuple[int, int]]

    @cached_property
    def _neighbours(self) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        before: dict[int, list[int]] = {}
        after: dict[int, list[int]] = {}
        for source, target in sorted(self.arrows):
            before.setdefault(target, []).append(source)
            after.setdefault(source, []).append(target)
        return before, after

    def before(self, index: int) -> list[int]:
        """Returns the boxes from which an arrow leads to a box."""
        return self._neighbours[0].get(index, [])

    def after(self, index: int) -> list[int]:
        """Returns the boxes to which an arrow leads from a box."""
        return self._neighbours[1].get(index, [])


def folded(whole: View) -> View:
    """Returns the view with fewer boxes: norms and activations join their layer, equal boxes in a row become one."""
    return _merged(_merged(whole, _shares, _joined), Box.is_like, _repeated)


def blocks_of(whole: View, limit: int = 12) -> list[str]:
    """Returns the paths of the closed blocks that can be opened, one of each kind."""
    seen: dict[tuple[object, ...], str] = {}
    for box in whole.boxes:
        if box.kind == "block":
            seen.setdefault(box.signature, box.path.split(" to ")[0])
    return list(seen.values())[:limit]


def _shares(first: Box, second: Box) -> bool:
    """Returns whether the second box only changes each value of the first box's output, and so can share its box."""
    beside = first.path.rpartition(".")[0] == second.path.rpartition(".")[0]
    small = len(second.lines) == 1 and second.kind == "layer"
    return beside and small and first.kind in ("conv", "pool", "layer") and len(first.lines) < SHARED


def _joined(first: Box, second: Box) -> Box:
    signature = first.signature + second.signature
    return replace(first, lines=first.lines + second.lines, shapes=second.shapes, signature=signature)


def _repeated(first: Box, second: Box) -> Box:
    start = first.path.split(" to ")[0]
    parts = second.path.split(".")
    common = next((i for i, (a, b) in enumerate(zip(start.split("."), parts, strict=False)) if a != b), 0)
    path = f"{start} to {'.'.join(parts[common:])}"
    return replace(first, path=path, shapes=second.shapes, count=first.count + second.count)


@dataclass
class _Run:
    box: Box
    members: list[int] = field(default_factory=list)


def _merged(whole: View, alike: Callable[[Box, Box], bool], joined: Callable[[Box, Box], Box]) -> View:
    """Returns the view in which two boxes become one where a single arrow joins them and they are alike."""
    runs: list[_Run] = []
    place: dict[int, int] = {}
    for index, box in enumerate(whole.boxes):
        before = whole.before(index)
        if len(before) == 1 and whole.after(before[0]) == [index]:
            run = runs[place[before[0]]]
            if run.members[-1] == before[0] and alike(run.box, box):
                run.box = joined(run.box, box)
                run.members.append(index)
                place[index] = place[before[0]]
                continue
        place[index] = len(runs)
        runs.append(_Run(box, [index]))
    arrows: Iterable[tuple[int, int]] = {(place[source], place[target]) for source, target in whole.arrows}
    return View(tuple(run.box for run in runs), frozenset((a, b) for a, b in arrows if a != b))
