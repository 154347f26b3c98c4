"""The view that a diagram has of a network: its stages and closed blocks, or one block opened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from convatlas.insight.diagram.boxes import Box, View, folded
from convatlas.insight.diagram.flow import Call, Flow, Step, Value
from convatlas.insight.diagram.modules import Inside, grows, inside_of, is_chain, skips
from convatlas.insight.diagram.wording import BLOCKS, OF_DETECTORS, in_gate, kind_of, product, words

LINE = 34  # characters of a line in a box
MOST_LINES = 8
Owner = Call | Step


def view(flow: Flow, path: str = "") -> View:
    """Returns the whole network, with blocks closed and equal boxes in a row folded, or one of its modules, opened.

    Raises `UsageError` for a path where no module works.
    """
    call = flow.find(path) if path else flow.network
    inside = inside_of(flow)
    whole = call is flow.network or inside.is_opened(call) or inside.has_levels(call) or inside.is_stage(call)
    opened: Callable[[Call], bool] = inside.is_opened if whole else lambda each: not inside.is_small(each)
    owners = _owners(call, inside, opened)
    return folded(_joined(flow, call, inside, owners))


def _owners(root: Call, inside: Inside, opened: Callable[[Call], bool]) -> dict[Step, Owner]:
    """Returns the owner of each step's box: the outermost closed module around the step, or the step itself."""
    owners: dict[Step, Owner] = {}
    for step in inside.steps(root):
        around = step.call.chain[step.call.chain.index(root) + 1 :]
        owners[step] = next((call for call in around if not opened(call)), step)
    return owners


def _joined(flow: Flow, root: Call, inside: Inside, owners: dict[Step, Owner]) -> View:
    """Returns boxes and arrows: first the inputs from outside, then the owners of steps, at last the outputs."""
    members: dict[Owner, list[Step]] = {}
    for step, owner in owners.items():
        members.setdefault(owner, []).append(step)
    given = list(dict.fromkeys(value for step in owners for value in step.sources if value.step not in owners))
    given = given or [flow.image]
    name = "image" if given == [flow.image] else "input"
    boxes = [Box("", (name,), "image", (value.shape,)) for value in given]
    places = {owner: len(boxes) + index for index, owner in enumerate(members)}

    def place(value: Value) -> int:
        return places[owners[value.step]] if value.step in owners else given.index(value)

    links = [(value, places[owners[step]]) for step in owners for value in step.sources]
    links += [(value, len(boxes) + len(members)) for value in root.outputs if value.step in owners or value in given]
    leaving: dict[int, dict[tuple[int, ...], None]] = {}
    for value, target in links:
        if place(value) != target:
            leaving.setdefault(place(value), {})[value.shape] = None
    for owner, steps in members.items():
        shapes = tuple(leaving.get(places[owner], {steps[-1].shape: None}))
        path = owner.path if isinstance(owner, Call) else owner.call.path
        boxes.append(_within(_box(owner, steps, inside, shapes), path, root))
    arrows = {(place(value), target) for value, target in links if place(value) != target}
    if any(target == len(boxes) for _, target in arrows):
        boxes.append(Box("", ("output",), "output", tuple(dict.fromkeys(value.shape for value in root.outputs))))
    return View(tuple(boxes), frozenset(arrows))


def _box(owner: Owner, steps: Sequence[Step], inside: Inside, shapes: tuple[tuple[int, ...], ...]) -> Box:
    """Returns the box of an owner, by the whole path of its module."""
    signature = _signature(steps)
    if isinstance(owner, Step):
        kind = kind_of(owner)
        path = "" if kind == "operation" else owner.call.path
        return Box(path, (words(owner),), kind, shapes, signature=signature)
    if owner.is_layer or inside.is_small(owner):
        kind = next((kind for kind in ("conv", "pool") if any(kind_of(step) == kind for step in steps)), "layer")
        return Box(owner.path, tuple(map(words, steps)), kind, shapes, signature=signature)
    brief = owner.around is not None and inside.has_levels(owner.around)
    lines = _brief(owner, inside) if brief else (_title(owner, inside), *_summary(owner, inside))
    return Box(owner.path, lines, "block", shapes, skip=not brief and skips(steps), signature=signature)


