"""Reports from fixture runs: numbers by hand, the same files every time, only like compared with like."""

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from convatlas.drawing import styles
from convatlas.errors import UsageError
from convatlas.recipe import defaults, recipe
from convatlas.report import curves, page, tables, write_report
from convatlas.report.labels import Point, place_labels, side_by_side
from convatlas.run import Run, Start, find_runs, study_of
from convatlas.scores import AP
from fixtures import (
    CLASSES,
    IMAGES,
    fake_data,
    fake_metrics,
    fake_record,
    write_arrays,
    write_fake_run,
    write_fake_study,
)

ROW_KEYS = """
    architecture options recipe selection split_hash n_seeds val_top1_mean val_top1_std val_top1_ci95 test_top1_mean
    test_top1_std test_top1_ci95 test_balanced_accuracy_mean test_balanced_accuracy_std test_balanced_accuracy_ci95
    test_macro_f1_mean test_macro_f1_std test_macro_f1_ci95 test_imbalance params macs train_seconds
    images_per_second runs
"""
FILES = ("results.json", "results.csv", "results.md", "curves.png", "accuracy_vs_macs.png", "report.html")


@pytest.fixture
def drawn_study(tmp_path: Path) -> Path:
    return write_fake_study(tmp_path / "study")


@pytest.fixture
def study(drawn_study: Path, quick_runs: None) -> Path:
    """A study whose report writes empty pictures."""
    return drawn_study


def test_numbers_by_hand(study):
    report = write_report(study)
    assert [row["architecture"] for row in report.rows] == ["resnet_uva", "preact_resnet_uva", "lenet5"]
    row = report.rows[0]
    assert list(row) == ROW_KEYS.split()
    test = [1 - wrong / 360 for wrong in (9, 5, 12)]
    assert row["n_seeds"] == 3
    assert row["test_top1_mean"] == pytest.approx(sum(test) / 3)
    assert row["test_top1_std"] == pytest.approx(np.std(test, ddof=1))
    half = 4.302652730 * np.std(test, ddof=1) / 3**0.5
    assert row["test_top1_ci95"] == pytest.approx([sum(test) / 3 - half, 1.0])  # cut at 1: the interval ends at 1.0002
    assert row["val_top1_mean"] == pytest.approx(1 - (4 + 2 + 6) / 3 / 360)
    assert (row["params"], row["macs"]) == (272_090, 10_129_024)
    assert (row["train_seconds"], row["images_per_second"]) == (5.0, 1300.0)
    first = {"path": "resnet_uva/seed0", "seed": 0, "val_top1": 1 - 4 / 360, "test_top1": 1 - 9 / 360}
    assert row["runs"][0] == first | {"best_epoch": 4, "train_seconds": 4.0}


def alike_results(balanced: float, *, imbalance: float) -> dict[str, float]:
    """Results of a run, as `write_fake_run` has them, with the scores that count each class alike."""
    return {
        "best_epoch": 4,
        "val_top1": 0.95,
        "test_top1": 0.9,
        "test_balanced_accuracy": balanced,
        "test_macro_f1": balanced - 0.1,
        "test_imbalance": imbalance,
    }


@pytest.mark.parametrize("imbalance", [1.4, 1.5])
def test_imbalanced_classes_show_the_scores_that_count_each_class_alike(tmp_path, imbalance):
    for seed, balanced in enumerate((0.5, 0.75)):
        results = alike_results(balanced, imbalance=imbalance)
        write_fake_run(tmp_path / "new" / f"seed{seed}", "lenet5", seed=seed, results=results)
    write_fake_run(tmp_path / "old", "resnet_uva")  # written before these scores were
    report = write_report(tmp_path)
    new, old = sorted(report.rows, key=lambda row: row["architecture"])
    assert (new["test_balanced_accuracy_mean"], new["test_macro_f1_mean"]) == (0.625, pytest.approx(0.525))
    assert (old["test_balanced_accuracy_mean"], old["test_imbalance"]) == (None, None)
    table = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert sorted(line["test_balanced_accuracy_mean"] for line in table) == ["", "0.625"]
    page, shown = (tmp_path / "report.html").read_text(), imbalance == 1.5
    for text in ("balanced %", "macro F1 %", ">62.50<", ">52.50<", "the balanced accuracy is the mean accuracy"):
        assert (text in page) == shown, text
    assert ("| 62.50 | 52.50 | 2 |" in (tmp_path / "results.md").read_text()) == shown
    assert ("<details open><summary>10 classes" in page) == shown


