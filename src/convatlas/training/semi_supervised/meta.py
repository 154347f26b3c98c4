"""Meta Pseudo Labels: a teacher learns from the effect of its labels on a student."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from convatlas.data import Images
from convatlas.device import autocast, network_input
from convatlas.layers import AuxiliaryLogits, logits_of, total_loss
from convatlas.recipe import Recipe, rate_factor
from convatlas.training.classification import Classification
from convatlas.training.objective import Measured, Part, TrainingError
from convatlas.training.optimizers import make_optimizer, set_rate
from convatlas.training.parallel import Group
from convatlas.training.semi_supervised.batches import (
    FewLabelsBatch,
    FewLabelsBatches,
    labelled_images,
    unlabelled_images,
)
from convatlas.training.semi_supervised.feedback import labelled_loss, statistics, stepped, student_gradients, trained
from convatlas.training.semi_supervised.joint import first
from convatlas.training.semi_supervised.losses import teacher_uda_loss, unlabelled_weight
from convatlas.training.semi_supervised.objective import on_labelled

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

TEACHER = "teacher"
KEPT = 0.99  # of the moving baseline at each step
Update = Callable[[Optimizer], None]


@dataclasses.dataclass(frozen=True)
class Shares:
    """This process's part of a batch, with what its teacher answers: logits of labelled images and of both views."""

    images: Tensor
    targets: Tensor
    strong: Tensor
    labelled: Tensor | AuxiliaryLogits
    of_weak: Tensor
    of_strong: Tensor


def student_factor(recipe: Recipe, progress: float) -> float:
    """Returns the factor on the student's rate: 0 while it waits, then the whole schedule in the steps that are left.

    So its warm-up begins after the wait, as in the authors' program (`num_wait_steps` in common_utils.py).
    """
    assert recipe.epoch_steps is not None
    steps = recipe.total_steps(recipe.epoch_steps)
    waited, step = round(recipe.method.student_wait * steps), round(progress * steps)
    return rate_factor(recipe, step, steps_per_epoch=recipe.epoch_steps, after=waited)


