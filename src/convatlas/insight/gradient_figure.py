"""The figure of gradients and activations by depth: all networks in the same two panels."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, SOFT, plain, save, styles
from convatlas.insight.gradients import Signals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 1e-20  # of a gradient that is drawn; below it float32 has no digits left
PANELS = (
    ("gradient_norm", "norm of the loss's gradient\nwith respect to the layer's weights"),
    ("activation_std", "standard deviation of the values\nthat the layer receives"),
)


def draw_gradients(found: Sequence[Signals], path: Path, *, data: str, images: int) -> None:
    """Writes the figure: gradient norm and activation spread of each layer, by the layer's number, on log axes.

    Many networks of a few kinds get a row for each kind, and a colour for each number of layers.
    """
    title = f"Gradients and activations by depth, on {images:,} images of {data}"
    kinds = kinds_of(found)
    figure = _by_name(found) if kinds is None else _by_depth(kinds)
    figure.suptitle(title, x=0.014, ha="left", fontsize=11.5, fontweight="bold", color=INK, parse_math=False)
    save(figure, path)


def kinds_of(found: Sequence[Signals]) -> dict[str, list[Signals]] | None:
    """Returns the networks by kind, their names without numbers and options; None where that is no help.

    That is where there are few networks, or where two networks of a kind have equally many layers.
    """
    if len(found) <= len(COLOURS):
        return None
    kinds: dict[str, list[Signals]] = {}
    for signals in found:
        kinds.setdefault(re.sub(r"\([^)]*\)|_?\d+", "", signals.name), []).append(signals)
    apart = all(len({len(each.layers) for each in members}) == len(members) > 1 for members in kinds.values())
    return kinds if apart else None


def _by_depth(kinds: Mapping[str, Sequence[Signals]]) -> Figure:
    """Returns the figure with a row for each kind; a colour is a number of layers, the same in all rows."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    depths = sorted({len(signals.layers) for members in kinds.values() for signals in members})
    scale = colormaps["viridis_r"]
    colours = {depth: scale(0.12 + 0.88 * place / (len(depths) - 1)) for place, depth in enumerate(depths)}
    figure = Figure(figsize=(9, 3.3 * len(kinds) + 0.9), dpi=DPI, layout="constrained")
    rows = figure.subplots(len(kinds), 2, squeeze=False, sharex=True, sharey="col")
    for (kind, members), row in zip(kinds.items(), rows, strict=True):
        for axes, (value, title) in zip(row, PANELS, strict=True):
            for signals in sorted(members, key=lambda each: -len(each.layers)):  # the shallow ones stay in sight
                _draw(axes, signals, value, (colours[len(signals.layers)], "."))
            _frame(axes, f"{kind}: {title}")
            axes.tick_params(labelbottom=True, labelleft=True)
    handles = [
        Line2D([], [], color=colour, marker="o", markersize=4.5, linewidth=1.8, label=f"{depth} layers")
        for depth, colour in colours.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(8, len(handles)), **LEGEND)
    return figure


def _by_name(found: Sequence[Signals]) -> Figure:
    """Returns the figure with all networks in the same two panels, each with its own colour or marker."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = [signals.name for signals in found]
    style = styles(names)
    columns = 1 if max(map(len, names)) > 40 else 2
    height = 4.2 + 0.21 * math.ceil(len(found) / columns)
    figure = Figure(figsize=(9, height), dpi=DPI, layout="constrained")
    for axes, (value, title) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for signals in found:
            _draw(axes, signals, value, style[signals.name])
        _frame(axes, title)
    handles = [
        Line2D([], [], color=style[name][0], marker=style[name][1], markersize=4.5, linewidth=1.8, label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **LEGEND)
    return figure


def _frame(axes: Axes, title: str) -> None:
    """Gives axes a logarithmic scale and their titles."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    plain(axes)
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 100 * low:  # so few powers of ten that numbers between them are needed
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(title, fontsize=10.5, color=INK, loc="left", parse_math=False)
    axes.set_xlabel("layer, from the image to the answer", color=SOFT, fontsize=9.5)


def _draw(axes: Axes, signals: Signals, value: str, style: tuple[Any, str]) -> None:
    """Draws one network; a value of 0 has no place on a log axis and leaves a gap."""
    values = [getattr(layer, value) for layer in signals.layers]
    shown = [each if each > LEAST else math.nan for each in values]
    colour, marker = style
    axes.plot(
        range(1, len(shown) + 1),
        shown,
        color=colour,
        marker=marker,
        markersize=3.2 if len(shown) < 60 else 1.8,
        linewidth=1.3,
    )
