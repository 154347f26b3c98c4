"""BiT-HyperRule: its decisions on a grid of sizes, its rates, random crops, and epochs of a number of steps."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.complexity import meta_network
from convatlas.complexity.step import step_cost
from convatlas.data import load_data
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.batches.order import epoch_order
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.measure import workload
from convatlas.recipe import DataFacts, Recipe, RecipeRule, rate_factor, recipe, recipe_for, recipe_or_rule
from convatlas.request import Entry, Request
from convatlas.run import find_runs
from convatlas.study import compare
from convatlas.training import Plan, in_parts, make_plan, train_plan
from test_training import DIGITS, TINY, StopAt, assert_same, tiny_plan

COUNTS = (1, 50, 500, 5_000, 10_000, 19_999, 20_000, 20_001, 45_000, 50_000)
COUNTS += (100_000, 200_000, 499_999, 500_000, 500_001, 750_000, 1_000_000, 1_281_167, 5_000_000, 14_000_000)
SIZES = ((8, 8), (28, 28), (32, 32), (64, 64), (95, 97), (96, 96), (97, 95), (96, 97), (128, 128), (375, 500))
# The paper's and the code's numbers, typed here: steps of all, of warm-up, the last steps before a decay, mixup.
SMALL, MEDIUM, LARGE = (
    (500, 100, {"bit_hyperrule": (200, 300, 400), "bit_hyperrule_paper": (149, 299, 449)}, 0.0),
    (10_000, 500, {"bit_hyperrule": (3000, 6000, 9000), "bit_hyperrule_paper": (2999, 5999, 8999)}, 0.1),
    (20_000, 500, {"bit_hyperrule": (6000, 12_000, 18_000), "bit_hyperrule_paper": (5999, 11_999, 17_999)}, 0.1),
)


def made(name: str, count: int, size: tuple[int | None, int | None] = (32, 32)) -> Recipe:
    return recipe_for(name, DataFacts(images=count, height=size[0], width=size[1], classes=10))


@pytest.mark.parametrize("name", ["bit_hyperrule", "bit_hyperrule_paper"])
def test_the_rule_on_a_grid_of_200_sizes(name: str) -> None:
    assert len(COUNTS) * len(SIZES) == 200
    for count, size in itertools.product(COUNTS, SIZES):
        row, area = made(name, count, size), size[0] * size[1]
        steps, warmup, before, mixup = SMALL if count < 20_000 else MEDIUM if count < 500_000 else LARGE
        small = area < 9216 or (name == "bit_hyperrule_paper" and area == 9216)
        large = (512, 480) if name == "bit_hyperrule" else (448, 384)
        assert (row.images.shorter_side, row.images.image_size) == ((160, 128) if small else large), (count, size)
        found = (row.steps, row.schedule.warmup_steps, row.schedule.milestones, row.loss.mixup)
        assert found == (steps, warmup, tuple(step + 1 for step in before[name]), mixup), count


@pytest.mark.parametrize(("count", "task"), [(5_000, SMALL), (50_000, MEDIUM), (1_281_167, LARGE)])
def test_the_rate_of_every_step_is_that_of_the_released_code(count: int, task: Any) -> None:
    steps, warmup, before, _ = task
    row, last = made("bit_hyperrule", count), before["bit_hyperrule"]
    for step in range(0, steps, 7):
        expected = 0.003 * step / warmup if step < warmup else 0.003 / 10 ** sum(step > each for each in last)
        assert row.optimizer.lr * rate_factor(row, step, steps_per_epoch=25) == pytest.approx(expected, rel=1e-12)


def test_what_does_not_depend_on_the_data() -> None:
    row = made("bit_hyperrule", 50)
    assert (row.batch_size, row.epoch_steps, row.optimizer.kind, row.optimizer.momentum) == (512, 25, "sgd", 0.9)
    assert (row.optimizer.weight_decay, row.optimizer.nesterov, row.network.dropout) == (0.0, False, None)
    assert (row.images.mean, row.images.std, row.images.flip) == ((0.5,) * 3, (0.5,) * 3, 0.5)
    assert (row.images.fit, row.images.crop, row.images.interpolation) == ("squash", "random", "bilinear")
    for unknown in ((None, None), (None, 32), (32, None)):
        assert made("bit_hyperrule", 50, unknown).images.image_size == 480


# ------------------------------------------------------------------------------------------------------- random crops

CHOSEN = Preprocessing(6, (0.5,), (0.5,), shorter_side=9, fit="squash")
RANDOM = {"image_size": 6, "shorter_side": 9, "fit": "squash", "crop": "random", "batch_size": 64}


def test_a_random_part_is_cut_from_the_larger_square() -> None:
    row = recipe("quick").replaced(**RANDOM)
    batches = TrainingBatches(DIGITS.train, recipe=row, preprocessing=CHOSEN, num_classes=10, seed=3)
    images, _ = next(iter(batches))
    order = torch.randperm(len(DIGITS.train), generator=torch.Generator().manual_seed(3))
    larger = Preprocessing(9, (0.5,), (0.5,), fit="squash")(DIGITS.train.pixels[order[:64]])
    found = set()
    for image, square in zip(images, larger, strict=True):
        parts = {(r, c): square[:, r : r + 6, c : c + 6] for r, c in itertools.product(range(4), range(4))}
        places = [place for place, part in parts.items() if torch.equal(part, image)]
        assert places
        found |= set(places)
    assert len(found) > 10


def test_streamed_images_are_cut_at_random_too(tmp_path: Path) -> None:
    gradient = np.stack(np.broadcast_arrays(*np.ogrid[0:40:1, 0:80:2], 0), axis=2).astype(np.uint8)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(5):
            gradient[..., 2] = 10 * number + (name == "b")  # equal images would stay together
            Image.fromarray(gradient).save(tmp_path / name / f"{number}.png")
    data = load_data(f"folder:{tmp_path}")
    row = recipe("quick").replaced(**{**RANDOM, "batch_size": 4, "image_size": 20, "shorter_side": 40})
    chosen = Preprocessing(20, (0.0,) * 3, (1.0,) * 3, shorter_side=40, fit="squash")
    batches = TrainingBatches(data.train, recipe=row, preprocessing=chosen, num_classes=2, seed=0)
    images = list(batches)[0][0] * 255  # noqa: RUF015  (to the end, so that no thread is left)
    assert images.shape == (4, 3, 20, 20)
    tops, lefts = images[:, 0, 0, 0].round(), (images[:, 1, 0, 0] / 2).round()
    assert len(set(zip(tops.tolist(), lefts.tolist(), strict=True))) > 1
    rows = torch.arange(20.0).view(1, 20, 1)
    assert torch.allclose(images[:, 0], (tops.view(-1, 1, 1) + rows).expand(-1, -1, 20), atol=1)
    assert torch.equal(images, list(batches)[0][0] * 255)  # noqa: RUF015


def test_a_random_part_needs_the_larger_side() -> None:
    with pytest.raises(
        UsageError, match="crop=random makes no sense; it must be none, resized or pad4 without shorter"
    ):
        recipe("quick").replaced(crop="random")


# ---------------------------------------------------------------------------------------- epochs of a number of steps


def places(row: Recipe, seed: int = 0) -> torch.Tensor:
    return epoch_order(DIGITS.validation, row, generator=torch.Generator().manual_seed(seed))


def test_an_epoch_of_steps_repeats_the_images_as_often_as_it_needs() -> None:
    count = len(DIGITS.validation)
    assert sorted(places(recipe("quick")).tolist()) == list(range(count))
    counts = places(recipe("quick").replaced(epoch_steps=30)).bincount(minlength=count)
    assert (int(counts.sum()), int(counts.min()), int(counts.max())) == (30 * 32, 2, 3)


def test_a_batch_larger_than_the_set_is_drawn_with_replacement() -> None:
    row, count = recipe("quick").replaced(epoch_steps=3, batch_size=512), len(DIGITS.validation)
    for batch in torch.split(places(row), 512):
        assert len(batch) == 512
        assert len(batch.unique()) < count  # of 512 draws from 360 a quarter of the images is missing
    batches = TrainingBatches(
        DIGITS.validation, recipe=row, preprocessing=Preprocessing(8, (0.5,), (0.5,)), num_classes=10, seed=0
    )
    assert [len(images) for images, _ in batches] == [512, 512, 512]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_run_measures_after_its_steps_and_is_resumed(tmp_path: Path) -> None:
    small = {"epochs": None, "steps": 7, "epoch_steps": 3, "schedule": "constant", "batch_size": 2000}
    plan = tiny_plan(**small)
    assert any("each batch is drawn with replacement" in note for note in plan.notes)
    whole = train_plan(plan, folder=tmp_path / "whole")
    assert [row["epoch"] for row in whole.metrics()] == [1, 2, 3]
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(5))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_the_rule_trains_and_the_run_is_evaluated_as_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = "train resnet_uva --recipe bit_hyperrule -o depths=1,1,1 -o widths=8,8,16 --json --quiet"
    changes = [f"--set={each}" for each in ("steps=6", "epoch_steps=3", "batch_size=32", "image_size=8")]
    assert main([*words.split(), *changes]) == 0
    content = json.loads(capsys.readouterr().out)
    assert main(["evaluate", content["run"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == content["results"]["test_top1"]


# ---------------------------------------------------------------------------------------------------- parts of a batch


def plan_of_rule(**settings: Any) -> tuple[Plan, RecipeRule]:
    """A small network by the rule, on images of 16 pixels: batches of 512 all the same."""
    rule = recipe_or_rule("bit_hyperrule").replaced(image_size=16, **settings)
    assert isinstance(rule, RecipeRule)
    return make_plan(architecture("resnet_uva"), data=DIGITS, chosen=rule, seed=0, options=TINY), rule


def step_of(plan: Plan, images: int) -> int:
    """The bytes of a step of some images, and three whole batches of 512 at the 20 pixels before the crop."""
    network = meta_network(plan.architecture, num_classes=10, in_channels=1, **TINY)
    cost = step_cost(network, in_channels=1, image_size=16, batch_size=images, name="tiny")
    return cost.memory + 3 * 512 * 20 * 20 * 4


@pytest.mark.parametrize(("images", "parts"), [(512, 1), (256, 2), (64, 8), (2, 256), (1, 256)])
def test_a_batch_goes_through_in_parts_that_fit_the_memory(images: int, parts: int) -> None:
    plan, rule = plan_of_rule()
    found = in_parts(plan, rule, free=step_of(plan, images))
    assert found.recipe.optimizer.accumulate == parts
    assert (found.recipe.name, found.folder_name) == (plan.recipe.name, plan.folder_name)
    note = f"each batch of 512 images goes through the network in {parts} parts: at once it needs about"
    assert [line.startswith(note) for line in found.notes[len(plan.notes) :]] == [True] * (parts > 1)
    if parts < 256:  # a byte less, and it does not fit
        assert in_parts(plan, rule, free=step_of(plan, images) - 1).recipe.optimizer.accumulate == 2 * parts


def test_other_recipes_and_a_number_of_ones_own_stay() -> None:
    plan, rule = plan_of_rule(accumulate=2)
    assert in_parts(plan, rule, free=0) is plan
    assert in_parts(plan, plan.recipe, free=0) is plan


@pytest.mark.usefixtures("quick_runs")
def test_a_run_goes_on_in_the_parts_in_which_it_began(tmp_path: Path) -> None:
    """On a machine with more memory, or with less."""
    plan, rule = plan_of_rule(steps=4, epoch_steps=2, batch_size=64)
    four = in_parts(plan, rule, free=step_of(plan, 16) - 3 * 448 * 20 * 20 * 4)
    assert four.recipe.optimizer.accumulate == 4
    whole = train_plan(four, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(four, folder=tmp_path / "parts", progress=StopAt(3))
    larger, smaller = in_parts(plan, rule, free=1e12), in_parts(plan, rule, free=0)
    assert (larger.recipe.optimizer.accumulate, smaller.recipe.optimizer.accumulate) == (1, 32)
    resumed = train_plan(larger, folder=tmp_path / "parts", resume=True)
    assert resumed.record.recipe["accumulate"] == 4
    assert resumed.record.notes[-1] == "each batch of 64 images goes through the network in 4 parts, as the run began"
    assert_same(resumed, whole)
    assert train_plan(smaller, folder=tmp_path / "whole").record == whole.record  # it is loaded
    with pytest.raises(UsageError, match="accumulate 1 here, 4 there"):  # a number that somebody chose is another run
        train_plan(plan, folder=tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_study_goes_on_in_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"steps": 2, "epoch_steps": 2, "batch_size": 64, "image_size": 16}
    request = Request((Entry("resnet_uva", "bit_hyperrule"),), settings=settings, options=TINY)
    monkeypatch.setattr(workload, "free_memory", lambda: 0.0)
    compare(request, out=tmp_path / "study", quiet=True)
    monkeypatch.setattr(workload, "free_memory", lambda: 1e12)
    more = dataclasses.replace(request, seeds=(0, 1))
    compare(more, out=tmp_path / "study", resume=True, quiet=True)
    runs = find_runs(tmp_path / "study")
    assert [run.record.recipe["accumulate"] for run in runs] == [32, 32]


# ----------------------------------------------------------------------------------------------------------- the verb


def test_the_verb_says_what_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hyperrule", "--data", "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("recipe bit_hyperrule(steps=500,shorter_side=160,image_size=128,mixup=0): 500 steps")
    assert lines[1].startswith("1,077 training images, fewer than 20,000: a small task: steps 500, warmup steps 100")
    assert lines[2] == "8 x 8 pixels, a smaller area than 96 x 96: shorter side 160, image size 128"
    assert main(["hyperrule", "--data", "digits", "--rule", "bit_hyperrule_paper", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["decisions"][0]["fields"]["milestones"] == [150, 300, 450]
    assert content["recipe"]["image_size"] == 128


def test_bad_words_of_the_verb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    unlabelled = dataclasses.replace(DIGITS, train=dataclasses.replace(DIGITS.train, labels=None))
    for words, message in {
        "hyperrule": "Missing option '--data'.",
        "hyperrule --data digit": "did you mean digits?",
        "hyperrule --data digits --rule bit": "unknown rule 'bit'",
    }.items():
        assert main(words.split()) == 2
        assert message in capsys.readouterr().err
    monkeypatch.setattr("convatlas.data.load_data", lambda *_, **__: unlabelled)
    assert main(["hyperrule", "--data", "digits"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "convatlas: bit_hyperrule needs the class of each image; these images have no labels"
