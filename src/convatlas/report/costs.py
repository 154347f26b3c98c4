"""The figure of accuracy against cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.drawing import DPI, INK, SOFT, plain, save, styles
from convatlas.report import tables
from convatlas.report.labels import Point, place_labels, side_by_side
from convatlas.report.scored import Row, score_of, scores_of, value_of
from convatlas.scores import Score, axis_title
from convatlas.words import stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERCENT = 100.0  # the scale of a fraction
LARGEST_AREA = 1500.0  # of a bubble, in square points


def draw_accuracy_vs_macs(rows: Sequence[Row], path: Path) -> None:
    """Draws `accuracy_vs_macs.png`: a bubble for each row, at its MACs and its test score, with area by parameters.

    `rows` come from `tables.study_rows`; a row without test score is not drawn. Each score has a panel of its own.
    Networks of nearly equal MACs are moved apart by a few pixels, so that every interval can be seen, and the figure
    says so.
    """
    from matplotlib.figure import Figure

    style = styles(tables.row_names(rows))
    named = zip(tables.row_names(rows), rows, strict=True)
    drawn = {name: row for name, row in named if value_of(row, "test", "mean") is not None and row["macs"]}
    largest = max((row["params"] for row in drawn.values()), default=1)
    scores = scores_of(list(drawn.values())) or scores_of(rows)
    figure = Figure(figsize=(9, 5 * len(scores)), dpi=DPI, layout="constrained")
    panels = figure.subplots(len(scores), 2, width_ratios=(7, 1), squeeze=False)
    points = []
    for score, (axes, _) in zip(scores, panels, strict=True):
        shown = {name: row for name, row in drawn.items() if score_of(row) == score}
        points.append([_point(name, row, largest=largest, colour=style[name][0]) for name, row in shown.items()])
        _cost_axes(axes, points[-1], score=score, seeds=sorted({row["n_seeds"] for row in shown.values()}))
    figure.draw_without_rendering()  # settles the layout; labels are then placed in pixels
    figure.set_layout_engine("none")
    for (axes, key), placed in zip(panels, points, strict=True):
        apart = side_by_side(axes, placed)
        for point in apart:
            _bubble(axes, point, marker=style[point.name][1])
        place_labels(axes, apart)
        _area_key(key, largest, note="networks of nearly\nequal MACs stand\nside by side" if apart != placed else "")
    save(figure, path)


def _point(name: str, row: Row, *, largest: float, colour: str) -> Point:
    mean, scale = value_of(row, "test", "mean"), score_of(row).scale
    low, high = value_of(row, "test", "ci95") or (mean, mean)
    radius = math.sqrt(LARGEST_AREA * row["params"] / largest / math.pi)
    text = name if len(name) <= 28 else stacked(name)
    return Point(name, text, row["macs"], scale * mean, scale * low, scale * high, radius, colour)


def _cost_axes(axes: Axes, points: Sequence[Point], *, score: Score, seeds: Sequence[int]) -> None:
    """Sets the axes: logarithmic MACs over at least a factor of 5, every interval in view, no tick above 100 %."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    macs = [point.x for point in points] or [1e6]
    factor = max(1.5, math.sqrt(5 * min(macs) / max(macs)))
    axes.set_xscale("log")
    axes.set_xlim(min(macs) / factor, max(macs) * factor)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    low = min((point.low for point in points), default=0)
    high = max((point.high for point in points), default=score.scale)
    margin = max(0.14 * (high - low), 0.005 * (PERCENT if score.unit == "fraction" else max(abs(low), abs(high)) or 1))
    axes.set_ylim(low - margin, high + margin)
    most = min(high + margin, score.scale * score.bounds[1])
    axes.set_yticks([tick for tick in axes.get_yticks() if low - margin <= tick <= most])
    spread = f", 95 % interval over {' or '.join(map(str, seeds))} seeds" if seeds and seeds[-1] > 1 else ", one seed"
    axes.set_xlabel("multiply-adds (MACs) for one image, logarithmic", color=INK)
    axes.set_ylabel(f"test {axis_title(score)}{spread}", color=INK, parse_math=False)
    plain(axes)


def _bubble(axes: Axes, point: Point, *, marker: str) -> None:
    colour, error = point.colour, [[point.y - point.low], [point.high - point.y]]
    if point.high > point.low:
        axes.errorbar(point.x, point.y, yerr=error, color=colour, elinewidth=1.5, capsize=3.5, zorder=3)
    axes.scatter(point.x, point.y, s=math.pi * point.radius**2, color=colour, alpha=0.28, linewidth=0, zorder=2)
    axes.scatter(point.x, point.y, s=30, color=colour, marker=marker, edgecolor="white", linewidth=0.8, zorder=4)


def _area_key(axes: Axes, largest: float, *, note: str) -> None:
    """Draws the key of the areas as grey bubbles; the layout must be settled. Heights are in points."""
    from matplotlib.ticker import EngFormatter

    height = axes.bbox.height * 72 / DPI
    axes.set(xlim=(0, 1), ylim=(-height, 0))
    axes.set_axis_off()
    axes.text(0.5, -2, "bubble area:\nparameters", ha="center", va="top", fontsize=9.5, color=INK)
    top = -40.0
    for value in _round_sizes(largest):
        area = LARGEST_AREA * value / largest
        radius = math.sqrt(area / math.pi)
        axes.scatter(0.5, top - radius, s=area, color=SOFT, alpha=0.3, linewidth=0)
        axes.text(0.5, top - 2 * radius - 3, EngFormatter()(value), ha="center", va="top", fontsize=9, color=SOFT)
        top -= 2 * radius + 26
    axes.text(0.5, -height, note, ha="center", va="bottom", fontsize=8.5, color=SOFT)


def _round_sizes(largest: float) -> list[float]:
    """Returns three round numbers up to `largest`.

    >>> _round_sizes(272_090)
    [200000.0, 100000.0, 50000.0]
    """
    power = 10.0 ** math.floor(math.log10(largest))
    return [step * power for step in (5, 2, 1, 0.5, 0.2) if step * power <= largest][:3]
