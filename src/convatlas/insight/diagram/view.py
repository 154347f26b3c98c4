"""Which boxes a diagram has: the modules that stay closed, the layers and operations of those that are opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby, pairwise

from convatlas.complexity import detail_of
from convatlas.insight.diagram.flow import Call, Flow, Step

SMALL = 4  # layers of a chain that share a box
LINE = 34  # characters of a line in a box
MOST_LINES = 8

POOLS = ("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d")
LAYERS = {
    "BatchNorm1d": "batch norm",
    "BatchNorm2d": "batch norm",
    "GroupNorm": "group norm",
    "LayerNorm": "layer norm",
    "LocalResponseNorm": "response norm",
    "Conv2d": "conv",
    "ConvTranspose2d": "transposed conv",
    "StandardizedConv2d": "standardised conv",
    "Linear": "linear",
    "MaxPool2d": "max pool",
    "AvgPool2d": "average pool",
    "Dropout": "dropout",
    "Flatten": "flatten",
    "StochasticDepth": "stochastic depth",
    "Scale": "scale",
    "SamePadding": "padding",
    "ConstantPad2d": "padding",
    "ZeroPad2d": "padding",
    "InputTransform": "input transform",
}
OPERATIONS = {
    "add": "+",
    "mul": "×",
    "sub": "-",
    "div": "÷",
    "cat": "concat",
    "relu": "ReLU",
    "max_pool2d_with_indices": "max pool",
    "avg_pool2d": "average pool",
    "_adaptive_avg_pool2d": "average pool",
    "mean": "mean",
    "view": "reshape",
    "addmm": "linear",
    "mm": "product",
    "bmm": "product",
    "convolution": "conv",
    "constant_pad_nd": "padding",
    "unbind": "one by one",
}
BLOCKS = {
    "Residual": "residual block",
    "DualPath": "dual path block",
    "SqueezeExcite": "squeeze and excitation",
    "Concat": "parallel branches",
    "Sequential": "block",
}


@dataclass(frozen=True)
class Box:
    """What is drawn as one: its module's path, its lines, what kind of thing it is; `shape` is what it gives.

    `kind` is image, output, conv, pool, layer, operation or block. `skip` says that a value passes by inside a closed
    block, `count` for how many equal boxes in a row it stands. `stage` is the part of the whole that it belongs to.
    """

    path: str
    lines: tuple[str, ...]
    kind: str
    shape: tuple[int, ...]
    stage: str = ""
    skip: bool = False
    count: int = 1
    signature: tuple[str, ...] = ()

    def is_like(self, other: Box) -> bool:
        """Whether both are drawn alike but for the path: the same layers inside, whatever number of channels enters."""
        same = (self.kind, self.signature, self.stage) == (other.kind, other.signature, other.stage)
        return same and self.kind in ("conv", "pool", "layer", "block")


@dataclass(frozen=True)
class View:
    """Boxes in an order in which each stands after those that it is given something by, and arrows by their indices."""

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
        """What a box is given something by."""
        return self._neighbours[0].get(index, [])

    def after(self, index: int) -> list[int]:
        """What a box gives something to."""
        return self._neighbours[1].get(index, [])


def view(flow: Flow, path: str = "") -> View:
    """The network as a whole, its blocks closed and equal ones in a row folded; or one of its modules, opened.

    Raises `UsageError` for a path where no module works.
    """
    call = flow.find(path) if path else flow.network
    inside = _Inside(flow)
    whole = call is flow.network or inside.is_opened(call)
    opened: Callable[[Call], bool] = inside.is_opened if whole else lambda each: not inside.is_small(each)
    boxes = _boxes(flow, call, inside, opened=opened, stages=call is flow.network)
    return folded(boxes)


class _Inside:
    """What works inside each module, and which of them stay closed."""

    def __init__(self, flow: Flow) -> None:
        self._network = flow.network
        self._known: dict[tuple[str, Call], bool] = {}
        self._steps: dict[Call, list[Step]] = {}
        for step in flow.steps:
            for call in step.call.chain():
                self._steps.setdefault(call, []).append(step)

    def steps(self, call: Call) -> list[Step]:
        return self._steps.get(call, [])

    def _once(self, question: str, call: Call, find: Callable[[Call], bool]) -> bool:
        """An answer that is found once."""
        key = question, call
        if key not in self._known:
            self._known[key] = find(call)
        return self._known[key]

    def is_small(self, call: Call) -> bool:
        """A chain of few layers, with at most one product: a convolution with its norm and its activation."""
        return self._once("small", call, self._find_small)

    def _find_small(self, call: Call) -> bool:
        steps = self.steps(call)
        if not 0 < len(steps) <= SMALL:
            return False
        layers = all(step.call.is_layer and kind_of(step) != "pool" for step in steps)
        return is_chain(steps) and layers and sum(kind_of(step) == "conv" for step in steps) <= 1

    def is_complex(self, call: Call) -> bool:
        return not call.is_layer and not self.is_small(call) and bool(self.steps(call))

    def is_sequential(self, call: Call) -> bool:
        """Whether each module inside is given what the one before it made, and nothing happens between them."""
        working = [each for each in call.inside if self.steps(each)]
        if not working or any(step.call is call and not call.is_layer for step in self.steps(call)):
            return False
        return all(self._follows(before, after) for before, after in pairwise(working))

    def _follows(self, before: Call, after: Call) -> bool:
        own = set(self.steps(after))
        outside = {source for step in own for source in step.sources if source not in own}
        return outside == {self.steps(before)[-1]}

    def is_opened(self, call: Call) -> bool:
        """Whether the network's diagram shows what is inside: of chains of blocks or layers, and of all like this."""
        return self._once("opened", call, self._find_opened)

    def _find_opened(self, call: Call) -> bool:
        if call is self._network:
            return True
        beside = [call] if call.around is self._network or call.around is None else call.around.inside
        return self._can_open(call) and all(self._can_open(each) for each in beside if self.is_complex(each))

    def _can_open(self, call: Call) -> bool:
        return self._once("can open", call, self._find_can_open)

    def _find_can_open(self, call: Call) -> bool:
        if call.is_layer or self.is_small(call) or not self.is_sequential(call):
            return False
        depth = call.path.count(".")  # a stage's is 0
        working = [each for each in call.inside if self.steps(each)]
        blocks = [each for each in working if self.is_complex(each)]
        if len(blocks) > 1:
            return True
        if len(working) == 1:
            return self._can_open(working[0])
        if not blocks:
            return depth < 2
        others = [step for each in working if each not in blocks for step in self.steps(each)]
        return depth == 0 and any(kind_of(step) == "conv" for step in others)


