"""A small Inception-v3 for images of 32 pixels: fewer and narrower modules after a 3x3 stem.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
https://arxiv.org/abs/1512.00567; the network is ours and in no paper.

>>> from convatlas.complexity import outline
>>> print(outline("inception_v3_cifar_stem"))
stem         36 x 32 x 32       1,044
stage1       54 x 32 x 32      19,210
reduction1  144 x 15 x 15      40,740
stage2      144 x 15 x 15     166,032
reduction2    240 x 7 x 7      60,096
stage3        384 x 7 x 7     178,344
head                   10       3,850

Departs from the paper: the stem is one 3x3 convolution of stride 1. There are three sixteenths of the release's
filters. There are two fine modules, three middle ones and one coarse, where the release has three, four and two. There
are no dropout and no auxiliary head.
"""

from __future__ import annotations

from typing import TypeVar, cast

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.inception.blocks import CONV, initialize
from convatlas.architectures.inception.grids import Filters, grids
from convatlas.architectures.inception.v3 import PAPER, RELEASE
from convatlas.errors import UsageError
from convatlas.layers import check_counts, classifier, sequential

NARROWEST = 8  # the least filters of a convolution
STEM_CHANNELS = 192  # the channels after the release's stem
Row = TypeVar("Row", bound=tuple[int, ...])


def scaled(widths: Row, width: float) -> Row:
    """Returns filter counts times `width`, rounded, at least 8.

    >>> scaled((64, 48, 16), 0.25)
    (16, 12, 8)
    """
    return cast(Row, tuple(max(NARROWEST, round(width * count)) for count in widths))


def inception_v3_cifar_stem(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    depths: tuple[int, int, int] = (2, 3, 1),
    width: float = 0.1875,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Builds a small Inception-v3: (N, in_channels, H, W) -> (N, num_classes), for 32 pixels, at least 7.

    `depths` are the numbers of modules on each grid, taken from the release's first ones. `width` multiplies their
    filter counts, which stay at least 8. Initialisation as in `inception_v3`. Raises `UsageError` for more modules than
    the release has, for a width that is not positive, and unless 0 <= dropout < 1.
    """
    check_counts(depths=depths)
    most = (len(RELEASE.fine), len(RELEASE.middle), len(RELEASE.coarse))
    if len(depths) != len(most) or any(depth > limit for depth, limit in zip(depths, most, strict=True)):
        raise UsageError(f"depths={depths} must be three numbers of modules, at most {most}")
    if not width > 0:
        raise UsageError(f"width={width} must be a positive multiple of the release's filter counts")
    filters = Filters(
        fine=tuple(scaled(row, width) for row in RELEASE.fine[: depths[0]]),
        reduction1=scaled(RELEASE.reduction1, width),
        middle=tuple(scaled(row, width) for row in RELEASE.middle[: depths[1]]),
        reduction2=scaled(RELEASE.reduction2, width),
        coarse=tuple(scaled(row, width) for row in RELEASE.coarse[: depths[2]]),
    )
    (stem_channels,) = scaled((STEM_CHANNELS,), width)
    stages, channels = grids(stem_channels, filters)
    network = sequential(
        stem=CONV(in_channels, stem_channels, 3), **stages, head=classifier(channels, num_classes, dropout=dropout)
    )
    initialize(network)
    return network


ROWS = (
    Architecture(
        "inception_v3_cifar_stem",
        builder=inception_v3_cifar_stem,
        paper=PAPER,
        dataset="cifar10",
        params=469_316,
        macs=85_035_156,
        note="not the paper's: a small Inception-v3 of ours, with a 3x3 stem, for images of 32 pixels",
    ),
)
