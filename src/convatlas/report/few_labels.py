"""Methods for few labels in a report: accuracy against the number of labels, and each method against labels alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.drawing import DPI, INK, LEGEND, plain, save, styles
from convatlas.report.comparison import compared
from convatlas.report.scored import Row, score_of, value_of
from convatlas.report.tables import relative_path
from convatlas.run import Run
from convatlas.scores import TOP1
from convatlas.words import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "accuracy_vs_labels.png"
ALONE = "supervised"  # the method that uses the labelled images alone


def with_method(rows: Iterable[Row]) -> list[Row]:
    """Returns the rows of methods for few labels whose accuracy on test is known."""
    return [row for row in rows if "method" in row and score_of(row) == TOP1 and row["test_top1_mean"] is not None]


def names_of(rows: Sequence[Row]) -> list[str]:
    """Returns a name for each row without its labels: the method, and the network where there are several.

    Where rows of one name and number of labels differ in other values, the recipe is the name.
    """
    several = len({label(row["architecture"], row["options"]) for row in rows}) > 1
    networks = [f"{label(row['architecture'], row['options'])} " if several else "" for row in rows]
    short = [f"{network}{row['method']}" for network, row in zip(networks, rows, strict=True)]
    places = [(name, row["labels"]) for name, row in zip(short, rows, strict=True)]
    return [
        name if places.count(place) == 1 else f"{network}{row['recipe']}"
        for name, place, network, row in zip(short, places, networks, rows, strict=True)
    ]


def against_labels_alone(rows: Sequence[Row], runs: Iterable[Run], *, root: Path | None = None) -> list[dict[str, Any]]:
    """Returns a comparison on test of each method with labels alone, of the same network and number of labels."""
    by_path = {relative_path(run, root): run for run in runs}
    shown = with_method(rows)
    names = dict(zip(map(id, shown), names_of(shown), strict=True))
    found = []
    for row in sorted(shown, key=lambda row: row["labels"]):
        same = ("architecture", "options", "labels")
        alone = [
            other
            for other in shown
            if other["method"] == ALONE and row["method"] != ALONE and all(other[name] == row[name] for name in same)
        ]
        for other in alone[:1]:
            first = f"{names[id(row)]} with {row['labels']:,} labels"
            pair = [(row, first), (other, names[id(other)])]
            found.append(compared(pair, by_path, lead=first))
    return found


def markdown(rows: Sequence[Row]) -> str:
    """Returns the accuracies on test as a table in GitHub's Markdown: a row a method, a column a number of labels."""
    shown = with_method(rows)
    if not shown:
        return ""
    counts = sorted({row["labels"] for row in shown})
    cells: dict[str, dict[int, str]] = {}
    for name, row in zip(names_of(shown), shown, strict=True):
        cells.setdefault(name, {})[row["labels"]] = _cell(row)
    lines = ["| test %, mean ± deviation (95 % interval), n | " + " | ".join(f"{n:,} labels" for n in counts) + " |"]
    lines.append("|:--" + "|--:" * len(counts) + "|")
    lines += [
        f"| `{name}` | " + " | ".join(of.get(n, "-") for n in counts) + " |" for name, of in sorted(cells.items())
    ]
    return "\n".join(lines) + "\n"


def _cell(row: Row) -> str:
    mean, std, interval = (value_of(row, "test", name) for name in ("mean", "std", "ci95"))
    shown = TOP1.shown(mean) if std is None else f"{TOP1.shown(mean)} ± {TOP1.shown(std)}"
    between = "" if interval is None else f" ({'–'.join(map(TOP1.shown, interval))})"
    return f"{shown}{between}, {row['n_seeds']}"


def draw_accuracy_vs_labels(rows: Sequence[Row], path: Path) -> None:
    """Draws `accuracy_vs_labels.png`: a line for each method, with the interval over its seeds at each point."""
    from matplotlib.figure import Figure

    shown = with_method(rows)
    lines: dict[str, list[Row]] = {}
    for name, row in zip(names_of(shown), shown, strict=True):
        lines.setdefault(name, []).append(row)
    style = styles(lines)
    figure = Figure(figsize=(9, 5), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for place, (name, members) in enumerate(sorted(lines.items())):
        colour, marker = style[name]
        aside = 1.02 ** (place - (len(lines) - 1) / 2)  # so that intervals at one number of labels can be told apart
        points = [_point(row) for row in sorted(members, key=lambda row: row["labels"])]
        counts, heights, *errors = zip(*points, strict=True)
        places = [count * aside for count in counts]
        look: dict[str, Any] = {"color": colour, "marker": marker, "capsize": 3.5, "linewidth": 2, "elinewidth": 1.4}
        axes.errorbar(places, heights, yerr=errors, label=name, **look)
    _label_axes(axes, shown)
    axes.legend(loc="lower right", **LEGEND)
    save(figure, path)


def _point(row: Row) -> tuple[float, float, float, float]:
    """Returns the labels of a row, its accuracy in percent, and the lengths of its interval below and above."""
    mean = row["test_top1_mean"]
    low, high = row["test_top1_ci95"] or (mean, mean)
    return row["labels"], 100 * mean, 100 * (mean - low), 100 * (high - mean)


def _label_axes(axes: Axes, rows: Sequence[Row]) -> None:
    """Sets the axes: a tick at each number of labels, and what the intervals are over."""
    from matplotlib.ticker import FixedLocator, NullLocator

    counts, seeds = sorted({row["labels"] for row in rows}), sorted({row["n_seeds"] for row in rows})
    axes.set_xscale("log")
    axes.set_xlim(counts[0] / 1.3, counts[-1] * 1.3)
    axes.xaxis.set_major_locator(FixedLocator(counts))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{count:,}" for count in counts])
    spread = f", 95 % interval over {' or '.join(map(str, seeds))} seeds" if seeds[-1] > 1 else ", one seed"
    axes.set_xlabel("training images that keep their labels, logarithmic", color=INK)
    axes.set_ylabel(f"test accuracy (%){spread}", color=INK)
    plain(axes)
