"""Deletion and insertion curves: does the probability of the class follow the map?

Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 3.3. Deletion takes the pixels of the highest values away
first, and a good map makes the probability fall soon: a small area. Insertion brings them first into a blurred image,
and a good map makes it rise soon: a large area. A random order is the control. All methods are measured on the same
images: what they differ by is the difference image by image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, MARKERS, SOFT, plain, save
from convatlas.evaluation import summarize
from convatlas.insight.explain.methods import METHODS, Question
from convatlas.progress.counting import Watch, unwatched

STEPS = 20
CONTROL = "random"
GOOD = {"deletion": min, "insertion": max}  # of the areas
BLUR = 0.1  # deviation of the blur, of the side of the input; three pixels at least


@dataclass(frozen=True)
class Curves:
    """The probability of the explained class (images, steps + 1) by method, the control among them."""

    deletion: Mapping[str, np.ndarray]
    insertion: Mapping[str, np.ndarray]

    @property
    def images(self) -> int:
        """The number of images."""
        return len(next(iter(self.deletion.values())))

    def areas(self, kind: str) -> dict[str, np.ndarray]:
        """Returns the areas (images,) under the curves of a kind, by method."""
        return {name: area(each) for name, each in getattr(self, kind).items()}

    def summary(self, kind: str) -> dict[str, Any]:
        """Returns the areas by method, those less the control's, and those less the best method's, with intervals."""
        areas = self.areas(kind)
        means = {name: values.mean() for name, values in areas.items() if name != CONTROL}
        best = GOOD[kind](means, key=lambda name: means[name])
        less_control = {name: _mean(values - areas[CONTROL]) for name, values in areas.items() if name != CONTROL}
        less_best = {name: _mean(areas[name] - areas[best]) for name in means if name != best}
        return {
            "areas": {name: {**_mean(values, least=0.0), "each": values.tolist()} for name, values in areas.items()},
            "best": best,
            "less_random": less_control,
            "less_best": less_best,
        }


def verdict(kind: str, summary: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Returns in words which method is best, and which differ clearly from it, and from a random order."""

    def named(names: Iterable[str]) -> str:
        return ", ".join(titles[name] for name in names) or "none"

    best, sign = summary["best"], 1 if kind == "deletion" else -1
    less_best, less_random = summary["less_best"], summary["less_random"]
    words = f"{kind}: {titles[best]} has the {'smallest' if sign > 0 else 'largest'} mean area"
    if less_random[best]["ci95"] is None:
        return f"{words}; one image tells no method from another"
    worse = [name for name, found in less_best.items() if min(sign * end for end in found["ci95"]) > 0]
    chance = [name for name, found in less_random.items() if max(sign * end for end in found["ci95"]) >= 0]
    if less_best:
        close = named(name for name in less_best if name not in worse)
        words += f"; clearly worse: {named(worse)}; no clear difference from it: {close}"
    return f"{words}; not clearly better than a random order: {named(chance)}"


def curves_of(
    explained: Iterable[tuple[Question, Mapping[str, Tensor]]], *, count: int, watch: Watch = unwatched
) -> Curves:
    """Returns the curves of `count` questions, each with a map (size, size) by method."""
    generator = torch.Generator().manual_seed(0)
    deletion: dict[str, list[np.ndarray]] = {}
    insertion: dict[str, list[np.ndarray]] = {}
    for place, (question, maps) in enumerate(explained):
        with_control = {**maps, CONTROL: torch.rand(question.inputs.shape[-2:], generator=generator)}
        for number, (name, values) in enumerate(with_control.items()):
            watch(place * len(with_control) + number, count * len(with_control))
            ends = (question.inputs, _empty(question)), (_blurred(question), question.inputs)
            for curves, (first, last) in zip((deletion, insertion), ends, strict=True):
                curves.setdefault(name, []).append(probabilities(question, first, last, by=values))
    return Curves(*({name: np.stack(rows) for name, rows in kind.items()} for kind in (deletion, insertion)))


