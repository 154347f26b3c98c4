"""The parts of Inception-ResNets: inception modules whose output is scaled down and added to their input.

Szegedy, Ioffe, Vanhoucke, Alemi. Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.
AAAI 2017. https://arxiv.org/abs/1602.07261; sections, figures and tables are this paper's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from convatlas.architectures.inception.blocks import (
    CONV,
    RELU,
    STRIDED,
    VALID,
    double_3x3,
    factorized,
    grid_reduction,
)
from convatlas.architectures.inception.v4 import reduction_a
from convatlas.architectures.inception.v4_keys import layer_keys
from convatlas.errors import UsageError
from convatlas.layers import (
    Concat,
    Layer,
    Residual,
    Scale,
    check_counts,
    check_dropout,
    initialize_xavier,
    pointwise,
    sequential,
)

WidthsA = tuple[int, tuple[int, int], tuple[int, int, int]]  # 1x1; 1x1, 3x3; 1x1, 3x3, 3x3
WidthsB = tuple[int, tuple[int, int, int]]  # 1x1; 1x1, 1xn, nx1; also for blocks C
ReductionA = tuple[int, int, int, int]  # k, l, m, n of table 1: 1x1, 3x3, 3x3 of the double branch; 3x3
ReductionB = tuple[tuple[int, int], tuple[int, int], tuple[int, int, int]]  # 1x1, 3x3; 1x1, 3x3; 1x1, 3x3, 3x3

SCALES = (0.17, 0.10, 0.20)  # the scales of the blocks A, B and C in the released code


@dataclass(frozen=True)
class Widths:
    """The output channels of all convolutions in a network's modules, in the order of figure 15."""

    a: WidthsA
    reduction_a: ReductionA
    b: WidthsB
    reduction_b: ReductionB
    c: WidthsB


def first_layers(in_channels: int) -> dict[str, nn.Module]:
    """Builds the first layers of the stems of figure 14 and of Inception-v3, by name.

    (N, in_channels, 299, 299) -> (N, 192, 71, 71).
    """
    return {
        "conv1": VALID(in_channels, 32, 3, stride=2),
        "conv2": VALID(32, 32, 3),
        "conv3": CONV(32, 64, 3),
        "pool1": STRIDED(),
        "conv4": CONV(64, 80, 1),
        "conv5": VALID(80, 192, 3),
    }


def block_a(channels: int, widths: WidthsA, *, scale: float) -> Residual:
    """Builds Inception-ResNet-A, figures 10 and 16: (N, channels, H, W) -> (N, channels, H, W)."""
    single, (reduce, width), double = widths
    mixed = Concat(
        branch1x1=CONV(channels, single, 1),
        branch3x3=sequential(reduce=CONV(channels, reduce, 1), conv=CONV(reduce, width, 3)),
        branch_double=double_3x3(channels, double),
    )
    return scaled_residual(mixed, single + width + double[-1], channels, scale=scale)


def factorized_block(channels: int, widths: WidthsB, *, n: int, scale: float, act: Layer | None = RELU) -> Residual:
    """Builds Inception-ResNet-B (n = 7), figures 11 and 17, or -C (n = 3), figures 13 and 19; the shape stays.

    `act=None` leaves the sum without an activation.
    """
    single, (reduce, row, column) = widths
    branch = sequential(reduce=CONV(channels, reduce, 1), conv=factorized(reduce, (row, column), n))
    mixed = Concat(branch1x1=CONV(channels, single, 1), **{f"branch{n}x{n}": branch})
    return scaled_residual(mixed, single + column, channels, scale=scale, act=act)


def scaled_residual(
    mixed: nn.Module, in_channels: int, channels: int, *, scale: float, act: Layer | None = RELU
) -> Residual:
    """Builds the sum of a block's input and `scale` times the output of its branches, section 3.3 and figure 20.

    `mixed` gives `in_channels` channels. A 1x1 convolution without norm and activation expands them to the block's
    `channels`.
    """
    branch = sequential(mixed=mixed, expand=pointwise(in_channels, channels), scale=Scale(scale))
    return Residual(branch, act=None if act is None else act())


def reduction_b(in_channels: int, widths: ReductionB) -> Concat:
    """Builds Reduction-B, figures 12 and 18: (N, in_channels, 17, 17) -> (N, last widths + in_channels, 8, 8)."""
    first, second, double = widths
    return grid_reduction(
        branch3x3_1=_strided(in_channels, first),
        branch3x3_2=_strided(in_channels, second),
        branch_double=double_3x3(in_channels, double, stride=2, padding=0),
    )


