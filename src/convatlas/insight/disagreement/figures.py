"""The figures: the agreement of every two members as two matrices, and images with each member's answer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.drawing import DPI, GRID, INK, SOFT, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE_BY_SIDE = 10  # members; with more, the matrices stand below each other
NUMBERED = 14  # members; with more, the cells have no numbers
NAMED = 10  # members; with more, a picture counts the answers
LISTED = 6  # answers below a picture
COLUMNS = 4  # images in a row
WIDEST = 26  # letters of a name in a line
NO_BREAK = "\u00a0"  # the space at which a line does not end
CAPTION = "Above each image stands its label, below it each answer with the networks that give it."
PANELS = (
    ("kappa", "Answers: agreement (Cohen's kappa)"),
    ("phi", "Errors: correlation (phi)"),
)


def draw_agreement(content: Mapping[str, Any], path: Path) -> None:
    """Writes two matrices of all pairs: the kappa of their answers, and the correlation of their errors."""
    from matplotlib.figure import Figure

    names = [f"{member['number']}  {_wrapped(member['name'])}" for member in content["members"]]
    n, beside = len(names), len(names) <= SIDE_BY_SIDE
    size = (9.0, 4.0) if beside else (9.0, 2 * min(7.6, 2.2 + 0.28 * n))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2) if beside else figure.subplots(2, 1)
    for place, (axes, (value, title)) in enumerate(zip(panels, PANELS, strict=True)):
        _matrix(axes, _square(content["pairs"], value, n), title)
        font = max(5.0, min(9.5, 200 / n))
        axes.set_xticks(range(n), [str(member["number"]) for member in content["members"]], fontsize=font)
        axes.set_yticks(range(n), names if place == 0 or not beside else [], fontsize=font, parse_math=False)
    title = f"{n} networks on {content['images']['test']:,} test images of {content['data']}"
    figure.suptitle(title, x=0.014, ha="left", fontsize=11.5, fontweight="bold", color=INK, parse_math=False)
    save(figure, path)


def _wrapped(name: str) -> str:
    """Returns a name in lines of at most 26 letters, where it is longer.

    >>> _wrapped("resnet_uva(depths=1,1,1)@quick[epochs=1]")
    'resnet_uva(depths=1, 1, 1)\\n@quick [epochs=1]'
    """
    spaced = name.replace(",", ", ").replace("@", " @").replace("[", " [") if len(name) > WIDEST else name
    return "\n".join(textwrap.wrap(spaced, WIDEST, max_lines=3, placeholder=" …"))


def _square(pairs: Sequence[Mapping[str, Any]], value: str, n: int) -> np.ndarray:
    """Returns the values of all pairs as a symmetric matrix (n, n); NaN on its diagonal and where none is defined."""
    square = np.full((n, n), math.nan)
    for pair in pairs:
        if pair[value] is not None:
            square[pair["first"] - 1, pair["second"] - 1] = square[pair["second"] - 1, pair["first"] - 1] = pair[value]
    return square


def _matrix(axes: Axes, square: np.ndarray, title: str) -> None:
    """Draws a matrix in colours from 0, or a lower value, to 1, with numbers where there is room.

    Colours from the least to the largest value would make 0.02 look like a difference.
    """
    from matplotlib import colormaps

    known = square[np.isfinite(square)]
    low, high = min([0.0, *known.tolist()]), 1.0
    scale = colormaps["viridis"].with_extremes(bad=GRID)
    image = axes.imshow(square, cmap=scale, vmin=low, vmax=high)
    axes.set_title(title, fontsize=10.5, color=INK, loc="left")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    if len(square) > NUMBERED:
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, aspect=25)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8.5, colors=SOFT, length=2)
        return
    font = max(6.0, min(9.5, 55 / len(square) + 1))
    for (row, column), value in np.ndenumerate(square):
        text = "–" if not math.isfinite(value) else f"{value:.2f}"
        dark = math.isfinite(value) and (value - low) / (high - low) < 0.55
        axes.text(column, row, text, ha="center", va="center", fontsize=font, color="white" if dark else INK)


def draw_images(
    shown: Sequence[Mapping[str, Any]], pixels: np.ndarray, path: Path, *, title: str, members: Sequence[str]
) -> None:
    """Writes images uint8 (n, H, W, C), each with its class and the answers of the members, by their numbers."""
    from matplotlib.figure import Figure

    texts = ["\n".join(_answers(image, len(members))) for image in shown]
    lines = max(text.count("\n") + 1 for text in texts)
    rows = math.ceil(len(shown) / COLUMNS)
    key = (
        ""
        if len(members) > NAMED
        else "Networks: " + ",  ".join(f"{n} {name}".replace(" ", NO_BREAK) for n, name in enumerate(members, start=1))
    )
    caption = textwrap.fill(f"{CAPTION} {key}", 128, break_long_words=False)
    height = rows * (1.9 + 0.15 * lines) + 0.5 + 0.17 * (caption.count("\n") + 1)
    figure = Figure(figsize=(9, height), dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, image, picture, text in zip(panels, shown, pixels, texts, strict=False):
        grey = picture.shape[-1] == 1
        axes.imshow(picture[..., 0] if grey else picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(f"label {_short(image['class'])}", fontsize=9.5, fontweight="bold", color=INK, parse_math=False)
        axes.text(
            0.5, -0.03, text, transform=axes.transAxes, ha="center", va="top", fontsize=8.5, color=SOFT,
            parse_math=False,
        )  # fmt: skip
    figure.suptitle(title, x=0.014, ha="left", fontsize=11.5, fontweight="bold", color=INK, parse_math=False)
    figure.supxlabel(caption, x=0.014, ha="left", fontsize=8.5, color=SOFT, parse_math=False)
    save(figure, path)


def _answers(image: Mapping[str, Any], members: int) -> list[str]:
    """Returns a line for each answer: the class, and the numbers of its members, or how many there are."""
    lines = []
    for answer in image["answers"][:LISTED]:
        numbers = answer["members"]
        by = f"{len(numbers)} of {members}" if members > NAMED else ", ".join(map(str, numbers))
        lines.append(f"{_short(answer['class'])} by {by}")
    return [*lines, "..."] if len(image["answers"]) > LISTED else lines


def _short(name: str) -> str:
    """Returns a class's name, cut where it is long."""
    return name if len(name) <= 22 else f"{name[:21]}…"
