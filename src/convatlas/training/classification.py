"""The first objective: one network learns the class of an image, by cross entropy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convatlas.data import Images, class_labels
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import epoch_seed
from convatlas.evaluation import evaluate_logits
from convatlas.prediction import answering, predict_logits
from convatlas.recipe import Recipe
from convatlas.scores import TOP1, Score
from convatlas.training.averaging import MovingAverage
from convatlas.training.loss import TrainingLoss
from convatlas.training.objective import Measured, Outcome, Part, evaluated_network
from convatlas.training.optimizers import make_optimizer
from convatlas.training.parallel import Group
from convatlas.training.samples import samples
from convatlas.training.steps import gradients

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

NETWORK, AVERAGE = "network", "ema_network"  # the names in checkpoints


class Classification:
    """Cross entropy of one network, which is evaluated itself or, with `ema` in the recipe, by its moving average.

    `network` is put on `device`, its weights channels last in memory. `trained` is the module that batches go through.
    `labels` (N,) are those of the training images.
    """

    name: ClassVar[str] = "classification"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {"train": ("loss", "top1"), "val": ("loss", "top1")}
    score: ClassVar[Score] = TOP1

    def __init__(
        self, network: nn.Module, *, recipe: Recipe, labels: Tensor, num_classes: int, device: torch.device | str
    ) -> None:
        self.recipe = recipe
        self.network = network.to(memory_format=torch.channels_last).to(device).train()  # type: ignore[call-overload]
        self.trained = self.network
        self.modules: dict[str, nn.Module] = {NETWORK: self.network}
        self.average = MovingAverage(self.network, decay=recipe.optimizer.ema) if recipe.optimizer.ema else None
        if self.average is not None:
            self.modules[AVERAGE] = self.average
        self.evaluated = AVERAGE if self.average is not None else NETWORK
        self.optimizer = make_optimizer(self.network, recipe)
        self.optimizers = {NETWORK: self.optimizer}
        self.loss = TrainingLoss(recipe, labels=labels, num_classes=num_classes).to(device)

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the network of a plan, initialised from its seed, with its loss and its optimizer on a device."""
        labels = class_labels(plan.data.train)
        return cls(plan.build(), recipe=plan.recipe, labels=labels, num_classes=plan.num_classes, device=device)

    def batches(self, plan: Plan, epoch: int) -> TrainingBatches:
        """Returns the shuffled, augmented batches (images, targets) of one epoch."""
        return TrainingBatches(
            plan.data.train,
            recipe=plan.recipe,
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )

    def step(self, batch: tuple[Tensor, Tensor], *, update: Callable[[Optimizer], None], group: Group) -> Measured:
        """Takes one optimizer step on images (N, C, H, W), normalised, and their targets."""
        loss, hits = gradients(self.trained, self.loss, batch, recipe=self.recipe, group=group)
        update(self.optimizer)
        if self.average is not None:
            self.average.update_parameters(self.network)
        count = len(group.part(batch[1]))
        if 0 < count < len(batch[1]):
            loss = loss * (len(batch[1]) / count)  # of the images of this process
        return Measured(count, means={"loss": loss}, counts={"top1": hits})

    def validate(self, plan: Plan) -> dict[str, float]:
        """Loss and accuracy on the validation images, by the arithmetic of the final evaluation."""
        logits = self._logits(plan, plan.data.validation)
        labels = class_labels(plan.data.validation).cpu().numpy()
        if not np.isfinite(logits).all():  # the network diverges: the loss says so
            return {"loss": float("nan"), "top1": float((logits.argmax(1) == labels).mean())}
        found = evaluate_logits(logits, labels, plan.data.spec.class_names)
        return {"loss": found.loss, "top1": found.top1}

    def outcome(self, plan: Plan) -> Outcome:
        """Logits, labels and places of the validation images, if there are any, and test images; scores, thumbnails."""
        arrays: dict[str, np.ndarray] = {}
        results: dict[str, Any] = {}
        parts = {"val": plan.data.validation, "test": plan.data.test}
        for name, split in parts.items() if plan.validates else [("test", plan.data.test)]:
            logits, labels = self._logits(plan, split), class_labels(split).cpu().numpy()
            arrays |= {f"{name}_logits": logits, f"{name}_labels": labels}
            arrays[f"{name}_index"] = split.index.cpu().numpy()
            found = evaluate_logits(logits, labels, plan.data.spec.class_names)
            results |= found.results(name)
        results["test_imbalance"] = found.imbalance
        return Outcome(arrays, samples(plan, arrays["test_logits"]), results)

    def state(self) -> dict[str, Any]:
        """Returns an empty state: modules and optimizer are kept by the learner."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restores nothing."""

    def _logits(self, plan: Plan, split: Images) -> np.ndarray:
        """Returns the logits (N, classes) that the network to be evaluated gives the images of a split."""
        precision = plan.recipe.precision
        network = answering(evaluated_network(self), precision=precision)
        logits = predict_logits(network, split, preprocessing=plan.preprocessing, precision=precision)
        return logits.numpy()
