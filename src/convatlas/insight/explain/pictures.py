"""The pictures: maps over an image at its own resolution, sheets of feature maps and of filters."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from convatlas.data.preprocessing import Rectangle

FOR, AGAINST = (255, 120, 0), (0, 110, 255)  # of the class: orange, blue
STRENGTH = 0.85  # of the colour where the map is largest
CLIPPED = 0.995  # share of the pixels below the largest value that is told apart
SMALLEST = 256  # pixels of the longer side: a smaller image is enlarged by a whole factor
ON_PAGE = 640  # pixels of the longer side on the page, at most
GAP, TILE, COLUMNS = 4, 96, 8  # pixels between tiles, pixels of a tile, tiles in a row
NAME = 16  # characters below a tile


def overlay(image: Tensor, values: Tensor, seen: Rectangle) -> Image.Image:
    """Returns an image uint8 (C, H, W) in grey with a map (size, size) in colour where the network has seen it.

    What it has not seen is dark.
    """
    laid, inside = _laid(values.detach().cpu().float(), seen, image.shape[-2], image.shape[-1])
    grey = image.cpu().float().mean(0).numpy()[..., None] / 255
    scaled = _scaled(laid)
    part, grey = STRENGTH * np.abs(scaled), np.where(inside[..., None], grey * 0.8 + 0.1, 0.35 * grey)
    colours = np.array((FOR, AGAINST), np.float32) / 255
    mixed = grey + part * (np.where(scaled > 0, *colours) - grey)
    return _enlarged(mixed)


def photograph(image: Tensor, seen: Rectangle) -> Image.Image:
    """Returns an image uint8 (C, H, W) in its colours; what the network has not seen is dark."""
    pixels = image.cpu().expand(3, -1, -1).permute(1, 2, 0).float().numpy() / 255
    _, inside = _laid(torch.zeros(1, 1), seen, *image.shape[-2:])
    return _enlarged(np.where(inside[..., None], pixels, 0.35 * pixels))


def map_sheet(maps: Tensor, channels: Sequence[int]) -> Image.Image:
    """Returns the maps (C, H, W) of some channels side by side, each from its least to its largest value."""
    tiles = []
    for channel in channels:
        values = maps[channel].cpu().float()
        spread = (values.max() - values.min()).clamp(min=1e-12)
        tiles.append((((values - values.min()) / spread).expand(3, -1, -1), str(channel)))
    return _sheet(tiles)


def filter_sheet(weights: Tensor) -> Image.Image:
    """Returns the filters (out, in, rows, columns) side by side, the largest first; grey is 0.

    Filters of three channels are in colours, others are the mean of their channels.
    """
    order = weights.flatten(1).norm(dim=1).sort(descending=True, stable=True).indices[:64].tolist()
    tiles = []
    for index in order:
        filter_ = weights[index].cpu().float()
        filter_ = filter_ if len(filter_) == 3 else filter_.mean(0, keepdim=True).expand(3, -1, -1)
        tiles.append((0.5 + 0.5 * filter_ / filter_.abs().max().clamp(min=1e-12), str(index)))
    return _sheet(tiles)


def smooth(pixels: Tensor) -> Image.Image:
    """Returns pixels (C, H, W), values from 0 to 1, as a picture; a tiny one is enlarged smoothly."""
    levels = (pixels.expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(levels, "RGB")
    factor = max(1, -(-SMALLEST // max(picture.size)))
    return picture.resize([factor * side for side in picture.size], Image.Resampling.BICUBIC)


def image_sheet(images: Tensor, names: Sequence[str]) -> Image.Image:
    """Returns images uint8 (N, C, H, W) side by side, each with the beginning of its name below."""
    tiles = [(image.float().expand(3, -1, -1) / 255, name) for image, name in zip(images, names, strict=True)]
    return _sheet([(pixels, name if len(name) <= NAME else name[: NAME - 2] + "..") for pixels, name in tiles])


def data_address(picture: Image.Image, *, most: int = ON_PAGE) -> str:
    """Returns a picture as a `data:` address for the page, made smaller where it is large."""
    factor = min(1.0, most / max(picture.size))
    shown = picture if factor == 1 else picture.resize([max(1, round(side * factor)) for side in picture.size])
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def png_address(content: bytes) -> str:
    """Returns the content of a PNG file as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(content).decode()


def png(picture: Image.Image) -> bytes:
    """Returns a picture as the content of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=3)  # a third of the time for a tenth more bytes
    return buffer.getvalue()


def _laid(values: Tensor, seen: Rectangle, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a map stretched to the rectangle over an image (height, width), and where the rectangle is."""
    top, left = round(seen.top), round(seen.left)
    rows, columns = max(1, round(seen.height)), max(1, round(seen.width))
    stretched = F.interpolate(values[None, None], size=(rows, columns), mode="bilinear", antialias=True)[0, 0]
    laid, inside = np.zeros((height, width), np.float32), np.zeros((height, width), bool)
    down, right = slice(max(top, 0), min(top + rows, height)), slice(max(left, 0), min(left + columns, width))
    part = stretched[down.start - top : down.stop - top, right.start - left : right.stop - left]
    laid[down, right], inside[down, right] = part.numpy(), True
    return laid, inside


def _scaled(values: np.ndarray) -> np.ndarray:
    """Returns a map from -1 to 1 (H, W, 1): divided by a large value; a single pixel may have the largest."""
    sizes = np.abs(values)
    large = np.quantile(sizes, CLIPPED) or sizes.max()
    scaled: np.ndarray = np.clip(values / large, -1, 1)[..., None] if large else np.zeros_like(values)[..., None]
    return scaled


def _enlarged(pixels: np.ndarray) -> Image.Image:
    """Returns pixels (H, W, 3), values from 0 to 1, as a picture; a tiny one is enlarged by a whole factor."""
    picture = Image.fromarray((np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8), "RGB")
    factor = -(-SMALLEST // max(picture.size))
    return (
        picture if factor <= 1 else picture.resize([factor * side for side in picture.size], Image.Resampling.NEAREST)
    )


def _sheet(tiles: Sequence[tuple[Tensor, str]]) -> Image.Image:
    """Returns tiles (3, H, W), values from 0 to 1, in rows, each with its name below."""
    columns, below = min(COLUMNS, len(tiles)), 14
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * (TILE + GAP) + GAP, rows * (TILE + below + GAP) + GAP), (245, 247, 249))
    draw = ImageDraw.Draw(sheet)
    for place, (values, name) in enumerate(tiles):
        pixels = (values.permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        picture = Image.fromarray(pixels, "RGB")
        factor = TILE / max(picture.size)
        size = [max(1, round(side * factor)) for side in picture.size]
        left, top = GAP + place % columns * (TILE + GAP), GAP + place // columns * (TILE + below + GAP)
        sheet.paste(picture.resize(size, Image.Resampling.NEAREST), (left, top))
        draw.text((left + 1, top + TILE + 1), name, fill=(90, 100, 110))
    return sheet
