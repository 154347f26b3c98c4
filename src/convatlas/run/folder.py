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
from convatlas.files import (
    check_encodable,
    check_places,
    is_free,
    make_writable,
    read_arrays,
    read_json,
    read_regular,
    write_json,
    write_text,
)
from convatlas.run.changed import change_of_data
from convatlas.run.reading import read_run_record
from convatlas.run.record import RunRecord, Status, differences

WAY_ON = "bring back a copy of it, or move the folder of the run away and train anew"
FILES = ("run.json", "metrics.csv", "predictions.npz", "samples.npz", "curves.png")
FOLDERS = ("checkpoints", "tensorboard", "snapshots")
CHECKPOINTS = tuple(f"checkpoints/{name}.ckpt" for name in ("best", "last", "previous"))

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

    @property
    def snapshots(self) -> dict[int, Path]:
        """The files of the weights that the run kept, by the number of the epoch after which; 0 are its first weights.

        >>> Run(Path("no/such/folder"), record=None).snapshots
        {}
        """
        found = ((path.stem.removeprefix("epoch"), path) for path in self.path.glob("snapshots/epoch*.ckpt"))
        return dict(sorted((int(number), path) for number, path in found if number.isdecimal()))

    def metrics(self) -> list[dict[str, float]]:
        """Returns the rows of `metrics.csv`, one for each epoch; an empty list before the first epoch has ended.

        Raises `UsageError` for a damaged file.
        """
        path = self.path / "metrics.csv"
        if not path.is_file():
            return []
        try:
            lines = io.StringIO(read_regular(path).decode("utf-8"), newline="")
            reader = csv.DictReader(lines, strict=True)
            columns = reader.fieldnames or ()
            rows = [{key: float(value) for key, value in row.items()} for row in reader]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"{path} cannot be read: it is cut off or damaged; {WAY_ON}") from error
        if not {"epoch", "lr", "seconds", "images_per_second"} <= set(columns):
            raise UsageError(f"{path} cannot be read: its columns are not those of a run; {WAY_ON}")
        return rows

    def predictions(self) -> dict[str, np.ndarray]:
        """Returns the arrays of `predictions.npz`: val_ and test_ logits (n, classes), labels (n,), index (n,)."""
        path = self.path / "predictions.npz"
        if not path.is_file():
            raise UsageError(f"the run {self.path} has no predictions.npz; only a finished run has it")
        return read_arrays(path)

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
    try:
        return Run(path, read_run_record(read_json(file), label=str(file)))
    except UsageError as error:
        raise UsageError(f"{error}; {WAY_ON}") from error


def run_there(folder: Path, record: RunRecord) -> Run | None:
    """Returns the run of this record that lies in the folder, or None where the folder, made if need be, is free.

    Raises `UsageError` where the folder holds another run or other files, or cannot be written to.
    """
    check_places(folder, files=(*FILES, *CHECKPOINTS), folders=FOLDERS)
    if not is_run(folder):
        if not is_free(folder):
            raise UsageError(f"the folder {folder} is not empty and holds no run; choose another with --out")
        check_nameable(record.content())
        make_writable(folder)
        return None
    run = read_run(folder)
    different = differences(record.identity(), run.record.identity())
    if different and all(line.startswith(("data.", "architecture.num_classes")) for line in different):
        change = change_of_data(record.data, run.record.data)
        if change:
            raise UsageError(
                f"{record.data.name} is not what it was when the run in {folder} began: {change}; bring the images "
                "back, or choose another folder with --out"
            )
    if different:
        raise UsageError(
            f"the folder {folder} holds another run ({'; '.join(different[:3])}); choose another with --out"
        )
    return run


def check_nameable(content: object) -> None:
    """Raises `UsageError` where a record has a path or a class whose name is not UTF-8; JSON could not hold it."""
    if isinstance(content, str):
        check_encodable(content, advice="rename the file or folder")
    elif isinstance(content, Mapping):
        check_nameable(list(content.values()))
    elif isinstance(content, list | tuple):
        for item in content:
            check_nameable(item)


def find_runs(folder: Path) -> list[Run]:
    """Returns all runs in `folder` and below, in the order of their paths; `folder` may be a run itself."""
    return [read_run(path.parent) for path in sorted(folder.rglob("run.json"))]


def runs_in(folders: Sequence[Path]) -> list[Run]:
    """Returns the runs in several folders and below, each once. Raises `UsageError` for a place that is no folder."""
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}; give the folder of a study, or those of runs")
    return list({run.path.resolve(): run for folder in folders for run in find_runs(folder)}.values())


def write_metrics(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes `metrics.csv`: a header and a row for each epoch. The columns depend on the objective."""
    names = tuple(rows[0]) if rows else METRICS
    if set(METRICS) <= set(names):
        names = (*METRICS, *(name for name in names if name not in METRICS))
    lines = [",".join(names)]
    lines += [
        ",".join(f"{row[name]:g}" if name == "epoch" else repr(float(row[name])) for name in names) for row in rows
    ]
    write_text(path, "\n".join(lines) + "\n")
