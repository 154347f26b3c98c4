"""The objectives of a training with few labels: from these alone, or from unlabelled images too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from convatlas.data import Images, class_labels
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import epoch_seed
from convatlas.device import autocast, network_input
from convatlas.layers import logits_of
from convatlas.recipe.groups import MethodFields
from convatlas.training.classification import Classification
from convatlas.training.objective import Measured, Part
from convatlas.training.parallel import Group
from convatlas.training.semi_supervised.batches import (
    FewLabelsBatch,
    FewLabelsBatches,
    View,
    labelled_images,
    labelled_recipe,
    unlabelled_images,
)
from convatlas.training.semi_supervised.joint import joint_gradients
from convatlas.training.semi_supervised.losses import fixmatch_loss, mean_teacher_loss, pseudo_label_loss, uda_loss

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

Kind = TypeVar("Kind", bound=Classification)


def on_labelled(kind: type[Kind], plan: Plan, labelled: Images, *, device: str) -> Kind:
    """Returns an objective of a plan whose loss is of the labelled images."""
    labels = class_labels(labelled)
    return kind(plan.build(), recipe=plan.recipe, labels=labels, num_classes=plan.num_classes, device=device)


class Supervised(Classification):
    """Classification from the labelled images alone, in as many steps as the methods that use the others too."""

    name: ClassVar[str] = "supervised"

    labelled: Images

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the objective of a plan; the labelled images are chosen by the plan's seed."""
        labelled = labelled_images(plan)
        made = on_labelled(cls, plan, labelled, device=device)
        made.labelled = labelled
        return made

    def batches(self, plan: Plan, epoch: int) -> TrainingBatches:
        """Returns the batches of one epoch, of labelled images."""
        return TrainingBatches(
            self.labelled,
            recipe=labelled_recipe(plan.recipe),
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )


@dataclass(frozen=True)
class Method:
    """A method that adds a loss of unlabelled images to the loss of labelled ones.

    `views` go through the network together with the labelled images, `taught` go through its moving average. `loss`
    returns the loss of each image and whether it counts, from the logits of all views in this order.
    """

    views: tuple[View, ...]
    loss: Callable[[list[Tensor], MethodFields], tuple[Tensor, Tensor]]
    taught: tuple[View, ...] = ()


JOINT: Mapping[str, Method] = {
    "pseudo_label": Method(("weak",), lambda logits, fields: pseudo_label_loss(logits[0], fields)),
    "mean_teacher": Method(("weak",), lambda logits, _: mean_teacher_loss(logits[0], logits[1]), taught=("weak",)),
    "fixmatch": Method(("weak", "strong"), lambda logits, fields: fixmatch_loss(logits[0], logits[1], fields)),
    "uda": Method(("weak", "strong"), lambda logits, fields: uda_loss(logits[0], logits[1], fields)),
}


class SemiSupervised(Classification):
    """Classification from labelled and unlabelled images together: the sum of two losses, by one of `JOINT`.

    `loss` is that of the labelled images, `unlabelled_loss` that of the others before its weight, a mean over all of
    them. `mask` is the part of them that counts.
    """

    name: ClassVar[str] = "semi_supervised"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {
        "train": ("loss", "top1", "unlabelled_loss", "mask"),
        "val": ("loss", "top1"),
    }

    labelled: Images
    unlabelled: Images

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the objective of a plan; the labelled images are chosen by the plan's seed."""
        labelled = labelled_images(plan)
        made = on_labelled(cls, plan, labelled, device=device)
        made.labelled, made.unlabelled = labelled, unlabelled_images(plan)
        return made

    @property
    def method(self) -> Method:
        """The method that the recipe names."""
        return JOINT[str(self.recipe.method.kind)]

    def batches(self, plan: Plan, epoch: int) -> FewLabelsBatches:  # type: ignore[override]
        """Returns the batches of one epoch, of labelled images and views of the others."""
        views = (*self.method.views, *self.method.taught)
        return FewLabelsBatches(plan, epoch, labelled=self.labelled, unlabelled=self.unlabelled, views=views)

    def step(  # type: ignore[override]
        self, batch: FewLabelsBatch, *, update: Callable[[Optimizer], None], group: Group
    ) -> Measured:
        """Takes one optimizer step on labelled images and views of unlabelled ones."""
        through = len(self.method.views)
        taught = [self._taught(group.part(view)) for view in batch.views[through:]]
        measured = joint_gradients(self, batch, taught, group=group)
        update(self.optimizer)
        if self.average is not None:
            self.average.update_parameters(self.network)
        return measured

    @torch.no_grad()
    def _taught(self, images: Tensor) -> Tensor:
        """Returns the logits that the moving average gives images: by their own statistics, its running ones stay."""
        assert self.average is not None
        teacher: nn.Module = self.average.module
        statistics = {name: buffer.clone() for name, buffer in teacher.named_buffers()}
        with autocast(images.device, self.recipe.precision):
            output = functional_call(teacher.train(), statistics, (network_input(images),))
        return logits_of(output)
