"""From uint8 pixels to what a network sees: size, channels, normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.architecture import Interpolation
from convatlas.device import per_channel


@dataclass(frozen=True)
class Preprocessing:
    """The size in pixels and the mean and standard deviation per channel, of values in [0, 1].

    The image keeps its proportions: its shorter side is brought to `shorter_side`, by default `image_size`, and the
    centre of `image_size` is cut out.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> normalised float32 (N, C', size, size); one channel is repeated where C' is larger."""
        return self.normalize(self.resize(images))

    def resize(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> float32 in [0, 1] (N, C', size, size), antialiased."""
        pixels = images.to(torch.float32) / 255
        if pixels.shape[1] != len(self.mean):
            pixels = pixels.expand(-1, len(self.mean), -1, -1)
        return self.framed(pixels)

    def framed(self, pixels: Tensor, *, extent: tuple[float, float] | None = None) -> Tensor:
        """Of images (N, C, H, W), uint8 or float in [0, 1], the part that the network sees: (N, C, size, size).

        `extent` is the height and width of the image itself where its last row and column stand for less than others.
        """
        side = self.shorter_side or self.image_size
        height, width = extent or pixels.shape[-2:]
        shorter = min(height, width)
        if max(height, width) > 2 * shorter:  # only the centre counts: a strip of a panorama would fill the memory
            top, left = (int(max(0, length // 2 - shorter)) for length in (height, width))
            pixels = pixels[..., top : top + math.ceil(2 * shorter), left : left + math.ceil(2 * shorter)]
            height, width = min(height, 2 * shorter), min(width, 2 * shorter)
        size = int(side * height // shorter), int(side * width // shorter)
        return self._centre(self._resampled(pixels, size, extent=(height, width)))

    def _resampled(self, pixels: Tensor, size: tuple[int, int], *, extent: tuple[float, float]) -> Tensor:
        if tuple(pixels.shape[-2:]) == size == extent:
            return pixels
        if tuple(pixels.shape[-2:]) == extent:
            resampled = F.interpolate(pixels, size=size, mode=self.interpolation, antialias=True)
        else:  # PyTorch rounds the size down: a little more, lest it be one too small
            factors = tuple((to + 1e-6) / of for to, of in zip(size, extent, strict=True))
            resampled = F.interpolate(pixels, scale_factor=factors, mode=self.interpolation, antialias=True)
        if self.interpolation == "bicubic" and resampled.is_floating_point():
            return resampled.clamp(0, 1)  # it overshoots; PyTorch keeps uint8 images in their range itself
        return resampled

    def _centre(self, pixels: Tensor) -> Tensor:
        """The central square of `image_size` pixels."""
        top, left = (round((length - self.image_size) / 2) for length in pixels.shape[-2:])
        return pixels[..., top : top + self.image_size, left : left + self.image_size]

    def normalize(self, pixels: Tensor) -> Tensor:
        """float32 in [0, 1] (N, C, H, W) -> zero mean and unit variance by the stored mean and std."""
        return (pixels - per_channel(self.mean, pixels.device)).div_(per_channel(self.std, pixels.device))


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over uint8 images (N, C, H, W), as values in [0, 1]."""
    values = images.to(torch.float64).transpose(0, 1).flatten(1) / 255
    return tuple(values.mean(1).tolist()), tuple(values.std(1, correction=0).tolist())
