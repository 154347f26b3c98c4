"""What each field of a recipe does in training: averages, clipping, parts of a batch, losses, plateaus, options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import epoch_seed
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryLogits
from convatlas.prediction import open_predictor
from convatlas.progress import Job, Silent
from convatlas.recipe import Recipe, recipe
from convatlas.run import Run
from convatlas.training import make_plan, train_plan
from convatlas.training.averaging import MovingAverage
from convatlas.training.loss import TrainingLoss, classes_of
from test_training import StopAt, assert_same, facts, tiny_plan

pytestmark = pytest.mark.usefixtures("quick_runs")

DIGITS = load_data("digits")
LINEAR = (
    "from torch import nn\n"
    "def net(*, num_classes=10, in_channels=1):\n"
    "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))\n"
)


def state(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(run.last_checkpoint, weights_only=True)["state_dict"]


def linear_run(folder: Path, **changes: Any) -> Run:
    """Two epochs of four steps of one linear layer, without norms, whose arithmetic does not depend on the batch."""
    folder.mkdir()
    (folder / "own.py").write_text(LINEAR)
    values = {"epochs": 2, "batch_size": 256, "image_size": 8, "schedule": "constant", **changes}
    chosen = recipe("quick").replaced(**values)
    plan = make_plan(architecture(f"{folder / 'own.py'}:net"), data=DIGITS, chosen=chosen, seed=0)
    return train_plan(plan, folder=folder / "run")


# ------------------------------------------------------------------------------------------------------ moving average


def test_the_average_follows_slowly_after_a_quick_start() -> None:
    """min(decay, (1 + n) / (10 + n)) is kept at step n, and the first update copies."""
    network = nn.Linear(1, 1, bias=False)
    average = MovingAverage(network, decay=0.3)
    expected = 0.0
    for step, value in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 32.0)):
        nn.init.constant_(network.weight, value)
        average.update_parameters(network)
        kept = min(0.3, (1 + step) / (10 + step))
        expected = value if step == 0 else kept * expected + (1 - kept) * value
        assert next(average.module.parameters()).item() == pytest.approx(expected)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm2d(1, momentum=None)
    average = MovingAverage(network, decay=0.5)
    for value in (0.0, 1.0, 5.0):
        network(torch.full((2, 1, 2, 2), value))
        average.update_parameters(network)
    assert average.module.num_batches_tracked == network.num_batches_tracked == 3
    assert 0 < average.module.running_mean.item() < network.running_mean.item()


def test_an_average_that_is_loaded_goes_on_from_its_step() -> None:
    """Also where it followed another network before."""
    network = nn.Linear(1, 1)
    averages = [MovingAverage(network, decay=0.999) for _ in range(2)]
    for value in range(20):
        nn.init.constant_(network.weight, value)
        averages[0].update_parameters(network)
    averages[1].update_parameters(network)
    averages[1].load_state_dict(averages[0].state_dict())
    nn.init.constant_(network.weight, 99)
    for average in averages:
        average.update_parameters(network)
    assert torch.equal(averages[0].module.weight, averages[1].module.weight)
    assert averages[0].n_averaged == averages[1].n_averaged == 21


@pytest.mark.slow
def test_the_average_is_what_is_validated_tested_and_loaded(tmp_path: Path) -> None:
    run = train_plan(tiny_plan(ema=0.9), folder=tmp_path / "run")
    own, average = (
        {key.removeprefix(prefix): tensor for key, tensor in state(run).items() if key.startswith(prefix)}
        for prefix in ("network.", "ema_network.module.")
    )
    assert own.keys() == average.keys()
    assert not torch.equal(own["head.fc.weight"], average["head.fc.weight"])
    best = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    predictor = open_predictor(run.best_checkpoint)
    assert torch.equal(predictor.network.state_dict()["head.fc.weight"], best["ema_network.module.head.fc.weight"])
    logits = predictor.logits(DIGITS.test.pixels)
    assert np.array_equal(run.predictions()["test_logits"], logits.numpy())
    top1 = (run.predictions()["val_logits"].argmax(1) == run.predictions()["val_labels"]).mean()
    assert run.results["val_top1"] == pytest.approx(top1)
    assert run.results["val_top1"] in [row["val_top1"] for row in run.metrics()]


@pytest.mark.slow
def test_the_average_is_exact_under_resume(tmp_path: Path) -> None:
    plan = tiny_plan(ema=0.9, mixup=0.2, cutmix=1.0, label_smoothing=0.1, cutout=2, clip_norm=0.5, accumulate=2)
    whole = train_plan(plan, folder=tmp_path / "whole")
    for step in (5, 8):
        folder = tmp_path / f"stopped{step}"
        with pytest.raises(KeyboardInterrupt):
            train_plan(plan, folder=folder, progress=StopAt(step))
        assert_same(train_plan(plan, folder=folder, resume=True), whole)


@pytest.mark.slow
def test_balanced_sampling_and_jitter_are_exact_under_resume(tmp_path: Path) -> None:
    plan = tiny_plan(sampling="balanced", jitter=0.4, hue=0.1)
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "stopped", progress=StopAt(5))
    assert_same(train_plan(plan, folder=tmp_path / "stopped", resume=True), whole)


# ---------------------------------------------------------------------------------------------------------------- steps


@pytest.mark.slow
def test_a_recipe_in_steps_cuts_its_last_epoch_short(tmp_path: Path) -> None:
    """An epoch has four steps: ten steps are two epochs and a half, of which two are those of a recipe in epochs."""
    constant = {"schedule": "constant"}
    run = train_plan(tiny_plan(epochs=None, steps=10, **constant), folder=tmp_path / "steps")
    checkpoint = torch.load(run.last_checkpoint, weights_only=True)
    assert (checkpoint["step"], checkpoint["epoch"]) == (10, 2)
    assert facts(run)[:2] == facts(train_plan(tiny_plan(epochs=2, **constant), folder=tmp_path / "epochs"))
    assert len(facts(run)) == 3
    assert (run.record.recipe["epochs"], run.record.recipe["steps"]) == (None, 10)


@pytest.mark.slow
def test_steps_are_exact_under_resume(tmp_path: Path) -> None:
    plan = tiny_plan(epochs=None, steps=10)
    whole = train_plan(plan, folder=tmp_path / "whole")
    for step in (5, 9):
        folder = tmp_path / f"stopped{step}"
        with pytest.raises(KeyboardInterrupt):
            train_plan(plan, folder=folder, progress=StopAt(step))
        begun = Begun()
        assert_same(train_plan(plan, folder=folder, resume=True, progress=begun), whole)
        assert (begun.steps, begun.first_epoch, begun.first_step) == (10, step // 4, 4 * (step // 4))


class Begun(Silent):
    """Keeps what a display is told at the beginning."""

    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None:
        self.steps, self.first_epoch, self.first_step = steps, first_epoch, first_step


# ------------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.slow
def test_a_batch_in_parts_is_the_whole_batch(tmp_path: Path) -> None:
    """Where no norm looks at the batch; the last batch of an epoch, 1,077 - 4 * 256 = 53 images, is uneven too."""
    whole = state(linear_run(tmp_path / "whole", drop_last=False))
    parts = state(linear_run(tmp_path / "parts", drop_last=False, accumulate=4))
    for key, tensor in whole.items():
        assert torch.allclose(tensor, parts[key], atol=1e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "rmsprop"])
def test_clipping_goes_with_mixed_precision(tmp_path: Path, optimizer: str) -> None:
    """Lightning refuses to clip for fused optimizers in bf16."""
    run = linear_run(tmp_path / "run", precision="bf16", clip_norm=1.0, optimizer=optimizer, lr=0.01, epochs=1)
    assert run.finished


def test_muon_needs_a_convolution(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"optimizer=muon of recipe .* cannot be used: .* has no convolution"):
        linear_run(tmp_path / "run", optimizer="muon", momentum=0.9)


@pytest.mark.slow
def test_muon_is_exact_under_resume(tmp_path: Path) -> None:
    """Clipped and in bf16, which Lightning refuses for fused optimizers."""
    plan = tiny_plan(optimizer="muon", momentum=0.9, nesterov=True, clip_norm=1.0, precision="bf16")
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "stopped", progress=StopAt(5))
    assert_same(train_plan(plan, folder=tmp_path / "stopped", resume=True), whole)


@pytest.mark.slow
def test_a_stage_that_scales_slowly_stays_where_it_was(tmp_path: Path) -> None:
    """In a whole training, where the schedule changes the rate at every step, and after a stop."""
    plan = tiny_plan(lr_scales=("stem=1e-9", "head=2"), weight_decay_on="weights")
    begun = plan.build().state_dict()
    whole = train_plan(plan, folder=tmp_path / "whole")
    after = state(whole)
    kernel = next(key for key in begun if key.startswith("stem.") and begun[key].ndim == 4)
    assert torch.allclose(after[f"network.{kernel}"], begun[kernel], atol=1e-9)
    assert not torch.allclose(after["network.head.fc.weight"], begun["head.fc.weight"], atol=1e-3)
    assert max(row["lr"] for row in whole.metrics()) <= recipe("quick").optimizer.lr
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "stopped", progress=StopAt(5))
    assert_same(train_plan(plan, folder=tmp_path / "stopped", resume=True), whole)


def test_a_scale_of_no_part_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown part of resnet_uva in lr_scales 'stage'; did you mean stage3 or"):
        tiny_plan(lr_scales=("stem=0.1", "stage=0.3"))


def test_parts_of_one_image_are_refused_before_training() -> None:
    with pytest.raises(UsageError, match="cannot be trained on one image of 4 pixels at a time"):
        tiny_plan(image_size=4, batch_size=64, accumulate=64)
    with pytest.raises(UsageError, match="change batch_size or accumulate"):
        tiny_plan(image_size=4, batch_size=269, drop_last=False)  # 1,077 images: the last batch has one
    tiny_plan(image_size=8, batch_size=64, accumulate=64)


@pytest.mark.slow
def test_clipping_bounds_the_norm_of_all_gradients(tmp_path: Path) -> None:
    """One step of plain descent at rate 1 moves the weights by the clipped norm."""
    moved = {}
    for name, bound in (("free", None), ("clipped", 0.01)):
        changes = {"optimizer": "sgd", "weight_decay": 0.0, "lr": 1.0, "epochs": 1, "batch_size": 1077}
        after = state(linear_run(tmp_path / name, clip_norm=bound, **changes))
        torch.manual_seed(0)
        before = nn.Linear(64, 10).state_dict()
        moved[name] = sum((after[f"network.1.{key}"] - before[key]).square().sum().item() for key in before) ** 0.5
    assert moved["free"] > 0.1
    assert moved["clipped"] == pytest.approx(0.01, rel=1e-3)


# ---------------------------------------------------------------------------------------------------------------- loss


def loss_of(labels: torch.Tensor | None = None, **changes: Any) -> TrainingLoss:
    labels = torch.tensor([0, 1, 2]) if labels is None else labels
    return TrainingLoss(recipe("quick").replaced(**changes), labels=labels, num_classes=3)


def test_label_smoothing_gives_every_class_its_part() -> None:
    logits, labels = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2, 1, 1])
    targets = 0.7 * F.one_hot(labels, 3) + 0.3 / 3
    by_hand = -(targets * logits.log_softmax(1)).sum(1).mean()
    assert loss_of(label_smoothing=0.3)(logits, labels).item() == pytest.approx(by_hand.item())
    assert loss_of(label_smoothing=0.3)(logits, F.one_hot(labels, 3).float()).item() == pytest.approx(by_hand.item())


def test_balanced_weights_count_each_class_alike() -> None:
    """Three images of class 0 and one of class 1: the classes weigh as much, and the mean weight is 1."""
    labels = torch.tensor([0, 0, 0, 1])
    loss = loss_of(labels, class_weights="balanced")
    assert loss.weights is not None
    assert loss.weights.tolist() == pytest.approx([4 / 3 / 2, 4 / 2, 0])
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    each = F.cross_entropy(logits, labels, reduction="none")
    assert loss(logits, labels).item() == pytest.approx((each[:3].mean() + each[3]).item() / 2)
    assert "weights" not in loss.state_dict()


def test_auxiliary_losses_are_smoothed_too() -> None:
    logits, labels = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 2])
    loss = loss_of(label_smoothing=0.1)
    output = AuxiliaryLogits(logits, (2 * logits,), weight=0.4)
    assert loss(output, labels).item() == pytest.approx((loss(logits, labels) + 0.4 * loss(2 * logits, labels)).item())


# -------------------------------------------------------------------------------------------------------- mixed batches


def first_batch(chosen: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    batches = TrainingBatches(
        DIGITS.train,
        recipe=chosen,
        preprocessing=Preprocessing(16, (0.3,), (0.4,)),
        num_classes=10,
        seed=epoch_seed(0, 0),
    )
    return next(iter(batches))


@pytest.mark.parametrize("changes", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}])
def test_mixed_batches_have_probabilities(changes: dict[str, float]) -> None:
    plain_images, labels = first_batch(recipe("quick").replaced(crop="none"))
    images, targets = first_batch(recipe("quick").replaced(crop="none", **changes))
    assert targets.shape == (32, 10)
    assert torch.allclose(targets.sum(1), torch.ones(32))
    assert torch.all(targets.gather(1, labels.unsqueeze(1)) > 0)
    assert not torch.equal(images, plain_images)
    assert classes_of(targets).shape == labels.shape


def test_with_both_each_batch_has_one() -> None:
    """Of 200 batches about half are mixed as a whole, the others by a rectangle, which keeps most pixels' values."""
    chosen = recipe("quick").replaced(crop="none", mixup=5.0, cutmix=5.0, batch_size=5)
    plain = TrainingBatches(
        DIGITS.train,
        recipe=chosen.replaced(mixup=0.0, cutmix=0.0),
        preprocessing=Preprocessing(8, (0.0,), (1.0,)),
        num_classes=10,
        seed=1,
    )
    values = {value for images, _ in plain for value in images.unique().tolist()}
    mixed = TrainingBatches(
        DIGITS.train, recipe=chosen, preprocessing=plain.stage.preprocessing, num_classes=10, seed=1
    )
    by_rectangle = sum(set(images.unique().tolist()) <= values for images, _ in mixed)
    assert 0.4 < by_rectangle / len(mixed) < 0.6


