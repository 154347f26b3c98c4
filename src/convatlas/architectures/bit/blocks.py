"""The parts of BiT's networks: standardised convolutions and group norm in pre-activation bottlenecks."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from convatlas.architecture import Paper
from convatlas.errors import UsageError
from convatlas.layers import (
    Layer,
    check_counts,
    check_stages,
    classifier,
    preactivation_bottleneck,
    preactivation_first_bottleneck,
    preactivation_stages,
)

PAPER = Paper(
    "Big Transfer (BiT): General Visual Representation Learning",
    "Kolesnikov, Beyer, Zhai, Puigcerver, Yung, Gelly, Houlsby",
    2019,
    "https://arxiv.org/abs/1912.11370",
)


class StandardizedConv2d(nn.Conv2d):
    """A convolution by (w - mean) / sqrt(variance + eps) of each filter w: (N, in, H, W) -> (N, out, H', W').

    Weight standardisation, Qiao et al. 2019, https://arxiv.org/abs/1903.10520. The variance is the biased one. eps is
    1e-10, as in the released code of BiT; timm has 1e-8.
    """

    eps = 1e-10

    def forward(self, features: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), correction=0, keepdim=True)
        weight = (self.weight - mean) / torch.sqrt(variance + self.eps)
        convolved: Tensor = self._conv_forward(features, weight, self.bias)
        return convolved


def standardized_stages(
    channels: int, *, depths: tuple[int, ...], widths: tuple[int, ...], groups: int, act: Layer
) -> dict[str, nn.Module]:
    """Builds stages of bottlenecks, then norm and activation, by name: (N, channels, H, W) -> (N, widths[-1], H', W').

    Each stage has `depths` units of `widths` channels; each stage but the first halves height and width. Raises
    `UsageError` for depths and widths that do not match and for channels that are not divisible into `groups` of group
    norm.
    """
    check_counts(stem_channels=channels, groups=groups)
    check_stages(depths=depths, widths=widths)
    if channels % groups or any(width % (4 * groups) for width in widths):
        raise UsageError(
            f"stem_channels={channels} must be a multiple of groups={groups}, and widths={widths} must be multiples "
            f"of {4 * groups}, because a bottleneck has a quarter of the channels inside"
        )
    norm, conv = partial(nn.GroupNorm, groups), StandardizedConv2d
    stages = preactivation_stages(
        channels,
        depths=depths,
        widths=widths,
        first_unit=partial(preactivation_first_bottleneck, act=act, norm=norm, conv=conv),
        next_unit=partial(preactivation_bottleneck, act=act, norm=norm, conv=conv),
    )
    return {**stages, "norm": norm(widths[-1]), "act": act()}


def zero_head(in_channels: int, num_classes: int) -> nn.Sequential:
    """Builds pooling and a linear layer of zeros, as the code for fine-tuning does: (N, C, H, W) -> (N, classes).

    >>> zero_head(64, 10).fc.weight.abs().sum().item()
    0.0
    """
    head = classifier(in_channels, num_classes)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    return head
