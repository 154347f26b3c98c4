"""The one LightningModule and the one DataModule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import lightning.pytorch as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from convatlas.data.loader import EvaluationBatches, TrainingBatches, epoch_seed, steps_per_epoch
from convatlas.layers import AuxiliaryLogits, logits_of, total_loss
from convatlas.prediction import BATCH_SIZE, network_input
from convatlas.recipe import Recipe
from convatlas.training.plan import Plan
from convatlas.weights import METADATA


class Classifier(L.LightningModule):
    """Cross-entropy training of a network by a plan's recipe; sums of loss and hits stay on the device."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.network = plan.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.example_input_array = torch.zeros(1, plan.in_channels, *[plan.preprocessing.image_size] * 2)
        self.lr = plan.recipe.lr  # of the latest step; the schedule moves on right after it
        self._sums: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor | AuxiliaryLogits:
        """Normalised images (N, C, H, W) -> logits (N, num_classes), in training with those of auxiliary heads."""
        output: Tensor | AuxiliaryLogits = self.network(network_input(images))
        return output

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        images, labels = batch
        self.lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        return self._add("train", self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        images, labels = batch
        self._add("val", self(self.plan.preprocessing(images)), labels)

    def _add(self, part: str, output: Tensor | AuxiliaryLogits, labels: Tensor) -> Tensor:
        """The loss of a batch, with that of auxiliary heads; the sums of an epoch are of the network's own logits.

        They grow without waiting for the device.
        """
        logits = logits_of(output)
        loss = F.cross_entropy(logits.float(), labels)
        hits = (logits.argmax(1) == labels).sum()
        batch = torch.stack(
            [loss.detach().double() * len(labels), hits.double(), hits.new_tensor(len(labels)).double()]
        )
        self._sums[part] = self._sums[part] + batch if part in self._sums else batch
        if isinstance(output, Tensor):
            return loss
        return total_loss(output, lambda each: F.cross_entropy(each.float(), labels))

    def on_train_epoch_start(self) -> None:
        """An epoch's random state (dropout) comes from seed and epoch: a resumed run equals an unbroken one."""
        torch.manual_seed(epoch_seed(self.plan.seed, self.current_epoch))
        self._sums.clear()

    def on_validation_epoch_end(self) -> None:
        self.log_dict({f"{name}/val": value for name, value in self.means("val").items()})

    def on_train_epoch_end(self) -> None:
        self.log_dict({f"{name}/train": value for name, value in self.means("train").items()})
        self.log("lr", self.lr)

    def means(self, part: Literal["train", "val"]) -> dict[str, float]:
        """Mean loss and accuracy (a fraction) over the epoch's batches so far; waits for the device."""
        loss, hits, count = self._sums[part].tolist()
        return {"loss": loss / count, "top1": hits / count}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The checkpoint says what network it is of, so that it can be read away from its run."""
        record = self.plan.record()
        checkpoint[METADATA] = {name: record[name] for name in ("architecture", "preprocessing", "data", "recipe")}

    def configure_optimizers(self) -> Any:
        recipe = self.plan.recipe
        steps = recipe.epochs * steps_per_epoch(len(self.plan.data.train), recipe)
        optimizer = make_optimizer(self.network.parameters(), recipe)
        schedule = make_schedule(optimizer, recipe, steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def make_optimizer(parameters: Iterable[nn.Parameter], recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over all parameters, weight decay on each of them."""
    lr, decay = recipe.lr, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters, lr=lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay, fused=True
        )
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True)
    return torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True)


def make_schedule(optimizer: Optimizer, recipe: Recipe, *, steps: int) -> LRScheduler:
    """The recipe's learning rate for `steps` optimizer steps, one call of `step()` for each."""
    if recipe.schedule == "multi_step":
        each = steps // recipe.epochs
        return MultiStepLR(optimizer, [epoch * each for epoch in recipe.milestones], recipe.gamma)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, steps)
    if recipe.schedule == "one_cycle":
        return OneCycleLR(optimizer, recipe.lr, total_steps=max(steps, 2), cycle_momentum=False)
    return LambdaLR(optimizer, _constant)


def _constant(_step: int) -> float:
    return 1.0


class DataModule(L.LightningDataModule):
    """The plan's data as batches that lie on the device; a new training loader an epoch, drawn from (seed, epoch)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def train_dataloader(self) -> TrainingBatches:
        plan = self.plan
        epoch = self.trainer.current_epoch if self.trainer else 0
        return TrainingBatches(
            plan.data.train, recipe=plan.recipe, preprocessing=plan.preprocessing, seed=plan.seed, epoch=epoch
        )

    def val_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(self.plan.data.validation, batch_size=BATCH_SIZE)
