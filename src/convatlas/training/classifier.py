"""The one LightningModule and the one DataModule."""

from __future__ import annotations

from typing import Any, Literal

import lightning.pytorch as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from convatlas.data.loader import EvaluationBatches, TrainingBatches, epoch_seed, steps_per_epoch
from convatlas.layers import AuxiliaryLogits, logits_of
from convatlas.prediction import BATCH_SIZE, network_input
from convatlas.recipe import rate_factor
from convatlas.training.averaging import Plateau, averaged
from convatlas.training.loss import TrainingLoss, classes_of
from convatlas.training.optimizers import make_optimizer
from convatlas.training.plan import Plan
from convatlas.weights import METADATA


class Classifier(L.LightningModule):
    """Cross-entropy training of a network by a plan's recipe; sums of loss and hits stay on the device.

    With `ema` in the recipe the moving average of the network, `ema_network`, is what is validated and tested.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        recipe = plan.recipe
        self.network = plan.build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_network = averaged(self.network, decay=recipe.ema) if recipe.ema else None
        self.training_loss = TrainingLoss(recipe, labels=plan.data.train.labels, num_classes=plan.num_classes)
        self.plateau = Plateau(gamma=recipe.gamma, patience=recipe.patience) if recipe.patience else None
        self.steps_per_epoch = steps_per_epoch(len(plan.data.train), recipe)
        self.example_input_array = torch.zeros(1, plan.in_channels, *[plan.preprocessing.image_size] * 2)
        self.lr = recipe.lr  # of the latest step; the schedule moves on right after it
        self._sums: dict[str, Tensor] = {}

    def forward(self, images: Tensor) -> Tensor | AuxiliaryLogits:
        """Normalised images (N, C, H, W) -> logits (N, num_classes), in training with those of auxiliary heads."""
        output: Tensor | AuxiliaryLogits = self.network(network_input(images))
        return output

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        """The loss of the batch, or of its last part, the gradients of the others being there already."""
        images, targets = batch
        self.lr = self._optimizer.param_groups[0]["lr"]
        parts = self.plan.recipe.accumulate
        if parts == 1:
            return self._train_loss(images, targets)
        self._optimizer.zero_grad()
        pieces = zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True)
        *others, last = [(part, labels) for part, labels in pieces if len(labels)]
        for part, labels in others:
            self._share(part, labels, of=len(targets)).backward()  # type: ignore[no-untyped-call]
        return self._share(*last, of=len(targets))

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Lightning's, but between a batch's parts the gradients stay."""
        if self.plan.recipe.accumulate == 1:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def on_train_batch_end(self, _outputs: Any, _batch: Any, _index: int) -> None:
        if self.ema_network is not None:
            self.ema_network.update_parameters(self.network)

    def validation_step(self, batch: tuple[Tensor, Tensor], _index: int) -> None:
        images, labels = batch
        network = self.network if self.ema_network is None else self.ema_network
        logits = network(network_input(self.plan.preprocessing(images)))
        self._add("val", logits, labels, F.cross_entropy(logits.float(), labels))

    def _share(self, images: Tensor, targets: Tensor, *, of: int) -> Tensor:
        """What a part of a batch of `of` images adds to its loss."""
        return self._train_loss(images, targets) * (len(targets) / of)

    def _train_loss(self, images: Tensor, targets: Tensor) -> Tensor:
        output = self(images)
        loss: Tensor = self.training_loss(output, targets)
        logits = logits_of(output)
        own = loss if isinstance(output, Tensor) else self.training_loss(logits, targets)
        self._add("train", logits, classes_of(targets), own)
        return loss

    def _add(self, part: str, logits: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Adds a batch to the sums of an epoch, which grow without waiting for the device."""
        hits = (logits.argmax(1) == labels).sum()
        batch = torch.stack(
            [loss.detach().double() * len(labels), hits.double(), hits.new_tensor(len(labels)).double()]
        )
        self._sums[part] = self._sums[part] + batch if part in self._sums else batch

    def on_train_epoch_start(self) -> None:
        """An epoch's random state (dropout) comes from seed and epoch: a resumed run equals an unbroken one."""
        torch.manual_seed(epoch_seed(self.plan.seed, self.current_epoch))
        self._sums.clear()
        if self.plateau is not None:  # it decided after the rate of this epoch's first step was set
            for group in self._optimizer.param_groups:
                group["lr"] = self.plan.recipe.lr * self._factor(self.trainer.global_step)

    def on_validation_epoch_end(self) -> None:
        means = self.means("val")
        self.log_dict({f"{name}/val": value for name, value in means.items()})
        if self.plateau is not None and self.current_epoch >= self.plan.recipe.warmup_epochs:
            self.plateau.observe(means["top1"])

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
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.plateau is not None:
            self.plateau.restore(checkpoint["plateau"])

    def configure_optimizers(self) -> Any:
        optimizer = make_optimizer(self.network, self.plan.recipe)
        schedule = LambdaLR(optimizer, lambda step: self._factor(step))  # bound methods would go into checkpoints
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _factor(self, step: int) -> float:
        """What the recipe's learning rate is multiplied by at an optimizer step."""
        factor = rate_factor(self.plan.recipe, step, steps_per_epoch=self.steps_per_epoch)
        return factor if self.plateau is None else factor * self.plateau.factor

    @property
    def _optimizer(self) -> Optimizer:
        return self.trainer.optimizers[0]


class DataModule(L.LightningDataModule):
    """The plan's data as batches that lie on the device; a new training loader an epoch, drawn from (seed, epoch)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan

    def train_dataloader(self) -> TrainingBatches:
        plan = self.plan
        epoch = self.trainer.current_epoch if self.trainer else 0
        return TrainingBatches(
            plan.data.train,
            recipe=plan.recipe,
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )

    def val_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(self.plan.data.validation, batch_size=BATCH_SIZE)
