"""A run on disk: what was asked, what happened, and the files that hold it. Needs neither torch nor Lightning."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from convatlas.errors import UsageError

TEMPORARY = ".writing-"  # how the names of files begin that are not yet whole
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


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises `UsageError` where the file cannot be read as one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JSON object")
    return content


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file under a temporary name and moves it to its own; tuples become lists."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and moves it to its own."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name in its folder and moves it: nobody ever sees a half-written one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{TEMPORARY}{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the name on an empty file
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_metrics(path: Path, rows: Iterable[Mapping[str, float]]) -> None:
    """Writes `metrics.csv`: a header and a row an epoch."""
    lines = [",".join(METRICS)]
    lines += [
        ",".join(f"{row[name]:g}" if name == "epoch" else repr(float(row[name])) for name in METRICS) for row in rows
    ]
    write_text(path, "\n".join(lines) + "\n")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a folder for this process, so that no second one writes into it; it is free again when the process ends.

    Raises `UsageError` that says who holds it. What a killed process left half-written is removed.
    """
    check_writable(folder)
    note = folder / ".holder.json"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = read_json(note) if note.is_file() else {}
        who = f"process {holder.get('process', 'unknown')} on {holder.get('host', 'unknown')}"
        since = f" since {holder['since']} ({holder['command']})" if holder else ""
        raise UsageError(f"{folder} is held by {who}{since}; wait for it, or choose another with --out") from error
    try:
        for leftover in (*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"*/{TEMPORARY}*")):
            leftover.unlink()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since, "command": " ".join(sys.argv)}
        write_json(note, holder)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def is_full_disk(error: BaseException) -> bool:
    """Whether an error says that there is no room on the disk, or no more for this user."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_free(folder: Path) -> bool:
    """Whether a folder does not exist or has nothing in it but what `held` leaves."""
    return not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir())


def check_writable(folder: Path) -> None:
    """Raises `UsageError` unless files can be made in `folder`, which is created where it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to the folder {folder}: {error.strerror}; choose another with --out") from error
