"""Moving averages of a network's weights, and the plateau of what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(network: nn.Module, *, decay: float) -> AveragedModel:
    """A copy of the network that follows it: `update_parameters(network)` after each step.

    Parameters and running statistics move by 1 - min(decay, (1 + n) / (10 + n)) of the way at the n-th step, so that a
    short training is not held back by its first values; counters are copied. As TensorFlow's
    `ExponentialMovingAverage` with `num_updates`, which EfficientNet has.
    """

    def follow(averages: Sequence[Tensor], currents: Sequence[Tensor], steps: Tensor | int) -> None:
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current.to(average.dtype), 1 - kept)
            else:
                average.copy_(current)

    return AveragedModel(network, multi_avg_fn=torch.no_grad()(follow), use_buffers=True)


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
        """The factor after an epoch with this accuracy."""
        self.waited = 0 if top1 > self.best else self.waited + 1
        self.best = max(self.best, top1)
        if self.waited >= self.patience:
            self.waited = 0
            self.factor *= self.gamma
        return self.factor

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what a checkpoint kept."""
        self.best, self.waited, self.factor = state["best"], state["waited"], state["factor"]
