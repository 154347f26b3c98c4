"""The directions in which weights move: random ones that are normalised by filter, and those of a training's path.

Li et al. 2018, https://arxiv.org/abs/1712.09913, sections 4 and 7, and the authors' code,
https://github.com/tomgoldstein/loss-landscape: `normalize_directions_for_weights`, `ignore_biasbn`,
`setup_PCA_directions` and `project_trajectory`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from convatlas.errors import UsageError

Ignored = Literal["biasbn", "none"]
Weights = Mapping[str, Tensor]  # the parameters of a network by name

SMALL = 1e-10  # the authors' addition to the norm by which they divide
LEAST = 1e-10  # of the variance of the first principal direction, below which another one is only rounding


@dataclass(frozen=True)
class Directions:
    """One or two directions; a parameter that is not named in them stays as it is.

    The path of a training has the coordinates (K, 2) of each of its `epochs`; `explained` is the part of the path's
    variance that each direction has. Random directions have no path.
    """

    vectors: tuple[dict[str, Tensor], ...]
    explained: tuple[float, ...] = ()
    path: np.ndarray | None = None
    epochs: tuple[int, ...] = ()


def moves(weight: Tensor, *, ignore: Ignored) -> bool:
    """Returns whether a parameter moves; with `biasbn` biases and norms, the tensors of one dimension, stay."""
    return weight.ndim > 1 or ignore == "none"


def random_directions(weights: Weights, *, seed: int, ignore: Ignored, count: int) -> Directions:
    """Returns normal random directions, each output filter of which is as long as that of the weights.

    The values are drawn in float32 on the CPU, the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    vectors = []
    for _ in range(count):
        drawn = {name: torch.randn(weight.shape, generator=generator) for name, weight in weights.items()}
        vectors.append(
            {
                name: filter_normalised(drawn[name].to(weight), weight)
                for name, weight in weights.items()
                if moves(weight, ignore=ignore)
            }
        )
    return Directions(tuple(vectors))


def filter_normalised(direction: Tensor, weight: Tensor) -> Tensor:
    """Returns a direction (out, ...) whose filters have the norms of the weight's: d ||w|| / (||d|| + 1e-10) for each.

    A filter is what makes one output channel, a row of a linear layer likewise. Of a tensor of one dimension the
    direction is the tensor itself, as in the authors' code.

    >>> filter_normalised(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[10.0, 0.0], [0.0, 0.5]]))
    tensor([[6.0000, 8.0000],
            [0.5000, 0.0000]])
    """
    if weight.ndim <= 1:
        return weight.clone()
    shape = (-1, *[1] * (weight.ndim - 1))
    lengths, own = (torch.linalg.vector_norm(each.flatten(1), dim=1) for each in (weight, direction))
    scaled = direction * (lengths / (own + SMALL)).view(shape)
    return torch.empty_like(weight).copy_(scaled)  # in the memory layout of the weight: moves are quicker


def principal_directions(
    weights: Weights, snapshots: Mapping[int, Weights], *, ignore: Ignored, count: int
) -> Directions:
    """Returns the principal directions of a training's path, orthonormal, and the path in their coordinates.

    `snapshots` are the weights after some epochs. The rows of the analysis are their differences from `weights`, from
    which the mean is taken, as scikit-learn's PCA does it in the authors' code. Raises `UsageError` where the path has
    fewer directions.
    """
    names = [name for name, weight in weights.items() if moves(weight, ignore=ignore)]
    rows = [_differences(weights, snapshots, name) for name in names]
    inner = sum((each @ each.T for each in rows), torch.zeros(()))
    if not bool(torch.isfinite(inner).all()):
        raise UsageError("a snapshot holds NaN or infinity; the training had diverged")
    centre = torch.eye(len(inner), dtype=inner.dtype) - 1 / len(inner)
    variances, mixtures = torch.linalg.eigh(centre @ inner @ centre)  # in rising order
    largest = [len(inner) - 1 - place for place in range(count)]
    if not all(place >= 0 and variances[place] > LEAST * variances[-1].clamp(min=1e-300) for place in largest):
        raise UsageError(f"the snapshots lie in fewer than {count} directions; train with more epochs and snapshots")
    vectors, coordinates = [], []
    for place in largest:
        mixture = centre @ mixtures[:, place] / variances[place].sqrt()
        along = inner @ mixture
        mixture, along = (mixture, along) if along[0] <= 0 else (-mixture, -along)  # the path comes from below
        vectors.append(_mixed(weights, names, rows, mixture))
        coordinates.append(along.numpy())
    explained = tuple(float(variances[place] / variances.sum()) for place in largest)
    return Directions(tuple(vectors), explained, np.stack(coordinates, axis=1), tuple(snapshots))


def _differences(weights: Weights, snapshots: Mapping[int, Weights], name: str) -> Tensor:
    """Returns the difference of each snapshot of a parameter from its weights: (K, values), float64 on the CPU."""
    centre = weights[name].detach().double().cpu().flatten()
    return torch.stack([each[name].double().cpu().flatten() - centre for each in snapshots.values()])


def _mixed(weights: Weights, names: Sequence[str], rows: Sequence[Tensor], mixture: Tensor) -> dict[str, Tensor]:
    """Returns the mixture of the snapshots' differences as a direction."""
    mixed = zip(names, rows, strict=True)
    return {
        name: torch.empty_like(weights[name]).copy_((mixture @ each).view(weights[name].shape)) for name, each in mixed
    }
