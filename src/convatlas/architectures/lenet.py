"""LeNet-5: small filters shared over the image, and coarser maps from layer to layer, all learned by gradients.

LeCun, Bottou, Bengio, Haffner. Gradient-Based Learning Applied to Document Recognition. Proceedings of the IEEE 86
(11), 1998. http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf
`lenet5_textbook` is the network of Dive into Deep Learning (Zhang, Lipton, Li, Smola 2021),
https://d2l.ai/chapter_convolutional-neural-networks/lenet.html, and `lenet_cifar` is the network of
https://github.com/kuangliu/pytorch-cifar.

>>> from convatlas.complexity import outline
>>> print(outline("lenet5_original"))
stage1  6 x 14 x 14         168
stage2   16 x 5 x 5       1,548
stage3  120 x 1 x 1      48,120
head             10      10,164

Departs from the paper: the codes of `lenet5_original`'s output units are random, where the paper draws characters, and
the recipe chooses the loss. `lenet5` is the form in which the network is commonly written: every map of C3 sees all
of S2, subsampling has no parameters and no squashing function, and the output layer is linear. `lenet5_textbook` is
this form with sigmoids. `lenet_cifar` is this form with ReLUs and maximum pooling.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architecture import Architecture, Family, Paper
from convatlas.architectures.sources import TEXTBOOK
from convatlas.errors import UsageError, unknown
from convatlas.layers import ConvNormAct, Layer, activation_layer, check_counts, initialize_xavier, sequential


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x / 3), the squashing function of the paper's appendix A. It is 1 at 1 and -1 at -1."""

    def forward(self, features: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(features * (2 / 3))


class Subsampling(nn.Module):
    """The sum of 2x2 values times a coefficient plus a bias, which each map learns for itself; section II-B.

    (N, channels, H, W) -> (N, channels, H / 2, W / 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: Tensor) -> Tensor:
        total = 4 * F.avg_pool2d(features, 2)
        return total * self.coefficient[:, None, None] + self.bias[:, None, None]


class TableConvolution(nn.Module):
    """A 5x5 convolution in which each map sees only some maps of its input: (N, C, H, W) -> (N, maps, H - 4, W - 4).

    `table` holds for each map the indices of the input maps that it sees.
    """

    def __init__(self, table: tuple[tuple[int, ...], ...]) -> None:
        super().__init__()
        self.table = table
        self.maps = nn.ModuleList(nn.Conv2d(len(seen), 1, 5) for seen in table)

    def forward(self, features: Tensor) -> Tensor:
        inputs = features.unbind(1)
        seen = (torch.stack([inputs[index] for index in indices], 1) for indices in self.table)
        return torch.cat([conv(part) for conv, part in zip(self.maps, seen, strict=True)], 1)


class RadialBasis(nn.Module):
    """Euclidean radial basis units, equation 7: (N, features) -> (N, num_classes), the negative squared distances.

    Each class has a code of +1 and -1 that is not learned. The paper says that codes could be drawn at random, and
    takes stylised drawings of the characters, 7 x 12 pixels. Here the codes are random, because classes need not be
    characters. A generator of their own draws them, so that they are equal in every network, whatever its seed.
    """

    codes: Tensor

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1998)
        bits = torch.randint(2, (num_classes, features), generator=generator, device="cpu")
        self.register_buffer("codes", (2.0 * bits - 1.0).to(torch.get_default_device()))

    def forward(self, features: Tensor) -> Tensor:
        return -(features[:, None, :] - self.codes).square().sum(2)


def subsampling(channels: int) -> nn.Sequential:
    """Builds subsampling and the squashing function."""
    return sequential(sum=Subsampling(channels), act=ScaledTanh())


def initialize_lecun(network: nn.Module) -> None:
    """Initialises as in appendix A: uniform within 2.4 / fan_in, the number of inputs of the unit that has the weight.

    Biases are initialised in the same way, as weights of a constant input. So are the coefficients of subsampling,
    whose units have 4 inputs.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
        elif isinstance(module, Subsampling):
            fan_in = 4
        else:
            continue
        for parameter in module.parameters(recurse=False):
            nn.init.uniform_(parameter, -2.4 / fan_in, 2.4 / fan_in)


def keep_initial(network: nn.Module) -> None:
    """Leaves PyTorch's default as it is."""


ACTIVATIONS: dict[str, Layer] = {"scaled_tanh": ScaledTanh, "sigmoid": nn.Sigmoid, "relu": activation_layer("relu")}
POOLINGS: dict[str, Layer] = {"average": nn.AvgPool2d, "max": nn.MaxPool2d}
INITIAL: dict[str, Callable[[nn.Module], None]] = {
    "lecun": initialize_lecun,
    "xavier": initialize_xavier,
    "pytorch": keep_initial,
}


def lenet(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    activation: Literal["scaled_tanh", "sigmoid", "relu"] = "scaled_tanh",
    pooling: Literal["average", "max"] = "average",
    padding: int = 0,
    initial: Literal["lecun", "xavier", "pytorch"] = "lecun",
) -> nn.Sequential:
    """Builds the common form: (N, in_channels, 32, 32) -> (N, num_classes), or 28 pixels with a padding of 2.

    Initialisation: `lecun` is the paper's, uniform within 2.4 / fan_in; `xavier` leaves biases at PyTorch's default;
    `pytorch` is PyTorch's default. Raises `UsageError` for an unknown activation, pooling or initialisation, and for
    another padding than 0 or 2.
    """
    for kind, name, permitted in (
        ("activation", activation, ACTIVATIONS),
        ("pooling", pooling, POOLINGS),
        ("initial", initial, INITIAL),
    ):
        if name not in permitted:
            raise unknown(kind, name, permitted)
    if padding not in (0, 2):
        raise UsageError(f"padding={padding!r} must be 0, for images of 32 pixels, or 2, for images of 28")
    act, pool = ACTIVATIONS[activation], POOLINGS[pooling]
    conv = partial(ConvNormAct, kernel=5, bias=True, norm=None, act=act)
    network = sequential(
        stage1=sequential(conv=conv(in_channels, 6, padding=padding), pool=pool(2)),
        stage2=sequential(conv=conv(6, 16, padding=0), pool=pool(2)),
        head=sequential(
            flatten=nn.Flatten(),
            fc1=nn.Linear(16 * 5 * 5, 120),
            act1=act(),
            fc2=nn.Linear(120, 84),
            act2=act(),
            fc=nn.Linear(84, num_classes),
        ),
    )
    INITIAL[initial](network)
    return network


# Table I: the maps of S2 that each of C3's 16 maps sees.
TABLE_1 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),  # three neighbours, 0 follows 5
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),  # four neighbours
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),  # two pairs
    (0, 1, 2, 3, 4, 5),
)


