"""The parts of dual path networks at every scale: the block with its two paths, and stages of such blocks.

Chen, Li, Xiao, Jin, Yan, Feng. Dual Path Networks. NIPS 2017. https://arxiv.org/abs/1707.01629

One tensor carries both paths from block to block. Its first channels are the residual path; their number stays within a
stage. The other channels are the dense path, which grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.layers import check_counts, check_stages

Block = Callable[..., nn.Module]  # (in_channels, stage, *, stride, shortcut) -> block
Projection = Callable[..., nn.Module]  # (in_channels, out_channels, *, stride) -> shortcut


class DualPath(nn.Module):
    """Adds the branch's first `width` channels to the residual path, and appends its other channels to the dense path.

    (N, C, H, W) -> (N, C', H', W'). The output holds the sum of the first `width` channels of branch and shortcut, then
    the other channels of the shortcut, then the other channels of the branch; the activation follows. Without a given
    shortcut or activation, the identity takes its place. Figure 2 (e) of the paper.
    """

    def __init__(
        self, branch: nn.Module, *, width: int, shortcut: nn.Module | None = None, act: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.width = width
        self.branch = branch
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.act = act if act is not None else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        learned, kept = self.branch(features), self.shortcut(features)
        residual = kept[:, : self.width] + learned[:, : self.width]
        joined: Tensor = self.act(torch.cat([residual, kept[:, self.width :], learned[:, self.width :]], dim=1))
        return joined

    def extra_repr(self) -> str:
        return f"width={self.width}"


class Stage(NamedTuple):
    """A line of the paper's table 1: the number of blocks, and the channels of each block.

    `width` is the width of the residual path, `inner` the width of the branch's 3x3 convolution. Each block lengthens
    the dense path by `growth` channels.
    """

    depth: int
    width: int
    inner: int
    growth: int


def stages_of(
    *,
    depths: tuple[int, ...],
    widths: tuple[int, ...],
    inner_widths: tuple[int, ...],
    growth_rates: tuple[int, ...],
    groups: int,
) -> list[Stage]:
    """Returns the stages; each takes one entry from every tuple.

    Raises `UsageError` for counts below 1, for tuples of different lengths and for inner widths that the groups do not
    divide.
    """
    check_stages(depths=depths, widths=widths)
    check_counts(inner_widths=inner_widths, growth_rates=growth_rates, groups=groups)
    for name, value in {"inner_widths": inner_widths, "growth_rates": growth_rates}.items():
        if len(value) != len(depths):
            raise UsageError(f"{name}={value} must have one entry for each stage, as depths={depths}")
    if any(inner % groups for inner in inner_widths):
        raise UsageError(f"inner_widths={inner_widths} must be multiples of groups={groups}")
    return [Stage(*each) for each in zip(depths, widths, inner_widths, growth_rates, strict=True)]


def dual_path_stages(
    channels: int, stages: Iterable[Stage], *, block: Block, projection: Projection, begin: int
) -> tuple[dict[str, nn.Module], int]:
    """Builds the stages by name; returns also the channels after the last. Each but the first halves height and width.

    The first block of a stage has a projection as its shortcut. The projection begins the dense path with `begin`
    growth rates.
    """
    named: dict[str, nn.Module] = {}
    for index, stage in enumerate(stages, start=1):
        stride = 1 if index == 1 else 2
        projected = stage.width + begin * stage.growth
        shortcut = projection(channels, projected, stride=stride)
        blocks = [block(channels, stage, stride=stride, shortcut=shortcut)]
        channels = projected + stage.growth
        for _ in range(stage.depth - 1):
            blocks.append(block(channels, stage, stride=1, shortcut=None))
            channels += stage.growth
        named[f"stage{index}"] = nn.Sequential(*blocks)
    return named, channels
