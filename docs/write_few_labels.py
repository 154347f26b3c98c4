"""Writes docs/few_labels_example.md and its figures from results/few_labels/, so that no number is typed by hand.

python docs/write_few_labels.py                  rewrite the page and its figures
python docs/write_few_labels.py --from FOLDER    take over the runs of bench/few_labels.sh first: supervised/seed0 ...
python docs/write_few_labels.py --check          change nothing; exit 1 where the page is stale
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import few_labels_page
import numpy as np
from few_labels_figures import draw
from few_labels_words import BIASED, LONGER, TEACHER
from page_script import run
from places import check_no_places, without_places

from convatlas.errors import UsageError
from convatlas.evaluation import FEWEST_SEEDS, Difference, correct, image_bootstrap, paired_bootstrap
from convatlas.files import read_json, write_json
from convatlas.run import Run, read_run

ROOT = Path(__file__).resolve().parent.parent
MEMBERS: dict[str, tuple[str, ...]] = {  # folder of the runs -> those that they are compared with
    "supervised": (),
    "fixmatch": ("supervised", TEACHER),
    f"{LONGER}supervised": (),
    f"{LONGER}meta_pseudo_labels": (f"{LONGER}supervised",),
    "fixmatch_strong": ("supervised",),
    "meta_pseudo_labels": ("supervised", TEACHER),
    "meta_finetuned": ("supervised",),
    TEACHER: ("supervised",),
    "noisy_student/round1": ("supervised", TEACHER),
    "noisy_student/round2": ("supervised", TEACHER),
    "few_supervised": (),
    "few_pseudo_label": ("few_supervised",),
    BIASED: ("few_supervised",),
}
KEPT = ("recipe", "seed", "data", "network", "selection", "versions", "git_commit", "hardware", "command", "results")
COURSE = (  # of each epoch
    *("val_top1", "val_loss", "train_top1", "train_mask", "train_unlabelled_loss"),
    *("train_teacher_loss", "train_feedback"),
)

Content = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Runs the command line on the checkout at `root` and returns its exit code."""
    results = root / "results/few_labels/cifar10-jpeg.json"

    def made() -> tuple[str, Callable[[], None]]:
        content = read_json(results)
        return few_labels_page.page(content), lambda: draw(content, root / "docs/few_labels")

    return run(
        __doc__,
        arguments,
        root / "docs/few_labels_example.md",
        script="write_few_labels.py",
        source="the runs to take over first",
        take_over=lambda folder: take_over(folder, results),
        made=made,
    )


def take_over(source: Path, results: Path) -> None:
    """Keeps what the runs say, without the places of this machine.

    Raises `UsageError` where a run is missing or unfinished, and for a place that remains.
    """
    runs = {member: found(source, member) for member in MEMBERS}
    content = {
        member: {
            "runs": [kept(run) for run in runs[member]],
            "differences": {other: asdict(difference(runs[member], runs[other])) for other in others},
        }
        for member, others in MEMBERS.items()
    }
    check_no_places(content, source=source)
    write_json(results, content)


def found(source: Path, member: str) -> list[Run]:
    """Returns the finished runs of a member: those of its seeds."""
    method, _, part = member.partition("/")
    runs = [read_run(path / part) for path in sorted((source / method).glob("seed*"))]
    if not runs or not all(run.finished for run in runs):
        raise UsageError(f"{source} has no finished runs {method}/seed0/{part}; bench/few_labels.sh trains them")
    return runs


def difference(runs: Sequence[Run], others: Sequence[Run]) -> Difference:
    """Returns the accuracy on test of runs less that of others, over the seeds that both have.

    The interval is over seeds and test images; with fewer than three seeds it is that of the first two networks over
    the test images alone. Raises `UsageError` where they have no seed in common.
    """
    seeds = [{run.record.seed: run for run in each} for each in (runs, others)]
    common = sorted(seed for seed in seeds[0] if seed in seeds[1] and seed is not None)
    if not common:
        raise UsageError(f"{runs[0].path} and {others[0].path} have no seed in common")
    first, second = (np.stack([rights(found[seed]) for seed in common]) for found in seeds)
    if len(common) < FEWEST_SEEDS:
        return image_bootstrap(first[0], second[0])
    return paired_bootstrap(first, second)


def rights(run: Run) -> np.ndarray:
    """Returns whether a run answers each test image rightly."""
    arrays = run.predictions()
    return correct(arrays["test_logits"], arrays["test_labels"])


def kept(run: Run) -> dict[str, Any]:
    """Returns what a run's record says, and its course."""
    record, rows = run.record.content(), run.metrics()
    labelled = {name: record["labelled"][name] for name in ("count", "seed", "hash")}
    plain: dict[str, Any] = without_places({name: record[name] for name in KEPT})
    course = {name: [row.get(name) for row in rows] for name in COURSE}
    return {
        **plain,
        "labelled": labelled,
        "unlabelled": (record.get("unlabelled") or {}).get("count"),
        "course": course,
        "epoch_seconds": median(row["seconds"] for row in rows),
    }


if __name__ == "__main__":
    sys.exit(main())
