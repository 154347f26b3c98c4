"""Compound scaling of detectors: the backbone, the pyramid, the heads and the images grow together.

Tan, Pang, Le 2019, https://arxiv.org/abs/1911.09070, section 4.2; the released values are those of the authors' code,
https://github.com/google/automl/blob/master/efficientdet/hparams_config.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from convatlas.architectures.efficientdet.pyramid import FusionKind
from convatlas.errors import UsageError


class Scaling(NamedTuple):
    """The channels and the cells of a pyramid, the layers of each head, and the side of the images in pixels."""

    width: float
    cells: int
    head_layers: int
    resolution: int


class Released(NamedTuple):
    """A released network: its backbone, its pyramid, its heads and its images.

    `anchor_scale` is the side of a level's smallest square anchor, in strides of the level.
    """

    backbone: str
    width: int
    cells: int
    head_layers: int
    resolution: int
    fusion: FusionKind = "fast"
    last_level: int = 7
    anchor_scale: float = 4.0


RELEASED = {
    "d0": Released("tf_efficientnet_b0", 64, 3, 3, 512),
    "d1": Released("tf_efficientnet_b1", 88, 4, 3, 640),
    "d2": Released("tf_efficientnet_b2", 112, 5, 3, 768),
    "d3": Released("tf_efficientnet_b3", 160, 6, 4, 896),
    "d4": Released("tf_efficientnet_b4", 224, 7, 4, 1024),
    "d5": Released("tf_efficientnet_b5", 288, 7, 4, 1280),
    "d6": Released("tf_efficientnet_b6", 384, 8, 5, 1280, fusion="sum"),
    "d7": Released("tf_efficientnet_b6", 384, 8, 5, 1536, fusion="sum", anchor_scale=5.0),
    "d7x": Released("tf_efficientnet_b7", 384, 8, 5, 1536, fusion="sum", last_level=8),
}


def compound_scaling(phi: int) -> Scaling:
    """Returns equations 1 to 3 for the coefficient phi; the backbone is EfficientNet-B(phi).

    The released networks (`RELEASED`) have rounded widths, up to 5 % off the formula. D5 and D6 have one cell less than
    the formula gives, and D5 has larger images. D7 is D6 with larger images; D7x has B7 and one more level. Raises
    `UsageError` for a phi below 0.

    >>> compound_scaling(3)
    Scaling(width=157.464, cells=6, head_layers=4, resolution=896)
    >>> RELEASED["d3"][1:5]
    (160, 6, 4, 896)
    """
    if not 0 <= phi < math.inf:
        raise UsageError(f"phi={phi} must be at least 0")
    return Scaling(width=round(64 * 1.35**phi, 3), cells=3 + phi, head_layers=3 + phi // 3, resolution=512 + 128 * phi)
