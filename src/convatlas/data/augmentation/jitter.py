"""Colour jitter on whole batches: brightness, contrast, saturation and hue of each image changed at random.

The definitions, and the random order of the changes for each image, are those of torchvision's `ColorJitter`. Images
are float (N, C, H, W) in [0, 1], as they are before normalisation. Grey images, C = 1, keep their saturation and hue.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from convatlas.data.augmentation.rand_augment import brightness, color, contrast
from convatlas.device import sent


def jittered(images: Tensor, *, strength: float, hue: float, generator: Generator) -> Tensor:
    """Returns images (N, C, H, W) with other colours; each image has draws and an order of changes of its own.

    The factors on brightness, contrast and saturation are uniform from 1 - `strength` to 1 + `strength`. The turn of
    the hue is uniform from -`hue` to `hue`, in parts of the circle of colours.
    """
    changes: list[Callable[[Tensor, Tensor], Tensor]] = [brightness, contrast, color] if strength else []
    widths = [strength] * len(changes)
    if hue:
        changes, widths = [*changes, turned_hue], [*widths, hue]
    amounts = 2 * torch.rand(len(images), len(changes), generator=generator) - 1
    amounts = amounts * torch.tensor(widths) + torch.tensor([float(change is not turned_hue) for change in changes])
    orders = torch.rand(len(images), len(changes), generator=generator).argsort(1)
    for chosen in orders.unbind(1):
        parts = []
        places = [torch.nonzero(chosen == number).flatten() for number in range(len(changes))]
        for number, (change, group) in enumerate(zip(changes, places, strict=True)):
            part = images.index_select(0, sent(group, images.device))
            parts.append(change(part, amounts[group, number]) if len(group) else part)
        images = torch.cat(parts).index_select(0, sent(torch.cat(places).argsort(), images.device))
    return images


def turned_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Returns images whose colours are turned around the circle of hues by `turn` (N,), where 1 is the whole circle.

    The hue is that of the cone of hue, saturation and value. The largest and the smallest channel of a pixel stay.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    largest, smallest = images.amax(1), images.amin(1)
    chroma = largest - smallest
    divisor = chroma.masked_fill(chroma == 0, 1)
    sixths = torch.where(  # of the circle, from red over green to blue
        largest == red,
        (green - blue) / divisor,
        torch.where(largest == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    sixths = sixths + 6 * sent(turn, images.device, images.dtype).view(-1, 1, 1)
    channels = []
    for offset in (5, 3, 1):  # each channel falls over two sixths, where the hue is furthest from its colour
        distance = (sixths + offset).remainder(6)
        channels.append(largest - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1))
    return torch.stack(channels, 1)
