"""`data show` and `data check`, and what training says of a part of a data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import data_files as made
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.check import check_data, imbalance, summary

pytestmark = pytest.mark.usefixtures("quick_runs")

NOTE = "only a part of cifar10: 60 of 50,000 training images and 12 of 10,000 test images"
SMALL = "batch_size=128 is more than the 54 training images: an epoch is one step; a smaller batch gives more steps"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made.cifar10(tmp_path / "data", each=12)


@pytest.mark.slow
def test_show_draws_and_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "new" / "figure.png"
    words = ["data", "show", "cifar10", "--data-dir", folder, "--out", path]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    data = load_data("cifar10", folder=folder)
    for text in ("automobile", data.split_hash, f"note: {NOTE}", f"wrote {path}", "uva_adam", "mean", "std"):
        assert text in out
    with Image.open(path) as figure:
        assert figure.width == 1800
        colours = figure.convert("RGB").getcolors(2**22)
    assert colours is not None
    assert len(colours) > 1000


def test_show_refuses_what_training_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["data", "show", "digits", "--recipe", "quick", "--set", "image_size=none", "--set", "cutout=20"]
    assert main([*words, "--out", str(tmp_path / "digits.png")]) == 2
    assert "cutout=20 makes no sense; it must be at most 8" in capsys.readouterr().err


@pytest.mark.slow
def test_show_json(capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "figure.png"
    content = json.loads(
        run(capsys, "data", "show", "cifar10", "--data-dir", folder, "--out", path, "--recipe", "uva_sgd", "--json")[1]
    )
    data = load_data("cifar10", folder=folder)
    assert content["splits"]["train"]["n"] == 54
    assert sum(content["splits"]["train"]["per_class"].values()) == 54
    assert content["splits"]["test"]["per_class"]["airplane"] == int((data.test.labels == 0).sum())
    assert (content["split_hash"], content["recipe"]) == (data.split_hash, "uva_sgd")
    assert content["notes"] == [NOTE, SMALL]
    assert content["preprocessing"]["mean"][0] == 0.49139968
    assert content["batch"]["n"] == 54
    assert len(content["batch"]["mean"]) == len(content["batch"]["std"]) == 3
    assert all(abs(mean) < 0.3 for mean in content["batch"]["mean"])


@pytest.mark.slow
def test_show_follows_the_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figures = []
    for extra in ([], ["--recipe", "uva_adam", "--set", "image_size=8", "--set", "crop=pad4"]):
        code, out, _ = run(capsys, "data", "show", "digits", "--out", tmp_path / "d.png", *extra)
        assert code == 0
        assert ("no flips" in out) is bool(extra)
        figures.append((tmp_path / "d.png").read_bytes())
    assert figures[0] != figures[1]


@pytest.mark.slow
def test_show_with_few_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = made.mnist(tmp_path / "data", train=3, test=1)
    assert run(capsys, "data", "show", "mnist", "--data-dir", home, "--out", tmp_path / "m.png")[0] == 0


def test_check_finds_what_is_there_twice(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    home = made.cifar10(tmp_path, each=12)
    content = made.batch(12, seed=0)
    content[b"data"][:3] = made.batch(12, seed=9)[b"data"][:1]  # one image three times, under labels 0, 1, 2
    made.dump(home / "test_batch", content)
    rows = check_data(load_data("cifar10", folder=home)).duplicates
    found = {tuple(row["splits"]): row for row in rows}
    train, validation = found["train", "test"]["images"], found["validation", "test"]["images"]
    assert train + validation == 9  # the other nine are the first batch's
    assert found["train", "test"]["other_label"] == 0
    assert (found["test",]["images"], found["test",]["other_label"]) == (2, 2)
    assert found["train",]["images"] == found["train", "validation"]["images"] == 0
    code, out, _ = run(capsys, "data", "check", "cifar10", "--data-dir", home, "--out", tmp_path / "page.html")
    assert code == 0, "copies in published data are warnings"
    assert f"train and test {train}" in out
    assert "within test 2 (2 with another label)" in out
    assert NOTE in out
    assert "test: 12 images; fewest 1 (" in out


def test_check_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    content = json.loads(run(capsys, "data", "check", "digits", "--json", "--out", tmp_path / "page.html")[1])
    assert {"data", "splits", "split_hash", "duplicates", "notes"} <= content.keys()
    assert content["splits"]["validation"]["n"] == 360
    assert content["shape"] == [1, 8, 8]
    assert len(content["duplicates"]) == 6


def test_the_rarest_and_the_most_frequent_class() -> None:
    assert imbalance({"a": 3, "b": 1, "c": 9}) == ("b", "c")
    assert summary(load_data("digits"))["splits"]["test"]["per_class"]["0"] == 36


@pytest.mark.slow
def test_training_says_and_records_that_it_is_a_part(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    words = ["--epochs", "1", "--set", "image_size=8", "-o", "depths=1,1,1", "-o", "widths=8,16,16", "--out"]
    out = tmp_path / "run"
    code, _, err = run(capsys, "train", "resnet_uva", "--data", "cifar10", "--data-dir", folder, *words, out)
    assert code == 0, err
    assert f"note: {NOTE}\n" in err
    assert json.loads((out / "run.json").read_text())["notes"] == [NOTE, SMALL]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data", "show", "cifar"], "did you mean cifar10"),
        (["data", "check", "imagenet"], "unknown data set"),
        (["data"], "Missing command"),
        (["data", "check"], "DATA"),
        (["data", "show", "digits", "--out", "figure.jpg"], ".png"),
        (["data", "show", "digits", "--out", "/proc/nowhere/figure.png"], "cannot write"),
        (["data", "show", "digits", "--recipe", "quik"], "did you mean quick"),
        (["data", "show", "digits", "--set", "crop=pad8"], "pad4"),
        (["data", "check", "cifar10", "--data-dir", "nowhere"], "does not exist"),
        (["train", "resnet_uva", "--data", "mnist", "--data-dir", "nowhere"], "does not exist"),
    ],
)
def test_bad_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert message in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", [["data", "show"], ["data", "check"]])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], verb: list[str]) -> None:
    code, out, _ = run(capsys, *verb, "--help")
    assert code == 0
    assert "Example: convatlas data" in out