def _strided(in_channels: int, widths: tuple[int, int]) -> nn.Sequential:
    reduce, width = widths
    return sequential(reduce=CONV(in_channels, reduce, 1), conv=VALID(reduce, width, 3, stride=2))


def residual_stages(
    channels: int, widths: Widths, *, depths: tuple[int, ...], scales: tuple[float, ...]
) -> tuple[dict[str, nn.Sequential | Concat], int]:
    """Builds the stages of figure 15 between stem and head, by name; returns also the channels after them.

    `depths` are the numbers of blocks A, B and C; `scales` are their factors.
    """
    (a, b, c), (scale_a, scale_b, scale_c) = depths, scales
    after_a = channels + widths.reduction_a[-1] + widths.reduction_a[-2]
    after_b = after_a + sum(branch[-1] for branch in widths.reduction_b)
    stages: dict[str, nn.Sequential | Concat] = {
        "stage1": nn.Sequential(*(block_a(channels, widths.a, scale=scale_a) for _ in range(a))),
        "reduction1": reduction_a(channels, widths.reduction_a),
        "stage2": nn.Sequential(
            *(factorized_block(after_a, widths.b, n=7, scale=scale_b) for _ in range(b)),
        ),
        "reduction2": reduction_b(after_a, widths.reduction_b),
        "stage3": nn.Sequential(
            *(factorized_block(after_b, widths.c, n=3, scale=scale_c) for _ in range(c)),
        ),
    }
    return stages, after_b


def stages_with_linear_end(
    channels: int, widths: Widths, *, depths: tuple[int, ...], scales: tuple[float, ...]
) -> tuple[dict[str, nn.Sequential | Concat], int]:
    """Builds `residual_stages` as in the release: the last block C is neither scaled nor rectified."""
    a, b, c = depths
    stages, end = residual_stages(channels, widths, depths=(a, b, c - 1), scales=scales)
    blocks = stages["stage3"]
    assert isinstance(blocks, nn.Sequential)
    blocks.append(factorized_block(end, widths.c, n=3, scale=1.0, act=None))
    return stages, end


def check_options(depths: tuple[int, ...], scales: tuple[float, ...], dropout: float) -> None:
    """Raises `UsageError` unless there are three counts and three positive scales, and 0 <= dropout < 1."""
    check_counts(depths=depths)
    if len(depths) != 3:
        raise UsageError(f"depths={depths} must be three numbers, for blocks A, B and C")
    if len(scales) != 3 or not all(0 < scale < math.inf for scale in scales):
        raise UsageError(f"scales={scales} must be three positive numbers, for blocks A, B and C")
    check_dropout(dropout)


def initialize(network: nn.Module) -> None:
    """Initialises as the released code, TF-slim: Xavier uniform in every layer, biases 0."""
    initialize_xavier(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


# The convolutions of each module: their names in timm's Inception-ResNet-v2 and in facenet-pytorch, and our names.
_A = {
    "branch0": "branch.mixed.branch1x1",
    "branch1.0": "branch.mixed.branch3x3.reduce",
    "branch1.1": "branch.mixed.branch3x3.conv",
    "branch2.0": "branch.mixed.branch_double.reduce",
    "branch2.1": "branch.mixed.branch_double.conv1",
    "branch2.2": "branch.mixed.branch_double.conv2",
}
_REDUCTION_A = {
    "branch0": "branch3x3",
    "branch1.0": "branch_double.reduce",
    "branch1.1": "branch_double.conv1",
    "branch1.2": "branch_double.conv2",
}
_B = {
    "branch0": "branch.mixed.branch1x1",
    "branch1.0": "branch.mixed.branch7x7.reduce",
    "branch1.1": "branch.mixed.branch7x7.conv.row",
    "branch1.2": "branch.mixed.branch7x7.conv.column",
}
_REDUCTION_B = {
    "branch0.0": "branch3x3_1.reduce",
    "branch0.1": "branch3x3_1.conv",
    "branch1.0": "branch3x3_2.reduce",
    "branch1.1": "branch3x3_2.conv",
    "branch2.0": "branch_double.reduce",
    "branch2.1": "branch_double.conv1",
    "branch2.2": "branch_double.conv2",
}
_C = {theirs: ours.replace("7x7", "3x3") for theirs, ours in _B.items()}
STAGE_KEYS = layer_keys(
    {
        "stage1.{}": _A,
        "reduction1": _REDUCTION_A,
        "stage2.{}": _B,
        "reduction2": _REDUCTION_B,
        "stage3.{}": _C,
    }
) | {"stage{}.{}.conv2d": "stage{}.{}.branch.expand"}
