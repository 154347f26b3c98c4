"""BN-Inception: GoogLeNet with batch norm, and two 3x3 convolutions in the place of every 5x5.

Ioffe, Szegedy. Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift. ICML 2015.
https://arxiv.org/abs/1502.03167, appendix, figure 5. The network is the Caffe release's; its PyTorch port is in
https://github.com/Cadene/pretrained-models.pytorch

>>> from convatlas.complexity import outline
>>> print(outline("bn_inception"))
stem         192 x 28 x 28     125,056
inception3a  256 x 28 x 28     219,552
inception3b  320 x 28 x 28     260,704
inception3c  576 x 14 x 14     385,632
inception4a  576 x 14 x 14     610,848
inception4b  576 x 14 x 14     666,240
inception4c  608 x 14 x 14     915,456
inception4d  608 x 14 x 14   1,144,000
inception4e   1056 x 7 x 7   1,451,008
inception5a   1024 x 7 x 7   2,210,496
inception5b   1024 x 7 x 7   2,281,248
head                  1000   1,025,000

Departs from the paper: the paper counts 13.6 million parameters, the release has 11.3 million. Some details are not in
the paper and follow the release. Convolutions keep their biases before the norms, whose epsilon is 0.00001. Strided
poolings round sizes up. Modules 3c and 4e pass the pooled input through. Module 5b pools maxima.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.inception.blocks import (
    AVERAGE,
    RELU,
    Widths,
    double_3x3,
    grid_reduction,
    inception_double3x3,
)
from convatlas.layers import Concat, ConvNormAct, classifier, sequential

CONV = partial(ConvNormAct, bias=True, act=RELU)
CEIL = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
MAXIMUM = partial(nn.MaxPool2d, 3, stride=1, padding=1)

PassThrough = tuple[int, int, int, int]  # 3x3 reduce, 3x3, double 3x3 reduce, double 3x3 (both)


def pass_through(in_channels: int, widths: PassThrough) -> Concat:
    """Builds a module of stride 2 without a 1x1 branch, whose pooling is not projected: modules 3c and 4e of figure 5.

    (N, in_channels, H, W) -> (N, 3x3 + double 3x3 + in_channels, H / 2, W / 2), for even H and W: the convolutions pad
    by one pixel, while the pooling rounds its size up.
    """
    reduce, width, reduce_double, double = widths
    return grid_reduction(
        branch3x3=sequential(reduce=CONV(in_channels, reduce, 1), conv=CONV(reduce, width, 3, stride=2)),
        branch_double=double_3x3(in_channels, (reduce_double, double, double), conv=CONV, stride=2),
        pool=CEIL,
    )


def bn_inception(*, num_classes: int = 1000, in_channels: int = 3, dropout: float = 0.0) -> nn.Sequential:
    """Builds the release's network: (N, in_channels, H, W) -> (N, num_classes), for 224 pixels or a multiple of 32.

    There is no dropout by default, because the norms replace it (section 4.2.1). Initialisation: PyTorch's default,
    because the port sets none. Raises `UsageError` unless 0 <= dropout < 1.
    """
    stem = sequential(
        conv1=CONV(in_channels, 64, 7, stride=2),
        pool1=CEIL(),
        reduce=CONV(64, 64, 1),
        conv2=CONV(64, 192, 3),
        pool2=CEIL(),
    )
    stages: dict[str, nn.Module] = {}
    channels = 192
    for name, widths in FIGURE_5.items():
        if len(widths) == 4:
            stages[name] = pass_through(channels, widths)
            channels += widths[1] + widths[3]
        else:
            pool = MAXIMUM if name == "inception5b" else AVERAGE
            stages[name] = inception_double3x3(channels, widths, conv=CONV, pool=pool)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
    return sequential(stem=stem, **stages, head=classifier(channels, num_classes, dropout=dropout))


# The columns of figure 5, with the release's values:
#                1x1, 3x3 reduce, 3x3, double 3x3 reduce, double 3x3, pool projection
FIGURE_5: Mapping[str, Widths | PassThrough] = {
    "inception3a": (64, 64, 64, 64, 96, 32),
    "inception3b": (64, 64, 96, 64, 96, 64),
    "inception3c": (128, 160, 64, 96),
    "inception4a": (224, 64, 96, 96, 128, 128),
    "inception4b": (192, 96, 128, 96, 128, 128),
    "inception4c": (160, 128, 160, 128, 160, 128),
    "inception4d": (96, 128, 192, 160, 192, 128),
    "inception4e": (128, 192, 192, 256),
    "inception5a": (352, 192, 320, 160, 224, 128),
    "inception5b": (352, 192, 320, 192, 224, 128),
}

_LAYERS = {
    "1x1": "branch1x1",
    "3x3_reduce": "branch3x3.reduce",
    "3x3": "branch3x3.conv",
    "double_3x3_reduce": "branch_double.reduce",
    "double_3x3_1": "branch_double.conv1",
    "double_3x3_2": "branch_double.conv2",
    "pool_proj": "branch_pool.projection",
}
_CONVOLUTIONS = {
    "conv1_7x7_s2": "stem.conv1",
    "conv2_3x3_reduce": "stem.reduce",
    "conv2_3x3": "stem.conv2",
    **{
        f"inception_{name.removeprefix('inception')}_{theirs}": f"{name}.{ours}"
        for name, widths in FIGURE_5.items()
        for theirs, ours in _LAYERS.items()
        if len(widths) == 6 or theirs not in ("1x1", "pool_proj")
    },
}
CADENE_KEYS: dict[str, str | None] = {
    **{theirs: f"{ours}.conv" for theirs, ours in _CONVOLUTIONS.items()},
    **{f"{theirs}_bn": f"{ours}.norm" for theirs, ours in _CONVOLUTIONS.items()},
    "last_linear": "head.fc",
}

PAPER = Paper(
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    "Ioffe, Szegedy",
    2015,
    "https://arxiv.org/abs/1502.03167",
)

ROWS = (
    Architecture(
        "bn_inception",
        builder=bn_inception,
        paper=PAPER,
        dataset="imagenet",
        image_size=224,
        num_classes=1000,
        params=11_295_240,
        macs=2_032_600_064,
        published=(Published(0.748, "validation", "imagenet", "the paper's figure 4, one crop"),),
        layouts={"cadene": CADENE_KEYS},
        note="the Caffe release; others call it Inception-v2, but by its paper that name belongs to `inception_v2`",
    ),
)
