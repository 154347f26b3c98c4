"""The blocks of the residual networks, and stages of these blocks."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convatlas.layers import ConvNormAct, Layer, Residual, ZeroPadShortcut, sequential

Block = Callable[..., nn.Module]  # (in_channels, out_channels, *, stride) -> block


def basic_branch(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Builds two 3x3 convolutions without the last activation: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=None),
    )


def plain_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Builds two 3x3 convolutions without a shortcut: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=act),
    )


def option_a_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Builds figure 2 with option A of section 3.3, zero channels: (N, in, H, W) -> (N, out, H / stride, ...)."""
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else ZeroPadShortcut(in_channels, out_channels, stride=stride)
    return Residual(basic_branch(in_channels, out_channels, stride=stride, act=act), shortcut=shortcut, act=act())


def projection(in_channels: int, out_channels: int, *, stride: int) -> ConvNormAct | None:
    """Builds option B of section 3.3, a 1x1 convolution and norm, or returns None where the size does not change."""
    if stride == 1 and in_channels == out_channels:
        return None
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, act=None)


def option_b_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Builds figure 2 with option B of section 3.3, projection: (N, in, H, W) -> (N, out, H / stride, ...)."""
    branch = basic_branch(in_channels, out_channels, stride=stride, act=act)
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def bottleneck_branch(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, groups: int, group_width: int
) -> nn.Sequential:
    """Builds figure 5 right without the last activation: 1x1, 3x3 and 1x1 convolutions, the stride on the 3x3 (v1.5).

    (N, in, H, W) -> (N, out, H / stride, W / stride). In a block of 256 outputs the 3x3 has `groups` groups of
    `group_width` channels. The width of a group grows in proportion to the outputs.
    """
    inner = groups * group_width * out_channels // 256
    return sequential(
        conv1=ConvNormAct(in_channels, inner, 1, act=act),
        conv2=ConvNormAct(inner, inner, 3, stride=stride, groups=groups, act=act),
        conv3=ConvNormAct(inner, out_channels, 1, act=None),
    )


def bottleneck_block(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, groups: int = 1, group_width: int = 64
) -> Residual:
    """Builds the bottleneck of the published weights, v1.5: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    branch = bottleneck_branch(
        in_channels, out_channels, stride=stride, act=act, groups=groups, group_width=group_width
    )
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def bottleneck_v1_branch(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Builds the paper's figure 5 right, the stride on the first 1x1: (N, in, H, W) -> (N, out, H / stride, ...)."""
    inner = out_channels // 4
    return sequential(
        conv1=ConvNormAct(in_channels, inner, 1, stride=stride, act=act),
        conv2=ConvNormAct(inner, inner, 3, act=act),
        conv3=ConvNormAct(inner, out_channels, 1, act=None),
    )


def bottleneck_v1_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Builds the paper's bottleneck, with the stride on the first 1x1: (N, in, H, W) -> (N, out, H / stride, ...)."""
    branch = bottleneck_v1_branch(in_channels, out_channels, stride=stride, act=act)
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def residual_stages(
    channels: int, *, depths: tuple[int, ...], widths: tuple[int, ...], block: Block
) -> dict[str, nn.Module]:
    """Builds stages of `depths` blocks of `widths` channels, by name; each but the first halves height and width."""
    stages: dict[str, nn.Module] = {}
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        first = block(channels, width, stride=1 if index == 1 else 2)
        stages[f"stage{index}"] = nn.Sequential(first, *(block(width, width, stride=1) for _ in range(depth - 1)))
        channels = width
    return stages
