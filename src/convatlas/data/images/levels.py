"""Pictures with any kind of pixel, made opaque and of 8 bits a channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from convatlas.errors import UsageError

MODES = {1: "L", 3: "RGB"}  # a network's channels to Pillow's name
SIXTEEN_BITS = (0, 65_535)  # the values of black and of white
BITS, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # tags of a TIFF, and a value


def plain(image: Image.Image, path: Path | str, *, channels: int, ends: tuple[int, int] | None) -> Image.Image:
    """Returns a picture in 8 bits and opaque, in the given channels.

    `ends` are the values of black and of white in a grey picture of more than 8 bits. Raises `UsageError` where they
    are needed and are None.
    """
    opaque = _opaque(_eight_bits(image, path, ends))
    return opaque if opaque.mode == MODES[channels] else opaque.convert(MODES[channels])  # which copies in any case


def ends_of(image: Image.Image) -> tuple[int, int] | None:
    """Returns the values of black and of white in a grey picture of more than 8 bits; None where they are not known."""
    if not image.mode.startswith("I;16"):
        return SIXTEEN_BITS if (image.mode, image.format) == ("I", "PPM") else None  # Pillow has scaled it to 16 bits
    tags = getattr(image, "tag_v2", {})  # of a TIFF; Pillow gives the values as they stand in the file
    ends = (0, 2 ** tags.get(BITS, (16,))[0] - 1)
    return ends[::-1] if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else ends


def scale_transparency(file: Image.Image) -> None:
    """Brings the transparent value of a PNG, of which only the header is read, to the 8 bits of Pillow's pixels."""
    transparent, raw = file.info.get("transparency"), _raw_mode(file)
    if isinstance(transparent, int) and raw in ("L;2", "L;4"):
        file.info["transparency"] = transparent * (85 if raw == "L;2" else 17)
    elif isinstance(transparent, tuple) and raw == "RGB;16B":
        file.info["transparency"] = tuple(value >> 8 for value in transparent)


def _raw_mode(file: Image.Image) -> object:
    tile = getattr(file, "tile", [])
    return tile[0].args if file.format == "PNG" and tile else None


def _eight_bits(image: Image.Image, path: Path | str, ends: tuple[int, int] | None) -> Image.Image:
    """Converts grey pictures of 16 bits to 8; Pillow's own conversion would cut their values off at 255."""
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    if ends is None:
        raise UsageError(
            f"{path} has pixels of 32 bits or with a sign, whose range is not known; save it with 8 or 16 bits"
        )
    values = np.asarray(image).astype(np.int32)
    black, white = ends
    levels = ((values - black) * (255 / (white - black))).round().clip(0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        levels[values == transparent] = 255
    return Image.fromarray(levels)


def _opaque(image: Image.Image) -> Image.Image:
    """Composites transparent pixels on white."""
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
