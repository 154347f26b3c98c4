"""Recipes: what they hold, what they refuse, how they change, and the learning rates that they give."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas.errors import UsageError
from convatlas.recipe import Recipe, read_recipe, with_settings
from convatlas.recipes import RECIPES, recipe
from convatlas.training.classifier import make_optimizer, make_schedule


def test_every_recipe_names_source_and_expectation() -> None:
    for row in RECIPES:
        assert row.source
        assert row.expected


def test_the_tutorials_values() -> None:
    """Literal values of the tutorial, typed here a second time."""
    sgd, adam = recipe("uva_sgd"), recipe("uva_adam")
    assert (sgd.optimizer, sgd.lr, sgd.momentum, sgd.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
    assert (adam.optimizer, adam.lr, adam.weight_decay) == ("adamw", 1e-3, 1e-4)
    for row in (sgd, adam):
        assert (row.epochs, row.batch_size, row.milestones, row.gamma) == (180, 128, (100, 150), 0.1)
        assert (row.flip, row.crop, row.crop_scale, row.crop_ratio) == (0.5, "resized", (0.8, 1.0), (0.9, 1.1))
        assert row.mean == (0.49139968, 0.48215841, 0.44653091)
        assert row.std == (0.24703223, 0.24348513, 0.26158784)
        assert row.drop_last
        assert row.precision == "float32"


def test_the_papers_cifar_values() -> None:
    """Literal values of the papers and their authors' code, typed here a second time."""
    he, dense, slides = recipe("he_cifar"), recipe("densenet_cifar"), recipe("densenet_slides")
    for row in (he, dense, slides):
        assert (row.optimizer, row.lr, row.momentum, row.gamma) == ("sgd", 0.1, 0.9, 0.1)
        assert (row.image_size, row.crop, row.flip, row.drop_last) == (32, "pad4", 0.5, False)
    assert [row.batch_size for row in (he, dense, slides)] == [128, 64, 64]
    assert [row.weight_decay for row in (he, dense, slides)] == [1e-4, 1e-4, 0]
    assert [row.nesterov for row in (he, dense, slides)] == [False, True, False]
    assert (dense.epochs, dense.milestones) == (slides.epochs, slides.milestones) == (300, (150, 225))
    assert dense.mean == pytest.approx((0.4914, 0.4824, 0.4467), abs=5e-5)
    assert dense.std == pytest.approx((0.2471, 0.2435, 0.2616), abs=5e-5)
    batches = -(-45_000 // 128)  # he_cifar's epochs are the paper's iterations on 45,000 images, rounded
    iterations = (64_000, 32_000, 48_000)
    assert (he.epochs, *he.milestones) == tuple(round(count / batches) for count in iterations)


def test_nesterovs_step() -> None:
    """Two steps of lr 1 on a constant gradient of 1: v = 1, 1.9; the step is 1 + 0.9 v."""
    row = recipe("densenet_cifar").replaced(lr=1.0, weight_decay=0.0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer([parameter], row)
    for expected in (-1.9, -1.9 - 2.71):
        parameter.grad = torch.ones(1)
        optimizer.step()
        assert parameter.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "at least 1"),
        ("epochs", 2.5, "whole number"),
        ("epochs", True, "whole number"),
        ("batch_size", -3, "at least 1"),
        ("lr", 0.0, "above 0"),
        ("lr", -0.1, "above 0"),
        ("lr", 1000.0, "below 100"),
        ("lr", float("nan"), "finite"),
        ("lr", "fast", "must be a number"),
        ("optimizer", "sdg", "did you mean sgd"),
        ("schedule", "step", "all: constant, cosine"),
        ("precision", "fp8", "bf16"),
        ("flip", 1.5, "probability"),
        ("momentum", 0.9, "0 with optimizer=adamw"),
        ("nesterov", True, "false without momentum"),
        ("nesterov", 1, "nesterov"),
        ("milestones", (2,), "schedule=one_cycle"),
        ("milestones", (2, 5), "at most 4, the number of epochs"),
        ("epochs", 10**20, "at most 1,000,000"),
        ("weight_decay", -1.0, "at least 0"),
        ("image_size", 0, "1 to 4096"),
        ("mean", (0.5,), "belong together"),
        ("crop_scale", (0.9, 0.5), "rising"),
        ("crop_scale", (0.9, 1.5), "at most 1"),
        ("crop_ratio", (1.0,), "two positive"),
    ],
)
def test_values_that_make_no_sense(field: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(recipe("quick"), **{field: value})


def test_unknown_field_shows_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown recipe field 'wieght_decay'; did you mean weight_decay"):
        recipe("quick").replaced(wieght_decay=0.1)
    with pytest.raises(UsageError, match="did you mean batch_size"):
        with_settings(recipe("quick"), {"batchsize": "3"})


def test_unknown_recipe_shows_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean quick"):
        recipe("quik")


def test_a_changed_recipe_says_so() -> None:
    changed = recipe("quick").replaced(lr=0.01, epochs=2)
    assert changed.name == "quick[epochs=2,lr=0.01]"
    assert changed.expected == "not known: quick changed"
    short = recipe("uva_sgd").replaced(epochs=18)
    assert short.expected.endswith("milestones 100, 150 of 180 epochs became 10, 15 of 18")
    assert recipe("quick").replaced(epochs=recipe("quick").epochs) is recipe("quick")


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(10, (6, 8)), (18, (10, 15)), (90, (50, 75)), (1, (1,)), (2, (1, 2))]
)
def test_milestones_scale_with_the_epochs(epochs: int, milestones: tuple[int, ...]) -> None:
    assert recipe("uva_sgd").replaced(epochs=epochs).milestones == milestones