def test_cutout_leaves_the_mean_in_a_square() -> None:
    """Of 6 pixels a side, or less at the border; the image is otherwise as it was."""
    images, _ = first_batch(recipe("quick").replaced(crop="none", cutout=6))
    plain, _ = first_batch(recipe("quick").replaced(crop="none"))
    assert images[images != plain].eq(0).all()
    heights = images.eq(0).any(3).sum(2)
    widths = images.eq(0).any(2).sum(2)
    assert heights.max() == widths.max() == 6
    assert heights.min() >= 3
    assert torch.equal(images.eq(0).sum((2, 3)), heights * widths)


@pytest.mark.parametrize("size", [None, 8])
def test_cutout_fits_the_image(size: int | None) -> None:
    with pytest.raises(UsageError, match="cutout=9 makes no sense; it must be at most 8, the image's size"):
        tiny_plan(image_size=size, cutout=9)


def test_rand_augment_changes_images_before_they_are_normalised() -> None:
    images, _ = first_batch(recipe("quick").replaced(crop="none", rand_augment=2, rand_magnitude=15.0))
    assert (images * 0.4 + 0.3).min() >= -1e-6
    assert (images * 0.4 + 0.3).max() <= 1 + 1e-6
    plain, _ = first_batch(recipe("quick").replaced(crop="none"))
    assert not torch.equal(images, plain)


