"""A rule that makes a recipe from data: its name, its place among the recipes, and the run that it plans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.errors import UsageError
from convatlas.recipe import DataFacts, Recipe, RecipeRule, list_recipes, named, recipe, recipe_for, recipe_or_rule
from convatlas.request import Entry, Request
from convatlas.run import read_run
from convatlas.study import plan_study
from convatlas.training import choose_recipe, make_plan, train_plan

FACTS = DataFacts(images=45_000, height=32, width=48, classes=10)
SMALL = {"depths": (1, 1, 1), "widths": (8, 8, 16)}


def by_size(facts: DataFacts) -> Mapping[str, Any]:
    """More steps for more images, and larger images for larger ones."""
    large = facts.height is None or facts.width is None or facts.height * facts.width > 96 * 96
    length = {"epochs": None, "steps": facts.images // 100, "batch_size": 10 * facts.classes}
    return {**recipe("quick").flat(), **length, "image_size": 16 if large else 8}


TOY = RecipeRule("toy_rule", "invented for this test", "not known", ("steps", "image_size"), by_size)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule stands in the table of named recipes."""
    monkeypatch.setitem(named._BY_NAME, "toy_rule", TOY)


def test_the_name_says_the_rule_and_its_result() -> None:
    made = recipe_for("toy_rule", FACTS)
    assert isinstance(made, Recipe)
    assert (made.name, made.source, made.expected) == (
        "toy_rule(steps=450,image_size=8)",
        "invented for this test",
        "not known",
    )
    assert (made.steps, made.batch_size, made.optimizer) == (450, 100, recipe("quick").optimizer)
    for size in (97, None):  # None: images of many sizes
        assert recipe_for("toy_rule", DataFacts(500, size, size, 2)).name == "toy_rule(steps=5,image_size=16)"


def test_changes_are_made_to_the_result() -> None:
    made = TOY.replaced(lr=0.1).replaced(flip=0.5).recipe(FACTS)
    assert made.name == "toy_rule(steps=450,image_size=8)[lr=0.1,flip=0.5]"
    assert (made.optimizer.lr, made.images.flip) == (0.1, 0.5)
    assert made.expected == "not known: toy_rule(steps=450,image_size=8) changed"


def test_a_rule_has_a_name_among_the_recipes() -> None:
    assert "toy_rule" in list_recipes()
    assert recipe_or_rule("toy_rule") is TOY
    assert recipe_for("uva_sgd", FACTS) is recipe("uva_sgd")
    with pytest.raises(UsageError, match="toy_rule is a rule, which makes a recipe from a data set"):
        recipe("toy_rule")
    with pytest.raises(UsageError, match="unknown recipe 'toy_rul'; did you mean toy_rule"):
        recipe_for("toy_rul", FACTS)


def test_a_setting_is_checked_before_the_data_is_there() -> None:
    row = architecture("resnet_uva")
    with pytest.raises(UsageError, match="unknown recipe field 'lrr'"):
        choose_recipe(row, data="digits", name="toy_rule", settings={"lrr": "0.1"})
    with pytest.raises(UsageError, match="lr='fast' must be a number"):
        choose_recipe(row, data="digits", name="toy_rule", settings={"lr": "fast"})


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_run_keeps_the_literal_recipe(tmp_path: Path) -> None:
    """digits: 1,077 training images of 8 pixels, 10 classes; ten steps in one epoch."""
    chosen = choose_recipe(architecture("resnet_uva"), data="digits", name="toy_rule", settings={"lr": "0.01"})
    plan = make_plan(architecture("resnet_uva"), data=load_data("digits"), chosen=chosen, seed=0, options=SMALL)
    assert plan.recipe.name == "toy_rule(steps=10,image_size=8)[lr=0.01]"
    run = train_plan(plan, folder=tmp_path / "run")
    kept = read_run(run.path).record.recipe
    assert Recipe.of(**kept) == plan.recipe
    assert (kept["steps"], kept["image_size"], kept["lr"], kept["source"]) == (10, 8, 0.01, "invented for this test")
    assert train_plan(plan, folder=tmp_path / "run").record == run.record


def test_a_study_takes_a_rule(tmp_path: Path) -> None:
    entries = ["resnet_uva@toy_rule", "resnet_uva@quick"]
    members = plan_study(Request(tuple(map(Entry.parse, entries)), options=SMALL), out=tmp_path)
    assert [member.plan.recipe.name for member in members] == ["toy_rule(steps=10,image_size=8)", "quick"]
    assert members[0].folder.parent.name == "resnet_uva_depths=1,1,1,_widths=8,8,16_@toy_rule_steps=10,image_size=8"


@pytest.mark.slow
def test_the_command_line_lists_and_shows_a_rule(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "toy*", "--recipes"]) == 0
    assert "toy_rule: a rule, which decides steps, image_size by the data\n" in capsys.readouterr().out
    assert main(["list", "toy*", "--recipes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipes"][0]["decides"] == ["steps", "image_size"]
    words = ["data", "show", "digits", "--recipe", "toy_rule", "--json", "--out", str(tmp_path / "digits.png")]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["recipe"] == "toy_rule(steps=10,image_size=8)"
