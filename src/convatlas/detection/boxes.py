"""Boxes as tensors: overlaps, and offsets from an anchor to a box and back.

Boxes are corners x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = math.log(1000 / 16)  # growth of an anchor: more would overflow to infinity, which has no overlap


def areas(boxes: Tensor) -> Tensor:
    """Returns the areas of boxes: (..., 4) -> (...)."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def intersections(first: Tensor, second: Tensor) -> Tensor:
    """Returns the common area of boxes, (..., 4) each, which broadcast: -> (...)."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Returns the intersection over union of boxes, (..., 4) each, which broadcast: -> (...), 0 for empty boxes.

    >>> overlaps(torch.tensor([0.0, 0, 2, 2]), torch.tensor([[0.0, 1, 2, 3], [5, 5, 5, 5]]))
    tensor([0.3333, 0.0000])
    """
    common = intersections(first, second)
    union = areas(first) + areas(second) - common
    return torch.where(common > 0, common / union, 0)


def covered(first: Tensor, second: Tensor) -> Tensor:
    """Returns the part of the first boxes that lies in the second ones, (..., 4) each: -> (...), 0 for empty boxes.

    >>> covered(torch.tensor([0.0, 0, 2, 2]), torch.tensor([[0.0, 1, 9, 9], [5, 5, 5, 5]]))
    tensor([0.5000, 0.0000])
    """
    common = intersections(first, second)
    return torch.where(common > 0, common / areas(first), 0)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Returns the offsets of boxes from their anchors: (..., 4) and (..., 4) -> (..., 4): y, x, height, width.

    The centre's way in sizes of the anchor, and the logarithms of the sizes' ratios. Ren et al. 2015,
    https://arxiv.org/abs/1506.01497, equation 2, in the order of EfficientDet's heads.
    """
    centre, size = _centres(boxes)
    own_centre, own_size = _centres(anchors)
    way, growth = (centre - own_centre) / own_size, (size / own_size).log()
    return torch.cat((way.flip(-1), growth.flip(-1)), dim=-1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Returns the boxes of offsets from anchors: (..., 4) and (..., 4) -> corners (..., 4).

    No anchor grows by more than 62.5, so that a network that has learned nothing gives finite boxes.

    >>> anchor = torch.tensor([0.0, 0, 10, 20])
    >>> decode(encode(torch.tensor([5.0, 5, 10, 15]), anchor), anchor).round(decimals=4)
    tensor([ 5.,  5., 10., 15.])
    """
    own_centre, own_size = _centres(anchors)
    way, growth = offsets[..., :2].flip(-1), offsets[..., 2:].flip(-1)
    centre = own_centre + way * own_size
    half = growth.clamp(max=LARGEST).exp() * own_size / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Returns centres and sizes (..., 2), x first."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
