"""docs/write_transfer.py: the page of the example comes from results alone."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which draws nothing here."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    module = importlib.import_module("write_transfer")
    monkeypatch.setattr(module, "draw", lambda _contents, _folder: None)
    return module


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout with the committed results and page."""
    shutil.copytree(ROOT / "results/transfer", tmp_path / "results/transfer")
    (tmp_path / "results/bench").mkdir()
    for name in ("probe", "frozen_step"):
        shutil.copy(ROOT / f"results/bench/{name}.json", tmp_path / "results/bench")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/transfer_example.md", tmp_path / "docs")
    return tmp_path


def test_the_page_is_what_the_results_say(script: ModuleType, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err
    page = copy / "docs/transfer_example.md"
    page.write_text(page.read_text(encoding="utf-8").replace("linear probe", "probe"), encoding="utf-8")
    assert script.main(["--check"], root=copy) == 1
    assert script.main([], root=copy) == 0
    assert page.read_text(encoding="utf-8") == (ROOT / "docs/transfer_example.md").read_text(encoding="utf-8")


def test_the_sentences_follow_the_numbers(script: ModuleType, copy: Path) -> None:
    path = copy / "results/transfer/lite0.json"
    content = json.loads(path.read_text())
    for row in content["rows"]:
        if row["method"].startswith("scratch:") and row["shots"] == "5":
            row["test_top1_mean"], row["test_top1_ci95"] = 0.4, [0.3, 0.5]
        if row["method"].startswith("head_only") and row["shots"] == "5":
            row["test_top1_mean"], row["test_top1_ci95"] = 0.45, [0.42, 0.48]
    path.write_text(json.dumps(content))
    script.main([], root=copy)
    page = " ".join((copy / "docs/transfer_example.md").read_text(encoding="utf-8").split())
    assert "reaches 40.00 % (95 % interval 30.00 to 50.00 %): 5.0 points less. The two intervals overlap." in page


def test_unfinished_runs_are_refused(script: ModuleType, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = copy / "runs/lite0"
    study.mkdir(parents=True)
    content = json.loads((copy / "results/transfer/lite0.json").read_text())
    (study / "results.json").write_text(json.dumps({**content, "unfinished": ["full/shots5/draw0"]}))
    assert script.main(["--from", str(copy / "runs")], root=copy) == 2
    assert "has failed or unfinished runs" in capsys.readouterr().err
