"""The pictures of loss surfaces: filled contours beside a view in three dimensions, and curves in one dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, SOFT, plain, save
from convatlas.insight.landscape.points import Points, thinned
from convatlas.insight.landscape.scale import Scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize

COLOUR_MAP = "viridis"
MOST_SQUARES = 50  # along a side of the view in three dimensions; with more it takes seconds
SIDE, TOP = 3.6, 0.35  # inches: a row of panels, and what is above the first
CEILING = 0.12  # opacity of the squares where losses are cut, which would hide what is below
VIEW = (32, -58)  # degrees from which a surface is seen: above the ground, around it
Facts = Mapping[str, Any]  # of one surface


def draw(points: Points, surfaces: Sequence[Facts], scale: Scale, folder: Path) -> list[str]:
    """Writes the pictures into the folder and returns the names of their files: in two dimensions one for each seed."""
    if points.loss.shape[1] == 1:
        _save_curves(points, surfaces, scale, folder / "landscape.png")
        return ["landscape.png"]
    files: dict[str, list[int]] = {}
    for number, surface in enumerate(surfaces):
        name = f"landscape-seed{surface['seed']}.png" if surface["seed"] else "landscape.png"
        files.setdefault(name, []).append(number)
    for name, numbers in files.items():
        _save_surfaces(points, {number: surfaces[number] for number in numbers}, scale, folder / name)
    return list(files)


def _save_surfaces(points: Points, chosen: Mapping[int, Facts], scale: Scale, path: Path) -> None:
    """Writes a row of two panels for each surface, and the bar of the colours of all."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    norm = Normalize(*scale.height(np.array([scale.low, scale.high])))
    figure = Figure(figsize=(9, TOP + SIDE * len(chosen)), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(len(chosen), 3, width_ratios=(1, 1.2, 0.04))
    for row, (number, surface) in enumerate(chosen.items()):
        left = figure.add_subplot(grid[row, 0])
        _draw_contours(left, points, number, scale, norm)
        _name(left, surface)
        _draw_view(figure.add_subplot(grid[row, 1], projection="3d"), points, number, scale, norm)
    bar = figure.colorbar(
        ScalarMappable(norm, COLOUR_MAP), cax=figure.add_subplot(grid[:, 2]), extend="max" if scale.clipped else None
    )
    bar.set_ticks(list(scale.height(np.array(scale.levels))), labels=[f"{level:g}" for level in scale.levels])
    bar.ax.tick_params(colors=SOFT, labelsize=9)
    words = f"training loss{', logarithmic' if scale.log else ''}"
    words += f"; above {scale.high:g} one colour" if scale.clipped else ""
    bar.set_label(words, color=SOFT, fontsize=9.5)
    save(figure, path)


def _draw_contours(axes: Axes, points: Points, number: int, scale: Scale, norm: Normalize) -> None:
    """Draws filled contours with labelled lines; what is above the highest one has the last colour."""
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import MaxNLocator

    x, y = points.x[number], points.y[number]
    heights = scale.height(points.loss[number], most=10 * scale.high)
    levels = scale.height(np.array(scale.levels))
    steps = np.unique([*scale.height(np.array([scale.low, scale.high])), *levels])
    axes.contourf(x, y, heights, steps, cmap=COLOUR_MAP, norm=norm, extend="max" if scale.clipped else "neither")
    lines = axes.contour(x, y, heights, levels, colors="white", linewidths=0.7, linestyles="solid")
    words = {height: f"{level:g}" for height, level in zip(lines.levels, scale.levels, strict=True)}
    for text in axes.clabel(lines, fmt=words, fontsize=7.5, colors=INK, inline_spacing=3):
        text.set_path_effects([withStroke(linewidth=2.2, foreground="white")])
    axes.plot(0, 0, marker="+", color="white", markersize=9, markeredgewidth=1.6)
    axes.set_box_aspect(1)
    axes.tick_params(colors=SOFT, labelsize=8.5, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 5, 10]))


