"""`landscape` on the command line and in Python: pictures, page, the estimate, and words that make no sense."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import convatlas
from convatlas.cli import main
from convatlas.insight.landscape.page import MOST_VALUES, caption, page, squares_of
from convatlas.insight.landscape.pictures import draw
from convatlas.insight.landscape.points import Points, even_axis
from convatlas.insight.landscape.scale import CLIP, common_scale
from convatlas.insight.landscape.writing import LONG
from convatlas.run import Run
from made_runs import made_run

QUICK = ["--grid", "5", "--images", "8", "--processes", "1"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    made = {"one": made_run(folder / "one"), "path": made_run(folder / "a path", snapshots=3, lr=0.02)}
    record = made["one"].record
    records = {
        "few": record,
        "diverged": record,
        "unfinished": replace(record, status="unfinished"),
        "other data": replace(record, data=replace(record.data, split_hash="0" * 16)),
        "no data": replace(record, data=replace(record.data, name=f"folder:{folder}/gone")),
    }
    for name, other in records.items():
        shutil.copytree(made["one"].path, folder / name)
        made[name] = Run(folder / name, other).write()
    shutil.copytree(made["path"].path / "snapshots", made["few"].path / "snapshots")
    made["few"].snapshots[1].unlink()
    content = torch.load(made["diverged"].best_checkpoint, weights_only=True)
    content["state_dict"]["network.head.fc.weight"][0, 0] = float("nan")
    torch.save(content, made["diverged"].best_checkpoint)
    return made


def test_the_folder_is_whole(runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["landscape", str(runs["one"].path), *QUICK, "--seeds", "2", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    assert re.search(r"^convatlas: 50 points of 8 images take about \d+ second", printed.err)
    assert {path.name for path in out.iterdir() if path.name[0] != "."} == {
        *("landscape.png", "landscape-seed1.png"),
        *("landscape.html", "landscape.json", "landscape.npz"),
    }
    assert [surface["seed"] for surface in content["surfaces"]] == [0, 1]
    stored = json.loads((out / "landscape.json").read_text())
    assert np.array(stored["surfaces"][1]["loss"]).shape == (5, 5)
    assert stored["session"]["versions"]["torch"] == torch.__version__
    text = (out / "landscape.html").read_text(encoding="utf-8")
    assert not re.findall(r'(?:href|src)="|https?://|url\(|@import', text)
    assert main([*words, "--resume"]) == 0  # drawn again
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "training loss" in printed.out
    assert main(words) == 2


def test_in_python(runs: dict[str, Run], tmp_path: Path) -> None:
    found = convatlas.landscape(runs["path"], out=tmp_path, directions="pca", grid=5, images=8)
    assert found.points.loss.shape == (1, 5, 5)
    assert np.isfinite(found.points.loss).all()
    assert found.content["surfaces"][0]["epochs"] == [0, 1, 2]
    assert (tmp_path / "landscape.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "words", "line"),
    [
        ("one", ["--grid", "24"], "--grid 24 has no point at the centre, where the loss is the run's own; take 25"),
        ("one", ["--grid", "3"], "--grid 3 must be an odd number from 5 to 301"),
        ("one", ["--images", "1"], "--images 1 must be at least 2"),
        ("one", ["--seeds", "0"], "--seeds 0 must be a number of draws from 1 to 20"),
        ("one", ["--processes", "0"], "--processes 0 must be at least 1"),
        ("one", ["--range", "-1"], "--range -1 must be above 0"),
        ("one", ["--range", "nan"], "--range nan must be above 0"),
        ("one", ["--directions", "pcs"], "unknown --directions 'pcs'; did you mean pca?"),
        ("one", ["--bn", "fix"], "unknown --bn 'fix'; did you mean fixed?"),
        ("one", ["--ignore", "bn"], "unknown --ignore 'bn'"),
        ("one", ["--dimensions", "3"], "--dimensions 3 must be 1 or 2"),
        ("one", ["--device", "tpu"], "unknown device 'tpu'"),
        ("one", ["--directions", "pca"], "has 0 snapshots of its weights, and pca needs 3; train it with --set snap"),
        ("few", ["--directions", "pca"], "has 2 snapshots of its weights, and pca needs 3; train it with --set snap"),
        ("path", ["--directions", "pca", "--seeds", "2"], "--seeds 2: the directions of pca are not drawn"),
        ("path", ["--directions", "pca", "--range", "2"], "--range 2: with pca the grid lies over the path"),
        ("unfinished", [], "is unfinished; go on with `convatlas train ... --resume`"),
        ("diverged", [], "holds NaN or infinity; the training had diverged"),
        ("no data", [], "gone"),
        ("one", ["other data"], "losses on other images have no common scale; draw them apart"),
        ("one", ["no/such/run"], "no run at no/such/run; name the folder of a finished run"),
        ("one", ["--out", __file__], "is a file; name a folder"),
    ],
)
def test_bad_words(
    name: str, words: list[str], line: str, runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(runs[word].path) if word in runs else word for word in (name, *QUICK, *words)]
    out = ["--out", str(tmp_path / "out")] if "--out" not in words else []
    assert main(["landscape", *given, *out]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_work_of_a_day_needs_a_yes(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("convatlas.insight.landscape.writing.seconds_of_point", lambda *_: LONG)
    words = ["landscape", str(runs["one"].path), *QUICK, "--out", str(tmp_path / "out")]
    assert main([*words, "--grid", "25"]) == 2
    said = capsys.readouterr().err
    assert "625 points of 8 images take about 625.0 hours; add --yes, or ask for less, such as --grid 11 " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main([*words, "--yes", "--dimensions", "1"]) == 0


def bowl(grid: int, surfaces: int = 1, *, high: float = 3.0, low: float = 0.01) -> Points:
    """A bowl over a grid, its lowest point at the centre."""
    axis = even_axis(1.0, grid)
    points = Points.empty({}, [(axis, axis)] * surfaces)
    radius = (axis[:, None] ** 2 + axis[None] ** 2) / 2
    points.loss[:] = low * (high / low) ** radius
    points.error[:] = radius
    return points


FACTS = {"directions": "random", "dimensions": 2, "seeds": 1, "images": 9, "data": "digits"}
FACTS |= {"ignore": "biasbn", "statistics": "fixed", "pictures": ["landscape.png"]}
SURFACE = {
    "name": "a <net> & $co", "seed": 0, "centre": {"loss": 0.01, "error": 0.0}, "explained": [], "path": None
}  # fmt: skip


@pytest.mark.parametrize(("grid", "surfaces"), [(25, 2), (101, 6), (301, 20)])
def test_the_page_is_small_and_says_what_it_leaves_out(grid: int, surfaces: int) -> None:
    points = bowl(grid, surfaces, low=0.012345, high=9.876543)
    facts = {**FACTS, "surfaces": [{**SURFACE, "name": f"network {number}"} for number in range(surfaces)]}
    text = page(points, facts, common_scale(points.loss), command="convatlas landscape <run>")
    assert len(text.encode()) < 300_000
    assert ("The page shows one point of" in text) == (grid > 25)
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert len(data["surfaces"]) == surfaces
    for surface in data["surfaces"]:
        row, column = surface["y"].index(0), surface["x"].index(0)
        assert surface["loss"][row][column] == pytest.approx(0.012345, rel=1e-3)
    assert sum(len(surface["x"]) * len(surface["y"]) for surface in data["surfaces"]) <= MOST_VALUES
    assert "&lt;run&gt;" in text


def test_infinite_losses_are_drawn_at_the_top_and_read_as_such(tmp_path: Path) -> None:
    points = bowl(7, high=1e9)
    points.loss[0, 0, 0] = np.inf
    scale = common_scale(points.loss)
    assert (scale.high, scale.clipped, scale.log) == (CLIP, True, True)
    assert draw(points, [SURFACE], scale, tmp_path) == ["landscape.png"]
    text = page(points, {**FACTS, "surfaces": [SURFACE]}, scale, command="")
    assert '"loss": [[null,' in text
    assert "Losses above 10 are drawn as 10" in text


@pytest.mark.parametrize(
    ("loss", "log", "levels"),
    [
        ([0.5, 0.9], False, (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)),
        ([2.0, 2.0], False, None),
        ([0.0, 5.0], True, (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)),
        ([30.0, 500.0], False, (30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0)),
        ([np.inf, np.inf], False, None),
        ([1.8, 1e6], True, (2.0, 3.0, 5.0, 7.0, 10.0)),
    ],
)
def test_a_scale_holds_every_surface(loss: list[float], log: bool, levels: tuple[float, ...] | None) -> None:
    scale = common_scale(np.array([[loss]]))
    assert scale.low < scale.high < np.inf
    assert scale.log == log
    assert 3 <= len(scale.levels) <= 12
    if levels is not None:
        assert scale.levels == levels


@pytest.mark.parametrize("directions", ["random", "pca"])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_captions_have_two_sentences(directions: str, dimensions: int) -> None:
    text = caption({"directions": directions, "dimensions": dimensions})
    assert len(re.findall(r"\.(?: |$)", text)) == 2


def test_squares_of_a_curve(tmp_path: Path) -> None:
    points = Points.empty({}, [(even_axis(1.0, 301), np.zeros(1))] * 3)
    assert squares_of(points) >= 300
    points.loss[:], points.error[:] = 1.0, 0.5
    assert draw(
        points, [SURFACE, {**SURFACE, "seed": 1}, {**SURFACE, "name": "b"}], common_scale(points.loss), tmp_path
    )
