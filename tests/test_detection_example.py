"""docs/write_detection.py: the page of the example comes from the records of runs alone."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which draws nothing here."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("write_detection")
    monkeypatch.setattr(module, "draw", lambda _content, _path: None)
    return module


def made(seed: int, ap50: float) -> dict[str, Any]:
    """What is kept of a run of two classes."""
    scores = {"val_ap": 0.5, "test_ap": 0.45, "test_ap50": ap50, "test_ap75": 0.4}
    classes = [
        {"class": name, "boxes": boxes, "ap": 0.4, "ap50": ap50, "curve": [1.0, 0.5]}
        for name, boxes in (("cell", 70), ("platelet", 9))
    ]
    return {
        "recipe": {"epochs": 24, "image_size": 320},
        "seed": seed,
        "data": {"name": "BCCD", "train": 205, "validation": 87, "test": 72, "split_hash": "abc"},
        "selection": "highest validation average precision",
        "versions": {"convatlas": "0.1.0"},
        "git_commit": "0123456789abcdef",
        "hardware": {"cpu": "a test's imagination"},
        "command": "convatlas train efficientdet_tiny --data voc:BCCD",
        "results": scores,
        "classes": classes,
        "epoch_seconds": 75.0,
    }


def write(root: Path, content: Any) -> None:
    path = root / "results/detection/bccd.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    (root / "docs").mkdir()
    (root / "results/bench").mkdir()
    shutil.copy(ROOT / "results/bench/efficientdet.json", root / "results/bench")


def test_the_committed_page_is_what_the_results_say(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


def test_numbers_and_intervals_come_from_the_runs(script: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, {"lite0": [made(0, 0.82), made(1, 0.84), made(2, 0.86)], "scratch": [made(0, 0.6)]})
    assert script.main(["--check"], root=tmp_path) == 1  # there is no page yet
    assert script.main([], root=tmp_path) == 0
    assert script.main(["--check"], root=tmp_path) == 0
    page = (tmp_path / "docs/detection_example.md").read_text(encoding="utf-8")
    flowing = " ".join(page.split())
    # 0.84 +- t(2) 0.02 / sqrt(3), where t(2) is 4.303
    assert "AP50 on the 72 test photographs is 84.00 % (n = 3, 95 % interval 79.03 to 88.97 %)" in flowing
    assert "it is 60.00 % (one run)" in flowing
    assert "| from ImageNet's weights | 3 | 50.00 ± 0.00 | 45.00 ± 0.00 | 84.00 ± 2.00 | 40.00 ± 0.00 | 30 |" in page
    assert "| platelet | 9 | 84.00 | 60.00 |" in page
    assert "9 test boxes of the rarest class" in flowing


def test_a_folder_without_finished_runs_is_refused(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert script.main(["--from", str(tmp_path / "empty")], root=tmp_path) == 2
    assert "has no finished runs lite0-seed0" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()
