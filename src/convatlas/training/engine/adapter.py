"""The one LightningModule and the one DataModule: they hand a learner and its batches to Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import lightning.pytorch as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim import Optimizer

from convatlas.device import network_input
from convatlas.training.learner import Learner
from convatlas.training.objective import Batches, evaluated_network, evaluated_prefix
from convatlas.training.plan import Plan
from convatlas.weights import METADATA

STEPS_PER_CALL = 32  # optimizer steps for each call by Lightning, whose own work costs as much as a small step


class LearnerModule(L.LightningModule):
    """A learner as Lightning sees it. Its modules are saved under their own names.

    Lightning calls `training_step` for several batches at once, and the learner counts the steps. `stepped` is told of
    each step and its number of images.
    """

    def __init__(self, plan: Plan, learner: Learner) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.plan = plan
        self.learner = learner
        for name, module in learner.objective.modules.items():
            self.add_module(name, module)
        self.example_input_array = torch.zeros(1, plan.in_channels, *[plan.preprocessing.image_size] * 2)
        self.stepped: Callable[[int], None] = lambda _images: None
        self.measured: dict[str, float] = {}  # on the validation images, in this epoch

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated."""
        return evaluated_network(self.learner.objective)

    def forward(self, images: Tensor) -> Any:
        """Maps normalised images (N, C, H, W) to the answer of the evaluated network."""
        return self.evaluated(network_input(images))

    def training_step(self, batches: Iterable[Any], _index: int) -> None:
        """Takes a step for each batch."""
        for batch in batches:
            self.stepped(self.learner.step(batch).count)

    def validation_step(self, _whole: Any, _index: int) -> None:
        """Measures all validation images."""
        self.measured = self.learner.validate(self.plan, epoch=self.current_epoch)

    def on_fit_start(self) -> None:
        """Lets Lightning take the optimizers' steps, which counts them and calls its precision plugin."""
        taken = self.optimizers()
        wrapped = taken if isinstance(taken, list) else [taken]
        by_optimizer: dict[int, Any] = {}
        for one in wrapped:
            assert isinstance(one, LightningOptimizer)
            by_optimizer[id(one.optimizer)] = one
        self.learner.update = lambda optimizer: by_optimizer[id(optimizer)].step()

    def on_train_epoch_start(self) -> None:
        self.learner.begin_epoch(seed=self.plan.seed, epoch=self.current_epoch)

    def on_validation_epoch_end(self) -> None:
        self._log({f"{name}/val": value for name, value in self.measured.items()})

    def on_train_epoch_end(self) -> None:
        means = {f"{name}/train": value for name, value in self.learner.means().items()}
        self._log({**means, "lr": self.learner.rate})

    def _log(self, values: dict[str, float]) -> None:
        """Logs scalars at the learner's step; Lightning would take the number of its calls."""
        self.log_dict({**values, "step": float(self.learner.steps)})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Writes the name of the network into the checkpoint, so that it can be read away from its run."""
        checkpoint[METADATA] = {**self.plan.record().entry(), "evaluated": evaluated_prefix(self.learner.objective)}
        checkpoint.update(self.learner.counters())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.learner.restore_counters({"step": checkpoint["global_step"], **checkpoint})

    def configure_optimizers(self) -> list[Optimizer]:
        return list(self.learner.objective.optimizers.values())


class StepGroups:
    """The first `steps` batches of an epoch in groups of `size`, each made when it is asked for."""

    def __init__(self, batches: Batches, *, steps: int, size: int) -> None:
        self.batches = batches
        self.steps = steps
        self.size = size

    def __len__(self) -> int:
        return -(-self.steps // self.size)

    def __iter__(self) -> Iterator[Iterator[Any]]:
        batches = islice(self.batches, self.steps)
        for _ in range(len(self)):
            yield islice(batches, self.size)


class DataModule(L.LightningDataModule):
    """The batches of each epoch, drawn from (seed, epoch), and one item for all validation images."""

    def __init__(self, plan: Plan, learner: Learner) -> None:
        super().__init__()
        self.plan = plan
        self.learner = learner

    def train_dataloader(self) -> StepGroups:
        epoch = self.trainer.current_epoch if self.trainer else 0
        batches = self.learner.objective.batches(self.plan, epoch)
        steps = self.plan.recipe.steps_in_epoch(epoch, len(batches))
        return StepGroups(batches, steps=steps, size=STEPS_PER_CALL)

    def val_dataloader(self) -> list[int]:
        return [0]
