"""Changes of training images after normalisation: a part cut out, or mixed with another image."""

from __future__ import annotations

import math
import random

import torch
from torch import Generator, Tensor

from convatlas.device import sent
from convatlas.errors import UsageError


def cutout(images: Tensor, *, size: int, generator: Generator) -> Tensor:
    """Returns a square of `size` pixels a side set to 0 in every image: (N, C, H, W) -> the same.

    DeVries and Taylor 2017 (https://arxiv.org/abs/1708.04552), section 3.2: the centre is any pixel, so that the border
    may cut the square; 0 is the mean of normalised images. Raises `UsageError` for a size below 1.
    """
    if size < 1:
        raise UsageError(f"a cutout of {size} pixels is not possible; the side is 1 pixel or more")
    rows, columns = (_stretch(length, len(images), size, generator=generator) for length in images.shape[-2:])
    hidden = rows.unsqueeze(2) & columns.unsqueeze(1)
    return images.masked_fill(sent(hidden.unsqueeze(1), images.device), 0)


def mixup(images: Tensor, targets: Tensor, *, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mixes every image and its target with those of a partner: (N, C, H, W), (N, classes) -> the same shapes.

    Zhang et al. 2017 (https://arxiv.org/abs/1710.09412): lambda x + (1 - lambda) x', as in the authors' code with one
    lambda for the batch and a permutation of it for the partners. Raises `UsageError` for an alpha of 0 or less.
    """
    share = mixing_share(alpha, generator=generator)
    partners = sent(torch.randperm(len(images), generator=generator), images.device)
    return images.lerp(images[partners], 1 - share), targets.lerp(targets[partners], 1 - share)


def cutmix(images: Tensor, targets: Tensor, *, alpha: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pastes a box of a partner into every image, mixes targets by its area: (N, C, H, W), (N, classes) as before.

    Yun et al. 2019 (https://arxiv.org/abs/1905.04899), section 3.1: a box of 1 - lambda of the area, its centre uniform
    in the image, cut at the border; the same box, lambda and permutation of partners for the whole batch. The targets
    are mixed by the pixels that come from each. Raises `UsageError` for an alpha of 0 or less.

    Departs from the authors' code: there the box's sides are cut to even numbers of pixels, here a pixel belongs to
    the box where its centre does.
    """
    height, width = images.shape[-2:]
    side = (1 - mixing_share(alpha, generator=generator)) ** 0.5
    place = torch.rand(2, generator=generator).tolist()
    partners = sent(torch.randperm(len(images), generator=generator), images.device)
    rows, columns = (
        (torch.arange(length) + 0.5 - centre * length).abs() < side * length / 2
        for length, centre in zip((height, width), place, strict=True)
    )
    box = rows.unsqueeze(1) & columns
    mixed = torch.where(sent(box, images.device), images[partners], images)
    return mixed, targets.lerp(targets[partners], int(box.sum()) / (height * width))


def mixing_share(alpha: float, *, generator: Generator) -> float:
    """Draws lambda ~ Beta(alpha, alpha) for the batch; raises `UsageError` for an alpha of 0 or less.

    torch's distribution takes no generator; Python's does, seeded by this one.
    """
    if not 0 < alpha < math.inf:
        raise UsageError(f"an alpha of {alpha} is not possible; lambda ~ Beta(alpha, alpha) needs a number above 0")
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator))
    return random.Random(seed).betavariate(alpha, alpha)


def _stretch(length: int, count: int, size: int, *, generator: Generator) -> Tensor:
    """Returns whether each pixel of a line lies in a stretch of `size` around one drawn uniformly: (count, length)."""
    start = torch.randint(length, (count, 1), generator=generator) - size // 2
    pixels = torch.arange(length)
    return (pixels >= start) & (pixels < start + size)
