"""EfficientNet as its authors released it, in TensorFlow, and L2, the largest network of Noisy Student.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
https://arxiv.org/abs/1905.11946; https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet.
Xie, Luong, Hovy, Le. Self-training with Noisy Student improves ImageNet classification. CVPR 2020.
https://arxiv.org/abs/1911.04252

>>> from convatlas.complexity import outline
>>> print(outline("tf_efficientnet_l2"))
stem    136 x 400 x 400       3,944
stage1   72 x 400 x 400      64,860
stage2  104 x 200 x 200   1,809,958
stage3  176 x 100 x 100   5,193,426
stage4    344 x 50 x 50  27,728,214
stage5    480 x 50 x 50  55,270,910
stage6    824 x 25 x 25  221,565,982
stage7   1376 x 25 x 25  155,582,502
conv     5504 x 25 x 25   7,584,512
head               1000   5,505,000

Departs from the paper: widths and depths are the released ones; the paper's formula gives others. TensorFlow's norms
have an epsilon of 1e-3 and a momentum of 0.99, which is 0.01 in PyTorch's convention. timm has these weights with a
momentum of 0.1, which matters in training only.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, Published
from convatlas.architectures.efficientnet.blocks import (
    COUNTS,
    LAST,
    PAPER,
    check_norm,
    same_conv,
    scaled_body,
)
from convatlas.architectures.efficientnet.imagenet import imagenet_row
from convatlas.architectures.efficientnet.keys import TIMM_KEYS
from convatlas.architectures.efficientnet.scaling import RELEASED, scaled_width
from convatlas.layers import classifier, initialize_tensorflow, initialize_uniform_classifier, sequential


def tf_efficientnet(
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
    """Builds the paper's table 1, scaled, with TensorFlow's padding: (N, in_channels, H, W) -> (N, num_classes).

    The options are those of `efficientnet`. Initialisation as by the authors: convolutions normal with variance
    2 / (kernel^2 * out_channels), where a depthwise convolution counts as one output; the linear layer uniform within
    1 / sqrt(num_classes); biases 0. Raises `UsageError` as `efficientnet` does.
    """
    check_norm(epsilon=epsilon, momentum=momentum)
    conv = partial(same_conv, norm=partial(nn.BatchNorm2d, eps=epsilon, momentum=momentum))
    body = scaled_body(in_channels, conv, width=width, depth=depth, stochastic_depth=stochastic_depth)
    network = sequential(**body, head=classifier(scaled_width(LAST, width), num_classes, dropout=dropout))
    initialize_tensorflow(network)
    initialize_uniform_classifier(network)
    return network


NOISY_STUDENT = Paper(
    "Self-training with Noisy Student improves ImageNet classification",
    "Xie, Luong, Hovy, Le",
    2019,
    "https://arxiv.org/abs/1911.04252",
)

# The table of tensorflow/tpu's README. Its line AutoAugment is also the paper's table 2 (arXiv, version 5).
README = "tensorflow/tpu's README"
AUTO_AUGMENT = {
    "b0": 0.771,
    "b1": 0.791,
    "b2": 0.801,
    "b3": 0.816,
    "b4": 0.829,
    "b5": 0.836,
    "b6": 0.840,
    "b7": 0.843,
}
BASELINE = {"b0": 0.767, "b1": 0.787, "b2": 0.798, "b3": 0.811, "b4": 0.825, "b5": 0.831}
RAND_AUGMENT = {"b5": 0.837, "b7": 0.847}
NOISY = {
    "b0": 0.788,
    "b1": 0.815,
    "b2": 0.824,
    "b3": 0.841,
    "b4": 0.853,
    "b5": 0.861,
    "b6": 0.864,
    "b7": 0.869,
    "l2": 0.884,
}

NOTE = "as released in TensorFlow: SAME padding; the norms have epsilon 1e-3 and momentum 0.01"
L2_NOTE = "Noisy Student's network, trained with 475 pixels and briefly with 800; released in TensorFlow only"


def _published(name: str) -> tuple[Published, ...]:
    crop = f"one crop of {RELEASED[name].resolution} pixels"
    sources = (
        (AUTO_AUGMENT, f"the paper's table 2 (arXiv, version 5) and {README}, AutoAugment, {crop}"),
        (BASELINE, f"{README}, baseline preprocessing, {crop}"),
        (RAND_AUGMENT, f"{README}, RandAugment, {crop}"),
        (NOISY, f"{README}, Noisy Student (arXiv 1911.04252) with RandAugment and 300M unlabelled images, {crop}"),
    )
    results = [Published(top1[name], "validation", "imagenet", text) for top1, text in sources if name in top1]
    if name == "l2":
        results.append(Published(0.882, "validation", "imagenet", f"{README}, Noisy Student, one crop of 475 pixels"))
    return tuple(results)


def _row(name: str) -> Architecture:
    width, depth, resolution, dropout = RELEASED[name]
    params, macs = COUNTS[name]
    return imagenet_row(
        f"tf_efficientnet_{name}",
        builder=partial(tf_efficientnet, width=width, depth=depth, dropout=dropout),
        paper=NOISY_STUDENT if name == "l2" else PAPER,
        image_size=resolution,
        params=params,
        macs=macs,
        published=_published(name),
        layouts={"timm": TIMM_KEYS},
        recipe="efficientnet" if name == "b0" else None,  # the recipe has B0's 224 pixels
        note=L2_NOTE if name == "l2" else NOTE,
    )


ROWS = tuple(_row(name) for name in NOISY)
