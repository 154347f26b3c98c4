"""The common scale of loss surfaces: one range, one set of contour lines, for all that are drawn together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CLIP = 10.0  # nats; the largest contour line of the authors' code
FLOOR = 1e-4  # nats; lower losses are drawn as this one
WIDE = 20.0  # ratio of the ends from which on a logarithmic axis is needed
FEWEST_LEVELS = 6
MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


@dataclass(frozen=True)
class Scale:
    """The losses from `low` to `high` between which all surfaces are drawn, and those of the contour lines.

    `clipped` says whether larger losses are drawn as `high`.
    """

    low: float
    high: float
    log: bool
    levels: tuple[float, ...]
    clipped: bool

    def height(self, loss: np.ndarray, *, most: float | None = None) -> np.ndarray:
        """Returns the heights of losses, in decades where the axis is logarithmic; those above `high` are cut.

        `most` cuts them elsewhere.
        """
        shown = np.clip(loss, self.low, self.high if most is None else most)
        height: np.ndarray = np.log10(shown) if self.log else shown
        return height


def common_scale(loss: np.ndarray) -> Scale:
    """Returns the scale of surfaces (surfaces, rows, columns), all points of which are measured.

    >>> common_scale(np.array([[[0.02, 0.5, 3000.0]]])).levels
    (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    >>> common_scale(np.array([[[1.0, 2.0, 4.2]]])).levels
    (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    """
    lowest, top = float(loss.min()), float(loss.max())
    bound = max(CLIP, 2 * lowest) if math.isfinite(lowest) else CLIP
    high = min(top, bound)
    low = max(min(lowest, high), FLOOR)
    high = max(high, low * 1.01)
    log = top / low >= WIDE and high / low >= 2  # also where the steep losses are those that are cut
    return Scale(low, high, log, tuple(_log_levels(low, high) if log else _even_levels(low, high)), top > high)


def _log_levels(low: float, high: float) -> list[float]:
    """Returns round numbers between the ends, about as many in each decade."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    levels: list[float] = []
    for mantissas in MANTISSAS:
        found = [float(f"{mantissa}e{decade}") for decade in decades for mantissa in mantissas]
        levels = [level for level in found if low <= level <= high]
        if len(levels) >= FEWEST_LEVELS:
            break
    return levels


def _even_levels(low: float, high: float) -> list[float]:
    """Returns round numbers between the ends in equal steps."""
    decade = 10.0 ** math.floor(math.log10((high - low) / FEWEST_LEVELS))
    step = max(mantissa * decade for mantissa in (1, 2, 2.5, 5) if (high - low) / (mantissa * decade) >= FEWEST_LEVELS)
    first = math.ceil(low / step - 1e-9)
    return [float(f"{number * step:.6g}") for number in range(first, math.floor(high / step + 1e-9) + 1)]
