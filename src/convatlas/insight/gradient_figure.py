"""The figure of gradients and activations by depth: all networks in the same two panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.drawing import DPI, INK, LEGEND, SOFT, plain, save, styles
from convatlas.insight.gradients import Signals

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-20  # of a gradient that is drawn; below it float32 has no digits left
PANELS = (
    ("gradient_norm", "norm of the loss's gradient\nwith respect to the layer's weights"),
    ("activation_std", "standard deviation of the values\nthat the layer receives"),
)


def draw_gradients(found: Sequence[Signals], path: Path, *, data: str, images: int) -> None:
    """Writes the figure: gradient norm and activation spread of each layer, by the layer's number, on log axes."""
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
        plain(axes)
        axes.set_yscale("log")
        axes.set_title(title, fontsize=10.5, color=INK, loc="left")
        axes.set_xlabel("layer, from the image to the answer", color=SOFT, fontsize=9.5)
    handles = [
        Line2D([], [], color=style[name][0], marker=style[name][1], markersize=4.5, linewidth=1.8, label=name)
        for name in names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **LEGEND)
    figure.suptitle(
        f"Gradients and activations by depth, on {images:,} images of {data}", x=0.014, ha="left", fontsize=11.5,
        fontweight="bold", color=INK, parse_math=False,
    )  # fmt: skip
    save(figure, path)


def _draw(axes: Axes, signals: Signals, value: str, style: tuple[str, str]) -> None:
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
