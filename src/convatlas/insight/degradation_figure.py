"""The figure of degradation, as figures 4 and 6 of He et al. 2015: a panel for each kind of network, on one axis."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, SOFT, plain, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[str, dict[str, Any]] = {"training": {"linewidth": 1.0}, "validation": {"linewidth": 2.6}}
MANY = 20  # epochs; with fewer, all errors are in view
SETTLED = 0.1  # of the epochs of a long run, whose high errors may leave the view
ROW = 2  # panels side by side


def draw_degradation(content: Mapping[str, Any], path: Path) -> None:
    """Writes the figure of the content that `degradation` returns. Thin lines are training, bold ones validation."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    networks = content["networks"]
    kinds = list(dict.fromkeys(network["kind"] for network in networks))
    colours = _colours(networks)
    rows = math.ceil(len(kinds) / ROW)
    caption = textwrap.fill(caption_of(content), 132)
    figure = Figure(figsize=(9, 3.9 * rows + 0.2 * len(caption.split("\n"))), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, min(ROW, len(kinds)), sharex=True, sharey=True, squeeze=False).ravel()
    for axes, kind in zip(panels, kinds, strict=False):
        for place, network in enumerate(each for each in networks if each["kind"] == kind):
            _draw(axes, network, colours[network["layers"]], place=place)
        plain(axes)
        axes.set_title(kind, fontsize=11, color=INK, loc="left", parse_math=False)
        axes.set_xlabel("epoch", color=SOFT, fontsize=9.5)
        axes.legend(loc="upper right", **LEGEND)
        axes.tick_params(labelleft=True, labelbottom=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    for axes in panels[len(kinds) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("error (%)", color=INK)
    panels[0].set_ylim(*_limits(networks))
    title = f"Error by depth on {content['data']}"
    figure.suptitle(title, x=0.014, ha="left", fontsize=11.5, fontweight="bold", color=INK, parse_math=False)
    figure.supxlabel(caption, x=0.014, ha="left", fontsize=8.8, color=SOFT, parse_math=False)
    save(figure, path)


def caption_of(content: Mapping[str, Any]) -> str:
    """Returns the caption: the lines, the marks, the recipe and the seeds."""
    seeds = sorted({len(network["seeds"]) for network in content["networks"]})
    of_seeds = "one seed of each" if seeds == [1] else "means, with bands from the least to the largest seed"
    of_seeds += "" if seeds == [1] else f", over {' or '.join(map(str, seeds))} seeds"
    short = "" if content["short"] is None else f", {content['short']}: short runs"
    return (
        "Thin: training error, the mean over the augmented images of an epoch while the weights change. Bold: "
        "validation error, on held-out images. The paper draws the test error of every epoch; here the test images are "
        "evaluated once, at the epoch that validation selects: the diamonds at the right. "
        f"Recipe {content['recipe']}{short}; {of_seeds}."
    )


def _colours(networks: Sequence[Mapping[str, Any]]) -> dict[int, Any]:
    """Returns a colour for each number of layers, the same in all panels; where there are many, those of a scale."""
    from matplotlib import colormaps

    depths = sorted({network["layers"] for network in networks})
    if len(depths) <= len(COLOURS):
        return dict(zip(depths, COLOURS, strict=False))
    scale = colormaps["viridis"]
    return {depth: scale(0.9 * place / (len(depths) - 1)) for place, depth in enumerate(depths)}


def _draw(axes: Axes, network: Mapping[str, Any], colour: Any, *, place: int) -> None:
    """Draws the curves of a network, the `place`-th of its panel: means over the seeds, a band of validation, the test.

    The test errors stand side by side at the right, so that equal ones are seen.
    """
    name = network["name"] if "(" in network["name"] else f"{network['layers']} layers"
    for measure, look in LINES.items():
        columns = [_known(column) for column in zip(*network["curves"][measure], strict=True)]
        epochs = range(1, len(columns) + 1)
        means = [sum(column) / len(column) if column else math.nan for column in columns]
        marker = "o" if len(columns) == 1 else None
        label = name if measure == "validation" else None
        axes.plot(epochs, means, color=colour, label=label, marker=marker, markersize=2 * look["linewidth"], **look)
        if measure == "validation" and len(network["seeds"]) > 1:
            low, high = ([end(column, default=math.nan) for column in columns] for end in (min, max))
            axes.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    tested = _known(network["curves"]["test"])
    if tested:
        right = len(columns) + (0.03 + 0.025 * place) * max(4, len(columns))
        axes.plot(
            right, sum(tested) / len(tested), "D", color=colour, markersize=6.5, markeredgecolor="white", zorder=4
        )


def _known(errors: Sequence[float | None]) -> list[float]:
    """Returns the errors in percent that are known; those of a run that diverged are not."""
    return [100 * error for error in errors if error is not None and math.isfinite(error)]


def _limits(networks: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Returns the limits of the error axis; in long runs the first epochs may leave it."""
    shown: list[float] = []
    for network in networks:
        for measure in LINES:
            for curve in network["curves"][measure]:
                first = math.ceil(SETTLED * len(curve)) if len(curve) >= MANY else 0
                shown += _known(curve[first:])
        shown += _known(network["curves"]["test"])
    if not shown:
        return 0.0, 100.0
    return 0.0, min(100.0, 1.05 * max(shown) or 1.0)
