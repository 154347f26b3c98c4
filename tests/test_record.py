"""The records of runs and studies: of both formats, compared by one identity, and damaged ones told in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas import create
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.recipe import defaults, recipe
from convatlas.report import write_report
from convatlas.request import Entry, Request
from convatlas.run import (
    Run,
    Start,
    differences,
    find_runs,
    read_checkpoint_record,
    read_run,
    read_run_record,
    read_study,
    run_there,
    study_of,
)
from convatlas.study import compare
from convatlas.training import train_plan
from fixtures import fake_data, fake_record, write_fake_run, write_fake_study
from test_training import StopAt, assert_same, tiny_plan

FORMAT_1 = Path(__file__).parent / "format_1"  # as ConvAtlas wrote them before format 2
NAME = "resnet_uva_depths=1,1,1,_widths=8,8,16_@quick_epochs=3,batch_size=256,image_size=8"
REQUEST = Request(
    (Entry("resnet_uva"),),
    seeds=(0,),
    settings={"epochs": 3, "batch_size": 256, "image_size": 8},
    options={"depths": (1, 1, 1), "widths": (8, 8, 16)},
)


def content_of(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FORMAT_1 / name).read_text())
    return content


def put(folder: Path, content: object, name: str = "run.json") -> Path:
    """Writes a record into a folder that need not exist; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


# ------------------------------------------------------------------------------------------------------ both formats


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = dataclasses.replace(
        fake_record("lenet5"),
        start=Start.from_weights("a.ckpt", sha256="0" * 64, kept=("stem",), fresh=("head",)),
        notes=("a note",),
        results={"test_top1": 0.5, "val_top1": None, "test_loss": float("inf")},
    )
    assert read_run(Run(tmp_path, record).write().path).record == record
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["format"] == 2
    assert content["start"]["origin"] == "weights"
    assert content["data"]["split_seed"] == 42
    assert {key: content[key] for key in content["sessions"][-1]} == content["sessions"][-1]


def test_format_1_is_read(tmp_path: Path) -> None:
    """Everything that it says is there; a start is from the seed, of an evaluated checkpoint from its file."""
    content = content_of("run.json")
    record = read_run_record(content, label="run.json")
    assert record.start == Start.from_seed()
    content["preprocessing"]["fit"] = "crop"  # what it was when there was no other
    assert (record.status, record.seed, record.device) == ("finished", 0, "cpu")
    assert record.architecture.options == {"depths": [1, 1, 1], "widths": [8, 8, 16]}
    assert (record.data.train, record.data.split_hash, record.data.split_seed) == (1077, "003446f167bf540f", None)
    assert (record.latest.started, len(record.sessions)) == (content["started"], 1)
    again = record.content()
    assert {name: again[name] for name in content if name not in ("format", "data")} == {
        name: value for name, value in content.items() if name not in ("format", "data")
    }
    evaluated = read_run_record(content_of("evaluated.json"), label="run.json")
    assert (evaluated.start.origin, evaluated.start.source, evaluated.seed) == ("weights", "w.pt", None)
    assert (evaluated.start.sha256 or "").startswith("4c7fd18b")
    assert evaluated.latest.command is not None


def test_records_of_the_first_days_are_read() -> None:
    """Without sessions, device, published results and the hash of the pixels."""
    content = content_of("run.json")
    for name in ("sessions", "device", "published", "started"):
        del content[name]
    del content["data"]["images_hash"]
    record = read_run_record(content, label="run.json")
    assert (record.device, record.published, record.data.images_hash) == (None, (), None)
    assert record.latest.git_commit == content["git_commit"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_run_of_format_1_is_resumed_and_reported(tmp_path: Path) -> None:
    """It goes on bit for bit, and its record is of format 2 afterwards, with both sittings."""
    whole = train_plan(tiny_plan(), folder=tmp_path / "whole")
    folder = tmp_path / "old"
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=folder, progress=StopAt(6))
    content = {**content_of("run.json"), "status": "unfinished"}
    del content["results"]
    put(folder, content)
    run = train_plan(tiny_plan(), folder=folder, resume=True)
    assert_same(run, whole)
    assert json.loads((folder / "run.json").read_text())["format"] == 2
    assert run.record.sessions[0].command == content["command"]
    assert len(run.record.sessions) == 2
    put(folder, content_of("run.json"))
    assert train_plan(tiny_plan(), folder=folder).record == read_run(folder).record  # loaded, not trained again
    assert write_report(folder).rows[0]["test_top1_mean"] == content_of("run.json")["results"]["test_top1"]


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_study_of_format_1_is_resumed_and_reported(tmp_path: Path) -> None:
    out = put(tmp_path / "study", content_of("study.json"), "study.json")
    study = read_study(out)
    assert (list(study.networks), study.seeds, study.device) == ([NAME], (0,), "cpu")
    write_fake_run(out / NAME / "seed0", "resnet_uva", seed=0)
    assert write_report(out).protocol["command"] == [content_of("study.json")["command"]]
    put(out / NAME / "seed0", content_of("run.json"))
    with pytest.raises(UsageError, match=r"holds another study \(seeds \[1\] here, \[0\] there\)"):
        compare(dataclasses.replace(REQUEST, seeds=(1,)), out=out, resume=True, quiet=True)
    report = compare(REQUEST, out=out, resume=True, quiet=True)
    assert report.rows[0]["test_top1_mean"] == content_of("run.json")["results"]["test_top1"]


