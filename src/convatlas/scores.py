"""The score that selects an epoch: its name, its direction, and the way to print its values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Score:
    """The measure on the validation images that selects an epoch and ranks networks; a run's record keeps it.

    `direction` says whether a higher or a lower value is better. A `fraction` is printed in percent, a `number` as it
    is. `title` is the printed name, where `measure` is too short for it. Raises `ValueError` for an unusable name.

    >>> Score("top1").column, Score("ap", title="average precision").word
    ('val_top1', 'average precision')
    """

    measure: str
    direction: Literal["max", "min"] = "max"
    unit: Literal["fraction", "number"] = "fraction"
    title: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w{1,40}", self.measure):
            raise ValueError("the measure of a score is 1 to 40 letters, digits and _")
        if not re.fullmatch(r"[\w ,.()-]{0,40}", self.title):
            raise ValueError("the title of a score is at most 40 letters, digits, spaces and marks of , . ( ) - _")

    @property
    def column(self) -> str:
        """The name of the score in `metrics.csv` and in the results of a run."""
        return f"val_{self.measure}"

    @property
    def test_column(self) -> str:
        """The name of the score on the test images in the results of a run."""
        return f"test_{self.measure}"

    @property
    def word(self) -> str:
        """The printed name."""
        return self.title or self.measure

    @property
    def sign(self) -> str:
        """The sign after a printed value with a space before it: that of percent, or nothing."""
        return " %" if self.unit == "fraction" else ""

    @property
    def scale(self) -> float:
        """The factor from a value to the value in its printed unit."""
        return 100.0 if self.unit == "fraction" else 1.0

    @property
    def advice(self) -> str:
        """The direction in words: `higher is better` or `lower is better`."""
        return "higher is better" if self.direction == "max" else "lower is better"

    @property
    def bounds(self) -> tuple[float, float]:
        """The limits between which every value lies."""
        return (0.0, 1.0) if self.unit == "fraction" else (-math.inf, math.inf)

    def better(self, value: float) -> float:
        """Returns the value, or minus the value if lower is better: the higher result is always better."""
        return value if self.direction == "max" else -value

    def shown(self, value: float | None, *, decimals: int = 2) -> str:
        """Returns the printed form of a value, without its unit; a number has one decimal more. None is `-`.

        >>> Score("top1").shown(0.98056), Score("loss", "min", "number").shown(0.25), Score("top1").shown(None)
        ('98.06', '0.250', '-')
        """
        if value is None:
            return "-"
        return f"{100 * value:.{decimals}f}" if self.unit == "fraction" else f"{value:.{decimals + 1}f}"


TOP1 = Score("top1", title="accuracy")
AP = Score("ap", title="average precision")
TITLES: Mapping[str, str] = {  # titles of axes
    "top1": "accuracy (%)",
    "loss": "loss (cross entropy, nats)",
    "ap50": "average precision at an overlap of 0.5",
    "unlabelled_loss": "loss of unlabelled images",
    "mask": "part of them that teaches",
    "teacher_loss": "loss of the teacher",
    "feedback": "feedback of the student",
    "class_loss": "loss of the classes",
    "box_loss": "loss of the boxes",
}
BESIDE: Mapping[str, Score] = {"ap": Score("ap50", title="AP50")}  # the measure that tables show beside a score


def axis_title(score: Score) -> str:
    """Returns the title of an axis: the score, its unit, and for another score than accuracy its direction, below."""
    if score == TOP1:
        return TITLES["top1"]
    return f"{score.word}{' (%)' if score.unit == 'fraction' else ''}\n{score.advice}"


def distinct_scores(scores: Iterable[Score]) -> list[Score]:
    """Returns the different scores in the order of reports: the accuracy first, the others by name.

    >>> [score.measure for score in distinct_scores([Score("map"), Score("ap"), TOP1, Score("map")])]
    ['top1', 'ap', 'map']
    """
    return sorted(dict.fromkeys(scores), key=order_of)


def order_of(score: Score) -> tuple[bool, str, str, str]:
    """Returns the key that sorts scores: the accuracy first, the others by name."""
    return score != TOP1, score.measure, score.direction, score.unit


def validation_measures(columns: Mapping[str, float]) -> list[str]:
    """Returns the measures of validation in a row of `metrics.csv`, in the order of its columns.

    >>> validation_measures({"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_top1": 0.9})
    ['loss', 'top1']
    """
    return [name.removeprefix("val_") for name in columns if name.startswith("val_")]
