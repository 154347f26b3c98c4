"""The figures of the searches for a learning rate and a batch size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.drawing import COLOURS, DPI, INK, SOFT, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_rate_search(rates: Sequence[float], losses: Sequence[float], path: Path, *, suggestion: float | None) -> None:
    """Draws the smoothed loss against the learning rate, with a mark at the suggested rate."""
    figure, axes = _panel()
    axes.plot(rates, losses, color=COLOURS[0], linewidth=2)
    axes.set_xscale("log")
    known = [loss for loss in losses if math.isfinite(loss)] or [0.0]
    low, first = min(known), known[0]
    margin = 0.1 * max(first - low, 0.1)
    axes.set_ylim(low - margin, first + 5 * margin)  # an exploding loss would hide the rest of the curve
    axes.set_xlabel("learning rate, logarithmic", color=INK)
    axes.set_ylabel("training loss, smoothed", color=INK)
    if suggestion is not None:
        height = losses[list(rates).index(suggestion)]
        axes.axvline(suggestion, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.plot(suggestion, height, "o", color=COLOURS[1], markersize=8, markeredgecolor="white")
        axes.set_title(f"● falls fastest at {suggestion:.2g}", loc="right", fontsize=10, color=COLOURS[1])
    save(figure, path)


def draw_batch_search(sizes: Sequence[int], speeds: Sequence[float], path: Path, *, suggestion: int) -> None:
    """Draws images per second against the batch size, with a mark at the suggested size."""
    from matplotlib.ticker import NullLocator

    figure, axes = _panel()
    axes.plot(sizes, speeds, "o-", color=COLOURS[0], linewidth=2)
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(sizes), [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.15 * max(speeds))
    axes.set_xlabel("images in a batch", color=INK)
    axes.set_ylabel("images per second in training", color=INK)
    axes.plot(suggestion, speeds[list(sizes).index(suggestion)], "o", color=COLOURS[1], markersize=10)
    axes.set_title(
        f"● smallest that is nearly as fast as any: {suggestion}", loc="right", fontsize=10, color=COLOURS[1]
    )
    save(figure, path)


def _panel() -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    plain(axes)
    return figure, axes
