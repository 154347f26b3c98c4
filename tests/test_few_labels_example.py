"""docs/write_few_labels.py: the page of the study comes from the records of runs alone."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from convatlas.errors import UsageError
from convatlas.files import read_json
from convatlas.words import percent

TEACHER = "noisy_student/round0"
BOTH = ("supervised", TEACHER)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which draws nothing here."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("write_few_labels")
    monkeypatch.setattr(module, "draw", lambda _content, _path: None)
    return module


def made(method: str, seed: int, top1: float, *, labels: int = 4000) -> dict[str, Any]:
    """What is kept of a run."""
    recipe = {"steps": 2000, "batch_size": 64, "epoch_steps": 1000, "rand_magnitude": 5.0}
    recipe |= {"cutout": 8, "finetune_part": 0.5, "finetune_lr": 0.005, "unlabelled_weight": 1.0}
    course = {
        "val_top1": [0.5, top1],
        "val_loss": [1.5, 2.25],
        "train_top1": [0.5, 0.9],
        "train_mask": [0.12, 0.48],
        "train_unlabelled_loss": [0.75, 0.25],
    }
    return {
        "recipe": recipe,
        "seed": seed,
        "data": {
            "name": "cifar10",
            "train": 45000,
            "validation": 5000,
            "test": 10000,
            "split_hash": "abc",
            "images_hash": "def",
        },
        "network": {"params": 121562},
        "selection": "the last epoch",
        "versions": {"convatlas": "0.1.0"},
        "git_commit": "0123456789abcdef",
        "hardware": {"cpu": "a test's imagination"},
        "command": f"convatlas semi examples/small_resnet.py:small_resnet --quiet --resume --method {method}",
        "results": {"test_top1": top1},
        "labelled": {"count": labels, "seed": seed, "hash": "123"},
        "unlabelled": None,
        "course": course,
        "epoch_seconds": 60.0,
    }


def member(*runs: dict[str, Any], against: tuple[str, ...] = (), gain: float = 0.05) -> dict[str, Any]:
    found = {"mean": gain, "low": gain - 0.01, "high": gain + 0.01, "significant": abs(gain) > 0.01}
    return {"runs": list(runs), "differences": dict.fromkeys(against, found)}


def study() -> dict[str, Any]:
    """A study with three seeds of two methods and one of the others."""
    return {
        "supervised": member(*(made("supervised", seed, 0.66 + seed / 100) for seed in range(3))),
        "fixmatch": member(*(made("fixmatch", seed, 0.71 + seed / 100) for seed in range(3)), against=BOTH),
        "long_supervised": member(made("supervised", 0, 0.68)),
        "long_meta_pseudo_labels": member(made("meta_pseudo_labels", 0, 0.73), against=("long_supervised",), gain=0.05),
        "fixmatch_strong": member(made("fixmatch", 0, 0.69), against=BOTH, gain=0.02),
        "meta_pseudo_labels": member(made("meta_pseudo_labels", 0, 0.7), against=BOTH, gain=0.005),
        "meta_finetuned": member(made("meta_pseudo_labels", 0, 0.64), against=BOTH),
        TEACHER: member(made("noisy_student", 0, 0.6), against=("supervised",), gain=-0.07),
        "noisy_student/round1": member(made("noisy_student", 0, 0.65), against=BOTH),
        "noisy_student/round2": member(made("noisy_student", 0, 0.65), against=BOTH),
        "few_supervised": member(made("supervised", 0, 0.4, labels=250)),
        "few_pseudo_label": member(made("pseudo_label", 0, 0.41, labels=250), against=("few_supervised",), gain=0.005),
        "few_pseudo_label_weight5": member(
            made("pseudo_label", 0, 0.35, labels=250), against=("few_supervised",), gain=-0.05
        ),
    }


def written(script: ModuleType, root: Path, content: Any) -> str:
    """The page of a study, as one line."""
    path = root / "results/few_labels/cifar10-jpeg.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    (root / "docs").mkdir()
    assert script.main(["--check"], root=root) == 1  # there is no page yet
    assert script.main([], root=root) == 0
    assert script.main(["--check"], root=root) == 0
    return " ".join((root / "docs/few_labels_example.md").read_text(encoding="utf-8").split())


def test_the_committed_page_is_what_the_results_say(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


def test_numbers_and_intervals_come_from_the_runs(script: ModuleType, tmp_path: Path) -> None:
    page = written(script, tmp_path, study())
    # 0.67 +- t(2) 0.01 / sqrt(3), where t(2) is 4.303
    assert "| supervised | 3 | 67.00 | 64.52 to 69.48 | - | 67.00 (67.00) | 2 |" in page
    assert "| fixmatch | 3 | 72.00 | 69.52 to 74.48 | +5.00 (+4.00 to +6.00) | 72.00 (72.00) | 2 |" in page
    # one run: Wilson's interval of 7,000 right answers of 10,000
    assert "| meta_pseudo_labels | 1 | 70.00 | 69.09 to 70.89 | +0.50 (-0.50 to +1.50) | 70.00 (70.00) | 2 |" in page
    assert "it ends at 69.00 %." in page
    assert "in the last 50 % of the steps, at a rate of 0.005" in page
    assert "50.00 % on validation before, 64.00 % after, and 64.00 % on test" in page
    # apart from 64.52 to 69.48 is the one, and less than 3 points above the other
    assert "`fixmatch` reached (+5.00, intervals apart); `meta_pseudo_labels` not reached (+0.50, intervals not" in page
    assert "at its best after 2,000 steps. In the last 1,000 steps it answers 90.00 % of its labelled images" in page
    assert (
        "| `meta_pseudo_labels` | 1 | 70.00 | 73.00 | 72.12 to 73.86 | +5.00 (+4.00 to +6.00) | 73.00 (73.00) | 2 |"
        in page
    )
    assert "after 2,000 steps: reached (+5.00, intervals apart)." in page
    assert "in the first 1,000 steps 12 % of the images teach, in the last 48 %" in page
    assert "It ends 0.50 points above `supervised` (95 % interval -0.50 to +1.50), which may be chance." in page
    assert "| 2 | 65.00 |" in page
    assert "ends 5.00 points below the same labels alone (95 % interval -6.00 to -4.00). These reach 40.00 %" in page
    assert "next to nothing: +0.50 points (95 % interval -0.50 to +1.50)" in page
    assert "wrong on 65 of 100 test images. On validation its loss ends at 2.2 (cross entropy; an answer" in page
    assert "has 2.3), where labels alone end at 2.2. The curves" in page
    assert "their loss (dashed) falls from 0.75 to 0.25" in page
    assert "methods with fewer than three seeds" in page
    assert "--quiet" not in page
    assert "--resume" not in page


def test_a_folder_without_finished_runs_is_refused(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert script.main(["--from", str(tmp_path / "empty")], root=tmp_path) == 2
    assert "has no finished runs supervised/seed0" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


class Answers:
    """A run that gave these answers, right or wrong, to images of the classes 0 and 1."""

    def __init__(self, right: np.ndarray, seed: int = 0) -> None:
        self.path, self.record = Path(f"seed{seed}"), SimpleNamespace(seed=seed)
        self.labels = np.arange(len(right)) % 2
        self.logits = np.eye(2)[np.where(right, self.labels, 1 - self.labels)]

    def predictions(self) -> dict[str, np.ndarray]:
        return {"test_logits": self.logits, "test_labels": self.labels}


def test_few_seeds_are_compared_over_images_and_three_over_seeds_too(script: ModuleType) -> None:
    good, bad = (np.arange(1000) < count for count in (700, 600))
    others = [Answers(good, 1), Answers(bad, 2), Answers(good, 3)]
    first = script.difference([Answers(good, 2)], others)
    assert first.mean == pytest.approx(0.1)  # of the seed that both have
    assert 0.07 < first.low < 0.1 < first.high < 0.13
    with pytest.raises(UsageError, match="have no seed in common"):
        script.difference([Answers(good, 7)], others)
    over_seeds = script.difference([Answers(good, seed) for seed in (1, 2, 3)], others)
    assert over_seeds.mean == pytest.approx(0.1 / 3)
    assert over_seeds.low <= 0 < 0.09 < over_seeds.high


def test_the_table_of_the_feedback_is_that_of_its_results() -> None:
    page = (ROOT / "docs/semi_supervised.md").read_text(encoding="utf-8")
    content = read_json(ROOT / "results/few_labels/feedback.json")
    assert len(content["rows"]) == 3
    for row in content["rows"]:
        found = re.search(r"teacher_gradient=(\w+)", row["recipe"])
        name = found[1] if found else "first_order"
        mean, std = (percent(row[f"test_top1_{part}"]) for part in ("mean", "std"))
        low, high = (percent(end) for end in row["test_top1_ci95"])
        assert f"| `{name}` | {mean} ± {std} | {low} to {high} |" in page
        assert row["n_seeds"] == 3
    said = content["comparison"]
    assert "by 1.94 points on test (95 % interval -2.50 to 7.50" in json.dumps(said)
    assert "`exact` minus `none` is 1.94 points (-2.50 to 7.50)" in page
