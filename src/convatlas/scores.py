"""The score that selects an epoch, and the way to print its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Score:
    """The measure on the validation images that selects an epoch.

    `direction` says whether a higher or a lower value is better. A `fraction` is printed in percent, a `number` as it
    is.

    >>> Score("top1").column
    'val_top1'
    """

    measure: str
    direction: Literal["max", "min"] = "max"
    unit: Literal["fraction", "number"] = "fraction"

    @property
    def column(self) -> str:
        """The name of the score in `metrics.csv` and in the results of a run."""
        return f"val_{self.measure}"

    def better(self, value: float) -> float:
        """Returns the value, or minus the value if lower is better: the higher result is always better."""
        return value if self.direction == "max" else -value

    def shown(self, value: float, *, decimals: int = 2) -> str:
        """Returns the printed form of a value, without its unit.

        >>> Score("top1").shown(0.98056), Score("loss", "min", "number").shown(0.25)
        ('98.06', '0.25')
        """
        return f"{100 * value if self.unit == 'fraction' else value:.{decimals}f}"


TOP1 = Score("top1")
TITLES: Mapping[str, str] = {"top1": "accuracy (%)", "loss": "loss (cross entropy, nats)"}  # titles of axes


def validation_measures(columns: Mapping[str, float]) -> list[str]:
    """Returns the measures of validation in a row of `metrics.csv`, in the order of its columns.

    >>> validation_measures({"epoch": 1, "train_loss": 0.5, "val_loss": 0.4, "val_top1": 0.9})
    ['loss', 'top1']
    """
    return [name.removeprefix("val_") for name in columns if name.startswith("val_")]
