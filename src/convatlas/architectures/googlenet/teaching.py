"""The textbook's GoogLeNet, for images of 96 pixels.

`googlenet_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021).

>>> from convatlas.complexity import outline
>>> print(outline("googlenet_textbook"))
stem         192 x 12 x 12     124,416
inception3a  256 x 12 x 12     163,696
inception3b  480 x 12 x 12     388,736
pool3          480 x 6 x 6           0
inception4a    512 x 6 x 6     376,176
inception4b    512 x 6 x 6     449,160
inception4c    512 x 6 x 6     510,104
inception4d    528 x 6 x 6     605,376
inception4e    832 x 6 x 6     868,352
pool4          832 x 3 x 3           0
inception5a    832 x 3 x 3   1,043,456
inception5b   1024 x 3 x 3   1,444,080
head                    10      10,250

Departs from the paper: there are no local response norm, no auxiliary heads and no dropout. Poolings are padded by one
pixel and round sizes down.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture
from convatlas.architectures.googlenet.blocks import RELU, inception, inception_stages, plain_stem
from convatlas.architectures.googlenet.original import TABLE_1
from convatlas.architectures.sources import TEXTBOOK, textbook_published
from convatlas.layers import ConvNormAct, classifier, initialize_xavier, sequential


def googlenet_textbook(*, num_classes: int = 10, in_channels: int = 3) -> nn.Sequential:
    """Builds the textbook's network: (N, in_channels, H, W) -> (N, num_classes), made for 96 pixels.

    Initialisation: Xavier uniform, biases at PyTorch's default.
    """
    conv = partial(ConvNormAct, bias=True, norm=None, act=RELU)
    pool = partial(nn.MaxPool2d, 3, 2, padding=1)
    stages, channels = inception_stages(
        192, TABLE_1, block=partial(inception, conv=conv), pools={"pool3": pool(), "pool4": pool()}
    )
    stem = plain_stem(in_channels, conv=conv, pool=pool)
    network = sequential(stem=stem, **stages, head=classifier(channels, num_classes))
    initialize_xavier(network)
    return network


ROWS = (
    Architecture(
        "googlenet_textbook",
        builder=googlenet_textbook,
        paper=TEXTBOOK,
        dataset="cifar10",
        image_size=96,
        params=5_983_802,
        macs=290_516_992,
        published=textbook_published(0.6863, "cifar10", pixels=96),
        recipe="textbook_96",
        note="the textbook's network: no local response norm, no dropout",
    ),
)
