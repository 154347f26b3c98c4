"""Counts a network while it works on the meta device, without memory or arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from convatlas.complexity.parts import Complexity, Part
from convatlas.complexity.products import Products
from convatlas.complexity.receptive_field import Fields
from convatlas.complexity.wording import detail_of
from convatlas.errors import UsageError

UNFIT = (  # what a network may raise for an image that does not fit
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AssertionError,
    ArithmeticError,
    AttributeError,
)
HOLDERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def count(network: nn.Module, image: Tensor, *, name: str) -> Complexity:
    """Counts a network on one image (1, C, H, W); both on the meta device. `name` stands in the error."""
    counter = _Counter(network, image)
    shape = tuple(image.shape[1:])
    try:
        with torch.device("meta"), counter.fields, counter.products, torch.no_grad():
            network(image)
    except UNFIT as error:
        raise UsageError(refused(name, shape, error)) from error
    finally:
        for hook in counter.hooks:
            hook.remove()
    return Complexity(shape, counter.part(), gathers=counter.fields.gathers)


def refused(name: str, shape: tuple[int, ...], error: Exception) -> str:
    """Returns in one line why a network does not take an image, or an input of another shape."""
    reason = (str(error).splitlines() or [""])[0]
    if not isinstance(error, RuntimeError | ValueError | TypeError):
        reason = f"{type(error).__name__}: {reason}"
    if "meta" in reason:  # tensors without values
        return f"{name} cannot be counted without values: {reason}"
    kind = "an image" if len(shape) == 3 else "an input"
    return f"{name} cannot take {kind} of {' x '.join(map(str, shape))}: {reason}"


def is_layer(module: nn.Module) -> bool:
    """Returns whether a module counts as one: it has no children, or is one of torch's own, such as attention."""
    own = type(module).__module__.startswith("torch.nn.modules") and not isinstance(module, HOLDERS)
    return own or not any(module.children())


def parameter_count(module: nn.Module) -> int:
    """Returns the number of learned values, a shared parameter once."""
    return sum(parameter.numel() for parameter in module.parameters())


@dataclass
class _Tally:
    """The values known so far about a module at one place where it works.

    `macs` and `not_counted` are with what is inside it, `activations` without.
    """

    name: str
    module: nn.Module
    macs: int = 0
    not_counted: list[str] = field(default_factory=list)
    activations: int = 0
    operations: dict[str, None] = field(default_factory=dict)  # its own that made values, in their order
    works: bool = False
    shape: tuple[int, ...] = ()
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    receptive_field: tuple[int, int] | None = None
    stride: tuple[float, float] | None = None
    inside: dict[str, _Tally] = field(default_factory=dict)

    @property
    def is_layer(self) -> bool:
        return bool(self.name) and is_layer(self.module)


