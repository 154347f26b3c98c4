"""One run: its files, a golden result, resume equal to uninterrupted, and what a folder refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.errors import UsageError
from convatlas.prediction import evaluate_run, open_predictor
from convatlas.progress import Job, Silent
from convatlas.recipe import recipe
from convatlas.run import METRICS, Run, read_run
from convatlas.training import Plan, TrainingError, make_plan, train_plan

pytestmark = pytest.mark.usefixtures("quick_runs")

DIGITS = load_data("digits")
TINY = {"depths": (1, 1, 1), "widths": (8, 8, 16)}


def tiny_plan(*, seed: int = 0, options: dict[str, Any] | None = None, **changes: Any) -> Plan:
    """Three epochs of four steps of a network of some 10,000 parameters at 8 pixels: half a second."""
    values = {"epochs": 3, "batch_size": 256, "image_size": 8, **changes}
    chosen = recipe("quick").replaced(**values)
    return make_plan(
        architecture("resnet_uva"), data=DIGITS, chosen=chosen, seed=seed, options={**TINY, **(options or {})}
    )


class StopAt(Silent):
    """Raises at an optimizer step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, job: Job, *, step: int) -> None:
        if step == self.step:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_plan(tiny_plan(), folder=tmp_path_factory.mktemp("finished") / "run")


def weights(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(run.last_checkpoint, weights_only=True)["state_dict"]


def facts(run: Run) -> list[dict[str, float]]:
    """The rows of metrics.csv without the clock's."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in run.metrics()]


def assert_same(run: Run, other: Run) -> None:
    """Bit for bit: last weights, metrics, predictions and results."""
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert facts(run) == facts(other)
    a, b = run.predictions(), other.predictions()
    assert all(np.array_equal(a[key], b[key]) for key in a)
    names = ("best_epoch", "val_top1", "val_loss", "test_top1", "test_loss")
    assert [run.results[n] for n in names] == [other.results[n] for n in names]


def test_a_run_leaves_its_files(finished: Run) -> None:
    names = {str(path.relative_to(finished.path)) for path in finished.path.rglob("*") if path.is_file()}
    files = {"run.json", "metrics.csv", "curves.png", "predictions.npz", "samples.npz"}
    assert files | {"checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    assert any("tfevents" in name for name in names)
    assert (finished.path / "metrics.csv").read_text().splitlines()[0] == ",".join(METRICS)
    assert [row["epoch"] for row in finished.metrics()] == [1, 2, 3]


def test_the_record_is_complete(finished: Run) -> None:
    record = json.loads((finished.path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["architecture"]["options"] == {"depths": [1, 1, 1], "widths": [8, 8, 16]}
    assert record["recipe"]["lr"] == recipe("quick").optimizer.lr
    assert record["data"]["split_hash"] == DIGITS.split_hash
    assert record["preprocessing"]["mean"] == pytest.approx([0.3066], abs=1e-4)
    assert record["network"]["params"] == sum(p.numel() for p in tiny_plan().build().parameters())
    assert {"versions", "git_commit", "hardware", "command", "selection", "notes"} <= record.keys()


@pytest.mark.slow
def test_the_learning_rate_is_that_of_the_epoch(tmp_path: Path) -> None:
    """A milestone after two epochs: both of them, and not the second one's end, have the first rate."""
    plan = tiny_plan(schedule="multi_step", milestones=(2,), lr=0.002)
    rows = train_plan(plan, folder=tmp_path / "run").metrics()
    assert [row["lr"] for row in rows] == pytest.approx([0.002, 0.002, 0.0002])


def test_golden_first_epoch(finished: Run) -> None:
    """A tiny run's first epoch as it came out when this was written: a change of arithmetic or of draws shows."""
    first = finished.metrics()[0]
    assert first["train_loss"] == pytest.approx(GOLDEN["train_loss"], rel=1e-3)
    assert first["lr"] == pytest.approx(GOLDEN["lr"], rel=1e-6)


GOLDEN = {"train_loss": 2.504294, "lr": 0.004972077}


def test_selected_is_the_first_best_epoch_of_validation(finished: Run) -> None:
    rows = finished.metrics()
    best = max(row["val_top1"] for row in rows)
    first = next(row for row in rows if row["val_top1"] == best)
    assert finished.results["best_epoch"] == first["epoch"]
    assert finished.results["val_top1"] == first["val_top1"]
    assert finished.results["val_loss"] == first["val_loss"]  # one arithmetic selects, reports and answers


def test_predictions_belong_to_the_best_checkpoint(finished: Run) -> None:
    logits = open_predictor(finished.path).logits(DIGITS.test.pixels)
    stored = finished.predictions()
    assert np.array_equal(stored["test_logits"], logits.numpy())
    assert np.array_equal(stored["test_index"], DIGITS.test.index.numpy())
    accuracy = (stored["test_logits"].argmax(1) == stored["test_labels"]).mean()
    assert finished.results["test_top1"] == pytest.approx(accuracy)


def test_evaluate_gives_the_runs_own_result(finished: Run) -> None:
    test = evaluate_run(finished.path)
    assert test.top1 == finished.results["test_top1"]
    assert test.loss == pytest.approx(finished.results["test_loss"])
    assert evaluate_run(finished.best_checkpoint, split="validation").top1 == finished.results["val_top1"]
    assert evaluate_run(finished.path, split="train").n == len(DIGITS.train)


def test_samples_show_augmentation_and_mistakes(finished: Run) -> None:
    with np.load(finished.path / "samples.npz") as arrays:
        assert arrays["before"].shape == arrays["after"].shape == (12, 8, 8, 1)
        assert not np.array_equal(arrays["before"], arrays["after"])
        assert (arrays["mistake_labels"] != arrays["mistake_predictions"]).all()
        assert (np.diff(arrays["mistake_probabilities"]) <= 0).all()


def test_tensorboard_has_scalars_graph_and_hyperparameters(finished: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished.path / "tensorboard")).Reload()
    tags = events.Tags()
    assert {"loss/train", "loss/val", "top1/train", "top1/val", "lr"} <= set(tags["scalars"])
    assert tags["graph"]
    assert "_hparams_/session_start_info" in events.summary_metadata
    values = [event.value for event in events.Scalars("top1/val")]
    assert values == pytest.approx([row["val_top1"] for row in finished.metrics()], rel=1e-6)
    for tag in ("top1/val", "top1/train", "lr"):
        assert [event.step for event in events.Scalars(tag)] == [4, 8, 12]  # optimizer steps
    assert events.Scalars("top1/test")[-1].value == pytest.approx(finished.results["test_top1"])


