"""The flow of data through a network, followed on the meta device: its layers and operations with their inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from convatlas.complexity import UNFIT, Watcher, carried_out, is_layer, refused
from convatlas.errors import UsageError, unknown

VIEWS = {"alias", "detach", "view", "_unsafe_view", "slice", "expand", "contiguous", "clone", "squeeze", "unsqueeze"}


@dataclass(eq=False, repr=False)
class Call:
    """One call of a module: the module, its path, and the call around it, which the network itself does not have.

    `outputs` are the values that it returns, in their order.
    """

    path: str
    module: nn.Module
    around: Call | None
    inside: list[Call] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)

    @cached_property
    def is_layer(self) -> bool:
        """Returns whether the module is one step of the flow, whatever happens inside it."""
        return self.around is not None and is_layer(self.module)

    @cached_property
    def chain(self) -> tuple[Call, ...]:
        """The calls around this one, from the network on, and this call."""
        return (*self.around.chain, self) if self.around is not None else (self,)


@dataclass(eq=False, repr=False)
class Value:
    """A tensor in the flow: the step that made it, None for the image, and its shape without the batch."""

    step: Step | None
    shape: tuple[int, ...]


@dataclass(eq=False, repr=False)
class Step:
    """One call of a layer, or a named operation between layers; `sources` are its inputs."""

    call: Call
    operation: str
    arguments: tuple[Any, ...]
    sources: list[Value]
    values: list[Value] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the step's first output."""
        return self.values[0].shape if self.values else ()

    @property
    def makers(self) -> list[Step | None]:
        """The steps that made the inputs; None stands for the image."""
        return [source.step for source in self.sources]


@dataclass(frozen=True, eq=False)
class Flow:
    """The steps of a network in their order, and the image."""

    network: Call
    steps: tuple[Step, ...]
    image: Value

    @cached_property
    def calls(self) -> dict[str, Call]:
        """The first call of each module by its path."""
        return {call.path: call for step in reversed(self.steps) for call in step.call.chain}

    def find(self, path: str) -> Call:
        """Returns the first call of the module at this path. Raises `UsageError` where no module there is called."""
        if path not in self.calls:
            names = [name for name in self.calls if name and name.count(".") < 2]
            raise unknown("module of the network", path, names, hint=f"; as {', '.join(sorted(names)[-3:])}")
        return self.calls[path]


def follow(network: nn.Module, image: Tensor, *, name: str) -> Flow:
    """Follows one image (1, C, H, W) through a network in eval mode; both on the meta device.

    Raises `UsageError` where the network does not take the image; `name` stands in the error.
    """
    follower = _Follower(network, image)
    try:
        with torch.device("meta"), follower, torch.no_grad():
            output = network(image)
    except UNFIT as error:
        raise UsageError(refused(name, tuple(image.shape[1:]), error)) from error
    finally:
        for hook in follower.hooks:
            hook.remove()
    follower.root.outputs = follower.known(output)
    return Flow(follower.root, tuple(follower.steps), follower.image)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    """Returns the shape without the batch of one, or the whole shape where the batch is not its first number."""
    return tuple(tensor.shape[1:] if tensor.ndim and tensor.shape[0] == 1 else tensor.shape)


def _ends(tensor: Tensor) -> tuple[int, int]:
    """Returns the first and the last place of a tensor's values in its memory."""
    first = int(tensor.storage_offset())
    return first, first + sum(
        int(size - 1) * int(step) for size, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


class _Follower(Watcher):
    """Notes the steps: hooks see the layers, the mode sees the operations between them."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.root = Call("", network, None)
        self.image = Value(None, _shape(image))
        self.steps: list[Step] = []
        self._made: Any = WeakTensorKeyDictionary()  # what each tensor is in the flow
        self._made[image] = self.image
        self._others: Any = WeakTensorKeyDictionary()  # tensors that do not depend on the image
        self._working = [self.root]
        self._given: list[list[Value]] = []
        self._paths = {module: path for path, module in network.named_modules() if path}
        self.hooks: list[Any] = []
        for module in self._paths:
            self.hooks.append(module.register_forward_pre_hook(self._start, with_kwargs=True))
            self.hooks.append(module.register_forward_hook(self._stop, with_kwargs=True, always_call=True))

    def known(self, values: Any) -> list[Value]:
        """Returns the values that depend on the image."""
        return [self._made[x] for x in tree_leaves(values) if isinstance(x, Tensor) and x in self._made]

    def _start(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        call = Call(self._paths[module], module, self._working[-1])
        self._working[-1].inside.append(call)
        self._working.append(call)
        self._given.append(self.known((args, kwargs)))

    def _stop(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """Notes a layer as a step. Its output gets a tensor of its own, even where the layer passes its input on."""
        call, given = self._working.pop(), self._given.pop()
        layer = call.is_layer and not any(each.is_layer for each in call.chain if each is not call)
        if layer and not isinstance(module, nn.Identity) and given:
            step = Step(call, "", (), given)
            self.steps.append(step)
            in_place = bool(getattr(module, "inplace", False))
            output = tree_map(lambda x: x.detach() if isinstance(x, Tensor) and not in_place else x, output)
            self._note(step, output, in_place=in_place)
        call.outputs = self.known(output)
        return output

    def _note(self, step: Step, results: Any, *, in_place: bool) -> None:
        """Notes the results as the step's values. A step in place also makes other tensors in that memory its values.

        A tensor that reaches beyond that memory keeps old values as well; they become inputs of the step.
        """
        for tensor in tree_leaves(results):
            if not isinstance(tensor, Tensor):
                continue
            for other in self._overlapping(tensor) if in_place else ():
                old = self._made.get(other)
                if old is not None and other.numel() > tensor.numel() and old not in step.sources:
                    step.sources.append(old)
                self._made[other] = Value(step, _shape(other))
            value = self._made[tensor] = Value(step, _shape(tensor))
            step.values.append(value)

    def _overlapping(self, tensor: Tensor) -> list[Tensor]:
        """Returns other live tensors whose memory overlaps that of this tensor, as far as their ends tell."""
        place = tensor.untyped_storage()._cdata
        same = [x for x in (*self._made, *self._others) if x.untyped_storage()._cdata == place and x is not tensor]
        first, last = _ends(tensor)
        return [x for x in same if _ends(x)[0] <= last and first <= _ends(x)[1]]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        sources = self.known((args, kwargs))
        result = carried_out(func, args, kwargs)
        results = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        if not sources:
            self._others.update(dict.fromkeys(results))
        if not sources or not results or any(call.is_layer for call in self._working):
            return result
        name = func.overloadpacket.__name__
        if name in VIEWS and _shape(results[0]) == sources[0].shape:
            self._made[results[0]] = sources[0]
            return result
        step = Step(self._working[-1], name, tuple(args[1:]), sources)
        self.steps.append(step)
        self._note(step, results, in_place=func._schema.is_mutable)
        return result
