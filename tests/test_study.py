"""Studies: many runs under one protocol, stopped, resumed, failing, refused."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from convatlas.errors import UsageError
from convatlas.files import held
from convatlas.progress import Overview, Silent
from convatlas.recipe import recipe, write_recipe
from convatlas.report import write_report
from convatlas.request import Entry, Request
from convatlas.run import find_runs, read_run
from convatlas.study import compare, plan_study
from convatlas.training import TrainingError, train_plan
from fixtures import quick_runs

pytestmark = pytest.mark.usefixtures("quick_runs")

FAST = {"epochs": 1, "batch_size": 256, "image_size": 8}
OPTIONS = {"depths": (1, 1, 1), "widths": (8, 16, 16)}
NETWORKS = ["resnet_uva", "preact_resnet_uva"]


def asked(entries: Sequence[str] = NETWORKS, **changes: Any) -> Request:
    """Two networks with two seeds, unless other things are asked for."""
    values = {"seeds": (0, 1), "settings": FAST, "options": OPTIONS, **changes}
    return Request(tuple(Entry.parse(entry) for entry in entries), **values)


def without_clock(content: dict[str, Any]) -> str:
    """`results.json` without what the clock and the command line decide."""
    content = json.loads(json.dumps(content))
    content["protocol"].pop("command", None)
    for row in content["rows"]:
        for part in (row, *row["runs"]):
            for name in ("train_seconds", "images_per_second"):
                part.pop(name, None)
    return json.dumps(content, sort_keys=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "out"
    with quick_runs():
        compare(asked(), out=folder, quiet=True)
    return folder


def test_a_study_leaves_its_files(study: Path) -> None:
    names = {"results.csv", "results.json", "results.md", "curves.png", "accuracy_vs_macs.png", "report.html"}
    assert names <= {path.name for path in study.iterdir()}
    assert len(find_runs(study)) == 4


def test_results_json_keeps_the_contract(study: Path) -> None:
    content = json.loads((study / "results.json").read_text())
    assert {"protocol", "rows"} <= content.keys()
    keys = (
        "architecture options recipe selection split_hash n_seeds val_top1_mean val_top1_std test_top1_mean "
        "test_top1_std test_top1_ci95 params macs train_seconds images_per_second runs"
    )
    for row in content["rows"]:
        assert set(keys.split()) <= row.keys()
        assert row["n_seeds"] == len(row["runs"]) == 2
        assert 0 <= row["test_top1_mean"] <= 1
    assert {row["architecture"] for row in content["rows"]} == set(NETWORKS)


def test_results_csv_has_a_row_for_each(study: Path) -> None:
    with (study / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


@pytest.mark.slow
def test_a_finished_study_is_loaded(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (study / "results.json").read_bytes()
    monkeypatch.setattr("convatlas.training.train._train_and_evaluate", lambda _: pytest.fail("trained again"))
    compare(asked(), out=study, quiet=True)
    assert (study / "results.json").read_bytes() == before


@pytest.mark.slow
def test_report_rebuilds_the_same(study: Path) -> None:
    files = ("results.json", "results.csv", "results.md")
    before = [(study / name).read_bytes() for name in files]
    for name in files:
        (study / name).unlink()
    write_report(study)
    assert [(study / name).read_bytes() for name in files] == before


class StopIn(Silent):
    """Raises in the second step of the n-th run, as Ctrl-C does."""

    def __init__(self, run: int) -> None:
        self.run = run

    def started(self, job: Any, *, steps: int, first_epoch: int, first_step: int) -> None:
        self.run -= 1

    def stepped(self, job: Any, *, step: int) -> None:
        if self.run == 0 and step == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_stopped_study_goes_on(study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("convatlas.study.choose", lambda *_, **__: StopIn(3))
        with pytest.raises(KeyboardInterrupt):
            compare(asked(), out=out)
    with pytest.raises(UsageError, match=r"unfinished \(2 of 4 runs\); go on with --resume"):
        compare(asked(), out=out, quiet=True)
    resumed = compare(asked(), out=out, resume=True, quiet=True)
    assert without_clock(resumed.content()) == without_clock(json.loads((study / "results.json").read_text()))


BROKEN = """
from torch import nn

class Broken(nn.Sequential):
    def forward(self, images):
        if images.device.type != "meta" and len(images) > 2:
            raise RuntimeError("this network breaks when it works")
        return super().forward(images)

def broken(*, num_classes=10, in_channels=1):
    return Broken(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))
