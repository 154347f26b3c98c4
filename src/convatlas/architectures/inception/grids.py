"""The three grids of Inception-v2 and v3: modules on 35x35, 17x17 and 8x8 pixels, with reductions between them.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
https://arxiv.org/abs/1512.00567, section 6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from convatlas.architectures.inception.blocks import (
    CONV,
    VALID,
    First,
    Widths,
    double_3x3,
    factorized,
    grid_reduction,
    inception_double3x3,
    inception_expanded,
    inception_factorized,
)
from convatlas.layers import Concat, sequential


@dataclass(frozen=True)
class Filters:
    """The filter counts on the grids and between them, with a row for each module.

    `fine` and `coarse`: 1x1, 3x3 (or 5x5) reduce, 3x3, double reduce, double, projection. `middle`: channels inside the
    branches, and after each branch. `reduction1`: 3x3, double reduce, double. `reduction2`: reduce (and all layers but
    the last), 3x3.
    """

    fine: tuple[Widths, ...]
    reduction1: tuple[int, int, int]
    middle: tuple[tuple[int, int], ...]
    reduction2: tuple[int, int]
    coarse: tuple[Widths, ...]


def first_reduction(in_channels: int, widths: tuple[int, int, int]) -> Concat:
    """Builds a 3x3 branch, and 1x1 with two 3x3: (N, C, 35, 35) -> (N, C + widths[0] + widths[2], 17, 17)."""
    single, reduce, double = widths
    return grid_reduction(
        branch3x3=VALID(in_channels, single, 3, stride=2),
        branch_double=double_3x3(in_channels, (reduce, double, double), stride=2, padding=0),
    )


def double_reduction(in_channels: int, widths: tuple[int, int]) -> Concat:
    """Builds branches of one and of two 3x3 convolutions, figure 10: (N, C, 17, 17) -> (N, C + sum(widths), 8, 8)."""
    reduce, width = widths
    return grid_reduction(
        branch3x3=sequential(reduce=CONV(in_channels, reduce, 1), conv=VALID(reduce, width, 3, stride=2)),
        branch_double=double_3x3(in_channels, (reduce, reduce, reduce), stride=2, padding=0),
    )


def factorized_reduction(in_channels: int, widths: tuple[int, int]) -> Concat:
    """Builds a 3x3 branch and a branch with a factorised 7x7: (N, C, 17, 17) -> (N, C + sum(widths), 8, 8)."""
    reduce, width = widths
    return grid_reduction(
        branch3x3=sequential(reduce=CONV(in_channels, reduce, 1), conv=VALID(reduce, width, 3, stride=2)),
        branch7x7=sequential(
            reduce=CONV(in_channels, reduce, 1),
            conv1=factorized(reduce, (reduce, reduce), 7),
            conv2=VALID(reduce, reduce, 3, stride=2),
        ),
    )


def grids(
    in_channels: int,
    filters: Filters,
    *,
    kernel: int = 5,
    double_first: First = "column",
    second_reduction: Callable[[int, tuple[int, int]], nn.Module] = factorized_reduction,
) -> tuple[dict[str, nn.Module], int]:
    """Builds the stages by name, by default with the release's modules and reductions; returns also the last channels.

    `kernel` is the kernel of the fine modules' single convolution. `double_first` is the order in the middle modules'
    branch of two factorised convolutions.
    """
    stage1, stage2, stage3 = nn.Sequential(), nn.Sequential(), nn.Sequential()
    for row in filters.fine:
        stage1.append(inception_double3x3(in_channels, row, kernel=kernel))
        in_channels = row[0] + row[2] + row[4] + row[5]
    reduction1 = first_reduction(in_channels, filters.reduction1)
    in_channels += filters.reduction1[0] + filters.reduction1[2]
    for reduce, width in filters.middle:
        stage2.append(inception_factorized(in_channels, reduce, width, double_first=double_first))
        in_channels = 4 * width
    reduction2 = second_reduction(in_channels, filters.reduction2)
    in_channels += sum(filters.reduction2)
    for row in filters.coarse:
        stage3.append(inception_expanded(in_channels, row))
        in_channels = row[0] + 2 * row[2] + 2 * row[4] + row[5]
    stages = {
        "stage1": stage1,
        "reduction1": reduction1,
        "stage2": stage2,
        "reduction2": reduction2,
        "stage3": stage3,
    }
    return stages, in_channels
