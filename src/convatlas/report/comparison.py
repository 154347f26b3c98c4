"""The comparison of the two best networks of a study: a difference, its interval and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.evaluation import FEWEST_SEEDS, correct, paired_bootstrap
from convatlas.report.tables import Row, rank_of, relative_path, row_names
from convatlas.run import Run

METHOD = (
    "hierarchical bootstrap over training seeds and test images, 95 % percentile interval of 10,000 resamples; "
    "the two networks are the best by mean validation accuracy"
)


def best_two(rows: Sequence[Row], runs: Iterable[Run], *, root: Path | None = None) -> dict[str, Any] | None:
    """Returns the comparison on test of the two best networks by validation; `None` for fewer than two rows.

    The test is a bootstrap over training seeds and test images. With fewer than three seeds there is no verdict. `rows`
    and `root` are as in `study_rows`. Raises `UsageError` if two runs saw different test images.
    """
    known = [(row, name) for row, name in zip(rows, row_names(rows), strict=True) if row["val_top1_mean"] is not None]
    if len(known) < 2:
        return None
    best = sorted(known, key=lambda pair: rank_of(pair[0]))[:2]
    by_path = {relative_path(run, root): run for run in runs}
    first, second = _test_correct([[by_path[run["path"]] for run in row["runs"]] for row, _ in best])
    difference = paired_bootstrap(first, second)
    comparison = {
        "first": best[0][1],
        "second": best[1][1],
        "tied": best[0][0]["val_top1_mean"] == best[1][0]["val_top1_mean"],
        "seeds": [len(first), len(second)],
        "images": first.shape[1],
        "difference": difference.mean,
        "ci95": None if difference.low is None else [difference.low, difference.high],
        "significant": difference.significant,
        "method": METHOD,
    }
    return comparison | {"sentence": comparison_sentence(comparison)}


def comparison_sentence(comparison: Mapping[str, Any]) -> str:
    """Returns the comparison of `best_two` as a sentence, with its verdict."""
    first, second, difference = comparison["first"], comparison["second"], comparison["difference"]
    best = f"{first}, level with {second} on validation," if comparison["tied"] else f"{first}, best on validation,"
    other = "it" if comparison["tied"] else second
    where = "ahead of" if difference > 0 else "behind"
    lead = f"{best} is {where} {other} by {abs(100 * difference):.2f} points on test"
    if difference == 0:
        lead = f"{best} is level with {other} on test"
    if comparison["ci95"] is None:
        few = min(comparison["seeds"])
        return f"{lead}: too few seeds to tell ({few}; a verdict needs at least {FEWEST_SEEDS} of each)."
    low, high = (f"{100 * end:.2f}" for end in comparison["ci95"])
    a, b = comparison["seeds"]
    seeds = f"{a} seeds of each" if a == b else f"{a} and {b} seeds"
    verdict = "more than chance" if comparison["significant"] else "no more than chance"
    return f"{lead} (95 % interval {low} to {high}, over {seeds} and {comparison['images']:,} test images): {verdict}."


def _test_correct(members: Sequence[Sequence[Run]]) -> list[np.ndarray]:
    """Returns an array (n_seeds, n_images) for each group of runs: is the image answered correctly?

    Raises `UsageError` if two runs saw different test images.
    """
    seen: dict[str, Any] = {}
    groups = []
    for runs in members:
        rights = []
        for run in runs:
            arrays = run.predictions()
            labels, index = arrays["test_labels"], arrays["test_index"]
            first = seen.setdefault("first", (run, labels, index))
            if not (np.array_equal(first[1], labels) and np.array_equal(first[2], index)):
                raise UsageError(
                    f"{first[0].path} and {run.path} were not tested on the same images (labels or index of their "
                    "predictions.npz differ) and cannot be compared; make a report for each"
                )
            rights.append(correct(arrays["test_logits"], labels))
        groups.append(np.stack(rights))
    return groups
