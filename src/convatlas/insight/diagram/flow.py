"""The flow of data through a network, followed on the meta device: its layers and operations, what each is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from convatlas.complexity import UNFIT
from convatlas.errors import UsageError, unknown

VIEWS = {"alias", "detach", "view", "_unsafe_view", "slice", "expand", "contiguous", "clone", "squeeze", "unsqueeze"}


@dataclass(eq=False, repr=False)
class Call:
    """A module at work, once: which, where it stands, and within which other; the network itself is within none."""

    path: str
    module: nn.Module
    around: Call | None
    inside: list[Call] = field(default_factory=list)

    @property
    def is_layer(self) -> bool:
        return self.around is not None and not any(self.module.children())

    def chain(self) -> Iterator[Call]:
        """The modules around this one from the network on, and this one."""
        if self.around is not None:
            yield from self.around.chain()
        yield self


@dataclass(eq=False, repr=False)
class Step:
    """A layer at work, or an operation between layers, which has a name; `shape` is what it gives, without the batch.

    `sources` are the steps that made what it is given; None is the image.
    """

    call: Call
    operation: str
    arguments: tuple[Any, ...]
    shape: tuple[int, ...]
    sources: list[Step | None]


@dataclass(frozen=True)
class Flow:
    """All steps of a network in their order, and the shape of its image."""

    network: Call
    steps: tuple[Step, ...]
    shape: tuple[int, ...]

    def find(self, path: str) -> Call:
        """The module of this path where it works first. Raises `UsageError` where none does."""
        calls = {step.path: step for each in reversed(self.steps) for step in each.call.chain()}
        if path not in calls:
            names = [name for name in calls if name and name.count(".") < 2]
            raise unknown("module of the network", path, names, hint=f"; as {', '.join(sorted(names)[-3:])}")
        return calls[path]


def follow(network: nn.Module, image: Tensor, *, name: str) -> Flow:
    """Follows one image (1, C, H, W) through a network in eval mode; both on the meta device.

    Raises `UsageError` where the network does not take the image; `name` stands in the error.
    """
    follower = _Follower(network, image)
    try:
        with follower, torch.no_grad():
            network(image)
    except UNFIT as error:
        raise UsageError(f"{name} cannot take the image: {str(error).splitlines()[0]}") from error
    finally:
        for hook in follower.hooks:
            hook.remove()
    return Flow(follower.root, tuple(follower.steps), tuple(image.shape[1:]))


class _Follower(TorchDispatchMode):
    """Hooks see the layers, the mode sees the operations between them."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = Call("", network, None)
        self.steps: list[Step] = []
        self.made: Any = WeakTensorKeyDictionary()  # the step that made a tensor; None: the image
        self.made[image] = None
        self._working = [self.root]
        self._given: list[list[Step | None]] = []
        self._paths = {module: path for path, module in network.named_modules() if path}
        self.hooks: list[Any] = []
        for module in self._paths:
            self.hooks.append(module.register_forward_pre_hook(self._start, with_kwargs=True))
            self.hooks.append(module.register_forward_hook(self._stop, with_kwargs=True))

    def _start(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        call = Call(self._paths[module], module, self._working[-1])
        self._working[-1].inside.append(call)
        self._working.append(call)
        self._given.append(self._sources(tree_leaves((args, kwargs))))

    def _stop(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """A layer is a step; its output gets a tensor of its own, so that what it passes on unchanged counts as its."""
        call, given = self._working.pop(), self._given.pop()
        if not call.is_layer or isinstance(module, nn.Identity) or not given:
            return output
        tensors = [value for value in tree_leaves(output) if isinstance(value, Tensor)]
        step = Step(call, "", (), tuple(tensors[0].shape[1:]) if tensors else (), given)
        self.steps.append(step)
        in_place = getattr(module, "inplace", False)
        output = tree_map(lambda value: value.detach() if isinstance(value, Tensor) and not in_place else value, output)
        for value in tree_leaves(output):
            if isinstance(value, Tensor):
                self.made[value] = step
        return output

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        sources = self._sources(tree_leaves((args, kwargs)))
        shapes = [value.shape for value in tree_leaves(args) if isinstance(value, Tensor) and value in self.made]
        result = func(*args, **kwargs)
        results = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        if not sources or not results or self._working[-1].is_layer:
            return result
        name = func.overloadpacket.__name__
        if name in VIEWS and results[0].shape == shapes[0]:
            made = sources[0]
        else:
            made = Step(self._working[-1], name, tuple(args[1:]), tuple(results[0].shape[1:]), sources)
            self.steps.append(made)
        for value in results:
            self.made[value] = made
        return result

    def _sources(self, values: list[Any]) -> list[Step | None]:
        """The steps that made those of the values that depend on the image."""
        return [self.made[value] for value in values if isinstance(value, Tensor) and value in self.made]
