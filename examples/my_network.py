"""A network of your own: residual stages of depthwise-separable convolutions.

A function or class that takes `num_classes` and `in_channels` and returns a module is enough.
Its other keywords are options: convatlas show examples/my_network.py:my_network -o widths=16,32
"""

from itertools import pairwise

from torch import nn

from convatlas.layers import ConvNormAct, Residual, classifier, sequential


def separable(width: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    """Builds a 3x3 convolution of each channel by itself, then a 1x1 convolution that mixes the channels."""
    return sequential(
        depthwise=nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False),
        pointwise=ConvNormAct(width, out_channels, 1),
    )


def my_network(
    *, num_classes: int = 10, in_channels: int = 3, widths: tuple[int, ...] = (32, 64, 128)
) -> nn.Sequential:
    """Builds stages that halve height and width and then refine: (N, C, H, W) -> (N, num_classes)."""
    stages = {"stem": ConvNormAct(in_channels, widths[0], 3)}
    for index, (width, wider) in enumerate(pairwise(widths), start=1):
        shrink = separable(width, wider, stride=2)
        refine = Residual(separable(wider, wider))
        stages[f"stage{index}"] = sequential(shrink=shrink, refine=refine)
    return sequential(**stages, head=classifier(widths[-1], num_classes))
