"""Reports of runs that another score than accuracy selected: rank, verdict, tables, figures and words."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from convatlas.cli.runs import _print_run
from convatlas.errors import UsageError
from convatlas.evaluation import difference_over_seeds
from convatlas.files import write_bytes
from convatlas.report import Report, costs, curves, page, run_title, tables, write_report
from convatlas.run import Run, read_run, read_run_record, write_metrics
from convatlas.scores import TOP1, Score
from fixtures import fake_metrics, fake_record, write_arrays, write_fake_run

AP = Score("ap", title="average precision")
LOSS = Score("loss", "min", "number")
# Per network and seed: validation and test. The best on validation is never the first by name.
PRECISIONS = {"a": [(0.5, 0.58), (0.6, 0.5), (0.7, 0.6)], "b": [(0.7, 0.7), (0.8, 0.8), (0.9, 0.78)]}
LOSSES = {"a": [(0.9, 0.8), (0.8, 0.9), (0.7, 1.0)], "b": [(0.4, 0.5), (0.2, 0.3), (0.3, 0.4)]}


def write_scored(folder: Path, name: str, *, seed: int, score: Score, values: tuple[float, float | None]) -> Run:
    """A finished run of a score, with its columns in `metrics.csv`; no accuracy is known, and no answer is kept."""
    results = {score.column: values[0], "best_epoch": 2, "train_seconds": 1.0, "images_per_second": 9.0}
    if values[1] is not None:
        results[score.test_column] = values[1]
    name_of = f"by_{score.measure}"
    write_fake_run(folder, name, seed=seed, wrong=0, results=results, objective=name_of, score=score, selection=name_of)
    rows = [{**row, score.column: values[0] - epoch / 100} for epoch, row in enumerate(fake_metrics(0.9, epochs=3))]
    kept = ("epoch", "train_loss", score.column, "lr", "seconds", "images_per_second")
    write_metrics(folder / "metrics.csv", [{key: row[key] for key in kept} for row in rows])
    (folder / "predictions.npz").unlink()
    return read_run(folder)


def write_study(folder: Path, score: Score, values: dict[str, list[tuple[float, float]]]) -> Path:
    """Networks x seeds of one score."""
    for name, seeds in values.items():
        for seed, pair in enumerate(seeds):
            write_scored(folder / name / f"seed{seed}", name, seed=seed, score=score, values=pair)
    return folder


@pytest.fixture(scope="module")
def drawn() -> Iterator[dict[str, Figure]]:
    """The figures of the reports, by the name of their folder and file; empty pictures stand in their place."""
    found: dict[str, Figure] = {}

    def save(figure: Figure, path: Path) -> None:
        found[f"{path.parent.name}/{path.name}"] = figure
        write_bytes(path, b"a picture")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "save", save)
        patch.setattr(curves, "save", save)
        yield found


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, drawn: dict[str, Figure]) -> dict[str, Report]:
    """A report of average precision, one of loss, and one of both beside a classification."""
    root = tmp_path_factory.mktemp("scores")
    studies = [write_study(root / "ap", AP, PRECISIONS), write_study(root / "loss", LOSS, LOSSES)]
    write_fake_run(root / "top1", "lenet5", wrong=200)
    together = write_report([*studies, root / "top1"], out=root / "all")
    return {"ap": write_report(studies[0]), "loss": write_report(studies[1]), "all": together}


def test_the_best_by_the_score_stands_first_and_is_shown(reports: dict[str, Report]) -> None:
    for name, best, seed in (("ap", "b", 2), ("loss", "b", 1)):
        rows = reports[name].rows
        assert [row["architecture"] for row in rows] == [best, "a"]
        assert page.best_run(rows[0])["seed"] == seed
        assert rows[0]["val_top1_mean"] is rows[0]["test_top1_ci95"] is None


def test_results_hold_the_score_beside_the_columns_of_accuracy(reports: dict[str, Report]) -> None:
    row = reports["ap"].rows[0]
    assert row["score"] == {"measure": "ap", "direction": "max", "unit": "fraction", "title": "average precision"}
    assert (row["val_score_mean"], row["test_score_mean"]) == (pytest.approx(0.8), pytest.approx(0.76))
    half = 4.302652730 * np.std([0.7, 0.8, 0.78], ddof=1) / 3**0.5
    assert row["test_score_ci95"] == pytest.approx([0.76 - half, 0.76 + half])
    run = {"path": "b/seed0", "seed": 0, "val_top1": None, "test_top1": None, "val_score": 0.7, "test_score": 0.7}
    assert row["runs"][0] == run | {"best_epoch": 2, "train_seconds": 1.0}
    content = json.loads((reports["ap"].folder / "results.json").read_text())
    assert content["rows"] == reports["ap"].rows
    assert content["protocol"]["scores"] == [row["score"]]
    with (reports["loss"].folder / "results.csv").open(newline="") as file:
        (first, _) = csv.DictReader(file)
    assert (first["score"], first["score_direction"], first["score_unit"]) == ("loss", "min", "number")
    assert (float(first["val_score_mean"]), first["val_top1_mean"]) == (pytest.approx(0.3), "")


def test_an_interval_of_numbers_is_not_cut(reports: dict[str, Report]) -> None:
    low, high = reports["loss"].rows[1]["test_score_ci95"]
    assert low < 0.9 < 1 < high


def test_tables_name_the_score_and_print_its_unit(reports: dict[str, Report]) -> None:
    headings, lines = tables.table_of(reports["ap"].rows)
    assert headings[:6] == ["network", "recipe", "score", "validation", "test", "95 % interval"]
    assert lines[0][2:5] == ["average precision %", "80.00 ± 10.00", "76.00 ± 5.29"]
    assert tables.table_of(reports["loss"].rows)[1][0][2:6] == ["loss", "0.300 ± 0.100", "0.400 ± 0.100", "0.152–0.648"]
    text = (reports["loss"].folder / "results.md").read_text()
    assert "| `b` | `quick for by_loss` | loss | 0.300 ± 0.100 | 0.400 ± 0.100 | 0.152–0.648 | 3 |" in text
    assert "- **Scores**: loss, lower is better\n" in text
    assert "cut at 100 %" not in text
    assert "cut at 100 %" in (reports["ap"].folder / "results.md").read_text()
    for width in (80, 100):
        console = Console(width=width, color_system=None)
        with console.capture() as capture:
            console.print(tables.terminal_table(reports["all"].rows, width=width))
        assert max(map(len, capture.get().splitlines())) <= width
        assert "precision %" in capture.get()


def test_the_verdict_is_over_seeds_and_says_so(reports: dict[str, Report]) -> None:
    comparison = reports["ap"].comparison
    assert comparison is not None
    assert (comparison["first"], comparison["second"], comparison["images"]) == ("b", "a", None)
    assert comparison["difference"] == pytest.approx(0.2)
    assert comparison["significant"]
    assert comparison["method"].startswith("Welch's t over training seeds")
    assert comparison["sentence"] == (
        "b, best on validation, is ahead of a by 20.00 points in average precision on test (95 % interval 8.00 to "
        "32.00, over 3 seeds of each but not over test images, for average precision is no count of right answers): "
        "more than chance."
    )
    comparison = reports["loss"].comparison
    assert comparison is not None
    assert (comparison["first"], comparison["difference"]) == ("b", pytest.approx(0.5))  # positive: b is better
    assert comparison["sentence"].startswith("b, best on validation, is ahead of a by 0.500 in loss on test (95 % ")


def test_scores_stand_in_one_table_and_are_not_ranked_against_each_other(reports: dict[str, Report]) -> None:
    report = reports["all"]
    assert [(row["architecture"], row.get("score", {}).get("measure")) for row in report.rows] == [
        ("lenet5", None), ("b", "ap"), ("a", "ap"), ("b", "loss"), ("a", "loss"),
    ]  # fmt: skip
    line = "Networks scored by accuracy, by average precision and by loss are not ranked against each other."
    assert report.findings[0] == line
    assert [comparison["first"] for comparison in report.comparisons] == [
        "b @ quick for by_ap",
        "b @ quick for by_loss",
    ]
    assert report.content()["comparisons"] == report.comparisons
    assert "comparisons" not in reports["ap"].content()
    for name in ("results.md", "report.html"):
        assert (report.folder / name).read_text().count(line) == 1
    assert tables.table_of(report.rows)[1][0][2:5] == ["accuracy %", "72.22", "44.44"]


def test_the_page_speaks_of_the_score(reports: dict[str, Report]) -> None:
    html = {name: (report.folder / "report.html").read_text() for name, report in reports.items()}
    assert "Score: average precision in percent, higher is better." in html["ap"]
    assert "<h2>Average precision against cost</h2>" in html["ap"]
    assert "Up and to the left is better: higher average precision for less arithmetic." in html["ap"]
    assert "Down and to the left is better: lower loss for less arithmetic." in html["loss"]
    assert '<td class="text" data-label="score">loss</td>' in html["loss"]
    assert '<td data-label="validation">0.400</td>' in html["loss"]
    assert "ccurac" not in html["loss"].partition("</style>")[2].partition("<h2>Worst")[0]
    assert "Each panel shows one score" in html["all"]


def test_the_axes_have_the_unit_and_the_direction(reports: dict[str, Report], drawn: dict[str, Figure]) -> None:
    def titles(name: str) -> list[str]:
        return [axes.get_ylabel() for axes in drawn[name].axes if axes.get_ylabel()]

    over = ", 95 % interval over 3 seeds"
    assert titles("ap/accuracy_vs_macs.png") == [f"test average precision (%)\nhigher is better{over}"]
    assert titles("loss/accuracy_vs_macs.png") == [f"test loss\nlower is better{over}"]
    assert titles("all/accuracy_vs_macs.png") == [
        "test accuracy (%), one seed",
        f"test average precision (%)\nhigher is better{over}",
        f"test loss\nlower is better{over}",
    ]
    assert titles("ap/curves.png") == ["average precision (%)\nhigher is better"]
    assert set(titles("all/curves.png")) == {
        "accuracy (%)", "average precision (%)\nhigher is better", "loss\nlower is better",
    }  # fmt: skip
    low, high = drawn["ap/accuracy_vs_macs.png"].axes[0].get_ylim()
    assert 30 < low < 50 < 80 < high < 100  # in percent
    low, high = drawn["loss/accuracy_vs_macs.png"].axes[0].get_ylim()
    assert 0 < low < 0.3 < 1 < high < 1.3
    heights = [line.get_ydata()[0] for line in drawn["ap/curves.png"].axes[0].lines if len(line.get_ydata())]
    assert heights == pytest.approx([80, 60])


@pytest.mark.parametrize(
    ("score", "best", "title"),
    [(AP, None, "epoch 0: 50.00 %"), (LOSS, None, "epoch 2: loss 0.480"), (LOSS, 1, "epoch 1: loss 0.490")],
)
def test_the_curves_of_a_run_mark_the_epoch_of_the_score(
    tmp_path: Path, drawn: dict[str, Figure], score: Score, best: int | None, title: str
) -> None:
    run = write_scored(tmp_path / "run", "a", seed=0, score=score, values=(0.5, 0.6))
    curves.draw_run_curves(run.metrics(), tmp_path / "run.png", run_title(run), best_epoch=best, score=score)
    assert drawn[f"{tmp_path.name}/run.png"].axes[0].get_title(loc="right").endswith(title)
    expected = "average precision 60.00 %" if score == AP else "loss 0.600"
    assert run_title(run) == f"a on digits, recipe quick, seed 0: test {expected}"
    assert write_report(run.path).files == (run.path / "curves.png",)


def test_the_result_of_a_run_is_printed_by_its_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _print_run(write_scored(tmp_path / "ap", "a", seed=0, score=AP, values=(0.5, 0.6)), note="")
    _print_run(write_scored(tmp_path / "loss", "a", seed=0, score=LOSS, values=(0.5, None)), note=", loaded")
    _print_run(write_fake_run(tmp_path / "top1", "lenet5"), note="")
    lines = [line for line in capsys.readouterr().out.splitlines() if " images of " in line]
    assert lines == [
        "a: test average precision 60.00 % (360 images of digits), validation 50.00 % in epoch 2 of 3, 1.0 s",
        "a: test loss - (360 images of digits), validation 0.500 in epoch 2 of 3, 1.0 s, loaded",
        "lenet5: test accuracy 88.89 % (360 images of digits), validation 94.44 % in epoch 4 of 5, 4.0 s",
    ]


def test_without_a_score_on_test_there_is_no_verdict(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    for name, value in (("a", 0.5), ("b", 0.4)):
        write_scored(tmp_path / name, name, seed=0, score=LOSS, values=(value, None))
    report = write_report(tmp_path)
    assert report.findings == [
        "b, best on validation, is not compared with a on test: not every run has its test loss."
    ]
    assert tables.cells(report.rows[0])[2:5] == ["0.400", "-", "-"]


@pytest.mark.parametrize("damage", ["missing", "without answers"])
def test_accuracies_without_answers_are_compared_over_seeds(
    tmp_path: Path, drawn: dict[str, Figure], damage: str
) -> None:
    for name, wrong in (("a", (0, 2, 4)), ("b", (4, 6, 8))):
        for seed in range(3):
            write_fake_run(tmp_path / name / f"{seed}", name, seed=seed, wrong=wrong[seed])
    path = tmp_path / "b/1/predictions.npz"
    path.unlink()
    if damage == "without answers":
        write_arrays(path, boxes=np.zeros((3, 4)))
    (sentence,) = write_report(tmp_path).findings
    assert sentence == (
        "a, best on validation, is ahead of b by 1.11 points on test (95 % interval -0.15 to 2.37, over 3 seeds of "
        "each but not over test images, for not every run keeps its answers to the test images): no more than chance."
    )


def test_the_interval_of_a_difference_over_seeds() -> None:
    """Welch's, as by scipy's ttest_ind(a, b, equal_var=False), with the degrees of freedom rounded down."""
    found = difference_over_seeds([0.7, 0.8, 0.78], [0.58, 0.5, 0.6])
    assert (found.mean, found.significant) == (pytest.approx(0.2), True)
    half = (0.0028 / 3 + 0.0028 / 3) ** 0.5 * 2.776445105  # of equal variances: 4 degrees of freedom
    assert (found.low, found.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    one_sided = difference_over_seeds([1.0, 1.0, 1.0], [0.0, 0.5, 1.0])
    assert one_sided.low == pytest.approx(0.5 - 4.302652730 * 0.5 / 3**0.5)  # 2 degrees of freedom
    assert dataclasses.astuple(difference_over_seeds([1.0] * 3, [1.0] * 3)) == (0.0, 0.0, 0.0, False)
    assert difference_over_seeds([0.9, 0.8], [0.1] * 3).significant is None


def test_a_record_keeps_its_score(tmp_path: Path) -> None:
    record = fake_record("a", score=AP)
    content = Run(tmp_path, record).write().record.content()
    assert read_run(tmp_path).record.score.word == "average precision"
    assert record.identity() == fake_record("a").identity()  # the objective, not the score, tells runs apart
    del content["score"]
    assert read_run_record(content, label="run.json").score == TOP1


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ({"measure": "a|b"}, "the measure of a score is 1 to 40 letters, digits and _"),
        ({"measure": "ap", "title": "<b>\n"}, "the title of a score is at most 40"),
        ({"measure": "ap", "direction": "up"}, "direction: 'up' is none of max, min"),
        ({"direction": "max"}, "measure: it is missing"),
    ],
)
def test_a_damaged_score_is_one_line(score: dict[str, Any], reason: str) -> None:
    content = {**fake_record("a").content(), "score": score}
    with pytest.raises(UsageError, match=r"run\.json: its score cannot be read: ") as error:
        read_run_record(content, label="run.json")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
