"""RandAugment on whole batches: per image a few operations drawn from fourteen, with one magnitude or drawn ones.

Cubuk et al. 2019, "RandAugment: Practical automated data augmentation with a reduced search space",
https://arxiv.org/abs/1909.13719. Images are float (N, C, H, W) in [0, 1], grey or RGB, as they are before
normalisation; 8-bit pixels are levels of 1/255.

The scale of the magnitude M is the paper's: linear, and 10 is the end of the range in AutoAugment's list of operations
(https://arxiv.org/abs/1805.09501, appendix), to which the column `at_10` of `OPERATIONS` refers. As in EfficientNet's
code (tensorflow/tpu, models/official/efficientnet/autoaugment.py) it goes on linearly beyond 10: M is 17 for
EfficientNet-B5 and 28 for B7. From there are also nearest-neighbour sampling and the grey of what comes from outside
the image.

Departs from that code:

- The paper's fourteen operations, hence without its invert, cutout and solarize-add, and with the identity.
- A larger M is never a weaker change and 0 is none (autocontrast and equalize have no magnitude). There the colour,
  contrast, brightness and sharpness factor is 0.1 + 0.18 M, the bits are 0.4 M and the threshold is 25.6 M, so that
  M = 0 is a strong change; here the factor leaves 1 upwards or downwards, by a random sign as rotation does, the bits
  leave 8 and the threshold 256.
- Where a range has a natural end, M stops there (`limits`): one bit, threshold 0, a factor of 0.1, 150/331 of the side.
- A translation is a part of the side, AutoAugment's 150 of 331 pixels at M = 10. There it is 10 M pixels whatever the
  size of the image, which is 37 % of B5's at M = 17 and 47 % of B7's at M = 28.
- Values are not rounded to 8 bits after each operation; only `equalize` and `posterize` need levels, and round.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from convatlas.device import sent
from convatlas.errors import UsageError
from convatlas.recipe.groups import Magnitudes

HIGHEST = 30  # of the magnitudes that the paper tries
GREY = 128 / 255  # comes in from outside the image

# ------------------------------------------------------------------------------------------------- changes of colours


def autocontrast(images: Tensor) -> Tensor:
    """Returns each channel of each image stretched to [0, 1]; a flat one stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    flat = high == low
    return (images - low.masked_fill(flat, 0)) / (high - low).masked_fill(flat, 1)


def equalize(images: Tensor) -> Tensor:
    """Returns each channel of each image with a flat histogram of 256 levels, by Pillow's whole-number formula.

    A channel stays as it is where it has fewer than 255 pixels below its highest level.
    """
    levels = _levels(images).long().flatten(2)
    counts = levels.new_zeros(*levels.shape[:2], 256).scatter_add_(2, levels, torch.ones_like(levels))
    highest = levels.amax(2, keepdim=True)
    step = (levels.shape[2] - counts.gather(2, highest)) // 255
    below = counts.cumsum(2) - counts
    equalized = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    changed = equalized.gather(2, levels).view_as(images).to(images) / 255
    return torch.where(step.unsqueeze(3) > 0, changed, images)


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Inverts the pixels at or above a threshold (N,) in levels: 256 changes nothing, 0 inverts all."""
    lowest = (_per_image(threshold.round(), images) - 0.5) / 255  # between two levels
    return torch.where(images < lowest, images, 1 - images)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keeps the highest bits (N,) of each level, 1 to 8."""
    step = 2 ** (8 - _per_image(bits.round(), images))
    return torch.div(_levels(images), step, rounding_mode="floor") * step / 255


