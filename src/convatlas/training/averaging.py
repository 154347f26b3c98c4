"""Moving averages of a network's weights, and the plateau of what is measured."""

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


class Plateau:
    """The factor on the learning rate: times `gamma` where the accuracy has not risen for `patience` epochs in turn.

    >>> plateau = Plateau(gamma=0.1, patience=2)
    >>> [plateau.observe(top1) for top1 in (0.5, 0.6, 0.6, 0.5, 0.7)]
    [1.0, 1.0, 1.0, 0.1, 0.1]
    """

    def __init__(self, *, gamma: float, patience: int) -> None:
        self.gamma = gamma
        self.patience = patience
        self.best = float("-inf")
        self.waited = 0
        self.factor = 1.0

    def observe(self, top1: float) -> float:
        """Returns the factor after an epoch with this accuracy."""
        self.waited = 0 if top1 > self.best else self.waited + 1
        self.best = max(self.best, top1)
        if self.waited >= self.patience:
            self.waited = 0
            self.factor *= self.gamma
        return self.factor

    def state(self) -> dict[str, Any]:
        """Returns the state that a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint kept."""
        self.best, self.waited, self.factor = state["best"], state["waited"], state["factor"]