def lenet5_original(*, num_classes: int = 10, in_channels: int = 1) -> nn.Sequential:
    """Builds LeNet-5 as section II-B describes it: (N, in_channels, 32, 32) -> (N, num_classes).

    `stage1` is C1 and S2, `stage2` is C3 and S4, `stage3` is C5, and the head is F6 and the output layer.
    Initialisation: uniform within 2.4 / fan_in. Raises `UsageError` for counts below 1.
    """
    check_counts(num_classes=num_classes, in_channels=in_channels)
    conv = partial(ConvNormAct, kernel=5, padding=0, bias=True, norm=None, act=ScaledTanh)
    network = sequential(
        stage1=sequential(conv=conv(in_channels, 6), pool=subsampling(6)),
        stage2=sequential(conv=sequential(conv=TableConvolution(TABLE_1), act=ScaledTanh()), pool=subsampling(16)),
        stage3=conv(16, 120),
        head=sequential(
            flatten=nn.Flatten(), fc1=nn.Linear(120, 84), act1=ScaledTanh(), rbf=RadialBasis(84, num_classes)
        ),
    )
    initialize_lecun(network)
    return network


PAPER = Paper(
    "Gradient-Based Learning Applied to Document Recognition",
    "LeCun, Bottou, Bengio, Haffner",
    1998,
    "http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf",
)

KUANGLIU_KEYS: dict[str, str | None] = {
    "conv{}": "stage{}.conv.conv",
    "fc1": "head.fc1",
    "fc2": "head.fc2",
    "fc3": "head.fc",
}

_row = partial(Architecture, builder=lenet, paper=PAPER)

ROWS = (
    _row(
        "lenet5",
        dataset="mnist",
        in_channels=1,
        params=61_706,
        macs=416_520,
        note="the common form: every map of C3 sees all of S2, average pooling without parameters, linear output layer",
    ),
    _row(
        "lenet5_original",
        builder=lenet5_original,
        dataset="mnist",
        in_channels=1,
        params=60_000,
        macs=325_680,
        note="the paper's network, with random codes of the output units; MACs are counted for C1, C3, C5 and F6",
    ),
    _row(
        "lenet5_textbook",
        builder=partial(lenet, activation="sigmoid", padding=2, initial="xavier"),
        paper=TEXTBOOK,
        dataset="mnist",
        image_size=28,
        in_channels=1,
        params=61_706,
        macs=416_520,
        note="the textbook's network: sigmoids, average pooling, for images of 28 pixels",
    ),
    _row(
        "lenet_cifar",
        builder=partial(lenet, activation="relu", pooling="max", initial="pytorch"),
        dataset="cifar10",
        in_channels=3,
        params=62_006,
        macs=651_720,
        layouts={"kuangliu": KUANGLIU_KEYS},
        note="not the paper's: ReLU and maximum pooling, for images of 3 channels",
    ),
)

FAMILY = Family(
    "lenet",
    title="LeNet",
    docstring=__doc__,
    rows=ROWS,
    shown="lenet5_original",
    opened=("stage2",),
    lineage=("lenet5",),
)
