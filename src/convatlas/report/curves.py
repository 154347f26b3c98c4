"""Learning curves of a run and of a study."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, SOFT, plain, save, styles
from convatlas.scores import BESIDE, TITLES, TOP1, Score, axis_title, validation_measures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Metrics = Sequence[Mapping[str, float]]

VALIDATION: dict[str, Any] = {"linewidth": 2.0, "linestyle": "solid"}
TRAINING: dict[str, Any] = {"linewidth": 1.1, "linestyle": (0, (4, 2))}
PARTS = (("train", "training", TRAINING), ("val", "validation", VALIDATION))
PERCENT = 100.0  # the scale of a fraction
MOST_BELOW = 4  # panels of the second row


def draw_run_curves(
    rows: Metrics, path: Path, title: str, *, best_epoch: float | None = None, score: Score = TOP1
) -> None:
    """Draws `curves.png` of one run: score and loss of training and validation, with a mark at the best epoch.

    Measures that only training has, such as the loss of unlabelled images, stand below in panels of their own. `rows`
    come from `Run.metrics()`. By default, the best epoch is the first with the best validation score.
    """
    measures = _drawn([rows], [score])
    below = _of_training_alone(rows, measures)
    figure, panels = _curve_panels(height=6.3 if below else 4.1, measures=measures, scores=[score], below=len(below))
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
            word = "best" if best_epoch is None else "tested"
            axes.set_title(f"● {word} epoch {best['epoch']:g}: {shown}", loc="right", fontsize=9.5, color=COLOURS[0])
        _frame(axes, [row["epoch"] for row in rows])
    _draw_below(figure.axes[len(panels) :], rows, below)
    named = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=2, **LEGEND)
    save(figure, path)


def _draw_below(panels: Sequence[Axes], rows: Metrics, measures: Sequence[str]) -> None:
    """Draws measures of training alone, each in a small panel."""
    for axes, measure in zip(panels, measures, strict=True):
        epochs, heights, *_ = _over_seeds([rows], f"train_{measure}", 1.0)
        marker = "o" if len(rows) == 1 else None
        axes.plot(
            epochs, heights, color=COLOURS[1], label="training", marker=marker, markerfacecolor="white", **TRAINING
        )
        title = "loss" if measure == "loss" else TITLES.get(measure, measure)  # not only cross entropy
        axes.set_title(title, loc="left", fontsize=9.5, color=INK, parse_math=False)
        _frame(axes, [row["epoch"] for row in rows])


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


def _drawn(runs: Sequence[Metrics], scores: Sequence[Score]) -> list[str]:
    """Returns the measures to draw, one in each panel: every score, and beside a single score another measure."""
    found = list(dict.fromkeys(name for rows in runs for row in rows[:1] for name in validation_measures(row)))
    first = [score.measure for score in scores]
    shown = found or dict.fromkeys([*first, "loss"])
    return sorted(shown, key=lambda name: name not in first)[: max(2, len(set(first)))]


def _of_training_alone(rows: Metrics, drawn: Sequence[str]) -> list[str]:
    """Returns the measures of training that no panel shows and that validation does not have, at most four."""
    columns = rows[0] if rows else {}
    names = [name.removeprefix("train_") for name in columns if name.startswith("train_")]
    return [name for name in names if name not in drawn and f"val_{name}" not in columns][:MOST_BELOW]


def _curve_panels(
    *, height: float, measures: Sequence[str], scores: Sequence[Score], below: int = 0
) -> tuple[Figure, list[tuple[Axes, str, float]]]:
    """Returns a figure with empty axes side by side, each with its measure and the factor to the measure's unit.

    A second row of as many axes as `below` says comes last.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(9, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.09, h_pad=0.07))
    panels = []
    by_measure = {score.measure: score for score in (TOP1, *BESIDE.values(), *scores)}
    rows = figure.add_gridspec(2 if below else 1, 1, height_ratios=(3, 1.4) if below else None)
    upper = rows[0].subgridspec(1, len(measures)).subplots(squeeze=False)[0]
    if below:
        rows[1].subgridspec(1, below).subplots()
    for axes, measure in zip(upper, measures, strict=True):
        score = by_measure.get(measure)
        title = TITLES.get(measure, measure) if score is None else axis_title(score)
        axes.set_ylabel(title, color=INK, parse_math=False)
        panels.append((axes, measure, 1.0 if score is None else score.scale))
    return figure, panels


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