class MetaPseudoLabels(Classification):
    """A student that learns a teacher's labels of unlabelled images, and a teacher that learns from its success.

    Pham et al. 2020, https://arxiv.org/abs/2003.10580. The teacher also learns labels, and by UDA. With
    `teacher_gradient=first_order` the labels are the likeliest classes, and they become likelier by the feedback: the
    student's loss on labelled images before its step less the one after it, less the moving `baseline`. With `exact`
    the labels are probabilities, and the teacher's gradient goes through the student's step. With `none` there is no
    feedback, for comparison.

    `loss` is the student's on the labelled images, which it does not learn before the last `finetune_part`. Steps of
    this part have no other measures.
    """

    name: ClassVar[str] = "meta_pseudo_labels"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {
        "train": ("loss", "top1", "unlabelled_loss", "mask", "teacher_loss", "feedback"),
        "val": ("loss", "top1"),
    }

    labelled: Images
    unlabelled: Images
    teacher: nn.Module
    baseline: Tensor
    finetuning: bool

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        """Returns the objective of a plan; the teacher's weights are drawn from the seed after the plan's."""
        labelled = labelled_images(plan)
        made = on_labelled(cls, plan, labelled, device=device)
        made.labelled, made.unlabelled = labelled, unlabelled_images(plan)
        built = dataclasses.replace(plan, seed=plan.seed + 1).build()
        made.add_teacher(built.to(memory_format=torch.channels_last).to(device))  # type: ignore[call-overload]
        return made

    def add_teacher(self, teacher: nn.Module) -> None:
        """Takes a network as the teacher."""
        self.teacher = self.modules[TEACHER] = teacher.train()
        self.optimizers[TEACHER] = make_optimizer(teacher, self.recipe)
        self.baseline = torch.zeros((), device=next(teacher.parameters()).device)
        self.finetuning = False

    def batches(self, plan: Plan, epoch: int) -> FewLabelsBatches:  # type: ignore[override]
        """Returns the batches of one epoch, of labelled images and a weak and a strong view of the others."""
        return FewLabelsBatches(
            plan, epoch, labelled=self.labelled, unlabelled=self.unlabelled, views=("weak", "strong")
        )

    def step(self, batch: FewLabelsBatch, *, update: Update, group: Group) -> Measured:  # type: ignore[override]
        """Takes a step of the student and one of the teacher; in the last part, a step of the student on labels."""
        fields = self.recipe.method
        if fields.finetune_part and batch.progress >= 1 - fields.finetune_part:
            return self._finetune(batch, update=update, group=group)
        if fields.student_wait:
            set_rate(self.optimizer, self.recipe.optimizer.lr * student_factor(self.recipe, batch.progress))
        with autocast(batch.images.device, self.recipe.precision):
            shares = self._answered(batch, group)
            taught = self._exact if fields.teacher_gradient == "exact" else self._first_order
            measured = taught(batch, shares, update=update, group=group)
        update(self.optimizers[TEACHER])
        if self.average is not None:
            self.average.update_parameters(self.network)
        return measured

    def _answered(self, batch: FewLabelsBatch, group: Group) -> Shares:
        """Returns the parts of this process with the teacher's answers, from one pass."""
        parts = [group.part(tensor) for tensor in (batch.images, *batch.views)]
        output = self.teacher(network_input(torch.cat(parts)))
        _, *views = torch.split(logits_of(output), [len(part) for part in parts])
        return Shares(parts[0], group.part(batch.targets), parts[2], first(output, len(parts[0])), *views)

    def _first_order(self, batch: FewLabelsBatch, shares: Shares, *, update: Update, group: Group) -> Measured:
        """Takes the student's step on hard labels, and sets the teacher's gradients by the change of its loss."""
        labels, there = shares.of_strong.detach().argmax(1), len(batch.views[1])
        before = statistics(self.network)
        old, hits = self._labelled(shares, before, group)
        self.network.zero_grad()
        output, smoothing = self.network(network_input(shares.strong)), self.recipe.loss.label_smoothing
        summed = partial(F.cross_entropy, target=labels, label_smoothing=smoothing, reduction="sum")
        loss = total_loss(output, summed) / there
        loss.backward()  # type: ignore[no-untyped-call]
        self._clipped(self.network, group)
        update(self.optimizer)
        new, _ = self._labelled(shares, before, group)
        feedback = (old - new) / len(batch)
        term = torch.zeros((), device=loss.device)
        if self.recipe.method.teacher_gradient == "first_order":
            each = F.cross_entropy(shares.of_strong, labels, reduction="sum") / there
            term = (feedback - self.baseline) * each
            self.baseline = KEPT * self.baseline + (1 - KEPT) * feedback
        measures = {"loss": old / len(batch), "unlabelled_loss": loss.detach(), "feedback": feedback}
        return self._teach(batch, shares, term, (measures, hits), group=group)

    def _exact(self, batch: FewLabelsBatch, shares: Shares, *, update: Update, group: Group) -> Measured:
        """Sets the teacher's gradients through the student's step on soft labels, and takes this step."""
        if group.size > 1:
            raise TrainingError("teacher_gradient=exact works in one process; choose first_order for several")
        before, smoothing = statistics(self.network), self.recipe.loss.label_smoothing
        probabilities = shares.of_strong.softmax(1)
        loss, gradients = student_gradients(self.network, shares.strong, probabilities, smoothing=smoothing)
        after = stepped(self.network, gradients, self.optimizer)
        with torch.no_grad():
            old, hits = self._labelled(shares, before, group)
        new, _ = labelled_loss(self.network, {**before, **after}, shares.images, shares.targets)
        new = new / len(batch)
        feedback = old / len(batch) - new.detach()
        measures = {"loss": old / len(batch), "unlabelled_loss": loss.detach(), "feedback": feedback}
        measured = self._teach(batch, shares, new, (measures, hits), group=group)
        for name, parameter in trained(self.network).items():
            parameter.grad = gradients[name].detach()
        update(self.optimizer)
        return measured

    @torch.no_grad()
    def _labelled(self, shares: Shares, tensors: Mapping[str, Tensor], group: Group) -> tuple[Tensor, Tensor]:
        """Returns the student's loss on all labelled images of the batch, a sum, and this process's right answers."""
        loss, hits = labelled_loss(self.network, tensors, shares.images, shares.targets)
        return group.total(loss), hits

    def _teach(
        self,
        batch: FewLabelsBatch,
        shares: Shares,
        term: Tensor,
        student: tuple[dict[str, Tensor], Tensor],
        *,
        group: Group,
    ) -> Measured:
        """Sets the teacher's gradients: those of the feedback's term, of the labels and of UDA's loss."""
        fields, smoothing = self.recipe.method, self.recipe.loss.label_smoothing
        options: dict[str, Any] = {"weight": self.loss.weights, "label_smoothing": smoothing, "reduction": "sum"}
        own = total_loss(shares.labelled, partial(F.cross_entropy, target=shares.targets, **options)) / len(batch)
        each, counts = teacher_uda_loss(shares.of_weak, shares.of_strong, fields)
        consistency = (each * counts).sum() / len(batch.views[1])
        loss = term + own + unlabelled_weight(fields, batch.progress) * consistency
        parameters = trained(self.teacher)
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for parameter, gradient in zip(parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        self._clipped(self.teacher, group)
        whole = len(batch) / max(1, len(shares.images))
        measures, hits = student
        means = {**measures, "mask": counts.float().mean(), "teacher_loss": own.detach() * whole}
        means["unlabelled_loss"] = means["unlabelled_loss"] * (len(batch.views[1]) / max(1, len(shares.strong)))
        return Measured(len(shares.images), means=means, counts={"top1": hits})

    def _clipped(self, network: nn.Module, group: Group) -> None:
        """Adds the gradients of other processes and clips them."""
        group.add_gradients(network.parameters())
        if self.recipe.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), self.recipe.optimizer.clip_norm)

    def _finetune(self, batch: FewLabelsBatch, *, update: Update, group: Group) -> Measured:
        """Takes a step of the student on labelled images at its own rate; it begins from its moving average."""
        if not self.finetuning and self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
            self.optimizer.state.clear()
        self.finetuning = True
        rate = self.recipe.method.finetune_lr
        assert rate is not None
        set_rate(self.optimizer, rate)
        measured = super().step((batch.images, batch.targets), update=update, group=group)
        if self.average is not None:
            self.average.module.load_state_dict(self.network.state_dict())
        return measured

    def state(self) -> dict[str, Any]:
        """Returns the moving baseline, and whether the student is trained on labels already."""
        return {"baseline": self.baseline, "finetuning": self.finetuning}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state`."""
        self.baseline, self.finetuning = state["baseline"].to(self.baseline.device), state["finetuning"]
