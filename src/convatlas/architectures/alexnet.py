"""AlexNet: LeNet made large, with ReLUs to learn fast, dropout against overfitting, and two GPUs to fit in.

Krizhevsky, Sutskever, Hinton. ImageNet Classification with Deep Convolutional Neural Networks. NIPS 2012.
https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
`alexnet` is the later form in one tower, for which torchvision has weights: Krizhevsky. One weird trick for
parallelizing convolutional neural networks. 2014. https://arxiv.org/abs/1404.5997
`alexnet_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021).

>>> from convatlas.complexity import outline
>>> print(outline("alexnet_original"))
stem     96 x 27 x 27      34,944
stage1  256 x 13 x 13     307,456
stage2    256 x 6 x 6   1,991,680
head             1000  58,631,144

Departs from the paper: `alexnet_original` takes 227 pixels. The paper says 224, but only 227 pixels give its maps of 55
by 55. The two towers are two groups of one convolution. Response normalisation sees neighbours across the border of the
towers, as the formula does. `alexnet` has torchvision's 256 filters in the fourth convolution, where the paper of 2014
has 384; its last pooling is adaptive, and its initial weights are PyTorch's default. `alexnet_textbook` has one tower
without response normalisation, and maps of 54 by 54. `alexnet_cifar_stem` comes from no paper. Its stem is a 3x3
convolution of stride 1, because an 11x11 convolution of stride 4 and three poolings leave nothing of 32 pixels. It has
1,024 hidden units, because 4,096 units would have 26 million weights for maps of 3 by 3.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Family, Paper
from convatlas.architectures.sources import (
    TEXTBOOK,
    textbook_published,
    torchvision_published,
    torchvision_weights,
)
from convatlas.errors import UsageError
from convatlas.layers import (
    ConvNormAct,
    activation_layer,
    check_counts,
    check_dropout,
    dense_layers,
    initialize_kaiming,
    initialize_normal,
    initialize_xavier,
    sequential,
)

RELU = activation_layer("relu")
conv = partial(ConvNormAct, bias=True, norm=None, act=RELU)
overlapping_pool = partial(nn.MaxPool2d, 3, 2)  # section 3.4: windows of 3 with a stride of 2


def response_norm() -> nn.LocalResponseNorm:
    """Builds the norm of section 3.3: a / (2 + 1e-4 sum of squares of 5 neighbouring channels)^0.75.

    (N, C, H, W) -> (N, C, H, W). PyTorch divides its alpha by the window of 5, the paper does not.
    """
    return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def one_tower(widths: tuple[int, ...]) -> dict[str, nn.Module]:
    """Builds convolutions two to five; they see all channels: (N, widths[0], H, W) -> (N, widths[4], H / 4, W / 4)."""
    first, second, third, fourth, fifth = widths
    return {
        "stage1": sequential(conv=conv(first, second, 5), pool=overlapping_pool()),
        "stage2": sequential(
            conv1=conv(second, third, 3),
            conv2=conv(third, fourth, 3),
            conv3=conv(fourth, fifth, 3),
            pool=overlapping_pool(),
        ),
    }


def _check_widths(widths: tuple[int, ...]) -> None:
    check_counts(widths=widths)
    if len(widths) != 5:
        raise UsageError(f"widths={widths} must be five numbers of channels, one for each convolution")


def alexnet_original(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.5) -> nn.Sequential:
    """Builds the network of 2012, figure 2: (N, in_channels, 227, 227) -> (N, num_classes).

    Convolution, ReLU, response normalisation and pooling follow each other. The second, fourth and fifth convolution
    see only their own tower. Initialisation, section 5: normal with standard deviation 0.01. Biases are 1 in these
    three convolutions and in the hidden linear layers, so that ReLUs start with positive inputs, and 0 elsewhere.
    Raises `UsageError` unless 0 <= dropout < 1.
    """
    network = sequential(
        stem=sequential(
            conv=conv(in_channels, 96, 11, stride=4, padding=0), norm=response_norm(), pool=overlapping_pool()
        ),
        stage1=sequential(conv=conv(96, 256, 5, groups=2), norm=response_norm(), pool=overlapping_pool()),
        stage2=sequential(
            conv1=conv(256, 384, 3),
            conv2=conv(384, 384, 3, groups=2),
            conv3=conv(384, 256, 3, groups=2),
            pool=overlapping_pool(),
        ),
        head=sequential(
            flatten=nn.Flatten(),
            **dense_layers(256 * 6 * 6, hidden=4096, num_classes=num_classes, dropout=dropout),
        ),
    )
    initialize_normal(network, std=0.01, kinds=(nn.Conv2d, nn.Linear))
    for name in ("stage1.conv.conv", "stage2.conv2.conv", "stage2.conv3.conv", "head.fc1", "head.fc2"):
        nn.init.ones_(network.get_submodule(name).get_parameter("bias"))
    return network


def alexnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    widths: tuple[int, ...] = (64, 192, 384, 256, 256),
    hidden: int = 4096,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Builds torchvision's network: (N, in_channels, H, W) -> (N, num_classes), made for 224 pixels, at least 63.

    Dropout comes before each hidden layer. Initialisation: PyTorch's default. Raises `UsageError` for other than five
    widths, for counts below 1, and unless 0 <= dropout < 1.
    """
    _check_widths(widths)
    check_counts(hidden=hidden)
    check_dropout(dropout)
    head = sequential(
        pool=nn.AdaptiveAvgPool2d(6),
        flatten=nn.Flatten(),
        dropout1=nn.Dropout(dropout),
        fc1=nn.Linear(widths[-1] * 6 * 6, hidden),
        act1=RELU(),
        dropout2=nn.Dropout(dropout),
        fc2=nn.Linear(hidden, hidden),
        act2=RELU(),
        fc=nn.Linear(hidden, num_classes),
    )
    stem = sequential(conv=conv(in_channels, widths[0], 11, stride=4, padding=2), pool=overlapping_pool())
    return sequential(stem=stem, **one_tower(widths), head=head)


