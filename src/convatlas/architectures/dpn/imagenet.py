"""Dual path networks: each block adds to a residual path, which reuses features, and appends new ones to a dense path.

Chen, Li, Xiao, Jin, Yan, Feng. Dual Path Networks. NIPS 2017. https://arxiv.org/abs/1707.01629
The authors' code is https://github.com/cypw/DPNs.

>>> from convatlas.complexity import outline
>>> print(outline("dpn92"))
stem      64 x 56 x 56       9,536
stage1   336 x 56 x 56     173,248
stage2   704 x 28 x 28   1,094,208
stage3  1552 x 14 x 14  19,558,848
stage4    2688 x 7 x 7  14,138,176
norm      2688 x 7 x 7       5,376
act       2688 x 7 x 7           0
head              1000   2,689,000

Departs from the paper: nothing; figures and details follow the authors' code. In it, norm and activation come before
each convolution, and once more before the pooling. The epsilon of the norms is 1e-3, MXNet's default. The dense path
begins with two growth rates of projected channels. The code does not say how the weights begin; here they begin Kaiming
normal by fan-in. The authors' files expect RGB values from 0 to 255, minus (124, 117, 104), times 0.0167. For images
larger than 224 pixels the authors also tested with mean-max pooling, which is not here. timm's classifier is a 1x1
convolution; the authors' is a linear layer.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.dpn.blocks import DualPath, Stage, dual_path_stages, stages_of
from convatlas.errors import UsageError
from convatlas.layers import (
    Activation,
    ConvNormAct,
    Layer,
    NormActConv,
    activation_layer,
    check_counts,
    classifier,
    initialize_kaiming,
    sequential,
)

NORM = partial(nn.BatchNorm2d, eps=1e-3)


def preactivation_block(
    in_channels: int, stage: Stage, *, stride: int, shortcut: nn.Module | None, groups: int, act: Layer
) -> DualPath:
    """Builds 1x1, grouped 3x3 and 1x1 convolutions beside the shortcut.

    (N, in, H, W) -> (N, out, H / stride, W / stride).
    """
    conv = partial(NormActConv, norm=NORM, act=act)
    branch = sequential(
        conv1=conv(in_channels, stage.inner, 1),
        conv2=conv(stage.inner, stage.inner, 3, stride=stride, groups=groups),
        conv3=conv(stage.inner, stage.width + stage.growth, 1),
    )
    return DualPath(branch, width=stage.width, shortcut=shortcut)


def dpn(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stem_channels: int = 64,
    stem_kernel: int = 7,
    depths: tuple[int, ...] = (3, 4, 20, 3),
    widths: tuple[int, ...] = (256, 512, 1024, 2048),
    inner_widths: tuple[int, ...] = (96, 192, 384, 768),
    growth_rates: tuple[int, ...] = (16, 32, 24, 128),
    groups: int = 32,
    activation: Activation = "relu",
) -> nn.Sequential:
    """Builds the network of the paper's table 1: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels.

    Each stage has `depths` blocks and `widths` channels of the residual path; each block adds `growth_rates` channels
    to the dense path. The 3x3 convolutions have `inner_widths` channels in `groups`. Each stage but the first halves
    height and width. Initialisation: Kaiming normal by fan-in; PyTorch's default for the linear layer. Raises
    `UsageError` for an unknown activation, for an even `stem_kernel`, for tuples of different lengths and for inner
    widths that the groups do not divide.
    """
    stages = stages_of(
        depths=depths, widths=widths, inner_widths=inner_widths, growth_rates=growth_rates, groups=groups
    )
    check_counts(stem_channels=stem_channels, stem_kernel=stem_kernel)
    if stem_kernel % 2 == 0:
        raise UsageError(f"stem_kernel={stem_kernel} must be odd")
    act = activation_layer(activation)
    stem = sequential(
        conv=ConvNormAct(in_channels, stem_channels, stem_kernel, stride=2, norm=NORM, act=act),
        pool=nn.MaxPool2d(3, 2, padding=1),
    )
    block = partial(preactivation_block, groups=groups, act=act)
    projection = partial(NormActConv, kernel=1, norm=NORM, act=act)
    named, channels = dual_path_stages(stem_channels, stages, block=block, projection=projection, begin=2)
    network = sequential(stem=stem, **named, norm=NORM(channels), act=act(), head=classifier(channels, num_classes))
    initialize_kaiming(network, activation=activation, fan="fan_in")
    return network


PAPER = Paper("Dual Path Networks", "Chen, Li, Xiao, Jin, Yan, Feng", 2017, "https://arxiv.org/abs/1707.01629")

TIMM_KEYS: dict[str, str | None] = {
    "features.conv1_1.conv": "stem.conv.conv",
    "features.conv1_1.bn": "stem.conv.norm",
    "features.conv{}_{}.c1x1_w_s1.bn": "stage{-1}.{-1}.shortcut.norm",
    "features.conv{}_{}.c1x1_w_s1.conv": "stage{-1}.{-1}.shortcut.conv",
    "features.conv{}_{}.c1x1_w_s2.bn": "stage{-1}.{-1}.shortcut.norm",
    "features.conv{}_{}.c1x1_w_s2.conv": "stage{-1}.{-1}.shortcut.conv",
    "features.conv{}_{}.c1x1_a.bn": "stage{-1}.{-1}.branch.conv1.norm",
    "features.conv{}_{}.c1x1_a.conv": "stage{-1}.{-1}.branch.conv1.conv",
    "features.conv{}_{}.c3x3_b.bn": "stage{-1}.{-1}.branch.conv2.norm",
    "features.conv{}_{}.c3x3_b.conv": "stage{-1}.{-1}.branch.conv2.conv",
    "features.conv{}_{}.c1x1_c.bn": "stage{-1}.{-1}.branch.conv3.norm",
    "features.conv{}_{}.c1x1_c.conv": "stage{-1}.{-1}.branch.conv3.conv",
    "features.conv5_bn_ac.bn": "norm",
    "classifier": "head.fc",
}


def _published(top1: float, *, at_320: float) -> tuple[Published, ...]:
    """Returns a line of the authors' README, without mean-max pooling."""
    source = "cypw/DPNs' README, in MXNet, one crop of {} pixels"
    return tuple(
        Published(accuracy, "validation", "imagenet", source.format(pixels))
        for pixels, accuracy in ((224, top1), (320, at_320))
    )


