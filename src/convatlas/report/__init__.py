"""Reports of runs: tables, figures and one self-contained page, rebuilt from disk. The room never imports torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convatlas.errors import UsageError
from convatlas.files import check_writable, write_json, write_text
from convatlas.report import costs, curves, detectors, few_labels, page, published, tables
from convatlas.report.comparison import comparisons
from convatlas.report.protocol import Term, in_words, protocol
from convatlas.report.published import published_beside
from convatlas.report.scored import Row, not_ranked, scores_of
from convatlas.run import Run, is_run, is_study, read_run, read_study, runs_in
from convatlas.scores import TOP1
from convatlas.words import label

__all__ = ["Report", "write_report"]

FILES = ("results.json", "results.csv", "results.md", "curves.png", "accuracy_vs_macs.png", "report.html")


@dataclass(frozen=True)
class Report:
    """A report: its folder, its rows (see `tables.study_rows`) and its files.

    `comparisons` are those of the best two networks, one for each score that has two; `methods` those of each method
    for few labels with labels alone. `failed` holds the path and the error of each failed run, `unfinished` the path of
    each unfinished run.
    """

    folder: Path
    rows: list[Row]
    protocol: dict[str, Any]
    comparisons: list[dict[str, Any]]
    published: list[dict[str, Any]]
    failed: list[dict[str, str]]
    unfinished: list[str]
    files: tuple[Path, ...]
    methods: list[dict[str, Any]] = field(default_factory=list)

    @property
    def comparison(self) -> dict[str, Any] | None:
        """The first comparison."""
        return self.comparisons[0] if self.comparisons else None

    @property
    def findings(self) -> list[str]:
        """Sentences: that different scores are not ranked against each other, and each comparison."""
        line = not_ranked(scores_of(self.rows))
        compared = (*self.comparisons, *self.methods)
        return [*([line] if line else []), *(comparison["sentence"] for comparison in compared)]

    def content(self) -> dict[str, Any]:
        """Returns the content of `results.json`; only with several scores it has all `comparisons`."""
        several = {"comparisons": self.comparisons} if len(scores_of(self.rows)) > 1 else {}
        return {
            "protocol": self.protocol,
            "rows": self.rows,
            "comparison": self.comparison,
            **several,
            **({"methods": self.methods} if self.methods else {}),
            "published": self.published,
            "failed": self.failed,
            "unfinished": self.unfinished,
        }


def write_report(folders: Path | Sequence[Path], *, out: Path | None = None) -> Report:
    """Rebuilds the report of studies and runs from their folders and returns it.

    A study's folder gets `results.json`, `results.csv`, `results.md`, `curves.png`, `accuracy_vs_macs.png` and
    `report.html`; a run's folder gets its `curves.png`. With `out`, all files go there; several folders need it. Raises
    `UsageError` if no run is finished, or if the runs are of different data or splits.
    """
    folders = [folders] if isinstance(folders, Path) else list(folders)
    if out is None and len(folders) != 1:
        raise UsageError(f"{len(folders)} folders in one report need a folder to write to; name it with --out")
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}; a report is made from the folder of a run or of a study")
    check_writable(out or folders[0])
    if out is None and is_run(folders[0]):
        return _run_report(read_run(folders[0]))
    return _study_report(folders, out or folders[0])


def _run_report(run: Run) -> Report:
    """Redraws the curves of one run and returns its report."""
    _check_finished([run], [run.path])
    figure = run.path / "curves.png"
    rows = tables.study_rows([run], root=run.path)
    files = [figure]
    if detectors.draw_precision_recall([(tables.row_names(rows)[0], run)], run.path / detectors.FIGURE):
        files.append(run.path / detectors.FIGURE)
    best = run.results.get("best_epoch")
    curves.draw_run_curves(run.metrics(), figure, run_title(run), best_epoch=best, score=run.record.score)
    beside = published_beside(rows, {_path(run, run.path): run})
    return Report(run.path, rows, protocol([run]), [], beside, [], [], tuple(files))


def _study_report(folders: Sequence[Path], out: Path) -> Report:
    """Reads the runs of all folders, writes every file of a report into `out` and returns the report."""
    runs = runs_in(folders)
    finished = [run for run in runs if run.finished]
    _check_finished(runs, folders)
    studies = [read_study(folder) for folder in folders if is_study(folder)]
    shared = protocol(finished, study=studies[0] if len(folders) == len(studies) == 1 else None)
    rows = tables.study_rows(finished, root=out)
    report = Report(
        folder=out,
        rows=rows,
        protocol=shared,
        comparisons=comparisons(rows, finished, root=out),
        published=published_beside(rows, {_path(run, out): run for run in finished}),
        failed=[{"path": _path(run, out), "error": _error(run)} for run in runs if run.status == "failed"],
        unfinished=[_path(run, out) for run in runs if run.status == "unfinished"],
        files=tuple(out / name for name in (*FILES, *_further(rows, finished))),
        methods=few_labels.against_labels_alone(rows, finished, root=out),
    )
    _write_files(report, finished)
    return report


def _further(rows: Sequence[Row], runs: Sequence[Run]) -> list[str]:
    """Returns the names of the figures that only some reports have."""
    by_labels = [few_labels.FIGURE] if few_labels.with_method(rows) else []
    of_boxes = [detectors.FIGURE] if detectors.of_detectors([("", run) for run in runs]) else []
    return [*by_labels, *of_boxes]


def _write_files(report: Report, runs: Sequence[Run]) -> None:
    out, rows = report.folder, report.rows
    by_path = {_path(run, out): run for run in runs}
    names = tables.row_names(rows)
    groups = {
        name: [by_path[run["path"]].metrics() for run in row["runs"]] for name, row in zip(names, rows, strict=True)
    }
    content = report.content()
    write_json(out / "results.json", content)
    write_text(out / "results.csv", tables.csv_table(rows))
    write_text(out / "results.md", _markdown(report))
    curves.draw_study_curves(groups, out / "curves.png", scores=scores_of(rows))
    costs.draw_accuracy_vs_macs(rows, out / "accuracy_vs_macs.png")
    if few_labels.with_method(rows):
        few_labels.draw_accuracy_vs_labels(rows, out / few_labels.FIGURE)
    best = [by_path[page.best_run(row)["path"]] for row in rows]
    detectors.draw_precision_recall(list(zip(names, best, strict=True)), out / detectors.FIGURE)
    write_text(out / "report.html", page.render(content, folder=out, runs=by_path, findings=report.findings))


def run_title(run: Run) -> str:
    """Returns the title of a run's figure: network, recipe, data, seed and score on the test images."""
    record, score = run.record, run.record.score
    name = label(record.architecture.name, record.architecture.options)
    seed = "" if record.seed is None else f", seed {record.seed}"
    title = f"{name} on {record.data.name}, recipe {record.recipe['name']}{seed}"
    reached = run.results.get(score.test_column)
    named = "" if score == TOP1 else f"{score.word} "
    return title if reached is None else f"{title}: test {named}{score.shown(reached)}{score.sign}"