def _boxes(flow: Flow, root: Call, inside: _Inside, *, opened: Callable[[Call], bool], stages: bool) -> View:
    """The boxes within a module: for each step the outermost module around it that stays closed, or itself."""
    steps = inside.steps(root)
    owners: dict[Step, object] = {}
    members: dict[object, list[Step]] = {}
    for step in steps:
        around = list(step.call.chain())
        around = around[around.index(root) + 1 :]
        owner: object = next((call for call in around if not opened(call)), step)
        owners[step] = owner
        members.setdefault(owner, []).append(step)
    order = list(members)
    own = set(steps)
    first = next((step for step in steps for source in step.sources if source not in own), None)
    given = next((source for source in first.sources if source not in own), None) if first else None
    shape = given.shape if given is not None else flow.shape
    boxes = [Box("", ("image" if given is None else "input",), "image", shape)]
    boxes += [_box(owner, members[owner], root, inside, stages=stages) for owner in order]
    places = {owner: index for index, owner in enumerate(order, start=1)}
    arrows = {
        (places[owners[source]] if source in own and source is not None else 0, places[owners[step]])
        for step in steps
        for source in step.sources
        if source not in own or source is None or owners[source] is not owners[step]
    }
    ends = [index for index in range(1, len(boxes)) if not any(source == index for source, _ in arrows)]
    if not boxes[1:]:
        return View((*boxes, Box("", ("output",), "output", shape)), frozenset({(0, 1)}))
    boxes.append(Box("", ("output",), "output", boxes[ends[-1]].shape))
    arrows |= {(index, len(boxes) - 1) for index in ends}
    return View(tuple(boxes), frozenset(arrows))


def _box(owner: object, steps: Sequence[Step], root: Call, inside: _Inside, *, stages: bool) -> Box:
    path = owner.path if isinstance(owner, Call) else steps[0].call.path
    relative = path.removeprefix(root.path).lstrip(".")
    stage = relative.split(".")[0] if stages and "." in relative else ""
    shape, signature = steps[-1].shape, tuple(map(_signed, steps))
    if isinstance(owner, Step):
        kind = kind_of(owner)
        shown = "" if kind == "operation" else relative
        return Box(shown, (words(owner),), kind, shape, stage=stage, signature=signature)
    assert isinstance(owner, Call)
    if owner.is_layer or inside.is_small(owner):
        kind = next((kind for kind in ("conv", "pool") if any(kind_of(step) == kind for step in steps)), "layer")
        return Box(relative, tuple(map(words, steps)), kind, shape, stage=stage, signature=signature)
    lines = (_title(owner, inside), *_summary(owner, inside))
    return Box(relative, lines, "block", shape, stage=stage, skip=_skips(steps), signature=signature)


