"""GoogLeNet for images of 32 pixels, in the form of https://github.com/kuangliu/pytorch-cifar.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich. Going Deeper with Convolutions. CVPR 2015.
https://arxiv.org/abs/1409.4842

>>> from convatlas.complexity import outline
>>> print(outline("googlenet_cifar"))
stem         192 x 32 x 32       5,760
inception3a  256 x 32 x 32     165,552
inception3b  480 x 32 x 32     424,096
pool3        480 x 16 x 16           0
inception4a  512 x 16 x 16     386,016
inception4b  512 x 16 x 16     462,936
inception4c  512 x 16 x 16     523,912
inception4d  528 x 16 x 16     611,072
inception4e  832 x 16 x 16     952,704
pool4          832 x 8 x 8           0
inception5a    832 x 8 x 8   1,127,808
inception5b   1024 x 8 x 8   1,496,144
head                    10      10,250

Departs from the paper: the stem is a 3x3 convolution without pooling. Two 3x3 convolutions replace each 5x5
convolution. Batch norm follows every convolution, which keeps its bias. There are no local response norm, no auxiliary
heads and no dropout.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.googlenet.blocks import RELU, inception, inception_stages
from convatlas.architectures.googlenet.original import PAPER, TABLE_1
from convatlas.layers import ConvNormAct, classifier, sequential

CONV = partial(ConvNormAct, bias=True, act=RELU)


def two_3x3(in_channels: int, out_channels: int) -> nn.Sequential:
    """Builds two 3x3 convolutions, with the field of one 5x5: (N, in_channels, H, W) -> (N, out_channels, H, W)."""
    return sequential(conv1=CONV(in_channels, out_channels, 3), conv2=CONV(out_channels, out_channels, 3))


def googlenet_cifar(*, num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """Builds kuangliu's network: (N, in_channels, H, W) -> (N, num_classes), made for 32 pixels.

    Initialisation: PyTorch's default, because kuangliu's code sets none.
    """
    pools = {name: nn.MaxPool2d(3, 2, padding=1) for name in ("pool3", "pool4")}
    block = partial(inception, conv=CONV, conv5x5=two_3x3)
    stages, channels = inception_stages(192, TABLE_1, block=block, pools=pools)
    return sequential(stem=CONV(in_channels, 192, 3), **stages, head=classifier(channels, num_classes))


ROWS = (
    Architecture(
        "googlenet_cifar",
        builder=googlenet_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=6_166_250,
        macs=1_521_756_160,
        note="not the paper's: the paper's inception modules after a 3x3 stem, for images of 32 pixels",
    ),
)
