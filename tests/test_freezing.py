"""Frozen parts of a network stay bit for bit as they are; a head is trained on features that are computed once."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convatlas.architectures import architecture
from convatlas.errors import UsageError
from convatlas.layers import StochasticDepth
from convatlas.prediction import evaluate_run, predict_logits
from convatlas.recipe import ALL_BUT_HEAD
from convatlas.run import Run
from convatlas.training import Plan, build_learner, train_plan
from convatlas.training import head_only as head_only_module
from convatlas.training.averaging import MovingAverage
from convatlas.training.classification import Classification
from convatlas.training.engine.callbacks import MovedIntoPlace
from convatlas.training.freezing import Held, head_of
from convatlas.training.head_only import HeadOnly, tail_of
from convatlas.training.optimizers import parameter_groups
from convatlas.weights import read_checkpoint
from test_training import DIGITS, StopAt, assert_same, facts, tiny_plan, weights

pytestmark = pytest.mark.usefixtures("quick_runs")

HEAD = {"frozen": (ALL_BUT_HEAD,), "crop": "none"}


def first_weights(plan: Plan) -> dict[str, Tensor]:
    return {f"network.{key}": tensor for key, tensor in plan.build().state_dict().items()}


def changed(plan: Plan, run: Run) -> set[str]:
    """The stages of which a tensor differs between the first and the last weights, buffers included."""
    before, after = first_weights(plan), weights(run)
    return {key.split(".")[1] for key, tensor in before.items() if not torch.equal(tensor, after[key])}


@pytest.mark.slow
def test_frozen_parts_are_unchanged_with_their_statistics(tmp_path: Path) -> None:
    plan = tiny_plan(frozen=("stem", "stage1", "stage2"), epochs=1, ema=0.5)
    assert plan.objective is Classification
    run = train_plan(plan, folder=tmp_path / "run")
    assert changed(plan, run) == {"stage3", "head"}
    before, after = first_weights(plan), weights(run)
    averaged = {key.replace("ema_network.module.", "network."): t for key, t in after.items() if "ema_network." in key}
    for key, tensor in before.items():
        if key.split(".")[1] in plan.recipe.optimizer.frozen:
            assert torch.equal(averaged[key], tensor), key
    optimizer = torch.load(run.last_checkpoint, weights_only=True)["optimizer_states"][0]
    trained = [key for key, _ in plan.build().named_parameters() if key.startswith(("stage3", "head"))]
    assert len(optimizer["state"]) == len(trained)


def test_the_other_parts_are_trained_as_a_frozen_network_in_eval_mode_would(tmp_path: Path) -> None:
    """The loss of the first step is that of a network whose frozen stages are in eval mode."""
    plan = tiny_plan(frozen=("stem", "stage1", "stage2"))
    learner = build_learner(plan, device="cpu")
    batch = next(iter(learner.objective.batches(plan, 0)))
    network = dataclasses.replace(plan, recipe=plan.recipe.with_values(frozen=())).build()
    for name in plan.recipe.optimizer.frozen:
        network.get_submodule(name).eval()
    expected = nn.functional.cross_entropy(network(batch[0]), batch[1])
    learner.begin_epoch(seed=0, epoch=0)
    assert learner.step(batch).means["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(p.grad is None for p in learner.objective.modules["network"].get_submodule("stage1").parameters())


def test_held_parts_drop_nothing_until_they_are_released() -> None:
    network = nn.Sequential(nn.Dropout(0.5), StochasticDepth(0.5), nn.Conv2d(1, 4, 1), nn.Flatten(), nn.Linear(16, 2))
    held, ones = Held(network, ("0", "1", "2")), torch.ones(64, 1, 2, 2)
    held.hold()
    network.train()
    assert torch.equal(network[1](network[0](ones)), ones)
    assert not network[2].weight.requires_grad
    held.release()
    network[2].weight.requires_grad_(True)
    assert not torch.equal(network[1](network[0](ones)), ones)
    assert network[2].weight.requires_grad
    assert network[4].weight.requires_grad


def flops(plan: Plan) -> int:
    """The floating-point operations of one training step."""
    learner = build_learner(plan, device="cpu")
    batch = next(iter(learner.objective.batches(plan, 0)))
    learner.begin_epoch(seed=0, epoch=0)
    with FlopCounterMode(display=False) as counter:
        learner.step(batch)
    return counter.get_total_flops()


def test_a_frozen_step_costs_at_most_half_of_a_full_one() -> None:
    assert flops(tiny_plan(frozen=(ALL_BUT_HEAD,))) <= flops(tiny_plan()) / 2
    assert flops(tiny_plan(frozen=("stem", "stage1"))) < 0.9 * flops(tiny_plan())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"frozen": ("stage7",)},
            r"part of resnet_uva in frozen 'stage7'; did .*all: all_but_head, head",
        ),
        ({"frozen": (ALL_BUT_HEAD, "head")}, "leaves nothing of resnet_uva to train"),
        ({"frozen": ("head",), "head_first_epochs": 1}, "head_first_epochs=1 trains the head first, but frozen=head"),
        ({"frozen": ("stem", "stem")}, "names of parts, each once"),
        ({"head_first_epochs": 3}, "head_first_epochs=3 makes no sense; it must be below 3, all epochs"),
        ({"head_first_epochs": 1, "epochs": None, "steps": 9}, "must be 0 in a recipe that counts steps"),
        ({"layer_decay": 0.0}, "layer_decay=0 makes no sense; it must be above 0 and at most 1"),
    ],
)
def test_parts_that_cannot_be_frozen(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        tiny_plan(**changes)


# ------------------------------------------------------------------------------------------- the head first, then all


@pytest.mark.slow
def test_the_head_is_trained_first_and_then_everything(tmp_path: Path) -> None:
    plan = tiny_plan(head_first_epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(9))
    stopped = Run(tmp_path / "parts", plan.record())
    assert changed(plan, stopped) == {"head"}
    whole = train_plan(plan, folder=tmp_path / "whole")
    assert changed(plan, whole) == {"stem", "stage1", "stage2", "stage3", "head"}
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


def test_the_rate_falls_from_the_head_to_the_stem() -> None:
    plan = tiny_plan(layer_decay=0.5, lr_scales=("stage3=3",))
    network = plan.build()
    names = {id(parameter): name.partition(".")[0] for name, parameter in network.named_parameters()}
    scales: dict[str, set[float]] = {}
    for group in parameter_groups(network, plan.recipe):
        for parameter in group["params"]:
            scales.setdefault(names[id(parameter)], set()).add(group["lr_scale"])
    assert scales == {"stem": {0.0625}, "stage1": {0.125}, "stage2": {0.25}, "stage3": {1.5}, "head": {1.0}}


# ----------------------------------------------------------------------------------------------- the head on features


@pytest.mark.slow
def test_a_head_on_kept_features_is_trained_as_in_the_whole_network(tmp_path: Path) -> None:
    plan = tiny_plan(**HEAD)
    assert plan.objective is HeadOnly
    run = train_plan(plan, folder=tmp_path / "features")
    whole = train_plan(dataclasses.replace(plan, objective=Classification), folder=tmp_path / "images")
    for ours, theirs in zip(facts(run), facts(whole), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert changed(plan, run) == {"head"}
    assert set(weights(run)) == set(first_weights(plan))


@pytest.mark.slow
def test_a_run_of_the_head_is_evaluated_and_resumed_as_any_other(tmp_path: Path) -> None:
    plan = tiny_plan(**HEAD, ema=0.5)
    whole = train_plan(plan, folder=tmp_path / "whole")
    assert (whole.record.objective, whole.record.start.origin) == ("head_only", "seed")
    found, stored = evaluate_run(whole.path), whole.predictions()["test_logits"]
    assert found.top1 == whole.results["test_top1"]
    assert found.logits == pytest.approx(stored, abs=1e-6)
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(6))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


def test_the_features_of_each_part_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(network: nn.Module, images: Any, **ways: Any) -> Tensor:
        asked.append(len(images))
        return predict_logits(network, images, **ways)

    monkeypatch.setattr(head_only_module, "predict_logits", counted)
    train_plan(tiny_plan(**HEAD), folder=tmp_path / "run")
    assert sorted(asked) == sorted(len(images) for images in DIGITS.parts.values())


@pytest.mark.parametrize(("objective", "files"), [(HeadOnly, 2), (Classification, 3)])
def test_epochs_of_a_moment_write_no_checkpoint_each(
    objective: Any, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first epoch and the last one do; the others end less than a second after the first."""
    written: list[str] = []
    save = MovedIntoPlace.save_checkpoint

    def noted(self: Any, checkpoint: Any, path: Any, storage_options: Any = None) -> None:
        written.append(Path(path).name)
        save(self, checkpoint, path, storage_options)

    monkeypatch.setattr(MovedIntoPlace, "save_checkpoint", noted)
    clock = SimpleNamespace(monotonic=lambda: 5.0, perf_counter=time.perf_counter)
    monkeypatch.setattr("convatlas.training.engine.callbacks.time", clock)
    plan = dataclasses.replace(tiny_plan(**HEAD, epochs=3), objective=objective)
    run = train_plan(plan, folder=tmp_path / "run")
    assert written.count("last.ckpt") == files
    assert read_checkpoint(run.last_checkpoint)["epoch"] == 2


