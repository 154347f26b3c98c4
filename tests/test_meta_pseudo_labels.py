"""Meta Pseudo Labels: the teacher's gradient, exact and to first order, its sign, the student's step, resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from convatlas.architectures import architecture
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryLogits
from convatlas.recipe import rate_factor, recipe
from convatlas.training import build_learner, make_plan, train_plan
from convatlas.training.objective import TrainingError, evaluated_network
from convatlas.training.parallel import ALONE, Group
from convatlas.training.semi_supervised.batches import FewLabelsBatch
from convatlas.training.semi_supervised.feedback import labelled_loss, statistics, stepped, student_gradients
from convatlas.training.semi_supervised.losses import teacher_uda_loss, uda_loss
from convatlas.training.semi_supervised.meta import KEPT, MetaPseudoLabels, student_factor
from few_labels import Passes, batch_of, few, meta
from test_training import DIGITS, StopAt, assert_same

pytestmark = pytest.mark.usefixtures("quick_runs")


def teacher_gradients(objective: MetaPseudoLabels, batch: FewLabelsBatch) -> list[Tensor]:
    """The gradients of the teacher in one step, before its optimizer takes them."""
    kept: list[Tensor] = []

    def update(optimizer: Any) -> None:
        if optimizer is objective.optimizers["teacher"]:
            kept.extend(p.grad.clone() for p in objective.teacher.parameters() if p.grad is not None)
        else:
            optimizer.step()

    objective.step(batch, update=update, group=ALONE)
    return kept


# ------------------------------------------------------------------------------------------------ the exact gradient


class TwoParameters(nn.Module):
    """Answers of two classes from one number by a weight and a bias."""

    def __init__(self, weight: float, bias: float) -> None:
        super().__init__()
        self.both = nn.Parameter(torch.tensor([weight, bias], dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        value = self.both[0] * images.flatten(1) + self.both[1]
        return torch.cat([value, torch.zeros_like(value)], 1)


UNLABELLED = torch.tensor([-1.5, 0.3, 0.9, 2.0], dtype=torch.float64).view(4, 1, 1, 1)
LABELLED = torch.tensor([-0.4, 1.1, 0.2], dtype=torch.float64).view(3, 1, 1, 1)
TARGETS = torch.tensor([1, 0, 1])


def loss_after_step(teacher: TwoParameters, *, smoothing: float, steps: int) -> Tensor:
    """The student's labelled loss after its step on the teacher's labels; momentum comes from `steps` before."""
    student = TwoParameters(0.7, -0.2)
    optimizer = SGD(student.parameters(), lr=0.4, momentum=0.9, nesterov=True, weight_decay=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(student(LABELLED), TARGETS).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    _, gradients = student_gradients(student, UNLABELLED, teacher(UNLABELLED).softmax(1), smoothing=smoothing)
    after = stepped(student, gradients, optimizer)
    return labelled_loss(student, after, LABELLED, TARGETS)[0]


@pytest.mark.parametrize(("smoothing", "steps"), [(0.0, 0), (0.15, 0), (0.15, 2)])
def test_the_exact_gradient_is_a_finite_difference_of_the_loss_after_the_step(smoothing: float, steps: int) -> None:
    teacher = TwoParameters(0.5, 0.1)
    (exact,) = torch.autograd.grad(loss_after_step(teacher, smoothing=smoothing, steps=steps), [teacher.both])
    for place in range(2):
        losses = []
        for sign in (1, -1):
            moved = TwoParameters(0.5, 0.1)
            moved.both.data[place] += sign * 1e-5
            losses.append(loss_after_step(moved, smoothing=smoothing, steps=steps).item())
        assert exact[place].item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6)
        assert abs(exact[place].item()) > 1e-3


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_step_that_is_differentiated_is_the_one_that_is_taken(nesterov: bool) -> None:
    student = Passes().double()
    optimizer = SGD(student.parameters(), lr=0.2, momentum=0.9, nesterov=nesterov, weight_decay=0.05)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(6, 1, 8, 8, generator=generator, dtype=torch.float64)
        wanted = torch.rand(6, 10, generator=generator, dtype=torch.float64).softmax(1)
        _, gradients = student_gradients(student, images, wanted)
        after = stepped(student, gradients, optimizer)
        for name, parameter in student.named_parameters():
            parameter.grad = gradients[name].detach()
        optimizer.step()
        for name, parameter in student.named_parameters():
            torch.testing.assert_close(after[name].detach(), parameter.detach(), rtol=1e-12, atol=1e-14)


def test_the_objective_has_the_exact_gradient() -> None:
    """Of the loss after the step, the labels and UDA together, by finite differences of two weights of the teacher."""
    batch = dataclasses.replace(batch_of(), progress=0.5)

    def whole(change: float, place: int) -> float:
        objective = meta(teacher_gradient="exact", threshold=0.0)
        weight = objective.teacher.layers[1].weight  # type: ignore[union-attr, index]
        answers = objective.teacher(batch.views[0]).detach()  # UDA's targets have no gradient
        weight.data.view(-1)[place] += change  # type: ignore[union-attr, operator]
        strong = objective.teacher(batch.views[1])
        _, gradients = student_gradients(objective.network, batch.views[1], strong.softmax(1))
        after = stepped(objective.network, gradients, objective.optimizer)
        new = labelled_loss(objective.network, after, batch.images, batch.targets)[0] / 4
        own = F.cross_entropy(objective.teacher(batch.images), batch.targets)
        sharp = (answers / 0.7).log_softmax(1)
        consistency = F.kl_div(strong.log_softmax(1), sharp, log_target=True, reduction="batchmean")
        return (new + own + objective.recipe.method.unlabelled_weight * consistency).item()

    found = teacher_gradients(meta(teacher_gradient="exact", threshold=0.0), batch)[0].view(-1)
    for place in (5, 300):
        difference = (whole(1e-5, place) - whole(-1e-5, place)) / 2e-5
        assert found[place].item() == pytest.approx(difference, rel=1e-5)


# ---------------------------------------------------------------------------------------------------- to first order


def test_first_order_is_the_papers_formula_with_its_sign() -> None:
    objective, batch = meta(threshold=0.99), batch_of()
    objective.baseline = torch.tensor(0.01, dtype=torch.float64)
    student, teacher = Passes().double(), objective.teacher
    answers = teacher(batch.views[1])
    labels = answers.argmax(1)  # hard
    old = F.cross_entropy(student(batch.images), batch.targets)
    optimizer = SGD(student.parameters(), lr=0.3)
    F.cross_entropy(student(batch.views[1]), labels).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    new = F.cross_entropy(student(batch.images), batch.targets)
    feedback = (old - new).item()  # the student became better: its labels become likelier
    own = F.cross_entropy(teacher(batch.images), batch.targets)
    wanted = torch.autograd.grad((feedback - 0.01) * F.cross_entropy(answers, labels) + own, list(teacher.parameters()))
    kept = teacher_gradients(objective, batch)
    for ours, theirs in zip(kept, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert abs(feedback) > 1e-3
    assert objective.baseline.item() == pytest.approx(KEPT * 0.01 + (1 - KEPT) * feedback)
    for ours, theirs in zip(objective.network.parameters(), student.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_udas_threshold_is_on_the_sharpened_answers() -> None:
    """Here it counts an image that it would not count on the answers themselves, as UDA does."""
    weak = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.35, 0.25]], dtype=torch.float64).log()
    fields = few("meta_pseudo_labels", threshold=0.6, temperature=0.5).recipe.method
    sharpened = torch.tensor([0.25, 0.09, 0.04]) / 0.38  # 0.66 at a temperature of a half; the other image has 0.46
    strong = torch.zeros(2, 3, dtype=torch.float64)
    each, counts = teacher_uda_loss(weak, strong, fields)
    assert counts.tolist() == [True, False]
    assert uda_loss(weak, strong, fields)[1].tolist() == [False, False]
    assert each[0].item() == pytest.approx((sharpened * (sharpened * 3).log()).sum().item(), rel=1e-6)
    objective = meta(teacher_gradient="none", threshold=0.5)
    batch = dataclasses.replace(batch_of(), progress=0.5)
    answers = objective.teacher(batch.views[0]).detach()
    wanted = (answers / objective.recipe.method.temperature).softmax(1)
    expected = (wanted.max(1).values >= 0.5).double().mean().item()
    assert expected != (answers.softmax(1).max(1).values >= 0.5).double().mean().item()
    measured = objective.step(batch, update=lambda _: None, group=ALONE)
    assert measured.means["mask"].item() == pytest.approx(expected)


def test_the_students_schedule_begins_after_its_wait() -> None:
    chosen = few("meta_pseudo_labels", steps=100, epoch_steps=10, student_wait=0.2, warmup_steps=10).recipe
    chosen = chosen.replaced(schedule="cosine", warmup="linear", warmup_lr=0.0)
    factors = [student_factor(chosen, step / 100) for step in (0, 19, 20, 25, 30, 65)]
    assert factors == pytest.approx([0, 0, 0, 0.5, 1, 0.5])
    plain = chosen.replaced(student_wait=0.0)
    assert [student_factor(plain, step / 100) for step in range(100)] == [
        rate_factor(plain, step, steps_per_epoch=10) for step in range(100)
    ]
    learner = build_learner(few("meta_pseudo_labels", steps=10, epoch_steps=10, student_wait=0.2), device="cpu")
    objective, rates = learner.objective, []
    learner.begin_epoch(seed=0, epoch=0)
    for batch in objective.batches(few("meta_pseudo_labels", steps=10, epoch_steps=10), 0):
        learner.step(batch)
        rates.append([each.param_groups[0]["lr"] for each in objective.optimizers.values()])
    lr = learner.recipe.optimizer.lr
    wanted = [lr * student_factor(learner.recipe, step / 10) for step in range(9)]
    assert [student for student, _ in rates[:9]] == pytest.approx(wanted)
    assert [teacher for _, teacher in rates[:3]] == pytest.approx(
        [lr * rate_factor(learner.recipe, step, steps_per_epoch=10) for step in range(3)]
    )


def test_auxiliary_heads_and_class_weights_count() -> None:
    """Without them both networks would be trained as if nobody had asked."""
    batch = batch_of()

    class WithHead(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = Passes().double(), Passes().double()

        def forward(self, images: Tensor) -> Any:
            if not self.training:
                return self.body(images)
            return AuxiliaryLogits(self.body(images), (self.head(images),), 0.3)

    objective = meta(teacher_gradient="none", threshold=0.99, class_weights="balanced")
    objective.network = objective.modules["network"] = WithHead()
    teacher = WithHead()
    objective.add_teacher(teacher)
    objective.average = None
    weights = torch.arange(1.0, 11.0, dtype=torch.float64)
    objective.loss.weights = weights
    labels = teacher.body(batch.views[1]).argmax(1)
    student = objective.network

    def update(optimizer: Any) -> None:
        if optimizer is objective.optimizers["teacher"]:
            kept["teacher"] = [p.grad.clone() for p in teacher.parameters()]  # type: ignore[union-attr]
        else:
            kept["student"] = [p.grad.clone() for p in student.parameters()]  # type: ignore[union-attr]

    kept: dict[str, list[Tensor]] = {}
    objective.step(batch, update=update, group=ALONE)
    own = [
        F.cross_entropy(each(batch.images), batch.targets, weight=weights, reduction="sum") / 4
        for each in teacher.children()
    ]
    pseudo = [F.cross_entropy(each(batch.views[1]), labels) for each in student.children()]
    for name, network, (main, head) in (("teacher", teacher, own), ("student", student, pseudo)):
        wanted = torch.autograd.grad(main + 0.3 * head, list(network.parameters()))
        for ours, theirs in zip(kept[name], wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_steps_of_finetuning_do_not_thin_the_other_measures() -> None:
    """Half of the epoch has them, and they are means over this half; an epoch that has none leaves them out."""
    plan = few("meta_pseudo_labels", steps=6, epoch_steps=2, student_wait=0.0, finetune_part=0.5)
    learner = build_learner(plan, device="cpu")
    found = []
    for epoch in range(3):
        learner.begin_epoch(seed=0, epoch=epoch)
        measured = [learner.step(batch) for batch in learner.objective.batches(plan, epoch)]
        found.append(learner.means())
        known = [each.means["teacher_loss"].item() for each in measured if "teacher_loss" in each.means]
        assert len(known) == (2, 1, 0)[epoch]
        assert found[-1].get("teacher_loss") == (pytest.approx(sum(known) / len(known)) if known else None)
    assert all({"loss", "top1"} <= each.keys() for each in found)


def test_without_feedback_the_teacher_learns_labels_and_by_uda_alone() -> None:
    objective, batch = meta(teacher_gradient="none", threshold=0.99), batch_of()
    own = F.cross_entropy(objective.teacher(batch.images), batch.targets)
    wanted = torch.autograd.grad(own, list(objective.teacher.parameters()))
    for ours, theirs in zip(teacher_gradients(objective, batch), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_both_losses_are_measured_on_one_batch_in_one_mode() -> None:
    """As in evaluation, by the running statistics from before the step, which the measurement leaves as they are."""
    plan = few("meta_pseudo_labels", dropout=None)
    network = plan.build().train()
    before = statistics(network)
    images = torch.randn(4, 1, 8, 8)
    targets = torch.arange(4)
    loss, hits = labelled_loss(network, before, images, targets)
    assert network.training
    assert all(torch.equal(buffer, before[name]) for name, buffer in network.named_buffers())
    answers = network.eval()(images)
    torch.testing.assert_close(loss, F.cross_entropy(answers, targets, reduction="sum"))
    assert hits == (answers.argmax(1) == targets).sum()


# ------------------------------------------------------------------------------------------------------ whole trainings


@pytest.mark.parametrize(
    "changes",
    [
        {"student_wait": 0.2, "finetune_part": 0.2},
        {"teacher_gradient": "exact", "optimizer": "sgd", "momentum": 0.9, "lr": 0.05},
    ],
)
def test_stopped_and_resumed_is_the_same_bit_for_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    plan = few("meta_pseudo_labels", threshold=0.11, **changes)
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(3))
    parts = train_plan(plan, folder=tmp_path / "parts", resume=True)
    assert_same(parts, whole)
    names = {key.partition(".")[0] for key in torch.load(whole.last_checkpoint, weights_only=True)["state_dict"]}
    assert names == {"network", "ema_network", "teacher"}
    kept = torch.load(whole.last_checkpoint, weights_only=True)["objective"]
    assert kept["finetuning"] == ("student_wait" in changes)
    assert (kept["baseline"] != 0) == ("teacher_gradient" not in changes)


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in network.named_parameters()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_student_waits_learns_pseudo_labels_and_is_finetuned_from_its_average() -> None:
    plan = few("meta_pseudo_labels", steps=5, epoch_steps=5, student_wait=0.2, finetune_part=0.2)
    learner = build_learner(plan, device="cpu")
    objective: Any = learner.objective
    learner.begin_epoch(seed=0, epoch=0)
    seen = []
    for batch in objective.batches(plan, 0):
        before = weights(objective.network), weights(objective.teacher)
        average = weights(evaluated_network(objective))
        learner.step(batch)
        after = weights(objective.network), weights(objective.teacher)
        away = max((after[0][name] - average[name]).abs().max().item() for name in average)
        seen.append((equal(before[0], after[0]), equal(before[1], after[1]), away))
    assert [student for student, _, _ in seen] == [True, False, False, False, False]
    assert [teacher for _, teacher, _ in seen] == [False, False, False, False, True]
    rate = plan.recipe.method.finetune_lr
    assert seen[-1][2] < 1.5 * rate < 1.5 * seen[-2][2]  # one step of AdamW away from the average
    assert equal(weights(objective.network), weights(evaluated_network(objective)))  # what is evaluated afterwards
    assert objective.optimizer.param_groups[0]["lr"] == rate


@pytest.mark.slow
def test_the_quick_form_learns_digits(tmp_path: Path) -> None:
    """With the weight of the long training both networks stay at chance, 10 %."""
    options = {"depths": (1, 1, 1), "widths": (8, 16, 32)}
    chosen = recipe("meta_pseudo_labels_quick").replaced(steps=200, labels=40.0)
    plan = make_plan(architecture("resnet_uva"), data=DIGITS, chosen=chosen, seed=0, options=options)
    assert train_plan(plan, folder=tmp_path / "run").results["val_top1"] > 0.3


def test_teacher_and_student_begin_with_other_weights() -> None:
    objective: Any = build_learner(few("meta_pseudo_labels"), device="cpu").objective
    assert not equal(weights(objective.teacher), weights(objective.network))


def test_the_exact_gradient_is_refused_in_several_processes() -> None:
    with pytest.raises(TrainingError, match="choose first_order for several"):
        meta(teacher_gradient="exact").step(batch_of(), update=lambda _: None, group=Group(0, 2))


def test_the_values_of_the_paper() -> None:
    chosen = recipe("meta_pseudo_labels")
    fields, optimizer = chosen.method, chosen.optimizer
    assert (fields.unlabelled_ratio, fields.unlabelled_weight, fields.temperature, fields.threshold) == (7, 8, 0.7, 0.6)
    assert fields.teacher_gradient == "first_order"
    assert [round(part * 305_000) for part in (fields.ramp_up, fields.student_wait, fields.finetune_part)] == [
        5000,
        3000,
        5000,
    ]
    assert (chosen.steps, chosen.batch_size, chosen.loss.label_smoothing) == (305_000, 128, 0.15)
    assert (optimizer.lr, optimizer.nesterov, optimizer.weight_decay, optimizer.ema) == (0.05, True, 5e-4, 0.995)
    assert (chosen.images.rand_augment, chosen.images.rand_magnitude, chosen.images.cutout) == (2, 16, 16)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"finetune_lr": None}, "given with finetune_part"),
        ({"teacher_gradient": "exact"}, "sgd with teacher_gradient=exact"),
        ({"student_wait": 0.95}, "leave steps between them"),
        (
            {"epochs": 3, "steps": None, "schedule": "plateau", "gamma": 0.1, "patience": 2},
            "another one than plateau with student_wait",
        ),
        ({"rand_augment": 0, "rand_magnitude": None}, "it makes the strong view"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe("meta_pseudo_labels_quick").replaced(**changes)
    with pytest.raises(UsageError, match="none with method=fixmatch"):
        recipe("fixmatch").replaced(teacher_gradient="first_order")
