"""Random changes of training images, one draw per image, as arithmetic on the whole batch."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def random_resized_crop(
    images: Tensor, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: Generator
) -> Tensor:
    """A random rectangle of every image, resized bilinearly to the image's size: float (N, C, H, W) -> the same.

    The rectangle covers `scale` of the area, uniformly, at an aspect ratio uniform in its logarithm, at a place that is
    uniform among those inside the image. Resampling is separable: two batched matrix products.
    """
    count, _, height, width = images.shape
    area = _uniform(count, *scale, generator=generator)
    aspect = torch.exp(_uniform(count, math.log(ratio[0]), math.log(ratio[1]), generator=generator))
    crop_height = torch.sqrt(area / aspect).clamp(max=1.0) * height
    crop_width = torch.sqrt(area * aspect).clamp(max=1.0) * width
    top = torch.rand(count, generator=generator) * (height - crop_height)
    left = torch.rand(count, generator=generator) * (width - crop_width)
    rows = _interpolation(top, crop_height, height).to(images)
    columns = _interpolation(left, crop_width, width).to(images)
    return rows.unsqueeze(1) @ images @ columns.transpose(1, 2).unsqueeze(1)


def random_flip(images: Tensor, *, probability: float, generator: Generator) -> Tensor:
    """Each image mirrored left to right with the given probability: (N, C, H, W) -> the same."""
    mirrored = torch.rand(len(images), generator=generator) < probability
    return torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(-1), images)


def _uniform(count: int, low: float, high: float, *, generator: Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _interpolation(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Matrices (N, size, size) that resample a line of `size` pixels to the part [start, start + length] of it.

    Bilinear with the pixel centres at halves; beyond the border the outermost pixel repeats.
    """
    centres = start.unsqueeze(1) + (torch.arange(size) + 0.5) * (length / size).unsqueeze(1) - 0.5
    centres = centres.clamp(0, size - 1)
    distance = (centres.unsqueeze(2) - torch.arange(size)).abs()
    return (1 - distance).clamp(min=0)
