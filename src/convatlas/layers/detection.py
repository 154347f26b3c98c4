"""The output of a detector: what each level of its pyramid says of classes and boxes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class DetectorOutput(NamedTuple):
    """The output of a detector: class logits and box offsets, a tensor for each level, the finest level first.

    A level of H x W places has `anchors` boxes at each place. Its logits are (N, anchors * num_classes, H, W), its
    offsets (N, anchors * 4, H, W); the channels of one anchor lie together.
    """

    logits: tuple[Tensor, ...]
    offsets: tuple[Tensor, ...]


def mean_square(output: DetectorOutput) -> Tensor:
    """Returns the mean square of all values, which stands for a loss where only its gradients are of interest."""
    values = torch.cat([level.flatten() for level in (*output.logits, *output.offsets)])
    return values.square().mean()
