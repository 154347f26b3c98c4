"""The choices of a landscape: its directions, its grid, its images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from convatlas.errors import UsageError, unknown
from convatlas.insight.landscape.directions import Ignored
from convatlas.insight.landscape.surface import Statistics

Kind = Literal["random", "pca"]
GRIDS = (5, 301)  # the fewest points along a direction, and the most
SEEDS = 20  # of directions, at most
REACH = 1.0  # how far random directions reach, where nothing else is said


@dataclass(frozen=True)
class Wanted:
    """The choices of a landscape. `reach` is in lengths of the filters; along a training's path there is none.

    `images` training images are measured, or all where there are fewer. `seeds` counts the draws of random directions.
    Raises `UsageError` for a value that makes no sense.
    """

    directions: Kind = "random"
    dimensions: int = 2
    grid: int = 25
    reach: float | None = None
    images: int = 2000
    seeds: int = 1
    statistics: Statistics = "fixed"
    ignore: Ignored = "biasbn"

    def __post_init__(self) -> None:
        for flag, value, kind in (
            ("--directions", self.directions, Kind),
            ("--bn", self.statistics, Statistics),
            ("--ignore", self.ignore, Ignored),
        ):
            if value not in get_args(kind):
                raise unknown(flag, value, get_args(kind))
        if self.dimensions not in (1, 2):
            raise UsageError(f"--dimensions {self.dimensions} must be 1 or 2")
        self._check_grid()
        if self.images < 2:
            raise UsageError(f"--images {self.images} must be at least 2")
        if not 1 <= self.seeds <= SEEDS:
            raise UsageError(f"--seeds {self.seeds} must be a number of draws from 1 to {SEEDS}")
        if self.directions == "pca" and self.seeds != 1:
            raise UsageError(f"--seeds {self.seeds}: the directions of pca are not drawn; leave it out")
        if self.directions == "pca" and self.reach is not None:
            raise UsageError(f"--range {self.reach:g}: with pca the grid lies over the path; leave it out")
        if self.reach is not None and not (math.isfinite(self.reach) and 0 < self.reach <= 1000):
            raise UsageError(f"--range {self.reach:g} must be above 0 and at most 1000, in lengths of the filters")

    def _check_grid(self) -> None:
        least, most = GRIDS
        if not least <= self.grid <= most:
            raise UsageError(f"--grid {self.grid} must be an odd number from {least} to {most}")
        if self.grid % 2 == 0:
            raise UsageError(
                f"--grid {self.grid} has no point at the centre, where the loss is the run's own; take {self.grid + 1}"
            )

    @property
    def range(self) -> float:
        """How far random directions reach from the centre."""
        return REACH if self.reach is None else self.reach

    @property
    def count(self) -> int:
        """The number of points of a surface."""
        return self.grid if self.dimensions == 1 else self.grid * self.grid
