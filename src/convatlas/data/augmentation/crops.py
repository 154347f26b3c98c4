"""Random changes of training images, one draw for each image, as arithmetic on the whole batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

TRIES = 10  # rectangles drawn for an image before the central one is taken
PADDING = 4  # pixels on each side, He et al. 2016, section 4.2


def resized_crop(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Returns a rectangle of every image, resized bilinearly to the image's size: float (N, C, H, W) -> the same.

    `rows` (N, H) and `columns` (N, W) are where in the image those of the result are read: `read_places`. The rectangle
    is never larger than the image, so that antialiasing would change nothing. Pillow rounds to 8 bits after each
    direction, this does not. Resampling is separable: two batched matrix products.
    """
    count, channels, height, width = images.shape
    across, down = _interpolation(columns, width), _interpolation(rows, height)
    narrowed = images.reshape(count, channels * height, width) @ across.transpose(1, 2)  # one product for all channels
    cut = down.repeat_interleave(channels, 0) @ narrowed.view(count * channels, height, width)
    return cut.view_as(images)


def read_places(
    rectangles: Tensor, height: int, width: int, *, mirrored: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Returns the places in images at which rows (N, height) and columns (N, width) of `rectangles` (N, 4) are read.

    Only pixels inside the rectangle count. Images that are `mirrored` (N,) are so before they are cut, at no cost:
    their columns are read from the other end.
    """
    top, left, crop_height, crop_width = rectangles.unbind(1)  # whole numbers: exact in single precision
    columns = _centres(left, crop_width, width)
    if mirrored is not None:
        columns = torch.where(mirrored.unsqueeze(1), width - 1 - columns, columns)
    return _centres(top, crop_height, height), columns


def crop_rectangles(
    count: int, height: int, width: int, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: Generator
) -> Tensor:
    """Returns top, left, height and width (count, 4) of a random rectangle in each of `count` images of one size."""
    return rectangles_in(torch.tensor([height, width]).expand(count, 2), scale=scale, ratio=ratio, generator=generator)


def rectangles_in(sizes: Tensor, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: Generator) -> Tensor:
    """Returns top, left, height and width (N, 4) of a random rectangle in images of `sizes` (N, 2), in whole pixels.

    Its area is `scale` of the image's, uniformly, its aspect ratio (width by height) uniform in the logarithm, its
    sides rounded; of ten such draws the first that fits counts, at a place uniform among those inside the image. Where
    none fits it is the central rectangle of the nearest permitted aspect ratio.
    """
    count = len(sizes)
    height, width = sizes.to(torch.float64).unsqueeze(2).unbind(1)
    area = height * width * _uniform(count, TRIES, *scale, generator=generator)
    aspect = torch.exp(_uniform(count, TRIES, math.log(ratio[0]), math.log(ratio[1]), generator=generator))
    heights, widths = torch.sqrt(area / aspect).round(), torch.sqrt(area * aspect).round()
    fits = (heights >= 1) & (heights <= height) & (widths >= 1) & (widths <= width)
    first, fitting = fits.to(torch.uint8).argmax(1, keepdim=True), fits.any(1, keepdim=True)
    central_height, central_width = _central_rectangle(height, width, ratio=ratio)
    crop_height = torch.where(fitting, heights.gather(1, first), central_height)
    crop_width = torch.where(fitting, widths.gather(1, first), central_width)
    place = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    top = torch.where(fitting, place[:, :1] * (height - crop_height + 1), (height - central_height) // 2)
    left = torch.where(fitting, place[:, 1:] * (width - crop_width + 1), (width - central_width) // 2)
    return torch.cat([top, left, crop_height, crop_width], 1).floor()


def padded_crop(images: Tensor, places: Tensor) -> Tensor:
    """Returns a part, of the image's own size, of every image with 4 black pixels around it: (N, C, H, W) -> the same.

    `places` (N, 2) are those of its upper left corners: `draw_places`. The pixels are those before normalisation, as
    torchvision's `RandomCrop(32, padding=4)` has it; He et al. pad after subtracting the mean.
    """
    return _cut(F.pad(images, (PADDING,) * 4), places, height=images.shape[2], width=images.shape[3])


def window(images: Tensor, places: Tensor, *, size: int) -> Tensor:
    """Returns a square of every image, its upper left corner at `places` (N, 2): (N, C, H, W) -> (N, C, size, size).

    >>> window(torch.arange(16.0).view(1, 1, 4, 4), torch.tensor([[1, 2]]), size=2).tolist()
    [[[[6.0, 7.0], [10.0, 11.0]]]]
    """
    return _cut(images, places, height=size, width=size)


def _cut(images: Tensor, places: Tensor, *, height: int, width: int) -> Tensor:
    windows = images.unfold(2, height, 1).unfold(3, width, 1)  # a view: (N, C, rows, columns, height, width)
    return windows[torch.arange(len(images), device=images.device), :, places[:, 0], places[:, 1]]


def draw_places(count: int, *, free: int, generator: Generator) -> Tensor:
    """Returns row and column (count, 2) of the upper left corner of a random part, `free` pixels less than an image."""
    return torch.randint(free + 1, (count, 2), generator=generator)


def mirrored_where(images: Tensor, mirrored: Tensor) -> Tensor:
    """Returns images (N, C, H, W) of which some (N,) are mirrored left to right."""
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def draw_mirrored(count: int, *, probability: float, generator: Generator) -> Tensor:
    """Draws whether each of `count` images is mirrored (count,), with the given probability."""
    return torch.rand(count, generator=generator) < probability


def _uniform(count: int, tries: int, low: float, high: float, *, generator: Generator) -> Tensor:
    """Draws in double precision: in single precision, a draw below 1 times the bound can round up to the bound."""
    return torch.empty(count, tries, dtype=torch.float64).uniform_(low, high, generator=generator)


def _central_rectangle(height: Tensor, width: Tensor, *, ratio: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Returns height and width of the largest rectangle of a permitted aspect ratio: the whole image if it has one."""
    narrow, wide = width / height < ratio[0], width / height > ratio[1]
    return (
        torch.where(narrow, (width / ratio[0]).round(), height),
        torch.where(wide, (height * ratio[1]).round(), width),
    )


def _centres(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Returns the places (N, size) at which a line of `size` pixels is read: its part [start, start + length), resized.

    Pixel centres are at halves; beyond the border of the part its outermost pixel repeats.
    """
    start, length = start.unsqueeze(1), length.unsqueeze(1)
    pixels = torch.arange(size, device=start.device)
    inside = (pixels + 0.5) * (length / size) - 0.5
    return start + torch.minimum(inside.clamp(min=0), length - 1)


def _interpolation(centres: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that interpolate a line of `size` pixels linearly at `centres` (N, size)."""
    distance = centres.unsqueeze(2) - torch.arange(size, device=centres.device)
    return torch.rsub(distance.abs_(), 1).clamp_(min=0)