def probabilities(question: Question, first: Tensor, last: Tensor, *, by: Tensor) -> np.ndarray:
    """Returns the probability of the class while the pixels of `first` become those of `last`, by falling values.

    Both are inputs (1, C, size, size). The result has a value for each of the parts 0 to 1 in twenty steps.
    """
    order = falling(by).to(first.device)
    mixed = []
    for step in range(STEPS + 1):
        changed = torch.zeros(len(order), dtype=torch.bool, device=first.device)
        changed[order[: round(len(order) * step / STEPS)]] = True
        mixed.append(torch.where(changed.view(1, 1, *by.shape), last, first))
    with torch.no_grad():
        logits = torch.cat([question.logits(part) for part in torch.split(torch.cat(mixed), question.chunk)])
    found: np.ndarray = logits.double().softmax(1)[:, question.target].cpu().numpy()
    return found


def falling(values: Tensor) -> Tensor:
    """Returns the places (N,) of the values of a map, the highest first; equal ones stand in a random order.

    In the order of the rows, the half of a map of Grad-CAM that is zero would be deleted from the top down.
    """
    mixed = torch.randperm(values.numel(), generator=torch.Generator().manual_seed(0)).to(values.device)
    return mixed[values.flatten()[mixed].sort(descending=True, stable=True).indices]


def area(curves: np.ndarray) -> np.ndarray:
    """Returns the area (images,) under curves (images, steps + 1) over the part of the pixels, by the trapezium rule.

    >>> float(area(np.array([[1.0, 0.5, 0.0]]))[0])
    0.5
    """
    found: np.ndarray = (curves[:, 1:] + curves[:, :-1]).mean(1) / 2
    return found


def _mean(areas: np.ndarray, *, least: float = -1.0) -> dict[str, Any]:
    """Returns the mean over images and its 95 % interval, Student's t; no interval for one image."""
    mean, _, ci95 = summarize(areas.tolist(), within=(least, 1.0))
    return {"mean": mean, "ci95": None if ci95 is None else list(ci95)}


def _empty(question: Question) -> Tensor:
    """Returns an input of the mean colour."""
    return torch.zeros_like(question.inputs)


def _blurred(question: Question) -> Tensor:
    """Returns the input, blurred by a Gaussian."""
    size = question.inputs.shape[-1]
    deviation = max(3.0, BLUR * size)
    reach = min(math.ceil(3 * deviation), size - 1)
    steps = torch.arange(-reach, reach + 1, dtype=question.inputs.dtype, device=question.inputs.device)
    weights = (-0.5 * (steps / deviation) ** 2).exp()
    kernel = (weights / weights.sum()).expand(question.inputs.shape[1], 1, -1)
    blurred = F.pad(question.inputs, (reach,) * 4, mode="reflect")
    blurred = F.conv2d(blurred, kernel[..., None], groups=len(kernel))
    return F.conv2d(blurred, kernel[:, :, None], groups=len(kernel))


def draw_curves(curves: Curves, path: Path) -> None:
    """Writes the figure: the mean probability of the class against the part of the pixels, both kinds side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), dpi=DPI, layout="constrained")
    kinds = {"deletion: pixels taken away": curves.deletion, "insertion: pixels brought in": curves.insertion}
    for axes, (title, found) in zip(figure.subplots(1, 2, sharey=True), kinds.items(), strict=True):
        for index, (name, values) in enumerate(found.items()):
            look = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)], "markersize": 3.5}
            if name == CONTROL:
                look = {"color": SOFT, "linestyle": (0, (4, 2))}
            label = METHODS[name].title if name in METHODS else "random order"
            axes.plot(np.linspace(0, 1, STEPS + 1), values.mean(0), label=label, **look)
        plain(axes)
        axes.set_title(title, loc="left", color=INK, fontsize=10.5)
        axes.set_xlabel("part of the pixels, the highest values of the map first", color=SOFT, fontsize=9.5)
        axes.set_ylim(0, 1)
    first = figure.axes[0]
    first.set_ylabel(f"probability of the class, mean of images: {curves.images}", color=SOFT, fontsize=9.5)
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=3, **LEGEND)
    save(figure, path)
