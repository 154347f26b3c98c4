"""The points of loss surfaces: their places, their values, and the file that keeps them while they are measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.errors import UsageError
from convatlas.files import read_arrays, write_arrays

FILE = "landscape.npz"
MARGIN = 0.2  # of the extent of a path, on each side
ARRAYS = ("x", "y", "loss", "error")


@dataclass(frozen=True)
class Points:
    """The values of some surfaces: `loss` and `error` (surfaces, rows, columns), NaN where a point is not done.

    `x` (surfaces, columns) and `y` (surfaces, rows) are the steps along the two directions; in one dimension there is
    one row. `facts` say what the values belong to. The arrays are filled in place.
    """

    facts: Mapping[str, Any]
    x: np.ndarray
    y: np.ndarray
    loss: np.ndarray
    error: np.ndarray

    @staticmethod
    def empty(facts: Mapping[str, Any], axes: Sequence[tuple[np.ndarray, np.ndarray]]) -> Points:
        """Returns surfaces without values, each with its axes."""
        x, y = (np.stack(each) for each in zip(*axes, strict=True))
        shape = (len(axes), y.shape[1], x.shape[1])
        return Points(facts, x, y, np.full(shape, np.nan), np.full(shape, np.nan))

    @property
    def left(self) -> list[tuple[int, int, int]]:
        """The places (surface, row, column) that are not done, row by row."""
        return [(surface, row, column) for surface, row, column in np.argwhere(np.isnan(self.loss)).tolist()]

    def values(self, number: int) -> dict[str, list[Any]]:
        """Returns the steps and the values of a surface as lists by name."""
        return {name: getattr(self, name)[number].tolist() for name in ARRAYS}

    def write(self, folder: Path) -> None:
        """Writes all values into the folder, in one piece."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        write_arrays(folder / FILE, {**arrays, "facts": np.array(json.dumps(self.facts))})

    def filled_from(self, folder: Path) -> Points:
        """Returns these points with the values that lie in the folder.

        Raises `UsageError` for a damaged file, and for one whose values belong to something else.
        """
        path = folder / FILE
        arrays = read_arrays(path)
        try:
            facts = json.loads(str(arrays["facts"]))
            kept = Points(facts, *(arrays[name] for name in ARRAYS))
        except (KeyError, ValueError, TypeError) as error:
            raise UsageError(f"{path} cannot be read: it is no file of a landscape; move it away") from error
        differing = [name for name in self.facts if facts.get(name) != self.facts[name]]
        if differing:
            name = differing[0]
            raise UsageError(
                f"{path} holds another landscape ({name} {facts.get(name)} there, {self.facts[name]} here); choose "
                "another folder with --out"
            )
        if any(getattr(kept, name).shape != getattr(self, name).shape for name in ARRAYS):
            raise UsageError(f"{path} cannot be read: its arrays have other shapes than its facts say; move it away")
        return kept


def thinned(points: Points, number: int, *, squares: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns x, y and loss of a surface, of each some points only where there are more than `squares` + 1 in a row.

    The centre is among them.
    """
    rows, columns = (every(axis, squares=squares) for axis in (points.y[number], points.x[number]))
    return points.x[number][columns], points.y[number][rows], points.loss[number][rows, columns]


def every(axis: np.ndarray, *, squares: int) -> slice:
    """Returns the slice of an axis that holds its 0 and has at most `squares` + 1 steps, or all steps.

    >>> every(even_axis(1.0, 9), squares=4)
    slice(0, None, 2)
    >>> every(even_axis(1.0, 7), squares=4)
    slice(1, None, 2)
    """
    stride = max(1, -(-(len(axis) - 1) // squares))
    return slice(int(np.abs(axis).argmin()) % stride, None, stride)


def even_axis(reach: float, grid: int) -> np.ndarray:
    """Returns `grid` steps, an odd number, from -reach to reach; the middle one is 0.

    >>> even_axis(1.0, 5).tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    return (np.arange(grid) - grid // 2) * (reach / (grid // 2))


def axis_over(values: np.ndarray, grid: int) -> np.ndarray:
    """Returns `grid` equal steps over the extent of some values and of 0, with a margin; one of the steps is 0.

    >>> axis_over(np.array([-10.0, -4.0]), 5).tolist()
    [-10.5, -7.0, -3.5, 0.0, 3.5]
    """
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    step = (high - low) / (grid - 1)
    return (np.arange(grid) - round(-low / step)) * step
