"""Objectives beside classification: two networks, another score; the learner without Lightning; several processes."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from rich.console import Console
from sklearn.metrics import average_precision_score
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

import convatlas
from convatlas.architectures import architecture
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import epoch_seed
from convatlas.errors import UsageError
from convatlas.prediction import evaluate_run, predict_logits
from convatlas.progress import Lines
from convatlas.recipe import recipe
from convatlas.report import write_report
from convatlas.report.page import best_run
from convatlas.run import METRICS, read_run, write_metrics
from convatlas.scores import Score
from convatlas.training import Plan, build_learner, make_plan, train_plan
from convatlas.training.classification import Classification
from convatlas.training.loss import TrainingLoss
from convatlas.training.objective import Measured, Outcome, Part
from convatlas.training.parallel import ALONE, Group
from convatlas.training.steps import gradients
from few_labels import joint_gradients_of
from fixtures import quick_runs
from test_training import DIGITS, StopAt, facts, tiny_plan


class TeacherAndStudent:
    """A student learns from labels and from a teacher, which learns from the student's answers: two optimizers."""

    name: ClassVar[str] = "teacher_and_student"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {
        "train": ("loss", "teacher_loss"),
        "val": ("loss", "agreement"),
    }
    score: ClassVar[Score] = Score("loss", direction="min", unit="number")

    def __init__(self, plan: Plan, device: str) -> None:
        self.student = plan.build().to(device)
        self.teacher = dataclasses.replace(plan, seed=plan.seed + 1).build().to(device)
        self.modules: dict[str, nn.Module] = {"teacher": self.teacher, "student": self.student}
        self.optimizers: dict[str, Optimizer] = {
            name: SGD(module.parameters(), lr=0.1) for name, module in self.modules.items()
        }
        self.evaluated = "student"
        self.baseline = 0.0

    @classmethod
    def of(cls, plan: Plan, device: str) -> Self:
        return cls(plan, device)

    def batches(self, plan: Plan, epoch: int) -> TrainingBatches:
        return TrainingBatches(
            plan.data.train,
            recipe=plan.recipe,
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )

    def step(self, batch: Any, *, update: Callable[[Optimizer], None], group: Group) -> Measured:
        images, labels = batch
        teacher_loss = F.cross_entropy(self.teacher(images), labels)
        self.teacher.zero_grad()
        teacher_loss.backward()
        update(self.optimizers["teacher"])
        with torch.no_grad():
            wanted = self.teacher(images).softmax(1)
        loss = F.cross_entropy(self.student(images), wanted)
        self.student.zero_grad()
        loss.backward()
        update(self.optimizers["student"])
        self.baseline = 0.9 * self.baseline + 0.1
        return Measured(len(labels), means={"loss": loss.detach(), "teacher_loss": teacher_loss.detach()})

    def validate(self, plan: Plan) -> dict[str, float]:
        student, teacher = (self._logits(name, plan) for name in ("student", "teacher"))
        loss = F.cross_entropy(student, plan.data.validation.labels).item()
        return {"loss": loss, "agreement": (student.argmax(1) == teacher.argmax(1)).double().mean().item()}

    def outcome(self, plan: Plan) -> Outcome:
        logits = self._logits("student", plan).numpy()
        return Outcome({"val_logits": logits}, {}, {f"val_{k}": v for k, v in self.validate(plan).items()})

    def state(self) -> dict[str, Any]:
        return {"baseline": self.baseline}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.baseline = state["baseline"]

    def _logits(self, name: str, plan: Plan) -> Tensor:
        return predict_logits(self.modules[name], plan.data.validation, preprocessing=plan.preprocessing)


class AveragePrecision(Classification):
    """Classification whose epochs are selected by the mean average precision of the classes."""

    name: ClassVar[str] = "average_precision"
    measures: ClassVar[Mapping[Part, tuple[str, ...]]] = {"train": ("loss", "top1"), "val": ("map",)}
    score: ClassVar[Score] = Score("map", title="average precision")

    def validate(self, plan: Plan) -> dict[str, float]:
        return {"map": self._precision(plan, plan.data.validation)}

    def outcome(self, plan: Plan) -> Outcome:
        usual = super().outcome(plan)
        results = {"val_map": self._precision(plan, plan.data.validation)}
        return Outcome(usual.predictions, usual.samples, results | {"test_map": self._precision(plan, plan.data.test)})

    def _precision(self, plan: Plan, images: Any) -> float:
        wanted = np.eye(plan.num_classes)[images.labels.numpy()]
        return float(average_precision_score(wanted, self._logits(plan, images)))


