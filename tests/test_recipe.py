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
        ("milestones", (2,), "schedule=one_cycle"),
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
    assert changed.name == "quick[lr=0.01,epochs=2]"
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
        ({"optimizer": "adam"}, torch.optim.Adam, {"weight_decay": 0.01}),
        ({"optimizer": "adamw"}, torch.optim.AdamW, {"weight_decay": 0.01}),
    ],
)
def test_optimizers(changes: dict[str, Any], kind: type, expected: dict[str, float]) -> None:
    optimizer = make_optimizer([torch.nn.Parameter(torch.zeros(1))], recipe("quick").replaced(**changes))
    assert type(optimizer) is kind
    assert {key: optimizer.param_groups[0][key] for key in expected} == expected
