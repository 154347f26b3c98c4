"""Pre-activation bottlenecks, and stages of pre-activation units: norm and activation stand before each convolution.

He, Zhang, Ren, Sun 2016, https://arxiv.org/abs/1603.05027. `norm` and `conv` are constructors, called as
`norm(channels)` and as `nn.Conv2d`. The units therefore serve batch and group norm, and plain and standardised
convolutions.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convatlas.layers.blocks import NormActConv, Residual, sequential
from convatlas.layers.initialization import Layer

Unit = Callable[..., nn.Module]


def shared_preactivation(
    in_channels: int, branch: nn.Module, *, shortcut: nn.Module | None, norm: Layer, act: Layer
) -> nn.Sequential:
    """Builds a unit whose norm and activation serve both branch and shortcut: (N, in, H, W) -> (N, out, H', W')."""
    return sequential(norm=norm(in_channels), act=act(), paths=Residual(branch, shortcut=shortcut))


def preactivation_bottleneck(
    channels: int, *, act: Layer, norm: Layer = nn.BatchNorm2d, conv: Layer = nn.Conv2d
) -> Residual:
    """Builds 1x1, 3x3 and 1x1 convolutions with a quarter of the channels inside: (N, channels, H, W) -> same shape."""
    width = channels // 4
    branch = sequential(
        conv1=NormActConv(channels, width, 1, norm=norm, act=act, conv=conv),
        conv2=NormActConv(width, width, 3, norm=norm, act=act, conv=conv),
        conv3=NormActConv(width, channels, 1, norm=norm, act=act, conv=conv),
    )
    return Residual(branch)


def preactivation_first_bottleneck(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, norm: Layer, conv: Layer
) -> nn.Module:
    """Builds the first unit of a stage, with the stride on the 3x3: (N, in, H, W) -> (N, out, H / stride, W / stride).

    The shortcut is a 1x1 convolution of the activated input, without a norm. Where the shape stays, the unit is an
    ordinary `preactivation_bottleneck`.
    """
    if stride == 1 and in_channels == out_channels:
        return preactivation_bottleneck(out_channels, act=act, norm=norm, conv=conv)
    width = out_channels // 4
    branch = sequential(
        conv1=conv(in_channels, width, 1, bias=False),
        conv2=NormActConv(width, width, 3, stride=stride, norm=norm, act=act, conv=conv),
        conv3=NormActConv(width, out_channels, 1, norm=norm, act=act, conv=conv),
    )
    shortcut = conv(in_channels, out_channels, 1, stride, bias=False)
    return shared_preactivation(in_channels, branch, shortcut=shortcut, norm=norm, act=act)


def preactivation_stages(
    channels: int, *, depths: tuple[int, ...], widths: tuple[int, ...], first_unit: Unit, next_unit: Unit
) -> dict[str, nn.Module]:
    """Builds stages of `depths` units of `widths` channels, by name; each stage but the first halves height and width.

    `first_unit` takes the channels before the stage, the channels in the stage and the stride. `next_unit` takes the
    channels in the stage.
    """
    stages: dict[str, nn.Module] = {}
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        first = first_unit(channels, width, stride=1 if index == 1 else 2)
        stages[f"stage{index}"] = nn.Sequential(first, *(next_unit(width) for _ in range(depth - 1)))
        channels = width
    return stages
