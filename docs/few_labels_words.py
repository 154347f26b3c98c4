"""Words and numbers that the page and the figures of docs/few_labels_example.md share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from convatlas.evaluation import FEWEST_SEEDS, Z_975, summarize

TEACHER = "noisy_student/round0"
METHODS = {  # the runs of the study -> their names
    "supervised": "supervised",
    TEACHER: "noisy_student, round 0",
    "fixmatch": "fixmatch",
    "meta_pseudo_labels": "meta_pseudo_labels",
    "noisy_student/round2": "noisy_student, round 2",
}

Content = Mapping[str, Any]


def spread(runs: Sequence[Content]) -> tuple[float, float, float]:
    """Returns the mean accuracy on test and its 95 % interval: over seeds, or over the test images of few runs.

    With fewer than three seeds the interval is Wilson's, of the share of right answers of one network.
    """
    mean, _, interval = summarize([run["results"]["test_top1"] for run in runs])
    if len(runs) >= FEWEST_SEEDS and interval is not None:
        return mean, *interval
    return mean, *wilson(mean, runs[0]["data"]["test"])


def wilson(share: float, n: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share of n images.

    >>> [round(end, 3) for end in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    square = Z_975**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z_975 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return middle - half, middle + half
