"""Random changes of training images, one draw per image, as arithmetic on the whole batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from convatlas.data.transfer import sent

TRIES = 10  # rectangles drawn for an image before the central one is taken
PADDING = 4  # pixels on each side, He et al. 2016, section 4.2


def random_resized_crop(
    images: Tensor,
    *,
    scale: tuple[float, ...],
    ratio: tuple[float, ...],
    generator: Generator,
    mirrored: Tensor | None = None,
) -> Tensor:
    """A random rectangle of every image, resized bilinearly to the image's size: float (N, C, H, W) -> the same.

    The rectangle is torchvision's and the tutorial's: `crop_rectangles`, in whole pixels. Only pixels inside it
    count. It is never larger than the image, so that antialiasing would change nothing. Pillow rounds to 8 bits after
    each direction, this does not. Resampling is separable: two batched matrix products. Images that are `mirrored` (N,)
    are so before they are cut, at no cost: their columns are read from the other end.
    """
    count, channels, height, width = images.shape
    rectangles = crop_rectangles(count, height, width, scale=scale, ratio=ratio, generator=generator)
    top, left, crop_height, crop_width = sent(rectangles, images.device, images.dtype).unbind(1)  # whole numbers: exact
    rows = _interpolation(_centres(top, crop_height, height), height)
    places = _centres(left, crop_width, width)
    if mirrored is not None:
        places = torch.where(sent(mirrored, images.device).unsqueeze(1), width - 1 - places, places)
    columns = _interpolation(places, width)
    narrowed = images.reshape(count, channels * height, width) @ columns.transpose(1, 2)  # one product for all channels
    cut = rows.repeat_interleave(channels, 0) @ narrowed.view(count * channels, height, width)
    return cut.view_as(images)


def crop_rectangles(
    count: int, height: int, width: int, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: Generator
) -> Tensor:
    """Top, left, height and width (count, 4) of a random rectangle in each of `count` images of one size."""
    return rectangles_in(torch.tensor([height, width]).expand(count, 2), scale=scale, ratio=ratio, generator=generator)


def rectangles_in(sizes: Tensor, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: Generator) -> Tensor:
    """Top, left, height and width (N, 4) of a random rectangle in images of `sizes` (N, 2), in whole pixels.

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


def random_padded_crop(images: Tensor, *, generator: Generator) -> Tensor:
    """A random part, of the image's own size, of every image with 4 black pixels around it: (N, C, H, W) -> the same.

    The pixels are those before normalisation, as torchvision's `RandomCrop(32, padding=4)` has it; He et al. pad
    after subtracting the mean.
    """
    count, _, height, width = images.shape
    places = sent(torch.randint(2 * PADDING + 1, (2, count), generator=generator), images.device)
    windows = F.pad(images, (PADDING,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view: (N, C, 9, 9, H, W)
    return windows[torch.arange(count, device=images.device), :, places[0], places[1]]


def random_flip(images: Tensor, *, probability: float, generator: Generator) -> Tensor:
    """Each image mirrored left to right with the given probability: (N, C, H, W) -> the same."""
    mirrored = draw_mirrored(len(images), probability=probability, generator=generator)
    return torch.where(sent(mirrored, images.device).view(-1, 1, 1, 1), images.flip(-1), images)


def draw_mirrored(count: int, *, probability: float, generator: Generator) -> Tensor:
    """Which of `count` images are mirrored (count,), each with the given probability."""
    return torch.rand(count, generator=generator) < probability


def _uniform(count: int, tries: int, low: float, high: float, *, generator: Generator) -> Tensor:
    """In double precision: in single, a product of a draw below 1 can round up to the bound."""
    return torch.empty(count, tries, dtype=torch.float64).uniform_(low, high, generator=generator)


def _central_rectangle(height: Tensor, width: Tensor, *, ratio: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Height and width of the largest rectangle of a permitted aspect ratio; all of an image that has one."""
    narrow, wide = width / height < ratio[0], width / height > ratio[1]
    return (
        torch.where(narrow, (width / ratio[0]).round(), height),
        torch.where(wide, (height * ratio[1]).round(), width),
    )


def _centres(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where in a line of `size` pixels those of its part [start, start + length) lie when resized to it: (N, size).

    Pixel centres are at halves; beyond the border of the part its outermost pixel repeats.
    """
    start, length = start.unsqueeze(1), length.unsqueeze(1)
    pixels = torch.arange(size, device=start.device)
    inside = (pixels + 0.5) * (length / size) - 0.5
    return start + torch.minimum(inside.clamp(min=0), length - 1)


def _interpolation(centres: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that interpolate a line of `size` pixels linearly at `centres` (N, size)."""
    distance = centres.unsqueeze(2) - torch.arange(size, device=centres.device)
    return distance.abs_().neg_().add_(1).clamp_(min=0)