def test_the_page_counts_the_test_images_of_each_class(study):
    """Of 36 images each, the first nine images, of the classes 0 to 8, are mistaken by the best run of resnet_uva."""
    write_report(study)
    page = (study / "report.html").read_text()
    assert "<details><summary>10 classes</summary>" in page
    classes = page[page.index("Every class") : page.index("Worst mistakes")]
    lines = [re.findall(r"<td[^>]*>([^<]*)</td>", line) for line in classes.split("<tr>")[2:]]
    assert [line[:2] for line in lines] == [[str(label), "36"] for label in range(10)]
    wrong = [36 - int(line[2].split()[0]) for line in lines]
    assert sum(wrong) == 5  # seed 1, the best by validation, which mistakes the places 3 to 7
    assert [label for label, count in enumerate(wrong) if count] == [3, 4, 5, 6, 7]
    assert lines[0][2] == "36 (100.00 %)"
    assert lines[3][2] == "35 (97.22 %)"


def test_every_file_is_written_and_none_is_left_over(drawn_study):
    report = write_report(drawn_study)
    assert {path.name for path in drawn_study.iterdir() if path.is_file()} == set(FILES)
    assert report.files == tuple(drawn_study / name for name in FILES)
    content = json.loads((drawn_study / "results.json").read_text())
    assert list(content) == ["protocol", "rows", "comparison", "published", "failed", "unfinished"]
    assert content["rows"] == report.rows
    assert content["failed"] == [{"path": "nin/seed0", "error": "out of <memory>"}]
    assert content["unfinished"] == ["nin/seed1"]
    assert content["protocol"]["data"]["split_hash"] == "9f8e7d6c5b4a3210"
    assert content["protocol"]["seeds"] == [0, 1, 2]
    assert content["protocol"]["recipes"]["quick"]["lr"] == 0.01
    assert (
        Image.open(drawn_study / "curves.png").width == Image.open(drawn_study / "accuracy_vs_macs.png").width == 1800
    )


@pytest.mark.slow
def test_a_recipe_is_the_same_when_it_names_a_newer_field_at_its_default(study):
    """Seeds of a study that was begun before the field existed stand in one row with seeds of today."""
    before = write_report(study)
    older = find_runs(study / "resnet_uva")[0].record.recipe
    write_fake_run(study / "resnet_uva/seed1", "resnet_uva", seed=1, wrong=5, recipe={**defaults(), **older})
    after = write_report(study)
    assert [(row["recipe"], row["n_seeds"]) for row in after.rows] == [(row["recipe"], 3) for row in before.rows]
    write_fake_run(study / "resnet_uva/seed1", "resnet_uva", seed=1, wrong=5, recipe={**older, "momentum": 0.5})
    rows = [row for row in write_report(study).rows if row["architecture"] == "resnet_uva"]
    labelled = [("quick(momentum=0.0)", 2), ("quick(momentum=0.5)", 1)]
    assert sorted((row["recipe"], row["n_seeds"]) for row in rows) == labelled


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_runs_that_start_elsewhere_are_rows_of_their_own(tmp_path):
    """From the seed, and from two checkpoints; of one of them the head is fresh."""
    starts = [
        Start.from_seed(),
        Start.from_weights("a/toy.pt", sha256="a" * 64, kept=("stem",), fresh=("head",)),
        Start.from_weights("b/toy.pt", sha256="b" * 64, kept=("stem", "head")),
    ]
    for number, start in enumerate(starts):
        for seed in range(2):
            write_fake_run(tmp_path / f"{number}{seed}", "lenet5", seed=seed, start=start)
    report = write_report(tmp_path)
    recipes = {"quick", "quick from toy.pt aaaaaaaa, fresh head", "quick from toy.pt bbbbbbbb"}
    assert {row["recipe"]: row["n_seeds"] for row in report.rows} == dict.fromkeys(recipes, 2)
    assert len(set(tables.row_names(report.rows))) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_normalisation_that_follows_from_the_weights_is_not_in_the_name(tmp_path):
    start = Start.from_weights("a/toy.pt", sha256="a" * 64, kept=("stem", "head"))
    plain = write_fake_run(tmp_path / "seed", "lenet5").record.recipe
    own = {**plain, "mean": [0.5], "std": [0.25]}
    write_fake_run(tmp_path / "weights", "lenet5", start=start, recipe=own)
    assert {row["recipe"] for row in write_report(tmp_path).rows} == {"quick", "quick from toy.pt aaaaaaaa"}
    write_fake_run(tmp_path / "other", "lenet5", start=start, recipe={**own, "mean": [0.1]})
    names = {row["recipe"] for row in write_report(tmp_path).rows}
    assert len(names) == 3  # two of one start: now it matters
    assert any("mean=0.1" in name for name in names)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_other_objectives_are_rows_of_their_own(tmp_path):
    write_fake_run(tmp_path / "a", "lenet5")
    write_fake_run(tmp_path / "b", "lenet5", objective="distillation")
    assert {row["recipe"] for row in write_report(tmp_path).rows} == {"quick", "quick for distillation"}


