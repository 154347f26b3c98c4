"""Inception-v3: large convolutions factorised into small and asymmetric ones, on grids that shrink without bottleneck.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna. Rethinking the Inception Architecture for Computer Vision. CVPR 2016.
https://arxiv.org/abs/1512.00567; the network is that of the published weights, which torchvision and timm have too,
https://github.com/pytorch/vision

>>> from convatlas.complexity import outline
>>> print(outline("inception_v3"))
stem        192 x 35 x 35     172,672
stage1      288 x 35 x 35     818,528
reduction1  768 x 17 x 17   1,153,280
stage2      768 x 17 x 17   6,821,376
reduction2   1280 x 8 x 8   1,698,304
stage3       2048 x 8 x 8  11,121,408
head                 1000   2,049,000

Departs from the paper: table 1 has five modules on the 17x17 grid, the release has four. The release's stem pools once
more where the table's stem convolves. Its fine modules keep a 5x5 convolution beside the two 3x3 ones. `inception_v2`
is the network of the table. The paper gives no weight for the auxiliary loss.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published, Weights
from convatlas.architectures.inception.blocks import CONV, VALID, auxiliary_head, initialize
from convatlas.architectures.inception.grids import Filters, grids
from convatlas.architectures.sources import torchvision_published, torchvision_weights
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryHeads, InputTransform, classifier, sequential

AUXILIARY_WEIGHT = 0.4  # TF-slim's training code, https://github.com/tensorflow/models/tree/master/research/slim
# The deviations of the auxiliary head's last layers. torchvision sets the first one on a module that never reads it.
AUXILIARY_STDS = {"auxiliary.stage2.conv.conv": 0.01, "auxiliary.stage2.fc": 0.001}


def _stages(in_channels: int, num_classes: int, *, transform_input: bool, dropout: float) -> dict[str, nn.Module]:
    if transform_input and in_channels != 3:
        raise UsageError(f"transform_input=True is for 3 input channels, not {in_channels}")
    stem = sequential(
        conv1=VALID(in_channels, 32, 3, stride=2),
        conv2=VALID(32, 32, 3),
        conv3=CONV(32, 64, 3),
        pool1=nn.MaxPool2d(3, 2),
        conv4=VALID(64, 80, 1),
        conv5=VALID(80, 192, 3),
        pool2=nn.MaxPool2d(3, 2),
    )
    stages, channels = grids(192, RELEASE)
    return {
        **({"transform": InputTransform()} if transform_input else {}),
        "stem": stem,
        **stages,
        "head": classifier(channels, num_classes, dropout=dropout),
    }


def inception_v3(
    *, num_classes: int = 1000, in_channels: int = 3, transform_input: bool = False, dropout: float = 0.5
) -> nn.Sequential:
    """Builds the network of the published weights: (N, in_channels, H, W) -> (N, num_classes), made for 299 pixels.

    H and W are at least 75. `transform_input` turns images normalised with ImageNet's mean and deviation into images
    normalised with 0.5 and 0.5, with which the published weights were trained. Initialisation as in torchvision: normal
    with standard deviation 0.1, biases at PyTorch's default. Raises `UsageError` unless 0 <= dropout < 1, and for
    `transform_input` with other than 3 channels.
    """
    network = sequential(**_stages(in_channels, num_classes, transform_input=transform_input, dropout=dropout))
    initialize(network)
    return network


def inception_v3_aux(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    transform_input: bool = False,
    dropout: float = 0.5,
    auxiliary_weight: float = AUXILIARY_WEIGHT,
) -> AuxiliaryHeads:
    """Builds `inception_v3` with the batch-normalised auxiliary head of section 4, for training with 299 pixels.

    Larger images are possible too. (N, in_channels, H, W) -> `AuxiliaryLogits` in training and (N, num_classes) in eval
    mode. Initialisation and errors are those of `inception_v3`, but the last two layers of the head have deviations of
    0.01 and 0.001, as in TF-slim. Raises `UsageError` also for a negative `auxiliary_weight`.
    """
    stages = _stages(in_channels, num_classes, transform_input=transform_input, dropout=dropout)
    head = auxiliary_head(4 * RELEASE.middle[-1][1], num_classes)
    network = AuxiliaryHeads(stages, heads={"stage2": head}, weight=auxiliary_weight)
    initialize(network, stds=AUXILIARY_STDS)
    return network


RELEASE = Filters(
    #      1x1, 5x5 reduce, 5x5, double reduce, double, projection
    fine=((64, 48, 64, 64, 96, 32), (64, 48, 64, 64, 96, 64), (64, 48, 64, 64, 96, 64)),
    reduction1=(384, 64, 96),
    middle=((128, 192), (160, 192), (160, 192), (192, 192)),
    reduction2=(192, 320),
    coarse=((320, 384, 384, 448, 384, 192), (320, 384, 384, 448, 384, 192)),
)

_FINE = {
    "branch1x1": "branch1x1",
    "branch5x5_1": "branch5x5.reduce",
    "branch5x5_2": "branch5x5.conv",
    "branch3x3dbl_1": "branch_double.reduce",
    "branch3x3dbl_2": "branch_double.conv1",
    "branch3x3dbl_3": "branch_double.conv2",
    "branch_pool": "branch_pool.projection",
}
_MIDDLE = {
    "branch1x1": "branch1x1",
    "branch7x7_1": "branch7x7.reduce",
    "branch7x7_2": "branch7x7.conv.row",
    "branch7x7_3": "branch7x7.conv.column",
    "branch7x7dbl_1": "branch_double.reduce",
    "branch7x7dbl_2": "branch_double.conv1.column",
    "branch7x7dbl_3": "branch_double.conv1.row",
    "branch7x7dbl_4": "branch_double.conv2.column",
    "branch7x7dbl_5": "branch_double.conv2.row",
    "branch_pool": "branch_pool.projection",
}
_COARSE = {
    "branch1x1": "branch1x1",
    "branch3x3_1": "branch3x3.reduce",
    "branch3x3_2a": "branch3x3.expand.row",
    "branch3x3_2b": "branch3x3.expand.column",
    "branch3x3dbl_1": "branch_double.reduce",
    "branch3x3dbl_2": "branch_double.conv",
    "branch3x3dbl_3a": "branch_double.expand.row",
    "branch3x3dbl_3b": "branch_double.expand.column",
    "branch_pool": "branch_pool.projection",
}
_MODULES = {
    **{f"Mixed_5{letter}": (f"stage1.{index}", _FINE) for index, letter in enumerate("bcd")},
    "Mixed_6a": (
        "reduction1",
        {"branch3x3": "branch3x3", **{theirs: ours for theirs, ours in _FINE.items() if "dbl" in theirs}},
    ),
    **{f"Mixed_6{letter}": (f"stage2.{index}", _MIDDLE) for index, letter in enumerate("bcde")},
    "Mixed_7a": (
        "reduction2",
        {
            "branch3x3_1": "branch3x3.reduce",
            "branch3x3_2": "branch3x3.conv",
            "branch7x7x3_1": "branch7x7.reduce",
            "branch7x7x3_2": "branch7x7.conv1.row",
            "branch7x7x3_3": "branch7x7.conv1.column",
            "branch7x7x3_4": "branch7x7.conv2",
        },
    ),
    **{f"Mixed_7{letter}": (f"stage3.{index}", _COARSE) for index, letter in enumerate("bc")},
}
_CONVOLUTIONS = {
    "Conv2d_1a_3x3": "stem.conv1",
    "Conv2d_2a_3x3": "stem.conv2",
    "Conv2d_2b_3x3": "stem.conv3",
    "Conv2d_3b_1x1": "stem.conv4",
    "Conv2d_4a_3x3": "stem.conv5",
    **{
        f"{module}.{theirs}": f"{place}.{ours}"
        for module, (place, layers) in _MODULES.items()
        for theirs, ours in layers.items()
    },
}
_HEAD = {"AuxLogits.conv0": "auxiliary.stage2.reduce", "AuxLogits.conv1": "auxiliary.stage2.conv"}


def _keys(convolutions: dict[str, str], linear: dict[str, str]) -> dict[str, str | None]:
    return {
        **{f"{theirs}.conv": f"{ours}.conv" for theirs, ours in convolutions.items()},
        **{f"{theirs}.bn": f"{ours}.norm" for theirs, ours in convolutions.items()},
        **linear,
    }


TORCHVISION_KEYS = _keys(_CONVOLUTIONS, {"fc": "head.fc"})  # timm's names are the same
WITHOUT_HEAD = TORCHVISION_KEYS | {"AuxLogits": None}
WITH_HEAD = _keys(_CONVOLUTIONS | _HEAD, {"fc": "head.fc", "AuxLogits.fc": "auxiliary.stage2.fc"})


def _published(keys: dict[str, str | None]) -> tuple[Weights, ...]:
    # The weights were trained with images normalised with 0.5 and 0.5. torchvision normalises with ImageNet's values
    # and then transforms the images (`transform_input`); normalising with 0.5 and 0.5 gives equal images at once.
    weights = torchvision_weights("inception_v3_google-0cc3c7bd.pth", keys=keys, shorter_side=342, image_size=299)
    return (dataclasses.replace(weights, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),)


PAPER = Paper(
    "Rethinking the Inception Architecture for Computer Vision",
    "Szegedy, Vanhoucke, Ioffe, Shlens, Wojna",
    2015,
    "https://arxiv.org/abs/1512.00567",
)
_row = partial(
    Architecture,
    paper=PAPER,
    dataset="imagenet",
    image_size=299,
    num_classes=1000,
    recipe="inception_v3",
    macs=5_713_216_096,  # in eval mode, without the auxiliary head
    published=(
        torchvision_published(0.77294, pixels=299),
        Published(0.788, "validation", "imagenet", "the paper's table 3, row BN-auxiliary, one crop"),
        Published(0.780, "validation", "imagenet", "TF-slim's README, one crop of 299 pixels"),
    ),
)

ROWS = (
    _row(
        "inception_v3",
        builder=inception_v3,
        params=23_834_568,
        weights=_published(WITHOUT_HEAD),
        layouts={"torchvision_without_heads": TORCHVISION_KEYS},
        note="the network of the published weights; the paper's table 1 differs, see `inception_v2`",
    ),
    _row(
        "inception_v3_aux",
        builder=inception_v3_aux,
        params=27_161_264,
        weights=_published(WITH_HEAD),
        note="the network of the published weights as trained, with a batch-normalised auxiliary head",
    ),
)