@pytest.mark.parametrize(
    "changes", [{"flip": 0.5}, {"crop": "pad4"}, {"mixup": 0.2}, {"frozen": (ALL_BUT_HEAD, "stem")}]
)
def test_changes_at_random_need_the_whole_network(changes: dict[str, Any]) -> None:
    assert head_only_module.objective_of(tiny_plan(**HEAD).recipe.with_values(**changes)) is Classification


@pytest.mark.parametrize("name", ["lenet5", "preact_resnet_uva", "nin_cifar", "googlenet_uva", "bit_resnet26_cifar"])
def test_the_tail_of_a_network_makes_its_answers(name: str) -> None:
    """Linear classifiers, convolutions that something follows, and heads with a norm."""
    row = architecture(name)
    network = row.build(in_channels=row.in_channels).eval()
    images = torch.rand(2, row.in_channels, row.image_size, row.image_size)
    body = head_only_module.Body(network, head_of(network)).eval()
    with torch.inference_mode():
        features = body(images)
        alone = tail_of(network, head_of(network))(features.view(2, *body.shape))
        assert torch.allclose(alone, network(images), atol=1e-5)


def test_a_network_that_does_not_end_in_its_last_layer_is_told(tmp_path: Path) -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.fc = nn.Flatten(), nn.Linear(4, 2)

        def forward(self, images: Tensor) -> Tensor:
            return 2 * self.fc(self.flatten(images))

    with pytest.raises(UsageError, match="the last layer of the network, fc, does not make its answers"):
        head_only_module.Body(Doubled(), "fc")(torch.ones(1, 1, 2, 2))


# ---------------------------------------------------------------------------------------------------- moving averages


def test_an_average_without_decay_is_the_network_with_its_statistics() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2))
    average = MovingAverage(network, decay=0.0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        network(torch.rand(8, 1, 8, 8)).square().sum().backward()
        optimizer.step()
        average.update_parameters(network)
    state = network.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in average.module.state_dict().items())
    assert state["1.num_batches_tracked"] == 3
