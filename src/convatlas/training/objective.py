"""The goal of a training: its networks, its loss and optimizers, and the score that selects an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convatlas.scores import Score
from convatlas.training.averaging import MovingAverage

if TYPE_CHECKING:
    from convatlas.training.parallel import Group
    from convatlas.training.plan import Plan

Part = Literal["train", "val"]


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why."""


class TooLittleMemoryError(TrainingError):
    """The memory does not suffice for a step."""


@dataclass(frozen=True)
class Measured:
    """The measures of one batch of `count` images, still on the device: means over the images, and plain counts."""

    count: int
    means: Mapping[str, Tensor] = field(default_factory=dict)
    counts: Mapping[str, Tensor] = field(default_factory=dict)


class Batches(Protocol):
    """The batches of one epoch, made one after the other when they are asked for."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


@dataclass(frozen=True)
class Outcome:
    """The end of a training: arrays for `predictions.npz` and `samples.npz`, and the results for `run.json`."""

    predictions: dict[str, np.ndarray]
    samples: dict[str, np.ndarray]
    results: dict[str, Any]


class Objective(Protocol):
    """The goal of a training. `Classification` is the first; a method with two networks is another class.

    `modules` are all networks by name, moving averages included; a checkpoint keeps them under these names.
    `optimizers` update them. `evaluated` names the module that is validated, tested and used afterwards. `measures`
    are the columns of training and of validation; `score` selects the epoch. `name` stands in the run's record.
    """

    name: ClassVar[str]
    measures: ClassVar[Mapping[Part, tuple[str, ...]]]
    score: ClassVar[Score]
    modules: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    evaluated: str

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the objective of a plan: its networks, initialised from the plan's seed, on a device."""
        ...

    def batches(self, plan: Plan, epoch: int) -> Batches:
        """Returns the batches of one epoch, drawn from the plan's seed and the epoch alone."""
        ...

    def step(self, batch: Any, *, update: Callable[[Optimizer], None], group: Group) -> Measured:
        """Trains on one batch. `update` takes a step of an optimizer whose gradients are set; nothing waits."""
        ...

    def validate(self, plan: Plan) -> dict[str, float]:
        """Returns the measures of the validation images by the network that is evaluated."""
        ...

    def outcome(self, plan: Plan) -> Outcome:
        """Returns the final evaluation, by the weights of the selected epoch, which are loaded."""
        ...

    def state(self) -> dict[str, Any]:
        """Returns plain data and tensors that a checkpoint keeps beside modules and optimizers; may be empty."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`."""
        ...


def evaluated_network(objective: Objective) -> nn.Module:
    """Returns the network that is evaluated; of a moving average it is the averaged network."""
    module = objective.modules[objective.evaluated]
    return module.module if isinstance(module, MovingAverage) else module


def trained_modules(objective: Objective) -> list[nn.Module]:
    """Returns the networks that an optimizer updates: all but moving averages."""
    return [module for module in objective.modules.values() if not isinstance(module, MovingAverage)]


def evaluated_prefix(objective: Objective) -> str:
    """Returns the beginning of the names of the evaluated network's tensors in a checkpoint."""
    averaged = isinstance(objective.modules[objective.evaluated], MovingAverage)
    return f"{objective.evaluated}.module." if averaged else f"{objective.evaluated}."


class Means:
    """Means of measures over the batches of an epoch that have them; they grow without waiting for the device."""

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        self.sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in names}
        self.images = dict.fromkeys(names, 0)

    def add(self, measured: Measured) -> None:
        """Adds the measures of a batch."""
        for name, mean in measured.means.items():
            self.sums[name].add_(mean, alpha=measured.count)
        for name, count in measured.counts.items():
            self.sums[name].add_(count)
        for name in (*measured.means, *measured.counts):
            self.images[name] += measured.count

    def values(self, group: Group) -> dict[str, float]:
        """Returns the means over all images, those of other processes included; waits for the device.

        A measure that no batch had is left out.
        """
        images = {name: group.total_count(count) for name, count in self.images.items()}
        return {name: group.total(self.sums[name]).item() / count for name, count in images.items() if count}
