"""The facts of one image: its size, light, sharpness and information, and the digests by which equal ones are found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

SIDE = 256  # pixels of the longer side, to which larger images are brought before light and sharpness are measured
HASHED = 32  # pixels a side from which an image has a perceptual hash: those of smaller ones are those of many others
THUMB = 8  # pixels a side of the grey thumbnail that is kept of each image

FACTS = np.dtype(
    [
        ("readable", "?"),
        ("height", "i4"),  # of the upright image
        ("width", "i4"),
        ("format", "S8"),  # by Pillow's names; empty for an image that lies in memory
        ("mode", "S12"),
        ("orientation", "u1"),  # of EXIF; 1 is upright
        ("animated", "?"),
        ("transparent", "?"),
        ("span", "u1"),  # the largest difference of two pixels in one channel
        ("dark", "f4"),  # the grey level, from 0 to 1, below which lie 5 % of the pixels
        ("bright", "f4"),  # the grey level below which lie 99 %
        ("entropy", "f4"),  # bits of the grey levels
        ("sharpness", "f4"),  # variance of the Laplacian of the grey levels, divided by their own variance
        ("digest", "u8", (2,)),  # of the decoded pixels and their shape
        ("hash", "u8"),  # perceptual; 0 of smaller images, and where the library is absent
        ("thumb", "u1", (THUMB, THUMB)),  # grey
    ]
)
"""A row for each image, so that a million of them lie in 200 MB."""

Hash = Callable[[Image.Image], int]
LAPLACIAN_SIDE = 3  # pixels that an image needs each way before its Laplacian has a value


def measure(pixels: np.ndarray, *, hashed: Hash | None) -> dict[str, Any]:
    """Returns the facts of decoded pixels, uint8 (H, W, C), C 1 or 3. `hashed` makes the perceptual hash."""
    height, width, channels = pixels.shape
    pixels = np.ascontiguousarray(pixels)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    extrema: Any = image.getextrema()
    ranges = [extrema] if channels == 1 else extrema
    grey = _reduced(image.convert("L"))
    levels = np.cumsum(grey.histogram()) / (grey.width * grey.height)
    return {
        "readable": True,
        "height": height,
        "width": width,
        "span": max(high - low for low, high in ranges),
        "dark": int(np.searchsorted(levels, 0.05)) / 255,
        "bright": int(np.searchsorted(levels, 0.99)) / 255,
        "entropy": grey.entropy(),
        "sharpness": sharpness(np.asarray(grey)),
        "digest": digest(pixels),
        "hash": hashed(grey) if hashed and min(height, width) >= HASHED else 0,
        "thumb": np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX)),
    }


def sharpness(grey: np.ndarray) -> float:
    """Returns the variance of the Laplacian of grey levels (H, W), divided by the variance of the levels themselves.

    The quotient does not depend on brightness and contrast. It is infinite where it has no meaning: for an image of one
    level, and of fewer than three pixels a side.
    """
    levels = grey.astype(np.float32)
    variance = float(levels.var())
    if min(levels.shape) < LAPLACIAN_SIDE or variance == 0:
        return float("inf")
    middle = levels[1:-1, 1:-1]
    laplacian = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * middle
    return float(laplacian.var()) / variance


def digest(pixels: np.ndarray) -> np.ndarray:
    """Returns 16 bytes that tell an image from others by its pixels and its shape, as two numbers."""
    hashed = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    hashed.update(pixels.data)
    return np.frombuffer(hashed.digest(), "<u8")


def perceptual_hash() -> Hash | None:
    """Returns the 64-bit perceptual hash of the library `imagehash`, or None where the library is absent.

    Pictures that look alike have hashes that differ in few bits: the hash has the signs of the lowest frequencies.
    """
    try:
        from imagehash import phash
    except ImportError:
        return None
    return lambda image: int.from_bytes(np.packbits(phash(image).hash).tobytes(), "big")


def _reduced(grey: Image.Image) -> Image.Image:
    """Returns a grey image with its longer side brought to `SIDE`; a smaller one as it is."""
    longer = max(grey.size)
    if longer <= SIDE:
        return grey
    width, height = (max(1, round(length * SIDE / longer)) for length in grey.size)
    return grey.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
