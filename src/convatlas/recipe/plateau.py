"""The learning rate of the schedule `plateau`: it falls when the score of validation stands still."""

from __future__ import annotations

from typing import Any


class Plateau:
    """The factor on the learning rate: times `gamma` when the score has not risen for `patience` epochs in turn.

    >>> plateau = Plateau(gamma=0.1, patience=2)
    >>> [plateau.observe(score) for score in (0.5, 0.6, 0.6, 0.5, 0.7)]
    [1.0, 1.0, 1.0, 0.1, 0.1]
    """

    def __init__(self, *, gamma: float, patience: int) -> None:
        self.gamma = gamma
        self.patience = patience
        self.best = float("-inf")
        self.waited = 0
        self.factor = 1.0

    def observe(self, score: float) -> float:
        """Returns the factor after an epoch with this score."""
        self.waited = 0 if score > self.best else self.waited + 1
        self.best = max(self.best, score)
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
