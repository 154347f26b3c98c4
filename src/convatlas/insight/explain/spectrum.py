"""Pictures as their frequencies, in colours that do not depend on each other, seen under random small movements.

Olah et al. 2017, https://distill.pub/2017/feature-visualization, and its code, lucid: steps in this form of a picture
change its large shapes as soon as its details, and no single pixel. The movements keep away the patterns that excite a
network only where they lie exactly so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# The root of the covariance of the colours of ImageNet's photographs, as in lucid (optvis/param/color.py).
IMAGENET = ((0.26, 0.09, 0.02), (0.27, 0.00, -0.05), (0.27, -0.09, 0.03))
POWER = 1.5  # of a frequency by which its part is divided; lucid's 1 is noisier where images have 224 pixels
START = 0.01  # deviation of the first frequencies
SHIFT = 1 / 11  # of the side: lucid pads by 12 of 128 pixels, and moves by up to 8 and again by up to 4 pixels
TURN = 10.0  # degrees to either side
SCALES = (0.9, 1.1)


@dataclass(frozen=True)
class Palette:
    """The colours of pictures: a root of their covariance (C, C), its largest column of length 1, and its origin."""

    root: Tensor
    origin: str

    @staticmethod
    def of(root: Tensor, origin: str) -> Palette:
        """Returns the palette of a root of a covariance, which is scaled."""
        return Palette(root / root.norm(dim=0).max().clamp(min=1e-12), origin)

    @staticmethod
    def of_pixels(pixels: Tensor, origin: str) -> Palette:
        """Returns the palette of the colours of images (N, C, H, W)."""
        colours = pixels.double().transpose(0, 1).flatten(1)
        values, vectors = torch.linalg.eigh(colours.cov().view(len(colours), len(colours)))
        signs = torch.where(vectors.sum(0) < 0, -1.0, 1.0)  # the signs of eigenvectors differ from machine to machine
        return Palette.of((vectors * signs * values.clamp(min=0).sqrt()).float().flip(1), origin)


def first_spectrum(channels: int, size: int, *, generator: torch.Generator) -> Tensor:
    """Returns random frequencies (1, C, size, size // 2 + 1, 2)."""
    return START * torch.randn(1, channels, size, size // 2 + 1, 2, generator=generator)


def picture_of(spectrum: Tensor, palette: Palette) -> Tensor:
    """Returns pictures (N, C, size, size), values from 0 to 1, of frequencies (N, C, size, size // 2 + 1, 2).

    High frequencies count less, as in photographs.
    """
    size = spectrum.shape[-3]
    rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
    frequencies = (rows**2 + columns**2).sqrt().clamp(min=1 / size).to(spectrum.device)
    scaled = torch.view_as_complex(spectrum.contiguous()) * (size ** (2 - POWER) / frequencies**POWER)
    values = torch.fft.irfft2(scaled, s=(size, size)) / 4
    return torch.einsum("ij,njhw->nihw", palette.root.to(values), values).sigmoid()


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Returns images (N, C, size, size) turned, scaled and shifted at random, all of them alike; around them is 0."""
    drawn = torch.rand(4, generator=generator).tolist()
    angle = math.radians(TURN * (2 * drawn[0] - 1))
    scale = SCALES[0] + (SCALES[1] - SCALES[0]) * drawn[1]
    down, right = (2 * SHIFT * (2 * each - 1) for each in drawn[2:])  # the side is from -1 to 1
    cosine, sine = math.cos(angle) / scale, math.sin(angle) / scale
    turning = torch.tensor([[cosine, -sine, right], [sine, cosine, down]], device=images.device)
    grid = F.affine_grid(turning.expand(len(images), -1, -1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)