_row = partial(
    Architecture,
    paper=PAPER,
    dataset="imagenet",
    image_size=224,
    num_classes=1000,
    layouts={"timm": TIMM_KEYS},
)
# The values that DPN-98 and DPN-131 share.
_groups_of_40 = partial(dpn, groups=40, inner_widths=(160, 320, 640, 1280), growth_rates=(16, 32, 32, 128))

ROWS = (
    _row(
        "dpn68",
        builder=partial(
            dpn,
            stem_channels=10,
            stem_kernel=3,
            depths=(3, 4, 12, 3),
            widths=(64, 128, 256, 512),
            inner_widths=(128, 256, 512, 1024),
            growth_rates=(16, 32, 32, 64),
        ),
        params=12_611_602,
        macs=2_326_163_456,
        published=_published(0.7643, at_320=0.7785),
    ),
    _row(
        "dpn92",
        builder=dpn,
        params=37_668_392,
        macs=6_501_684_224,
        published=_published(0.7927, at_320=0.8066),
    ),
    _row(
        "dpn98",
        builder=partial(_groups_of_40, stem_channels=96, depths=(3, 6, 20, 3)),
        params=61_570_728,
        macs=11_671_217_152,
        published=_published(0.7985, at_320=0.8106),
    ),
    _row(
        "dpn131",
        builder=partial(_groups_of_40, stem_channels=128, depths=(4, 8, 28, 3)),
        params=79_254_504,
        macs=16_013_648_896,
        published=_published(0.8007, at_320=0.8138),
    ),
)
