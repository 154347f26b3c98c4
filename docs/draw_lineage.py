"""Draws docs/lineage.png from the registry: year against multiply-adds, with the published accuracy on ImageNet.

python docs/draw_lineage.py           draw the picture
python docs/draw_lineage.py --check   change nothing; exit 1 where the picture is stale

The file also holds the drawn values as text, which `--check` compares.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.architectures.families import FAMILIES
from convatlas.drawing import DPI, GRID, INK, LEGEND, SOFT, SPINE, plain
from convatlas.report.labels import Point, place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = Path(__file__).resolve().parent / "lineage.png"
TEXT = "Description"  # the place of the values in the file
FURTHER_DATA = ("JFT", "ImageNet-21k", "Noisy Student")  # words in the source of an accuracy
CROWDED = 8.0  # below this power of ten the axis of MACs is pressed together
PRESSED = 0.3  # to this share of its length
BREAK = 2010.6  # the place of the break, where the years between LeNet-5 and AlexNet are left out
FIRST = 2009.8  # the place of LeNet-5
LOW, HIGH = 55.0, 90.0  # per cent, the ends of the colour scale


class Entry(NamedTuple):
    """The drawn facts of a network. `top1` is a fraction, None where no accuracy on ImageNet was published.

    `further` says that training used images beyond ImageNet's thousand classes.
    """

    name: str
    year: int
    macs: int
    top1: float | None
    further: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code."""
    wanted = list(sys.argv[1:] if arguments is None else arguments)
    if wanted not in ([], ["--check"]):
        sys.exit(str(__doc__))
    values = json.dumps(entries())
    if not wanted:
        PICTURE.write_bytes(picture(values))
        return 0
    if PICTURE.is_file() and drawn(PICTURE) == values:
        return 0
    print(f"{PICTURE.name} is not what the registry says; run python docs/{Path(__file__).name}", file=sys.stderr)
    return 1


def entries() -> list[Entry]:
    """Returns the lineage from the registry: the networks that each family names, in the order of their years."""
    drawn = [entry(architecture(name)) for family in FAMILIES for name in family.lineage]
    return sorted(drawn, key=lambda each: each.year)


def entry(row: Architecture) -> Entry:
    """Returns the entry of a network with its first accuracy on ImageNet's validation images in the registry."""
    assert row.paper is not None
    assert row.macs is not None
    results = [result for result in row.published if (result.dataset, result.split) == ("imagenet", "validation")]
    first = results[0] if results else None
    further = first is not None and any(data in first.source for data in FURTHER_DATA)
    return Entry(row.name, row.paper.year, row.macs, first.top1 if first else None, further)


def drawn(path: Path) -> str:
    """Returns the values in a picture."""
    from PIL import Image

    with Image.open(path) as image:
        return str(image.info.get(TEXT, ""))


def picture(values: str) -> bytes:
    """Returns the picture as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    _draw(figure, entries())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None, TEXT: values})
    return buffer.getvalue()


def _draw(figure: Figure, rows: Sequence[Entry]) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.subplots()
    places = across(rows)
    _frame(axes, rows)
    colours, scale = colormaps["viridis_r"], Normalize(LOW, HIGH)
    for x, row in zip(places, rows, strict=True):
        marker = "D" if row.further else "o"
        look: dict[str, Any] = (
            {"c": [colours(scale(100 * row.top1))]} if row.top1 else {"c": "white", "edgecolor": SOFT}
        )
        axes.scatter(x, row.macs, s=70 if row.further else 100, marker=marker, linewidth=1.5, zorder=3, **look)
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=axes, pad=0.015, aspect=32)
    bar.set_label("published top-1 accuracy on ImageNet (%)", color=INK)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=SOFT, labelsize=9.5, length=0)
    _legend(axes)
    figure.canvas.draw()
    points = [
        Point(row.name, text(row), x, row.macs, row.macs, row.macs, 6.0, INK)
        for x, row in zip(places, rows, strict=True)
    ]
    place_labels(axes, points)


def _legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"linestyle": "none", "markersize": 8, "markeredgecolor": SOFT}
    handles = [
        Line2D([], [], marker="o", color=SOFT, label="trained on ImageNet", **look),
        Line2D(
            [], [], marker="D", color=SOFT, label="on further images too; BiT tested on larger ones than drawn", **look
        ),
        Line2D([], [], marker="o", color="white", label="no accuracy on ImageNet in the registry", **look),
    ]
    axes.legend(handles=handles, loc="lower right", **LEGEND)


def across(rows: Sequence[Entry]) -> list[float]:
    """Returns places on the axis of years: networks of one year side by side, and no gap before AlexNet."""
    places = []
    for row in rows:
        year = [other for other in rows if other.year == row.year]
        step = 0.0 if len(year) == 1 else 0.72 * year.index(row) / (len(year) - 1) - 0.36
        places.append(max(row.year, FIRST) + step)
    return places


def text(row: Entry) -> str:
    """Returns the name, with the accuracy where there is one."""
    return row.name if row.top1 is None else f"{row.name} {100 * row.top1:.1f}"


def _frame(axes: Axes, rows: Sequence[Entry]) -> None:
    """Draws the axes: years with a break, logarithmic MACs."""
    from matplotlib.ticker import EngFormatter, FixedLocator, NullLocator

    years = sorted({row.year for row in rows})
    axes.set_yscale("function", functions=(_pressed, _unpressed))
    axes.set(xlim=(2009.2, years[-1] + 0.6), ylim=(1e5, 1.2e12))
    axes.set_xticks([max(year, FIRST) for year in years], [str(year) for year in years])
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in range(6, 13)]))
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("year of the paper", color=INK)
    axes.set_ylabel("multiply-adds (MACs) for one image, logarithmic", color=INK)
    plain(axes)
    axes.grid(visible=False, axis="x")
    for year in years[1::2]:
        axes.axvspan(year - 0.5, year + 0.5, color=GRID, alpha=0.35, linewidth=0, zorder=0)
    axes.axvline(BREAK, color=SPINE, linewidth=1.2, linestyle=(0, (2, 3)))
    axes.text(BREAK + 0.06, 3e11, "fourteen years", color=SOFT, fontsize=9, rotation=90, va="top")


def _pressed(macs: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.log10(np.maximum(macs, 1.0))
    return np.where(power > CROWDED, power, CROWDED + PRESSED * (power - CROWDED))


def _unpressed(place: NDArray[np.float64]) -> NDArray[np.float64]:
    power = np.where(place > CROWDED, place, CROWDED + (place - CROWDED) / PRESSED)
    return np.asarray(10.0**power)


if __name__ == "__main__":
    sys.exit(main())
