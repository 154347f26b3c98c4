"""Noisy Student: a student learns labelled images and the labels that a finished teacher gave others, with noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from convatlas.data import Images
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import epoch_seed, stream_seed
from convatlas.data.images.protocol import relabelled
from convatlas.data.subset import at
from convatlas.errors import UsageError
from convatlas.run import read_run
from convatlas.training.classification import Classification
from convatlas.training.objective import Measured, Part
from convatlas.training.parallel import Group
from convatlas.training.semi_supervised.batches import (
    FewLabelsBatch,
    labelled_images,
    labelled_recipe,
    unlabelled_images,
    view_recipe,
)
from convatlas.training.semi_supervised.joint import joint_gradients
from convatlas.training.semi_supervised.objective import Method, on_labelled
from convatlas.training.semi_supervised.said import labelled_record
from convatlas.training.semi_supervised.teacher import chosen_places, teacher_labels

if TYPE_CHECKING:
    from pathlib import Path

    from convatlas.training.plan import Plan


def taught_loss(logits: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the cross entropy (N,) of answers with a teacher's classes (N,) or probabilities (N, classes)."""
    each = F.cross_entropy(logits, wanted, reduction="none")
    return each, torch.ones_like(each, dtype=torch.bool)


METHOD = Method(("strong",), lambda logits, _: taught_loss(logits[0], logits[1]))


class NoisyStudent(Classification):
    """Classification from labelled images and a teacher's labels of the others: the sum of two means.

    Xie et al. 2019, https://arxiv.org/abs/1911.04252. The noise is the recipe's: RandAugment for all images, dropout
    and stochastic depth of the network.
    """

    name: ClassVar[str] = "noisy_student"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {
        "train": ("loss", "top1", "unlabelled_loss"),
        "val": ("loss", "top1"),
    }
    method: ClassVar[Method] = METHOD

    labelled: Images
    taught: Images

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the objective of a plan, which has the labels of a teacher."""
        if plan.teacher is None:
            raise UsageError(f"method={cls.name} needs a teacher; give --teacher RUN, or train both with --rounds")
        labelled = labelled_images(plan)
        made = on_labelled(cls, plan, labelled, device=device)
        made.labelled, made.taught = labelled, taught_images(plan, plan.teacher.probabilities)
        return made

    def batches(self, plan: Plan, epoch: int) -> NoisyBatches:  # type: ignore[override]
        """Returns the batches of one epoch, of labelled images and of images with a teacher's labels."""
        return NoisyBatches(plan, epoch, labelled=self.labelled, taught=self.taught)

    def step(  # type: ignore[override]
        self, batch: FewLabelsBatch, *, update: Callable[[Optimizer], None], group: Group
    ) -> Measured:
        """Takes one optimizer step on both."""
        measured = joint_gradients(self, batch, [group.part(batch.views[1])], group=group)
        update(self.optimizer)
        if self.average is not None:
            self.average.update_parameters(self.network)
        means = {name: value for name, value in measured.means.items() if name != "mask"}
        return dataclasses.replace(measured, means=means)


class NoisyBatches:
    """The batches of one epoch: labelled images, and as two `views` images and the labels of a teacher."""

    def __init__(self, plan: Plan, epoch: int, *, labelled: Images, taught: Images) -> None:
        self.recipe = plan.recipe
        self.epoch = epoch
        seeds = (epoch_seed(plan.seed, epoch), stream_seed(plan.seed, epoch))
        recipes = (labelled_recipe(plan.recipe), view_recipe(plan.recipe, "strong"))
        self.parts = [
            TrainingBatches(
                images, recipe=recipe, preprocessing=plan.preprocessing, num_classes=plan.num_classes, seed=seed
            )
            for images, recipe, seed in zip((labelled, taught), recipes, seeds, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __iter__(self) -> Iterator[FewLabelsBatch]:
        first, total = self.epoch * len(self), self.recipe.total_steps(len(self))
        for number, ((images, targets), taught) in enumerate(zip(*self.parts, strict=True)):
            yield FewLabelsBatch(images, targets, taught, progress=(first + number) / total)


def taught_images(plan: Plan, probabilities: Tensor) -> Images:
    """Returns the unlabelled images that a student learns, with a teacher's classes or probabilities as labels."""
    fields = plan.recipe.method
    assert fields.threshold is not None
    places = chosen_places(
        probabilities, threshold=fields.threshold, each=fields.pseudo_per_class, seed=stream_seed(plan.seed, 0, 1)
    )
    wanted = probabilities if fields.pseudo_labels == "soft" else probabilities.argmax(1)
    images = unlabelled_images(plan)
    images = relabelled(images, wanted.to(images.device))
    return at(images, places).kept()


def with_teacher(plan: Plan, folder: Path, *, device: str) -> Plan:
    """Returns the plan of a student with the labels of a teacher, a finished run. Raises `UsageError`.

    Notes say how many images the student learns, and where the teacher learned other labels.
    """
    teacher = teacher_labels(folder, plan, device=device)
    images = taught_images(plan, teacher.probabilities)
    used = len(set(images.index.tolist()))
    notes = [
        f"the student learns the labels of the teacher {folder}: {len(images):,} images, {used:,} different ones, of "
        f"{len(teacher.probabilities):,}"
    ]
    theirs, ours = read_run(folder).record.labelled, labelled_record(plan.recipe, plan.data, seed=plan.seed)
    if (theirs and theirs.hash) != (ours and ours.hash):
        notes.append(f"the teacher {folder} learned the labels of other images than its student")
    return dataclasses.replace(plan, teacher=teacher, notes=(*plan.notes, *notes))