class LowestLoss(Classification):
    """Classification whose epochs are selected by the lowest loss."""

    name: ClassVar[str] = "lowest_loss"
    score: ClassVar[Score] = Score("loss", direction="min", unit="number")


def plan_of(objective: Any, **changes: Any) -> Plan:
    return dataclasses.replace(tiny_plan(**changes), objective=objective)


def tensorboard(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard")).Reload()


# -------------------------------------------------------------------------------------------- two networks, other score


@pytest.mark.slow
def test_two_networks_are_trained_selected_by_the_lowest_loss_and_resumed(tmp_path: Path) -> None:
    plan = plan_of(TeacherAndStudent, lr=0.2, schedule="plateau", patience=1, optimizer="sgd", weight_decay=0)
    run = train_plan(plan, folder=tmp_path / "run")
    rows = run.metrics()
    columns = ["epoch", "train_loss", "train_teacher_loss", "val_loss", "val_agreement", "lr"]
    assert list(rows[0])[:6] == columns
    best = min(rows, key=lambda row: row["val_loss"])
    assert run.results["best_epoch"] == best["epoch"]
    assert run.results["val_loss"] == best["val_loss"]
    plateau = torch.load(run.last_checkpoint, weights_only=True)["plateau"]
    assert plateau["best"] == -best["val_loss"]  # a lower loss is a better score
    assert rows[-1]["train_teacher_loss"] < rows[0]["train_teacher_loss"]
    state = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    assert {key.partition(".")[0] for key in state} == {"teacher", "student"}
    with pytest.warns(UserWarning, match=r"the evaluated one \(student\.\*\) is taken"):
        loaded = convatlas.load(run.path)
    assert all(torch.equal(tensor, state[f"student.{key}"]) for key, tensor in loaded.state_dict().items())
    assert {"loss/val", "agreement/val", "loss/train", "teacher_loss/train"} <= set(
        tensorboard(run.path).Tags()["scalars"]
    )
    assert (run.path / "curves.png").stat().st_size > 10_000
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(7))
    parts = train_plan(plan, folder=tmp_path / "parts", resume=True)
    assert facts(parts) == rows_without_clock(rows)
    assert torch.load(parts.last_checkpoint, weights_only=True)["objective"] == {"baseline": pytest.approx(1 - 0.9**12)}


