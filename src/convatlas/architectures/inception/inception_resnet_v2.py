"""Inception-ResNet-v2: wider inception modules as scaled residual branches, for the cost of Inception-v4.

Szegedy, Ioffe, Vanhoucke, Alemi. Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning.
AAAI 2017. https://arxiv.org/abs/1602.07261; `inception_resnet_v2` is the network of the published weights,
https://github.com/tensorflow/models/tree/master/research/slim, which timm has too.

>>> from convatlas.complexity import outline
>>> print(outline("inception_resnet_v2"))
stem         192 x 35 x 35     172,672
mixed        320 x 35 x 35     268,320
stage1       320 x 35 x 35   1,231,680
reduction1  1088 x 17 x 17   2,664,960
stage2      1088 x 17 x 17  22,535,680
reduction2    2080 x 8 x 8   3,880,960
stage3        2080 x 8 x 8  20,354,240
head                  1000   4,734,952

Departs from the paper: the release has twice as many blocks. Its stem is the stem of Inception-v3 with one inception
module after it. It has 320, 1088 and 2080 channels where the figures have 384, 1152 and 2144. Its last block is neither
scaled nor rectified, and a 1x1 convolution stands before the classifier. `inception_resnet_v2_paper` is the network of
the figures. They print 1154 and 2048 channels where their concatenations give 1152 and 2144. Details that they leave
open follow the release: batch norm's epsilon, initial weights and scales.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published
from convatlas.architectures.inception import v4
from convatlas.architectures.inception.blocks import CONV, STRIDED, inception_double3x3
from convatlas.architectures.inception.residual import (
    SCALES,
    STAGE_KEYS,
    Widths,
    check_options,
    first_layers,
    initialize,
    residual_stages,
    stages_with_linear_end,
)
from convatlas.architectures.inception.v4 import AVERAGE, PAPER, TF_SLIM
from convatlas.architectures.inception.v4_keys import layer_keys, module_keys
from convatlas.layers import classifier, sequential

# Table 1 and figures 16, 17, 18 and 19.
WIDTHS = Widths(
    a=(32, (32, 32), (32, 48, 64)),
    reduction_a=(256, 256, 384, 384),
    b=(192, (128, 160, 192)),
    reduction_b=((256, 384), (256, 288), (256, 288, 320)),
    c=(192, (192, 224, 256)),
)


def inception_resnet_v2(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (10, 20, 10),
    scales: tuple[float, ...] = SCALES,
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds the released network: (N, in_channels, H, W) -> (N, num_classes), for 299 pixels, at least 75.

    There are `depths` blocks A, B and C; each kind multiplies its branches by its entry of `scales` and adds them. The
    last block C is neither scaled nor rectified. A fifth of the features is dropped before the classifier, as in the
    paper and the release; timm drops none by default. Initialisation as in TF-slim: Xavier uniform, biases 0. Raises
    `UsageError` for other than three depths or three positive scales, and unless 0 <= dropout < 1.
    """
    check_options(depths, scales, dropout)
    stages, channels = stages_with_linear_end(320, WIDTHS, depths=depths, scales=scales)
    network = sequential(
        stem=sequential(**first_layers(in_channels), pool2=STRIDED()),
        mixed=inception_double3x3(192, (96, 48, 64, 64, 96, 64), kernel=5, pool=AVERAGE),
        **stages,
        head=sequential(
            conv=CONV(channels, 1536, 1), **dict(classifier(1536, num_classes, dropout=dropout).named_children())
        ),
    )
    initialize(network)
    return network


def inception_resnet_v2_paper(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    depths: tuple[int, ...] = (5, 10, 5),
    scales: tuple[float, ...] = SCALES,
    dropout: float = 0.2,
) -> nn.Sequential:
    """Builds figure 15 with the modules of figures 3, 7 and 16 to 19: (N, in_channels, H, W) -> (N, num_classes).

    The network is for 299 pixels, at least 75. Options, initialisation and errors are those of `inception_resnet_v2`.
    The last block is scaled and rectified like the others.
    """
    check_options(depths, scales, dropout)
    stages, channels = residual_stages(384, WIDTHS, depths=depths, scales=scales)
    head = classifier(channels, num_classes, dropout=dropout)
    network = sequential(stem=v4.stem(in_channels, first="column"), **stages, head=head)
    initialize(network)
    return network


_STEM = {
    "stem": {"1a": "conv1", "2a": "conv2", "2b": "conv3", "3b": "conv4", "4a": "conv5"},
    "mixed": {
        "branch0": "branch1x1",
        "branch1.0": "branch5x5.reduce",
        "branch1.1": "branch5x5.conv",
        "branch2.0": "branch_double.reduce",
        "branch2.1": "branch_double.conv1",
        "branch2.2": "branch_double.conv2",
        "branch3.1": "branch_pool.projection",
    },
}
_LAYERS = STAGE_KEYS | layer_keys({**_STEM, "head": {"7b": "conv"}}) | {"head.fc": "head.fc"}
TIMM_KEYS = (
    {
        "conv2d_1a": "stem.1a",
        "conv2d_2a": "stem.2a",
        "conv2d_2b": "stem.2b",
        "conv2d_3b": "stem.3b",
        "conv2d_4a": "stem.4a",
        "mixed_5b": "mixed",
        "repeat": "stage1",
        "mixed_6a": "reduction1",
        "repeat_{}": "stage{+1}",
        "mixed_7a": "reduction2",
        "block8": "stage3.9",
        "conv2d_7b": "head.7b",
        "classif": "head.fc",
    },
    _LAYERS,
)
# The names in https://github.com/zhulf0804/Inceptionv4_and_Inception-ResNetv2.PyTorch
ZHULF_KEYS = (
    {
        "features.0.features.0": "stem.1a",
        "features.0.features.1": "stem.2a",
        "features.0.features.2": "stem.2b",
        "features.0.features.4": "stem.3b",
        "features.0.features.5": "stem.4a",
        "features.0.branch_{}": "mixed.branch{}",
        **module_keys(1, (10, 20, 10)),
        "conv": "head.7b",
        "linear": "head.fc",
    },
    {
        "stage{}.{}.branch_{}": "stage{}.{}.branch{}",
        "stage{}.{}.conv": "stage{}.{}.conv2d",
        "reduction{}.branch_{}": "reduction{}.branch{}",
        "mixed": "mixed",
        "stem": "stem",
        "head": "head",
    },
    _LAYERS,
)

_row = partial(Architecture, paper=PAPER, dataset="imagenet", image_size=299, num_classes=1000)

ROWS = (
    _row(
        "inception_resnet_v2",
        builder=inception_resnet_v2,
        params=55_843_464,
        macs=13_155_794_016,
        published=(Published(0.804, "validation", "imagenet", TF_SLIM),),
        layouts={"timm": TIMM_KEYS, "zhulf": ZHULF_KEYS},
        note="the released weights' network: 10, 20 and 10 blocks after the stem of Inception-v3; the figures' is "
        "inception_resnet_v2_paper",
    ),
    _row(
        "inception_resnet_v2_paper",
        builder=inception_resnet_v2_paper,
        params=32_433_928,
        macs=9_257_953_632,
        note="the paper's figures 3, 7 and 15 to 19, never released; they print 1154 and 2048 channels where their "
        "concatenations give 1152 and 2144, which this network has",
    ),
)