def _check_finished(runs: Sequence[Run], folders: Sequence[Path]) -> None:
    if any(run.finished for run in runs):
        return
    place = ", ".join(map(str, folders))
    if not runs:
        raise UsageError(f"no run in {place}; train one with convatlas train or compare")
    failed = [run for run in runs if run.status == "failed"]
    first = f"; {failed[0].path} failed: {_error(failed[0])}" if failed else ""
    raise UsageError(
        f"no finished run in {place}: {len(failed)} failed, {len(runs) - len(failed)} unfinished{first}; "
        "continue them with --resume"
    )


def _error(run: Run) -> str:
    return " ".join(str(run.results.get("error", "unknown")).split())  # a line


def _path(run: Run, root: Path) -> str:
    return Path(os.path.relpath(run.path, root)).as_posix()


def _markdown(report: Report) -> str:
    """Returns the content of `results.md`: the table, the comparisons, and the protocol."""
    by_labels = [few_labels.markdown(report.rows)] if few_labels.with_method(report.rows) else []
    parts = [tables.markdown_table(report.rows), *by_labels, *(f"{finding}\n" for finding in report.findings)]
    if report.published:
        parts.append(published.markdown(report.published))
    parts += [f"Failed: `{run['path']}`: {run['error']}\n" for run in report.failed]
    parts += [f"Unfinished, not counted: `{path}`\n" for path in report.unfinished]
    parts.append("".join(f"- **{term.name}**: {_text(term)}\n" for term in in_words(report.protocol)))
    return "\n".join(parts)


def _text(term: Term) -> str:
    return f"{term.text}; {term.folded_as}: see `results.json`" if term.folded else term.text