def _name(axes: Axes, surface: Facts) -> None:
    """Writes the name of a surface over its panel, and along its sides the directions; draws the path of a training."""
    centre = surface["centre"]
    axes.set_title(surface["name"], loc="left", fontsize=10.5, fontweight="bold", color=INK, parse_math=False, pad=17)
    line = f"at the centre (+): loss {centre['loss']:.3g}, error {100 * centre['error']:.3g} %"
    axes.text(0, 1.025, line, transform=axes.transAxes, fontsize=8.5, color=SOFT)
    axes.set_xlabel(direction_name(surface, 0), fontsize=8.5, color=SOFT)
    axes.set_ylabel(direction_name(surface, 1), fontsize=8.5, color=SOFT)
    if surface["path"] is not None:
        axes.plot(*np.array(surface["path"]).T, color="white", linewidth=2.4)
        axes.plot(*np.array(surface["path"]).T, color=COLOURS[1], marker="o", markersize=3, linewidth=1.2)


def direction_name(surface: Facts, place: int) -> str:
    """Returns the name of a direction, the first (0) or the second (1), with its part of the variance of a path."""
    order = ("first", "second")[place]
    if not surface["explained"]:
        return f"{order} random direction"
    return f"{order} principal direction ({100 * surface['explained'][place]:.1f} %)"


def _draw_view(axes: Any, points: Points, number: int, scale: Scale, norm: Normalize) -> None:
    """Draws the surface from the side, in the same colours; the ceiling where losses are cut is nearly transparent."""
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    x, y, loss = thinned(points, number, squares=MOST_SQUARES)
    corners = scale.height(loss)
    middles = (corners[1:, 1:] + corners[1:, :-1] + corners[:-1, 1:] + corners[:-1, :-1]) / 4
    colours = matplotlib.colormaps[COLOUR_MAP](norm(middles))
    if scale.clipped:
        colours[middles >= scale.height(np.array(scale.high)), 3] = CEILING
    columns, rows = np.meshgrid(x, y)
    look = {"shade": False, "edgecolor": (1, 1, 1, 0.25), "linewidth": 0.3}
    axes.plot_surface(columns, rows, corners, rstride=1, cstride=1, facecolors=colours, **look)
    axes.set_zlim(*scale.height(np.array([scale.low, scale.high])))
    axes.set_zticks(scale.height(np.array(scale.levels)), labels=[f"{level:g}" for level in scale.levels])
    axes.view_init(*VIEW)
    axes.set_box_aspect((1, 1, 0.75), zoom=1.05)
    axes.tick_params(colors=SOFT, labelsize=7.5, pad=0)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 5, 10]))


def _save_curves(points: Points, surfaces: Sequence[Facts], scale: Scale, path: Path) -> None:
    """Writes the loss and the error of all surfaces along their direction, the seeds of a run in one colour."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    names = list(dict.fromkeys(surface["name"] for surface in surfaces))
    for number, surface in enumerate(surfaces):
        look = {"color": COLOURS[names.index(surface["name"]) % len(COLOURS)], "linewidth": 1.5}
        label = surface["name"] if not surface["seed"] else None
        left.plot(points.x[number], np.minimum(points.loss[number][0], scale.high), label=label, **look)
        right.plot(points.x[number], 100 * points.error[number][0], **look)
    if scale.log:
        left.set_yscale("log")
        left.yaxis.set_major_formatter("{x:g}")
    cut = f", above {scale.high:g} drawn as {scale.high:g}" if scale.clipped else ""
    titles = f"training loss{cut}", "training error, %"
    for axes, title in zip((left, right), titles, strict=True):
        plain(axes)
        axes.set_title(title, loc="left", fontsize=10.5, color=INK)
        axes.set_xlabel(direction_name(surfaces[0], 0), color=SOFT, fontsize=9.5)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=2, **LEGEND)
    save(figure, path)
