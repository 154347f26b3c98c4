"""The report of a study of transfer: accuracy by method and number of shots, from the runs on disk."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.evaluation import FEWEST_SEEDS, paired_difference, summarize
from convatlas.files import check_writable, read_arrays, write_json, write_text
from convatlas.report import transfer_figures
from convatlas.report.protocol import distinct, values
from convatlas.report.templates import template
from convatlas.report.transfer_tables import HEADERS, cells, csv_table, markdown_table
from convatlas.run import Run, TransferRecord, is_run, read_run, read_transfer

FILES = ("results.json", "results.csv", "results.md", "transfer.png", "shots.png", "report.html")
INTERVALS = (
    "the interval is Student's t over the draws, cut at 0 and 100 %; that of a difference is over draws and test images"
)
Row = dict[str, Any]
Found = tuple[str, str, int, Run | None]


@dataclass(frozen=True)
class TransferReport:
    """A report of a study of transfer: its folder, the content of `results.json`, and its files."""

    folder: Path
    content: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def rows(self) -> list[Row]:
        """A row for each method and number of shots."""
        rows: list[Row] = self.content["rows"]
        return rows

    @property
    def findings(self) -> list[str]:
        """A sentence for each number of shots: the other methods beside the first one, on the same draws."""
        return [comparison["sentence"] for comparison in self.content["comparisons"]]

    @property
    def failed(self) -> list[dict[str, str]]:
        """The path and the error of each failed run."""
        failed: list[dict[str, str]] = self.content["failed"]
        return failed


def write_transfer_report(folder: Path) -> TransferReport:
    """Rebuilds the report of a study of transfer from its folder and returns it. Raises `UsageError`."""
    record = read_transfer(folder)
    check_writable(folder)
    runs = _runs(folder, record)
    rows = [row for row in (_row(group, record) for group in _groups(runs, record)) if row is not None]
    if not rows:
        raise UsageError(f"no finished run in {folder}; go on with --resume")
    content = {
        "data": {**_plain(record), "test_images": record.test, "validation_images": record.validation},
        "base": {"network": record.base, "weights": record.start.base},
        "protocol": _protocol(record),
        "circumstances": _circumstances(runs),
        "rows": rows,
        "comparisons": _comparisons(rows, list(record.methods.values()), folder),
        "failed": [{"path": path, "error": _error(run)} for path, run in _of_status(runs, "failed", folder)],
        "unfinished": [path for path, _ in _of_status(runs, "unfinished", folder)],
    }
    report = TransferReport(folder, content, tuple(folder / name for name in FILES))
    _write_files(report, record)
    return report


def _plain(record: TransferRecord) -> dict[str, Any]:
    data = record.data
    return {
        "name": data.name,
        "split_hash": data.split_hash,
        "images_hash": data.images_hash,
        "classes": list(record.classes),
        "train_images": record.train,
    }


def _protocol(record: TransferRecord) -> list[str]:
    """Returns the sentences that say how the numbers were made."""
    return [
        f"Test accuracy on {record.test:,} test images of {record.data.name}, the same for every run; {INTERVALS}.",
        "A draw chooses the training images of each class; all methods have the same draws, and a draw of more shots "
        "has the images of one of fewer. The seed of a training is 1000 and the number of its draw.",
        f"Validation images that were used: {record.validation}. Every training keeps its last epoch.",
        f"Base: {record.base}"
        + (f", weights {record.start.base}." if record.start.origin == "weights" else ", from the seed."),
    ]


def _circumstances(runs: Sequence[Found]) -> dict[str, list[Any]]:
    """Returns the different commands, versions, commits and machines of the finished runs."""
    sessions = [run.record.latest for _, _, _, run in runs if run is not None and run.finished]
    return {
        "command": distinct(session.command for session in sessions),
        "versions": distinct(session.versions or None for session in sessions),
        "git_commit": distinct(session.git_commit for session in sessions),
        "hardware": distinct(session.hardware or None for session in sessions),
    }


def _runs(folder: Path, record: TransferRecord) -> list[Found]:
    """Returns method, shots, draw and run of each member, None where there is no run."""
    found: list[Found] = []
    for name, method in record.methods.items():
        for shots, draws in record.draws.items():
            for draw in draws:
                path = folder / name / f"shots{shots}" / f"draw{draw}"
                found.append((method, shots, draw, read_run(path) if is_run(path) else None))
    return found


def _of_status(runs: Sequence[Found], status: str, folder: Path) -> list[tuple[str, Run]]:
    return [
        (run.path.relative_to(folder).as_posix(), run)
        for _, _, _, run in runs
        if run is not None and run.status == status
    ]


def _error(run: Run) -> str:
    return " ".join(str(run.results.get("error", "unknown")).split())


def _groups(runs: Sequence[Found], record: TransferRecord) -> list[list[Found]]:
    """Returns the finished runs of each number of shots and method, the fewest shots first."""
    shots = sorted(record.draws, key=lambda text: float("inf") if text == "all" else int(text))
    return [
        [found for found in runs if found[:2] == (method, each) and found[3] is not None and found[3].finished]
        for each in shots
        for method in record.methods.values()
    ]


def _row(group: Sequence[Found], record: TransferRecord) -> Row | None:
    """Returns the row of one method and one number of shots; None without a finished run."""
    draws = [
        {
            "draw": draw,
            "seed": run.record.seed,
            "test_top1": run.results["test_top1"],
            "train_seconds": run.results.get("train_seconds"),
            "path": f"{_folder(record, method)}/shots{shots}/draw{draw}",
        }
        for method, shots, draw, run in group
        if run is not None
    ]
    if not draws:
        return None
    (method, shots, _, first), values = group[0], [each["test_top1"] for each in draws]
    assert first is not None
    mean, std, interval = summarize(values)
    times = [each["train_seconds"] for each in draws if each["train_seconds"] is not None]
    return {
        "method": method,
        "recipe": first.record.recipe["name"],
        "network": first.record.architecture.name,
        "image_size": first.record.preprocessing.image_size,
        "shots": shots,
        "images_per_class": first.record.data.train / len(record.classes),
        "train_images": first.record.data.train,
        "validation_images": first.record.data.validation,
        "test_images": first.record.data.test,
        "n_draws": len(draws),
        "test_top1_mean": mean,
        "test_top1_median": statistics.median(values),
        "test_top1_std": std,
        "test_top1_min": min(values),
        "test_top1_max": max(values),
        "test_top1_ci95": interval,
        "train_seconds_mean": statistics.fmean(times) if times else None,
        "draws": draws,
    }


def _folder(record: TransferRecord, method: str) -> str:
    return next(folder for folder, name in record.methods.items() if name == method)


def _comparisons(rows: Sequence[Row], methods: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """Returns the differences of the other methods from the first one, on the same draws, for each number of shots."""
    found = []
    for shots in dict.fromkeys(row["shots"] for row in rows):
        own = {row["method"]: row for row in rows if row["shots"] == shots}
        first = own.get(methods[0])
        others = [_difference(own[name], first, folder) for name in methods[1:] if name in own] if first else []
        if first and others:
            count = "all images" if shots == "all" else f"{shots} shot{'s' * (shots != '1')}"
            said = "; ".join(f"{other['method']} {other['verdict']}" for other in others)
            sentence = f"{count}, beside {methods[0]} on the same draws: {said}."
            found.append({"shots": shots, "first": methods[0], "others": others, "sentence": sentence})
    return found


def _difference(row: Row, first: Row, folder: Path) -> dict[str, Any]:
    """Returns the difference of a method from the first one in words and numbers."""
    ours, theirs = ({each["draw"]: folder / each["path"] for each in side["draws"]} for side in (row, first))
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        return {"method": row["method"], "n_draws": 0, "verdict": "has no draw in common", "difference": None}
    found = paired_difference(*(np.stack([_correct(side[draw]) for draw in shared]) for side in (ours, theirs)))
    points = f"{100 * found.mean:+.1f} points"
    if found.low == found.high == 0:
        verdict = "is right on the same test images"
    elif found.low is None or found.high is None:
        verdict = f"is {points} apart ({len(shared)} of the {FEWEST_SEEDS} draws that a verdict needs)"
    else:
        ends = f"{points}, 95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
        verdict = (
            f"is {'ahead' if found.mean > 0 else 'behind'} ({ends})"
            if found.significant
            else (f"is too close to tell ({ends})")
        )
    return {
        "method": row["method"],
        "n_draws": len(shared),
        "difference": found.mean,
        "ci95": None if found.low is None else [found.low, found.high],
        "significant": found.significant,
        "verdict": verdict,
    }


def _correct(run: Path) -> np.ndarray:
    """Returns whether the answer of a run to each test image is right, in the order of the images' numbers."""
    arrays = read_run(run).predictions()
    correct: np.ndarray = arrays["test_logits"].argmax(1) == arrays["test_labels"]
    return correct[np.argsort(arrays["test_index"])]