def alexnet_textbook(*, num_classes: int = 10, in_channels: int = 3, dropout: float = 0.5) -> nn.Sequential:
    """Builds the textbook's network: (N, in_channels, 224, 224) -> (N, num_classes).

    Initialisation: Xavier uniform, biases at PyTorch's default. Raises `UsageError` unless 0 <= dropout < 1.
    """
    dense = dense_layers(256 * 5 * 5, hidden=4096, num_classes=num_classes, dropout=dropout)
    network = sequential(
        stem=sequential(conv=conv(in_channels, 96, 11, stride=4, padding=1), pool=overlapping_pool()),
        **one_tower((96, 256, 384, 384, 256)),
        head=sequential(flatten=nn.Flatten(), **dense),
    )
    initialize_xavier(network)
    return network


def alexnet_cifar_stem(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    widths: tuple[int, ...] = (64, 192, 384, 256, 256),
    hidden: int = 1024,
    dropout: float = 0.5,
) -> nn.Sequential:
    """Builds the convolutions of `alexnet`, the first as 3x3 of stride 1: (N, in_channels, H, W) -> (N, num_classes).

    Images have at least 15 pixels; the three poolings turn 32 pixels into 15, 7 and 3. Initialisation: Kaiming normal
    by fan-in for convolutions, PyTorch's default for the rest. Raises `UsageError` for other than five widths, for
    counts below 1, and unless 0 <= dropout < 1.
    """
    _check_widths(widths)
    dense = dense_layers(widths[-1] * 3 * 3, hidden=hidden, num_classes=num_classes, dropout=dropout)
    network = sequential(
        stem=sequential(conv=conv(in_channels, widths[0], 3), pool=overlapping_pool()),
        **one_tower(widths),
        head=sequential(pool=nn.AdaptiveAvgPool2d(3), flatten=nn.Flatten(), **dense),
    )
    initialize_kaiming(network, activation="relu", fan="fan_in")
    return network


PAPER = Paper(
    "ImageNet Classification with Deep Convolutional Neural Networks",
    "Krizhevsky, Sutskever, Hinton",
    2012,
    "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
)
ONE_TOWER = Paper(
    "One weird trick for parallelizing convolutional neural networks",
    "Krizhevsky",
    2014,
    "https://arxiv.org/abs/1404.5997",
)

TORCHVISION_KEYS: dict[str, str | None] = {
    "features.0": "stem.conv.conv",
    "features.3": "stage1.conv.conv",
    "features.6": "stage2.conv1.conv",
    "features.8": "stage2.conv2.conv",
    "features.10": "stage2.conv3.conv",
    "classifier.1": "head.fc1",
    "classifier.4": "head.fc2",
    "classifier.6": "head.fc",
}

ROWS = (
    Architecture(
        "alexnet_original",
        builder=alexnet_original,
        paper=PAPER,
        dataset="imagenet",
        image_size=227,
        num_classes=1000,
        params=60_965_224,
        macs=724_406_816,
        note="the paper's network of 2012: two towers as groups, response normalisation, 227 pixels",
    ),
    Architecture(
        "alexnet",
        builder=alexnet,
        paper=ONE_TOWER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=61_100_840,
        macs=714_188_480,
        published=(torchvision_published(0.56522),),
        weights=(torchvision_weights("alexnet-owt-7be5be79.pth", keys=TORCHVISION_KEYS),),
        note="torchvision's form of 2014: one tower, no response normalisation",
    ),
    Architecture(
        "alexnet_textbook",
        builder=alexnet_textbook,
        paper=TEXTBOOK,
        dataset="cifar10",
        image_size=224,
        params=46_787_978,
        macs=1_005_890_688,
        published=textbook_published(0.7768, "cifar10", pixels=224),
        recipe="textbook",
        note="the textbook's network: one tower of the paper's widths, no response normalisation",
    ),
    Architecture(
        "alexnet_cifar_stem",
        builder=alexnet_cifar_stem,
        paper=ONE_TOWER,
        dataset="cifar10",
        params=5_868_362,
        macs=179_075_072,
        note="not the paper's: the convolutions of `alexnet` with a 3x3 stem and 1,024 hidden units, for 32 pixels",
    ),
)

FAMILY = Family(
    "alexnet",
    title="AlexNet",
    docstring=__doc__,
    rows=ROWS,
    shown="alexnet_original",
    lineage=("alexnet_original", "alexnet"),
)
