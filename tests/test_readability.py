"""Images that cannot be read: training stops before its first step, or goes on without them and says so."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import convatlas
import planted
from convatlas.cli import main
from convatlas.data import ResidentImages, load_data, readability
from convatlas.data.check import check_data
from convatlas.data.readability import Unreadable, require_readable, unreadable_images, without_unreadable
from convatlas.errors import UsageError
from convatlas.prediction.mislabelled import with_suspects
from convatlas.report import write_report
from convatlas.run import read_run

pytestmark = pytest.mark.usefixtures("quick_runs")

QUICK = ["--epochs", "1", "--set", "image_size=32", "--batch-size", "12", "--quiet"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted.folder(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Sixty sound pictures, seven that cannot be read."""
    root = planted.folder(tmp_path / "photos")
    for number in range(5):
        (root / f"train/cat/noise{number}.jpg").write_bytes(np.random.default_rng(number).bytes(2000))
    (root / "val/dog/cut.jpg").write_bytes((root / "val/dog/00.jpg").read_bytes()[:1500])
    (root / "test/fox/empty.png").write_bytes(b"")
    return root


def test_training_stops_before_its_first_step(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "lenet5", "--data", f"folder:{damaged}", "--out", str(tmp_path / "run"), *QUICK]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for part in (
        "7 of 67 images of folder:",
        ", ".join(f"train/cat/noise{number}.jpg" for number in range(5)) + " and 2 more",
        "the first is no image file that can be read",
        "convatlas data check folder:",
        "--skip-unreadable",
    ):
        assert part in said
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="7 of 67 images"):
        convatlas.compare(["lenet5"], data=f"folder:{damaged}", out=tmp_path / "study", quiet=True)


def test_it_goes_on_without_them_and_says_how_many(
    damaged: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = f"folder:{damaged}", tmp_path / "study/lenet5/seed0"
    words = ["train", "lenet5", "--data", data, "--skip-unreadable", "--out", str(run), *QUICK]
    assert main(words) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["data"]["unreadable"] == 7
    assert (record["data"]["train"], record["data"]["validation"], record["data"]["test"]) == (36, 12, 12)
    assert any("cannot be read and were left out: 7 (train/cat/noise0.jpg" in note for note in record["notes"])
    page = tmp_path / "study/report.html"
    write_report([run], out=page.parent)
    assert "; 7 that cannot be read were left out" in page.read_text()

    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 2
    assert "if the run left out images that cannot be read, add --skip-unreadable" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--skip-unreadable", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 12
    with pytest.warns(UserWarning, match="were left out: 7"):
        assert convatlas.evaluate(run, skip_unreadable=True).n == 12
    # The run knows its images in a check of all of them too.
    checked = with_suspects(check_data(load_data(data)), read_run(run))
    assert checked.searched


def test_a_sound_set_is_not_changed(sound: Path) -> None:
    data = load_data(f"folder:{sound}")
    require_readable(data)
    assert without_unreadable(data) is data
    digits = load_data("digits")
    assert without_unreadable(digits) is digits


def test_a_set_without_training_images_can_be_evaluated(damaged: Path) -> None:
    data = load_data(f"folder:{damaged}")
    none = ResidentImages(torch.empty(0, 3, 1, 1), torch.empty(0).long(), torch.empty(0).long())
    left = without_unreadable(replace(data, train=none))
    assert (len(left.train), len(left.test), left.unreadable) == (0, 12, 2)


def test_places_in_the_source_stay(damaged: Path) -> None:
    data = load_data(f"folder:{damaged}")
    left = without_unreadable(data)
    for part, images in left.parts.items():
        whole = data.parts[part]
        assert set(images.index.tolist()) < set(whole.index.tolist())
        kept = [place for place, index in enumerate(whole.index.tolist()) if index in set(images.index.tolist())]
        assert images.labels.tolist() == whole.labels[kept].tolist()
    assert left.split_hash != data.split_hash
    assert left.kept().to("cpu").unreadable == 7


@pytest.mark.parametrize(
    ("gone", "message"),
    [("train/cat", "no training image of class cat"), ("test", "no test image of folder:")],
)
def test_a_class_or_a_part_of_which_nothing_is_left(gone: str, message: str, tmp_path: Path) -> None:
    root = planted.folder(tmp_path / "photos")
    for path in (root / gone).rglob("*.*"):
        path.write_bytes(b"no picture")
    with pytest.raises(UsageError, match=message):
        without_unreadable(load_data(f"folder:{root}"))


def test_a_cut_file_is_found_wherever_it_is_cut(tmp_path: Path) -> None:
    """Decoded as small as it goes, a picture is refused exactly where the whole one is."""
    root = planted.folder(tmp_path / "photos")
    whole = {}
    for kind in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        planted.picture(7, size=(96, 80)).save(buffer, kind, quality=90)
        whole[kind] = buffer.getvalue()
    buffer = io.BytesIO()
    planted.picture(8).save(buffer, "JPEG", progressive=True)
    whole["jpg"] = buffer.getvalue()
    for kind, content in whole.items():
        for tenth in range(1, 10):
            (root / f"train/cat/{kind}{tenth}.{kind}").write_bytes(content[: len(content) * tenth // 10])
    data = load_data(f"folder:{root}")
    reasons = check_data(data).scan.reasons
    assert [one.place for one in unreadable_images(data)] == sorted(reasons)
    assert len(reasons) >= 30


# --------------------------------------------------------------------------------------------------------- remembered


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(readability, "FEW", 10)
    monkeypatch.setattr(readability, "MANY", 60)
    return tmp_path / "cache"


def test_the_second_time_costs_nothing(
    damaged: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = unreadable_images(load_data(f"folder:{damaged}"))
    assert len(found) == 7
    assert "trying once whether all 67 images can be read" in capsys.readouterr().err
    moved = damaged.rename(damaged.parent / "moved")  # the images are the same
    with monkeypatch.context() as context:
        context.setattr(readability, "_try_all", lambda _: pytest.fail("tried again"))
        assert unreadable_images(load_data(f"folder:{moved}")) == found
    assert capsys.readouterr().err == ""
    (moved / "train/dog/00.jpg").write_bytes(b"another")
    assert len(unreadable_images(load_data(f"folder:{moved}"))) == 8


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        '{"images": 66}',
        '{"images": 67, "unreadable": 3}',
        '{"images": 67, "unreadable": [[1]]}',
        '{"images": 67, "unreadable": [["train", 99, ""]]}',
        '{"images": 67, "unreadable": [["none", 0, ""]]}',
    ],
)
def test_a_damaged_memory_is_not_believed(content: str, damaged: Path, cache: Path) -> None:
    data = load_data(f"folder:{damaged}")
    found = unreadable_images(data)
    (path,) = cache.rglob("*.json")
    path.write_text(content)
    assert unreadable_images(replace(data)) == found


def test_a_cache_that_cannot_be_written_is_said(damaged: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.write_text("a file in its place")
    assert isinstance(unreadable_images(load_data(f"folder:{damaged}"))[0], Unreadable)
    assert "cannot be written" in capsys.readouterr().err
