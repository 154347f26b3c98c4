"""A run on disk: its record and the files beside it. This needs neither torch nor Lightning."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.files import check_writable, is_free, open_regular, read_json, read_regular, write_json, write_text
from convatlas.run.reading import read_run_record
from convatlas.run.record import RunRecord, Status, differences

# The columns of metrics.csv. Accuracies are fractions; `lr` is the rate of the epoch's last step; `seconds` are the
# time of the whole epoch with validation; `images_per_second` counts training steps only.
METRICS = ("epoch", "train_loss", "train_top1", "val_loss", "val_top1", "lr", "seconds", "images_per_second")


@dataclass(frozen=True)
class Run:
    """A run's folder and its record, the content of `run.json`."""

    path: Path
    record: RunRecord

    @property
    def status(self) -> Status:
        return self.record.status

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def results(self) -> Mapping[str, Any]:
        return self.record.results

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    def metrics(self) -> list[dict[str, float]]:
        """Returns the rows of `metrics.csv`, one for each epoch; an empty list before the first epoch has ended."""
        path = self.path / "metrics.csv"
        if not path.is_file():
            return []
        lines = io.StringIO(read_regular(path).decode("utf-8"), newline="")
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]

    def predictions(self) -> dict[str, np.ndarray]:
        """Returns the arrays of `predictions.npz`: val_ and test_ logits (n, classes), labels (n,), index (n,)."""
        path = self.path / "predictions.npz"
        if not path.is_file():
            raise UsageError(f"the run {self.path} has no predictions.npz; only a finished run has it")
        with open_regular(path) as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def write(self) -> Run:
        """Writes `run.json` and returns the run."""
        write_json(self.path / "run.json", self.record.content())
        return self


def is_run(path: Path) -> bool:
    """Returns whether the folder holds a run.

    >>> is_run(Path("no/such/folder"))
    False
    """
    return (path / "run.json").is_file()


def read_run(path: Path) -> Run:
    """Returns the run in the folder `path`. Raises `UsageError` if the folder holds no run or a damaged record."""
    if not is_run(path):
        below = sorted(file.parent for file in path.rglob("run.json"))
        hint = f"; there are {len(below)} below it, such as {below[0]}" if below else ": it has no run.json"
        raise UsageError(f"no run in {path}{hint}")
    file = path / "run.json"
    return Run(path, read_run_record(read_json(file), label=str(file)))


def run_there(folder: Path, record: RunRecord) -> Run | None:
    """Returns the run of this record that lies in the folder, or None where the folder, made if need be, is free.

    Raises `UsageError` where the folder holds another run or other files, or cannot be written to.
    """
    if not is_run(folder):
        if not is_free(folder):
            raise UsageError(f"the folder {folder} is not empty and holds no run; choose another with --out")
        check_writable(folder)
        return None
    run = read_run(folder)
    different = differences(record.identity(), run.record.identity())
    if different:
        raise UsageError(
            f"the folder {folder} holds another run ({'; '.join(different[:3])}); choose another with --out"
        )
    return run


def find_runs(folder: Path) -> list[Run]:
    """Returns all runs in `folder` and below, in the order of their paths; `folder` may be a run itself."""
    return [read_run(path.parent) for path in sorted(folder.rglob("run.json"))]


def write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes `metrics.csv`: a header and a row for each epoch. The columns depend on the objective."""
    names = METRICS if not rows or set(METRICS) <= rows[0].keys() else tuple(rows[0])
    lines = [",".join(names)]
    lines += [
        ",".join(f"{row[name]:g}" if name == "epoch" else repr(float(row[name])) for name in names) for row in rows
    ]
    write_text(path, "\n".join(lines) + "\n")