def _write_files(report: TransferReport, record: TransferRecord) -> None:
    out, rows = report.folder, report.rows
    write_json(out / "results.json", report.content)
    write_text(out / "results.csv", csv_table(rows))
    write_text(out / "results.md", _markdown(report))
    methods = [name for name in record.methods.values() if any(row["method"] == name for row in rows)]
    transfer_figures.draw_transfer(rows, out / "transfer.png", methods=methods, title=_title(record))
    shown = read_arrays(out / "shots.npz") if (out / "shots.npz").is_file() else {}
    if shown:
        transfer_figures.draw_shots(shown["pixels"], out / "shots.png", classes=record.classes, draw=int(shown["draw"]))
    pictures = {name: transfer_figures.data_uri(out / f"{name}.png") for name in ("transfer", "shots")}
    page = template("transfer.html.j2").render(
        report.content,
        made=_made(report),
        title=_title(record),
        headers=HEADERS,
        table=[cells(row) for row in rows],
        pictures=pictures,
    )
    write_text(out / "report.html", page)


def _title(record: TransferRecord) -> str:
    return f"{record.base} on {record.data.name}"


def _made(report: TransferReport) -> list[str]:
    """Returns the hardware, the versions, the commits and the commands of the runs in words."""
    found = report.content["circumstances"]
    return [
        *(f"Hardware: {values(each)}" for each in found["hardware"]),
        *(f"Versions: {values(each)}" for each in found["versions"]),
        *(f"Commit: {commit}" for commit in found["git_commit"]),
        *(f"Command: {command}" for command in found["command"]),
    ]


def _markdown(report: TransferReport) -> str:
    parts = [markdown_table(report.rows), *(f"{finding}\n" for finding in report.findings)]
    parts += [f"Failed: `{run['path']}`: {run['error']}\n" for run in report.failed]
    parts.append("".join(f"- {sentence}\n" for sentence in [*report.content["protocol"], *_made(report)]))
    return "\n".join(parts)
