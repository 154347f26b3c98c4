"""The look that the figures of a report share, and how they are saved; matplotlib's objects only, no global state."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, told apart by colour-blind readers; without their yellow, which is too light for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # past seven networks the marker changes too
INK, SOFT, GRID, SPINE = "#1c2126", "#5a646e", "#e3e7eb", "#9aa4ad"
DPI = 200  # 9 inches wide: sharp where a page shows it 900 pixels wide
LEGEND: dict[str, Any] = {"edgecolor": "none", "framealpha": 0.85, "fontsize": 9.5, "labelcolor": INK}


def styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Returns colour and marker for each name, by alphabet: a network looks the same in every figure of a report.

    >>> styles(["b", "a"])
    {'a': ('#0072B2', 'o'), 'b': ('#D55E00', 'o')}
    """
    return {
        name: (COLOURS[index % len(COLOURS)], MARKERS[index // len(COLOURS) % len(MARKERS)])
        for index, name in enumerate(sorted(names))
    }


def plain(axes: Axes) -> None:
    """Gives axes a light grid, two spines and quiet ticks."""
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SPINE)
    axes.tick_params(colors=SOFT, labelsize=9.5, length=3)


def save(figure: Figure, path: Path) -> None:
    """Renders the figure to memory, then moves the finished file into place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", metadata={"Software": None})  # equal figures are equal files
    write_bytes(path, buffer.getvalue())
