"""A run answers for its own images: another copy of them is refused, or evaluated on purpose and said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from convatlas import evaluate
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.report import write_report
from convatlas.run import read_run
from data_files import idx, mnist, pixels
from fixtures import quick_runs

NET = """
from torch import nn
def net(*, num_classes=10, in_channels=1):
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
"""
FAST = ["--epochs", "1", "--batch-size", "8", "--set", "image_size=8", "--quiet"]
PART = "only a part of mnist: 40 of 60,000 training images and 12 of 10,000 test images"


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


pytestmark = [
    pytest.mark.filterwarnings("ignore:.*only a part of mnist"),
    pytest.mark.usefixtures("quick_runs"),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a few invented images, these images, and a copy of them with every test image inverted."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "own.py").write_text(NET)
    for name in ("published", "inverted"):
        mnist(folder / name / "MNIST" / "raw", train=40, test=12, gzipped=False)
    inverted = 255 - pixels(12, 28, 28, seed=1)
    (folder / "inverted/MNIST/raw/t10k-images-idx3-ubyte").write_bytes(idx(inverted))
    words = ["--data", "mnist", "--data-dir", folder / "published", *FAST, "--out", folder / "run"]
    with quick_runs():
        assert main([str(word) for word in ("train", f"{folder / 'own.py'}:net", *words)]) == 0
    return folder


@pytest.fixture
def places(trained: Path, tmp_path: Path) -> dict[str, Path]:
    """The folders and the network's file, in a place of the test's own."""
    shutil.copytree(trained, tmp_path / "places")
    return {path.name: path for path in (tmp_path / "places").iterdir()}


def test_another_copy_of_the_images_is_refused_in_one_line(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "evaluate", places["run"], "--data-dir", places["inverted"])
    assert (code, out, err.count("\n")) == (2, "", 1), err
    ours = read_run(places["run"]).record.data.images_hash
    assert ours is not None
    for text in ("the images at hand have the hash", f"those of the run {ours}", "--data mnist evaluates on this copy"):
        assert text in err
    with pytest.raises(UsageError, match="the images at hand have the hash"):
        evaluate(places["run"], data_dir=places["inverted"])
    assert run(capsys, "evaluate", places["run"], "--data-dir", places["published"])[0] == 0


def test_another_copy_is_evaluated_where_the_data_is_named(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The note goes to standard error and into the JSON; Python warns."""
    words = ["--data", "mnist", "--data-dir", places["inverted"]]
    code, out, err = run(capsys, "evaluate", places["run"], *words, "--json")
    assert code == 0, err
    part, other = json.loads(out)["notes"]
    assert part == PART
    assert other.startswith(f"another copy of mnist than that of {places['run']}: the images at hand have the hash ")
    assert f"{places['run']}: {other}\n" in err
    with pytest.warns(UserWarning, match="another copy of mnist"):
        evaluate(places["run"], data="mnist", data_dir=places["inverted"])


def test_the_notes_of_the_data_are_said(places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "evaluate", places["run"], "--data-dir", places["published"], "--json")
    assert code == 0, err
    assert json.loads(out)["notes"] == [PART]
    assert err == f"convatlas: {places['run']}: {PART}\n"


def test_the_notes_of_the_data_follow_the_numbers(places: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "evaluate", places["run"], "--data-dir", places["published"])
    assert code == 0, err
    assert out.splitlines()[1] == PART
    assert not err


def test_an_evaluated_checkpoint_keeps_the_notes(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Those of the data, and that the images are not those that the checkpoint was trained on."""
    away = tmp_path / "away.ckpt"
    away.write_bytes((places["run"] / "checkpoints/best.ckpt").read_bytes())
    words = ["--arch", f"{places['own.py']}:net", "--data", "mnist", "--out", tmp_path / "evaluated"]
    code, _, err = run(capsys, "evaluate", away, *words, "--data-dir", places["inverted"])
    assert code == 0, err
    notes = read_run(tmp_path / "evaluated").record.notes
    assert PART in notes
    assert any("another copy of mnist" in note for note in notes)


def test_an_evaluated_checkpoint_of_an_own_network_opens_again(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its record has the hash of the network's file; a changed file is refused, and the message says so."""
    away, own = tmp_path / "away.ckpt", places["own.py"]
    away.write_bytes((places["run"] / "checkpoints/best.ckpt").read_bytes())
    data = ["--data-dir", places["published"]]
    words = ["--arch", f"{own}:net", *data, "--out", tmp_path / "evaluated"]
    code, first, err = run(capsys, "evaluate", away, *words, "--json")
    assert code == 0, err
    code, again, err = run(capsys, "evaluate", tmp_path / "evaluated", *data, "--json")
    assert code == 0, err
    assert json.loads(first)["loss"] == json.loads(again)["loss"]
    own.write_text(NET + "# changed\n")
    code, _, err = run(capsys, "evaluate", tmp_path / "evaluated", *data)
    assert (code, err.count("\n")) == (2, 1)
    assert "is not what it was when the run" in err


def test_an_evaluated_run_that_does_not_say_its_networks_file_is_not_blamed_on_the_file(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Format 1 did not keep the hash of an evaluated network's file; the user may vouch for the file."""
    away, folder = tmp_path / "away.ckpt", tmp_path / "evaluated"
    away.write_bytes((places["run"] / "checkpoints/best.ckpt").read_bytes())
    arch, data = ["--arch", f"{places['own.py']}:net"], ["--data-dir", places["published"]]
    assert run(capsys, "evaluate", away, *arch, *data, "--out", folder)[0] == 0
    content = json.loads((folder / "run.json").read_text())
    del content["architecture"]["source_hash"], content["start"]
    (folder / "run.json").write_text(json.dumps({**content, "format": 1}))
    code, _, err = run(capsys, "evaluate", folder, *data)
    assert (code, err.count("\n")) == (2, 1)
    assert "does not say which version of" in err
    assert "--arch FILE.py:NAME" in err
    assert run(capsys, "evaluate", folder, *arch, *data)[0] == 0


def test_pixels_are_not_compared_with_a_record_that_has_no_hash_of_them(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs of the first days did not keep it."""
    path = places["run"] / "run.json"
    content = json.loads(path.read_text())
    del content["data"]["images_hash"]
    path.write_text(json.dumps(content))
    assert np.isfinite(evaluate(places["run"], data_dir=places["inverted"]).loss)


@pytest.mark.slow
def test_two_evaluated_checkpoints_of_one_name_are_two_rows(
    places: dict[str, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Their hashes tell them apart; each is evaluated into a folder of its own."""
    content = torch.load(places["run"] / "checkpoints/best.ckpt", weights_only=True)
    study = tmp_path / "evaluated"
    for number in range(2):
        content["state_dict"]["network.3.bias"] += number
        path = tmp_path / str(number) / "net.ckpt"
        path.parent.mkdir()
        torch.save(content, path)
        words = ["--arch", f"{places['own.py']}:net", "--data-dir", places["published"], "--out"]
        assert run(capsys, "evaluate", path, *words, study / str(number))[0] == 0
        assert run(capsys, "evaluate", path, *words, study / "0")[0] == (0 if number == 0 else 2)
    rows = write_report(study).rows
    assert len({row["recipe"] for row in rows}) == len(rows) == 2
    assert all(row["recipe"].startswith("published(source=net.ckpt ") for row in rows)
