"""The figures of a study of transfer: accuracy against shots, and the training images of a draw."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, MARKERS, SOFT, plain, save

APART = 0.035  # of a decade, between the marks of two methods at one number of shots
WIDEST = 1600  # pixels of the picture of the training images
LONGEST = 40  # letters in a line of the legend
PLACE: dict[str, Any] = {"x": 0.014, "ha": "left"}  # of a title
TITLE: dict[str, Any] = {"fontsize": 11.5, "fontweight": "bold", "color": INK, "parse_math": False}
GAP = 2  # pixels of an image between two images


def draw_transfer(rows: Sequence[Mapping[str, Any]], path: Path, *, methods: Sequence[str], title: str) -> None:
    """Draws `transfer.png`: test accuracy against training images of each class, a line for each method.

    A band is the 95 % interval over the draws. All images stand at their number. The marks of methods are moved apart
    a little. With one number of shots there is no line: each method is a row of the figure.
    """
    if len({row["shots"] for row in rows}) == 1:
        _draw_rows(rows, path, title=title)
    else:
        _draw_lines(rows, path, methods=methods, title=title)


def _draw_rows(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draws the accuracy of each draw and the mean with its interval, a row for each method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.55 * len(rows)), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        draws = [100 * draw["test_top1"] for draw in row["draws"]]
        axes.plot(draws, [place] * len(draws), "|", color=SOFT, markersize=11, mew=1.2)
        if row["test_top1_ci95"]:
            axes.plot([100 * end for end in row["test_top1_ci95"]], [place] * 2, color=COLOURS[0], linewidth=2)
        axes.plot(100 * row["test_top1_mean"], place, "o", color=COLOURS[0], markersize=8, mec="white", mew=0.8)
    axes.set_yticks(range(len(rows)), [_text(_legend(row["method"])) for row in rows], parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    shots = "all images" if rows[0]["shots"] == "all" else f"{rows[0]['shots']} shots"
    several = max(row["n_draws"] for row in rows) > 1
    marks = f"a stroke is a draw, a point their mean with its {_spread(rows)}" if several else "one draw"
    axes.set_xlabel(f"accuracy on {rows[0]['test_images']:,} test images (%)\n{marks}", color=INK)
    figure.suptitle(_heading(f"{title}, {shots}"), **PLACE, **TITLE)
    plain(axes)
    save(figure, path)


def _draw_lines(rows: Sequence[Mapping[str, Any]], path: Path, *, methods: Sequence[str], title: str) -> None:
    """Draws a line for each method over the numbers of shots."""
    from matplotlib.figure import Figure

    names = {method: _legend(method) for method in methods}
    columns = max(1, min(4, len(methods), 100 // (max(len(line) for name in names.values() for line in name) + 6)))
    lines = max(map(len, names.values())) * -(-len(methods) // columns)
    figure = Figure(figsize=(9, 5 + 0.21 * lines), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method]
        shift = 10 ** (APART * (number - (len(methods) - 1) / 2))
        _line(axes, own, number=number, shift=shift, label=_text(names[method]))
    _axes(axes, rows)
    figure.suptitle(_heading(title), **PLACE, **TITLE)
    shown = [_text(name) for name in names.values()]
    handles = [line for line in axes.lines if line.get_label() in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **LEGEND)
    save(figure, path)


def _line(axes: Any, own: Sequence[Mapping[str, Any]], *, number: int, shift: float, label: str) -> None:
    """Draws the line of one method with its intervals; `shift` is the factor that moves its marks aside."""
    colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
    places = [row["images_per_class"] * shift for row in own]
    means = [100 * row["test_top1_mean"] for row in own]
    ends = [[100 * end for end in row["test_top1_ci95"] or [row["test_top1_mean"]] * 2] for row in own]
    low, high = ([pair[side] for pair in ends] for side in (0, 1))
    axes.plot(places, means, color=colour, marker=marker, markersize=7, linewidth=2, label=label, mec="white", mew=0.7)
    error = [[m - a for m, a in zip(means, low, strict=True)], [b - m for m, b in zip(means, high, strict=True)]]
    axes.errorbar(places, means, yerr=error, color=colour, elinewidth=1.3, capsize=3, alpha=0.7, linestyle="none")
    if len(own) > 1:
        axes.fill_between(places, low, high, color=colour, alpha=0.1, linewidth=0)


def _heading(title: str) -> str:
    """Returns a title in two lines where it is longer than the figure is wide.

    >>> _heading("resnet_uva on cifar10, 5 shots")
    'resnet_uva on cifar10, 5 shots'
    """
    return title if len(title) <= 64 else title.replace(" on ", "\non ", 1)


def _legend(method: str) -> list[str]:
    """Returns a method in lines of about 40 letters: its fields in brackets stand below its name.

    >>> _legend("scratch:resnet_uva[steps=300,image_size=32,lr=0.1]")
    ['scratch:resnet_uva', '[steps=300, image_size=32, lr=0.1]']
    """
    name, bracket, fields = method.partition("[")
    if len(method) <= LONGEST or not bracket:
        return [method]
    return [name, *textwrap.wrap(f"[{fields.replace(',', ', ')}", LONGEST, break_long_words=False)]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines)


def _axes(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Sets the axes: a logarithmic one with a tick at each number of shots, and percent."""
    from matplotlib.ticker import NullLocator

    ticks = {row["images_per_class"]: _tick(row) for row in rows}
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(min(ticks) / 1.5, max(ticks) * 1.5)
    images = f"{rows[0]['test_images']:,} test images"
    axes.set_xlabel("training images of each class (shots), logarithmic", color=INK)
    axes.set_ylabel(f"accuracy on {images} (%),\n{_spread(rows)}", color=INK)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    plain(axes)


