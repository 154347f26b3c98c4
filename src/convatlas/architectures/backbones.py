"""Backbones: the features that named stages of a registered network give, for networks that look at several scales."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.architectures import architecture
from convatlas.architectures.meta import without_memory
from convatlas.device.meta import Watcher, carried_out
from convatlas.errors import UsageError

STRIDES = (8, 16, 32)  # of the levels 3, 4 and 5
PIXELS = 128  # of the image that tells the stages' strides
STAGE = re.compile(r"(stage|block)\d+")
Levels = tuple[Tensor, ...]  # features of an image, the finest level first


class Backbone(nn.Sequential):
    """A chain of named stages that gives the features of the `tapped` ones: (N, C, H, W) -> `Levels`.

    The keys of its tensors are those of the network that it is taken from.
    """

    def __init__(self, stages: Mapping[str, nn.Module], *, tapped: tuple[str, ...]) -> None:
        super().__init__(OrderedDict(stages))
        self.tapped = tapped

    def forward(self, images: Tensor) -> Levels:
        features, levels = images, []
        for name, stage in self.named_children():
            features = stage(features)
            if name in self.tapped:
                levels.append(features)
        return tuple(levels)


def build_backbone(name: str, *, in_channels: int) -> Backbone:
    """Builds the stages of a registered network, without what follows its last tapped stage, freshly initialised.

    The last stage of each of `STRIDES` is tapped. Raises `UsageError` for a network that has no such stages.
    """
    tapped = tuple(tapped_stages(name))
    children = dict(architecture(name).build(in_channels=in_channels).named_children())
    kept = list(children)[: list(children).index(tapped[-1]) + 1]
    return Backbone({child: children[child] for child in kept}, tapped=tapped)


@cache
def tapped_stages(name: str) -> Mapping[str, int]:
    """Returns the last stage of each of `STRIDES`, with its channels, in the order of the strides.

    >>> tapped_stages("resnet50")
    {'stage2': 512, 'stage3': 1024, 'stage4': 2048}
    """
    row = architecture(name)
    network = without_memory(row) if row.task == "classification" else None
    if network is None or type(network).forward is not nn.Sequential.forward:
        raise UsageError(f"{name} cannot be a backbone: it is no chain of stages; take one such as resnet50")
    found = [_last_stages(network.eval(), row.in_channels).get(stride) for stride in STRIDES]
    if None in found:
        raise UsageError(
            f"{name} cannot be a backbone: it has no stages at an 8th, a 16th and a 32nd of the image's size; "
            "take one such as resnet50"
        )
    return dict(each for each in found if each is not None)


def _last_stages(network: nn.Module, in_channels: int) -> dict[int, tuple[str, int]]:
    """Returns the last stage of each stride and its channels, for a network on the meta device."""
    last: dict[int, tuple[str, int]] = {}
    features = torch.empty(1, in_channels, PIXELS, PIXELS, device="meta")
    with torch.no_grad(), _Shapes():  # type: ignore[no-untyped-call]
        for name, stage in network.named_children():
            if name == "head":
                break
            features = stage(features)
            if STAGE.fullmatch(name):
                last[PIXELS // features.shape[-1]] = name, features.shape[1]
    return last


class _Shapes(Watcher):  # type: ignore[no-untyped-call]
    """A mode in which the meta device is quick."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return carried_out(func, args, kwargs or {})
