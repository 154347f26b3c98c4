"""The images of a data set that an explanation shows beside the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from convatlas.data import DataSet, Images, load_data
from convatlas.device import BATCH_SIZE
from convatlas.errors import UsageError
from convatlas.insight.explain.asking import Wanted
from convatlas.insight.explain.methods import PIXELS
from convatlas.prediction import Predictor, choose_data


@dataclass(frozen=True)
class Part:
    """Some images of a data set, by their places, as inputs of a network."""

    predictor: Predictor
    images: Images
    places: Tensor

    def __len__(self) -> int:
        return len(self.places)

    @staticmethod
    def drawn(predictor: Predictor, images: Images, *, most: int) -> Part:
        """Returns all images, or `most` of them, drawn by a fixed seed."""
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:most]
        return Part(predictor, images, order.sort().values)

    def pixels(self) -> Iterator[Tensor]:
        """Yields the images in batches, values from 0 to 1 (n, C, size, size), on the network's device."""
        size = self.predictor.preprocessing.image_size
        device = next(self.predictor.network.parameters()).device
        count = max(1, min(BATCH_SIZE, PIXELS // size**2))
        for batch, _ in self.images.batches(
            self.places, size=count, preprocessing=self.predictor.preprocessing, device=device
        ):
            yield batch.expand(-1, self.predictor.in_channels, -1, -1)

    def inputs(self) -> Iterator[Tensor]:
        """Yields the images in batches as inputs of the network: (n, C, size, size)."""
        for batch in self.pixels():
            yield self.predictor.preprocessing.normalize(batch)


@dataclass(frozen=True)
class Subject:
    """A network that is explained, its plain copy in float32, and the data set whose images are shown, if any."""

    predictor: Predictor
    network: nn.Module
    data: DataSet | None = None

    @property
    def opened(self) -> DataSet:
        """Returns the data set. Raises `UsageError` where there is none."""
        if self.data is None:
            raise UsageError(f"{self.predictor.source}: this needs a data set; name one with --data")
        return self.data


def material_for(
    predictor: Predictor, wanted: Wanted, *, name: str | None = None, folder: Path | None = None
) -> DataSet | None:
    """Returns the data set called `name`, else that of the run or of the weights; None where no images are wanted.

    Of another named set than the network's own the classes need not be the network's. Raises `UsageError` where no set
    is named or known, for images of other channels, and as `choose_data` does for the network's own data.
    """
    if name is None and not wanted.needs_data:
        return None
    if name is None or name == predictor.data:
        return choose_data(predictor, name=name, folder=folder)
    data = load_data(name, folder=folder)
    if data.spec.channels not in (1, predictor.in_channels):
        raise UsageError(
            f"{predictor.source} takes images of {predictor.in_channels} channels; those of {name} have "
            f"{data.spec.channels}"
        )
    return data
