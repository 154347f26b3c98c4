"""The one LightningModule and the one DataModule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Literal

import lightning.pytorch as L
import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from convatlas.data.batches.loader import EvaluationBatches, TrainingBatches, epoch_seed, steps_per_epoch
from convatlas.device import BATCH_SIZE, autocast, network_input, out_of_memory
from convatlas.layers import AuxiliaryLogits
from convatlas.recipe import rate_factor
from convatlas.training.averaging import MovingAverage, Plateau
from convatlas.training.loss import TrainingLoss
from convatlas.training.optimizers import make_optimizer
from convatlas.training.plan import Plan
from convatlas.training.steps import gradients
from convatlas.weights import METADATA

STEPS_PER_CALL = 32  # optimizer steps for each call by Lightning, whose own work costs as much as a small step


class TrainingError(RuntimeError):
    """Training cannot go on; the message says why."""


class Classifier(L.LightningModule):
    """Training of a network by a plan's recipe; sums of loss and hits stay on the device.

    Lightning calls `training_step` for several batches at once, and the steps are counted here: `step` is the number
    of optimizer steps so far. With `ema` in the recipe the moving average of the network, `ema_network`, is what is
    validated and tested.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.plan = plan
        recipe = plan.recipe
        self.network = plan.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_network = MovingAverage(self.network, decay=recipe.ema) if recipe.ema else None
        self.training_loss = TrainingLoss(recipe, labels=plan.data.train.labels, num_classes=plan.num_classes)
        self.plateau = Plateau(gamma=recipe.gamma, patience=recipe.patience) if recipe.patience else None
        self.steps_per_epoch = steps_per_epoch(len(plan.data.train), recipe)
        self.example_input_array = torch.zeros(1, plan.in_channels, *[plan.preprocessing.image_size] * 2)
        self.step = 0
        self.lr = recipe.lr  # of the latest step
        self.stepped: Callable[[int], None] = lambda _images: None  # told of each step and its number of images
        self._sums: dict[str, Sums] = {}

    def forward(self, images: Tensor) -> Tensor | AuxiliaryLogits:
        """Normalised images (N, C, H, W) -> logits (N, num_classes), in training with those of auxiliary heads."""
        output: Tensor | AuxiliaryLogits = self.network(network_input(images))
        return output

    def training_step(self, batches: Iterable[tuple[Tensor, Tensor]], _index: int) -> None:
        """An optimizer step for each batch."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        for images, targets in batches:
            self.lr = self.plan.recipe.lr * self._factor()
            for group in optimizer.param_groups:
                group["lr"] = self.lr
            loss, hits = self._gradients(images, targets)
            optimizer.step()
            if self.ema_network is not None:
                self.ema_network.update_parameters(self.network)
            self._sums["train"].add(loss, hits, len(targets))
            self.step += 1
            self.stepped(len(targets))

    def _gradients(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Sets the gradients of a batch: its loss and its right answers."""
        recipe = self.plan.recipe
        try:
            return gradients(self.network, self.training_loss, images, targets, recipe=recipe)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise TrainingError(
                f"too little memory on {images.device.type} for a step of {len(targets)} images; with "
                f"--set accumulate={2 * recipe.accumulate} it goes through the network in smaller parts (batch norms "
                "then see these), with --batch-size the steps are smaller"
            ) from error

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        images, labels = batch
        network = self.network if self.ema_network is None else self.ema_network
        with autocast(images.device, self.plan.recipe.precision):
            logits = network(network_input(self.plan.preprocessing(images)))
        loss = F.cross_entropy(logits.float(), labels)
        self._sums["val"].add(loss, (logits.argmax(1) == labels).sum(), len(labels))

    def on_train_epoch_start(self) -> None:
        """An epoch's random state (dropout) comes from seed and epoch: a resumed run equals an unbroken one."""
        torch.manual_seed(epoch_seed(self.plan.seed, self.current_epoch))
        self._sums = {part: Sums(self.device) for part in ("train", "val")}

    def on_validation_epoch_end(self) -> None:
        means = self.means("val")
        self._log({f"{name}/val": value for name, value in means.items()})
        if self.plateau is not None and self.current_epoch >= self.plan.recipe.warmup_epochs:
            self.plateau.observe(means["top1"])

    def on_train_epoch_end(self) -> None:
        self._log({**{f"{name}/train": value for name, value in self.means("train").items()}, "lr": self.lr})

    def _log(self, values: dict[str, float]) -> None:
        """Scalars at the optimizer step; Lightning would take the number of its calls."""
        self.log_dict({**values, "step": float(self.step)})

    def means(self, part: Literal["train", "val"]) -> dict[str, float]:
        """Mean loss and accuracy (a fraction) over the epoch's batches so far; waits for the device."""
        return self._sums[part].means()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint says what network it is of, so that it can be read away from its run."""
        record = self.plan.record()
        checkpoint[METADATA] = {name: record[name] for name in ("architecture", "preprocessing", "data", "recipe")}
        checkpoint["step"] = self.step
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.step = checkpoint.get("step", checkpoint["global_step"])
        if self.plateau is not None:
            self.plateau.restore(checkpoint["plateau"])

    def configure_optimizers(self) -> Optimizer:
        return make_optimizer(self.network, self.plan.recipe)

    def _factor(self) -> float:
        """What the recipe's learning rate is multiplied by at the next optimizer step."""
        factor = rate_factor(self.plan.recipe, self.step, steps_per_epoch=self.steps_per_epoch)
        return factor if self.plateau is None else factor * self.plateau.factor


class Sums:
    """Sums over the batches of an epoch, which grow without waiting for the device."""

    def __init__(self, device: torch.device) -> None:
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.hits = torch.zeros((), dtype=torch.int64, device=device)
        self.count = 0

    def add(self, loss: Tensor, hits: Tensor, count: int) -> None:
        """Adds a batch of `count` images: its mean loss and its right answers."""
        self.loss.add_(loss, alpha=count)
        self.hits.add_(hits)
        self.count += count

    def means(self) -> dict[str, float]:
        """Mean loss and accuracy (a fraction) over the images; waits for the device."""
        return {"loss": self.loss.item() / self.count, "top1": self.hits.item() / self.count}


class StepGroups:
    """The batches of an epoch in groups of `size`, each made when it is asked for."""

    def __init__(self, batches: TrainingBatches, *, size: int) -> None:
        self.batches = batches
        self.size = size

    def __len__(self) -> int:
        return -(-len(self.batches) // self.size)

    def __iter__(self) -> Iterator[Iterator[tuple[Tensor, Tensor]]]:
        batches = iter(self.batches)
        for _ in range(len(self)):
            yield islice(batches, self.size)


class DataModule(L.LightningDataModule):
    """The plan's data as batches that lie on the device; a new training loader an epoch, drawn from (seed, epoch)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def train_dataloader(self) -> StepGroups:
        plan = self.plan
        epoch = self.trainer.current_epoch if self.trainer else 0
        batches = TrainingBatches(
            plan.data.train,
            recipe=plan.recipe,
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )
        return StepGroups(batches, size=STEPS_PER_CALL)

    def val_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(self.plan.data.validation, batch_size=BATCH_SIZE)
