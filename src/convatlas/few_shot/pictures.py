"""The training images of the first draw, for the picture of the report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from convatlas.data import DataSet, class_labels
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.subset import class_orders
from convatlas.data_names import Shots

MOST, ROWS = 10, 20  # images in a row, and classes
SIDE = 96  # pixels of an image that has no size of its own


def shown_images(data: DataSet, draws: Mapping[Shots, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Returns `pixels` (classes, K, H, W, C), uint8, of the first draw, K of each class.

    K is the largest number of shots up to 10. With one shot the draw has the first image of each class, with two the
    first two, and so on. Images in memory have their own resolution.
    """
    numbers = [shots for shots in draws if shots != "all"]
    most = max((shots for shots in numbers if shots <= MOST), default=min(numbers, default=MOST))
    fewest = int(class_labels(data.train).bincount(minlength=len(data.spec.class_names)).min())
    count = min(most, MOST, fewest)
    draw = next(iter(draws.values()))[0]
    classes = range(min(len(data.spec.class_names), ROWS))
    chosen = torch.cat([order[:count] for order in class_orders(data, draw)[: len(classes)]])
    size = SIDE if isinstance(data.train, StreamedImages) else data.spec.image_size or SIDE
    pixels = data.train.thumbnails(chosen, size=size)
    shape = (len(classes), count, *pixels.shape[1:])
    return {"pixels": pixels.reshape(shape).permute(0, 1, 3, 4, 2).numpy(), "draw": np.array(draw)}