@pytest.mark.usefixtures("quick_runs")
def test_a_study_without_the_newer_fields_goes_on(tmp_path: Path) -> None:
    """A recipe field that did not exist when the study was begun has its default, as in a single run."""
    content = content_of("study.json")
    fields = content["identity"]["networks"][NAME]["recipe"]
    for name in ("ema", "mixup", "accumulate", "precision"):
        assert fields.pop(name) == defaults()[name]
    out = put(tmp_path / "study", content, "study.json")
    put(out / NAME / "seed0", content_of("run.json"))
    write_fake_run(tmp_path / "files", "resnet_uva")
    for name in ("metrics.csv", "predictions.npz", "samples.npz"):
        (tmp_path / "files" / name).rename(out / NAME / "seed0" / name)
    report = compare(REQUEST, out=out, resume=True, quiet=True)
    assert report.rows[0]["n_seeds"] == 1
    fields["lr"] = 0.5
    put(out, content, "study.json")
    with pytest.raises(UsageError, match=r"holds another study \(networks\..*recipe\.lr 0\.005 here, 0\.5 there\)"):
        compare(REQUEST, out=out, resume=True, quiet=True)


def test_an_evaluated_checkpoint_of_format_1_is_evaluated_into_its_folder_again(tmp_path: Path) -> None:
    """The identity of both formats is the same; the hash of the checkpoint, and not its name, tells it from another."""
    record = read_run_record(content_of("evaluated.json"), label="run.json")
    moved = dataclasses.replace(record, start=dataclasses.replace(record.start, source="moved.pt", kept=("0", "3")))
    assert moved.identity() == record.identity()
    other = dataclasses.replace(record, start=dataclasses.replace(record.start, sha256="0" * 64))
    assert other.identity() != record.identity()


@pytest.mark.usefixtures("quick_runs")
def test_pixels_are_compared_only_where_both_sides_have_their_hash(tmp_path: Path) -> None:
    """The oldest records have none: training, studies and reports take them, as an evaluation does."""
    record, data = fake_record("lenet5"), fake_data()
    unknown, others = (dataclasses.replace(data, images_hash=value) for value in (None, "ffff"))
    for number, part in enumerate((unknown, data, data)):
        write_fake_run(tmp_path / f"{number}", "lenet5", seed=number, data=part)
    assert write_report(tmp_path).rows[0]["n_seeds"] == 3
    write_fake_run(tmp_path / "2", "lenet5", seed=2, data=others)
    with pytest.raises(UsageError, match=r"1 and .*2 are on different copies of digits: .* 0f1e2d3c4b5a6978 and ffff"):
        write_report(tmp_path)
    assert run_there(tmp_path / "0", record) is not None
    assert run_there(tmp_path / "1", dataclasses.replace(record, seed=1, data=unknown)) is not None
    with pytest.raises(UsageError, match=r"holds another run \(data.images_hash"):
        run_there(tmp_path / "1", dataclasses.replace(record, seed=1, data=others))
    ours, older, other = (
        study_of({"a": dataclasses.replace(record, data=part)}, seeds=(0,), device="cpu", command="")
        for part in (data, unknown, others)
    )
    assert not differences(ours.identity(), older.identity())
    assert dataclasses.replace(ours, seeds=(0, 1)).extends(older)
    assert not dataclasses.replace(ours, seeds=(0, 1)).extends(other)


