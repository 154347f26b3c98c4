"""GoogLeNet in the form of its published weights: batch norm after every convolution, and 3x3 in place of 5x5.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich. Going Deeper with Convolutions. CVPR 2015.
https://arxiv.org/abs/1409.4842; the network is torchvision's, https://github.com/pytorch/vision.

>>> from convatlas.complexity import outline
>>> print(outline("googlenet"))
stem         192 x 28 x 28     124,736
inception3a  256 x 28 x 28     155,872
inception3b  480 x 28 x 28     340,224
pool3        480 x 14 x 14           0
inception4a  512 x 14 x 14     364,512
inception4b  512 x 14 x 14     425,232
inception4c  512 x 14 x 14     486,192
inception4d  528 x 14 x 14     573,312
inception4e  832 x 14 x 14     803,840
pool4          832 x 7 x 7           0
inception5a    832 x 7 x 7     978,944
inception5b   1024 x 7 x 7   1,347,040
head                  1000   1,025,000

Departs from the paper: there is batch norm (epsilon 0.001) without biases, and no local response norm. There are 3x3
convolutions where the paper has 5x5; this was an oversight, and the published weights keep it. The fourth pooling takes
2x2 pixels. Dropout is 0.2 where the paper has 0.4. The auxiliary heads average to 4x4 pixels from any size.
`googlenet_original` is the paper's network.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Weights
from convatlas.architectures.googlenet.blocks import (
    RELU,
    auxiliary_heads,
    inception,
    inception_stages,
    plain_stem,
)
from convatlas.architectures.googlenet.original import PAPER, POOL, TABLE_1
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryHeads, ConvNormAct, InputTransform, classifier, sequential

CONV = partial(ConvNormAct, norm=partial(nn.BatchNorm2d, eps=1e-3), act=RELU)


def _stages(in_channels: int, num_classes: int, *, transform_input: bool, dropout: float) -> dict[str, nn.Module]:
    if transform_input and in_channels != 3:
        raise UsageError(f"transform_input=True is for 3 input channels, not {in_channels}")
    block = partial(inception, conv=CONV, conv5x5=partial(CONV, kernel=3))
    pools = {"pool3": POOL(), "pool4": nn.MaxPool2d(2, 2, ceil_mode=True)}
    stages, channels = inception_stages(192, TABLE_1, block=block, pools=pools)
    return {
        **({"transform": InputTransform()} if transform_input else {}),
        "stem": plain_stem(in_channels, conv=CONV, pool=POOL),
        **stages,
        "head": classifier(channels, num_classes, dropout=dropout),
    }


def _initialize(network: nn.Module) -> None:
    # torchvision truncates at -2 and 2, which are 200 standard deviations.
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=0.01)


def googlenet(
    *, num_classes: int = 1000, in_channels: int = 3, transform_input: bool = False, dropout: float = 0.2
) -> nn.Sequential:
    """Builds torchvision's GoogLeNet: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels, at least 15.

    `transform_input` turns images normalised with ImageNet's mean and deviation into images normalised with 0.5 and
    0.5, with which the published weights were trained. Initialisation as in torchvision: normal with standard deviation
    0.01, biases at PyTorch's default. Raises `UsageError` unless 0 <= dropout < 1, and for `transform_input` with other
    than 3 channels.
    """
    network = sequential(**_stages(in_channels, num_classes, transform_input=transform_input, dropout=dropout))
    _initialize(network)
    return network


def googlenet_aux(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    transform_input: bool = False,
    dropout: float = 0.2,
    auxiliary_dropout: float = 0.7,
    auxiliary_weight: float = 0.3,
) -> AuxiliaryHeads:
    """Builds `googlenet` with two auxiliary classifiers: in training (N, in_channels, H, W) -> `AuxiliaryLogits`.

    In eval mode (N, in_channels, H, W) -> (N, num_classes). Initialisation and errors are those of `googlenet`. Raises
    `UsageError` also for a negative `auxiliary_weight`; its default is the paper's.
    """
    heads = auxiliary_heads(
        TABLE_1, num_classes, pool=partial(nn.AdaptiveAvgPool2d, 4), conv=CONV, dropout=auxiliary_dropout
    )
    stages = _stages(in_channels, num_classes, transform_input=transform_input, dropout=dropout)
    network = AuxiliaryHeads(stages, heads=heads, weight=auxiliary_weight)
    _initialize(network)
    return network


_LAYERS = {
    "branch1": "branch1x1",
    "branch2.0": "branch3x3.reduce",
    "branch2.1": "branch3x3.conv",
    "branch3.0": "branch5x5.reduce",
    "branch3.1": "branch5x5.conv",
    "branch4.1": "branch_pool.projection",
}
_CONVOLUTIONS = {
    "conv1": "stem.conv1",
    "conv2": "stem.reduce",
    "conv3": "stem.conv2",
    **{
        f"{name}.{theirs}": f"{name}.{ours}"
        for name, widths in TABLE_1.items()
        if widths is not None
        for theirs, ours in _LAYERS.items()
    },
}
TORCHVISION_KEYS: dict[str, str | None] = {
    **{f"{theirs}.conv": f"{ours}.conv" for theirs, ours in _CONVOLUTIONS.items()},
    **{f"{theirs}.bn": f"{ours}.norm" for theirs, ours in _CONVOLUTIONS.items()},
    "fc": "head.fc",
}
WITHOUT_HEADS = TORCHVISION_KEYS | {"aux1": None, "aux2": None}
WITH_HEADS = TORCHVISION_KEYS | {
    f"{theirs}.{layer}": f"auxiliary.{stage}.{ours}"
    for theirs, stage in (("aux1", "inception4a"), ("aux2", "inception4d"))
    for layer, ours in (("conv.conv", "conv.conv"), ("conv.bn", "conv.norm"), ("fc1", "fc1"), ("fc2", "fc"))
}


def _published(keys: dict[str, str | None]) -> tuple[Weights, ...]:
    # The weights were trained with images normalised with 0.5 and 0.5. torchvision normalises with ImageNet's values
    # and then transforms the images (`transform_input`); normalising with 0.5 and 0.5 gives equal images at once.
    weights = torchvision_weights("googlenet-1378be20.pth", keys=keys)
    return (dataclasses.replace(weights, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),)


_row = partial(
    Architecture,
    paper=PAPER,
    dataset="imagenet",
    image_size=224,
    num_classes=1000,
    macs=1_498_376_192,  # in eval mode, without auxiliary heads
    published=(torchvision_published(0.69778),),
)

ROWS = (
    _row(
        "googlenet",
        builder=googlenet,
        params=6_624_904,
        weights=_published(WITHOUT_HEADS),
        layouts={"torchvision_without_heads": TORCHVISION_KEYS},
        note="the network of the published weights: batch norm, and 3x3 convolutions where the paper has 5x5",
    ),
    _row(
        "googlenet_aux",
        builder=googlenet_aux,
        params=13_004_888,
        weights=_published(WITH_HEADS),
        note="the network of the published weights with its auxiliary heads, which were not trained",
    ),
)
