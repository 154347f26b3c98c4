"""The classes in a report: how even they are, and how many test images of each a network answers correctly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convatlas.evaluation import correct
from convatlas.run import Run
from convatlas.words import percent

IMBALANCED = 1.5  # test images of the most frequent class for one of the rarest, from which a report shows more scores
ALIKE = {"test_balanced_accuracy": "balanced accuracy", "test_macro_f1": "macro F1"}  # they count each class alike


def imbalanced(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Returns whether some class has far more test images than another, so that accuracy alone misleads."""
    return any((row.get("test_imbalance") or 1) >= IMBALANCED for row in rows)


def class_table(named: Sequence[tuple[str, Run]]) -> dict[str, Any] | None:
    """Returns the table of the classes: number of test images, and the correct ones of each named run.

    It has `headers` and `rows`, a row for each class. Runs that keep no logits of the test images are left out; if all
    do, the table is None.
    """
    counted = [(name, counts, run) for name, run in named if (counts := _counts(run)) is not None]
    if not counted:
        return None
    members, classes = counted[0][1][0], counted[0][2].record.data.classes
    columns = [hits for _, (_, hits), _ in counted]
    rows = [
        [name, f"{count:,}", *(_share(int(hits[label]), int(count)) for hits in columns)]
        for label, (name, count) in enumerate(zip(classes, members, strict=True))
    ]
    return {"headers": ["class", "test images", *(name for name, _, _ in counted)], "rows": rows}


def _counts(run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the number of test images of each class, and of the correct ones; None if the run keeps no logits."""
    if not (run.path / "predictions.npz").is_file():
        return None
    arrays = run.predictions()
    if not {"test_logits", "test_labels"} <= arrays.keys():
        return None
    labels, classes = arrays["test_labels"], len(run.record.data.classes)
    right = correct(arrays["test_logits"], labels)
    return np.bincount(labels, minlength=classes), np.bincount(labels[right], minlength=classes)


def _share(hits: int, count: int) -> str:
    return f"{hits:,} ({percent(hits / count)} %)" if count else "-"
