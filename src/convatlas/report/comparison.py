"""The comparison of the two best networks of one score: a difference, its interval and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.evaluation import FEWEST_SEEDS, Difference, correct, difference_over_seeds, paired_bootstrap
from convatlas.report.scored import Row, score_of, scores_of, seed_value, value_of
from convatlas.report.tables import rank_of, relative_path, row_names
from convatlas.run import Run
from convatlas.scores import TOP1, Score

METHOD = (
    "hierarchical bootstrap over training seeds and test images, 95 % percentile interval of 10,000 resamples; "
    "the two networks are the best by mean validation accuracy"
)
OVER_SEEDS = (
    "Welch's t over training seeds, 95 % interval, without the chance of the test images: {reason}; the two networks "
    "are the best by mean validation {score}"
)
NO_ANSWERS = "not every run keeps its answers to the test images"


@dataclass(frozen=True)
class Test:
    """The test of a comparison: the difference, the number of test images that were drawn again, and the method.

    `difference` is None where a score on the test images is not known. Without `images`, `reason` says why.
    """

    difference: Difference | None
    method: str
    images: int | None = None
    reason: str | None = None


def comparisons(rows: Sequence[Row], runs: Iterable[Run], *, root: Path | None = None) -> list[dict[str, Any]]:
    """Returns the comparison on test of the two best networks by validation, for each score that has two.

    For accuracy the test is a bootstrap over training seeds and test images; for another score, and for runs that keep
    no answers, it is Welch's t over the seeds. With fewer than three seeds there is no verdict. `difference` is
    positive where the first network is the better one. `rows` and `root` are as in `study_rows`. Raises `UsageError` if
    two runs saw different test images.
    """
    by_path = {relative_path(run, root): run for run in runs}
    named = list(zip(rows, row_names(rows), strict=True))
    found = []
    for score in scores_of(rows):
        known = [pair for pair in named if score_of(pair[0]) == score and value_of(pair[0], "val", "mean") is not None]
        if len(known) > 1:
            found.append(compared(sorted(known, key=lambda pair: rank_of(pair[0]))[:2], by_path))
    return found


def compared(best: Sequence[tuple[Row, str]], runs: Mapping[str, Run], *, lead: str | None = None) -> dict[str, Any]:
    """Returns the comparison of two rows of one score, which come with their names.

    Its sentence begins with `lead`, by default that the first is best on validation.
    """
    (first, first_name), (second, second_name) = best
    test = _test(first, second, [[runs[run["path"]] for run in row["runs"]] for row in (first, second)])
    found = test.difference
    comparison = {
        "first": first_name,
        "second": second_name,
        "tied": value_of(first, "val", "mean") == value_of(second, "val", "mean"),
        "seeds": [len(row["runs"]) for row in (first, second)],
        "images": test.images,
        "difference": None if found is None else found.mean,
        "ci95": None if found is None or found.low is None else [found.low, found.high],
        "significant": None if found is None else found.significant,
        "method": test.method,
    }
    return comparison | {
        "sentence": comparison_sentence(comparison, score=score_of(first), reason=test.reason, lead=lead)
    }


def _test(first: Row, second: Row, members: Sequence[Sequence[Run]]) -> Test:
    """Returns the test of two rows of one score with their runs."""
    score = score_of(first)
    answers = _test_correct(members) if score == TOP1 else None
    if answers is not None:
        return Test(paired_bootstrap(*answers), METHOD, images=answers[0].shape[1])
    reason = NO_ANSWERS if score == TOP1 else f"{score.word} is no count of right answers"
    values = [[seed_value(row, run, "test") for run in row["runs"]] for row in (first, second)]
    known = [[score.better(value) for value in row if value is not None] for row in values]
    whole = [*map(len, known)] == [*map(len, values)]
    method = OVER_SEEDS.format(reason=reason, score=score.word)
    return Test(difference_over_seeds(*known) if whole else None, method, reason=reason)


def comparison_sentence(
    comparison: Mapping[str, Any], *, score: Score = TOP1, reason: str | None = None, lead: str | None = None
) -> str:
    """Returns a comparison as a sentence, with its verdict; `reason` says why the test images were not drawn again.

    It begins with `lead`, by default that the first network is best on validation.
    """
    first, second, difference = comparison["first"], comparison["second"], comparison["difference"]
    best = f"{first}, level with {second} on validation," if comparison["tied"] else f"{first}, best on validation,"
    other = "it" if comparison["tied"] and lead is None else second
    best = best if lead is None else lead
    if difference is None:
        return f"{best} is not compared with {other} on test: not every run has its test {score.word}."
    where = "ahead of" if difference > 0 else "behind"
    points = " points" if score.unit == "fraction" else ""
    measured = "" if score == TOP1 else f" in {score.word}"
    found = f"{best} is {where} {other} by {score.shown(abs(difference))}{points}{measured} on test"
    if difference == 0:
        found = f"{best} is level with {other}{measured} on test"
    if comparison["ci95"] is None:
        few = min(comparison["seeds"])
        return f"{found}: too few seeds to tell ({few}; a verdict needs at least {FEWEST_SEEDS} of each)."
    low, high = map(score.shown, comparison["ci95"])
    a, b = comparison["seeds"]
    seeds = f"{a} seeds of each" if a == b else f"{a} and {b} seeds"
    verdict = "more than chance" if comparison["significant"] else "no more than chance"
    over = f"{seeds} but not over test images, for {reason}"
    if reason is None:
        over = f"{seeds} and {comparison['images']:,} test images"
    return f"{found} (95 % interval {low} to {high}, over {over}): {verdict}."


def _test_correct(members: Sequence[Sequence[Run]]) -> list[np.ndarray] | None:
    """Returns an array (n_seeds, n_images) for each group of runs: is the image answered correctly?

    Returns None where a run keeps no answers. Raises `UsageError` if two runs saw different test images.
    """
    seen: dict[str, Any] = {}
    groups = []
    for runs in members:
        rights = []
        for run in runs:
            arrays = run.predictions() if (run.path / "predictions.npz").is_file() else {}
            if not {"test_logits", "test_labels", "test_index"} <= arrays.keys():
                return None
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