@pytest.mark.slow
def test_the_same_plan_gives_the_same_run(finished: Run, tmp_path: Path) -> None:
    assert_same(train_plan(tiny_plan(), folder=tmp_path / "again"), finished)


@pytest.mark.slow
def test_another_seed_gives_another_run(finished: Run, tmp_path: Path) -> None:
    other = train_plan(tiny_plan(seed=1, epochs=1), folder=tmp_path / "other")
    assert facts(other)[0]["train_loss"] != facts(finished)[0]["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4, 5, 8, 11, 12])
def test_resume_equals_uninterrupted(finished: Run, tmp_path: Path, step: int) -> None:
    """Stopped in the first epoch, at an epoch's last step, at a first one, in the last epoch."""
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=folder, progress=StopAt(step))
    assert read_run(folder).status == "unfinished"
    assert_same(train_plan(tiny_plan(), folder=folder, resume=True), finished)


@pytest.mark.slow
def test_resume_after_training_but_before_evaluation(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("convatlas.training.classification.Classification.outcome", stop)
        with pytest.raises(KeyboardInterrupt):
            train_plan(tiny_plan(), folder=tmp_path / "run")
    assert_same(train_plan(tiny_plan(), folder=tmp_path / "run", resume=True), finished)


@pytest.mark.slow
def test_dropout_is_resumed_too(tmp_path: Path) -> None:
    """Random state inside the network comes from (seed, epoch), as the images' does."""
    source = (
        "from torch import nn\n"
        "def net(*, num_classes=10, in_channels=1):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64 * in_channels, num_classes))\n"
    )
    path = tmp_path / "own.py"
    path.write_text(source)
    chosen = recipe("quick").replaced(epochs=2, batch_size=256, image_size=8)
    plan = make_plan(architecture(f"{path}:net"), data=DIGITS, chosen=chosen, seed=0)
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(6))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