def _signed(step: Step) -> str:
    """What makes two steps alike; the rate of stochastic depth, which grows from block to block, does not count."""
    return type(step.call.module).__name__ if type(step.call.module).__name__ == "StochasticDepth" else words(step)


def kind_of(step: Step) -> str:
    """conv for what has a matrix of weights, pool, layer, or operation for what happens between layers."""
    if not step.call.is_layer:
        return "operation"
    if type(step.call.module).__name__ in POOLS:
        return "pool"
    weights = [weight for weight in step.call.module.parameters(recurse=False) if weight.ndim > 1]
    return "conv" if weights else "layer"


def words(step: Step) -> str:
    """A layer or an operation in a line, as in the papers' tables: 3 x 3 conv, 64, /2."""
    if not step.call.is_layer:
        return _operation(step)
    name = type(step.call.module).__name__
    detail = detail_of(step.call.module).replace("stride ", "/")
    if name in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        kind = "average pool" if "Avg" in name else "max pool"
        return f"global {kind}" if detail == "to 1 x 1" else f"{kind} {detail}"
    label = LAYERS.get(name, name)
    if name == "StochasticDepth":
        detail = f"{float(detail):.2g}"
    if name == "LocalResponseNorm":
        detail = detail.split(",")[0]
    if re.match(r"\d+ x \d+", detail) and ("conv" in label or "pool" in label):
        kernel, *others = detail.split(", ")
        if "depthwise" in others:
            others.remove("depthwise")
            label = f"depthwise {label}"
        return ", ".join([f"{kernel} {label}", *others])
    if not detail or label == "padding":
        return label
    return f"{label}, {detail}" if label in ("linear", "group norm") else f"{label} {detail}"


def _operation(step: Step) -> str:
    if step.operation == "slice" and len(step.arguments) >= 3:
        dim, start, end = step.arguments[:3]
        size = f"{start or 0} to {'end' if end > 10**9 else end}"
        return f"{('batch', 'channels', 'rows', 'columns')[dim]} {size}" if 0 <= dim < 4 else size
    name = step.operation.rstrip("_")
    return OPERATIONS.get(name, name.strip("_"))


def _title(call: Call, inside: _Inside) -> str:
    """What a closed block is called."""
    branching = _branching(call, inside)
    name = type(branching.module).__name__
    if name == "Concat" and _skips(inside.steps(call)):
        return "dense layer"
    if (inverted := _is_inverted(inside.steps(call))) is not None:
        kind = "inverted" if inverted else "depthwise separable"
        return f"{kind} residual" if _skips(inside.steps(call)) else f"{kind} {'bottleneck' if inverted else 'block'}"
    if name == "Sequential" and _skips(inside.steps(call)):
        return "residual block"
    return BLOCKS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _is_inverted(steps: Sequence[Step]) -> bool | None:
    """Whether a depthwise convolution has more channels than the block gives; None where there is none."""
    depthwise = [step.shape[0] for step in steps if "depthwise" in words(step)]
    return max(depthwise) > steps[-1].shape[0] if depthwise else None


def _branching(call: Call, inside: _Inside) -> Call:
    """The module in which the data flow parts: this one, or the only block inside it."""
    blocks = [each for each in call.inside if inside.is_complex(each) and not _is_gate(each)]
    own = [step for step in inside.steps(call) if step.call is call]
    return _branching(blocks[0], inside) if len(blocks) == 1 and not own else call


def _summary(call: Call, inside: _Inside) -> Iterator[str]:
    """The convolutions and pools of a closed block, a line or more for each of its branches."""
    branching = _branching(call, inside)
    lines: list[str] = []
    for branch in [branching] if inside.is_sequential(branching) else branching.inside:
        steps = inside.steps(branch)
        joint = " → " if is_chain([step for step in steps if not _in_gate(step)]) else "; "
        parts = [text for text, _ in groupby(map(_product, steps)) if text]
        if parts and branch.path.endswith("shortcut"):
            parts[0] = f"shortcut {parts[0]}"
        lines += _wrapped(parts, joint=joint)
    lines = [line if count == 1 else f"{line}  × {count}" for line, count in _counted(lines)]
    yield from lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "..."]


