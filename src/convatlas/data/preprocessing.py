"""From uint8 pixels to what a network sees: size, channels, normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """The size in pixels and the mean and standard deviation per channel, of values in [0, 1]."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> normalised float32 (N, C', size, size); one channel is repeated where C' is larger."""
        return self.normalize(self.resize(images))

    def resize(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) -> float32 in [0, 1] (N, C', size, size), bilinear with antialiasing."""
        pixels = images.to(torch.float32) / 255
        if pixels.shape[1] != len(self.mean):
            pixels = pixels.expand(-1, len(self.mean), -1, -1)
        if pixels.shape[-2:] != (self.image_size, self.image_size):
            pixels = F.interpolate(pixels, size=(self.image_size, self.image_size), mode="bilinear", antialias=True)
        return pixels

    def normalize(self, pixels: Tensor) -> Tensor:
        """float32 in [0, 1] (N, C, H, W) -> zero mean and unit variance by the stored mean and std."""
        mean = torch.tensor(self.mean, device=pixels.device).view(1, -1, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, -1, 1, 1)
        return (pixels - mean) / std


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over uint8 images (N, C, H, W), as values in [0, 1]."""
    values = images.to(torch.float64).transpose(0, 1).flatten(1) / 255
    return tuple(values.mean(1).tolist()), tuple(values.std(1, correction=0).tolist())