def test_a_finished_run_is_loaded(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.training.train._train_and_evaluate", lambda _: pytest.fail("trained again"))
    assert train_plan(tiny_plan(), folder=finished.path).record == finished.record


def test_images_too_small_for_the_network_are_resized_and_it_is_said() -> None:
    """Where the recipe names no size; auxiliary heads may need more than the network's answer."""
    for name, size in (("lenet5", 32), ("alexnet", 63), ("googlenet_original_aux", 191)):
        plan = make_plan(architecture(name), data=DIGITS, chosen=recipe("quick").replaced(image_size=None), seed=0)
        text = f"the images are resized from 8 x 8 to {size} x {size} pixels, the smallest that {name} takes"
        assert [note for note in plan.notes if "are resized" in note] == [text]
        assert plan.preprocessing.image_size == plan.cost.shape[-1] == plan.record().recipe["image_size"] == size
    assert not [note for note in tiny_plan(image_size=None).notes if "are resized" in note]


@pytest.mark.parametrize(("name", "size"), [("lenet5", 32), ("alexnet", 63), ("googlenet_original_aux", 191)])
def test_a_size_that_the_recipe_names_is_refused_with_the_remedy(name: str, size: int) -> None:
    with pytest.raises(UsageError, match=rf"^[^;]*; the smallest .*; train it with --set image_size={size}$") as caught:
        make_plan(architecture(name), data=DIGITS, chosen=recipe("quick"), seed=0)
    assert "dimension" not in str(caught.value)  # a word of torch's


def test_a_network_of_one_size_is_refused_larger_images_with_the_remedy() -> None:
    message = r"^lenet5 cannot take an image of 1 x 224 x 224; .*; train it with --set image_size=32$"
    with pytest.raises(UsageError, match=message):
        make_plan(architecture("lenet5"), data=DIGITS, chosen=recipe("photographs"), seed=0)


@pytest.mark.parametrize(("batch_size", "said"), [(1077, False), (5000, True)])
def test_a_batch_larger_than_the_training_images_is_said(batch_size: int, said: bool) -> None:
    assert len(DIGITS.train) == 1077
    notes = tiny_plan(batch_size=batch_size).notes
    assert any(f"batch_size={batch_size} is more than the 1,077 training images" in note for note in notes) == said


@pytest.mark.slow
def test_an_unfinished_run_needs_resume(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=tmp_path / "run", progress=StopAt(9))
    with pytest.raises(UsageError, match=r"unfinished \(2 of 3 epochs\); go on with --resume"):
        train_plan(tiny_plan(), folder=tmp_path / "run")


def test_a_changed_file_is_another_network(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    source = (
        "from torch import nn\n"
        "def net(*, num_classes=10, in_channels=1):\n"
        "    return nn.Sequential(nn.{}(), nn.Flatten(), nn.Linear(64, 10))\n"
    )
    chosen = recipe("quick").replaced(epochs=1, batch_size=256, image_size=8)
    for layer, refused in (("ReLU", False), ("Tanh", True)):
        path.write_text(source.format(layer))
        plan = make_plan(architecture(f"{path}:net"), data=DIGITS, chosen=chosen, seed=0)
        if refused:
            with pytest.raises(UsageError, match="is not what it was when the run"):
                evaluate_run(tmp_path / "run")
            with pytest.raises(UsageError, match=r"another run \(architecture.source_hash"):
                train_plan(plan, folder=tmp_path / "run", resume=True)
        else:
            assert train_plan(plan, folder=tmp_path / "run").finished


def test_the_wording_and_the_order_of_settings_do_not_matter(finished: Run) -> None:
    plan = tiny_plan(image_size=8, batch_size=256, epochs=3)
    reworded = dataclasses.replace(plan, recipe=plan.recipe.with_values(source="better words"))
    assert train_plan(reworded, folder=finished.path).record == finished.record


@pytest.mark.slow
def test_a_run_begun_on_another_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=tmp_path / "run", progress=StopAt(9))
    run = read_run(tmp_path / "run")
    Run(run.path, dataclasses.replace(run.record, device="cuda")).write()
    with pytest.raises(UsageError, match="begun on cuda; go on with --device cuda"):
        train_plan(tiny_plan(), folder=tmp_path / "run", resume=True)


@pytest.mark.slow
def test_every_session_of_a_run_is_recorded(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=tmp_path / "run", progress=StopAt(9))
    run = train_plan(tiny_plan(), folder=tmp_path / "run", resume=True)
    assert len(run.record.sessions) == 2


def test_seconds_and_images_per_second_are_those_of_the_epochs(finished: Run) -> None:
    rows = finished.metrics()
    assert finished.results["train_seconds"] == pytest.approx(sum(row["seconds"] for row in rows))
    speeds = [row["images_per_second"] for row in rows[1:]]  # the first epoch warms up
    assert finished.results["images_per_second"] == pytest.approx(np.median(speeds))
    for row in rows:  # 4 steps of 256 images take less than the epoch, which has validation too
        assert 1024 / row["images_per_second"] < row["seconds"] < 1024 / row["images_per_second"] + 5


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_another_run_is_refused(finished: Run, resume: bool) -> None:
    with pytest.raises(UsageError, match=r"another run \(seed 7 here, 0 there\)"):
        train_plan(tiny_plan(seed=7), folder=finished.path, resume=resume)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("important")
    with pytest.raises(UsageError, match="not empty and holds no run"):
        train_plan(tiny_plan(), folder=tmp_path)


def test_a_diverging_run_is_recorded_as_failed(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(
        "from torch import nn\n"
        "def net(*, num_classes=10, in_channels=1):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes), Power())\n"
        "class Power(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x ** 9\n"
    )
    chosen = recipe("quick").replaced(optimizer="sgd", schedule="constant", lr=99.0, image_size=8)
    plan = make_plan(architecture(f"{path}:net"), data=DIGITS, chosen=chosen, seed=0)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_plan(plan, folder=tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.status == "failed"
    assert "lower the learning rate" in run.results["error"]
    with pytest.raises(UsageError, match="is failed"):
        train_plan(plan, folder=tmp_path / "run")


@pytest.mark.slow
def test_training_leaves_the_callers_random_state(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    train_plan(tiny_plan(epochs=1), folder=tmp_path / "run")
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_bf16_is_used_and_recorded(finished: Run, tmp_path: Path) -> None:
    run = train_plan(tiny_plan(precision="bf16", epochs=1), folder=tmp_path / "run")
    assert run.record.recipe["precision"] == "bf16"
    assert facts(run)[0]["train_loss"] == pytest.approx(facts(finished)[0]["train_loss"], rel=0.05)
    assert facts(run)[0]["train_loss"] != facts(finished)[0]["train_loss"]


# ---------------------------------------------------------------------------------------- plans: recipe, data, network


def test_a_tutorial_recipe_is_made_to_fit_digits() -> None:
    plan = make_plan(architecture("resnet_uva"), data=DIGITS, chosen=recipe("uva_sgd"), seed=0)
    assert plan.recipe.images.flip == 0
    assert plan.recipe.images.mean is None
    assert plan.preprocessing.image_size == 32
    assert len(plan.notes) == 2
    assert plan.record().recipe["flip"] == 0


def test_three_channels_keep_the_recipes_normalisation() -> None:
    plan = make_plan(
        architecture("resnet_uva"), data=DIGITS, chosen=recipe("uva_sgd"), seed=0, options={"in_channels": 3}
    )
    assert plan.preprocessing.mean == recipe("uva_sgd").images.mean
    assert plan.cost.params == 272_378
    assert plan.cost.macs == 40_813_184


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 9}, "num_classes=9 does not fit digits"),
        ({"in_channels": 0}, "in_channels=0"),
        ({"depths": (1, 1)}, "one entry for each stage"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(architecture("resnet_uva"), data=DIGITS, chosen=recipe("quick"), seed=0, options=options)


@pytest.mark.parametrize("seed", [-1, 2**31, 1.5, True])
def test_seeds_that_make_no_sense(seed: Any) -> None:
    with pytest.raises(UsageError, match="seed="):
        tiny_plan(seed=seed)


@pytest.mark.slow
def test_an_image_too_small_is_found_before_training() -> None:
    with pytest.raises(UsageError, match="densenet_uva cannot take an image of 1 x 4 x 4"):
        make_plan(architecture("densenet_uva"), data=DIGITS, chosen=recipe("quick").replaced(image_size=4), seed=0)
