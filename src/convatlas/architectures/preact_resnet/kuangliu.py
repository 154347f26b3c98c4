"""Pre-activation ResNet-18 for 32 pixels, from kuangliu's collection: wide basic units after a 3x3 stem.

The units are those of He et al. 2016, https://arxiv.org/abs/1603.05027; the network is from
https://github.com/kuangliu/pytorch-cifar.

>>> from convatlas.complexity import outline
>>> print(outline("preact_resnet18_cifar"))
stem     64 x 32 x 32       1,728
stage1   64 x 32 x 32     147,968
stage2  128 x 16 x 16     525,184
stage3    256 x 8 x 8   2,098,944
stage4    512 x 4 x 4   8,392,192
head               10       5,130

Departs from the paper: the paper has no such network. The paper's networks have a norm and an activation between the
last sum and the pooling; this network has none. Initial weights are PyTorch's default.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published
from convatlas.architectures.preact_resnet.cifar import PAPER, basic_unit
from convatlas.architectures.preact_resnet.wide import wide_first_unit
from convatlas.layers import (
    Activation,
    activation_layer,
    check_counts,
    check_stages,
    classifier,
    preactivation_stages,
    sequential,
)


def preact_resnet_basic(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 64,
    depths: tuple[int, ...] = (2, 2, 2, 2),
    widths: tuple[int, ...] = (64, 128, 256, 512),
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds a stem and stages of basic units, without a last norm: (N, in_channels, H, W) -> (N, num_classes).

    Each stage has `depths` units of `widths` channels; each stage but the first halves height and width. Initial
    weights: PyTorch's default. Raises `UsageError` for an unknown activation and for depths and widths that do not
    match.
    """
    check_counts(stem_channels=stem_channels)
    check_stages(depths=depths, widths=widths)
    act = activation_layer(activation)
    stages = preactivation_stages(
        stem_channels,
        depths=depths,
        widths=widths,
        first_unit=partial(wide_first_unit, act=act, dropout=0.0),
        next_unit=partial(basic_unit, act=act),
    )
    stem = sequential(conv=nn.Conv2d(in_channels, stem_channels, 3, padding=1, bias=False))
    return sequential(stem=stem, **stages, head=classifier(widths[-1], num_classes))


# In the first units of the later stages, norm and activation serve both paths; the other units have another form.
KUANGLIU_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "layer1.{}.bn{}": "stage1.{}.branch.conv{}.norm",
    "layer1.{}.conv{}": "stage1.{}.branch.conv{}.conv",
    "layer{}.0.bn1": "stage{}.0.norm",
    "layer{}.0.conv1": "stage{}.0.paths.branch.conv1",
    "layer{}.0.bn2": "stage{}.0.paths.branch.conv2.norm",
    "layer{}.0.conv2": "stage{}.0.paths.branch.conv2.conv",
    "layer{}.0.shortcut.0": "stage{}.0.paths.shortcut",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "linear": "head.fc",
}

ROWS = (
    Architecture(
        "preact_resnet18_cifar",
        builder=preact_resnet_basic,
        paper=PAPER,
        dataset="cifar10",
        params=11_171_146,
        macs=555_422_720,
        published=(
            Published(0.9511, "test", "cifar10", "kuangliu/pytorch-cifar's README, best epoch by the test set"),
        ),
        layouts={"kuangliu": KUANGLIU_KEYS},
        note="not the paper's: kuangliu's, without norm and activation before the pooling",
    ),
)
