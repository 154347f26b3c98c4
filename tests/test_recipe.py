"""Recipes: what they hold, what they refuse, how they change, and the learning rates that they give."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import convatlas
from convatlas.errors import UsageError
from convatlas.recipe import (
    RECIPES,
    Recipe,
    default_recipe,
    defaults,
    rate_factor,
    read_recipe,
    recipe,
    with_settings,
    write_recipe,
)
from convatlas.training.optimizers import make_optimizer

COSINE = {"schedule": "cosine"}
NINE = {"epochs": None, "steps": 9}


def test_every_recipe_names_source_and_expectation() -> None:
    for row in RECIPES:
        assert row.source
        assert row.expected


def test_the_tutorials_values() -> None:
    """Literal values of the tutorial, typed here a second time."""
    sgd, adam = recipe("uva_sgd"), recipe("uva_adam")
    assert (sgd.optimizer.kind, sgd.optimizer.lr, sgd.optimizer.momentum, sgd.optimizer.weight_decay) == (
        "sgd",
        0.1,
        0.9,
        1e-4,
    )
    assert (adam.optimizer.kind, adam.optimizer.lr, adam.optimizer.weight_decay) == ("adamw", 1e-3, 1e-4)
    for row in (sgd, adam):
        assert (row.epochs, row.batch_size, row.schedule.milestones, row.schedule.gamma) == (180, 128, (100, 150), 0.1)
        assert (row.images.flip, row.images.crop, row.images.crop_scale, row.images.crop_ratio) == (
            0.5,
            "resized",
            (0.8, 1.0),
            (0.9, 1.1),
        )
        assert row.images.mean == (0.49139968, 0.48215841, 0.44653091)
        assert row.images.std == (0.24703223, 0.24348513, 0.26158784)
        assert row.drop_last
        assert row.precision == "float32"


def test_the_papers_cifar_values() -> None:
    """Literal values of the papers and their authors' code, typed here a second time."""
    he, dense, slides = recipe("he_cifar"), recipe("densenet_cifar"), recipe("densenet_slides")
    for row in (he, dense, slides):
        assert (row.optimizer.kind, row.optimizer.lr, row.optimizer.momentum, row.schedule.gamma) == (
            "sgd",
            0.1,
            0.9,
            0.1,
        )
        assert (row.images.image_size, row.images.crop, row.images.flip, row.drop_last) == (32, "pad4", 0.5, False)
    assert [row.batch_size for row in (he, dense, slides)] == [128, 64, 64]
    assert [row.optimizer.weight_decay for row in (he, dense, slides)] == [1e-4, 1e-4, 0]
    assert [row.optimizer.nesterov for row in (he, dense, slides)] == [False, True, False]
    assert (dense.epochs, dense.schedule.milestones) == (slides.epochs, slides.schedule.milestones) == (300, (150, 225))
    assert dense.images.mean == pytest.approx((0.4914, 0.4824, 0.4467), abs=5e-5)
    assert dense.images.std == pytest.approx((0.2471, 0.2435, 0.2616), abs=5e-5)
    batches = -(-45_000 // 128)  # he_cifar's epochs are the paper's iterations on 45,000 images, rounded
    iterations = (64_000, 32_000, 48_000)
    assert (he.epochs, *he.schedule.milestones) == tuple(round(count / batches) for count in iterations)


def test_nesterovs_step() -> None:
    """Two steps of lr 1 on a constant gradient of 1: v = 1, 1.9; the step is 1 + 0.9 v."""
    row = recipe("densenet_cifar").replaced(lr=1.0, weight_decay=0.0)
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer(torch.nn.ParameterList([parameter]), row)
    for expected in (-1.9, -1.9 - 2.71):
        parameter.grad = torch.ones(1)
        optimizer.step()
        assert parameter.item() == pytest.approx(expected)


def test_imagenets_values() -> None:
    """Literal values of fb.resnet.torch, typed here a second time."""
    row = recipe("imagenet")
    optimizer, images = row.optimizer, row.images
    assert (row.epochs, row.batch_size, row.drop_last) == (90, 256, True)
    assert (optimizer.kind, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
    assert (optimizer.nesterov, optimizer.weight_decay_on) == (True, "all")
    assert [rate_factor(row, 10 * epoch, steps_per_epoch=10) for epoch in (0, 29, 30, 59, 60, 89)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    assert (images.image_size, images.shorter_side, images.jitter, images.hue, images.flip) == (224, 256, 0.4, 0, 0.5)
    assert (images.crop, images.crop_scale, images.crop_ratio) == ("resized", (0.08, 1.0), (3 / 4, 4 / 3))
    assert (images.mean, images.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


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
        ("schedule", "steps", "did you mean step"),
        ("precision", "fp8", "bf16"),
        ("flip", 1.5, "probability"),
        ("jitter", 1.5, "0 to 1"),
        ("hue", 0.6, "0 to 0.5, half of the circle of colours"),
        ("sampling", "even", "all: balanced, shuffled"),
        ("shorter_side", 15, "shorter_side=15 makes no sense; it must be at least 16, the image's size"),
        ("momentum", 0.9, "0 with optimizer=adamw"),
        ("nesterov", True, "false without the momentum of sgd or muon"),
        ("nesterov", 1, "nesterov"),
        ("milestones", (2,), "schedule=one_cycle"),
        ("milestones", (2,), "empty with schedule=one_cycle, which has none"),
        ("decay_epochs", 2.0, "none with schedule=one_cycle, which has none"),
        ("patience", 2, "none with schedule=one_cycle, which has none"),
        ("schedule", "multi_step", "milestones=none makes no sense; it must be given with schedule=multi_step"),
        ("schedule", "step", "decay_epochs=none makes no sense; it must be given with schedule=step"),
        ("schedule", "plateau", "patience=none makes no sense; it must be given with schedule=plateau"),
        ("gamma", 0.5, "left out with schedule=one_cycle, which does not use it"),
        ("warmup_epochs", 1.0, "0 with schedule=one_cycle, which rises by itself"),
        ("warmup_epochs", -1.0, "at least 0"),
        ("warmup_lr", 0.01, "0 without warmup_epochs"),
        ("warmup", "constant", "linear without warmup_epochs"),
        ("rms_decay", 0.9, "none with optimizer=adamw"),
        ("lr_scales", ("head",), "NAME=FACTOR, of factors above 0 and at most 1000, such as stem=0.1,head=10"),
        ("lr_scales", ("head=10", "stem=0"), "NAME=FACTOR, of factors above 0"),
        ("lr_scales", ("head=nan",), "NAME=FACTOR, of factors above 0"),
        ("lr_scales", ("head=ten",), "NAME=FACTOR, of factors above 0"),
        ("lr_scales", ("=10",), "NAME=FACTOR, of factors above 0"),
        ("lr_scales", ("head=10", "head=5"), "each name once"),
        ("lr_scales", "head=10", "must be a tuple"),
        ("epsilon", 0.0, "above 0"),
        ("weight_decay_on", "biases", "all, weights"),
        ("accumulate", 5, "a divisor of batch_size=32"),
        ("accumulate", 0, "at least 1"),
        ("clip_norm", 0.0, "above 0"),
        ("ema", 1.0, "below 1"),
        ("label_smoothing", 1.0, "below 1"),
        ("mixup", -0.1, "0 to 100"),
        ("cutmix", float("inf"), "finite"),
        ("class_weights", "equal", "balanced, none"),
        ("cutout", 17, "at most 16, the image's size"),
        ("rand_augment", 2, "belong together"),
        ("rand_magnitude", 9.0, "belong together"),
        ("rand_augment", 15, "0 to 14 operations"),
        ("dropout", 1.0, "probability below 1"),
        ("stochastic_depth", -0.2, "probability below 1"),
        ("auxiliary_weight", -0.4, "0 to 100"),
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
        recipe("quick").with_values(**{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "multi_step", "milestones": (2, 5)}, "at most 4, the number of epochs"),
        ({"schedule": "multi_step", "milestones": (2, 1)}, "rising epochs"),
        ({"schedule": "step", "decay_epochs": 1.0, "patience": 2}, "patience=2 makes no sense; it must be none with"),
        ({"schedule": "cosine", "warmup_epochs": 4.0}, "below 4, all epochs"),
        ({"schedule": "cosine", "warmup_epochs": 1.0, "warmup": "constant"}, "warmup_lr=0 makes no sense; it must be"),
        ({"optimizer": "rmsprop", "nesterov": True, "momentum": 0.9}, "false without the momentum of sgd or muon"),
        (
            {"crop": "pad4", "crop_scale": (0.5, 1.0)},
            "crop_scale=0.5[+]1 makes no sense; it must be left out with crop=pad4",
        ),
        (
            {"crop": "none", "crop_ratio": (0.5, 1.0)},
            "crop_ratio=0.5[+]1 makes no sense; it must be left out with crop=none",
        ),
        ({"optimizer": "muon"}, "momentum=0 makes no sense; it must be above 0 with optimizer=muon"),
        ({"weight_decay": 0.0, "weight_decay_on": "weights"}, "all without weight_decay"),
        (
            {"steps": 9},
            r"epochs=4 and steps=9 of recipe quick\[steps=9\] do not go together: give one of them, and none",
        ),
        ({"epochs": None}, "epochs=none and steps=none of recipe .* do not go together: give one of them"),
        ({"epochs": None, "steps": 0}, "steps=0 makes no sense; it must be at least 1"),
        ({"epochs": None, "steps": 9.0}, "steps=9.0 must be a whole number"),
        ({**COSINE, "warmup_steps": 2}, "warmup_steps=2 makes no sense; it must be 0 in a recipe that counts epochs"),
        ({**COSINE, **NINE, "warmup_epochs": 2.0}, "warmup_epochs=2 makes .* be 0 in a recipe that counts steps"),
        ({**COSINE, **NINE, "warmup_steps": 9}, "warmup_steps=9 makes no sense; it must be below 9, all steps"),
        ({**COSINE, **NINE, "warmup_lr": 0.1}, "0 without warmup_steps"),
        ({**NINE, "warmup_steps": 2}, "warmup_steps=2 makes no sense; it must be 0 with schedule=one_cycle"),
        ({"schedule": "step", "decay_steps": 2}, "decay_steps=2 makes .* be none in a recipe that counts epochs"),
        ({"schedule": "step", **NINE}, "decay_steps=none makes no sense; it must be given with schedule=step"),
        ({**NINE, "decay_steps": 3}, "decay_steps=3 makes no sense; it must be none with schedule=one_cycle"),
        ({"schedule": "multi_step", **NINE, "milestones": (3, 10)}, "at most 9, the number of steps"),
        ({"schedule": "plateau", **NINE, "patience": 2}, "steps=9 makes .* none with schedule=plateau, which counts"),
    ],
)
def test_fields_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        recipe("quick").replaced(**changes)


def test_a_recipe_is_made_from_flat_names_and_read_by_groups() -> None:
    words = {"name": "mine", "source": "ours", "expected": "?"}
    mine = Recipe(**words, epochs=3, batch_size=16, optimizer="adam", lr=0.1, flip=0.5, mixup=0.2, dropout=0.1)
    assert (mine.optimizer.kind, mine.images.flip, mine.loss.mixup, mine.network.dropout) == ("adam", 0.5, 0.2, 0.1)
    assert (mine.schedule.kind, mine.drop_last, mine.steps) == ("constant", True, None)
    assert mine.flat() == {**mine.flat(), **words, "optimizer": "adam", "schedule": "constant", "flip": 0.5}
    assert Recipe(**mine.flat()) == mine
    assert convatlas.Recipe is Recipe
    with pytest.raises(UsageError, match="the recipe lacks batch_size, optimizer"):
        Recipe(**words, epochs=3, lr=0.1)
    with pytest.raises(UsageError, match="unknown recipe field 'filp'; did you mean flip"):
        Recipe(**mine.flat(), filp=0.5)


def test_a_recipe_goes_through_json() -> None:
    for row in RECIPES:
        assert Recipe.of(**json.loads(json.dumps(row.flat()))) == row
        assert {**defaults(), **json.loads(json.dumps(row.flat()))} == json.loads(json.dumps(row.flat()))
    old = {name: value for name, value in recipe("uva_sgd").flat().items() if name not in ("steps", "decay_steps")}
    assert Recipe.of(**old) == recipe("uva_sgd")


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
    assert recipe("uva_sgd").replaced(epochs=epochs).schedule.milestones == milestones


def test_decay_and_warm_up_scale_with_the_epochs() -> None:
    short = recipe("efficientnet").replaced(epochs=35)
    assert (short.schedule.decay_epochs, short.schedule.warmup_epochs) == (pytest.approx(0.24), pytest.approx(0.5))
    assert short.expected.endswith(
        "decay epochs 2.4 of 350 epochs became 0.24 of 35; warmup epochs 5 of 350 epochs became 0.5 of 35"
    )


def test_what_counts_steps_scales_with_the_steps() -> None:
    changes = {"epochs": None, "steps": 1000, "schedule": "multi_step", "milestones": (500, 750), "warmup_steps": 100}
    row = recipe("quick").replaced(**changes)
    short = row.replaced(steps=9)
    assert (short.steps, short.schedule.milestones, short.schedule.warmup_steps) == (9, (4, 7), 1)
    assert short.expected.endswith(
        "milestones 500, 750 of 1000 steps became 4, 7 of 9; warmup steps 100 of 1000 steps became 1 of 9"
    )
    with pytest.raises(UsageError, match="steps=True must be a whole number of at least 1"):
        row.replaced(steps=True)


def test_milestones_do_not_change_their_unit_unseen() -> None:
    with pytest.raises(
        UsageError, match=r"milestones=100\+150 of recipe uva_sgd count epochs; give them in the new unit"
    ):
        recipe("uva_sgd").replaced(epochs=None, steps=63_000)
    changed = recipe("uva_sgd").replaced(epochs=None, steps=63_000, milestones=(35_000, 52_000))
    assert changed.summary().startswith(
        "uva_sgd[epochs=none,steps=63000,milestones=35000+52000]: 63000 steps of batches"
    )


def test_a_warm_up_stays_the_same_part_where_the_unit_changes() -> None:
    """`semi --method meta_pseudo_labels --epochs 61` was refused for a warm-up that the user had not named."""
    row = recipe("meta_pseudo_labels").replaced(steps=None, epochs=61)
    assert (row.schedule.warmup_steps, row.schedule.warmup_epochs) == (0, pytest.approx(61 * 5000 / 305_000))
    back = row.replaced(epochs=None, steps=30_500)
    assert (back.schedule.warmup_steps, back.schedule.warmup_epochs) == (500, 0)
    kept = recipe("meta_pseudo_labels").replaced(steps=None, epochs=61, warmup_steps=0, warmup_epochs=2.0)
    assert kept.schedule.warmup_epochs == 2.0


def test_explicit_milestones_are_kept() -> None:
    assert recipe("uva_sgd").replaced(epochs=10, milestones=(3,)).schedule.milestones == (3,)


def test_settings_from_text() -> None:
    changed = with_settings(recipe("uva_sgd"), {"milestones": "5,7", "mean": "none", "std": "none", "crop": "none"})
    assert (changed.schedule.milestones, changed.images.mean, changed.images.crop) == ((5, 7), None, "none")


def test_scales_of_the_rate_from_text(tmp_path: Path) -> None:
    changed = with_settings(recipe("quick"), {"lr_scales": "stem=0.1, head=10"})
    assert changed.optimizer.scales() == {"stem": 0.1, "head": 10.0}
    assert changed.name == "quick[lr_scales=stem=0.1+head=10]"
    path = tmp_path / "mine.yaml"
    path.write_text(write_recipe(changed))
    assert read_recipe(path).optimizer.lr_scales == ("stem=0.1", "head=10")
    path.write_text("epochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1e-3\nlr_scales: [head=10, stage1.0=0.3]\n")
    assert read_recipe(path).optimizer.scales() == {"head": 10.0, "stage1.0": 0.3}


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("epochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1e-3\ncrop: resized\ncrop_scale: [0.5, 1]\n")
    mine = recipe(str(path))
    assert (mine.name, mine.optimizer.lr, mine.images.crop_scale, mine.epochs) == ("mine", 1e-3, (0.5, 1.0), 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: 3", "lacks batch_size, optimizer, lr; `base: NAME` takes them from another recipe"),
        ("base: uva_sg", "unknown base in .*mine.yaml 'uva_sg'; did you mean uva_sgd"),
        ("base: mine.yaml", "unknown base"),
        ("base: uva_sgd\nlrr: 1", "did you mean lr"),
        ("base: uva_sgd\nepochs: none\nsteps: 100", "mine.yaml: milestones=.* give them in the new unit too"),
        ("epochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1\nlrr: 1", "did you mean lr"),
        ("- 1", "NAME: VALUE"),
        ("epochs: ten\nbatch_size: 16\noptimizer: adam\nlr: 1", "mine.yaml: epochs='ten'"),
        ("a: [", "cannot be read"),
        ("a: !!python/object/apply:os.getcwd []", "line 1 of the recipe .* has the tag"),
        ("epochs: !!int 3\nlr: 1", "line 1 of the recipe .* has the tag"),
        ("lr: 0.01\n<<: {lr: 3}", "nested"),
        ("epochs: 1:30\nbatch_size: 16\noptimizer: adam\nlr: 1", "epochs='1:30' must be a whole number"),
        ("epochs: 0x10\nbatch_size: 16\noptimizer: adam\nlr: 1", "epochs='0x10' must be a whole number"),
        ("nesterov: yes\nepochs: 3\nbatch_size: 16\noptimizer: adam\nlr: 1", "nesterov='yes' must be true or false"),
        ("crop_scale: [[0.5], 1]", "line 1 of the recipe .* is nested"),
        ("? [a]\n: 1", "NAME: VALUE"),
        ("lr: &a 1\nepochs: *a", "line 1 of the recipe .* has the anchor 'a'; write the value itself"),
        ("a: &a [1]\nb: &b [*a, *a]", "anchor"),
        ("schedule: cosine\nlr: 0.1\nschedule: step", "has schedule twice"),
        ("lr: " + "[" * 19_000, "nested"),
        ("# " + "x" * 20_000, "more than 20,000 bytes"),
    ],
)
def test_unusable_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_recipe(path)


def test_a_file_with_a_base_has_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "shorter.yaml"
    path.write_text("base: uva_sgd\nepochs: 18\nmixup: 0.2\n")
    mine, base = recipe(str(path)), recipe("uva_sgd")
    assert (mine.name, mine.source, mine.expected) == ("shorter", f"{path}, from uva_sgd", "not known")
    assert mine.schedule.milestones == (10, 15)  # as with --epochs 18
    differing = {name for name, value in mine.flat().items() if value != base.flat()[name]}
    assert differing == {"name", "source", "expected", "epochs", "milestones", "mixup"}
    path.write_text("base: uva_sgd\nepochs: 18\nmilestones: 2,3\nexpected: much\nname: mine\n")
    assert (recipe(str(path)).schedule.milestones, recipe(str(path)).expected) == ((2, 3), "much")
    assert recipe(str(path)).name == "mine"


def test_the_page_of_recipes_shows_files_that_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "recipes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    read = []
    for number, block in enumerate(blocks):
        path = tmp_path / f"mine{number}.yaml"
        path.write_text(block)
        read.append(recipe(str(path)))
    assert len(read) == 2
    assert write_recipe(recipe("quick")) == blocks[1]
    assert (read[0].epochs, read[0].loss.mixup, read[0].optimizer.kind) == (60, 0.2, "sgd")


def test_another_image_size_scales_the_shorter_side(tmp_path: Path) -> None:
    imagenet = recipe("imagenet")
    small = imagenet.replaced(image_size=64)
    assert (small.name, small.images.shorter_side) == ("imagenet[image_size=64]", 73)
    assert small.expected == "not known: imagenet changed; shorter side 256 became 73"
    assert imagenet.replaced(image_size=240, shorter_side=256).images.shorter_side == 256  # the value that was given
    assert imagenet.replaced(image_size=None).images.shorter_side is None
    with pytest.raises(UsageError, match="shorter_side=256 makes no sense; it must be none without image_size"):
        imagenet.with_values(image_size=None)
    path = tmp_path / "mine.yaml"
    path.write_text("base: imagenet\nimage_size: 112\n")
    assert recipe(str(path)).images.shorter_side == 128


def test_milestones_that_are_given_are_not_scaled() -> None:
    row = recipe("uva_sgd")
    assert row.replaced(epochs=360, milestones=row.schedule.milestones).schedule.milestones == (100, 150)


def test_the_summary_shows_fields_of_value_1() -> None:
    assert "cutmix 1," in recipe("uva_sgd").replaced(cutmix=1.0).summary()


def test_a_recipe_that_nobody_names_is_the_datas_then_the_networks() -> None:
    kinds = ("folder:photos", "folder:C:\\photos")
    assert [default_recipe(data, "uva_sgd") for data in ("digits", *kinds)] == ["quick", "photographs", "photographs"]
    assert [default_recipe("cifar10", published) for published in ("uva_sgd", None)] == ["uva_sgd", "uva_adam"]


def test_every_recipe_is_the_same_from_yaml(tmp_path: Path) -> None:
    for row in RECIPES:
        path = tmp_path / "written.yaml"
        path.write_text(write_recipe(row), encoding="utf-8")
        assert read_recipe(path) == row


# ------------------------------------------------------------------------------------------------------ learning rates


def learning_rates(row: Recipe, *, steps_per_epoch: int) -> list[float]:
    """The learning rate of every step."""
    steps = range(row.total_steps(steps_per_epoch))
    return [row.optimizer.lr * rate_factor(row, step, steps_per_epoch=steps_per_epoch) for step in steps]


def test_multi_step_falls_at_the_milestones() -> None:
    row = recipe("uva_sgd").replaced(epochs=6, milestones=(2, 4))
    assert learning_rates(row, steps_per_epoch=3) == pytest.approx([0.1] * 6 + [0.01] * 6 + [0.001] * 6)


def test_step_falls_every_so_many_epochs() -> None:
    row = recipe("uva_sgd").replaced(schedule="step", milestones=(), epochs=4, decay_epochs=1.5, gamma=0.5)
    assert learning_rates(row, steps_per_epoch=2) == pytest.approx([0.1] * 3 + [0.05] * 3 + [0.025] * 2)


@pytest.mark.parametrize("decay_epochs", [2.4, 0.3, 0.7])
def test_step_falls_on_time_where_fractions_round(decay_epochs: float) -> None:
    row = recipe("uva_sgd").replaced(schedule="step", milestones=(), epochs=24, decay_epochs=decay_epochs, gamma=0.5)
    rates = learning_rates(row, steps_per_epoch=10)
    each = round(decay_epochs * 10)
    assert rates == pytest.approx([0.1 * 0.5 ** (step // each) for step in range(240)])


def test_exponential_is_the_step_schedule_without_steps() -> None:
    row = recipe("uva_sgd").replaced(schedule="exponential", milestones=(), epochs=4, decay_epochs=2.0, gamma=0.25)
    assert learning_rates(row, steps_per_epoch=2) == pytest.approx([0.1 * 0.5 ** (step / 2) for step in range(8)])


def test_constant_stays() -> None:
    row = recipe("quick").replaced(schedule="constant", epochs=2)
    assert learning_rates(row, steps_per_epoch=2) == [row.optimizer.lr] * 4


@pytest.mark.parametrize("warmup_epochs", [0.0, 0.5])
def test_cosine_falls_from_the_full_rate_to_zero_over_what_the_warm_up_leaves(warmup_epochs: float) -> None:
    row = recipe("quick").replaced(schedule="cosine", epochs=2, warmup_epochs=warmup_epochs)
    warmup = round(10 * warmup_epochs)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=row.optimizer.lr)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20 - warmup)
    for rate in learning_rates(row, steps_per_epoch=10)[warmup:]:
        assert rate == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize("steps_per_epoch", [1, 2, 10, 33])
def test_one_cycle_is_torchs(steps_per_epoch: int) -> None:
    row = recipe("quick").replaced(epochs=3)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=row.optimizer.lr)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, row.optimizer.lr, total_steps=3 * steps_per_epoch, cycle_momentum=False
    )
    for step, rate in enumerate(learning_rates(row, steps_per_epoch=steps_per_epoch)):
        assert rate == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        if step < 3 * steps_per_epoch - 1:
            torchs.step()


