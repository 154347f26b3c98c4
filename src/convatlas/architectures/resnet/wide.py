"""Wide ResNet at ImageNet size: the bottlenecks of ResNet-50 with twice the channels inside.

Zagoruyko, Komodakis. Wide Residual Networks. BMVC 2016. https://arxiv.org/abs/1605.07146, section 3.3: WRN-50-2
with bottlenecks. The paper's CIFAR networks have pre-activation units and stand in that family's folder.

>>> from convatlas.complexity import outline
>>> print(outline("wide_resnet50_2"))
stem      64 x 56 x 56       9,536
stage1   256 x 56 x 56     634,368
stage2   512 x 28 x 28   3,482,624
stage3  1024 x 14 x 14  20,736,000
stage4    2048 x 7 x 7  41,971,712
head              1000   2,049,000

Departs from the paper: nothing; the stride is on the 3x3 convolution.
"""

from __future__ import annotations

from functools import partial

from convatlas.architecture import Paper, Published
from convatlas.architectures.resnet.imagenet import TABLE_1, imagenet_row, resnet, torchvision_results

PAPER = Paper("Wide Residual Networks", "Zagoruyko, Komodakis", 2016, "https://arxiv.org/abs/1605.07146")

_published, _weights = torchvision_results(
    ("wide_resnet50_2-95faca4d.pth", 0.78468), ("wide_resnet50_2-9ba9bcbe.pth", 0.81602)
)

ROWS = (
    imagenet_row(
        "wide_resnet50_2",
        builder=partial(resnet, depths=TABLE_1[50], group_width=128),
        paper=PAPER,
        params=68_883_240,
        macs=11_398_021_120,
        published=(Published(0.781, "validation", "imagenet", "the authors' README, one crop of 224"), *_published),
        weights=_weights,
    ),
)
