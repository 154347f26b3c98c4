"""The inverted residual block: few channels between the blocks, many inside, where each channel is filtered alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from torch import nn

from convatlas.errors import UsageError
from convatlas.layers.blocks import ConvNormAct, Residual, StochasticDepth, sequential
from convatlas.layers.initialization import Layer

DIVISOR = 8
Gate = Callable[[int, int], nn.Module]  # (channels, in_channels of the block) -> module that keeps the shape
Block = Callable[..., nn.Module]  # (in_channels, row, *, skipped) -> block


class InvertedRow(NamedTuple):
    """A row of a table of inverted residuals: `depth` blocks of `width` output channels, the first with the stride.

    Inside, a block has `expansion` times its input channels, which are filtered by a square `kernel`.
    """

    expansion: int
    kernel: int
    stride: int
    width: int
    depth: int


def scaled_width(channels: int, factor: float) -> int:
    """Returns `factor` times the channels, to the nearest multiple of 8, but never below 90 % of the product.

    The authors' releases of MobileNet-v2 and EfficientNet round in this way. Raises `UsageError` for a factor that is
    not positive.

    >>> [scaled_width(32, factor) for factor in (0.1, 0.35, 1.0, 1.1, 1.2)]
    [8, 16, 32, 32, 40]
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise UsageError(f"the factor {factor} of widths must be above 0")
    product = factor * channels
    rounded = max(DIVISOR, int(product + DIVISOR / 2) // DIVISOR * DIVISOR)
    return rounded if rounded >= 0.9 * product else rounded + DIVISOR


def inverted_branch(
    in_channels: int, row: InvertedRow, *, conv: Layer = ConvNormAct, gate: Gate | None = None, skipped: float = 0.0
) -> nn.Sequential:
    """Builds 1x1 to more channels, a depthwise convolution, a gate, and 1x1 to few channels without activation.

    (N, in_channels, H, W) -> (N, row.width, H / stride, W / stride). `conv` is a constructor like `ConvNormAct`, with
    norm and activation bound. With an expansion of 1 there is no first convolution. `skipped` is the rate of stochastic
    depth. The last convolution without activation is the paper's "linear bottleneck". Sandler et al. 2018,
    https://arxiv.org/abs/1801.04381, section 3.3 and table 1.
    """
    inner = row.expansion * in_channels
    branch = sequential(**{"expand": conv(in_channels, inner, 1)} if row.expansion > 1 else {})
    branch.add_module("depthwise", conv(inner, inner, row.kernel, stride=row.stride, groups=inner))
    if gate is not None:
        branch.add_module("excite", gate(inner, in_channels))
    branch.add_module("project", conv(inner, row.width, 1, act=None))
    if skipped:
        branch.add_module("drop", StochasticDepth(skipped))
    return branch


def inverted_residual(
    in_channels: int, row: InvertedRow, *, conv: Layer = ConvNormAct, gate: Gate | None = None, skipped: float = 0.0
) -> nn.Module:
    """Builds the branch, plus its input where the shape stays: (N, in_channels, H, W) -> (N, row.width, H', W').

    Stochastic depth skips a branch only where its input is added. Sandler et al. 2018, figure 4 (d).

    >>> block = inverted_residual(16, InvertedRow(expansion=6, kernel=3, stride=1, width=16, depth=1))
    >>> [name for name, _ in block.get_submodule("branch").named_children()]
    ['expand', 'depthwise', 'project']
    """
    if row.stride > 1 or row.width != in_channels:  # the same name, so that a key table needs one row
        return sequential(branch=inverted_branch(in_channels, row, conv=conv, gate=gate))
    return Residual(inverted_branch(in_channels, row, conv=conv, gate=gate, skipped=skipped))


def inverted_stages(
    channels: int, rows: Iterable[InvertedRow], *, block: Block = inverted_residual, skipped: float = 0.0
) -> dict[str, nn.Module]:
    """Builds one stage for each row, by name: stage1, stage2 ... of (N, channels, H, W).

    Stochastic depth grows with the depth: a block that has `index` of the `blocks` blocks before it is skipped with the
    rate `skipped` * index / blocks. Raises `UsageError` unless 0 <= skipped < 1.
    """
    if not 0 <= skipped < 1:
        raise UsageError(f"the rate {skipped} of skipped branches must be at least 0 and below 1")
    table = tuple(rows)
    blocks, index = sum(row.depth for row in table), 0
    stages: dict[str, nn.Module] = {}
    for number, row in enumerate(table, start=1):
        stage = nn.Sequential()
        for position in range(row.depth):
            shape = row if position == 0 else row._replace(stride=1)
            stage.append(block(channels, shape, skipped=skipped * index / blocks))
            channels, index = row.width, index + 1
        stages[f"stage{number}"] = stage
    return stages
