"""Moving averages of a network's weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """A copy of a network that follows it: `update_parameters(network)` after each step.

    Parameters and running statistics move by 1 - min(decay, (1 + n) / (10 + n)) of the way at the n-th step, so that a
    short training is not held back by its first values; counters are copied. As TensorFlow's
    `ExponentialMovingAverage` with `num_updates`, which EfficientNet has.

    torch's own asks its counter `n_averaged` at each step, which waits for the device; here it is asked once.
    """

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self.decay = decay
        self._count: int | None = None

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Follows the network by one step."""
        count = int(self.n_averaged) if self._count is None else self._count
        kept = min(self.decay, (1 + count) / (10 + count)) if count else 0.0
        for average, current in zip(_tensors(self.module), _tensors(model), strict=True):
            if average.is_floating_point() and kept:
                average.lerp_(current.to(average), 1 - kept)
            else:
                average.copy_(current)
        self.n_averaged += 1
        self._count = count + 1

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._count = None


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    return chain(network.parameters(), network.buffers())