# -------------------------------------------------------------------------------------------------------------- plateau


@pytest.mark.slow
def test_the_rate_falls_where_validation_stands_still(tmp_path: Path) -> None:
    """At a rate that changes nothing every epoch but the first is no better: with patience 1 each is a fall."""
    plan = tiny_plan(
        schedule="plateau", patience=1, gamma=0.5, lr=1e-9, weight_decay=0.0, epochs=4, optimizer="adam", crop="none"
    )
    whole = train_plan(plan, folder=tmp_path / "run")
    rates = [row["lr"] for row in whole.metrics()]
    top1 = [row["val_top1"] for row in whole.metrics()]
    expected, factor = [], 1.0
    for epoch in range(4):
        expected.append(1e-9 * factor)
        if epoch and top1[epoch] <= max(top1[:epoch]):
            factor /= 2
    assert rates == pytest.approx(expected, rel=1e-9)
    assert rates[-1] < rates[0]
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(13))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


@pytest.mark.slow
def test_the_plateau_waits_for_the_warm_up_to_end(tmp_path: Path) -> None:
    plan = tiny_plan(
        schedule="plateau", patience=1, gamma=0.5, lr=1e-9, weight_decay=0.0, epochs=3, optimizer="adam", crop="none",
        warmup_epochs=2.0, warmup="constant", warmup_lr=1e-9,
    )  # fmt: skip
    rates = [row["lr"] for row in train_plan(plan, folder=tmp_path / "run").metrics()]
    assert rates == pytest.approx([1e-9] * 3, rel=1e-9)


