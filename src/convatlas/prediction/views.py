"""The squares of an image that a network is asked about: its centre, or several whose answers are averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from convatlas.data.images.cutting import resized, seen
from convatlas.data.images.decoding import read_encoded
from convatlas.data.images.image_files import check_images, damage_named, read_image
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.sources import NAMED
from convatlas.data_names import subset_in
from convatlas.errors import UsageError
from convatlas.files import read_regular
from convatlas.prediction.predictor import Predictor

Averaging = Literal["none", "flip", "ten-crop"]
LARGER = 256 / 224  # of which the ten crops are cut, where the preprocessing cuts nothing away


def check_averaging(predictor: Predictor, averaging: Averaging) -> None:
    """Raises `UsageError` for squares that images of the network's data cannot have."""
    if averaging == "ten-crop" and predictor.preprocessing.fit != "crop":
        raise UsageError(
            f"{predictor.source} sees whole images (--fit {predictor.preprocessing.fit}), of which no crops are cut; "
            "use --tta flip"
        )
    whole = subset_in(predictor.data or "")[0]
    if averaging != "none" and whole in NAMED and not NAMED[whole].spec.mirror:
        raise UsageError(f"a mirrored image of {predictor.data} is not of its class any more; leave out --tta")


def views_of(path: Path, preprocessing: Preprocessing, *, averaging: Averaging) -> Tensor:
    """Returns the squares of an image file: uint8 (views, C, size, size), as evaluation sees them.

    Raises `UsageError` for a file that cannot be read. Threads may call it.
    """
    if averaging == "ten-crop":
        side = preprocessing.shorter_side or round(LARGER * preprocessing.image_size)
        return ten_crops(_read(path, replace(preprocessing, shorter_side=side), resized), preprocessing.image_size)
    square = _read(path, preprocessing, seen)
    return torch.cat([square, square.flip(3)]) if averaging == "flip" else square


def ten_crops(image: Tensor, size: int) -> Tensor:
    """Returns the corners and the centre of an image (1, C, H, W), then their mirror images: (10, C, size, size).

    Krizhevsky et al. 2012, section 4.1.
    """
    bottom, right = image.shape[-2] - size, image.shape[-1] - size
    corners = [(0, 0), (0, right), (bottom, 0), (bottom, right), (round(bottom / 2), round(right / 2))]
    crops = torch.cat([image[..., top : top + size, left : left + size] for top, left in corners])
    return torch.cat([crops, crops.flip(3)])


def _read(path: Path, preprocessing: Preprocessing, cut: Callable[..., Tensor]) -> Tensor:
    """Returns an image file, resized and cut: uint8 (1, C, height, width)."""
    if len(preprocessing.mean) != 3:
        pixels = read_image(path, channels=len(preprocessing.mean))
        return preprocessing.framed(pixels) if cut is seen else preprocessing.resampled(pixels)
    check_images([path])
    with damage_named(path):
        return cut(read_encoded(read_regular(path), str(path)), preprocessing)
