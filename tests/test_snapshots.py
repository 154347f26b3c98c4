"""The weights that a run keeps during its training: `--set snapshots=K`."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from convatlas.errors import UsageError
from convatlas.prediction import evaluate_run
from convatlas.recipe import recipe
from convatlas.run import Run, recipe_identity
from convatlas.training import train_plan
from convatlas.weights import network_state, read_checkpoint
from test_training import StopAt, assert_same, tiny_plan

pytestmark = pytest.mark.usefixtures("quick_runs")


def kept(run: Run) -> dict[int, dict[str, torch.Tensor]]:
    return {epoch: network_state(read_checkpoint(path), prefix="network.") for epoch, path in run.snapshots.items()}


def test_the_training_is_the_same_and_its_weights_are_kept(tmp_path: Path) -> None:
    """The first weights are those of the seed, the last those of the moving average, which is evaluated."""
    plain = train_plan(tiny_plan(ema=0.9), folder=tmp_path / "plain")
    run = train_plan(tiny_plan(ema=0.9, snapshots=3), folder=tmp_path / "run")
    assert_same(run, plain)
    assert plain.snapshots == {}
    found = kept(run)
    assert list(found) == [0, 2, 3]
    last = network_state(read_checkpoint(run.last_checkpoint), prefix="ema_network.module.")
    first = tiny_plan().build().state_dict()
    for expected, state in ((first, found[0]), (last, found[3])):
        assert expected.keys() == state.keys()
        assert all(torch.equal(expected[name], state[name]) for name in state)
    assert evaluate_run(run.snapshots[0]).top1 < evaluate_run(run.snapshots[3]).top1

    with pytest.raises(KeyboardInterrupt):  # and a run that was stopped keeps the same
        train_plan(tiny_plan(ema=0.9, snapshots=3), folder=tmp_path / "parts", progress=StopAt(6))
    parts = train_plan(tiny_plan(ema=0.9, snapshots=3), folder=tmp_path / "parts", resume=True)
    for epoch, state in kept(parts).items():
        assert all(torch.equal(state[name], found[epoch][name]) for name in state)
    assert list(kept(parts)) == [0, 2, 3]


def test_the_field() -> None:
    assert recipe("quick").snapshots == 0
    assert recipe("quick").replaced(snapshots=5).name == "quick[snapshots=5]"
    assert recipe_identity({"name": "quick", "lr": 0.1})["snapshots"] == 0  # older runs are what they were
    for wrong in (-1, 1, 1001):
        with pytest.raises(UsageError, match=f"snapshots={wrong} makes no sense; it must be 0, or from 2 to 1000"):
            recipe("quick").replaced(snapshots=wrong)