@pytest.mark.slow
def test_a_run_without_the_newer_fields_goes_on(tmp_path: Path) -> None:
    """What a field of the recipe means was not there when the run was made: it was not used."""
    plan = tiny_plan(epochs=1)
    run = train_plan(plan, folder=tmp_path / "run")
    older = {name: value for name, value in run.record.recipe.items() if name not in ("ema", "mixup", "accumulate")}
    Run(run.path, replace(run.record, recipe=older)).write()
    assert train_plan(plan, folder=tmp_path / "run").record.recipe == older
    with pytest.raises(UsageError, match="another run"):
        train_plan(tiny_plan(epochs=1, ema=0.9), folder=tmp_path / "run")


# ------------------------------------------------------------------------------------------------ the network's options


def test_a_recipe_sets_the_networks_options() -> None:
    chosen = recipe("quick").replaced(dropout=0.25, image_size=32)
    plan = make_plan(architecture("nin_cifar"), data=DIGITS, chosen=chosen, seed=0)
    assert {m.p for m in plan.build().modules() if isinstance(m, nn.Dropout)} == {0.25}
    assert plan.label == "nin_cifar"
    assert plan.record().recipe["dropout"] == 0.25


def test_a_field_that_the_network_cannot_use_is_an_error() -> None:
    message = "stochastic_depth=0.2 of recipe .* cannot be used: resnet_uva has no such option; leave it out with --set"
    with pytest.raises(UsageError, match=message):
        tiny_plan(stochastic_depth=0.2)


def test_an_option_is_set_once() -> None:
    chosen = recipe("quick").replaced(dropout=0.25, image_size=32)
    with pytest.raises(UsageError, match=r"dropout is 0.5 as an option of nin_cifar and 0.25 in recipe"):
        make_plan(architecture("nin_cifar"), data=DIGITS, chosen=chosen, seed=0, options={"dropout": 0.5})


def test_auxiliary_heads_weigh_what_the_recipe_says() -> None:
    chosen = recipe("quick").replaced(auxiliary_weight=0.7, image_size=224)
    plan = make_plan(architecture("googlenet_original_aux"), data=DIGITS, chosen=chosen, seed=0)
    network = plan.build()
    assert network.weight == 0.7


@pytest.mark.slow
def test_without_an_average_the_checkpoint_has_none(tmp_path: Path) -> None:
    run = train_plan(tiny_plan(epochs=1), folder=tmp_path / "run")
    assert all(key.startswith("network.") for key in state(run))
    assert len(facts(run)) == 1
