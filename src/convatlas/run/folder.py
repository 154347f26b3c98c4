"""A run on disk: what was asked, what happened, and the files that hold it. Needs neither torch nor Lightning."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from convatlas.errors import UsageError
from convatlas.files import read_json, write_json, write_text

Status = Literal["unfinished", "finished", "failed"]

# The columns of metrics.csv. Accuracies are fractions, `lr` is that of the epoch's last step, `seconds` are the whole
# epoch's with validation; `images_per_second` counts training steps only.
METRICS = ("epoch", "train_loss", "train_top1", "val_loss", "val_top1", "lr", "seconds", "images_per_second")


@dataclass(frozen=True)
class Run:
    """A run's folder and its record, the content of `run.json`.

    Record: `status`; `architecture` (name, reference, options, num_classes, in_channels); `recipe` (literal values);
    `seed`; `data` (name, split_hash, split_seed, train, validation, test, classes, ...); `preprocessing` (image_size,
    mean, std); `network` (params, macs, shape); `selection`; `notes`; `versions`; `git_commit`; `hardware`; `command`;
    `results` (best_epoch, val_top1, val_loss, test_top1, test_loss, train_seconds, images_per_second; or error).
    """

    path: Path
    record: dict[str, Any]

    @property
    def status(self) -> Status:
        status: Status = self.record["status"]
        return status

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def results(self) -> dict[str, Any]:
        results: dict[str, Any] = self.record.get("results", {})
        return results

    @property
    def best_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def last_checkpoint(self) -> Path:
        return self.path / "checkpoints" / "last.ckpt"

    def metrics(self) -> list[dict[str, float]]:
        """The rows of `metrics.csv`, one an epoch; none where the first epoch has not ended."""
        path = self.path / "metrics.csv"
        if not path.is_file():
            return []
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]

    def predictions(self) -> dict[str, np.ndarray]:
        """Arrays of `predictions.npz`: val_ and test_ logits (n, classes), labels (n,), index (n,)."""
        path = self.path / "predictions.npz"
        if not path.is_file():
            raise UsageError(f"the run {self.path} has no predictions.npz; was it finished?")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}

    def write(self) -> Run:
        """Writes `run.json` and returns the run."""
        write_json(self.path / "run.json", self.record)
        return self


def is_run(path: Path) -> bool:
    """Whether the folder holds a run.

    >>> is_run(Path("no/such/folder"))
    False
    """
    return (path / "run.json").is_file()


def read_run(path: Path) -> Run:
    """The run in the folder `path`. Raises `UsageError` where there is none or its record cannot be read."""
    if not is_run(path):
        below = sorted(file.parent for file in path.rglob("run.json"))
        hint = f"; there are {len(below)} below it, such as {below[0]}" if below else ": it has no run.json"
        raise UsageError(f"no run in {path}{hint}")
    return Run(path, read_json(path / "run.json"))


def find_runs(folder: Path) -> list[Run]:
    """All runs in `folder` and below, in the order of their paths; a folder that is a run gives itself."""
    return [read_run(path.parent) for path in sorted(folder.rglob("run.json"))]


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Where two records differ, one line each: name, our value, their value.

    >>> differences({"seed": 1, "recipe": {"lr": 0.1}}, {"seed": 2, "recipe": {"lr": 0.1}})
    ['seed 1 here, 2 there']
    """
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if key not in ours or key not in theirs:
            lines.append(f"{prefix}{key} only {'here' if key in ours else 'there'}")
        elif isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key} {a} here, {b} there")
    return lines


def write_metrics(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    """Writes `metrics.csv`: a header and a row an epoch."""
    lines = [",".join(METRICS)]
    lines += [
        ",".join(f"{row[name]:g}" if name == "epoch" else repr(float(row[name])) for name in METRICS) for row in rows
    ]
    write_text(path, "\n".join(lines) + "\n")
