"""EfficientDet: features of several sizes exchange what they know, and shared heads find boxes in each of them.

Tan, Pang, Le. EfficientDet: Scalable and Efficient Object Detection. CVPR 2020. https://arxiv.org/abs/1911.09070

>>> from convatlas.complexity import outline
>>> print(outline("efficientdet_d0"))
backbone  40 x 64 x 64 to 320 x 16 x 16   3,595,388
coarser      40 x 64 x 64 to 64 x 4 x 4      20,672
cell1        64 x 64 x 64 to 64 x 4 x 4      97,747
cell2        64 x 64 x 64 to 64 x 4 x 4      38,931
cell3        64 x 64 x 64 to 64 x 4 x 4      38,931
head        810 x 64 x 64 to 36 x 4 x 4      88,398

Departs from the paper: widths, depths and image sizes are the released ones (`scaling.RELEASED`); D6 to D7x add the
features without weights, as released. Convolutions before norms have a bias, as in the released networks, which adds
2,304 parameters to D0. effdet's own form has none, nor TensorFlow's padding:
`-o backbone=efficientnet_b0 -o padding=equal -o redundant_bias=false`.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from convatlas.architecture import Architecture, Paper, PublishedPrecision
from convatlas.architectures.backbones import STRIDES, build_backbone, tapped_stages
from convatlas.architectures.efficientdet.heads import DetectorHead, initialize_heads, initialize_pyramid
from convatlas.architectures.efficientdet.keys import effdet_keys
from convatlas.architectures.efficientdet.pyramid import (
    FIRST_LEVEL,
    CoarserLevels,
    FusionKind,
    Padding,
    PyramidForm,
    pyramid_cells,
)
from convatlas.architectures.efficientdet.scaling import RELEASED
from convatlas.errors import UsageError
from convatlas.layers import check_counts, sequential

BACKBONE_LEVELS = len(STRIDES)
LAST_LEVELS = range(6, 10)
ANCHORS = 9  # boxes at each place: three sizes of three shapes
LARGEST_SCALE = 64  # strides of a level: an anchor over more than any image


def efficientdet(
    *,
    num_classes: int = 90,
    in_channels: int = 3,
    backbone: str = "tf_efficientnet_b0",
    width: int = 64,
    cells: int = 3,
    head_layers: int = 3,
    last_level: int = 7,
    anchor_scale: float = 4.0,
    fusion: FusionKind = "fast",
    padding: Padding = "same",
    redundant_bias: bool = True,
) -> nn.Sequential:
    """Builds a detector on a registered network: (N, in_channels, H, W) -> `DetectorOutput`, levels 3 to `last_level`.

    `backbone` is any network with named stages at an 8th, a 16th and a 32nd of the image's size. `width`, `cells`,
    `fusion` and `padding` belong to the pyramid, and the heads have `head_layers` layers and nine boxes at each
    place, the smallest square one of `anchor_scale` strides. Initialisation as by the authors, of the backbone as its
    own. Raises `UsageError` for counts below 1, for unknown names, for a last level other than 6 to 9 and for a scale
    of 0 or less.
    """
    check_counts(width=width, cells=cells, head_layers=head_layers)
    if last_level not in LAST_LEVELS:
        raise UsageError(f"last_level={last_level} must be 6, 7, 8 or 9")
    if not 0 < anchor_scale <= LARGEST_SCALE:
        raise UsageError(f"anchor_scale={anchor_scale:g} must be above 0 and at most {LARGEST_SCALE}")
    form = PyramidForm(width, fusion, padding, redundant_bias)
    given = tuple(tapped_stages(backbone).values())
    added = last_level - FIRST_LEVEL + 1 - len(given)
    coarser = CoarserLevels(given[-1], form, count=added)
    pyramid = pyramid_cells((*given, *(width,) * added), form, cells=cells)
    head = DetectorHead(num_classes, form, anchors=ANCHORS, layers=head_layers, levels=len(given) + added)
    head.anchor_scale = anchor_scale
    for module in (coarser, *pyramid.values()):
        initialize_pyramid(module)
    initialize_heads(head)
    return sequential(backbone=build_backbone(backbone, in_channels=in_channels), coarser=coarser, **pyramid, head=head)


PAPER = Paper(
    "EfficientDet: Scalable and Efficient Object Detection",
    "Tan, Pang, Le",
    2019,
    "https://arxiv.org/abs/1911.09070",
)
COUNTS = {  # parameters and MACs, for 90 classes
    "d0": (3_880_067, 2_492_331_520),
    "d1": (6_625_898, 6_003_416_880),
    "d2": (8_097_039, 10_832_466_688),
    "d3": (12_032_296, 24_568_753_664),
    "d4": (20_723_675, 54_583_712_096),
    "d5": (33_653_315, 134_133_865_152),
    "d6": (51_871_782, 224_121_477_984),
    "d7": (51_871_782, 322_731_636_576),
    "d7x": (77_147_166, 407_628_345_344),
}
README = "google/automl's README of EfficientDet"
# The average precisions of test-dev and validation.
PRECISIONS = {
    "d0": (0.346, 0.343),
    "d1": (0.405, 0.402),
    "d2": (0.439, 0.435),
    "d3": (0.472, 0.468),
    "d4": (0.497, 0.493),
    "d5": (0.515, 0.512),
    "d6": (0.526, 0.521),
    "d7": (0.537, 0.534),
    "d7x": (0.551, 0.544),
}
NOTE = "as released in TensorFlow: SAME padding, biases before norms; 90 classes are the numbers of COCO's 80"


def _row(name: str) -> Architecture:
    released = RELEASED[name]
    params, macs = COUNTS[name]
    test, validation = PRECISIONS[name]
    pixels = f"{README}, {released.resolution} pixels"
    builder = partial(
        efficientdet,
        backbone=released.backbone,
        width=released.width,
        cells=released.cells,
        head_layers=released.head_layers,
        last_level=released.last_level,
        fusion=released.fusion,
        anchor_scale=released.anchor_scale,
    )
    return Architecture(
        f"efficientdet_{name}",
        builder=builder,
        paper=PAPER,
        dataset="coco",
        image_size=released.resolution,
        num_classes=90,
        params=params,
        macs=macs,
        precisions=(
            PublishedPrecision(test, "test-dev", "coco", pixels),
            PublishedPrecision(validation, "validation", "coco", pixels),
        ),
        task="detection",
        recipe="efficientdet",
        layouts={"effdet": effdet_keys(fusion=released.fusion, last_level=released.last_level)},
        note=NOTE,
    )


# Small enough to be trained on two cores; the published weights of its backbone lie in a Python package.
TINY = Architecture(
    "efficientdet_tiny",
    builder=partial(
        efficientdet,
        backbone="efficientnet_lite0",
        width=64,
        cells=2,
        head_layers=2,
        anchor_scale=2.0,
        redundant_bias=False,
    ),
    paper=PAPER,
    dataset="coco",
    image_size=320,
    num_classes=90,
    params=3_192_180,
    macs=941_226_752,
    task="detection",
    recipe="detect_small",
    note="ours, not published: EfficientNet-Lite0 with a small pyramid and anchors of half the size, to be trained on "
    "a CPU",
)
ROWS = (*map(_row, RELEASED), TINY)
