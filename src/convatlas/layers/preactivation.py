"""Pre-activation bottlenecks, and stages of pre-activation units: norm and activation stand before each convolution.

He, Zhang, Ren, Sun 2016, https://arxiv.org/abs/1603.05027. `norm` and `conv` are constructors: `norm(channels)`, and
`conv` as `nn.Conv2d`, so that the units serve batch and group norm, plain and standardised convolutions.
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
    """A unit whose norm and activation come before the two paths part: (N, in, H, W) -> (N, out, H', W')."""
    return sequential(norm=norm(in_channels), act=act(), paths=Residual(branch, shortcut=shortcut))


def preactivation_bottleneck(
    channels: int, *, act: Layer, norm: Layer = nn.BatchNorm2d, conv: Layer = nn.Conv2d
) -> Residual:
    """1x1, 3x3 and 1x1 convolutions, a quarter of the channels inside: (N, channels, H, W) -> the same."""
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
    """The first unit of a stage, with the stride on the 3x3: (N, in, H, W) -> (N, out, H / stride, W / stride).

    The shortcut is a 1x1 convolution of the activated input, without a norm; where the shape stays, the unit is like
    the others.
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
    """Stages of `depths` units of `widths` channels, by name; each but the first halves height and width.

    `first_unit` takes the channels before and in the stage and the stride, `next_unit` the channels in the stage.
    """
    stages: dict[str, nn.Module] = {}
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        first = first_unit(channels, width, stride=1 if index == 1 else 2)
        stages[f"stage{index}"] = nn.Sequential(first, *(next_unit(width) for _ in range(depth - 1)))
        channels = width
    return stages
