"""One decoded image cut and resized to the square that a network sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.data.images.decoding import Decoded, Encoded
from convatlas.data.preprocessing import Preprocessing


def cut_out(image: Encoded | Decoded, rectangle: Sequence[int], *, size: int) -> Tensor:
    """Returns a part (top, left, height, width) of an image, resized to uint8 (1, 3, size, size).

    A reduced image is cut at its nearest whole pixels, at most a quarter of one of the result's from the exact place.
    """
    top, left, height, width = rectangle
    reduction = image.reduction(height=height, width=width, size=size)
    rows, columns = (
        slice(*((2 * edge + reduction) // (2 * reduction) for edge in (start, start + length)))
        for start, length in ((top, height), (left, width))
    )
    pixels = _as_images(image.pixels(reduction=reduction)[rows, columns])
    return F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)


def seen(image: Encoded, preprocessing: Preprocessing) -> Tensor:
    """Returns an image as evaluation sees it, uint8 (1, 3, size, size): its centre, or all of it."""
    reduction = _reduction(image, preprocessing)
    extent = image.height / reduction, image.width / reduction
    return preprocessing.framed(_as_images(image.pixels(reduction=reduction)), extent=extent)


def resized(image: Encoded, preprocessing: Preprocessing) -> Tensor:
    """Returns an image with its shorter side as evaluation has it, before its centre is cut out: uint8 (1, 3, H, W)."""
    reduction = _reduction(image, preprocessing)
    extent = image.height / reduction, image.width / reduction
    return preprocessing.resampled(_as_images(image.pixels(reduction=reduction)), extent=extent)


def _reduction(image: Encoded, preprocessing: Preprocessing) -> int:
    """Returns the largest reduction at which an image keeps pixels to spare for the square that is made of it."""
    height, width, size = image.height, image.width, preprocessing.image_size
    if preprocessing.fit == "pad":  # the longer side decides, and of the shorter one some pixels must be left
        longer = max(height, width)
        return min(
            image.reduction(height=longer, width=longer, size=size),
            image.reduction(height=height, width=width, size=2),
        )
    side = preprocessing.shorter_side if preprocessing.fit == "crop" else None
    return image.reduction(height=height, width=width, size=side or size)


def place(pixels: np.ndarray, square: np.ndarray, *, mirrored: bool = False) -> None:
    """Copies uint8 (size, size, 3). By NumPy: PyTorch would start threads in every worker."""
    if not mirrored:
        square[:] = pixels
        return
    for channel in range(3):  # four times as fast as whole pixels in reverse
        square[..., channel] = pixels[:, ::-1, channel]


def _as_images(pixels: np.ndarray) -> Tensor:
    """Turns uint8 (H, W, 3) into (1, 3, H, W), channels last: PyTorch resizes it with vector instructions."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).unsqueeze(0).permute(0, 3, 1, 2)


def as_array(images: Tensor) -> np.ndarray:
    """Turns one image (1, C, H, W) into (H, W, C)."""
    array: np.ndarray = images[0].permute(1, 2, 0).numpy()
    return array