def _spread(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the words for the bands of a figure."""
    draws = sorted({row["n_draws"] for row in rows})
    return f"95 % interval over {' or '.join(map(str, draws))} draws" if draws[-1] > 1 else "one draw"


def _tick(row: Mapping[str, Any]) -> str:
    count = f"{row['images_per_class']:,.0f}"
    return f"all\n({count})" if row["shots"] == "all" else count


def draw_shots(pixels: np.ndarray, path: Path, *, classes: Sequence[str], draw: int) -> None:
    """Draws `shots.png`: the training images (classes, K, H, W, C) of a draw, a row for each class.

    Small images are enlarged by a whole number, so that each of their pixels is a square.
    """
    from matplotlib.figure import Figure

    rows, count, height, width, _ = pixels.shape
    sheet = np.full((rows * (height + GAP), count * (width + GAP), 3), 255, np.uint8)
    for row in range(rows):
        for column in range(count):
            top, left = row * (height + GAP), column * (width + GAP)
            sheet[top : top + height, left : left + width] = pixels[row, column]  # grey is repeated
    sheet = sheet[:-GAP, :-GAP]
    zoom = max(1, min(WIDEST // max(sheet.shape[:2]), 80 // height))
    margin = 0.35 + 0.085 * max(map(len, classes[:rows]))
    wide, high = (zoom * side / DPI for side in (sheet.shape[1], sheet.shape[0]))
    figure = Figure(figsize=(max(wide + margin + 0.1, 2.4), high + 0.52), dpi=DPI)
    size = figure.get_size_inches()
    axes = figure.add_axes((margin / size[0], 0.42 / size[1], wide / size[0], high / size[1]))
    axes.imshow(np.kron(sheet, np.ones((zoom, zoom, 1), np.uint8)), interpolation="none", aspect="auto")
    numbers = [str(place + 1) for place in range(count)]
    middles = [zoom * (place * (height + GAP) + height / 2) for place in range(rows)]
    axes.set_yticks(middles, [name[:40] for name in classes[:rows]], parse_math=False)
    axes.set_xticks([zoom * (place * (width + GAP) + width / 2) for place in range(count)], numbers)
    axes.tick_params(length=0, colors=SOFT, labelsize=7)
    axes.spines[:].set_visible(False)
    more = f", {rows} of {len(classes)} classes" if rows < len(classes) else ""
    axes.set_xlabel(f"image of each class in draw {draw}{more}", color=INK, fontsize=7)
    save(figure, path)


def data_uri(path: Path) -> str:
    """Returns a picture as an address that holds it; an empty one where there is none."""
    if not path.is_file():
        return ""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
