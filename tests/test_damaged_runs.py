"""Folders of stopped runs that were damaged: they go on, or one line says which file, what is wrong and the way on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas.errors import UsageError
from convatlas.files import keep, read_arrays
from convatlas.run import Run, read_run
from convatlas.training import train_plan
from fixtures import write_fake_run
from test_training import StopAt, assert_same, tiny_plan

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_runs")]

EPOCHS, STEPS = 3, 4  # of tiny_plan


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_plan(tiny_plan(epochs=EPOCHS), folder=tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped in its third epoch."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(epochs=EPOCHS), folder=folder, progress=StopAt(2 * STEPS + 1))
    return folder


@pytest.fixture
def stopped(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


def resume(folder: Path) -> Run:
    return train_plan(tiny_plan(epochs=EPOCHS), folder=folder, resume=True)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tensors(path: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(3)}}, path)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("my notes"),
    "weights alone": tensors,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_last_checkpoint_goes_on_from_the_one_before(
    stopped: Path, whole: Run, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    DAMAGES[damage](last)
    content = last.read_bytes()
    assert_same(resume(stopped), whole)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"note: {last} is damaged (")
    assert lines[0].endswith("it is kept as last.ckpt.damaged")
    assert lines[1] == f"note: the run goes on from {last.with_name('previous.ckpt')}, epoch 1"
    assert last.with_name("last.ckpt.damaged").read_bytes() == content
    assert not last.with_name("previous.ckpt").exists()


@pytest.mark.parametrize("left", ["best.ckpt", None])
def test_with_more_damage_it_goes_on_from_the_best_or_begins_anew(
    stopped: Path, whole: Run, capsys: pytest.CaptureFixture[str], left: str | None
) -> None:
    for path in sorted((stopped / "checkpoints").iterdir()):
        if path.name != left:
            path.write_bytes(b"")
    assert_same(resume(stopped), whole)
    expected = f"goes on from {stopped / 'checkpoints' / left}" if left else "begins anew"
    assert expected in capsys.readouterr().err.splitlines()[-1]


def test_a_kept_name_is_never_overwritten(stopped: Path, whole: Run) -> None:
    (stopped / "checkpoints" / "last.ckpt.damaged").write_text("the first")
    (stopped / "checkpoints" / "last.ckpt").write_text("the second")
    assert_same(resume(stopped), whole)
    names = ("last.ckpt.damaged", "last.ckpt.damaged1")
    assert [(stopped / "checkpoints" / name).read_text() for name in names] == ["the first", "the second"]


def test_a_last_checkpoint_of_another_run_is_refused_and_stays(stopped: Path, whole: Run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    last = stopped / "checkpoints" / "last.ckpt"
    for changes, different in (({"lr": 0.125}, "recipe.lr"), ({"widths": (4, 4)}, "architecture.options")):
        if "widths" in changes:
            content = torch.load(last, weights_only=True)
            content["convatlas"]["architecture"]["options"] = {"widths": [4, 4]}
            torch.save(content, other)
            shutil.copy(other, last)
        else:
            with pytest.raises(KeyboardInterrupt):
                train_plan(tiny_plan(epochs=EPOCHS, **changes), folder=other, progress=StopAt(STEPS + 1))
            content = torch.load(last, weights_only=True)
            shutil.copy(other / "checkpoints" / "last.ckpt", last)
            shutil.rmtree(other)
        before = last.read_bytes()
        with pytest.raises(UsageError, match=rf"last.ckpt is a checkpoint of another run \({different}.*move it away"):
            resume(stopped)
        assert last.read_bytes() == before
        torch.save(content, last)


def test_other_tensors_than_those_of_the_network_are_refused(stopped: Path) -> None:
    last = stopped / "checkpoints" / "last.ckpt"
    content = torch.load(last, weights_only=True)
    key = next(iter(content["state_dict"]))
    content["state_dict"][key] = torch.zeros(3)
    torch.save(content, last)
    with pytest.raises(UsageError, match=r"last.ckpt has other tensors than the network of the run; move it away"):
        resume(stopped)


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content)


def lacking(name: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        content: dict[str, Any] = json.loads(path.read_text())
        del content[name]
        path.write_text(json.dumps(content))

    return write


RECORDS = {
    "cut": (cut, "run.json cannot be read: it is cut off or no JSON, in line"),
    "empty": (text(""), "cut off or no JSON"),
    "binary": (lambda path: path.write_bytes(b"\xff\xfe"), "it is no text in UTF-8"),
    "deep": (text("[" * 10**5), "it is nested too deep"),
    "digits": (text("9" * 10**5), "it is cut off or no JSON"),
    "a list": (text("[]"), "holds no JSON object"),
    "huge": (text(" " * (16 * 2**20 + 1)), "has more than 16,777,216 bytes"),
    **{name: (lacking(name), f"its {name} cannot be read: it is missing") for name in ("status", "data", "recipe")},
}


@pytest.mark.parametrize(("damage", "message"), RECORDS.values(), ids=RECORDS)
def test_a_damaged_record_is_one_line_and_stays(stopped: Path, damage: Callable[[Path], object], message: str) -> None:
    path = stopped / "run.json"
    damage(path)
    before = path.read_bytes()
    for work in (lambda: resume(stopped), lambda: read_run(stopped)):
        with pytest.raises(UsageError, match=f"{message}.*; bring back a copy of it") as caught:
            work()
        assert str(caught.value).startswith(str(path))
        assert str(caught.value).isprintable()
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["sessions", "device", "results", "notes", "published"])
def test_a_record_without_what_has_a_default_goes_on(stopped: Path, whole: Run, name: str) -> None:
    lacking(name)(stopped / "run.json")
    if name == "device":
        with pytest.raises(UsageError, match="was begun on an unknown device; bring back a copy of"):
            resume(stopped)
    else:
        assert_same(resume(stopped), whole)


PLACES = ("run.json", ".lock", ".holder.json", "metrics.csv", "predictions.npz", "samples.npz", "curves.png")


@pytest.mark.parametrize(
    "name", [*PLACES, "checkpoints/last.ckpt", "checkpoints/best.ckpt", "checkpoints/previous.ckpt"]
)
def test_a_folder_in_the_place_of_a_file(stopped: Path, name: str) -> None:
    path = stopped / name
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(UsageError, match=f"{path} is no regular file, and a file is written there; move it away"):
        resume(stopped)
    assert path.is_dir()


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard"])
def test_a_file_in_the_place_of_a_folder(stopped: Path, name: str) -> None:
    path = stopped / name
    shutil.rmtree(path)
    path.write_text("mine")
    with pytest.raises(UsageError, match=f"{path} is no folder, and a folder is needed there; move it away"):
        resume(stopped)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["", "epoch\n1", "a,b\n1,2", "epoch,lr\n1,x", "epoch,lr\n1,2,3", '"', "\0", "\udcff"]
)
def test_damaged_metrics(stopped: Path, whole: Run, tmp_path: Path, content: str) -> None:
    """A run that goes on writes them anew; a reader of a finished run is told."""
    (stopped / "metrics.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"is unfinished .* go on with --resume"):
        train_plan(tiny_plan(epochs=EPOCHS), folder=stopped)
    with pytest.raises(UsageError, match=r"metrics.csv cannot be read: .*; bring back a copy of it"):
        read_run(stopped).metrics()
    if content == "\0":
        assert_same(resume(stopped), whole)


def test_damaged_predictions(tmp_path: Path) -> None:
    run = write_fake_run(tmp_path / "run", "resnet_uva")
    path = run.path / "predictions.npz"
    good = path.read_bytes()
    for content in (b"", b"text", good[:-30], good[: len(good) // 2], good[::-1]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"predictions.npz cannot be read: it is cut off or damaged"):
            run.predictions()
    assert read_arrays(run.path / "samples.npz")


def test_a_second_name_of_a_file_takes_the_place_of_another(tmp_path: Path) -> None:
    (tmp_path / "last").write_text("new")
    (tmp_path / "before").write_text("old")
    for _ in range(2):
        keep(tmp_path / "last", "before")
        assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"last": "new", "before": "new"}


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 2}', '{"format": 2, "identity": {"networks": {}}}'])
def test_a_damaged_record_of_a_study_is_one_line(tmp_path: Path, content: str) -> None:
    from convatlas.run import read_study

    path = tmp_path / "study.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="; bring back a copy of it, or move it away") as caught:
        read_study(tmp_path)
    assert str(caught.value).startswith(str(path))
    assert str(caught.value).isprintable()
