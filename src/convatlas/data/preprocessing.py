"""Turns uint8 pixels into the input of a network: size, channels, normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.device import per_channel, per_row
from convatlas.errors import UsageError
from convatlas.recipe import Fit
from convatlas.values import Interpolation

LARGE = 2**23  # values of an image that is resized channel by channel
LONGEST = 2**23  # pixels of a resized image; of a longer one only the middle is resized


@dataclass(frozen=True)
class Rectangle:
    """A part of an image, in pixels of the image from its upper left corner; fractions where the image was resized.

    It begins before the image and ends behind it where a border was added.
    """

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class Preprocessing:
    """The size in pixels and the mean and standard deviation per channel, of values in [0, 1].

    `fit` says how an image of another shape becomes the square. With `crop` its shorter side is brought to
    `shorter_side`, by default `image_size`, and the centre of `image_size` is cut out. With `squash` each side is
    brought to `image_size`. With `pad` the longer side is, and a border of the mean colour, in whole levels of 255,
    fills the rest. Squash and pad show the whole image, whatever `shorter_side` is.
    """

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"
    fit: Fit = "crop"

    def __call__(self, images: Tensor) -> Tensor:
        """Resizes and normalises images, uint8 or floats in [0, 1]: (N, C, H, W) -> float (N, C', size, size).

        One channel is repeated where C' is larger. Gradients flow back to floats, whose precision is kept.
        """
        return self.normalize(self.resize(images))

    def resize(self, images: Tensor) -> Tensor:
        """Resizes images, uint8 or floats in [0, 1], antialiased: (N, C, H, W) -> in [0, 1] (N, C', size, size).

        uint8 becomes float32. Raises `UsageError` for other whole numbers.
        """
        if not images.is_floating_point() and images.dtype != torch.uint8:
            raise UsageError(f"images are uint8, or floats in [0, 1], not {str(images.dtype).removeprefix('torch.')}")
        if not images.is_floating_point() and images.shape[1:].numel() > LARGE:  # as float32 it would fill the memory
            alone = [replace(self, mean=(mean,)) for mean in self._means(images.shape[1])] * len(images)
            planes = zip(alone, images.flatten(0, 1), strict=True)
            framed = [one.framed(plane.to(torch.float32).div_(255)[None, None]) for one, plane in planes]
            pixels = torch.cat(framed).view(len(images), images.shape[1], *framed[0].shape[-2:])
        else:
            pixels = self.framed(images if images.is_floating_point() else images.to(torch.float32) / 255)
        return pixels if pixels.shape[1] == len(self.mean) else pixels.expand(-1, len(self.mean), -1, -1)

    def framed(self, pixels: Tensor, *, extent: tuple[float, float] | None = None) -> Tensor:
        """Returns the part of images (N, C, H, W), uint8 or float in [0, 1], that the network sees: (N, C, size, size).

        `extent` is the height and width of the image itself where its last row and column stand for less than others.
        """
        if self.fit != "crop":
            return self._whole(pixels, extent=extent or (pixels.shape[-2], pixels.shape[-1]))
        return self._centre(self.resampled(pixels, extent=extent))

    def resampled(self, pixels: Tensor, *, extent: tuple[float, float] | None = None) -> Tensor:
        """Returns images (N, C, H, W) with their shorter side as it is before the centre is cut out: (N, C, H', W').

        Of a panorama that would fill the memory only the middle is taken. `extent` is as for `framed`.
        """
        middle = self._middle(*(extent or pixels.shape[-2:]))
        (top, left), extent = (int(middle.top), int(middle.left)), (middle.height, middle.width)
        pixels = pixels[..., top : top + math.ceil(middle.height), left : left + math.ceil(middle.width)]
        return self._resampled(pixels, self._resized(*extent), extent=extent)

    @property
    def whole(self) -> Preprocessing:
        """The preprocessing that brings the shorter side to the size itself, so that nothing of a square is cut off."""
        return self if self.shorter_side is None else replace(self, shorter_side=None)

    def rectangle(self, height: int, width: int) -> Rectangle:
        """Returns the part that the network sees of an image of `height` x `width` pixels.

        A map over the network's input, stretched to this rectangle, lies over the image.

        >>> Preprocessing(224, (0.5,), (0.2,), shorter_side=256).rectangle(512, 1024)
        Rectangle(top=32.0, left=288.0, height=448.0, width=448.0)
        >>> Preprocessing(224, (0.5,), (0.2,), fit="pad").rectangle(512, 1024)
        Rectangle(top=-256.0, left=0.0, height=1024.0, width=1024.0)
        """
        if self.fit != "crop":
            return self._rectangle_around(height, width)
        middle = self._middle(height, width)
        rows, columns = self._resized(middle.height, middle.width)
        down, across = middle.height / rows, middle.width / columns  # pixels of the image in one of the input
        return Rectangle(
            top=middle.top + down * self._margin(rows),
            left=middle.left + across * self._margin(columns),
            height=down * self.image_size,
            width=across * self.image_size,
        )

    def _whole(self, pixels: Tensor, *, extent: tuple[float, float]) -> Tensor:
        """Returns whole images (N, C, H, W), squashed or with a border: (N, C, size, size)."""
        rows, columns = self._whole_size(*extent)
        resampled = self._resampled(pixels, (rows, columns), extent=extent)
        if (rows, columns) == (self.image_size, self.image_size):
            return resampled
        top, left = map(self._border, (rows, columns))
        framed = self._colour(resampled).expand(*resampled.shape[:2], self.image_size, self.image_size).clone()
        framed[..., top : top + rows, left : left + columns] = resampled
        return framed

    def _rectangle_around(self, height: int, width: int) -> Rectangle:
        """Returns the part of an image that the network sees with squash or pad: all of it and the border."""
        rows, columns = self._whole_size(height, width)
        down, across = height / rows, width / columns
        top, left = self._border(rows), self._border(columns)
        return Rectangle(-top * down, -left * across, self.image_size * down, self.image_size * across)

    def _whole_size(self, height: float, width: float) -> tuple[int, int]:
        """Returns the height and width of a whole image inside the square."""
        if self.fit == "squash":
            return self.image_size, self.image_size
        longer, least = max(height, width), min(2, self.image_size)  # one column of uint8 PyTorch computes wrongly
        rows, columns = (int(self.image_size * length // longer) for length in (height, width))
        return max(least, rows), max(least, columns)

    def _border(self, length: int) -> int:
        """Returns the pixels of border before a row or column."""
        return (self.image_size - length) // 2

    def _colour(self, images: Tensor) -> Tensor:
        """Returns the colour of the border (C, 1, 1) for images (N, C, H, W), in whole levels: the mean."""
        levels = [round(min(max(mean, 0.0), 1.0) * 255) for mean in self._means(images.shape[1])]
        colour = torch.tensor(levels, dtype=torch.uint8, device=images.device)[:, None, None]
        return colour.to(images.dtype) / 255 if images.is_floating_point() else colour

    def _means(self, channels: int) -> tuple[float, ...]:
        """Returns the mean of each channel of an image; of grey ones that will be repeated, the mean of all."""
        return self.mean if len(self.mean) == channels else (sum(self.mean) / len(self.mean),) * channels

    def _middle(self, height: float, width: float) -> Rectangle:
        """Returns the whole image, or the middle of one that is too long to be resized whole."""
        shorter = min(height, width)
        most = (
            max(2, LONGEST // (self.shorter_side or self.image_size) ** 2) * shorter // 2
        )  # on each side of the middle
        top, left = (max(0, length // 2 - most) for length in (height, width))
        return Rectangle(top, left, min(height, 2 * most), min(width, 2 * most))

    def _resized(self, height: float, width: float) -> tuple[int, int]:
        """Returns the height and width to which an image is resized."""
        side, shorter = self.shorter_side or self.image_size, min(height, width)
        return int(side * height // shorter), int(side * width // shorter)

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
        """Returns the central square of `image_size` pixels."""
        top, left = map(self._margin, pixels.shape[-2:])
        return pixels[..., top : top + self.image_size, left : left + self.image_size]

    def _margin(self, length: int) -> int:
        """Returns the number of pixels before the central `image_size` of a row or column."""
        return round((length - self.image_size) / 2)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalises float32 in [0, 1] (N, C, H, W) by the stored mean and std."""
        if pixels.device.type == "cpu" and is_channels_last(pixels):  # as long rows: twice as fast, and the same bits
            rows, width = pixels.permute(0, 2, 3, 1).flatten(2), pixels.shape[-1]
            rows = (rows - per_row(self.mean, width)).div_(per_row(self.std, width))
            return rows.view(*rows.shape[:2], width, len(self.mean)).permute(0, 3, 1, 2)
        return (pixels - per_channel(self.mean, pixels.device)).div_(per_channel(self.std, pixels.device))


def is_channels_last(images: Tensor) -> bool:
    """Returns whether the channels of each pixel lie side by side in memory, and those of no other image."""
    return images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()


Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""The mean and the standard deviation of each channel, of values in [0, 1]."""


def channel_statistics(images: Tensor) -> Statistics:
    """Returns mean and standard deviation of each channel over uint8 images (N, C, H, W), as values in [0, 1]."""
    values = images.to(torch.float64).transpose(0, 1).flatten(1) / 255
    return tuple(values.mean(1).tolist()), tuple(values.std(1, correction=0).tolist())


def unnormalised(image_size: int, *, channels: int) -> Preprocessing:
    """Returns the preprocessing that only resizes."""
    return Preprocessing(image_size, mean=(0.0,) * channels, std=(1.0,) * channels)
