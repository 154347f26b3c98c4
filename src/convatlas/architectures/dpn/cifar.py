"""Dual path networks for images of 32 pixels, in the form of https://github.com/kuangliu/pytorch-cifar.

Chen, Li, Xiao, Jin, Yan, Feng. Dual Path Networks. NIPS 2017. https://arxiv.org/abs/1707.01629

>>> from convatlas.complexity import outline
>>> print(outline("dpn26_cifar"))
stem     64 x 32 x 32       1,856
stage1  304 x 32 x 32     111,008
stage2  608 x 16 x 16     568,768
stage3   1096 x 8 x 8   2,179,472
stage4   2432 x 4 x 4   8,689,408
head               10      24,330

Departs from the paper: the paper's networks are for 224 pixels, with a stem that subsamples. Here a 3x3 convolution is
the stem. Norms and activations come after the convolutions, and the last activation comes after both paths are joined.
The dense path begins with one growth rate of projected channels instead of two. Initial weights are PyTorch's default,
because kuangliu's code sets none.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published
from convatlas.architectures.dpn.blocks import DualPath, Stage, dual_path_stages, stages_of
from convatlas.architectures.dpn.imagenet import PAPER
from convatlas.layers import Activation, ConvNormAct, Layer, activation_layer, check_counts, classifier, sequential


def postactivation_block(
    in_channels: int, stage: Stage, *, stride: int, shortcut: nn.Module | None, groups: int, act: Layer
) -> DualPath:
    """Builds 1x1, grouped 3x3 and 1x1 convolutions beside the shortcut, then the activation of both paths.

    (N, in, H, W) -> (N, out, H / stride, W / stride).
    """
    branch = sequential(
        conv1=ConvNormAct(in_channels, stage.inner, 1, act=act),
        conv2=ConvNormAct(stage.inner, stage.inner, 3, stride=stride, groups=groups, act=act),
        conv3=ConvNormAct(stage.inner, stage.width + stage.growth, 1, act=None),
    )
    return DualPath(branch, width=stage.width, shortcut=shortcut, act=act())


def dpn_cifar(
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    stem_channels: int = 64,
    depths: tuple[int, ...] = (3, 4, 20, 3),
    widths: tuple[int, ...] = (256, 512, 1024, 2048),
    inner_widths: tuple[int, ...] = (96, 192, 384, 768),
    growth_rates: tuple[int, ...] = (16, 32, 24, 128),
    groups: int = 32,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds kuangliu's networks: (N, in_channels, H, W) -> (N, num_classes), for 32 pixels.

    Each stage has `depths` blocks and `widths` channels of the residual path; each block adds `growth_rates` channels
    to the dense path. The 3x3 convolutions have `inner_widths` channels in `groups`. Each stage but the first halves
    height and width. Initialisation: PyTorch's default. Raises `UsageError` for an unknown activation, for tuples of
    different lengths and for inner widths that the groups do not divide.
    """
    stages = stages_of(
        depths=depths, widths=widths, inner_widths=inner_widths, growth_rates=growth_rates, groups=groups
    )
    check_counts(stem_channels=stem_channels)
    act = activation_layer(activation)
    block = partial(postactivation_block, groups=groups, act=act)
    projection = partial(ConvNormAct, kernel=1, act=None)
    named, channels = dual_path_stages(stem_channels, stages, block=block, projection=projection, begin=1)
    stem = ConvNormAct(in_channels, stem_channels, 3, act=act)
    return sequential(stem=stem, **named, head=classifier(channels, num_classes))


KUANGLIU_KEYS: dict[str, str | None] = {
    "conv1": "stem.conv",
    "bn1": "stem.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "layer{}.{}.shortcut.0": "stage{}.{}.shortcut.conv",
    "layer{}.{}.shortcut.1": "stage{}.{}.shortcut.norm",
    "linear": "head.fc",
}

_row = partial(
    Architecture,
    paper=PAPER,
    dataset="cifar10",
    layouts={"kuangliu": KUANGLIU_KEYS},
    note="kuangliu's, not the paper's: a 3x3 stem, activations after the norms, a dense path that begins shorter",
)

ROWS = (
    _row("dpn26_cifar", builder=partial(dpn_cifar, depths=(2, 2, 2, 2)), params=11_574_842, macs=665_050_880),
    _row(
        "dpn92_cifar",
        builder=dpn_cifar,
        params=34_236_634,
        macs=2_042_422_272,
        published=(
            Published(0.9516, "test", "cifar10", "kuangliu/pytorch-cifar's README, best epoch by the test set"),
        ),
    ),
)