@pytest.mark.parametrize(("epochs", "warmup_epochs"), [(1, 0.99), (4, 3.99)])
def test_cosine_after_a_warm_up_that_rounds_to_all_steps(epochs: int, warmup_epochs: float) -> None:
    row = recipe("quick").replaced(schedule="cosine", epochs=epochs, warmup_epochs=warmup_epochs)
    rates = learning_rates(row, steps_per_epoch=10)
    assert rates == sorted(rates)
    assert rate_factor(row, 10 * epochs, steps_per_epoch=10) == 1  # asked for once after the last step


def test_linear_warm_up_rises_to_the_rate() -> None:
    row = recipe("uva_sgd").replaced(schedule="constant", milestones=(), epochs=2, warmup_epochs=1.0, warmup_lr=0.02)
    assert learning_rates(row, steps_per_epoch=4) == pytest.approx([0.02, 0.04, 0.06, 0.08] + [0.1] * 4)


def test_constant_warm_up_stays_below() -> None:
    """He et al.'s, with milestones that count from the beginning."""
    row = recipe("uva_sgd").replaced(epochs=3, milestones=(2,), warmup_epochs=0.5, warmup="constant", warmup_lr=0.01)
    assert learning_rates(row, steps_per_epoch=2) == pytest.approx([0.01] + [0.1] * 3 + [0.01] * 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "constant"},
        {"schedule": "cosine"},
        {"schedule": "one_cycle"},
        {"schedule": "cosine", "warmup_epochs": 1.0, "warmup_lr": 0.001},
        {
            "schedule": "multi_step",
            "milestones": (2, 3),
            "warmup_epochs": 1.0,
            "warmup": "constant",
            "warmup_lr": 0.001,
        },
        {"schedule": "step", "decay_epochs": 2.0},
        {"schedule": "exponential", "decay_epochs": 2.0},
    ],
)
def test_steps_are_epochs_counted_otherwise(changes: dict[str, Any]) -> None:
    """Four epochs of seven steps, and 28 steps, have the same rates, however long an epoch is."""
    epochs = recipe("quick").replaced(**changes)
    counted = {
        "milestones": tuple(7 * milestone for milestone in changes.get("milestones", ())),
        "warmup_steps": round(7 * changes.get("warmup_epochs", 0)),
        "decay_steps": 14 if "decay_epochs" in changes else None,
    }
    others = {name: value for name, value in changes.items() if name not in ("warmup_epochs", "decay_epochs")}
    steps = recipe("quick").replaced(**{**others, **counted, "epochs": None, "steps": 28})
    expected = learning_rates(epochs, steps_per_epoch=7)
    assert len(expected) == 28
    for steps_per_epoch in (7, 10, 100):
        assert learning_rates(steps, steps_per_epoch=steps_per_epoch) == pytest.approx(expected, rel=1e-12)


