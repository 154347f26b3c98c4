"""Counts a registered network: parameters, multiply-adds, stages, and the image sizes that it can take."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.architectures.meta import without_memory
from convatlas.complexity.counting import UNFIT, count
from convatlas.complexity.parts import Complexity, output_of
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryHeads


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
        with row.guard(f"cannot take an image of {image_size} pixels"):
            return count(network, _image(in_channels, image_size), name=row.name)
    except UsageError as error:
        said = _sizes_said(network, in_channels, size=image_size, own=row.image_size)
        if not said:  # the size is not to blame: the reason may help the author of the network
            raise
        shape = f"{in_channels} x {image_size} x {image_size}"
        raise UsageError(f"{row.name} cannot take an image of {shape}{said}") from error


def check_training(
    row: Architecture, network: nn.Module, *, in_channels: int, image_size: int, images: int = 2
) -> None:
    """Raises `UsageError` where the network cannot be trained on images of this size, though it may answer for them.

    That is where auxiliary heads, which work in training only, take a fixed size, and where a batch norm sees one value
    a channel: `images` is how many there are at least in a batch. `network` is of this row, on the meta device.
    """
    with row.guard(f"cannot be trained on images of {image_size} pixels"):
        _check_training(row, network, in_channels=in_channels, image_size=image_size, images=images)


def _check_training(row: Architecture, network: nn.Module, *, in_channels: int, image_size: int, images: int) -> None:
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
    """Returns the network in eval mode without memory."""
    try:
        network = without_memory(row, **arguments)
    except UsageError:  # a builder may compute with tensors, which the meta device cannot
        with torch.random.fork_rng(devices=[]):
            network = row.build(**arguments).to("meta")
    return network.eval()


def _image(channels: int, size: int) -> Tensor:
    return torch.empty(1, channels, size, size, device="meta")


def _sizes_said(network: nn.Module, channels: int, *, size: int, own: int) -> str:
    """Returns the sizes that the network takes, when it takes its `own` size but not images of `size` pixels."""
    if size > own:
        return f"; it is made for {own} x {own} pixels" if _takes(network, channels, own) else ""
    taken = smallest_size(network, channels, size=size, own=own)
    return "" if taken is None else f"; the smallest that it takes has {taken} x {taken} pixels"


def smallest_size(network: nn.Module, channels: int, *, size: int, own: int) -> int | None:
    """Returns the smallest image size up to `own` that the network takes in its mode; None if it does not take `own`.

    `network` lies on the meta device and does not take images of `size` pixels. If these are larger than `own`, it is
    `own`.
    """
    if size == own or not _takes(network, channels, own):
        return None
    if size > own:
        return own
    refused, taken = size, own
    while taken - refused > 1:
        middle = (refused + taken) // 2
        refused, taken = (refused, middle) if _takes(network, channels, middle) else (middle, taken)
    return taken


def _takes(network: nn.Module, channels: int, size: int, *, images: int = 2) -> bool:
    """Returns whether the network answers images of `size` pixels; in training a norm may need more than one value."""
    try:
        with torch.no_grad():
            network(_image(channels, size).expand(images, -1, -1, -1))
    except UNFIT:
        return False
    return True


def outline(name: str) -> str:
    """Returns the stages of a registered network, one a line: name, output shape of one image, parameters."""
    stages = complexity(architecture(name)).stages
    shapes = [output_of(stage) for stage in stages]
    width = max(len(stage.name) for stage in stages)
    shape_width = max(len(shape) for shape in shapes)
    return "\n".join(
        f"{stage.name:<{width}}  {shape:>{shape_width}}  {stage.params:>10,}"
        for stage, shape in zip(stages, shapes, strict=True)
    )