@pytest.mark.slow
def test_rebuilding_gives_the_same_bytes(drawn_study):
    write_report(drawn_study)
    before = {name: (drawn_study / name).read_bytes() for name in FILES}
    write_report(drawn_study)
    assert {name: (drawn_study / name).read_bytes() for name in FILES} == before


@pytest.mark.slow
def test_flat_csv(study):
    write_report(study)
    with (study / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert float(rows[2]["test_top1_mean"]) == pytest.approx(1 - 40 / 360)
    assert float(rows[2]["test_top1_ci95_low"]) < float(rows[2]["test_top1_mean"])
    assert "runs" not in rows[0]


def test_comparison_by_hand(study):
    comparison = write_report(study).comparison
    assert (comparison["first"], comparison["second"]) == ("resnet_uva", "preact_resnet_uva")
    assert comparison["difference"] == pytest.approx((27 - 26) / 3 / 360)
    assert not comparison["significant"]
    assert re.fullmatch(
        r"resnet_uva, best on validation, is ahead of preact_resnet_uva by 0\.09 points on test \(95 % interval "
        r"-\d\.\d\d to \d\.\d\d, over 3 seeds of each and 360 test images\): no more than chance\.",
        comparison["sentence"],
    )


@pytest.mark.usefixtures("quick_runs")
def test_the_best_two_are_chosen_on_validation_though_the_test_says_otherwise(tmp_path):
    for name, val, wrong in (("a", 0.99, 100), ("b", 0.98, 5), ("c", 0.97, 0)):
        run = write_fake_run(tmp_path / name, name, wrong=wrong)
        Run(run.path, replace(run.record, results={**run.results, "val_top1": val})).write()
    comparison = write_report(tmp_path).comparison
    assert (comparison["first"], comparison["second"], comparison["significant"]) == ("a", "b", None)
    assert comparison["sentence"] == (
        "a, best on validation, is behind b by 26.39 points on test: too few seeds to tell "
        "(1; a verdict needs at least 3 of each)."
    )


@pytest.mark.usefixtures("quick_runs")
def test_a_tie_on_validation_is_named(tmp_path):
    for name, wrong in (("a", 4), ("b", 5)):  # of validation images, half as many are mistaken
        write_fake_run(tmp_path / name, name, wrong=wrong)
    comparison = write_report(tmp_path).comparison
    assert comparison["tied"]
    assert comparison["sentence"].startswith("a, level with b on validation, is ahead of it by 0.28 points on test: ")


def test_other_test_images_are_not_compared(study):
    path = study / "preact_resnet_uva" / "seed1" / "predictions.npz"
    arrays = dict(np.load(path))
    write_arrays(path, **arrays | {"test_index": arrays["test_index"][::-1]})
    with pytest.raises(UsageError, match="not tested on the same images"):
        write_report(study)


@pytest.mark.slow
def test_words_and_escaping(study):
    write_report(study)
    text = (study / "results.md").read_text()
    assert (
        "| `resnet_uva` | `quick` | 98.89 ± 0.56 | 97.59 ± 0.98 | 95.17–100.00 | 3 | 272,090 | 10.1 M | 5.0 |" in text
    )
    assert "split 9f8e7d6c5b4a3210, seed 42" in text
    assert "epochs 5, batch size 64, optimizer adamw, lr 0.01" in text
    html = (study / "report.html").read_text()
    assert "out of &lt;memory&gt;" in html
    assert "<memory>" not in html
    assert "<script" not in html
    assert not re.findall(r"(?:src|href)=\"(?!data:image/png;base64,)", html)
    assert html.count("taken for") == 5 + 9 + 12  # at most twelve of a network


@pytest.mark.slow
def test_thumbnails_are_those_of_the_best_seed_by_validation(study):
    report = write_report(study)
    assert page.best_run(report.rows[0])["seed"] == 1
    html = (study / "report.html").read_text()
    samples = np.load(study / "resnet_uva" / "seed1" / "samples.npz")
    assert page.data_address(page.png(samples["mistakes"][0])) in html
    samples = np.load(study / "resnet_uva" / "seed0" / "samples.npz")
    assert page.data_address(page.png(samples["mistakes"][0])) not in html


@pytest.mark.usefixtures("quick_runs")
def test_a_recipe_shows_what_differs_and_folds_the_rest(tmp_path):
    chosen = json.loads(json.dumps(recipe("fast_cifar").flat()))
    write_fake_run(tmp_path / "seed0", "lenet5", recipe=chosen)
    write_report(tmp_path)
    row = re.search(r"<th scope=\"row\">Recipe fast_cifar</th><td>(.*?)</td>", _page(tmp_path), re.DOTALL)
    assert row is not None
    shown, _, folded = row[1].partition("<details>")
    same = [name for name, value in defaults().items() if chosen[name] == value]
    differing = [name for name in chosen if name not in (*same, "name", "expected")]
    assert "optimizer muon" in shown
    assert "dropout" not in shown
    for text, names in ((shown, differing), (folded, same)):
        assert all(f"{name.replace('_', ' ')} " in text for name in names), text
    assert f"<summary>{len(same)} other fields have their defaults</summary>" in folded
    text = (tmp_path / "results.md").read_text()
    assert f"; {len(same)} other fields have their defaults: see `results.json`\n" in text
    assert not re.search(r"docs/|results/", row[1])


def test_every_number_of_a_page_is_named_on_a_narrow_screen(study):
    """There the cells of a row stand below each other, without the heading of the table."""
    write_report(study)
    rows = re.search(r"<tbody>(.*?)</tbody>", _page(study), re.DOTALL)
    assert rows is not None
    labels = re.findall(r"data-label=\"(.*?)\"", rows[1])
    assert labels == [*tables.HEADERS] * 3
    assert _page(study).count("swipe it sideways") == 2
    for part in _page(study).split('<div class="wide">')[1:]:
        cells = re.findall(r"<td(.*?)>", part.partition("</table>")[0])
        assert all("data-label" in cell for cell in cells if "name" not in cell)


def _page(folder: Path) -> str:
    return (folder / "report.html").read_text()


@pytest.mark.usefixtures("quick_runs")
def test_a_run_without_samples_has_a_page_without_thumbnails(tmp_path):
    write_fake_run(tmp_path / "seed0", "lenet5")
    (tmp_path / "seed0" / "samples.npz").unlink()
    write_report(tmp_path)
    assert "Worst mistakes" not in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_one_seed_has_no_deviation_and_no_interval(tmp_path):
    report = write_report(write_fake_study(tmp_path, seeds=1))
    assert report.rows[0]["n_seeds"] == 1
    assert report.rows[0]["test_top1_std"] is report.rows[0]["test_top1_ci95"] is None
    assert tables.cells(report.rows[2])[2:6] == ["94.44", "88.89", "-", "1"]
    assert "null" in (tmp_path / "results.json").read_text()


def test_a_single_run_gets_its_curves_and_one_row(study):
    report = write_report(study / "lenet5" / "seed0")
    assert report.files == (study / "lenet5" / "seed0" / "curves.png",)
    assert report.files[0].is_file()
    assert [(row["architecture"], row["n_seeds"]) for row in report.rows] == [("lenet5", 1)]
    assert report.comparison is None


@pytest.mark.slow
def test_several_folders_need_out_and_count_each_run_once(study, tmp_path):
    folders = [study / "lenet5", study / "resnet_uva" / "seed0", study / "resnet_uva"]
    with pytest.raises(UsageError, match="--out"):
        write_report(folders)
    report = write_report(folders, out=tmp_path / "both")
    assert [(row["architecture"], row["n_seeds"]) for row in report.rows] == [("resnet_uva", 3), ("lenet5", 3)]
    assert report.rows[0]["runs"][0]["path"] == "../study/resnet_uva/seed0"
    assert (tmp_path / "both" / "report.html").is_file()


def test_the_same_run_twice_is_refused(study, tmp_path):
    write_fake_run(tmp_path / "again", "lenet5", seed=0)
    with pytest.raises(UsageError, match="a run counts only once"):
        write_report([study, tmp_path / "again"], out=tmp_path / "out")


@pytest.mark.parametrize("other", [fake_data(split_hash="0000ffff"), fake_data(name="mnist", split_hash="0000ffff")])
def test_only_like_is_compared_with_like(study, other):
    write_fake_run(study / "other", "lenet5", seed=0, data=other)
    with pytest.raises(UsageError, match="a report needs the same data and split") as error:
        write_report(study)
    assert "9f8e7d6c5b4a3210" in str(error.value)
    assert "0000ffff" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("quick_runs")
def test_without_finished_runs_there_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no run in"):
        write_report(tmp_path)
    failed = fake_record("nin", status="failed", results={"error": "out of memory\nin layer 3"})
    Run(tmp_path / "nin", failed).write()
    for folder in (tmp_path, tmp_path / "nin"):
        with pytest.raises(UsageError, match="1 failed, 0 unfinished") as error:
            write_report(folder)
        assert "out of memory in layer 3" in str(error.value)
        assert "\n" not in str(error.value)


def test_options_and_recipes_make_rows_of_their_own(tmp_path):
    architecture = replace(fake_record("resnet_uva").architecture, options={"depths": [2, 2, 2]})
    recipe = fake_record("resnet_uva").recipe
    write_fake_run(tmp_path / "a", "resnet_uva")
    write_fake_run(tmp_path / "b", "resnet_uva", architecture=architecture)
    write_fake_run(tmp_path / "c", "resnet_uva", recipe=recipe | {"lr": 0.1})
    write_fake_run(tmp_path / "d", "resnet_uva", recipe=recipe | {"name": "long"}, seed=1)
    names = set(tables.row_names(tables.study_rows(find_runs(tmp_path))))
    assert names == {
        "resnet_uva @ quick(lr=0.01)",
        "resnet_uva(depths=2,2,2)",
        "resnet_uva @ quick(lr=0.1)",
        "resnet_uva @ long",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_what_is_not_known_or_not_finite_is_null(tmp_path):
    nan = float("nan")
    results = {"val_top1": None, "test_top1": 0.9, "test_loss": nan, "train_seconds": nan}
    write_fake_run(tmp_path / "published", "lenet5", selection=None, results=results)
    write_fake_run(tmp_path / "ours", "resnet_uva")
    report = write_report(tmp_path)
    assert [row["architecture"] for row in report.rows] == ["resnet_uva", "lenet5"]
    assert report.rows[1]["val_top1_mean"] is report.rows[1]["train_seconds"] is None
    assert report.comparison is None  # one row alone was selected on validation
    assert "NaN" not in (tmp_path / "results.json").read_text()
    assert tables.cells(report.rows[1])[-2:] == ["-", "-"]


@pytest.mark.slow
def test_the_command_is_that_of_the_study(study):
    runs = {"lenet5": fake_record("lenet5")}
    study_of(runs, seeds=(0, 1, 2), device="cpu", command="convatlas compare lenet5 --out study").write(study)
    assert write_report(study).protocol["command"] == ["convatlas compare lenet5 --out study"]


def test_terminal_table_fits_100_columns(study):
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(tables.terminal_table(tables.study_rows(find_runs(study))))
    lines = capture.get().rstrip().splitlines()
    assert len(lines) == 2 + 3  # nothing wraps
    words = "preact_resnet_uva quick 98.80±0.16 97.50±0.28 96.81–98.19 3 271,962 10.1 M 5.0 s 1,300"
    assert " ".join(lines[3].split()) == words


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 2, 300])
def test_curves_of_any_length(tmp_path, epochs):
    rows = fake_metrics(0.95, epochs=epochs)
    rows[0]["val_loss"] = float("nan")
    curves.draw_run_curves(rows, tmp_path / "run.png", "a run of $ and _ in its name")
    curves.draw_study_curves({f"network{n}": [rows, rows] for n in range(9)}, tmp_path / "study.png")
    assert Image.open(tmp_path / "run.png").size == (1800, 820)
    assert Image.open(tmp_path / "study.png").width == 1800


