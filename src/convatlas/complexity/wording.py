"""Describes a layer in the words of the papers' tables: its kernel, its width, its stride."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch import nn

LONGEST = 60  # characters of a detail in a layer's own words


def detail_of(module: nn.Module) -> str:
    """Returns the description of a layer beside its class: (kernel, outputs, stride, groups) or its own words.

    >>> detail_of(nn.Conv2d(16, 32, 3, stride=2, padding=1)), detail_of(nn.Linear(16, 10)), detail_of(nn.ReLU())
    ('3 x 3, 32, stride 2', '10', '')
    """
    return ", ".join(_words(module)) if not any(module.children()) else ""


def _words(module: nn.Module) -> Iterable[str]:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        yield from _windowed(module)
    elif isinstance(module, nn.Linear):
        yield str(module.out_features)
    elif isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        stride = module.stride if module.stride is not None else module.kernel_size
        yield from (_sides(module.kernel_size), f"stride {_short(stride)}")
    elif isinstance(module, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        yield f"to {_sides(module.output_size)}"
    elif isinstance(module, nn.GroupNorm):
        yield f"{module.num_groups} groups"
    elif isinstance(module, nn.Dropout | nn.Dropout2d):
        yield f"{module.p:g}"
    elif not isinstance(module, nn.modules.batchnorm._BatchNorm | nn.Flatten):
        words = re.sub(r",? ?inplace=(True|False)", "", module.extra_repr())
        yield from [words] if 0 < len(words) <= LONGEST else []


def _windowed(conv: nn.Conv2d | nn.ConvTranspose2d) -> Iterable[str]:
    yield _sides(conv.kernel_size)
    yield str(conv.out_channels)
    if set(conv.stride) != {1}:
        yield f"stride {_short(conv.stride)}"
    if set(conv.dilation) != {1}:
        yield f"dilation {_short(conv.dilation)}"
    if conv.groups > 1:
        yield "depthwise" if conv.groups == conv.in_channels else f"{conv.groups} groups"


def _sides(size: Any) -> str:
    return " x ".join(map(str, size)) if isinstance(size, tuple | list) else f"{size} x {size}"


def _short(size: Any) -> str:
    """Returns one number where all sides are equal."""
    if isinstance(size, tuple | list):
        return str(size[0]) if len(set(size)) == 1 else _sides(size)
    return str(size)
