"""Training with few labels: the choice of labels, the views, each method's loss and values, resume, refusals."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import convatlas
from convatlas.cli import main
from convatlas.data.augmentation.mixing import cutout
from convatlas.data.batches.views import ViewBatches
from convatlas.data.few_labels import labelled_places, without_labels
from convatlas.data.images.protocol import Images
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, rate_factor, recipe
from convatlas.recipe.groups import MethodFields
from convatlas.run import read_run
from convatlas.training import build_learner, train_plan
from convatlas.training.objective import evaluated_network
from convatlas.training.optimizers import parameter_groups
from convatlas.training.parallel import ALONE
from convatlas.training.semi_supervised import losses
from convatlas.training.semi_supervised.batches import view_recipe
from convatlas.training.semi_supervised.joint import joint_gradients
from convatlas.training.semi_supervised.objective import JOINT, SemiSupervised
from few_labels import LABELS, Passes, batch_of, few, objective_of
from test_training import DIGITS, StopAt, assert_same

pytestmark = pytest.mark.usefixtures("quick_runs")

METHODS = ("supervised", *JOINT)
CLASSES = DIGITS.spec.class_names


# --------------------------------------------------------------------------------------------------------- the labels


def test_labels_are_balanced_drawn_by_the_seed_and_nested() -> None:
    places = labelled_places(LABELS, 40, class_names=CLASSES, seed=0)
    assert LABELS[places].bincount().tolist() == [4] * 10
    assert torch.equal(places, labelled_places(LABELS, 40, class_names=CLASSES, seed=0))
    assert not torch.equal(places, labelled_places(LABELS, 40, class_names=CLASSES, seed=1))
    more = labelled_places(LABELS, 200, class_names=CLASSES, seed=0)
    assert set(places.tolist()) < set(more.tolist())
    assert LABELS[labelled_places(LABELS, 43, class_names=CLASSES, seed=0)].bincount().tolist() == [5] * 3 + [4] * 7
    tenth = labelled_places(LABELS, 0.1, class_names=CLASSES, seed=0)
    assert LABELS[tenth].bincount().tolist() == [round(0.1 * n) for n in LABELS.bincount().tolist()]
    assert LABELS[labelled_places(LABELS, 1e-6, class_names=CLASSES, seed=0)].bincount().tolist() == [1] * 10


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (1078, "labels=1,078 are more than the 1,077 training images"),
        (9, "labels=9 are fewer than the 10 classes"),
        (1077, r"take 108 of each class, and 0 has 106 training images; give at most 1,040"),
    ],
)
def test_impossible_numbers_of_labels_are_refused(wanted: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        labelled_places(LABELS, wanted, class_names=CLASSES, seed=0)


def test_the_record_names_the_labelled_images_and_nothing_else_has_labels() -> None:
    plan = few("fixmatch")
    objective = build_learner(plan, device="cpu").objective
    assert isinstance(objective, SemiSupervised)
    assert objective.unlabelled.labels is None
    assert len(objective.unlabelled) == len(DIGITS.train)  # the labelled ones too
    record = plan.record().labelled
    assert record is not None
    assert [int(place) for place in record.index.split()] == objective.labelled.index.tolist()
    assert (record.count, record.seed, len(record.hash)) == (40, 0, 16)
    assert plan.with_seed(1).record().labelled != record
    assert "40 of 1,077 training images keep their labels" in plan.notes[1]
    assert "360 labelled validation images are only watched" in plan.notes[3]


# ---------------------------------------------------------------------------------------------------------- the views

PLAIN_PREPROCESSING = Preprocessing(8, (0.0,), (1.0,))


def views_of(images: Images, *, seed: int = 0, epoch: int = 0, steps: int = 3, **changes: Any) -> list[Any]:
    chosen = recipe("fixmatch_quick").replaced(
        **{"image_size": 8, "batch_size": 4, "epoch_steps": steps, "unlabelled_ratio": 2, "cutout": 2, **changes}
    )
    recipes = [view_recipe(chosen, view) for view in ("weak", "strong")]  # type: ignore[arg-type]
    return list(ViewBatches(images, recipes=recipes, preprocessing=PLAIN_PREPROCESSING, seed=seed, epoch=epoch))


def test_views_are_drawn_independently_and_from_seed_epoch_and_batch_alone() -> None:
    images = without_labels(DIGITS.train)
    first, again = views_of(images), views_of(images)
    assert [[tuple(view.shape) for view in views] for views in first] == [[(8, 1, 8, 8)] * 2] * 3
    assert all(
        torch.equal(a, b) for one, other in zip(first, again, strict=True) for a, b in zip(one, other, strict=True)
    )
    for other in (views_of(images, seed=1), views_of(images, epoch=1)):
        assert not torch.equal(first[0][0], other[0][0])
    longer = views_of(images, rand_augment=3)  # more is drawn for each strong view, and later batches stay as they are
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, longer, strict=True))
    weak = views_of(images, crop="none", flip=0.0)
    assert all(torch.equal(a[1], b[1]) is False for a, b in zip(first, weak, strict=True))
    unchanged = {"rand_magnitude": 0.0, "rand_augment": 1}  # what is left are flip and crop, of each view's own draws
    for changes in ({"crop": "none", "flip": 0.5}, {"crop": "pad4", "flip": 0.0}):
        pairs = views_of(images, steps=8, cutout=0, **unchanged, **changes)
        same = torch.cat([(a == b).flatten(1).all(1) for a, b in pairs])
        assert not same.all(), changes


def test_the_weak_view_is_flip_and_crop_and_the_strong_one_has_everything() -> None:
    chosen = recipe("fixmatch")
    weak, strong = (view_recipe(chosen, view) for view in ("weak", "strong"))  # type: ignore[arg-type]
    assert (weak.images.flip, weak.images.crop, weak.images.rand_augment, weak.images.cutout) == (0.5, "pad4", 0, 0)
    assert (strong.images.flip, strong.images.crop) == (0.5, "pad4")
    assert (strong.images.rand_augment, strong.images.cutout, strong.batch_size) == (2, 16, 448)
    images = without_labels(DIGITS.train)
    unchanged = views_of(images, crop="none", flip=0.0)
    pixels = {tuple(each) for each in (DIGITS.train.pixels.float() / 255).flatten(1).tolist()}
    assert all(tuple(each) in pixels for views in unchanged for each in views[0].flatten(1).tolist())
    assert not all(tuple(each) in pixels for views in unchanged for each in views[1].flatten(1).tolist())


def test_cutout_hides_a_part_of_the_strong_view_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def noted(images: Tensor, *, size: int, generator: torch.Generator) -> Tensor:
        seen.append(size)
        return cutout(images, size=size, generator=generator)

    monkeypatch.setattr("convatlas.data.batches.stage.cutout", noted)
    views_of(without_labels(DIGITS.train))
    assert seen == [2, 2, 2]


# --------------------------------------------------------------------------------------------------------- the losses


def logits(seed: int, count: int = 6, scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(count, 4, dtype=torch.float64, generator=generator)).requires_grad_()


def probabilities(row: Tensor, temperature: float = 1.0) -> list[float]:
    powers = [math.exp(value / temperature) for value in row.tolist()]
    return [power / sum(powers) for power in powers]


FIELDS = MethodFields("uda", unlabelled_ratio=1, unlabelled_weight=1.0, threshold=0.7, temperature=0.4)


def reference(method: str, weak: Tensor, other: Tensor) -> list[tuple[float, bool]]:
    """The loss of each image and whether it counts, number by number, as the papers write it."""
    found = []
    for a, b in zip(weak, other, strict=True):
        p, q = probabilities(a), probabilities(b)
        label = p.index(max(p))
        if method == "pseudo_label":
            found.append((-math.log(p[label]), max(p) > 0.7))
        elif method == "fixmatch":
            found.append((-math.log(q[label]), max(p) >= 0.7))
        elif method == "uda":
            sharp = probabilities(a, 0.4)
            found.append((sum(s * math.log(s / own) for s, own in zip(sharp, q, strict=True)), max(p) > 0.7))
        else:
            found.append((sum((x - y) ** 2 for x, y in zip(p, q, strict=True)) / len(p), True))
    return found


@pytest.mark.parametrize("method", [*JOINT])
def test_losses_are_those_of_the_papers_in_float64(method: str) -> None:
    weak, other = logits(0), logits(1)
    each, counts = JOINT[method].loss([weak, other], FIELDS)
    wanted = reference(method, weak, other)
    assert counts.tolist() == [counted for _, counted in wanted]
    assert method == "mean_teacher" or 0 < sum(counts.tolist()) < 6
    torch.testing.assert_close(each.detach(), torch.tensor([loss for loss, _ in wanted], dtype=torch.float64))


@pytest.mark.parametrize(("method", "taught"), [("fixmatch", 0), ("uda", 0), ("mean_teacher", 1)])
def test_no_gradient_flows_through_the_answers_that_teach(method: str, taught: int) -> None:
    both = [logits(0), logits(1)]
    each, counts = JOINT[method].loss(both, FIELDS)
    (each * counts).sum().backward()  # type: ignore[no-untyped-call]
    assert both[taught].grad is None or not both[taught].grad.any()
    assert both[1 - taught].grad is not None
    assert both[1 - taught].grad.any()


def test_a_threshold_is_reached_by_equality_in_fixmatch() -> None:
    even = torch.tensor([[0.0, 0.0]], dtype=torch.float64)
    fields = dataclasses.replace(FIELDS, threshold=0.5)
    assert losses.fixmatch_loss(even, even, fields)[1].tolist() == [True]
    assert losses.uda_loss(even, even, fields)[1].tolist() == [False]


def test_annealing_rises_from_chance_to_one() -> None:
    for kind in ("linear", "log", "exp"):
        limits = [losses.annealing_limit(kind, step / 10, num_classes=4) for step in range(11)]  # type: ignore[arg-type]
        assert limits == sorted(limits)
        assert limits[0] == pytest.approx(0.25, abs=0.01)
        assert limits[-1] == pytest.approx(1, abs=0.01)
    assert losses.annealing_limit("none", 0, num_classes=4) == 1
    assert losses.annealing_limit("exp", 0.5, num_classes=4) == pytest.approx(0.25 + 0.75 * math.exp(-2.5))
    assert losses.annealing_limit("log", 0.5, num_classes=4) == pytest.approx(0.25 + 0.75 * (1 - math.exp(-2.5)))


# ----------------------------------------------------------------------------------------------------------- one step


def test_all_views_go_through_once_and_the_mask_counts_over_all_of_them() -> None:
    network = Passes()
    objective, batch = objective_of("fixmatch", network, threshold=0.2), batch_of()
    measured = joint_gradients(objective, batch, [], group=ALONE)
    assert network.sizes == [4 + 2 * 12]
    answers = [network(images) for images in (batch.images, *batch.views)]
    each, counts = losses.fixmatch_loss(answers[1], answers[2], objective.recipe.method)
    unlabelled = torch.where(counts, each, 0).sum() / 12
    assert 0 < counts.sum() < 12
    assert measured.means["mask"].item() == pytest.approx(counts.double().mean().item())
    assert measured.means["unlabelled_loss"].item() == pytest.approx(unlabelled.item())
    labelled = F.cross_entropy(answers[0].float(), batch.targets)
    wanted = torch.autograd.grad(labelled + unlabelled, list(network.parameters()))
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-9)  # the labelled loss is a float32


def test_the_weight_rises_and_multiplies_the_unlabelled_loss() -> None:
    gradients = {}
    for progress in (0.0, 0.1, 0.4, 0.9):
        network = Passes()
        objective = objective_of("pseudo_label", network, threshold=0.0)
        joint_gradients(objective, batch_of(views=1, progress=progress), [], group=ALONE)
        gradients[progress] = network.layers[1].weight.grad.clone()  # type: ignore[union-attr, operator]
    rising = gradients[0.1] - gradients[0.0]
    torch.testing.assert_close(gradients[0.4] - gradients[0.0], 4 * rising, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradients[0.9], gradients[0.4])
    assert rising.abs().max() > 0


def test_annealing_leaves_out_the_labelled_images_that_are_known_too_well() -> None:
    network = Passes()
    objective, batch = objective_of("uda", network, annealing="linear", threshold=0.99), batch_of(progress=0.0)
    known = network(batch.images).detach().softmax(1).gather(1, batch.targets.unsqueeze(1)).squeeze(1)
    each = F.cross_entropy(network(batch.images), batch.targets, reduction="none")
    limit = float(known.sort().values[1:3].mean())
    batch = dataclasses.replace(batch, progress=(limit - 0.1) / 0.9)
    counts = known <= limit
    assert counts.sum() == 2
    measured = joint_gradients(objective, batch, [], group=ALONE)
    assert measured.means["loss"].item() == pytest.approx(each[counts].mean().item())


def test_the_teacher_is_the_average_and_its_running_statistics_stay() -> None:
    objective = build_learner(few("mean_teacher"), device="cpu").objective
    assert isinstance(objective, SemiSupervised)
    teacher = evaluated_network(objective)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    images = torch.randn(6, 1, 8, 8)
    taught = objective._taught(images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    torch.testing.assert_close(taught, teacher.train()(images))  # by the statistics of the batch
    assert not taught.requires_grad


def test_mean_teacher_compares_two_weak_views_of_student_and_average() -> None:
    network = Passes()
    objective, batch = objective_of("mean_teacher", network), batch_of()
    assert objective.average is not None
    for parameter in objective.average.module.parameters():
        parameter.data.mul_(0.5)
    taught = [objective._taught(batch.views[1])]
    measured = joint_gradients(objective, batch, taught, group=ALONE)
    assert network.sizes == [4 + 12]
    wanted = (network(batch.views[0]).softmax(1) - taught[0].softmax(1)).square().mean()
    assert measured.means["unlabelled_loss"].item() == pytest.approx(wanted.item())


# --------------------------------------------------------------------------------------------------------- the values


def test_fixmatch_has_the_values_of_its_paper() -> None:
    chosen = recipe("fixmatch")
    fields, optimizer = chosen.method, chosen.optimizer
    assert (fields.unlabelled_ratio, fields.threshold, fields.unlabelled_weight) == (7, 0.95, 1)
    assert (optimizer.kind, optimizer.lr, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.03, 0.9, True)
    assert (optimizer.weight_decay, optimizer.weight_decay_on, optimizer.ema) == (5e-4, "weights", 0.999)
    assert (chosen.steps, chosen.epoch_steps, chosen.batch_size, chosen.select) == (2**20, 1024, 64, "last")
    images = chosen.images
    assert (images.rand_augment, images.rand_magnitudes, images.cutout) == (2, "drawn", 16)
    for step in (0, 2**19, 2**20):
        wanted = math.cos(7 * math.pi * step / (16 * 2**20))
        assert rate_factor(chosen, step, steps_per_epoch=1024) == pytest.approx(wanted, rel=1e-12)


def test_weight_decay_spares_norms_and_biases() -> None:
    network = few("fixmatch").build()
    groups = parameter_groups(network, recipe("fixmatch"))
    assert [group["weight_decay"] for group in groups] == [5e-4, 0]
    assert all(parameter.ndim > 1 for parameter in groups[0]["params"])
    assert all(parameter.ndim == 1 for parameter in groups[1]["params"])


def test_the_values_of_the_other_methods() -> None:
    fields = {name: recipe(name).method for name in METHODS}
    assert (fields["uda"].temperature, fields["uda"].threshold, fields["uda"].unlabelled_ratio) == (0.4, 0.8, 7)
    mean_teacher, pseudo_label = fields["mean_teacher"], fields["pseudo_label"]
    assert (mean_teacher.unlabelled_weight, mean_teacher.ramp_up, mean_teacher.unlabelled_ratio) == (50, 0.4, 1)
    assert (pseudo_label.threshold, pseudo_label.ramp_up, pseudo_label.unlabelled_weight) == (0.95, 0.4, 1)
    shared = [recipe(name) for name in METHODS]
    assert len({(each.steps, each.batch_size, each.optimizer, each.schedule) for each in shared}) == 1
    assert all(recipe(f"{name}_quick").method.kind == name for name in METHODS)


# ----------------------------------------------------------------------------------------------------------- whole runs


@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_is_the_same_bit_for_bit(method: str, tmp_path: Path) -> None:
    changes = {"threshold": 0.11} if few(method).recipe.method.threshold is not None else {}
    plan = few(method, **changes)
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(3))
    parts = train_plan(plan, folder=tmp_path / "parts", resume=True)
    assert_same(parts, whole)
    assert whole.results["best_epoch"] == 3  # the last one
    assert read_run(whole.path).record.labelled == plan.record().labelled
    assert whole.record.selection == "the last epoch; the validation images are only watched"
    if method in JOINT:
        rows = whole.metrics()
        assert rows[-1]["train_unlabelled_loss"] > 0
        assert 0 < rows[-1]["train_mask"] <= 1


def test_labelled_batches_are_alike_in_all_methods() -> None:
    """So that methods are compared on the same draws."""
    first = {}
    for method in METHODS:
        plan = few(method)
        batch: Any = next(iter(build_learner(plan, device="cpu").objective.batches(plan, 1)))
        first[method] = batch.images if method in JOINT else batch[0]
    assert all(torch.equal(first["supervised"], images) for images in first.values())


def test_the_best_epoch_may_be_selected_all_the_same(tmp_path: Path) -> None:
    run = train_plan(few("supervised", select="best"), folder=tmp_path / "run")
    rows = run.metrics()
    assert run.results["best_epoch"] == max(rows, key=lambda row: (row["val_top1"], -row["epoch"]))["epoch"]
    assert "select the epoch, beside 40 labels" in run.record.notes[3]


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("fixmatch", {"threshold": 1.5}, "threshold=1.5 makes no sense; it must be a probability below 1"),
        ("fixmatch", {"threshold": None}, "threshold=none makes no sense; it must be given with method=fixmatch"),
        ("fixmatch", {"mixup": 0.2}, "mixup=0.2 makes no sense; it must be 0 with method=fixmatch"),
        ("uda", {"cutmix": 1.0}, "cutmix=1 makes no sense; it must be 0 with method=uda"),
        ("uda", {"temperature": 0.0}, "temperature=0 makes no sense"),
        ("fixmatch", {"temperature": 0.5}, "it must be none with method=fixmatch"),
        ("fixmatch", {"annealing": "linear"}, "it must be none with method=fixmatch"),
        ("fixmatch", {"unlabelled_ratio": 0}, "it must be above 0 with method=fixmatch"),
        ("fixmatch", {"rand_augment": 0, "rand_magnitude": None, "rand_magnitudes": "fixed"}, "strong view"),
        ("fixmatch", {"epoch_steps": None}, "given with a method for few labels"),
        ("fixmatch", {"accumulate": 2}, "accumulate=2 makes no sense; it must be 1"),
        ("fixmatch", {"labels": 40.5}, "a whole number of at least 2, or a part below 1"),
        ("mean_teacher", {"ema": None}, "the average is the teacher"),
        ("supervised", {"threshold": 0.5}, "it must be none with method=supervised"),
        ("quick", {"labels": 40.0}, "it must be none without a method for few labels"),
        ("quick", {"unlabelled_ratio": 7}, "it must be 0 without a method"),
    ],
)
def test_fields_that_contradict_the_method_are_refused(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        recipe(name).replaced(**changes)


def test_old_recipes_are_as_before() -> None:
    given = {"epochs": 1, "batch_size": 8, "optimizer": "sgd", "lr": 0.1}
    old = Recipe(name="mine", source="ours", expected="?", **given)
    assert (old.method.kind, old.select) == (None, "best")
    assert "method" not in old.summary()


def run_words(tmp_path: Path) -> list[str]:
    short = [
        "--steps",
        "2",
        "--set",
        "epoch_steps=2",
        "--set",
        "image_size=8",
        "-o",
        "depths=1,1,1",
        "-o",
        "widths=8,8,16",
    ]
    return ["semi", "resnet_uva", "--labels", "40", *short, "--out", str(tmp_path / "run"), "--quiet"]


def test_the_verb_trains_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = run_words(tmp_path)
    assert main([*words, "--method", "fixmatch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"]["best_epoch"] == 1
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["objective"] == "semi_supervised"
    assert record["recipe"]["method"] == "fixmatch"
    assert main([*words, "--method", "fixmatch"]) == 0  # loaded
    assert "(360 labelled images, only watched) in epoch 1 of 1" in capsys.readouterr().out
    for more in (["--method", "fixmtch"], [], ["--recipe", "quick"], ["--method", "uda", "--epochs", "3"]):
        assert main([*words, *more]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_in_python(tmp_path: Path) -> None:
    settings = {"steps": 2, "epoch_steps": 2, "image_size": 8}
    options = {"depths": (1, 1, 1), "widths": (8, 8, 16)}
    run = convatlas.semi(
        "resnet_uva", method="supervised", labels=0.1, out=tmp_path, settings=settings, options=options, quiet=True
    )
    assert run.record.labelled is not None
    assert run.record.labelled.count == 109
    assert "the same part of each class" in run.record.notes[1]
