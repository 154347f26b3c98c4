"""Noisy Student: the teacher's labels, their choice, the noise, the rounds, resume, refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import convatlas
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.files import read_arrays
from convatlas.prediction import open_predictor
from convatlas.recipe import recipe
from convatlas.report import write_report
from convatlas.run import Run, read_run
from convatlas.training import Plan, Sources, build_learner, train_plan, training_rounds
from convatlas.training.parallel import ALONE
from convatlas.training.rounds import first_teacher
from convatlas.training.semi_supervised import OBJECTIVES, with_teacher
from convatlas.training.semi_supervised.joint import joint_gradients
from convatlas.training.semi_supervised.noisy import NoisyStudent, taught_images
from convatlas.training.semi_supervised.teacher import chosen_places, teacher_labels
from few_labels import LABELS, Passes, batch_of, few
from test_training import DIGITS, StopAt, assert_same, tiny_plan

pytestmark = pytest.mark.usefixtures("quick_runs")

SURE = {"threshold": 0.11}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A teacher that was trained a little."""
    folder = tmp_path_factory.mktemp("noisy") / "round0"
    return train_plan(first_teacher(few("noisy_student", steps=20, epoch_steps=10, lr=0.02, **SURE)), folder=folder)


# ------------------------------------------------------------------------------------------------ the teacher's labels


def test_the_surest_are_taken_and_rare_classes_come_again() -> None:
    certainty = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.2])
    probabilities = torch.stack([certainty, 0.95 - certainty, torch.full((6,), 0.05)], 1)
    places = chosen_places(probabilities, threshold=0.55, each=3, seed=0)
    assert places.tolist()[:3] == [0, 1, 2]  # the surest of class 0; place 4 is below the threshold
    assert places.tolist()[3:] == [5, 5, 5]  # the one of class 1, again; no image is of class 2
    mean = chosen_places(probabilities, threshold=0.55, each=None, seed=0)
    assert len(mean) == 4  # two of each: the mean of four and one, rounded to even
    assert torch.equal(places, chosen_places(probabilities, threshold=0.55, each=3, seed=0))
    with pytest.raises(UsageError, match=r"threshold=0.99 leaves no image"):
        chosen_places(probabilities, threshold=0.99, each=3, seed=0)