def test_a_recipes_default_and_its_words_do_not_tell_runs_apart() -> None:
    record = tiny_plan().record()
    older = {name: value for name, value in record.recipe.items() if name not in ("momentum", "source")}
    assert dataclasses.replace(record, recipe=older).identity() == record.identity()
    assert dataclasses.replace(record, recipe={**older, "momentum": 0.9}).identity() != record.identity()
    assert recipe("quick").flat()["momentum"] == defaults()["momentum"]


# ------------------------------------------------------------------------------------------------------------- damage


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    """A change that takes an entry out."""

    def change(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return change


def having(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    """A change that sets an entry."""

    def change(content: dict[str, Any]) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = value

    return change


def nested(depth: int) -> list[Any]:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


DAMAGE = [
    (having(3, "format"), "has format 3, and this ConvAtlas reads up to format 2; use the newer ConvAtlas"),
    (having("2", "format"), "its format cannot be read"),
    (without("format"), "its format cannot be read"),
    (without("status"), "its status cannot be read: it is missing"),
    (having("done", "status"), "its status cannot be read: 'done' is none of unfinished, finished, failed"),
    (without("architecture"), "its architecture cannot be read: it is missing"),
    (without("architecture", "name"), "its architecture cannot be read: name: it is missing"),
    (without("architecture", "num_classes"), "its architecture cannot be read: its num_classes"),
    (
        having("10", "architecture", "num_classes"),
        "its architecture cannot be read: num_classes: '10' is",
    ),
    (having(0, "architecture", "in_channels"), "its architecture cannot be read: its in_channels is 0"),
    (having(nested(9), "architecture", "options", "depths"), "its architecture cannot be read: options: lists"),
    (having(10**30, "architecture", "options", "depths"), "its architecture cannot be read: options: a number"),
    (having("lenet5", "architecture"), "its architecture cannot be read: 'lenet5' is no object"),
    (having(5, "recipe"), "its recipe cannot be read"),
    (without("recipe", "name"), "its recipe cannot be read: its name is missing"),
    (having("int3", "recipe", "precision"), "its recipe cannot be read: precision is float32 or bf16"),
    (having("zero", "seed"), "its seed cannot be read: 'zero' is not a whole number"),
    (without("seed"), "its seed cannot be read: it is missing"),
    (without("data", "split_hash"), "its data cannot be read: split_hash: it is missing"),
    (having(True, "data", "train"), "its data cannot be read: train: True is not a whole number"),
    (having(["a", "b"], "data", "classes"), "its data cannot be read: 2 classes, and the network has 10"),
    (having("0123456789", "data", "classes"), "its data cannot be read: classes: '0123456789' is not a list"),
    (having(["\ud800"], "notes"), "its notes cannot be read: a text holds half a character"),
    (having([], "preprocessing", "mean"), "its preprocessing cannot be read: its mean and std"),
    (having([0], "preprocessing", "std"), "its preprocessing cannot be read: a number of its std is not above 0"),
    (having(10**6, "preprocessing", "image_size"), "its preprocessing cannot be read: images of 1000000 pixels"),
    (
        having("nearest", "preprocessing", "interpolation"),
        "its preprocessing cannot be read: interpolation",
    ),
    (without("network", "macs"), "its network cannot be read: macs: it is missing"),
    (having([1, "8", 8], "network", "shape"), "its network cannot be read: shape: '8' is not a whole number"),
    (having([{"top1": 0.9}], "published"), "its published cannot be read: split: it is missing"),
    (having([5], "sessions"), "its sessions cannot be read: 5 is no object"),
    (having({"torch": 2}, "sessions"), "its sessions cannot be read: a dict is not a list"),
    (having([1], "results"), "its results cannot be read: a list is no object"),
]


def test_the_results_of_a_finished_run_are_numbers() -> None:
    """Those of a failed one have the error in words."""
    content = {**content_of("run.json"), "results": {"test_top1": "90 %"}}
    with pytest.raises(UsageError, match=r"its results cannot be read: test_top1: '90 %' is not a number"):
        read_run_record(content, label="run.json")
    assert read_run_record({**content, "status": "failed"}, label="run.json").results == {"test_top1": "90 %"}


@pytest.mark.parametrize(("change", "message"), DAMAGE, ids=[message for _, message in DAMAGE])
def test_a_damaged_record_is_one_line_that_names_the_file_and_the_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = fake_record("lenet5", status="failed", results={"error": "no memory"}).content()
    change(content)
    put(tmp_path / "run", content)
    for verb in (["report"], ["evaluate"]):
        assert main([*verb, str(tmp_path / "run")]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        assert message in err
        assert str(tmp_path / "run" / "run.json") in err


@pytest.mark.parametrize(
    "text", ["", "[]", "nul", '{"format": 2', '{"a": ' * 100_000, "[" * 100_000, '{"a": 1e400, "b']
)
@pytest.mark.parametrize("name", ["run.json", "study.json"])
def test_a_cut_or_deeply_nested_file_is_one_line(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        (read_run if name == "run.json" else read_study)(tmp_path)
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = (FORMAT_1 / "run.json").read_text().rstrip()
    for length in range(0, len(whole), 97):
        (tmp_path / "run.json").write_text(whole[:length])
        with pytest.raises(UsageError, match=r"run\.json"):
            read_run(tmp_path)


STUDY_DAMAGE = [
    (having(9, "format"), "has format 9, and this ConvAtlas reads up to format 2"),
    (without("identity"), "its networks cannot be read: it is missing"),
    (having([], "identity"), "its networks cannot be read: it is missing"),
    (having({"a": 5}, "identity", "networks"), "its networks cannot be read: 5 is no object"),
    (
        without("identity", "networks", NAME, "architecture"),
        "its networks cannot be read: architecture",
    ),
    (having([0, "1"], "identity", "seeds"), "its seeds cannot be read: '1' is not a whole number"),
    (without("identity", "data", "name"), "its data cannot be read: name: it is missing"),
    (without("identity", "device"), "its device cannot be read: it is missing"),
]


@pytest.mark.parametrize(("change", "message"), STUDY_DAMAGE, ids=[message for _, message in STUDY_DAMAGE])
def test_a_damaged_study_is_one_line(tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str) -> None:
    content = content_of("study.json")
    change(content)
    out = put(write_fake_study(tmp_path / "study", seeds=1), content, "study.json")
    for use in (
        lambda: write_report(out),
        lambda: compare(REQUEST, out=out, resume=True, quiet=True),
    ):
        with pytest.raises(UsageError) as caught:
            use()
        assert message in str(caught.value)
        assert str(out / "study.json") in str(caught.value)
        assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.usefixtures("quick_runs")
def test_a_checkpoint_says_what_its_run_says(tmp_path: Path) -> None:
    """One writer and one reader for both; what is added in a newer format is refused there too."""
    run = train_plan(tiny_plan(epochs=1), folder=tmp_path / "run")
    entry = torch.load(run.best_checkpoint, weights_only=True)["convatlas"]
    assert entry == {**run.record.entry(), "evaluated": "network."}
    assert entry["format"] == 2
    said = read_checkpoint_record(entry, label="best.ckpt")
    assert said == dataclasses.replace(run.record.said(), evaluated="network.")
    old = {name: value for name, value in entry.items() if name not in ("format", "evaluated")}
    assert read_checkpoint_record(old, label="best.ckpt") == run.record.said()
    with pytest.raises(UsageError, match=r"best.ckpt has format 3"):
        read_checkpoint_record({**entry, "format": 3}, label="best.ckpt")


def test_a_newer_checkpoint_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "newer.ckpt"
    torch.save({"state_dict": create("lenet5").state_dict(), "convatlas": {"format": 3}}, path)
    assert main(["evaluate", str(path), "--data", "digits"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == (
        "",
        f"convatlas: {path} has format 3, and this ConvAtlas reads up to format 2; use the newer ConvAtlas that wrote "
        "it\n",
    )


def test_reading_a_run_needs_neither_torch_nor_lightning(tmp_path: Path) -> None:
    put(tmp_path, content_of("run.json"))
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'lightning')))\n"
        "from pathlib import Path\n"
        "from convatlas.run import find_runs\n"
        "(run,) = find_runs(Path(sys.argv[1]))\n"
        "run.write()\n"
        "print(run.record.architecture.name)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("resnet_uva\n", "")
    assert [run.record.start for run in find_runs(tmp_path)] == [Start.from_seed()]
