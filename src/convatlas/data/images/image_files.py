"""Image files: read upright, opaque and in 8 bits, or refused in one line."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from convatlas.bounds import VARIABLE, check_pixels, permitted_pixels
from convatlas.data.images.formats import HEAD, RASTER_FORMATS, kind_of
from convatlas.data.images.levels import MODES, ends_of, plain, scale_transparency
from convatlas.errors import UsageError, printable, reason_of
from convatlas.files import check_regular, open_regular

BAND = 2**20  # pixels converted at a time: Pillow copies an image with every conversion
_OF_PILLOW = ("ignore", None, Warning, re.compile(r"PIL\."), 0)  # as Python lists a filter of warnings


def check_images(paths: Sequence[Path]) -> None:
    """Raises `UsageError` for a path at which there is no file."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name the image files in it")
        try:
            check_regular(path)
        except OSError as error:
            raise UsageError(f"no image at {path}") from error


def read_image(path: Path, *, channels: int) -> Tensor:
    """Returns an image file as uint8 (1, channels, H, W).

    Turned as its EXIF orientation says, transparent pixels on white, of an animation the first picture. Raises
    `UsageError` for a file that is no image, is cut off or is too large.
    """
    if channels not in MODES:
        raise UsageError(f"image files have 1 or 3 channels; the network takes {channels}")
    check_images([path])
    # A stream, not the path: by the path Pillow 13 maps a grey TIFF into memory, and does not turn one that lies.
    with (
        damage_named(path),
        open_regular(path) as stream,
        open_picture(stream, path, formats=RASTER_FORMATS) as file,
    ):
        pixels = upright(file, path, channels=channels)
    return torch.from_numpy(pixels).unsqueeze(0).permute(0, 3, 1, 2).contiguous()


def mode_of(path: Path) -> str:
    """Returns Pillow's name for the kind of pixels of an image file, such as `RGBA`; only the header is read."""
    with damage_named(path), open_regular(path) as stream, open_picture(stream, path, formats=RASTER_FORMATS) as file:
        return str(file.mode)


def open_picture(stream: BinaryIO, path: Path | str, *, formats: tuple[str, ...]) -> Image.Image:
    """Returns a picture of which the header is read. Raises `UsageError` for one of too many pixels.

    A file of another kind that is known by its first bytes is refused by its name, others as Pillow refuses them.
    """
    _quieten()
    most = permitted_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # the user has raised the bound
    try:
        file = Image.open(stream, formats=formats)
    except UnidentifiedImageError as error:
        stream.seek(0)
        kind = kind_of(stream.read(HEAD))
        if not kind:
            raise
        raise UsageError(f"{path} is no image file that can be read: it is {kind}") from error
    check_pixels(path, width=file.width, height=file.height)
    scale_transparency(file)
    return file


def upright(file: Image.Image, path: Path | str, *, channels: int) -> np.ndarray:
    """Returns a picture uint8 (H, W, channels), turned as its EXIF orientation says, transparent pixels on white.

    Raises `UsageError` for pixels of 32 bits, and whatever Pillow raises for a damaged file.
    """
    ImageOps.exif_transpose(file, in_place=True)
    return decoded(file, path, channels=channels)


def decoded(image: Image.Image, path: Path | str, *, channels: int) -> np.ndarray:
    """Returns a picture uint8 (H, W, channels) as it lies, transparent pixels on white, as `upright` does otherwise."""
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    rows, ends = max(1, BAND // image.width), ends_of(image)
    for top in range(0, image.height, rows):
        part = pixels[top : top + rows]
        band = image if len(part) == image.height else image.crop((0, top, image.width, top + len(part)))
        part[:] = np.asarray(plain(band, path, channels=channels, ends=ends)).reshape(part.shape)
    return pixels


@contextlib.contextmanager
def damage_named(path: Path | str) -> Iterator[None]:
    """Makes a `UsageError` that names the file of whatever Pillow raises for it."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is no image file that can be read") from error
    except Image.DecompressionBombError as error:
        many = f"more than {permitted_pixels():,}"
        raise UsageError(
            f"{path} has too many pixels: {many}; set {VARIABLE} to more GiB if you trust the file"
        ) from error
    except UsageError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds for damaged files
        raise UsageError(f"{path} is a damaged image file: {printable(reason_of(error), most=160)}") from error


def _quieten() -> None:
    """Keeps Pillow's warnings of odd files from the screen, for the whole process: threads share their list."""
    if _OF_PILLOW not in warnings.filters:
        warnings.filterwarnings("ignore", module=_OF_PILLOW[3].pattern)
    logger = logging.getLogger("PIL")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
