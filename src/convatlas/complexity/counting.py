"""What a network costs: parameters, multiply-adds, stages; counted on the meta device, without memory or arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.complexity.receptive_field import Fields
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryHeads

UNFIT = (RuntimeError, ValueError, IndexError, TypeError)  # what a network may raise for an image that does not fit


@dataclass(frozen=True)
class Part:
    """A module in a network: its output shape for one image, its parameters and its multiply-adds.

    `receptive_field` are the rows and columns of the image, with padding, on which a value of the output can depend,
    `stride` how far the fields of neighbours are apart; both None where the output has no rows and columns.
    """

    name: str
    operation: str
    shape: tuple[int, ...]
    params: int
    macs: int
    receptive_field: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None


@dataclass(frozen=True)
class Complexity:
    """Parameters and MACs (multiply-adds of convolutions and matrix products) for one image of `shape` (C, H, W).

    `stages` are the network's named children, `layers` the modules without children, both in the order they work.
    """

    shape: tuple[int, int, int]
    params: int
    macs: int
    stages: tuple[Part, ...]
    layers: tuple[Part, ...]


def complexity(
    row: Architecture,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    image_size: int | None = None,
    **options: Any,
) -> Complexity:
    """Counts a network at its declared image size, class count and channels, or at others.

    Raises `UsageError` where the network cannot take the image, and for what `Architecture.build` refuses.

    >>> complexity(architecture("resnet_uva")).params
    272378
    """
    channels = row.in_channels if in_channels is None else in_channels
    network = meta_network(row, num_classes=num_classes, in_channels=channels, **options)
    return network_complexity(row, network, in_channels=channels, image_size=image_size or row.image_size)


def network_complexity(row: Architecture, network: nn.Module, *, in_channels: int, image_size: int) -> Complexity:
    """Counts a network of this row that lies on the meta device. Raises `UsageError` with the sizes that it takes."""
    try:
        return count(network, _image(in_channels, image_size), name=row.name)
    except UsageError as error:
        said = _sizes_said(network, in_channels, size=image_size, own=row.image_size)
        raise UsageError(f"{error}{said}") from error


def check_training(
    row: Architecture, network: nn.Module, *, in_channels: int, image_size: int, images: int = 2
) -> None:
    """Raises `UsageError` where the network cannot be trained on images of this size, though it may answer for them.

    That is where auxiliary heads, which work in training only, take a fixed size, and where a batch norm sees one value
    a channel: `images` is how many there are at least in a batch. `network` is of this row, on the meta device.
    """
    network.train()
    one, two = (partial(_takes, network, in_channels, image_size, images=count) for count in (1, 2))
    if images == 1 and two() and not one():
        raise UsageError(
            f"{row.name} cannot be trained on one image of {image_size} pixels at a time, which some batch or part of "
            "one would have: its norms see a single value; change batch_size or accumulate"
        )
    if not any(isinstance(module, AuxiliaryHeads) for module in network.modules()):
        return
    if not _takes(network, in_channels, image_size):
        said = _sizes_said(network, in_channels, size=image_size, own=row.image_size)
        raise UsageError(f"the auxiliary heads of {row.name} cannot take an image of {image_size} pixels{said}")


def meta_network(row: Architecture, **arguments: Any) -> nn.Module:
    """The network in eval mode without memory."""
    try:
        with torch.device("meta"):
            network = row.build(**arguments)
    except UsageError:  # a builder may compute with tensors, which the meta device cannot
        with torch.random.fork_rng(devices=[]):
            network = row.build(**arguments).to("meta")
    return network.eval()


def _image(channels: int, size: int) -> Tensor:
    return torch.empty(1, channels, size, size, device="meta")


def _sizes_said(network: nn.Module, channels: int, *, size: int, own: int) -> str:
    """Which images the network takes, where it does not take one of `size` pixels but takes one of its `own` size."""
    if not _takes(network, channels, own):
        return ""
    if size > own:
        return f"; it is made for {own} x {own} pixels"
    refused, taken = size, own
    while taken - refused > 1:
        middle = (refused + taken) // 2
        refused, taken = (refused, middle) if _takes(network, channels, middle) else (middle, taken)
    return f"; the smallest that it takes has {taken} x {taken} pixels"


def _takes(network: nn.Module, channels: int, size: int, *, images: int = 2) -> bool:
    """Whether the network gives an answer for images of `size` pixels; in training, a norm may need more than one."""
    try:
        with torch.no_grad():
            network(_image(channels, size).expand(images, -1, -1, -1))
    except UNFIT:
        return False
    return True


def count(network: nn.Module, image: Tensor, *, name: str) -> Complexity:
    """Counts a network on one image (1, C, H, W); both on the meta device. `name` stands in the error."""
    counter, fields = FlopCounterMode(display=False), Fields(image)
    children = dict(network.named_children())
    leaves = {path: module for path, module in network.named_modules() if path and not any(module.children())}
    parts: dict[str, Part] = {}
    hooks = [
        hook
        for path, module in {**children, **leaves}.items()
        for hook in _hooks(path, module, counter=counter, fields=fields, parts=parts)
    ]
    channels, height, width = image.shape[1:]
    try:
        with fields, counter, torch.no_grad():
            network(image)
    except UNFIT as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{name} cannot take an image of {channels} x {height} x {width}: {reason}") from error
    finally:
        for hook in hooks:
            hook.remove()
    stages, layers = (tuple(part for path, part in parts.items() if path in which) for which in (children, leaves))
    return Complexity(
        (channels, height, width), parameter_count(network), counter.get_total_flops() // 2, stages, layers
    )


def _hooks(
    path: str, module: nn.Module, *, counter: FlopCounterMode, fields: Fields, parts: dict[str, Part]
) -> tuple[Any, Any]:
    """Hooks that add the module to `parts` when it has worked."""
    before = 0

    def start(_module: nn.Module, _inputs: object) -> None:
        nonlocal before
        before = counter.get_total_flops()

    def stop(_module: nn.Module, _inputs: object, output: object) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else ()
        macs = (counter.get_total_flops() - before) // 2
        seen = fields.of(output) if isinstance(output, Tensor) and output.ndim == 4 else None
        field = None if seen is None else (seen[0].size, seen[1].size)
        stride = None if seen is None else (seen[0].stride, seen[1].stride)
        parts[path] = Part(path, type(module).__name__, shape, parameter_count(module), macs, field, stride)

    return module.register_forward_pre_hook(start), module.register_forward_hook(stop)


def parameter_count(module: nn.Module) -> int:
    """The number of learned values, a shared parameter once."""
    return sum(parameter.numel() for parameter in module.parameters())


def outline(name: str) -> str:
    """The stages of a registered network, one a line: name, output shape of one image, parameters."""
    stages = complexity(architecture(name)).stages
    shapes = [" x ".join(str(n) for n in stage.shape) for stage in stages]
    width = max(len(stage.name) for stage in stages)
    shape_width = max(len(shape) for shape in shapes)
    return "\n".join(
        f"{stage.name:<{width}}  {shape:>{shape_width}}  {stage.params:>10,}"
        for stage, shape in zip(stages, shapes, strict=True)
    )
