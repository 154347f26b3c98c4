"""The random changes of training images with boxes: mirrored, scaled and cut, or four in a mosaic.

Tan et al. 2020, https://arxiv.org/abs/1911.09070, section 5.1: flipping and scale jitter from 0.1 to 2.0, then a crop,
as `set_training_random_scale_factors` and `resize_and_crop_image` of google/automl make them. The mosaic is that of
Bochkovskiy et al. 2020, https://arxiv.org/abs/2004.10934.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator

from convatlas.data.boxes.placement import Placement, Window, scaled
from convatlas.data.boxes.truth import Boxes

MARGIN = 0.25  # of the square: so far from its edges the four images of a mosaic meet


@dataclass(frozen=True)
class BoxChanges:
    """The random changes of a training image.

    `flip` and `mosaic` are probabilities. `scale` is the range from which the length of the longer side is drawn, in
    sides of the square.
    """

    flip: float = 0.5
    scale: tuple[float, float] = (0.1, 2.0)
    mosaic: float = 0.0


class Layer(NamedTuple):
    """An image in the square of a training image: its place in the data, and its place in the square."""

    image: int
    placement: Placement


def layers_of(place: int, boxes: Sequence[Boxes], changes: BoxChanges, *, size: int, seed: int) -> list[Layer]:
    """Draws the layers of one training image: the image at a place, or it and three others in a mosaic."""
    generator = torch.Generator().manual_seed(seed)
    if not changes.mosaic or _uniform(generator) >= changes.mosaic:
        return [_layer(place, boxes[place], changes, window=(0, 0, size, size), size=size, generator=generator)]
    across, down = (round(size * (MARGIN + (1 - 2 * MARGIN) * _uniform(generator))) for _ in range(2))
    others = torch.randint(len(boxes), (3,), generator=generator).tolist()
    windows = ((0, 0, across, down), (across, 0, size, down), (0, down, across, size), (across, down, size, size))
    return [
        _layer(each, boxes[each], changes, window=window, size=size, generator=generator)
        for each, window in zip((place, *others), windows, strict=True)
    ]


def _layer(place: int, boxes: Boxes, changes: BoxChanges, *, window: Window, size: int, generator: Generator) -> Layer:
    mirrored = _uniform(generator) < changes.flip
    low, high = changes.scale
    longer = int(size * (low + (high - low) * _uniform(generator)))
    cut = _uniform(generator), _uniform(generator)
    placed = scaled(boxes.width, boxes.height, longer=longer, window=window, cut=cut, mirrored=mirrored)
    return Layer(place, placed)


def _uniform(generator: Generator) -> float:
    return float(torch.rand((), generator=generator, dtype=torch.float64))
