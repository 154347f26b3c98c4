"""Inception-v2: the network of table 1 in the paper that ends with Inception-v3.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
https://arxiv.org/abs/1512.00567

The paper goes from this network to its Inception-v3 in four steps (table 3). RMSProp and label smoothing are fields of
the recipe. The stem's 7x7 convolution becomes 3x3 convolutions by the option `stem`. The auxiliary head gets batch norm
by the option `auxiliary_norm`. Table 1 shows the stem after its step, so this stem is the default; the first rows of
table 3 have `stem="7x7"`.

>>> from convatlas.complexity import outline
>>> print(outline("inception_v2"))
stem        288 x 35 x 35     711,872
stage1      288 x 35 x 35     708,000
reduction1  768 x 17 x 17   1,153,280
stage2      768 x 17 x 17   8,512,384
reduction2   1280 x 8 x 8   1,513,600
stage3       2048 x 8 x 8  11,121,408
head                 1000   2,049,000

Departs from the paper: the paper leaves most filter counts open. They are taken from the release, `inception_v3`. All
three fine modules have the counts of its second one. The five middle modules have the counts of its four, the third of
them twice. The grid reductions are the release's, so that the first one's single 3x3 convolution has no 1x1 before it.
The 7x7 stem has the 64 filters of BN-Inception. The auxiliary head has the release's sizes and weight. With these
counts the network has 25.8 million parameters and 6.3 billion multiply-adds; the paper states less than 25 million and
about 5 billion.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Literal

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.inception.blocks import CONV, RELU, VALID, auxiliary_head, initialize
from convatlas.architectures.inception.grids import double_reduction, grids
from convatlas.architectures.inception.v3 import AUXILIARY_STDS, AUXILIARY_WEIGHT, PAPER, RELEASE
from convatlas.errors import unknown
from convatlas.layers import AuxiliaryHeads, ConvNormAct, Layer, classifier, sequential

Stem = Literal["3x3", "7x7"]
AuxiliaryNorm = Literal["none", "batch"]
AUXILIARY_CONVOLUTIONS: dict[str, Layer] = {"none": partial(ConvNormAct, bias=True, norm=None, act=RELU), "batch": CONV}


def table_stem(in_channels: int, form: Stem) -> nn.Sequential:
    """Builds the layers before the modules: (N, in_channels, 299, 299) -> (N, 288, 35, 35).

    The first layers are three 3x3 convolutions or one of 7x7; both give (N, 64, 147, 147). Only `conv3` and `conv6`
    pad. Raises `UsageError` for another form.
    """
    first: dict[str, dict[str, nn.Module]] = {
        "3x3": {
            "conv1": VALID(in_channels, 32, 3, stride=2),
            "conv2": VALID(32, 32, 3),
            "conv3": CONV(32, 64, 3),
        },
        "7x7": {"conv1": VALID(in_channels, 64, 7, stride=2)},
    }
    if form not in first:
        raise unknown("stem", form, first)
    return sequential(
        **first[form],
        pool=nn.MaxPool2d(3, 2),
        conv4=VALID(64, 80, 3),
        conv5=VALID(80, 192, 3, stride=2),
        conv6=CONV(192, 288, 3),
    )


def _stages(in_channels: int, num_classes: int, *, stem: Stem, dropout: float) -> dict[str, nn.Module]:
    stages, channels = grids(288, FILTERS, kernel=3, double_first="row", second_reduction=double_reduction)
    head = classifier(channels, num_classes, dropout=dropout)
    return {"stem": table_stem(in_channels, stem), **stages, "head": head}


def inception_v2(
    *, num_classes: int = 1000, in_channels: int = 3, stem: Stem = "3x3", dropout: float = 0.0
) -> nn.Sequential:
    """Builds table 1: (N, in_channels, H, W) -> (N, num_classes), for 299 pixels, at least 75.

    Table 1 names no dropout. Initialisation as in the release: normal with standard deviation 0.1, biases at PyTorch's
    default. Raises `UsageError` for an unknown stem, and unless 0 <= dropout < 1.
    """
    network = sequential(**_stages(in_channels, num_classes, stem=stem, dropout=dropout))
    initialize(network)
    return network


def inception_v2_aux(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stem: Stem = "3x3",
    auxiliary_norm: AuxiliaryNorm = "none",
    dropout: float = 0.0,
    auxiliary_weight: float = AUXILIARY_WEIGHT,
) -> AuxiliaryHeads:
    """Builds `inception_v2` with the auxiliary head of section 4, figure 8, for training with 299 pixels or more.

    (N, in_channels, H, W) -> `AuxiliaryLogits` in training and (N, num_classes) in eval mode. The head's convolutions
    have biases, or batch norm with `auxiliary_norm="batch"`. Initialisation and errors are those of `inception_v2`, but
    the last two layers of the head have deviations of 0.01 and 0.001. Raises `UsageError` also for an unknown norm and
    a negative `auxiliary_weight`.
    """
    if auxiliary_norm not in AUXILIARY_CONVOLUTIONS:
        raise unknown("norm of the auxiliary head", auxiliary_norm, AUXILIARY_CONVOLUTIONS)
    stages = _stages(in_channels, num_classes, stem=stem, dropout=dropout)
    head = auxiliary_head(4 * FILTERS.middle[-1][1], num_classes, conv=AUXILIARY_CONVOLUTIONS[auxiliary_norm])
    network = AuxiliaryHeads(stages, heads={"stage2": head}, weight=auxiliary_weight)
    initialize(network, stds=AUXILIARY_STDS)
    return network


FILTERS = dataclasses.replace(
    RELEASE,
    fine=(RELEASE.fine[1],) * 3,
    middle=(*RELEASE.middle[:3], RELEASE.middle[2], RELEASE.middle[3]),  # five modules, where the release has four
)

_row = partial(
    Architecture,
    paper=PAPER,
    dataset="imagenet",
    image_size=299,
    num_classes=1000,
    macs=6_299_294_304,  # in eval mode, without the auxiliary head
)

ROWS = (
    _row(
        "inception_v2",
        builder=inception_v2,
        params=25_769_544,
        note="the paper's table 1; filter counts that it leaves open are those of the released Inception-v3",
    ),
    _row(
        "inception_v2_aux",
        builder=inception_v2_aux,
        params=29_095_344,
        note="the paper's table 1 as trained, with an auxiliary head; -o auxiliary_norm=batch gives it batch norm",
    ),
)
