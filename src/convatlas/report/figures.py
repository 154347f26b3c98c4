"""The figures of a report: learning curves of a run and of a study, and accuracy against cost."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, SOFT, plain, save, styles
from convatlas.report import tables
from convatlas.report.labels import Point, place_labels, side_by_side
from convatlas.report.scored import Row, score_of, scores_of, value_of
from convatlas.scores import BESIDE, TITLES, TOP1, Score, validation_measures
from convatlas.words import stacked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metrics = Sequence[Mapping[str, float]]

VALIDATION: dict[str, Any] = {"linewidth": 2.0, "linestyle": "solid"}
TRAINING: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (4, 2))}
PARTS = (("train", "training", TRAINING), ("val", "validation", VALIDATION))
PERCENT = 100.0  # the scale of a fraction
LARGEST_AREA = 1500.0  # of a bubble, in square points


def draw_run_curves(
    rows: Metrics, path: Path, title: str, *, best_epoch: float | None = None, score: Score = TOP1
) -> None:
    """Draws `curves.png` of one run: score and loss of training and validation, with a mark at the best epoch.

    `rows` come from `Run.metrics()`. By default, the best epoch is the first with the best validation score.
    """
    figure, panels = _curve_panels(height=4.1, measures=_drawn([rows], [score]), scores=[score])
    figure.suptitle(
        textwrap.fill(title, 88), parse_math=False, x=0.014, ha="left", fontsize=11.5, fontweight="bold", color=INK
    )
    best = _best(rows, best_epoch, score)
    for axes, metric, scale in panels:
        for (part, word, look), colour, fill in zip(PARTS, (COLOURS[1], COLOURS[0]), ("white", None), strict=True):
            epochs, heights, *_ = _over_seeds([rows], f"{part}_{metric}", scale)
            if not any(map(math.isfinite, heights)):
                continue  # no validation images were used
            marker = "o" if len(rows) == 1 else None
            axes.plot(epochs, heights, color=colour, label=word, marker=marker, markerfacecolor=fill, **look)
        if best is not None:
            height = scale * best[f"val_{metric}"]
            shown = f"{height:.2f} %" if scale == PERCENT else f"{metric} {height:.3f}"
            axes.axvline(best["epoch"], color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
            axes.plot(best["epoch"], height, "o", color=COLOURS[0], markersize=7.5, markeredgecolor="white", zorder=4)
            axes.set_title(f"● best epoch {best['epoch']:g}: {shown}", loc="right", fontsize=9.5, color=COLOURS[0])
        _frame(axes, [row["epoch"] for row in rows])
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, **LEGEND)
    save(figure, path)


def draw_study_curves(
    groups: Mapping[str, Sequence[Metrics]], path: Path, *, scores: Sequence[Score] = (TOP1,)
) -> None:
    """Draws `curves.png` of a study; `groups` maps the name of a network to the metrics of each seed.

    There is a panel for each of the scores, and one for the loss or another measure beside a single score.

    A line is the mean over the seeds, and its band reaches from their minimum to their maximum. Lines of validation are
    solid, lines of training are thin and dashed.
    """
    from matplotlib.lines import Line2D

    style = styles(groups)
    marked = len(groups) > len(COLOURS)
    columns = _columns(list(groups))
    measures = _drawn([rows for seeds in groups.values() for rows in seeds], scores)
    height = 3.8 + 0.21 * math.ceil(len(groups) / columns)
    figure, panels = _curve_panels(height=height, measures=measures, scores=scores)
    for axes, metric, scale in panels:
        for name, seeds in groups.items():
            colour, marker = style[name]
            for part, _, look in PARTS:
                epochs, mean, low, high = _over_seeds(seeds, f"{part}_{metric}", scale)
                shape = marker if len(epochs) == 1 or (marked and part == "val") else None
                every = max(1, len(epochs) // 6)
                fill = None if part == "val" else "white"
                axes.plot(epochs, mean, color=colour, marker=shape, mfc=fill, markevery=every, markersize=5, **look)
                if part == "val" and len(seeds) > 1:
                    axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
        _frame(axes, [row["epoch"] for seeds in groups.values() for rows in seeds for row in rows])
    there = reversed(_parts_drawn(groups, [metric for _, metric, _ in panels]))
    words = [Line2D([], [], color=SOFT, label=word, **look) for _, word, look in there]
    rising = any(score.direction == "max" and score.measure == panels[-1][1] for score in (*BESIDE.values(), *scores))
    panels[-1][0].legend(handles=words, loc="lower right" if rising else "upper right", **LEGEND)
    networks = [
        Line2D([], [], color=style[name][0], marker=style[name][1] if marked else None, linewidth=2.6, label=name)
        for name in groups
    ]
    figure.legend(handles=networks, loc="outside lower center", ncols=columns, **LEGEND)
    save(figure, path)


def _parts_drawn(groups: Mapping[str, Sequence[Metrics]], measures: Sequence[str]) -> list[tuple[str, str, Any]]:
    """Returns those of training and validation of which a run has one of the measures."""
    columns = {name for seeds in groups.values() for rows in seeds for row in rows[:1] for name in row}
    return [each for each in PARTS if any(f"{each[0]}_{measure}" in columns for measure in measures)]


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


def _drawn(runs: Sequence[Metrics], scores: Sequence[Score]) -> list[str]:
    """Returns the measures to draw, one in each panel: every score, and beside a single score another measure."""
    found = list(dict.fromkeys(name for rows in runs for row in rows[:1] for name in validation_measures(row)))
    first = [score.measure for score in scores]
    return sorted(found or TITLES, key=lambda name: name not in first)[: max(2, len(set(first)))]


def _curve_panels(
    *, height: float, measures: Sequence[str], scores: Sequence[Score]
) -> tuple[Figure, list[tuple[Axes, str, float]]]:
    """Returns a figure with empty axes side by side, each with its measure and the factor to the measure's unit."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(9, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07))
    panels = []
    by_measure = {score.measure: score for score in (TOP1, *BESIDE.values(), *scores)}
    for axes, measure in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures, strict=True):
        score = by_measure.get(measure)
        title = TITLES.get(measure, measure) if score is None else _axis_title(score)
        axes.set_ylabel(title, color=INK, parse_math=False)
        panels.append((axes, measure, 1.0 if score is None else score.scale))
    return figure, panels