@pytest.mark.parametrize(
    ("extra", "below"),
    [
        ({}, []),
        ({"train_unlabelled_loss": 0.2, "train_mask": 0.5}, ["loss of unlabelled images", "part of them that teaches"]),
        ({f"train_own{number}": 0.1 for number in range(5)}, ["own0", "own1", "own2", "own3"]),
    ],
)
def test_measures_of_training_alone_have_panels_below(tmp_path, monkeypatch, extra, below):
    figures = []
    monkeypatch.setattr(curves, "save", lambda figure, _path: figures.append(figure))
    curves.draw_run_curves([row | extra for row in fake_metrics(0.95, epochs=3)], tmp_path / "run.png", "a run")
    upper, lower = figures[0].axes[:2], figures[0].axes[2:]
    assert [axes.get_ylabel() for axes in upper] == ["accuracy (%)", "loss (cross entropy, nats)"]
    assert [axes.get_title(loc="left") for axes in lower] == below
    for axes, value in zip(lower, extra.values(), strict=False):
        assert list(axes.lines[0].get_ydata()) == [value] * 3
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["training", "validation"]


def test_the_losses_of_a_detector_are_drawn_below_its_precision(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, "save", lambda figure, _path: figures.append(figure))
    losses = {"train_loss": 3.0, "train_class_loss": 2.0, "train_box_loss": 0.02}
    rows = [{"epoch": epoch, **losses, "val_ap": 0.3, "val_ap50": 0.6} for epoch in (1, 2)]
    curves.draw_run_curves(rows, tmp_path / "run.png", "a detector", score=AP)
    titles = [axes.get_title(loc="left") for axes in figures[0].axes[2:]]
    assert titles == ["loss", "loss of the classes", "loss of the boxes"]  # no cross entropy
    assert {text.get_text() for text in figures[0].legends[0].get_texts()} == {"training", "validation"}


