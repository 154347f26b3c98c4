"""From uint8 pixels to what a network sees: size, channels, normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.architecture import Interpolation


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
        side = self.shorter_side or self.image_size
        height, width = pixels.shape[-2:]
        shorter = min(height, width)
        if max(height, width) > 2 * shorter:  # only the centre counts: a strip of a panorama would fill the memory
            top, left = max(0, height // 2 - shorter), max(0, width // 2 - shorter)
            pixels = pixels[..., top : top + 2 * shorter, left : left + 2 * shorter]
            height, width = pixels.shape[-2:]
        return self._centre(self._resampled(pixels, (side * height // shorter, side * width // shorter)))

    def _resampled(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        if tuple(pixels.shape[-2:]) == size:
            return pixels
        resampled = F.interpolate(pixels, size=size, mode=self.interpolation, antialias=True)
        return resampled if self.interpolation == "bilinear" else resampled.clamp(0, 1)  # bicubic overshoots

    def _centre(self, pixels: Tensor) -> Tensor:
        """The central square of `image_size` pixels."""
        top, left = (round((length - self.image_size) / 2) for length in pixels.shape[-2:])
        return pixels[..., top : top + self.image_size, left : left + self.image_size]

    def normalize(self, pixels: Tensor) -> Tensor:
        """float32 in [0, 1] (N, C, H, W) -> zero mean and unit variance by the stored mean and std."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, -1, 1, 1)
        return (pixels - mean) / std


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over uint8 images (N, C, H, W), as values in [0, 1]."""
    values = images.to(torch.float64).transpose(0, 1).flatten(1) / 255
    return tuple(values.mean(1).tolist()), tuple(values.std(1, correction=0).tolist())
