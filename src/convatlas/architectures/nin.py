"""Network in Network: a small perceptron slides over the image (1x1 convolutions), and averages replace dense layers.

Lin, Chen, Yan. Network In Network. ICLR 2014. https://arxiv.org/abs/1312.4400
`nin_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021).

>>> from convatlas.complexity import outline
>>> print(outline("nin_cifar"))
stage1  96 x 16 x 16      60,928
stage2   192 x 8 x 8     535,104
head              10     370,954

Departs from the paper: the paper prints no channel counts. The counts of `nin_cifar`, and its average pooling after the
second stage, are from the released configuration, https://gist.github.com/mavenlin/e56253735ef32c3c296d. `nin_imagenet`
is the authors' later Caffe model, https://gist.github.com/mavenlin/d802a5849de39225bcc6, which is not in the paper.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Family, Paper, Published
from convatlas.architectures.sources import TEXTBOOK, textbook_published
from convatlas.layers import (
    ConvNormAct,
    activation_layer,
    check_counts,
    check_dropout,
    initialize_normal,
    initialize_xavier,
    sequential,
)

RELU = activation_layer("relu")


def mlpconv(
    in_channels: int, widths: tuple[int, int, int], *, kernel: int, stride: int = 1, padding: int
) -> dict[str, nn.Module]:
    """Builds the layer of section 3.1: a convolution and two 1x1 convolutions, each with bias and activation.

    (N, in_channels, H, W) -> (N, widths[2], H', W').
    """
    first, second, third = widths
    conv = partial(ConvNormAct, bias=True, norm=None, act=RELU)
    return {
        "conv1": conv(in_channels, first, kernel, stride=stride, padding=padding),
        "conv2": conv(first, second, 1),
        "conv3": conv(second, third, 1),
    }


def average_head() -> dict[str, nn.Module]:
    """Builds the head of section 3.2, where a map's average is a logit: (N, num_classes, H, W) -> (N, num_classes)."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}


def nin_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    width: int = 192,
    narrow: int = 160,
    narrowest: int = 96,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Builds the released CIFAR network: (N, in_channels, H, W) -> (N, num_classes), at least 4 pixels.

    Dropout follows both poolings. Initialisation as in the released file: normal with standard deviation 0.05, biases
    0. Raises `UsageError` for counts below 1, and unless 0 <= dropout < 1.
    """
    check_counts(width=width, narrow=narrow, narrowest=narrowest)
    check_dropout(dropout)
    network = sequential(
        stage1=sequential(
            **mlpconv(in_channels, (width, narrow, narrowest), kernel=5, padding=2),
            pool=nn.MaxPool2d(3, 2, ceil_mode=True),
            dropout=nn.Dropout(dropout),
        ),
        stage2=sequential(
            **mlpconv(narrowest, (width, width, width), kernel=5, padding=2),
            pool=nn.AvgPool2d(3, 2, ceil_mode=True),
            dropout=nn.Dropout(dropout),
        ),
        head=sequential(**mlpconv(width, (width, width, num_classes), kernel=3, padding=1), **average_head()),
    )
    initialize_normal(network, std=0.05, kinds=(nn.Conv2d,))
    return network


def nin_imagenet(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> nn.Sequential:
    """Builds the authors' ImageNet network: (N, in_channels, H, W) -> (N, num_classes), at least 39 pixels.

    Initialisation as in the released file: normal with standard deviation 0.05, but 0.01 in the first and the last
    layer and in the first layer of the third stage; biases 0. Raises `UsageError` unless 0 <= dropout < 1.
    """
    check_dropout(dropout)
    widths = ((96, 96, 96), (256, 256, 256), (384, 384, 384))
    network = sequential(
        stage1=sequential(
            **mlpconv(in_channels, widths[0], kernel=11, stride=4, padding=0), pool=nn.MaxPool2d(3, 2, ceil_mode=True)
        ),
        stage2=sequential(**mlpconv(96, widths[1], kernel=5, padding=2), pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
        stage3=sequential(
            **mlpconv(256, widths[2], kernel=3, padding=1),
            pool=nn.MaxPool2d(3, 2, ceil_mode=True),
            dropout=nn.Dropout(dropout),
        ),
        head=sequential(**mlpconv(384, (1024, 1024, num_classes), kernel=3, padding=1), **average_head()),
    )
    initialize_normal(network, std=0.05, kinds=(nn.Conv2d,))
    for name in ("stage1.conv1", "stage3.conv1", "head.conv3"):
        initialize_normal(network.get_submodule(name), std=0.01, kinds=(nn.Conv2d,))
    return network


def nin_textbook(*, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.5) -> nn.Sequential:
    """Builds the textbook's network: (N, in_channels, H, W) -> (N, num_classes), made for 224 pixels, at least 67.

    Initialisation: Xavier uniform, biases at PyTorch's default. Raises `UsageError` unless 0 <= dropout < 1.
    """
    check_dropout(dropout)
    head = mlpconv(384, (num_classes, num_classes, num_classes), kernel=3, padding=1)
    network = sequential(
        stage1=sequential(
            **mlpconv(in_channels, (96, 96, 96), kernel=11, stride=4, padding=0), pool=nn.MaxPool2d(3, 2)
        ),
        stage2=sequential(**mlpconv(96, (256, 256, 256), kernel=5, padding=2), pool=nn.MaxPool2d(3, 2)),
        stage3=sequential(
            **mlpconv(256, (384, 384, 384), kernel=3, padding=1), pool=nn.MaxPool2d(3, 2), dropout=nn.Dropout(dropout)
        ),
        head=sequential(**head, **average_head()),
    )
    initialize_xavier(network)
    return network


PAPER = Paper("Network In Network", "Lin, Chen, Yan", 2013, "https://arxiv.org/abs/1312.4400")

ROWS = (
    Architecture(
        "nin_cifar",
        builder=nin_cifar,
        paper=PAPER,
        dataset="cifar10",
        params=966_986,
        macs=222_486_528,
        published=(
            Published(0.9119, "test", "cifar10", "the paper's table 1, augmented"),
            Published(0.6432, "test", "cifar100", "the paper's table 2"),
            Published(0.9953, "test", "mnist", "the paper's table 4"),
        ),
        note="channels of the released configuration; the paper prints none",
    ),
    Architecture(
        "nin_imagenet",
        builder=nin_imagenet,
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=7_595_176,
        macs=1_100_188_800,
        note="the authors' later Caffe model, not in the paper",
    ),
    Architecture(
        "nin_textbook",
        builder=nin_textbook,
        paper=TEXTBOOK,
        dataset="cifar10",
        image_size=224,
        params=2_015_398,
        macs=830_041_864,
        published=textbook_published(0.5000, "cifar10", pixels=224),
        recipe="textbook",
        note="the textbook's network; its best epoch, the 8th, had 54.58 %",
    ),
    Architecture(
        "nin_textbook_mnist",
        builder=nin_textbook,
        paper=TEXTBOOK,
        dataset="mnist",
        image_size=224,
        in_channels=1,
        params=1_992_166,
        macs=762_297_352,
        published=textbook_published(0.9866, "mnist", pixels=224),
        recipe="textbook",
        note="the textbook's network for one channel; its accuracy fell to 26 % in the 5th epoch and recovered",
    ),
)

FAMILY = Family(
    "nin",
    title="Network in Network",
    docstring=__doc__,
    rows=ROWS,
    shown="nin_cifar",
    lineage=("nin_imagenet",),
)