def is_chain(steps: Sequence[Step]) -> bool:
    """Whether each step is given what the one before it made, perhaps through a gate, and nothing else."""
    return all(
        len(after.sources) == 1 and (after.sources[0] is before or _in_gate(after.sources[0]))
        for before, after in pairwise(steps)
    )


def _counted(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    for line, equal in groupby(lines):
        yield line, sum(1 for _ in equal)


def _is_gate(call: Call) -> bool:
    return type(call.module).__name__ == "SqueezeExcite"


def _in_gate(step: Step | None) -> bool:
    return step is not None and any(map(_is_gate, step.call.chain()))


def _product(step: Step) -> str:
    """A convolution or a pool in few words, a gate in one; nothing for other steps."""
    if _in_gate(step):
        return "squeeze-excite"
    return _short(words(step)) if kind_of(step) in ("conv", "pool") else ""


def _short(text: str) -> str:
    return text.replace(" depthwise conv", " depthwise").replace(" standardised conv", "").replace(" conv", "")


def _wrapped(parts: list[str], *, joint: str) -> list[str]:
    """The parts in lines of bounded length."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(joint) + len(part) <= LINE:
            lines[-1] += joint + part
        elif lines:
            lines[-1] += joint.rstrip()
            lines.append(part)
        else:
            lines.append(part)
    return lines


def _skips(steps: Sequence[Step]) -> bool:
    """Whether what a block is given goes into a sum or a concatenation beside what the block makes of it."""
    own = set(steps)
    joins = [step for step in steps if step.operation in ("add", "cat", "add_")]
    sources = [[_whole(source) for source in step.sources] for step in joins]
    return any(any(s not in own for s in given) and any(s in own for s in given) for given in sources) or (
        bool(joins) and any(_is_projection(step, own) for step in joins if step.operation != "cat")
    )


def _whole(step: Step | None) -> Step | None:
    """Of some channels of a value, the step that made the value."""
    while step is not None and step.operation == "slice":
        step = step.sources[0]
    return step


def _is_projection(step: Step, own: set[Step]) -> bool:
    """Whether a sum has a part that only a projection, a shortcut, is between: one convolution of what is given."""
    return any(_products_behind(source, own) == 1 for source in step.sources if source is not None)


def _products_behind(step: Step | None, own: set[Step]) -> int:
    if step is None or step not in own:
        return 0
    here = int(kind_of(step) == "conv")
    return here + min((_products_behind(source, own) for source in step.sources), default=0)


# -------------------------------------------------------------------------------------------------------------- folding


def folded(whole: View) -> View:
    """Layers share a box with what they follow, and equal boxes in a row are one that says how many it stands for."""
    return _merged(_merged(whole, _shares, _joined), Box.is_like, _repeated)


def _shares(first: Box, second: Box) -> bool:
    """Whether the second only works on each value of what the first, a layer beside it, has made."""
    beside = first.path.rpartition(".")[0] == second.path.rpartition(".")[0]
    small = len(second.lines) == 1 and second.kind == "layer"
    return beside and small and first.kind in ("conv", "pool", "layer") and len(first.lines) < SMALL


def _joined(first: Box, second: Box) -> Box:
    signature = first.signature + second.signature
    return replace(first, lines=first.lines + second.lines, shape=second.shape, signature=signature)


def _repeated(first: Box, second: Box) -> Box:
    start = first.path.split(" to ")[0]
    parts = second.path.split(".")
    common = next(i for i, (a, b) in enumerate(zip(start.split("."), parts, strict=False)) if a != b)
    path = f"{start} to {'.'.join(parts[common:])}"
    return replace(first, path=path, shape=second.shape, count=first.count + second.count)


@dataclass
class _Run:
    box: Box
    members: list[int] = field(default_factory=list)


def _merged(whole: View, alike: Callable[[Box, Box], bool], joined: Callable[[Box, Box], Box]) -> View:
    """The view with each pair that only one arrow leaves and enters made one box, where they are alike."""
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
    arrows = {(place[source], place[target]) for source, target in whole.arrows}
    return View(tuple(run.box for run in runs), frozenset((a, b) for a, b in arrows if a != b))


def blocks_of(whole: View, limit: int = 12) -> Iterable[str]:
    """The paths of the closed blocks, one of each kind: what can be opened."""
    seen: dict[tuple[str, ...], str] = {}
    for box in whole.boxes:
        if box.kind == "block":
            seen.setdefault(box.signature, box.path.split(" to ")[0])
    return list(seen.values())[:limit]
