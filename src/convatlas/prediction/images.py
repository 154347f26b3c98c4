"""Image files: read upright, square, opaque and in the network's channels, and answered."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from convatlas.data.formats import RASTER_FORMATS
from convatlas.errors import UsageError
from convatlas.prediction.predictor import Predictor

MODES = {1: "L", 3: "RGB"}  # a network's channels to Pillow's name


def check_images(paths: Sequence[Path]) -> None:
    """Raises `UsageError` for a path at which there is no file."""
    for path in paths:
        if path.is_dir():
            raise UsageError(f"{path} is a folder; name the image files in it")
        if not path.is_file():
            raise UsageError(f"no image at {path}")


def read_image(path: Path, *, channels: int) -> Tensor:
    """An image file as uint8 (1, channels, H, W).

    Turned as its EXIF orientation says, transparent pixels on white, of an animation the first picture. Raises
    `UsageError` for a file that is no image, is cut off or is too large.
    """
    if channels not in MODES:
        raise UsageError(f"image files have 1 or 3 channels; the network takes {channels}")
    check_images([path])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=RASTER_FORMATS) as file:
                image = ImageOps.exif_transpose(file)
                image = _opaque(_eight_bits(image, path)).convert(MODES[channels])
    except UnidentifiedImageError as error:
        raise UsageError(f"{path} is no image file that can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UsageError(f"{path} has too many pixels: {error}") from error
    except UsageError:
        raise
    except Exception as error:  # Pillow's plugins raise many kinds for damaged files
        raise UsageError(f"{path} is a damaged image file: {error}") from error
    pixels = torch.from_numpy(np.array(image)).view(1, image.height, image.width, channels)
    return pixels.permute(0, 3, 1, 2).contiguous()


def _eight_bits(image: Image.Image, path: Path) -> Image.Image:
    """Grey images of 16 bits in 8; Pillow's own conversion would cut their values off at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image).astype(np.uint16) / 257).round().astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UsageError(f"{path} has pixels of 32 bits, whose range is not known; save it with 8 or 16 bits")
    return image


def _opaque(image: Image.Image) -> Image.Image:
    """Transparent pixels composited on white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


@dataclass(frozen=True)
class Answer:
    """What a network says of an image file: class names with probabilities, the most probable first."""

    path: Path
    classes: tuple[tuple[str, float], ...]


def answer(predictor: Predictor, path: Path, *, top: int = 5) -> Answer:
    """The `top` most probable classes of an image file; of equal ones that with the lower index comes first.

    A class whose name the checkpoint does not say is called `class 3`. Raises `UsageError` as `read_image` does.
    """
    logits = predictor.logits(read_image(path, channels=predictor.in_channels))[0].double()
    if not bool(logits.isfinite().all()):
        raise UsageError(f"{predictor.source} gives {path} no finite logits; the network has diverged")
    names = predictor.class_names or tuple(f"class {index}" for index in range(predictor.num_classes))
    probabilities, order = logits.softmax(0).sort(descending=True, stable=True)
    pairs = zip(order.tolist(), probabilities.tolist(), strict=True)
    return Answer(path, tuple((names[index], probability) for index, probability in list(pairs)[:top]))
