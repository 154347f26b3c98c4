"""The training images that are nearest to an image in the features before the last layer, by cosine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.insight.explain.features import before_last_layer
from convatlas.insight.explain.material import Part
from convatlas.progress.counting import Watch, unwatched

MOST = 32  # neighbours of an image


@dataclass(frozen=True)
class Neighbour:
    """A place among the images of a part, and the distance: 1 minus the cosine of the angle between the features."""

    place: int
    distance: float


def nearest(
    network: nn.Module, inputs: Sequence[Tensor], part: Part, *, count: int, watch: Watch = unwatched
) -> list[list[Neighbour]]:
    """Returns the nearest images of a part for each input (1, C, size, size), the nearest first.

    The images are worked on in batches, of which only the nearest are kept. Of equal ones the first comes first.
    """
    sought = _directions(network, torch.cat([*inputs]))
    distances, places, done = sought.new_empty(len(sought), 0), part.places.new_empty(len(sought), 0), 0
    for batch in part.inputs():
        watch(done, len(part))
        new = 1 - sought @ _directions(network, batch).T
        here = part.places[done : done + len(batch)].expand(len(sought), -1)
        done += len(batch)
        distances, order = torch.cat([distances, new], 1).sort(dim=1, stable=True)
        places = torch.cat([places, here], 1).gather(1, order.to(places.device))[:, :count]
        distances = distances[:, :count]
    rows = zip(places.tolist(), distances.tolist(), strict=True)
    return [[Neighbour(place, max(0.0, far)) for place, far in zip(*row, strict=True)] for row in rows]


def _directions(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns the features of inputs as vectors of length 1: (N, D), float64."""
    return F.normalize(before_last_layer(network, inputs).double())