def test_labels_are_computed_once_without_noise_and_kept_with_a_hash(
    teacher: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = few("noisy_student", **SURE)
    found = teacher_labels(teacher.path, plan, device="cpu")
    wanted = open_predictor(teacher.path).logits(DIGITS.train).softmax(1)
    assert torch.equal(found.probabilities, wanted)
    file = teacher.path / found.record.labels_file
    assert np.array_equal(read_arrays(file)["probabilities"], wanted.numpy())

    def never(*_: Any) -> Tensor:
        raise AssertionError("computed a second time")

    monkeypatch.setattr("convatlas.training.semi_supervised.teacher._probabilities", never)
    again = teacher_labels(teacher.path, plan, device="cpu")
    assert again.record == found.record
    assert torch.equal(again.probabilities, wanted)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_a_student_learns_probabilities_or_classes(kind: str, teacher: Run) -> None:
    plan = with_teacher(
        few("noisy_student", pseudo_labels=kind, pseudo_per_class=30, **SURE), teacher.path, device="cpu"
    )
    assert plan.teacher is not None
    images = taught_images(plan, plan.teacher.probabilities)
    by_place = dict(zip(DIGITS.train.index.tolist(), plan.teacher.probabilities, strict=True))
    rows = torch.stack([by_place[place] for place in images.index.tolist()])
    labels = images.labels
    assert isinstance(labels, Tensor)
    assert torch.equal(labels, rows if kind == "soft" else rows.argmax(1))
    counts = rows.argmax(1).bincount(minlength=10)
    assert set(counts.tolist()) <= {0, 30}  # balanced, but for classes that the teacher never names


# ------------------------------------------------------------------------------------------------------------ the noise


def test_the_student_has_noise_and_the_teacher_none(teacher: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by the calls of RandAugment: none for the teacher's labels, one for each batch of the student."""
    calls: list[int] = []

    def counted(images: Tensor, **_: Any) -> Tensor:
        calls.append(len(images))
        return images

    monkeypatch.setattr("convatlas.data.augmentation.draws.rand_augment", counted)
    for file in teacher.path.glob("pseudo_labels-*"):
        file.unlink()
    plan = with_teacher(few("noisy_student", **SURE), teacher.path, device="cpu")
    assert calls == []
    learner = build_learner(plan, device="cpu")
    for batch in learner.objective.batches(plan, 0):
        learner.step(batch)
    assert calls == [8, 24] * 2  # labelled images, and three times as many with the teacher's labels


def test_dropout_is_drawn_in_the_student_and_not_in_the_teacher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted by the passes of dropout in training; both networks have it."""
    drawn: list[bool] = []

    def counted(given: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
        drawn.append(training)
        return given

    options = {"depths": (1, 1, 1), "widths": (8, 8, 8)}
    plan = dataclasses.replace(few("noisy_student", **SURE), architecture=architecture("wide_resnet28_2"))
    plan = dataclasses.replace(plan, options={**options, "dropout": 0.5})
    run = train_plan(first_teacher(plan), folder=tmp_path / "teacher")
    monkeypatch.setattr(F, "dropout", counted)
    student = with_teacher(plan, run.path, device="cpu")
    assert drawn
    assert not any(drawn)
    learner = build_learner(student, device="cpu")
    for batch in learner.objective.batches(student, 0):
        learner.step(batch)
    assert sum(drawn) >= 2


def test_a_teacher_of_all_labels_has_those_of_its_student(tmp_path: Path) -> None:
    run = train_plan(few("supervised", labels=None), folder=tmp_path / "teacher")
    for labels, other in ((None, False), (40.0, True)):
        student = with_teacher(few("noisy_student", **{**SURE, "labels": labels}), run.path, device="cpu")
        assert any("other images than its student" in note for note in student.notes) == other


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_both_losses_are_means_over_their_own_images_and_summed(kind: str) -> None:
    network = Passes().double()
    chosen = few("noisy_student", label_smoothing=0.1, **SURE).recipe
    objective = NoisyStudent(network, recipe=chosen, labels=LABELS, num_classes=10, device="cpu")
    batch = batch_of(views=1)
    wanted = torch.rand(12, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(1)
    if kind == "hard":
        wanted = wanted.argmax(1)
    joint_gradients(objective, dataclasses.replace(batch, views=(batch.views[0], wanted)), [wanted], group=ALONE)
    assert network.sizes == [16]
    labelled = F.cross_entropy(network(batch.images).float(), batch.targets, label_smoothing=0.1)
    loss = labelled + F.cross_entropy(network(batch.views[0]), wanted)
    for parameter, gradient in zip(
        network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
    ):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)


# ----------------------------------------------------------------------------------------------------------- the rounds


def test_stopped_and_resumed_is_the_same_bit_for_bit(teacher: Run, tmp_path: Path) -> None:
    plan = with_teacher(few("noisy_student", **SURE), teacher.path, device="cpu")
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(3))
    again = with_teacher(few("noisy_student", **SURE), teacher.path, device="cpu")
    parts = train_plan(again, folder=tmp_path / "parts", resume=True)
    assert_same(parts, whole)
    assert plan.teacher is not None
    assert read_run(whole.path).record.teacher == plan.teacher.record
    assert "train_mask" not in whole.metrics()[0]


def test_rounds_are_a_teacher_and_students_of_the_one_before(tmp_path: Path) -> None:
    found = []
    for plan, folder in training_rounds(
        few("noisy_student", **SURE), tmp_path, sources=Sources(rounds=2), device="cpu"
    ):
        train_plan(plan, folder=folder)
        found.append((folder.name, plan.recipe.method.kind, plan.teacher and Path(plan.teacher.record.source).name))
    assert found == [
        ("round0", "supervised", None),
        ("round1", "noisy_student", "round0"),
        ("round2", "noisy_student", "round1"),
    ]
    first = read_run(tmp_path / "round0").record.recipe
    assert (first["rand_augment"], first["labels"], first["name"][:13]) == (2, 40, "noisy_teacher")
    rows = write_report(tmp_path, out=tmp_path / "report").rows
    assert sorted(row["recipe"].rpartition(" ")[2][:6] for row in rows)[1:] == ["round0", "round1"]


def test_in_python_and_by_the_verb(teacher: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"steps": 2, "epoch_steps": 2, "image_size": 8, **SURE}
    options = {"depths": (1, 1, 1), "widths": (8, 8, 16)}
    given: dict[str, Any] = {"labels": 40, "settings": settings, "options": options, "quiet": True}
    run = convatlas.semi("resnet_uva", method="noisy_student", teacher=teacher, out=tmp_path / "student", **given)
    assert run.record.teacher is not None
    short = ["--labels", "40", "-o", "depths=1,1,1", "-o", "widths=8,8,16", "--out", str(tmp_path / "run")]
    words = ["semi", "resnet_uva", *short, "--set", "image_size=8", "--steps", "2", "--quiet"]
    for more, said in (
        (["--method", "fixmatch", "--rounds", "2"], "--rounds goes with --method noisy_student"),
        (["--method", "noisy_student", "--rounds", "0"], "at least 1 and at most 100"),
        (["--method", "noisy_student", "--teacher", str(tmp_path)], "no run in"),
        (["--method", "noisy_student", "--teacher", str(teacher.path), "--rounds", "2"], "--teacher gives one round"),
    ):
        assert main([*words, *more]) == 2
        assert said in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_student_without_a_teacher_is_refused() -> None:
    with pytest.raises(UsageError, match="needs a teacher; give --teacher RUN"):
        build_learner(few("noisy_student", **SURE), device="cpu")


def test_a_teacher_of_other_classes_is_refused(teacher: Run) -> None:
    plan = few("noisy_student", **SURE)
    names = tuple(reversed(DIGITS.spec.class_names))
    data = dataclasses.replace(DIGITS, spec=dataclasses.replace(DIGITS.spec, class_names=names))
    with pytest.raises(UsageError, match="is of other classes"):
        with_teacher(dataclasses.replace(plan, data=data), teacher.path, device="cpu")


def test_an_unfinished_teacher_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=tmp_path / "run", progress=StopAt(5))
    with pytest.raises(UsageError, match="go on with its training"):
        with_teacher(few("noisy_student", **SURE), tmp_path / "run", device="cpu")


def test_a_teacher_of_other_labels_is_noted(teacher: Run) -> None:
    same, other = (
        with_teacher(few("noisy_student", labels=n, **SURE), teacher.path, device="cpu") for n in (40.0, 50.0)
    )
    assert not any("labels of other images" in note for note in same.notes)
    assert any("labels of other images" in note for note in other.notes)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("noisy_student", {"pseudo_labels": "none"}, "soft or hard with method=noisy_student"),
        ("noisy_student", {"threshold": None}, "given with method=noisy_student"),
        ("noisy_student", {"pseudo_per_class": 0}, "at least 1 image of each class"),
        ("fixmatch", {"pseudo_labels": "soft"}, "none with method=fixmatch"),
    ],
)
def test_fields_that_contradict_the_method_are_refused(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe(name).replaced(**changes)


def test_every_method_has_its_objective() -> None:
    assert set(OBJECTIVES) >= {"noisy_student", "meta_pseudo_labels", "supervised"}
    plan: Plan = few("noisy_student", **SURE)
    assert plan.objective is NoisyStudent