def test_explicit_milestones_are_kept() -> None:
    assert recipe("uva_sgd").replaced(epochs=10, milestones=(3,)).milestones == (3,)


def test_settings_from_text() -> None:
    changed = with_settings(recipe("uva_sgd"), {"milestones": "5,7", "mean": "none", "std": "none", "crop": "none"})
    assert (changed.milestones, changed.mean, changed.crop) == ((5, 7), None, "none")


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1e-3\ncrop_scale: [0.5, 1]\n")
    mine = recipe(str(path))
    assert (mine.name, mine.lr, mine.crop_scale, mine.epochs) == ("mine", 1e-3, (0.5, 1.0), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 3", "lacks batch_size, optimizer, lr"),
        ("epochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1\nlrr: 1", "did you mean lr"),
        ("- 1", "NAME: VALUE"),
        ("epochs: ten\nbatch_size: 16\noptimizer: adam\nlr: 1", "mine.yaml: epochs='ten'"),
        ("a: [", "cannot be read"),
        ("a: !!python/object/apply:os.getcwd []", "cannot be read"),
    ],
)
def test_unusable_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(path)


def learning_rates(row: Recipe, *, steps_an_epoch: int) -> list[float]:
    """The learning rate of every step."""
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], row)
    schedule = make_schedule(optimizer, row, steps=row.epochs * steps_an_epoch)
    rates = []
    for _ in range(row.epochs * steps_an_epoch):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_multi_step_falls_at_the_milestones() -> None:
    row = recipe("uva_sgd").replaced(epochs=6, milestones=(2, 4))
    assert learning_rates(row, steps_an_epoch=3) == pytest.approx([0.1] * 6 + [0.01] * 6 + [0.001] * 6)


def test_constant_stays() -> None:
    row = recipe("quick").replaced(schedule="constant", epochs=2)
    assert learning_rates(row, steps_an_epoch=2) == [row.lr] * 4


def test_cosine_falls_from_the_full_rate_towards_zero() -> None:
    rates = learning_rates(recipe("quick").replaced(schedule="cosine", epochs=2), steps_an_epoch=10)
    assert rates[0] == recipe("quick").lr
    assert rates[10] == pytest.approx(recipe("quick").lr / 2)
    assert rates[-1] < 0.01 * recipe("quick").lr


def test_no_schedule_touches_momentum() -> None:
    row = recipe("quick").replaced(optimizer="sgd", momentum=0.5)
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], row)
    schedule = make_schedule(optimizer, row, steps=10)
    for _ in range(9):
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["momentum"] == 0.5


def test_one_cycle_rises_then_falls() -> None:
    rates = learning_rates(recipe("quick").replaced(epochs=2), steps_an_epoch=10)
    peak = rates.index(max(rates))
    assert rates[0] == pytest.approx(recipe("quick").lr / 25)
    assert max(rates) == pytest.approx(recipe("quick").lr, rel=0.05)
    assert 4 <= peak <= 6
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({"optimizer": "sgd", "momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        ({"optimizer": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD, {"nesterov": True, "dampening": 0}),
        ({"optimizer": "sgd"}, torch.optim.SGD, {"nesterov": False, "momentum": 0.0}),
        ({"optimizer": "adam"}, torch.optim.Adam, {"weight_decay": 0.01}),
        ({"optimizer": "adamw"}, torch.optim.AdamW, {"weight_decay": 0.01}),
    ],
)
def test_optimizers(changes: dict[str, Any], kind: type, expected: dict[str, float]) -> None:
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], recipe("quick").replaced(**changes))
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected
