"""The members: finished runs on the same images, with their answers to the validation and the test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.errors import UsageError
from convatlas.report.protocol import check_same_data
from convatlas.report.tables import row_names, study_rows
from convatlas.run import Run, runs_in

LABELS = ("val_labels", "test_labels", "test_index")
LOGITS = ("val_logits", "test_logits")


@dataclass(frozen=True)
class Member:
    """A run with its name, the name of its network, and the arrays of its answers, as `predictions.npz` has them."""

    name: str
    network: str
    run: Run
    arrays: dict[str, np.ndarray]

    @property
    def finite(self) -> bool:
        """Whether all logits are finite; those of a diverged run are not."""
        return all(bool(np.isfinite(self.arrays[name]).all()) for name in LOGITS)


@dataclass(frozen=True)
class Members:
    """Two or more members that answered the same images, the runs that were left out with the reasons, and notes."""

    all: tuple[Member, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def labels(self, part: str) -> np.ndarray:
        """Returns the classes of the images (n,) of `val` or `test`."""
        return self.all[0].arrays[f"{part}_labels"]

    def logits(self, part: str) -> list[np.ndarray]:
        """Returns the logits (n, classes) of each member for the images of `val` or `test`."""
        return [member.arrays[f"{part}_logits"] for member in self.all]


def read_members(folders: Sequence[Path], *, data_dir: Path | None = None, device: str = "auto") -> Members:
    """Returns the members in the folders of studies and runs, by network and seed.

    Unfinished, failed and diverged runs are left out and named. Where a run keeps no answers to the validation images,
    its checkpoint gives them. Raises `UsageError` for fewer than two members, for other data, and for missing answers.
    """
    runs = runs_in(folders)
    finished = [run for run in runs if run.finished]
    left_out = [f"{run.path} is {run.status}" for run in runs if not run.finished]
    _check_enough(finished, folders, left_out)
    check_same_data(finished)
    _check_same_classes(finished)
    notes: list[str] = []
    read = list(_read(finished, notes, data_dir=data_dir, device=device))
    left_out += [f"{member.run.path} has logits that are not finite" for member in read if not member.finite]
    members = tuple(member for member in read if member.finite)
    _check_enough([member.run for member in members], folders, left_out)
    for member in members[1:]:
        _check_same_images(members[0], member)
    if len({member.network for member in members}) == 1:
        notes.append(f"all members are {members[0].network}: only the chance of their training tells them apart")
    return Members(members, tuple(left_out), tuple(notes))


def _check_enough(runs: Sequence[Run], folders: Sequence[Path], left_out: Sequence[str]) -> None:
    """Raises `UsageError` for fewer than two runs, with the runs that were left out."""
    if len(runs) > 1:
        return
    place, out = ", ".join(map(str, folders)), f" ({'; '.join(left_out)})" if left_out else ""
    there = f"only {runs[0].path} is a finished run" if runs else "no run is finished"
    raise UsageError(f"{there} in {place}{out}; disagree needs two or more, as convatlas compare trains them")


def _read(runs: Sequence[Run], notes: list[str], *, data_dir: Path | None, device: str) -> Iterator[Member]:
    """Yields each run with its answers, sorted by network and seed; a note says where a checkpoint was asked."""
    by_path = {run.path.as_posix(): run for run in runs}
    rows = study_rows(runs)
    for row, network in sorted(zip(rows, row_names(rows), strict=True), key=lambda pair: pair[1]):
        for entry in row["runs"]:
            run = by_path[entry["path"]]
            arrays = run.predictions()
            if "test_logits" not in arrays:
                raise UsageError(f"{run.path} keeps no logits of the test images; disagree needs classifiers")
            if "val_logits" not in arrays:
                arrays |= _validation(run, data_dir=data_dir, device=device)
                notes.append(
                    f"{run.path} keeps no answers to the validation images; its checkpoint was asked, which may have "
                    "been trained on them"
                )
            seed = "" if entry["seed"] is None else f" seed {entry['seed']}"
            yield Member(f"{network}{seed}", network, run, arrays)


def _validation(run: Run, *, data_dir: Path | None, device: str) -> dict[str, np.ndarray]:
    """Returns the answers of a run's checkpoint to the validation images."""
    if run.record.data.validation == 0:
        raise UsageError(f"{run.path} has no validation images, by which members could be chosen; leave it out")
    from convatlas.prediction import evaluate_run

    found = evaluate_run(run.path, split="validation", data_dir=data_dir, device=device)
    return {"val_logits": found.logits, "val_labels": found.labels}


def _check_same_classes(runs: Sequence[Run]) -> None:
    """Raises `UsageError` where runs have different classes, or the same ones in another order."""
    for run in runs[1:]:
        if run.record.data.classes != runs[0].record.data.classes:
            raise UsageError(f"{runs[0].path} and {run.path} have different classes; give runs of the same classes")


def _check_same_images(first: Member, other: Member) -> None:
    """Raises `UsageError` where two members answered other images, or in other classes."""
    ours, theirs = first.arrays, other.arrays
    shapes = all(ours[name].shape == theirs[name].shape for name in LOGITS)
    if not shapes or not all(np.array_equal(ours[name], theirs[name]) for name in LABELS):
        raise UsageError(
            f"{first.run.path} and {other.run.path} answered different images or classes; disagree compares answers to "
            "the same images"
        )
