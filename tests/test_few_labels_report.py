"""Studies of methods for few labels: entries, columns, the table, the figure, and each method against labels alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from convatlas.api.entries import study_entries
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.recipe import recipe
from convatlas.report import write_report
from convatlas.report.few_labels import names_of
from convatlas.request import Entry
from convatlas.run import LabelledRecord
from fixtures import write_fake_run

WRONG = {("supervised", 250): 180, ("supervised", 4000): 60, ("fixmatch", 250): 60, ("fixmatch", 4000): 58}


def write_study(folder: Path) -> Path:
    """Two methods with two numbers of labels and three seeds each, invented."""
    for (method, labels), wrong in WRONG.items():
        for seed in range(3):
            chosen = recipe(method).replaced(labels=float(labels)).flat()
            labelled = LabelledRecord(count=labels, seed=seed, hash="0" * 16, index="1 2 3")
            place = folder / f"{method}{labels}" / f"seed{seed}"
            write_fake_run(
                place, "resnet_uva", seed=seed, wrong=wrong + 3 * seed, recipe=chosen, labelled=labelled,
                objective="semi_supervised",
            )  # fmt: skip
    return folder


def test_a_report_has_the_table_the_figure_and_the_comparisons(tmp_path: Path) -> None:
    report = write_report(write_study(tmp_path))
    assert (tmp_path / "accuracy_vs_labels.png").stat().st_size > 10_000
    assert tmp_path / "accuracy_vs_labels.png" in report.files
    assert {(row["method"], row["labels"]) for row in report.rows} == {*WRONG}
    lines = (tmp_path / "results.md").read_text().splitlines()
    (header,) = [line for line in lines if "250 labels" in line and line.startswith("| test")]
    assert header.endswith("| 250 labels | 4,000 labels |")
    (ours,) = [line for line in lines if line.startswith("| `fixmatch` |")]
    assert "82.50 ± 0.83 (" in ours
    first, second = report.methods
    assert first["sentence"].startswith("fixmatch with 250 labels is ahead of supervised by 33.33 points on test")
    assert first["significant"] is True
    assert second["sentence"].startswith("fixmatch with 4,000 labels is ahead of supervised by 0.56 points on test")
    assert json.loads((tmp_path / "results.json").read_text())["methods"] == report.content()["methods"]
    with (tmp_path / "results.csv").open() as file:
        assert {row["labels"] for row in csv.DictReader(file)} == {"250", "4000"}
    page = (tmp_path / "report.html").read_text()
    assert "Accuracy against labels" in page
    assert "for semi_supervised" not in page  # the recipe says the method


def test_a_report_without_methods_is_as_before(tmp_path: Path) -> None:
    write_fake_run(tmp_path / "run" / "seed0", "resnet_uva")
    report = write_report(tmp_path)
    assert not (tmp_path / "accuracy_vs_labels.png").exists()
    assert "methods" not in report.content()
    assert "method" not in report.rows[0]
    assert "Accuracy against labels" not in (tmp_path / "report.html").read_text()


def test_rows_that_differ_in_other_values_have_the_names_of_their_recipes() -> None:
    row = {"architecture": "lenet5", "options": {}, "method": "uda", "labels": 40, "recipe": "uda"}
    assert names_of([row, {**row, "labels": 80}]) == ["uda", "uda"]
    assert names_of([row, {**row, "recipe": "uda(threshold=0.5)"}]) == ["uda", "uda(threshold=0.5)"]
    assert names_of([row, {**row, "architecture": "vgg16"}]) == ["lenet5 uda", "vgg16 uda"]


def test_entries_are_networks_times_methods_times_labels() -> None:
    entries = study_entries(["a", "b"], recipe=None, methods="supervised,uda", labels="40,80", data="digits")
    assert len(entries) == 8
    assert entries[1] == Entry("a", "supervised_quick", (("labels", "80"),))
    assert entries[6] == Entry("b", "uda_quick", (("labels", "40"),))
    methods = "supervised,fixmatch[unlabelled_ratio=2,cutout=8],fixmatch"
    with_fields = study_entries(["a"], recipe=None, methods=methods, labels="40", data="digits")
    own = (("unlabelled_ratio", "2"), ("cutout", "8"))
    assert [entry.settings for entry in with_fields] == [
        (("labels", "40"),), (*own, ("labels", "40")), (("labels", "40"),)
    ]  # fmt: skip
    listed = ["supervised", "fixmatch[unlabelled_ratio=2,cutout=8]", "fixmatch"]
    assert study_entries(["a"], recipe=None, methods=listed, labels=[40], data="digits") == with_fields
    assert study_entries(["a@quick"], recipe=None, methods=None, labels=None, data="digits") == (Entry("a", "quick"),)


@pytest.mark.parametrize(
    ("names", "flags", "words"),
    [
        (["a"], {"labels": "40"}, "--labels 40 goes with --methods"),
        (["a@quick"], {"methods": "uda"}, "--methods names the recipes itself; leave quick out"),
        (["a"], {"methods": "uda,uda"}, "each once"),
        (["a"], {"methods": ","}, "must name one or more"),
        (["a"], {"methods": "udaa"}, "did you mean uda"),
        (["a"], {"methods": "uda[]"}, r"'uda\[\]' is no method; write METHOD or METHOD\[FIELD=VALUE,...\]"),
        (["a"], {"methods": "uda[lr=1"}, r"is no method; write METHOD or METHOD\["),
        (["a"], {"methods": "uda[lr]"}, "must be FIELD=VALUE"),
    ],
)
def test_words_that_contradict_each_other_are_refused(names: list[str], flags: dict[str, str], words: str) -> None:
    given = {"methods": None, "labels": None, **flags}
    with pytest.raises(UsageError, match=words):
        study_entries(names, recipe=None, data="digits", **given)


def test_the_help_s_epochs_work_with_methods(tmp_path: Path) -> None:
    """Recipes of methods count steps: `--epochs` was refused beside them."""
    words = (
        "compare resnet_uva -o depths=1,1,1 -o widths=4,8,8 --data digits --methods supervised --labels 40 --seeds 1"
    )
    assert main([*words.split(), "--epochs", "1", "--set", "epoch_steps=2", "--out", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out/results.json").read_text())["rows"]
    assert (row["method"], row["n_seeds"]) == ("supervised", 1)
