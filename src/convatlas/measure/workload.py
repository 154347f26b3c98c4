"""The workload of a measurement: the counts of a network, and a batch that fits the memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch

from convatlas.architecture import Architecture
from convatlas.architectures import require_classifier
from convatlas.checks import check_own
from convatlas.complexity import Complexity, check_training, meta_network, network_complexity, parameter_count
from convatlas.complexity.step import StepCost, step_cost
from convatlas.device import free_memory
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, recipe
from convatlas.words import label

# One optimizer for every network. The rate is so low that the network stays what it is in all the steps: a loss that is
# no number any more would be another measurement.
RECIPE = recipe("he_cifar").replaced(lr=1e-6)
BATCHES = ((64, 128), (128, 32))  # pixels of an image at most, and images in a batch
OF_LARGE = 8  # images in a batch, where they are larger
FREE = 0.8  # of the memory that is free may be used
COPIES = 8  # bytes a parameter beside those of the step: the copy that answers, and one of each in bf16


@dataclass(frozen=True)
class Workload:
    """A network and the batches that it is measured with: `batch_size` images of `cost.shape` (C, H, W)."""

    architecture: Architecture
    options: Mapping[str, Any]
    cost: Complexity
    training: StepCost
    batch_size: int
    device: str
    notes: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The architecture with its options."""
        return label(self.architecture.name, self.options)

    @property
    def num_classes(self) -> int:
        return int(self.options.get("num_classes", self.architecture.num_classes))

    @property
    def recipe(self) -> Recipe:
        """The recipe of the training step."""
        return RECIPE.replaced(batch_size=self.batch_size)


def make_workload(
    row: Architecture,
    *,
    options: Mapping[str, Any],
    device: str,
    image_size: int | None = None,
    batch_size: int | None = None,
) -> Workload:
    """Counts a network at its own or another image size, and chooses a batch that fits where none is given.

    Raises `UsageError` where the network cannot take such images, and where the batch that is given does not fit.
    """
    require_classifier(row)
    if batch_size is not None:
        RECIPE.replaced(batch_size=batch_size)  # raises for one that makes no sense
    size = row.image_size if image_size is None else image_size
    inputs = {"in_channels": options.get("in_channels", row.in_channels), "image_size": size}
    network = meta_network(row, **options)
    cost = network_complexity(row, network, **inputs)
    check_training(row, network, images=batch_size or 2, **inputs)
    check_own(row, **{"num_classes": row.num_classes, **options, **inputs})
    count = partial(step_cost, network, name=row.name, **inputs)
    copies = COPIES * parameter_count(network)
    needed = cache(lambda images: count(batch_size=images).memory + copies)
    chosen = _fitting(needed, batch_size, size=size, device=device, name=row.name)
    usual = _usual(size)
    note = f"{row.name} with {chosen} images at a time, not {usual}: there is too little memory"
    notes = (note,) if batch_size is None and chosen < usual else ()
    return Workload(row, options, cost, count(batch_size=chosen), chosen, device, (*notes, *cost.notes))


def _usual(image_size: int) -> int:
    """Returns the batch size for images of this size."""
    return next((images for pixels, images in BATCHES if image_size <= pixels), OF_LARGE)


def _fitting(needed: Callable[[int], int], wanted: int | None, *, size: int, device: str, name: str) -> int:
    """Returns the batch size that is wanted, else the usual one of images of this size, halved until it fits.

    `needed` says how many bytes a batch size needs. Raises `UsageError` where that is more than there is.
    """
    free = usable_memory(device)
    if wanted is not None and needed(wanted) <= free:
        return wanted
    fitting = _usual(size)
    while fitting > 2 and needed(fitting) > free:  # in training, a norm may need two images
        fitting //= 2
    fits = needed(fitting) <= free
    if wanted is None and fits:
        return fitting
    refused = wanted or fitting
    raise UsageError(
        f"{refused} images of {size} pixels at a time need about {_gigabytes(needed(refused))} to train "
        f"{name}, and {device} has {_gigabytes(free)} for it; "
        + (f"--batch-size {fitting} fits" if fits else "choose a smaller --image-size")
    )


def usable_memory(device: str) -> float:
    """Returns the bytes that a measurement or a training may use."""
    return FREE * (torch.cuda.mem_get_info()[0] if device == "cuda" else free_memory())


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"