def test_a_network_has_one_colour_in_every_figure():
    assert styles(["b", "a", "c"]) == styles(["c", "b", "a"])
    assert len(set(styles(map(str, range(40))).values())) == 40


def test_labels_cover_neither_each_other_nor_a_bubble():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set(xscale="log", xlim=(1e6, 1e8), ylim=(90, 100))
    at = [(1e7, 97.0), (1.001e7, 97.1), (1.002e7, 96.9), (9.99e6, 95.0), (5e7, 97.0)]
    points = [Point(f"network{n}", f"network{n}", x, y, y - 0.8, y + 0.8, 15.0, "k") for n, (x, y) in enumerate(at)]
    apart = side_by_side(axes, points)
    assert (apart[3], apart[4]) == (points[3], points[4])  # nothing of theirs was hidden
    pixels = sorted(axes.transData.transform((point.x, point.y))[0] for point in apart[:3])
    assert min(np.diff(pixels)) > 10
    place_labels(axes, apart)
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 5
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


@pytest.mark.slow
def test_no_torch_is_needed(study):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "import convatlas.report\n"
        "assert 'matplotlib' not in sys.modules and 'jinja2' not in sys.modules\n"
        "report = convatlas.report.write_report(Path(sys.argv[1]))\n"
        "assert len(report.rows) == 3 and 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code, str(study)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_fixture_predictions_agree_with_their_record(study):
    for run in find_runs(study):
        if run.finished:
            arrays = run.predictions()
            right = arrays["test_logits"].argmax(axis=1) == arrays["test_labels"]
            assert right.mean() == pytest.approx(run.results["test_top1"])
    assert (len(CLASSES), IMAGES) == (10, 360)