"""


@pytest.mark.slow
def test_a_failing_run_does_not_lose_the_others(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(BROKEN)
    entries = [f"{path}:broken", "resnet_uva"]
    report = compare(asked(entries, options={}, seeds=(0,)), out=tmp_path / "out", quiet=True)
    assert [row["architecture"] for row in report.rows] == ["resnet_uva"]
    assert "breaks when it works" in report.failed[0]["error"]
    failed = read_run(tmp_path / "out" / report.failed[0]["path"])
    assert failed.status == "failed"
    assert "Traceback" in failed.results["traceback"]


def test_all_runs_failing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(BROKEN)
    with pytest.raises(TrainingError, match="all 1 runs failed; the first: broken seed 0"):
        compare(asked([f"{path}:broken"], options={}, seeds=(0,)), out=tmp_path / "out", quiet=True)


def test_recipes_of_their_own(tmp_path: Path) -> None:
    entries = ["resnet_uva@uva_adam", "resnet_uva@quick"]
    members = plan_study(asked(entries, settings={"epochs": 2}), out=tmp_path)
    assert [member.plan.recipe.optimizer.kind for member in members[::2]] == ["adamw", "adamw"]
    assert members[0].plan.recipe.schedule.milestones == (1, 2)
    assert "@uva_adam" in members[0].plan.job.label
    assert len({member.folder for member in members}) == 4


@pytest.mark.slow
def test_two_recipes_of_one_network_on_a_terminal(tmp_path: Path) -> None:
    """The display knows the runs by the names that the training reports: network and recipe."""
    entries = ["resnet_uva@uva_adam", "resnet_uva@quick"]
    settings = {"epochs": 1, "batch_size": 256, "image_size": 8}
    members = plan_study(asked(entries, settings=settings, seeds=(0,)), out=tmp_path)
    screen = Console(file=StringIO(), force_terminal=True, width=120)
    with Overview(screen, [member.plan.job for member in members]) as progress:
        for member in members:
            train_plan(member.plan, folder=member.folder, progress=progress)
    drawn = progress.render().plain
    assert all(recipe_name in drawn for recipe_name in ("uva_adam", "quick"))
    assert "running" not in drawn


@pytest.mark.parametrize("changes", [{"seeds": (0, 2)}, {"settings": {**FAST, "lr": 0.1}}, {"options": {}}])
def test_a_folder_of_another_study_is_refused(study: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="holds another study"):
        compare(asked(**changes), out=study, quiet=True)


def test_a_refused_study_changes_nothing(study: Path) -> None:
    before = (study / "study.json").read_bytes()
    with held(study), pytest.raises(UsageError, match="is held by process"):
        compare(asked(seeds=(0, 1, 2)), out=study, resume=True, quiet=True)
    assert (study / "study.json").read_bytes() == before


def test_a_full_disk_ends_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    def full(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("convatlas.training.train._train_and_evaluate", full)
    with pytest.raises(OSError, match="No space left"):
        compare(asked(), out=tmp_path / "out", quiet=True)
    assert attempts == 1


@pytest.mark.slow
def test_a_study_grows_with_resume(tmp_path: Path) -> None:
    out = tmp_path / "out"
    compare(asked(NETWORKS[:1], seeds=(0,)), out=out, quiet=True)
    with pytest.raises(UsageError, match="holds another study"):
        compare(asked(), out=out, quiet=True)
    report = compare(asked(), out=out, resume=True, quiet=True)
    assert [row["n_seeds"] for row in report.rows] == [2, 2]
    with pytest.raises(UsageError, match="holds another study"):
        compare(asked(NETWORKS[:1]), out=out, resume=True, quiet=True)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and holds no study"):
        compare(asked(), out=tmp_path, quiet=True)


@pytest.mark.parametrize(
    ("entries", "changes", "message"),
    [
        ([], {}, "at least one architecture"),
        (["resnet_uva", "resnet_uva"], {}, "2 times"),
        (["resnet_uva@"], {}, "is not ARCH@RECIPE"),
        (["resnet_uva@quik"], {}, "unknown recipe 'quik'; did you mean quick"),
        (["resnet_uvx"], {}, "unknown architecture 'resnet_uvx'"),
        (["resnet_uva"], {"seeds": ()}, "one or more different"),
        (["resnet_uva"], {"seeds": (1, 1)}, "one or more different"),
        (["resnet_uva"], {"data": "digts"}, "did you mean digits"),
        (["densenet_uva"], {}, "unknown option of densenet_uva 'widths'"),
    ],
)
def test_what_cannot_be_compared(tmp_path: Path, entries: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare(asked(entries, **changes), out=tmp_path / "out", quiet=True)
    assert not (tmp_path / "out").exists()


def test_a_study_has_one_arithmetic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounded = tmp_path / "rounded.yaml"
    rounded.write_text(write_recipe(recipe("quick").replaced(precision="bf16")))
    entries = ["resnet_uva@quick", f"preact_resnet_uva@{rounded}"]
    with pytest.raises(
        UsageError, match=r"one arithmetic, but quick.* in float32 and quick\[precision=bf16\].* in bf16 .*--precision"
    ):
        plan_study(asked(entries), out=tmp_path / "out")
    rounding = {**FAST, "precision": "bf16"}
    plans = [member.plan for member in plan_study(asked(entries, settings=rounding), out=tmp_path / "out")]
    assert {plan.recipe.precision for plan in plans} == {"bf16"}
    monkeypatch.setattr("convatlas.study._attempt", lambda *_args, **_kwargs: "not trained")
    with pytest.raises(TrainingError, match="not trained"):
        compare(asked(["resnet_uva"], settings=rounding), out=tmp_path / "study")
    assert "computed in bf16 on cpu" in capsys.readouterr().err
