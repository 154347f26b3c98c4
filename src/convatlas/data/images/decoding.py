"""One image file to upright RGB pixels, no more of them than its crop needs: a JPEG at a half, a quarter, an eighth."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin

from convatlas.data.images.formats import RASTER_FORMATS
from convatlas.data.images.image_files import damage_named, decoded, open_picture

try:
    import simplejpeg  # the extra `fast`: the same pixels as Pillow's, in two thirds of the time
except ImportError:
    simplejpeg = None

REDUCTIONS = (8, 4, 2)  # of a JPEG's sides: its 8 x 8 blocks become 1, 2 or 4 pixels wide in the inverse DCT itself
# How many times the pixels needed a reduced side keeps. The DCT cuts frequencies off where the resizing that follows
# fades them out. With 1, photographs come out sharper than from the whole image, by 1 to 5 levels of 255 on average;
# with 2 by 0.3 to 2.3, and one of 12 megapixels takes 27 ms instead of 24 (whole: 41).
SPARE = 2

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation to what makes an image (H, W, C) upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
LYING = (5, 6, 7, 8)  # the orientations in which height and width change places


def decoder() -> str:
    """Returns the name and version of the decoder of JPEG files."""
    name = "pillow" if simplejpeg is None else "simplejpeg"
    return f"{name} {version(name)}"


@dataclass(frozen=True)
class Encoded:
    """An image file in memory of which the header is read; `height` and `width` are those of the upright image.

    `name` is the one that a message shows.
    """

    name: str
    height: int
    width: int
    orientation: int
    channels: int | None  # of a JPEG; None for other kinds
    content: bytes = field(repr=False)

    def reduction(self, *, height: int, width: int, size: int) -> int:
        """Returns the largest of 1, 2, 4, 8 at which a part of `height` x `width` pixels keeps twice `size` a side."""
        if self.channels is None:
            return 1
        return next((factor for factor in REDUCTIONS if min(height, width) >= factor * SPARE * size), 1)

    def pixels(self, *, reduction: int = 1) -> np.ndarray:
        """Returns the image uint8 (H, W, 3), a JPEG's sides divided by `reduction` and rounded up.

        Raises `UsageError` for a damaged file and for pixels of 32 bits.
        """
        width, height = self.width, self.height
        if self.orientation in LYING:
            width, height = height, width
        with damage_named(self.name):
            pixels = _by_simplejpeg(self, -(-width // reduction), -(-height // reduction))
            if pixels is None:
                pixels = _by_pillow(self, width // reduction, height // reduction)
        turn = TURNS.get(self.orientation)
        return pixels if turn is None else turn(pixels)


@dataclass(frozen=True)
class Decoded:
    """An image of which all pixels are in memory, uint8 (H, W, 3)."""

    array: np.ndarray = field(repr=False)

    @property
    def height(self) -> int:
        return len(self.array)

    @property
    def width(self) -> int:
        return int(self.array.shape[1])

    def reduction(self, *, height: int, width: int, size: int) -> int:
        """Returns 1: there is nothing left to decode."""
        return 1

    def pixels(self, *, reduction: int = 1) -> np.ndarray:
        """Returns all pixels."""
        return self.array


def read_encoded(content: bytes, name: str) -> Encoded:
    """Returns an encoded image with its header read. Raises `UsageError`, which names it, for one that is no image.

    Threads may call it.
    """
    with damage_named(name):
        file = open_picture(io.BytesIO(content), name, formats=RASTER_FORMATS)
        if _turned_late(file, content):
            file.load()
        orientation = Image.Image.getexif(file).get(ExifTags.Base.Orientation, 1)  # PNG's own would decode every file
        width, height = file.size[::-1] if orientation in LYING else file.size
        channels = len(file.getbands()) if isinstance(file, JpegImagePlugin.JpegImageFile) else None
    return Encoded(name, height, width, orientation, channels, content)


def _turned_late(file: Image.Image, content: bytes) -> bool:
    """Returns whether the orientation is known only after decoding: TIFF, which Pillow turns itself, and some PNG."""
    if file.format == "PNG":
        behind = content[content.rfind(b"IDAT") :]
        return any(said in behind for said in (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp"))
    return file.format == "TIFF"


def _by_simplejpeg(encoded: Encoded, width: int, height: int) -> np.ndarray | None:
    """Returns the stored pixels, or None where Pillow decides: no plain JPEG, or a damaged one."""
    if simplejpeg is None or encoded.channels not in (1, 3):
        return None
    try:
        pixels: np.ndarray = simplejpeg.decode_jpeg(encoded.content, min_height=height, min_width=width)
    except ValueError:  # also for what is harmless, such as bytes between two segments
        return None
    return pixels


def _by_pillow(encoded: Encoded, width: int, height: int) -> np.ndarray:
    """Returns the pixels as they are stored, of a JPEG at least as many as asked for."""
    with open_picture(io.BytesIO(encoded.content), encoded.name, formats=RASTER_FORMATS) as file:
        if encoded.channels is not None:
            file.draft(None, (width, height))
        return decoded(file, encoded.name, channels=3)
