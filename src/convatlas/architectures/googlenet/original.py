"""GoogLeNet: filters of several sizes side by side, made affordable by 1x1 convolutions that reduce the channels.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich. Going Deeper with Convolutions. CVPR 2015.
https://arxiv.org/abs/1409.4842

>>> from convatlas.complexity import outline
>>> print(outline("googlenet_original"))
stem         192 x 28 x 28     124,416
inception3a  256 x 28 x 28     163,696
inception3b  480 x 28 x 28     388,736
pool3        480 x 14 x 14           0
inception4a  512 x 14 x 14     376,176
inception4b  512 x 14 x 14     449,160
inception4c  512 x 14 x 14     510,104
inception4d  528 x 14 x 14     605,376
inception4e  832 x 14 x 14     868,352
pool4          832 x 7 x 7           0
inception5a    832 x 7 x 7   1,043,456
inception5b   1024 x 7 x 7   1,444,080
head                  1000   1,025,000

Departs from the paper: nothing in the network. Some details are not in the paper. They follow Caffe's replication,
https://github.com/BVLC/caffe/tree/master/models/bvlc_googlenet: poolings round sizes up, the first local response norm
follows its pooling and the second comes before its pooling, and the norms' constants and the initial weights are
Caffe's.
"""

from __future__ import annotations

import math
from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper
from convatlas.architectures.googlenet.blocks import (
    RELU,
    Table,
    auxiliary_heads,
    inception,
    inception_stages,
)
from convatlas.layers import AuxiliaryHeads, ConvNormAct, classifier, sequential

CONV = partial(ConvNormAct, bias=True, norm=None, act=RELU)
POOL = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
LOCAL_RESPONSE_NORM = partial(nn.LocalResponseNorm, 5, alpha=1e-4, beta=0.75, k=1.0)

#                1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection
TABLE_1: Table = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "pool3": None,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "pool4": None,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def _stages(in_channels: int, num_classes: int, *, dropout: float) -> dict[str, nn.Module]:
    stem = sequential(
        conv1=CONV(in_channels, 64, 7, stride=2),
        pool1=POOL(),
        norm1=LOCAL_RESPONSE_NORM(),
        reduce=CONV(64, 64, 1),
        conv2=CONV(64, 192, 3),
        norm2=LOCAL_RESPONSE_NORM(),
        pool2=POOL(),
    )
    stages, channels = inception_stages(
        192, TABLE_1, block=partial(inception, conv=CONV), pools={"pool3": POOL(), "pool4": POOL()}
    )
    return {"stem": stem, **stages, "head": classifier(channels, num_classes, dropout=dropout)}


def _initialize(network: nn.Module) -> None:
    """Initialises as Caffe's "xavier": uniform within sqrt(3 / fan_in). Biases are 0.2, and 0 in the classifiers."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = math.sqrt(3 / module.weight[0].numel())
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.constant_(module.get_parameter("bias"), 0.0 if name.endswith(".fc") else 0.2)


def googlenet_original(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.4) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes), made for 224 pixels.

    H and W are at least 31. Initialisation as in Caffe's replication: uniform within sqrt(3 / fan-in), biases 0.2, the
    classifier's bias 0. Raises `UsageError` unless 0 <= dropout < 1.
    """
    network = sequential(**_stages(in_channels, num_classes, dropout=dropout))
    _initialize(network)
    return network


def googlenet_original_aux(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float = 0.4,
    auxiliary_dropout: float = 0.7,
    auxiliary_weight: float = 0.3,
) -> AuxiliaryHeads:
    """Builds `googlenet_original` with the two auxiliary classifiers of section 5, for training with 224 pixels.

    (N, in_channels, 224, 224) -> `AuxiliaryLogits` in training and (N, num_classes) in eval mode. Initialisation and
    errors are those of `googlenet_original`. Raises `UsageError` also for a negative `auxiliary_weight`.
    """
    heads = auxiliary_heads(
        TABLE_1,
        num_classes,
        pool=partial(nn.AvgPool2d, 5, 3, ceil_mode=True),
        conv=CONV,
        dropout=auxiliary_dropout,
    )
    stages = _stages(in_channels, num_classes, dropout=dropout)
    network = AuxiliaryHeads(stages, heads=heads, weight=auxiliary_weight)
    _initialize(network)
    return network


PAPER = Paper(
    "Going Deeper with Convolutions",
    "Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich",
    2014,
    "https://arxiv.org/abs/1409.4842",
)
_row = partial(
    Architecture,
    paper=PAPER,
    dataset="imagenet",
    image_size=224,
    num_classes=1000,
    macs=1_582_671_872,  # in eval mode, without auxiliary heads
)

ROWS = (
    _row(
        "googlenet_original",
        builder=googlenet_original,
        params=6_998_552,
        note="the paper's network without its auxiliary heads: 5x5 convolutions, local response norm, no batch norm; "
        "the paper prints top-5 errors only: 9.15 % on 10 crops, 7.89 % on 144 (table 3)",
    ),
    _row(
        "googlenet_original_aux",
        builder=googlenet_original_aux,
        params=13_378_280,
        note="the paper's network as it is trained, with two auxiliary heads",
    ),
)
