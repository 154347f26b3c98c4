"""Image files: read upright, opaque and in 8 bits, or refused in one line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from convatlas.data.images.formats import RASTER_FORMATS
from convatlas.errors import UsageError

MODES = {1: "L", 3: "RGB"}  # a network's channels to Pillow's name


def check_images(paths: Sequence[Path]) -> None:
    """Raises `UsageError` for a path at which there is no file."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name the image files in it")
        if not path.is_file():
            raise UsageError(f"no image at {path}")


def read_image(path: Path, *, channels: int) -> Tensor:
    """Returns an image file as uint8 (1, channels, H, W).

    Turned as its EXIF orientation says, transparent pixels on white, of an animation the first picture. Raises
    `UsageError` for a file that is no image, is cut off or is too large.
    """
    if channels not in MODES:
        raise UsageError(f"image files have 1 or 3 channels; the network takes {channels}")
    check_images([path])
    with damage_named(path), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        # A stream, not the path: by the path Pillow 13 maps a grey TIFF into memory, and does not turn one that lies.
        with path.open("rb") as stream, Image.open(stream, formats=RASTER_FORMATS) as file:
            image = plain(ImageOps.exif_transpose(file), path, channels=channels)
    pixels = torch.from_numpy(np.array(image)).view(1, image.height, image.width, channels)
    return pixels.permute(0, 3, 1, 2).contiguous()


@contextlib.contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Makes a `UsageError` that names the file of whatever Pillow raises for it."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is no image file that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UsageError(f"{path} has too many pixels: {error}") from error
    except UsageError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds for damaged files
        raise UsageError(f"{path} is a damaged image file: {error}") from error


def plain(image: Image.Image, path: Path, *, channels: int) -> Image.Image:
    """Returns an image in 8 bits and opaque, in the given channels. Raises `UsageError` for pixels of 32 bits."""
    return _opaque(_eight_bits(image, path)).convert(MODES[channels])


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Converts grey images of 16 bits to 8; Pillow's own conversion would cut their values off at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UsageError(f"{path} has pixels of 32 bits, whose range is not known; save it with 8 or 16 bits")
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """Composites transparent pixels on white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
