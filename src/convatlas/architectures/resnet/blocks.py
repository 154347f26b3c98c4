"""The blocks of the residual networks, and stages made of them."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from convatlas.layers import ConvNormAct, Layer, Residual, ZeroPadShortcut, sequential

Block = Callable[..., nn.Module]  # (in_channels, out_channels, *, stride) -> block


def basic_branch(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Two 3x3 convolutions, without the last activation: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=None),
    )


def plain_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Two 3x3 convolutions without a shortcut: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    return sequential(
        conv1=ConvNormAct(in_channels, out_channels, 3, stride=stride, act=act),
        conv2=ConvNormAct(out_channels, out_channels, 3, act=act),
    )


def option_a_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Figure 2 with option A of section 3.3, zero channels: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    same = stride == 1 and in_channels == out_channels
    shortcut = None if same else ZeroPadShortcut(in_channels, out_channels, stride=stride)
    return Residual(basic_branch(in_channels, out_channels, stride=stride, act=act), shortcut=shortcut, act=act())


def projection(in_channels: int, out_channels: int, *, stride: int) -> ConvNormAct | None:
    """Option B of section 3.3, a 1x1 convolution and norm where the size changes, else None, the identity."""
    if stride == 1 and in_channels == out_channels:
        return None
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, act=None)


def option_b_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """Figure 2 with option B of section 3.3, projection: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    branch = basic_branch(in_channels, out_channels, stride=stride, act=act)
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def bottleneck_branch(
    in_channels: int, out_channels: int, *, stride: int, act: Layer, groups: int, group_width: int
) -> nn.Sequential:
    """Figure 5 right, 1x1, 3x3 and 1x1 convolutions, without the last activation; the stride is the 3x3's (v1.5).

    (N, in, H, W) -> (N, out, H / stride, W / stride). The 3x3 has `groups` groups of `group_width` channels where the
    block has 256 outputs, and as many times more as it has more outputs.
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
    """The bottleneck of the published weights, v1.5: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    branch = bottleneck_branch(
        in_channels, out_channels, stride=stride, act=act, groups=groups, group_width=group_width
    )
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def bottleneck_v1_branch(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> nn.Sequential:
    """Figure 5 right as the paper has it, the stride is the first 1x1's: (N, in, H, W) -> (N, out, H / stride, ...)."""
    inner = out_channels // 4
    return sequential(
        conv1=ConvNormAct(in_channels, inner, 1, stride=stride, act=act),
        conv2=ConvNormAct(inner, inner, 3, act=act),
        conv3=ConvNormAct(inner, out_channels, 1, act=None),
    )


def bottleneck_v1_block(in_channels: int, out_channels: int, *, stride: int, act: Layer) -> Residual:
    """The paper's bottleneck, with the stride on the first 1x1: (N, in, H, W) -> (N, out, H / stride, W / stride)."""
    branch = bottleneck_v1_branch(in_channels, out_channels, stride=stride, act=act)
    return Residual(branch, shortcut=projection(in_channels, out_channels, stride=stride), act=act())


def residual_stages(
    channels: int, *, depths: tuple[int, ...], widths: tuple[int, ...], block: Block
) -> dict[str, nn.Module]:
    """Stages of `depths` blocks of `widths` channels, by name; each but the first halves height and width."""
    stages: dict[str, nn.Module] = {}
    for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        first = block(channels, width, stride=1 if index == 1 else 2)
        stages[f"stage{index}"] = nn.Sequential(first, *(block(width, width, stride=1) for _ in range(depth - 1)))
        channels = width
    return stages