def _axis_title(score: Score) -> str:
    """Returns the title of an axis: the score, its unit, and for another score than accuracy its direction, below."""
    if score == TOP1:
        return TITLES["top1"]
    return f"{score.word}{' (%)' if score.unit == 'fraction' else ''}\n{score.advice}"


def _best(rows: Metrics, epoch: float | None, score: Score) -> Mapping[str, float] | None:
    """Returns the row of the epoch `epoch`, or without it the row of the best validation score."""
    known = [
        row
        for row in rows
        if all(math.isfinite(row.get(f"val_{name}", math.nan)) for name in _drawn([rows], [score])[:1])
    ]
    named = [row for row in known if row["epoch"] == epoch]

    def place(row: Mapping[str, float]) -> float:
        return score.better(row[score.column]) if score.column in row else -row["epoch"]

    return max(named or known, key=place, default=None)


def _frame(axes: Axes, epochs: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if len(set(epochs)) == 1:
        axes.set(xlim=(epochs[0] - 1, epochs[0] + 1), xticks=epochs[:1])
    plain(axes)


def _columns(names: Sequence[str]) -> int:
    """Returns the number of columns of a legend that fit under a figure."""
    longest = max(map(len, names), default=1)
    return max(1, min(4, len(names), 100 // (longest + 8)))


def _over_seeds(seeds: Sequence[Metrics], name: str, scale: float) -> tuple[list[float], ...]:
    """Returns epochs, and for each epoch the mean, minimum and maximum over the seeds with a finite value."""
    found: dict[float, list[float]] = {}
    for row in (row for rows in seeds for row in rows):
        if math.isfinite(row.get(name, math.nan)):
            found.setdefault(row["epoch"], []).append(scale * row[name])
    epochs = sorted(found)
    columns = [found[epoch] for epoch in epochs]
    return epochs, [math.fsum(c) / len(c) for c in columns], [min(c) for c in columns], [max(c) for c in columns]


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
    axes.set_ylabel(f"test {_axis_title(score)}{spread}", color=INK, parse_math=False)
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