def rows_without_clock(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


@pytest.mark.slow
def test_average_precision_selects_and_is_shown(tmp_path: Path) -> None:
    plan, screen = plan_of(AveragePrecision), Console(file=(tmp_path / "log").open("w"), width=120)
    with Lines(screen, [plan.job]) as progress:
        run = train_plan(plan, folder=tmp_path / "run", progress=progress)
    screen.file.close()
    rows = run.metrics()
    assert run.results["val_map"] == max(row["val_map"] for row in rows)
    assert "val_top1" not in rows[0]
    log = (tmp_path / "log").read_text()
    assert f"val {100 * run.results['val_map']:.2f} %" in log
    assert "train" in log.splitlines()[0]
    assert "map/val" in tensorboard(run.path).Tags()["scalars"]


@pytest.mark.slow
def test_a_study_is_reported_by_the_score_of_its_objective(tmp_path: Path) -> None:
    """Two epochs and two seeds of each: one score alone, and all scores beside each other."""
    objectives: tuple[Any, ...] = (TeacherAndStudent, AveragePrecision, LowestLoss)
    with quick_runs():
        for objective in objectives:
            for seed in (0, 1):
                folder = tmp_path / objective.name / f"{seed}"
                train_plan(plan_of(objective, epochs=2, seed=seed), folder=folder)
        for objective in objectives:
            report, score = write_report(tmp_path / objective.name), objective.score
            (row,) = report.rows
            assert (row["score"]["measure"], row["score"]["title"]) == (score.measure, score.word)
            runs = [read_run(report.folder / run["path"]) for run in row["runs"]]
            assert [run["val_score"] for run in row["runs"]] == [run.results[score.column] for run in runs]
            assert all(run.record.score == score for run in runs)
            best = max(runs, key=lambda run: score.better(run.results[score.column]))
            assert report.folder / best_run(row)["path"] == best.path
            assert (row["test_top1_mean"] is None) == (objective is not LowestLoss)
        together = write_report([tmp_path / objective.name for objective in objectives], out=tmp_path / "all")
    assert [row["score"]["measure"] for row in together.rows] == ["loss", "loss", "map"]
    assert together.rows[0]["val_score_mean"] < together.rows[1]["val_score_mean"]
    assert together.findings[0] == "Networks scored by loss and by average precision are not ranked against each other."
    assert "| loss | 2." in (tmp_path / "all" / "results.md").read_text()


@pytest.mark.slow
def test_another_objective_is_another_run(tmp_path: Path) -> None:
    train_plan(plan_of(AveragePrecision, epochs=1), folder=tmp_path / "run")
    with pytest.raises(UsageError, match=r"another run .*objective"):
        train_plan(tiny_plan(epochs=1), folder=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["objective"] == "average_precision"
    assert read_run(tmp_path / "run").finished


# --------------------------------------------------------------------------------------------- a learner in plain torch


def epoch(learner: Any, plan: Plan, number: int, *, until: int | None = None) -> None:
    learner.begin_epoch(seed=plan.seed, epoch=number)
    for index, batch in enumerate(learner.objective.batches(plan, number)):
        if until is not None and index == until:
            return
        learner.step(batch)


@pytest.mark.slow
def test_a_plain_loop_trains_as_the_engine_does(tmp_path: Path) -> None:
    plan = tiny_plan(ema=0.9, schedule="plateau", patience=1, optimizer="rmsprop", momentum=0.9)
    run = train_plan(plan, folder=tmp_path / "run")
    learner = build_learner(plan, device="cpu")
    rows = []
    for number in range(plan.recipe.epochs):
        epoch(learner, plan, number)
        measured = {f"train_{name}": value for name, value in learner.means().items()}
        rows.append(measured | {f"val_{k}": v for k, v in learner.validate(plan, epoch=number).items()})
    kept = ("train_loss", "train_top1", "val_loss", "val_top1")
    assert [{name: row[name] for name in kept} for row in run.metrics()] == rows
    state = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    assert all(
        torch.equal(state[f"network.{key}"], t) for key, t in learner.objective.modules["network"].state_dict().items()
    )


def test_a_learner_is_restored() -> None:
    plan = tiny_plan(ema=0.9, schedule="plateau", patience=1, optimizer="muon", momentum=0.9)
    whole, first, second = (build_learner(plan, device="cpu") for _ in range(3))
    for number in range(2):
        epoch(whole, plan, number)
        whole.validate(plan, epoch=number)
    epoch(first, plan, 0)
    first.validate(plan, epoch=0)
    second.restore(first.state())
    assert second.counters() == first.counters()
    assert second.counters()["plateau"]["best"] > 0
    epoch(second, plan, 1)
    second.validate(plan, epoch=1)
    a, b = whole.state(), second.state()
    assert a["step"] == b["step"] == 8
    assert a["plateau"] == b["plateau"]
    for name in a["modules"]:
        assert all(torch.equal(a["modules"][name][key], t) for key, t in b["modules"][name].items())


# ------------------------------------------------------------------------------------------------- processes together


PLAIN = "convatlas_plain"  # without norms: the gradients do not depend on how a batch is divided


class Tiny(nn.Module):
    """A network without norms."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
        self.unused = nn.Parameter(torch.ones(3))  # has no gradient in any process

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)  # type: ignore[no-any-return]


def network_of(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == PLAIN:
        return Tiny().double()
    return architecture(kind).build(in_channels=1, depths=(1, 1, 1), widths=(8, 8, 16)).double()


def gradients_of(kind: str, *, count: int, group: Group, accumulate: int = 1, clip: float | None = None) -> list[Any]:
    """Loss, right answers and gradients of a batch of digits in float64."""
    chosen = recipe("quick").replaced(accumulate=accumulate, clip_norm=clip, batch_size=64)
    network = network_of(kind).train()
    loss = TrainingLoss(chosen, labels=DIGITS.train.labels, num_classes=10)
    images, labels = DIGITS.train.pixels[:count].double() / 255, DIGITS.train.labels[:count]
    value, hits = gradients(network, loss, (images, labels), recipe=chosen, group=group)
    grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    return [group.total(value), group.total(hits), *grads]


def of_process(rank: int, port: int, works: list[Callable[..., Any]], folder: str) -> None:
    """Runs the works in one of two processes that are joined by gloo."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=2)
    group = Group(rank, 2)
    torch.save([work(group=group) for work in works], Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def in_two_processes(works: list[Callable[..., Any]], folder: Path) -> list[list[Any]]:
    """The results of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=of_process, args=(rank, port, works, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
        assert process.exitcode == 0
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def averaged(*, group: Group) -> list[Any]:
    """Buffers that differ between the processes, averaged."""
    norm = nn.BatchNorm2d(3)
    norm.running_mean.fill_(group.rank)  # type: ignore[union-attr, operator]
    norm.num_batches_tracked.fill_(5)  # type: ignore[union-attr, operator]
    group.average_statistics([norm])
    return [norm.running_mean, norm.num_batches_tracked]


def measured(*, group: Group) -> list[Any]:
    """Means of training after a step on an uneven batch, by a network without norms."""
    chosen = recipe("quick").replaced(epochs=1, batch_size=63, image_size=32)
    plan = make_plan(architecture("lenet5"), data=DIGITS, chosen=chosen, seed=0)
    learner = build_learner(plan, device="cpu", group=group)
    learner.begin_epoch(seed=0, epoch=0)
    count = learner.step(next(iter(learner.objective.batches(plan, 0)))).count
    return [count, learner.means()]


def two_epochs(*, group: Group) -> list[Any]:
    """Means of training, validation and weights after two epochs; batch norms see the part of their process."""
    plan = tiny_plan(epochs=2, optimizer="sgd", momentum=0.9, lr=0.05)
    learner = build_learner(plan, device="cpu")
    assert learner.group == group  # that of torch.distributed
    found: list[Any] = []
    for number in range(2):
        epoch(learner, plan, number)
        found += [learner.means(), learner.validate(plan, epoch=number)]
    return [*found, dict(learner.objective.modules["network"].state_dict())]


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    """To rounding in float64: an uneven batch, clipping, parts; with batch norms as one process with two parts."""
    plain = [{"count": 64}, {"count": 63}, {"count": 63, "clip": 0.01}, {"count": 62, "accumulate": 2}, {"count": 1}]
    works = [partial(gradients_of, PLAIN, **case) for case in plain]
    works += [partial(gradients_of, "resnet_uva", count=64), joint_gradients_of, averaged, measured, two_epochs]
    first, second = in_two_processes(works, tmp_path)
    for case, ours, theirs in zip(plain, first, second, strict=False):
        alone = gradients_of(PLAIN, **{**case, "accumulate": 1}, group=ALONE)
        assert ours[1] == alone[1]
        for a, b, c in zip(ours[2:], theirs[2:], alone[2:], strict=True):
            torch.testing.assert_close(a, c, rtol=1e-12, atol=1e-14)
            assert torch.equal(a, b)
        torch.testing.assert_close(ours[0], alone[0], rtol=1e-6, atol=0)  # the loss is a float32
    norms = gradients_of("resnet_uva", count=64, accumulate=2, group=ALONE)
    for a, c in zip(first[len(plain)], norms, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-10, atol=1e-13)
    for a, b, c in zip(first[-4], second[-4], joint_gradients_of(group=ALONE), strict=True):
        assert torch.equal(a, b)
        assert c.any()
        torch.testing.assert_close(a, c, rtol=1e-6, atol=1e-9)  # the labelled loss is a float32
    assert all(torch.equal(each[-3][0], torch.full((3,), 0.5)) and each[-3][1] == 5 for each in (first, second))
    assert [each[-2][0] for each in (first, second)] == [32, 31]
    assert first[-2][1] == second[-2][1] == pytest.approx(measured(group=ALONE)[1], rel=1e-6)
    (train, *_, state), (theirs_train, *_, other) = first[-1], second[-1]
    assert train == theirs_train
    assert all(torch.equal(state[key], other[key]) for key in state)  # weights and running statistics


def test_a_group_of_one_changes_nothing() -> None:
    batch = torch.arange(6)
    assert ALONE.part(batch) is batch
    assert ALONE.total(batch) is batch
    assert ALONE.total_count(7) == 7
    assert [Group(rank, 2).part(batch).tolist() for rank in range(2)] == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.slow
def test_evaluation_and_selection_are_one_arithmetic_in_bf16(tmp_path: Path) -> None:
    """In bf16 batch norms are folded for answers: in validation during training, too."""
    run = train_plan(tiny_plan(precision="bf16"), folder=tmp_path / "run")
    best = run.metrics()[int(run.results["best_epoch"]) - 1]
    assert (best["val_loss"], best["val_top1"]) == (run.results["val_loss"], run.results["val_top1"])
    answers = evaluate_run(run.path, split="validation")
    assert (best["val_loss"], best["val_top1"]) == (answers.loss, answers.top1)


def test_every_column_of_an_objective_is_kept(tmp_path: Path) -> None:
    row = {"val_entropy": 0.5, **dict.fromkeys(METRICS, 1.0)}
    write_metrics(tmp_path / "metrics.csv", [row])
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == ",".join((*METRICS, "val_entropy"))