class _Counter:
    """Follows the modules of a network with hooks, and the operations between them with `Fields`.

    A module that works several times in a place counts once with the sum; one that works in several places has a tally
    in each.
    """

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        self.products = Products()
        self.fields = Fields(image, made=self._made)
        self._names = {module: path for path, module in network.named_modules()}
        self._root = _Tally("", network)
        self._working = [(self._root, 0, 0)]  # each with the multiply-adds and the missed operations at its beginning
        storage = image.untyped_storage()
        self._storages = {storage._cdata: storage}  # alive, so that no other takes an address
        self.hooks = [hook for module in self._names for hook in self._hooked(module)]

    def _hooked(self, module: nn.Module) -> Iterator[Any]:
        yield module.register_forward_pre_hook(self._start)
        yield module.register_forward_hook(self._stop, always_call=True)

    def _start(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        _check_channels(self._names[module], module, inputs)
        around, *_ = self._working[-1]
        name = self._names[module]
        tally = around.inside.setdefault(name, _Tally(name, module)) if name else self._root
        self._working.append((tally, self.products.macs, len(self.products.missed)))

    def _stop(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        tally, macs, missed = self._working.pop()
        tally.macs += self.products.macs - macs
        tally.not_counted += self.products.missed[missed:]
        if output is None:  # it gave nothing, or failed in a network that goes on
            return
        tally.works = True
        if tally.is_layer and not any(each.is_layer for each, *_ in self._working):
            values = sum(self._new(tensor) for tensor in tree_leaves(output))
            tally.activations += 0 if _is_unchanged(module, inputs, output) else values
        tally.shapes += [tuple(tensor.shape[1:]) for tensor in tree_leaves(output) if isinstance(tensor, Tensor)]
        if isinstance(output, Tensor):
            tally.shape = tuple(output.shape[1:])
            seen = self.fields.of(output) if output.ndim == 4 else None
            if seen is not None:
                tally.receptive_field = (seen[0].size, seen[1].size)
                tally.stride = (_plain(seen[0].stride), _plain(seen[1].stride))

    def _made(self, operation: str, result: Tensor) -> None:
        """Counts values that an operation made: between layers all of them, inside a layer only its output."""
        tally, *_ = self._working[-1]
        if not any(each.is_layer for each, *_ in self._working) and (values := self._new(result)):
            tally.activations += values
            tally.operations[operation] = None

    def _new(self, tensor: object) -> int:
        """Returns the values of a tensor that does not lie where another lay."""
        if not isinstance(tensor, Tensor) or (place := tensor.untyped_storage()._cdata) in self._storages:
            return 0
        self._storages[place] = tensor.untyped_storage()
        return tensor.numel()

    def part(self) -> Part:
        """Returns the whole network as a part."""
        return _part(self._root, claimed=set())


def _check_channels(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Raises `ValueError` for a convolution with a wrong number of input channels; torch's own names none on meta."""
    if not (isinstance(module, nn.Conv2d) and inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim >= 3):
        return
    if (channels := inputs[0].shape[-3]) != module.in_channels:
        raise ValueError(f"the convolution {name} takes {module.in_channels} channels, not {channels}")


def _is_unchanged(module: nn.Module, inputs: tuple[Any, ...], output: object) -> bool:
    """Returns whether a pooling to a fixed size got an image of that size: it then only copies its input."""
    pooling = isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d)
    return pooling and isinstance(output, Tensor) and inputs[0].shape == output.shape


def _part(tally: _Tally, *, claimed: set[nn.Parameter]) -> Part:
    """Returns a tally and those inside it as a part; parameters that are `claimed` count elsewhere."""
    closed = tally.is_layer
    own = [(key, value) for key, value in tally.module.named_parameters(recurse=closed) if value not in claimed]
    lists = [child for child in tally.module.children() if isinstance(child, nn.ParameterList | nn.ParameterDict)]
    own += [(key, value) for each in lists for key, value in each.named_parameters() if value not in claimed]
    claimed.update(value for _, value in own)
    names = dict.fromkeys(inside.module for inside in tally.inside.values())
    idle = [(k, child) for k, child in tally.module.named_children() if child not in (*names, *lists) and not closed]
    inside = [_part(each, claimed=claimed) for each in tally.inside.values() if not closed]
    inside += [_idle(f"{tally.name}.{key}".lstrip("."), child, claimed=claimed) for key, child in idle]
    inside = [part for part in inside if part.works or part.params]
    return Part(
        name=tally.name,
        operation=type(tally.module).__name__,
        detail=detail_of(tally.module) or ", ".join(tally.operations),
        shape=tally.shape,
        shapes=tuple(tally.shapes) if len(set(tally.shapes)) > 1 else (),
        params=sum(value.numel() for _, value in own) + sum(part.params for part in inside),
        weights=sum(value.numel() for key, value in own if "bias" not in key) + sum(part.weights for part in inside),
        macs=tally.macs,
        not_counted=tuple(sorted(tally.not_counted)),
        activations=tally.activations + sum(part.activations for part in inside),
        receptive_field=tally.receptive_field,
        stride=tally.stride,
        works=tally.works,
        parts=tuple(inside),
    )


def _idle(name: str, module: nn.Module, *, claimed: set[nn.Parameter]) -> Part:
    """Returns a module that did not work where it stands, with the parameters that nothing else has."""
    return _part(_Tally(name, module), claimed=claimed)


def _plain(stride: int | Fraction) -> float:
    """Returns a stride as an ordinary number, whole where it is."""
    return int(stride) if stride == int(stride) else float(stride)