def color(images: Tensor, factor: Tensor) -> Tensor:
    """Returns the saturation times a factor (N,): 0 is grey, 1 the image. Grey images stay."""
    return images if images.shape[1] == 1 else _extrapolated(_luma(images), images, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Returns the distance from the image's mean grey times a factor (N,): 0 is that grey, 1 the image."""
    return _extrapolated(_luma(images).mean((2, 3), keepdim=True), images, factor)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Returns the values times a factor (N,): 0 is black, 1 the image."""
    return (images * _per_image(factor, images)).clamp(0, 1)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """Returns the distance from the smoothed image times a factor (N,): 0 is smooth, 1 the image, more is sharper.

    Smoothed by Pillow's kernel, the mean of 3x3 pixels with the centre counted five times. The border stays.
    """
    smooth = images.clone()
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    squares = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth[..., 1:-1, 1:-1] = (squares + 4 * images[..., 1:-1, 1:-1]) / 13
    return _extrapolated(smooth, images, factor)


def _extrapolated(degenerate: Tensor, images: Tensor, factor: Tensor) -> Tensor:
    return (degenerate + _per_image(factor, images) * (images - degenerate)).clamp(0, 1)


def _luma(images: Tensor) -> Tensor:
    """Returns grey (N, 1, H, W) from grey or RGB images, by the weights of ITU-R BT.601 as Pillow has them."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.chunk(3, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _levels(images: Tensor) -> Tensor:
    """Returns the nearest of the levels 0 to 255."""
    return (images * 255).round()


def _per_image(amounts: Tensor, images: Tensor) -> Tensor:
    return sent(amounts, images.device, images.dtype).view(-1, 1, 1, 1)


# --------------------------------------------------------------------------------------------------- changes of place


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Returns each image turned around its centre by an angle (N,), counterclockwise."""
    height, width = images.shape[-2:]
    cos, sin = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    across = (1 - cos) * width / 2 + sin * height / 2
    down = (1 - cos) * height / 2 - sin * width / 2
    return resample(images, x=(cos, -sin, across), y=(sin, cos, down))


def shear_x(images: Tensor, rate: Tensor) -> Tensor:
    """Returns each row moved to the left by a rate (N,) times its distance from the top."""
    return resample(images, x=(1, rate, 0), y=(0, 1, 0))


def shear_y(images: Tensor, rate: Tensor) -> Tensor:
    """Returns each column moved up by a rate (N,) times its distance from the left."""
    return resample(images, x=(1, 0, 0), y=(rate, 1, 0))


def translate_x(images: Tensor, part: Tensor) -> Tensor:
    """Returns each image moved to the right by a part (N,) of its width."""
    return resample(images, x=(1, 0, -part * images.shape[3]), y=(0, 1, 0))


def translate_y(images: Tensor, part: Tensor) -> Tensor:
    """Returns each image moved down by a part (N,) of its height."""
    return resample(images, x=(1, 0, 0), y=(0, 1, -part * images.shape[2]))


Affine = tuple[Tensor | float, Tensor | float, Tensor | float]  # factors of x and y and a constant, per image


def resample(images: Tensor, *, x: Affine, y: Affine) -> Tensor:
    """Returns images sampled where the two rows of an affine map send each place (x, y), grey outside the image.

    Places are in pixels from the upper left corner, pixel centres at halves; the nearest pixel counts.
    """
    height, width = images.shape[-2:]
    column, row = _sources(x, images).floor().long(), _sources(y, images).floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    index = torch.where(inside, row * width + column, 0).flatten(1).unsqueeze(1)
    moved = images.flatten(2).gather(2, index.expand(-1, images.shape[1], -1)).view_as(images)
    return torch.where(inside.unsqueeze(1), moved, GREY)


def _sources(factors: Affine, images: Tensor) -> Tensor:
    """Returns one coordinate (N, H, W) of the places where the pixels come from."""
    count, _, height, width = images.shape
    of_x, of_y, constant = (
        sent(torch.as_tensor(factor), images.device, torch.float32).expand(count).view(-1, 1, 1) for factor in factors
    )
    columns = torch.arange(width, device=images.device) + 0.5
    rows = torch.arange(height, device=images.device).unsqueeze(1) + 0.5
    return of_x * columns + of_y * rows + constant


# ------------------------------------------------------------------------------------------------------ the operations


@dataclass(frozen=True)
class Operation:
    """A change of images by an amount per image, and the amount at magnitude 0 and, for either sign, at 10."""

    change: Callable[[Tensor, Tensor], Tensor]
    at_0: float = 0
    at_10: tuple[float, float] = (0, 0)
    limits: tuple[float, float] = (-math.inf, math.inf)

    def amounts(self, magnitude: float | Tensor, signs: Tensor) -> Tensor:
        """Scales linearly with the magnitude, one or (N,), within limits.

        signs (N,), 0 or 1, choose between the ends `at_10`.
        """
        ends = torch.tensor(self.at_10, dtype=torch.float64)[signs]
        return (self.at_0 + (ends - self.at_0) * magnitude / 10).clamp(*self.limits)


PART = 150 / 331  # of the side: pixels and image size in AutoAugment

OPERATIONS = {
    "identity": Operation(lambda images, _: images),
    "autocontrast": Operation(lambda images, _: autocontrast(images)),
    "equalize": Operation(lambda images, _: equalize(images)),
    "rotate": Operation(rotate, 0, (-30, 30)),  # degrees
    "solarize": Operation(solarize, 256, (0, 0), limits=(0, 256)),  # level
    "color": Operation(color, 1, (0.1, 1.9), limits=(0.1, math.inf)),
    "posterize": Operation(posterize, 8, (4, 4), limits=(1, 8)),  # bits
    "contrast": Operation(contrast, 1, (0.1, 1.9), limits=(0.1, math.inf)),
    "brightness": Operation(brightness, 1, (0.1, 1.9), limits=(0.1, math.inf)),
    "sharpness": Operation(sharpness, 1, (0.1, 1.9), limits=(0.1, math.inf)),
    "shear_x": Operation(shear_x, 0, (-0.3, 0.3)),  # pixels per pixel
    "shear_y": Operation(shear_y, 0, (-0.3, 0.3)),
    "translate_x": Operation(translate_x, 0, (-PART, PART), limits=(-PART, PART)),
    "translate_y": Operation(translate_y, 0, (-PART, PART), limits=(-PART, PART)),
}


def rand_augment(
    images: Tensor, *, operations: int, magnitude: float, generator: Generator, magnitudes: Magnitudes = "fixed"
) -> Tensor:
    """Changes each image by random operations, one after the other: float (N, C, H, W) in [0, 1] -> the same shape.

    Each is drawn uniformly from `OPERATIONS`, one may be drawn again. The images with the same one are changed
    together. With `magnitudes="drawn"` each has a magnitude of its own, uniform from 0 to `magnitude`. Raises
    `UsageError` for fewer than one operation or a magnitude outside 0 to 30.
    """
    if operations < 1:
        raise UsageError(f"{operations} operations of RandAugment are not possible; 1 or more are, 2 are usual")
    if not 0 <= magnitude <= HIGHEST:
        raise UsageError(f"a magnitude of {magnitude} is not possible; RandAugment's is 0 to {HIGHEST}")
    for _ in range(operations):
        choices = torch.randint(len(OPERATIONS), (len(images),), generator=generator)
        signs = torch.randint(2, (len(images),), generator=generator)
        each = torch.full((len(images),), magnitude, dtype=torch.float64)
        if magnitudes == "drawn":
            each *= torch.rand(len(images), dtype=torch.float64, generator=generator)
        images = _changed(images, choices, signs, magnitudes=each)
    return images


def _changed(images: Tensor, choices: Tensor, signs: Tensor, *, magnitudes: Tensor) -> Tensor:
    """Changes each image by its chosen operation: sorts by operation, changes groups, restores the order."""
    order = choices.argsort(stable=True)
    sizes = choices.bincount(minlength=len(OPERATIONS)).tolist()
    groups = torch.split(images[sent(order, images.device)], sizes)
    drawn = zip(torch.split(magnitudes[order], sizes), torch.split(signs[order], sizes), strict=True)
    changed = [
        operation.change(group, operation.amounts(*of_group))
        for operation, group, of_group in zip(OPERATIONS.values(), groups, drawn, strict=True)
        if len(group)
    ]
    return torch.cat(changed)[sent(order.argsort(), images.device)]