def _within(box: Box, path: str, root: Call) -> Box:
    """Returns the box with its path from `root` on; in the whole network the first part of the path is its stage."""
    relative = path.removeprefix(root.path).lstrip(".")
    stage = relative.split(".")[0] if root.around is None and "." in relative else ""
    return replace(box, path=relative if box.path else "", stage=stage)


def _signature(steps: Sequence[Step]) -> tuple[object, ...]:
    """Returns the signature that equal boxes share: their layers, the joints between them, and their parameters.

    The input channels of blocks that grow, such as dense layers, differ from block to block and do not count.
    """
    growing = grows(steps)
    places: dict[Step | None, int] = {step: index for index, step in enumerate(steps)}
    found: list[object] = []
    for step in steps:
        wired = tuple(places.get(maker, -1) for maker in step.makers)
        found.append((_layer_signature(step, growing=growing), wired))
    return tuple(found)


def _layer_signature(step: Step, *, growing: bool) -> tuple[object, ...]:
    """Returns a step's part of the signature; the rate of stochastic depth, which grows over blocks, does not count."""
    if not step.call.is_layer:
        return (words(step), *(() if growing else (step.shape,)))
    module = step.call.module
    name = type(module).__name__
    if growing:
        return name, words(step), str(getattr(module, "padding", "")), step.shape[1:]
    shapes = tuple(tuple(weight.shape) for weight in module.parameters())
    return name, "" if name == "StochasticDepth" else module.extra_repr(), shapes, step.shape


def _title(call: Call, inside: Inside) -> str:
    """Returns the name of a closed block."""
    steps = inside.steps(call)
    if (own := OF_DETECTORS.get(type(call.module).__name__)) is not None:
        return own
    name, skip = type(inside.branching(call).module).__name__, skips(steps)
    if name == "Concat" and skip:
        return "dense layer"
    depthwise = [step.shape[0] for step in steps if "depthwise" in words(step)]
    if depthwise:
        inverted = max(depthwise) > steps[-1].shape[0]  # more channels inside than it gives
        kind = "inverted" if inverted else "depthwise separable"
        return f"{kind} residual" if skip else f"{kind} {'bottleneck' if inverted else 'block'}"
    if name == "Sequential" and skip:
        return "residual block"
    return BLOCKS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)


def _summary(call: Call, inside: Inside) -> Iterator[str]:
    """Returns the convolutions and pools of a closed block, a line or more for each of its branches."""
    branching = inside.branching(call)
    lines: list[str] = []
    for branch in [branching] if inside.is_sequential(branching) else branching.inside:
        steps = inside.steps(branch)
        joint = " → " if is_chain([step for step in steps if not in_gate(step)]) else "; "
        parts = [text for text, _ in groupby(map(product, steps)) if text]
        if parts and branch.path.endswith("shortcut"):
            parts[0] = f"shortcut {parts[0]}"
        lines += _wrapped(parts, joint=joint)
    counted = [(line, sum(1 for _ in equal)) for line, equal in groupby(lines)]
    lines = [line if count == 1 else f"{line}  × {count}" for line, count in counted]
    yield from lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "..."]


def _brief(call: Call, inside: Inside) -> tuple[str, ...]:
    """Returns the lines of a closed block among levels, where room is scarce: its name and its larger kernels.

    Of a chain of blocks the last stands for all. What works at each level counts once.
    """
    blocks = [each for each in call.inside if inside.is_complex(each)]
    chain = inside.is_sequential(call) and len(blocks) > 1
    last = blocks[-1] if chain else call
    products = {step.call.path: product(step) for step in inside.steps(last)}
    counted = Counter(text.split(",")[0] for text in products.values() if text[:5] not in ("", "1 x 1", "squee"))
    times = len(blocks) if chain else 1
    lines = [text if count * times == 1 else f"{text}  × {count * times}" for text, count in counted.items()]
    return _title(last, inside).removeprefix("depthwise "), *lines[:MOST_LINES]


def _wrapped(parts: list[str], *, joint: str) -> list[str]:
    """Returns the parts in lines of bounded length."""
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
