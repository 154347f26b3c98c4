"""The parts of EfficientNets: the baseline's table, squeeze and excitation, and two kinds of padding."""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Paper
from convatlas.architectures.efficientnet.scaling import scaled_rows, scaled_width
from convatlas.errors import UsageError
from convatlas.layers import (
    ConvNormAct,
    InvertedRow,
    Layer,
    SamePadding,
    SqueezeExcite,
    activation_layer,
    inverted_residual,
    inverted_stages,
    sequential,
)

SILU = activation_layer("silu")
STEM, LAST = 32, 1280  # channels of the stem and of the last convolution
SQUEEZE = 4  # a gate has one squeezed channel for so many input channels of its block

# Table 1, stages 2 to 8: MBConv1 and MBConv6.
TABLE_1 = (
    InvertedRow(expansion=1, kernel=3, stride=1, width=16, depth=1),
    InvertedRow(expansion=6, kernel=3, stride=2, width=24, depth=2),
    InvertedRow(expansion=6, kernel=5, stride=2, width=40, depth=2),
    InvertedRow(expansion=6, kernel=3, stride=2, width=80, depth=3),
    InvertedRow(expansion=6, kernel=5, stride=1, width=112, depth=3),
    InvertedRow(expansion=6, kernel=5, stride=2, width=192, depth=4),
    InvertedRow(expansion=6, kernel=3, stride=1, width=320, depth=1),
)

# Parameters and MACs of all forms at ImageNet size. Both kinds of padding have the same counts.
COUNTS = {
    "b0": (5_288_548, 385_814_752),
    "b1": (7_794_184, 686_802_832),
    "b2": (9_109_994, 993_561_872),
    "b3": (12_233_232, 1_827_141_392),
    "b4": (19_341_616, 4_393_771_024),
    "b5": (30_389_784, 10_266_384_752),
    "b6": (43_040_704, 19_067_593_536),
    "b7": (66_347_960, 37_745_884_192),
    "l2": (480_309_308, 475_703_653_280),
}

PAPER = Paper(
    "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
    "Tan, Le",
    2019,
    "https://arxiv.org/abs/1905.11946",
)


def squeeze_excite(channels: int, in_channels: int) -> SqueezeExcite:
    """Builds the gate of a block, which squeezes to a quarter of the block's input channels.

    (N, channels, H, W) -> (N, channels, H, W).
    """
    return SqueezeExcite(channels, max(1, in_channels // SQUEEZE), act=SILU)


def same_conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    norm: Layer = nn.BatchNorm2d,
    act: Layer | None = SILU,
) -> nn.Sequential:
    """Builds `ConvNormAct` with TensorFlow's padding: (N, in_channels, H, W) -> (N, out, ceil(H / stride), ...)."""
    if stride == 1:  # here both kinds of padding are equal
        return ConvNormAct(in_channels, out_channels, kernel, groups=groups, norm=norm, act=act)
    layers = ConvNormAct(in_channels, out_channels, kernel, stride=stride, padding=0, groups=groups, norm=norm, act=act)
    return sequential(pad=SamePadding(kernel, stride), **dict(layers.named_children()))


def scaled_body(
    in_channels: int, conv: Layer, *, width: float, depth: float, stochastic_depth: float
) -> dict[str, nn.Module]:
    """Builds all stages before the pooling, by name: (N, in_channels, H, W) -> (N, 1280 * width, H / 32, W / 32)."""
    stem_channels = scaled_width(STEM, width)
    rows = scaled_rows(TABLE_1, width=width, depth=depth)
    block = partial(inverted_residual, conv=conv, gate=squeeze_excite)
    return {
        "stem": conv(in_channels, stem_channels, 3, stride=2),
        **inverted_stages(stem_channels, rows, block=block, skipped=stochastic_depth),
        "conv": conv(rows[-1].width, scaled_width(LAST, width), 1),
    }


def check_norm(*, epsilon: float, momentum: float) -> None:
    """Raises `UsageError` unless epsilon > 0 and 0 < momentum <= 1."""
    if not epsilon > 0:
        raise UsageError(f"epsilon={epsilon} of the norms must be above 0")
    if not 0 < momentum <= 1:
        raise UsageError(f"momentum={momentum} of the norms must be above 0 and at most 1")
