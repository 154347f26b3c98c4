"""Images of a data set in two dimensions, by the features before the last layer: PCA and t-SNE.

van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html. Both are scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from convatlas.data import class_labels
from convatlas.drawing import COLOURS, DPI, INK, LEGEND, MARKERS, SOFT, plain, save
from convatlas.errors import UsageError
from convatlas.insight.explain.features import before_last_layer
from convatlas.insight.explain.material import Part
from convatlas.progress.counting import Watch, unwatched

IMAGES = 1000  # at most
FEWEST = 8
PERPLEXITY = 30.0
KEPT = 50  # principal components that t-SNE is given
CLASS_COLOURS = (*COLOURS, "#8B1A1A", "#6A51A3", "#8A9A00")  # each class has its own: small images have no marker
CELLS, THUMB, BORDER = 24, 44, 3  # places along a side of the picture with small images, and their pixels
REACH = 3.0  # cells from its point at which an image may lie
ENTRIES, ENTRY = 5, 40  # of a row of the legend below them, and its height in pixels


@dataclass(frozen=True)
class Embedding:
    """The points (N, 2) of images by PCA and by t-SNE, their classes (N,), and the places of the images.

    `variance` is the part of the features' variance that each of the two principal components holds.
    """

    pca: np.ndarray
    tsne: np.ndarray
    labels: np.ndarray
    places: Tensor
    variance: tuple[float, float]


def embed(network: nn.Module, part: Part, *, watch: Watch = unwatched) -> Embedding:
    """Returns the embedding of the images of a part. Raises `UsageError` for few images, and for ones without class."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    labels = class_labels(part.images, needed_by="--embedding")
    if len(part) < FEWEST:
        raise UsageError(f"--embedding needs {FEWEST} images or more; there are {len(part)}")
    rows: list[Tensor] = []
    for batch in part.inputs():
        watch(sum(map(len, rows)), len(part))
        rows.append(before_last_layer(network, batch).double().cpu())
    features = torch.cat(rows).numpy()
    analysis = PCA(min(KEPT, *features.shape), svd_solver="full")
    components = analysis.fit_transform(features)
    if components.shape[1] < 2:
        raise UsageError("--embedding needs two features or more before the last layer; the network has one")
    perplexity = min(PERPLEXITY, (len(part) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=0).fit_transform(components)
    first, second = analysis.explained_variance_ratio_[:2].tolist()
    return Embedding(components[:, :2], tsne, labels.cpu()[part.places].numpy(), part.places, (first, second))


def looks(labels: np.ndarray, class_names: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Returns colour and marker of each class with a look of its own: of the most frequent where there are many."""
    counts = np.bincount(labels, minlength=len(class_names))
    chosen = np.argsort(-counts, kind="stable")[: len(CLASS_COLOURS)]
    present = sorted(int(label) for label in chosen if counts[label])
    return {label: (CLASS_COLOURS[index], MARKERS[index % len(MARKERS)]) for index, label in enumerate(present)}


def draw_embedding(embedding: Embedding, class_names: Sequence[str], path: Path) -> None:
    """Writes the figure: the points of PCA and of t-SNE side by side, coloured by class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), dpi=DPI, layout="constrained")
    look = looks(embedding.labels, class_names)
    panels = {"PCA: most of the variance": embedding.pca, "t-SNE: near ones stay near": embedding.tsne}
    for axes, (title, points) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        others = ~np.isin(embedding.labels, list(look))
        style: dict[str, Any] = {"s": 13, "linewidths": 0, "alpha": 0.8}
        for label, (colour, marker) in look.items():
            chosen = points[embedding.labels == label]
            axes.scatter(*chosen.T, color=colour, marker=marker, label=class_names[label], **style)
        if others.any():
            axes.scatter(*points[others].T, color=SOFT, marker=".", label="other classes", zorder=1, **style)
        plain(axes)
        axes.grid(False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(title, loc="left", color=INK, fontsize=10.5)
    first, second = (
        f"component {place}: {part:.0%} of the variance" for place, part in enumerate(embedding.variance, 1)
    )
    figure.axes[0].set_xlabel(first, color=SOFT, fontsize=9.5)
    figure.axes[0].set_ylabel(second, color=SOFT, fontsize=9.5)
    legend: dict[str, Any] = {**LEGEND, "markerscale": 2, "ncols": 5}
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", **legend)
    save(figure, path)


def picture_sheet(embedding: Embedding, thumbnails: Tensor, class_names: Sequence[str]) -> Image.Image:
    """Returns small images uint8 (N, C, THUMB, THUMB) about their points of t-SNE, in frames of the class's colour.

    Each lies in the free cell that is nearest to its point; where none is near, it is left out. The legend is below.
    """
    cell, look = THUMB + 2 * BORDER + 1, looks(embedding.labels, class_names)
    named = [(colour, class_names[label]) for label, (colour, _) in look.items()]
    if len(look) < len(set(embedding.labels.tolist())):
        named.append((SOFT, "other classes"))
    height = CELLS * cell + (-(-len(named) // ENTRIES)) * ENTRY
    sheet = Image.new("RGB", (CELLS * cell, height), (245, 247, 249))
    draw = ImageDraw.Draw(sheet)
    for place, (colour, name) in enumerate(named):
        left, top = place % ENTRIES * sheet.width // ENTRIES + 8, CELLS * cell + place // ENTRIES * ENTRY
        draw.rectangle((left, top + 9, left + 22, top + 31), colour)
        draw.text((left + 32, top + 20), name[:18], fill=INK, font=ImageFont.load_default(size=20), anchor="lm")
    for place, (column, row) in laid_out(embedding.tsne).items():
        pixels = thumbnails[place].expand(3, -1, -1).permute(1, 2, 0).numpy()
        colour = look.get(int(embedding.labels[place]), (SOFT, ""))[0]
        left, top = column * cell, row * cell
        draw.rectangle((left, top, left + cell - 2, top + cell - 2), colour)
        sheet.paste(Image.fromarray(pixels, "RGB"), (left + BORDER, top + BORDER))
    return sheet


def laid_out(points: np.ndarray) -> dict[int, tuple[int, int]]:
    """Returns the column and the row of the cell of each point (N, 2) for which there is a free one near."""
    scaled = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-12) * (CELLS - 1)
    scaled[:, 1] = CELLS - 1 - scaled[:, 1]  # up is up
    cells = np.stack(np.meshgrid(np.arange(CELLS), np.arange(CELLS), indexing="ij"), -1).reshape(-1, 2)
    free, laid = np.ones(len(cells), bool), {}
    for place, point in enumerate(scaled):
        distances = np.where(free, np.hypot(*(cells - point).T), np.inf)
        nearest = int(distances.argmin())
        if distances[nearest] <= REACH:
            free[nearest] = False
            laid[place] = (int(cells[nearest, 0]), int(cells[nearest, 1]))
    return laid
