"""The steps inside each module, the modules that a diagram opens, and the shortcuts inside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

from convatlas.insight.diagram.flow import Call, Flow, Step, Value
from convatlas.insight.diagram.wording import in_gate, is_gate, kind_of

SMALL = 4  # layers of a chain that share a box


class Inside:
    """The steps inside each module of a flow, and which modules stay closed."""

    def __init__(self, flow: Flow) -> None:
        self._network = flow.network
        self._known: dict[tuple[str, Call], bool] = {}
        self._steps: dict[Call, list[Step]] = {}
        self._users: dict[Step, list[Step | None]] = {}  # None: it is returned by the network
        for step in flow.steps:
            for call in step.call.chain:
                self._steps.setdefault(call, []).append(step)
            self._use(step.sources, step)
        self._use(flow.network.outputs, None)

    def _use(self, values: Sequence[Value], user: Step | None) -> None:
        for value in values:
            if value.step is not None:
                self._users.setdefault(value.step, []).append(user)

    def steps(self, call: Call) -> list[Step]:
        """Returns the steps inside a module, in the order in which they work."""
        return self._steps.get(call, [])

    def _once(self, question: str, call: Call, find: Callable[[Call], bool]) -> bool:
        """Returns an answer that is computed once and then kept."""
        key = question, call
        if key not in self._known:
            self._known[key] = find(call)
        return self._known[key]

    def is_small(self, call: Call) -> bool:
        """Returns whether a module is a chain of few layers with at most one product, such as convolution and norm."""
        return self._once("small", call, self._find_small)

    def _find_small(self, call: Call) -> bool:
        steps = self.steps(call)
        if not 0 < len(steps) <= SMALL:
            return False
        layers = all(step.call.is_layer and kind_of(step) != "pool" for step in steps)
        within = all(user in steps for step in steps[:-1] for user in self._users.get(step, []))
        return is_chain(steps) and layers and within and sum(kind_of(step) == "conv" for step in steps) <= 1

    def is_complex(self, call: Call) -> bool:
        """Returns whether a module is more than a layer or a small chain."""
        return not call.is_layer and not self.is_small(call) and bool(self.steps(call))

    def is_sequential(self, call: Call) -> bool:
        """Returns whether the modules inside follow each other, with nothing between them."""
        working = [each for each in call.inside if self.steps(each)]
        if not working or any(step.call is call and not call.is_layer for step in self.steps(call)):
            return False
        return all(self._follows(before, after) for before, after in pairwise(working))

    def _follows(self, before: Call, after: Call) -> bool:
        own = set(self.steps(after))
        outside = {maker for step in own for maker in step.makers if maker not in own}
        return outside == {self.steps(before)[-1]}

    def is_opened(self, call: Call) -> bool:
        """Returns whether the network's diagram shows the inside of a module: of chains of blocks or layers it does."""
        return self._once("opened", call, self._find_opened)

    def has_levels(self, call: Call) -> bool:
        """Returns whether a module gives features of several sizes, by modules that each work once."""
        return self._once("levels", call, self._find_levels)

    def _find_levels(self, call: Call) -> bool:
        sizes = {value.shape[1:] for value in call.outputs}
        paths = [each.path for each in call.inside]
        return not call.is_layer and len(sizes) > 1 and len(set(paths)) == len(paths)

    def exchanges(self, call: Call) -> bool:
        """Returns whether a module has levels, and each module inside belongs to one of them."""
        return self.has_levels(call) and all(len(each.outputs) < 2 for each in call.inside)

    def is_stage(self, call: Call) -> bool:
        """Returns whether a module is a stage of a backbone, which stays closed, so that the levels are seen."""
        around = call.around
        return around is not None and around is not self._network and self.has_levels(around) and self._can_open(call)

    def _is_first_exchange(self, call: Call) -> bool:
        """Returns whether a module whose levels exchange features is the first of its kind; the others are alike."""
        beside = call.around.inside if call.around is not None else [call]
        alike = [each for each in beside if type(each.module) is type(call.module)]
        return self.exchanges(call) and alike[0] is call

    def _find_opened(self, call: Call) -> bool:
        if call is self._network or self._is_first_exchange(call):
            return True
        if self.is_stage(call):
            return False
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

    def branching(self, call: Call) -> Call:
        """Returns the module in which the data flow parts: this one, or the only block inside it."""
        blocks = [each for each in call.inside if self.is_complex(each) and not is_gate(each)]
        own = [step for step in self.steps(call) if step.call is call]
        return self.branching(blocks[0]) if len(blocks) == 1 and not own else call


@lru_cache(maxsize=1)
def inside_of(flow: Flow) -> Inside:
    """Returns the steps inside each module; the blocks of one network are mostly asked for in turn."""
    return Inside(flow)


def is_chain(steps: Sequence[Step]) -> bool:
    """Returns whether the input of each step is the output of the step before it, perhaps through a gate."""
    return all(
        len(after.makers) == 1 and (after.makers[0] is before or in_gate(after.makers[0]))
        for before, after in pairwise(steps)
    )


def skips(steps: Sequence[Step]) -> bool:
    """Returns whether a block has a shortcut: its input passes by its layers and is added or joined to their output.

    The input passes as it is, or with fewer convolutions on its way than the other path: a shortcut with a projection.
    """
    sums = [step for step in steps if step.operation in ("add", "add_") and len(step.makers) > 1]
    known: dict[Step, int] = {}  # in the order of the steps: a chain of many sums has too many ways to walk them all
    for step in steps:
        known[step] = int(kind_of(step) == "conv") + min((known.get(m, 0) if m else 0 for m in step.makers), default=0)
    behind = [[known.get(maker, 0) if maker else 0 for maker in step.makers] for step in sums]
    return grows(steps) or any(min(products) < max(products) for products in behind)


def grows(steps: Sequence[Step]) -> bool:
    """Returns whether a block joins its input to its output, as dense layers do, so that the channels grow."""
    own = set(steps)
    joins = [[_whole(maker) in own for maker in step.makers] for step in steps if step.operation == "cat"]
    return any(any(given) and not all(given) for given in joins)


def _whole(step: Step | None) -> Step | None:
    """Returns the step that made the whole value where a step only takes some channels of it."""
    while step is not None and step.operation == "slice":
        step = step.makers[0]
    return step
