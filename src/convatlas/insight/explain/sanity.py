"""The sanity check: does a map change when the network forgets what it has learned?

Adebayo et al. 2018, https://arxiv.org/abs/1810.03292: the weights are made random from the top layer down, and the maps
are compared with those of the trained network by rank. A method whose maps stay alike shows the image, not the network.
Here the weights of each convolution and linear layer are put into a random order; the paper draws them anew. Norms stay
as they are.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from convatlas.drawing import COLOURS, DPI, INK, LEGEND, MARKERS, SOFT, plain, save
from convatlas.insight.explain.features import weighted_layers
from convatlas.insight.explain.methods import METHODS, Attribution, Effort, Question
from convatlas.progress.counting import Watch, unwatched

DEPTHS = 6  # steps from the trained to the random network
ALIKE = 0.5  # mean rank correlation with every such layer random, at which a method fails
IMAGES = 4  # at most
LESS = Effort(steps=16, most_steps=16, samples=8, windows=4)


@dataclass(frozen=True)
class Sanity:
    """The mean rank correlation of each method's maps after each step, and the layers that are random by then."""

    layers: tuple[int, ...]
    of: int
    images: int
    correlations: Mapping[str, tuple[float, ...]]
    compared: Mapping[str, int]  # images with a map before and after, where every such layer is random

    @property
    def failed(self) -> tuple[str, ...]:
        """The methods whose maps stay alike where every such layer is random."""
        return tuple(name for name, values in self.correlations.items() if values[-1] >= ALIKE)

    @property
    def undecided(self) -> tuple[str, ...]:
        """The methods that leave no map to compare: it is the same everywhere, before or after."""
        return tuple(name for name, count in self.compared.items() if not count)


def check_sanity(
    questions: Sequence[Question], methods: Sequence[str], *, seed: int = 0, watch: Watch = unwatched
) -> Sanity:
    """Returns the correlations over the first images, with less effort for each map than on the page.

    The layers become random in the order in which they work, the last first. Maps that are the same everywhere have no
    ranks: they are left out, and NaN stands where none is left.
    """
    chosen = [dataclasses.replace(question, effort=LESS) for question in questions[:IMAGES]]
    trained = {name: [METHODS[name].attribute(question) for question in chosen] for name in methods}
    network = copy.deepcopy(chosen[0].network)
    layers = weighted_layers(network, chosen[0].inputs)[::-1]
    counts = sorted({max(1, round(part)) for part in np.linspace(0, len(layers), DEPTHS + 1)[1:]})
    found: dict[str, list[np.ndarray]] = {name: [] for name in methods}
    generator, done = torch.Generator().manual_seed(seed), 0
    for step, count in enumerate(counts):
        for layer in layers[done:count]:
            shuffle(layer, generator)
        done = count
        for place, name in enumerate(methods):
            watch(step * len(methods) + place, len(counts) * len(methods))
            maps = [METHODS[name].attribute(each.of(network)) for each in chosen]
            pairs = zip(trained[name], maps, strict=True)
            found[name].append(np.array([rank_correlation(before, after) for before, after in pairs]))
    correlations = {name: tuple(map(_mean, steps)) for name, steps in found.items()}
    compared = {name: int(np.isfinite(steps[-1]).sum()) for name, steps in found.items()}
    return Sanity(tuple(counts), len(layers), len(chosen), correlations, compared)


def _mean(correlations: np.ndarray) -> float:
    """Returns the mean of those that are known, NaN where none is."""
    known = correlations[np.isfinite(correlations)]
    return float(known.mean()) if len(known) else float("nan")


def shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    """Puts the weights of a layer into a random order: their distribution stays, and nothing that was learned."""
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def rank_correlation(first: Attribution, second: Attribution) -> float:
    """Returns Spearman's correlation of the absolute values of two maps; NaN where one is the same everywhere."""
    ranks = [_ranks(each.values.detach().abs().cpu().double().numpy().ravel()) for each in (first, second)]
    centred = [each - each.mean() for each in ranks]
    norm = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / norm) if norm else float("nan")


def _ranks(values: np.ndarray) -> np.ndarray:
    """Returns the rank of each value; equal ones share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: np.ndarray = (ends - (counts - 1) / 2)[inverse]
    return ranks


def draw_sanity(sanity: Sanity, path: Path) -> None:
    """Writes the figure: the rank correlation of each method against the part of the layers that is random."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    for index, (name, values) in enumerate(sanity.correlations.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        label = METHODS[name].title + (" (fails)" if name in sanity.failed else "")
        if name in sanity.undecided:
            label += " (undecided)"
        elif sanity.compared[name] < sanity.images:
            label += f" ({sanity.compared[name]} images at the end)"
        axes.plot((0, *sanity.layers), (1.0, *values), color=colour, marker=marker, markersize=5, label=label)
    axes.axhline(ALIKE, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)), label=f"{ALIKE} or more at the end: fails")
    plain(axes)
    axes.set_xlabel(
        f"layers whose weights are in a random order, the last layer first (of {sanity.of})", color=SOFT, fontsize=9.5
    )
    title = f"rank correlation with the trained network's maps, images: {sanity.images}"
    axes.set_title(title, loc="left", color=INK, fontsize=10.5)
    figure.legend(loc="outside lower center", ncols=3, **LEGEND)
    save(figure, path)
