"""The words and the values of the page of loss surfaces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convatlas.insight.landscape.pictures import direction_name
from convatlas.insight.landscape.points import Points, every
from convatlas.insight.landscape.scale import Scale
from convatlas.report.landscape_page import render_landscape

MOST_VALUES = 14_000  # points on the page, so that it stays below 300 kB
CAPTIONS = {
    ("random", 2): "Each surface shows the training loss around a trained network, the centre, whose weights are moved "
    "along two random directions; a step of 1 changes each filter by as much as it is long (its norm). A smooth bowl "
    "here does not say that the loss is smooth in the many other directions, and a wide one does not say that the "
    "network is right on test images.",
    ("random", 1): "Each curve shows the training loss around a trained network, at 0, whose weights are moved along a "
    "random direction; a step of 1 changes each filter by as much as it is long (its norm). A smooth curve does not "
    "say that the loss is smooth in the many other directions, and a wide valley does not say that the network is "
    "right on test images.",
    ("pca", 2): "Each surface shows the training loss over the two directions in which the weights moved most during "
    "the training, whose path is the line; the centre is the trained network. The directions were chosen to show the "
    "path, so that it looks simple, and away from the centre the weights of the path lie beside the surface: their own "
    "loss is another.",
    ("pca", 1): "Each curve shows the training loss along the direction in which the weights moved most during the "
    "training; at 0 is the trained network. The direction was chosen to show the path of the training, so that it "
    "looks simple, and the weights on the path have another loss.",
}
STATISTICS = {
    "fixed": "Batch norms keep the statistics of the centre (as in the authors' code).",
    "recompute": "Batch norms take their statistics from these images at each point, the centre included, whose loss "
    "is therefore not the run's own.",
}
IGNORED = {
    "biasbn": "Biases and the parameters of norms stay as they are (--ignore biasbn).",
    "none": "Biases and the parameters of norms move too: each along itself, as in the authors' code (--ignore none).",
}


def caption(facts: Mapping[str, Any]) -> str:
    """Returns in two sentences what one sees and what not to conclude."""
    return CAPTIONS[facts["directions"], facts["dimensions"]]


def protocol(facts: Mapping[str, Any], scale: Scale) -> list[str]:
    """Returns the choices of the landscape, a sentence or two for each."""
    seeds = facts["seeds"]
    drawn = f"{seeds} draws of directions, seeds 0 to {seeds - 1}" if seeds > 1 else "one draw of directions, seed 0"
    directions = {
        "random": f"Random directions, normalised by filter (Li et al. 2018): {drawn}.",
        "pca": "Principal directions of the differences between the weights that the run kept during its training "
        "and those of its best epoch, with their part of the variance.",
    }[facts["directions"]]
    lines = [
        f"Loss and error of {facts['images']:,} training images of {facts['data']}, not augmented, the same at every "
        "point and for every run; the evaluated network (the moving average where there is one), in float32.",
        f"{directions} {IGNORED[facts['ignore']]}",
        STATISTICS[facts["statistics"]],
        f"All surfaces have one scale, {'logarithmic' if scale.log else 'linear'}.",
    ]
    if scale.clipped:
        lines[-1] += f" Losses above {scale.high:g} are drawn as {scale.high:g}; landscape.json has their values."
    return lines


def page(points: Points, content: Mapping[str, Any], scale: Scale, *, command: str) -> str:
    """Returns the page. Of many points it shows only every second one or fewer, and says so."""
    names = list(dict.fromkeys(surface["name"] for surface in content["surfaces"]))
    lines = protocol(content, scale)
    squares = squares_of(points)
    stride = every(points.x[0], squares=squares).step
    if stride > 1:
        lines.append(f"The page shows one point of {stride} along each direction; the files beside it have all.")
    data = {
        "dimensions": content["dimensions"],
        "seeds": content["seeds"],
        "names": names,
        "scale": {name: getattr(scale, name) for name in ("low", "high", "log", "levels", "clipped")},
        "surfaces": [
            _surface(points, number, surface, squares=squares) for number, surface in enumerate(content["surfaces"])
        ],
    }
    words = {"names": names, "caption": caption(content), "lines": lines, "pictures": content["pictures"]}
    return render_landscape({**words, "dimensions": content["dimensions"], "command": command, "data": data})


def squares_of(points: Points) -> int:
    """Returns the most squares along a side with which the page stays small."""
    surfaces, rows, _ = points.loss.shape
    return MOST_VALUES // surfaces - 1 if rows == 1 else max(4, math.isqrt(MOST_VALUES // surfaces) - 1)


def _surface(points: Points, number: int, surface: Mapping[str, Any], *, squares: int) -> dict[str, Any]:
    """Returns a surface as the page needs it, its values with four digits."""
    x, y = points.x[number], points.y[number]
    columns, rows = every(x, squares=squares), every(y, squares=squares)
    return {
        "name": surface["name"],
        "seed": surface["seed"],
        "directions": [direction_name(surface, place) for place in range(1 if len(y) == 1 else 2)],
        "path": surface["path"],
        "x": _digits(x[columns]),
        "y": _digits(y[rows]),
        "loss": [_digits(row) for row in points.loss[number][rows, columns]],
        "error": [_digits(row) for row in points.error[number][rows, columns]],
    }


def _digits(values: Sequence[float] | np.ndarray) -> list[float | int | None]:
    """Returns numbers with four digits, short where they are whole, and None for those that are not finite.

    >>> _digits([0.123456, 3.0, float("inf")])
    [0.1235, 3, None]
    """
    rounded = [float(f"{value:.4g}") if math.isfinite(value) else None for value in values]
    return [int(value) if value is not None and value == int(value) else value for value in rounded]
