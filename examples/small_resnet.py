"""A small residual network for trainings that must end on a laptop: a stem and stages that each halve height and width.

convatlas show examples/small_resnet.py:small_resnet
"""

from itertools import pairwise

from torch import nn

from convatlas.layers import ConvNormAct, Residual, classifier, sequential


def refine(width: int) -> nn.Module:
    """Builds a residual block of two 3x3 convolutions; no activation follows the sum."""
    return Residual(
        sequential(
            first=ConvNormAct(width, width, 3),
            second=nn.Conv2d(width, width, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(width),
        )
    )


def small_resnet(
    *, num_classes: int = 10, in_channels: int = 3, widths: tuple[int, ...] = (16, 32, 64)
) -> nn.Sequential:
    """Builds the stages: (N, C, H, W) -> (N, num_classes)."""
    stages = {
        f"stage{index}": sequential(shrink=ConvNormAct(width, wider, 3, stride=2), refine=refine(wider))
        for index, (width, wider) in enumerate(pairwise((in_channels, *widths)), start=1)
    }
    return sequential(**stages, head=classifier(widths[-1], num_classes))