def test_steps_fill_epochs_and_cut_the_last_one_short() -> None:
    row = recipe("quick").replaced(epochs=None, steps=25)
    assert (row.total_steps(10), row.epoch_count(10), row.epoch_count(25), row.epoch_count(26)) == (25, 3, 1, 1)
    assert [row.steps_in_epoch(epoch, 10) for epoch in range(4)] == [10, 10, 5, 0]
    assert (recipe("quick").total_steps(10), recipe("quick").epoch_count(10)) == (40, 4)
    assert [recipe("quick").steps_in_epoch(epoch, 10) for epoch in range(5)] == [10, 10, 10, 10, 0]


def test_a_single_step_has_a_rate() -> None:
    for schedule in ("constant", "cosine", "one_cycle"):
        row = recipe("quick").replaced(schedule=schedule, epochs=1)
        assert learning_rates(row, steps_per_epoch=1)[0] > 0


def test_the_papers_imagenet_values() -> None:
    """Literal values of the papers, typed here a second time."""
    inception, efficient = recipe("inception_v3"), recipe("efficientnet")
    for row in (inception, efficient):
        assert (row.optimizer.kind, row.optimizer.rms_decay, row.schedule.kind) == ("rmsprop", 0.9, "step")
        assert row.loss.label_smoothing == 0.1
    assert (
        inception.optimizer.lr,
        inception.optimizer.epsilon,
        inception.schedule.gamma,
        inception.schedule.decay_epochs,
    ) == (0.045, 1.0, 0.94, 2.0)
    assert (inception.optimizer.momentum, efficient.optimizer.momentum) == (0.0, 0.9)
    assert (inception.optimizer.clip_norm, inception.epochs, inception.images.image_size) == (2.0, 100, 299)
    assert (efficient.optimizer.lr, efficient.batch_size, efficient.optimizer.epsilon) == (0.256, 4096, 1e-3)
    assert (efficient.schedule.gamma, efficient.schedule.decay_epochs, efficient.schedule.warmup_epochs) == (
        0.97,
        2.4,
        5.0,
    )
    assert (efficient.optimizer.weight_decay, efficient.optimizer.weight_decay_on, efficient.optimizer.ema) == (
        1e-5,
        "weights",
        0.9999,
    )
