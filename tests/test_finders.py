"""The searches for a learning rate and a batch size: what they suggest, and that they change nothing."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.measure import find_batch_size, find_lr, finders
from convatlas.measure.finders import RateSearch, steepest
from test_training import tiny_plan

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning")


@pytest.mark.slow
def test_the_rate_is_where_the_loss_falls_fastest() -> None:
    """A network of 10,000 parameters at 8 pixels: at 1e-6 nothing is learned, at 10 it explodes."""
    found = find_lr(tiny_plan(batch_size=64), device="cpu")
    assert len(found.rates) == len(found.losses) > 50
    assert found.rates[0] == pytest.approx(1e-6)
    assert found.losses[0] == pytest.approx(2.5, abs=0.4)  # not Lightning's 1.3
    assert found.suggestion in found.rates
    assert 1e-4 < (found.suggestion or 0) < 0.3


@pytest.mark.slow
def test_the_search_is_repeated_exactly_and_leaves_the_random_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    again = find_lr(tiny_plan(batch_size=64, schedule="constant"), device="cpu")
    assert torch.equal(torch.rand(1), expected)
    assert again == plain_search()


@cache
def plain_search() -> RateSearch:
    return find_lr(tiny_plan(batch_size=64, schedule="constant"), device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{"schedule": "plateau", "patience": 1}, {"schedule": "cosine", "warmup_epochs": 0.5}]
)
def test_what_the_schedule_does_changes_nothing(changes: dict[str, Any]) -> None:
    """Every step has the rate that is plotted."""
    assert find_lr(tiny_plan(batch_size=64, **changes), device="cpu") == plain_search()


def test_a_search_is_interrupted_and_does_not_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "resnet_uva", "--data", "digits", "--find-lr", "--out", str(tmp_path / "run")]
    assert main([*words, "--resume"]) == 2
    assert "--find-lr and --find-batch-size start none" in capsys.readouterr().err

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convatlas.measure.find_lr", interrupted)
    assert main(words) == 130
    assert capsys.readouterr().err == "stopped; nothing was trained or changed\n"


def test_no_larger_batch_is_begun_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finders, "_trial", lambda _plan, size: finders.BatchTrial(size, 1.0, 1))
    monkeypatch.setattr(finders, "PATIENCE", -1.0)
    found = find_batch_size(tiny_plan(), device="cpu")
    assert len(found.trials) == 1
    assert found.end == "batches of 16 were not tried, after -1 seconds"


def test_no_rate_is_suggested_where_the_loss_never_falls() -> None:
    rates = [10.0**power for power in range(-8, 0)]
    assert steepest(rates, [1.0] * 8, skipped=1) is None
    assert steepest(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, float("nan")], skipped=1) is None
    assert steepest(rates, [1.0] * 8) is None


def test_the_batch_size_is_the_smallest_that_is_nearly_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {8: 100.0, 16: 190.0, 32: 296.0, 64: 300.0, 128: 200.0}

    def trial(_plan: object, batch_size: int) -> finders.BatchTrial:
        if batch_size not in speeds:
            raise torch.OutOfMemoryError
        return finders.BatchTrial(batch_size, speeds[batch_size], 1)

    monkeypatch.setattr(finders, "_trial", trial)
    found = find_batch_size(tiny_plan(), device="cpu")
    assert [each.batch_size for each in found.trials] == list(speeds)
    assert found.suggestion == 32
    assert found.end == "batches of 256 do not fit into the memory of cpu"


def test_no_batch_is_tried_that_would_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each doubling adds twice as much: the next would need more than 80 % of what is free."""
    monkeypatch.setattr(finders, "_trial", lambda _plan, size: finders.BatchTrial(size, 1.0, size * 1_000_000))
    monkeypatch.setattr(finders, "free_memory", lambda: 60e6)
    found = find_batch_size(tiny_plan(), device="cpu")
    assert [each.batch_size for each in found.trials] == [8, 16, 32]
    assert found.end == "batches of 64 would not fit into the memory that is free"


def test_not_even_the_smallest_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    def trial(_plan: object, _size: int) -> finders.BatchTrial:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(finders, "_trial", trial)
    with pytest.raises(UsageError, match="not even a batch of 8 images fits"):
        find_batch_size(tiny_plan(), device="cpu")


@pytest.mark.slow
def test_real_batches_up_to_all_images() -> None:
    found = find_batch_size(tiny_plan(), device="cpu")
    assert [each.batch_size for each in found.trials] == [8 * 2**power for power in range(8)]
    assert found.end == "there are 1,077 training images"
    assert all(each.images_per_second > 0 and each.memory > 1e7 for each in found.trials)


@pytest.mark.slow
def test_the_command_draws_and_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "resnet_uva", "-o", "depths=1,1,1", "-o", "widths=8,8,16", "--data", "digits"]
    words += ["--find-lr", "--find-batch-size", "--set", "image_size=8", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert captured.err.count("images a second") == 8
    assert "suggested: --lr " in captured.out
    assert "the recipe has 0.005" in captured.out
    assert "suggested: --batch-size " in captured.out
    assert captured.out.count("nothing was trained or changed") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-find_batch_size.png", "run-find_lr.png"]


@pytest.mark.slow
def test_the_command_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "resnet_uva", "-o", "depths=1,1,1", "-o", "widths=8,8,16", "--data", "digits", "--find-lr"]
    assert main([*words, "--set", "image_size=8", "--out", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["lr"]
    assert found["suggestion"] in found["rates"]
    assert Path(found["plot"]).is_file()
