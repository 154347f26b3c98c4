"""The ways in which a checkpoint's tensors fit an architecture: layouts of names, class and channel counts, shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from convatlas.architecture import Architecture, KeyTables, Weights
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.meta import at_most, without_memory
from convatlas.errors import UsageError
from convatlas.layers.auxiliary import AUXILIARY
from convatlas.run import CheckpointRecord
from convatlas.weights.checkpoint import Checkpoint, Variant
from convatlas.weights.declared import most_modules
from convatlas.weights.keys import differences, in_our_shapes, knows_all, load_strictly, translate_keys, with_counters
from convatlas.words import is_part

Layout = tuple[Weights | None, KeyTables | None]  # names of tensors: published weights with their table, or ours
OWN_LAYOUT: tuple[Layout, ...] = ((None, None),)


@dataclass(frozen=True)
class Identified:
    """A checkpoint's tensors in our names, the network they fit, and the published weights whose table fits them.

    `weights` is None where the keys are ours. `record` is what our own checkpoint says of itself, `notes` what was
    chosen where it holds more than one network.
    """

    architecture: Architecture
    options: dict[str, Any]
    num_classes: int
    in_channels: int
    state: dict[str, Tensor]
    weights: Weights | None = None
    record: CheckpointRecord | None = None
    notes: tuple[str, ...] = ()

    def build(self) -> nn.Module:
        """Returns the network with the checkpoint's weights, in eval mode on the CPU."""
        network = self.architecture.build(num_classes=self.num_classes, in_channels=self.in_channels, **self.options)
        load_strictly(network, self.state)
        return network.eval()

    def build_for(self, num_classes: int, *, fresh: Sequence[str] = ()) -> nn.Module:
        """Returns the network for a class count: the checkpoint's weights, and fresh ones where the count shapes them.

        The parts named `fresh`, such as `head.fc`, get fresh weights too, drawn from PyTorch's random state. Raises
        `UsageError` for a class count below 1 and for a network that has a fixed one.
        """
        network = self.architecture.build(num_classes=num_classes, in_channels=self.in_channels, **self.options)
        own = network.state_dict()
        load_strictly(network, {**own, **self.kept(own, fresh=fresh)})
        return network.eval()

    def kept(self, outline: Mapping[str, Tensor], *, fresh: Sequence[str] = ()) -> dict[str, Tensor]:
        """Returns the checkpoint's tensors that have the shapes of a network's own, without the parts named `fresh`."""
        return {
            key: tensor
            for key, tensor in self.state.items()
            if outline[key].shape == tensor.shape and not any(is_part(part, key) for part in fresh)
        }


def known_layouts(row: Architecture) -> tuple[Layout, ...]:
    """Returns the layouts of others that have a key table: those of published weights first."""
    return (*((weights, weights.keys) for weights in row.weights), *((None, table) for table in row.layouts.values()))


def fitting(
    checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any], *, layouts: tuple[Layout, ...]
) -> list[Identified]:
    """Returns the ways in which the checkpoint fits the architecture without any difference."""
    found = []
    for weights, table in layouts:
        for variant in reversed(checkpoint.variants):
            known = may_be_ours(row, variant.state) if table is None else knows_all(table, variant.state)
            if not known:
                continue
            try:
                state = variant.state if table is None else translate_keys(variant.state, table)
            except UsageError:
                continue
            fit = identified(checkpoint, row, options, reading=Variant(state, variant.notes), weights=weights)
            if fit is not None and not differences(outline_of(checkpoint, fit), fit.state):
                found.append(fit)
                break
    return found


def size_of(checkpoint: Checkpoint) -> int:
    """Returns the number of values, without the largest matrix: it may be a head for many more classes than usual."""
    tensors = checkpoint.state.values()
    return sum(tensor.numel() for tensor in tensors) - max((t.numel() for t in tensors if t.ndim == 2), default=0)


def of_similar_size(checkpoint: Checkpoint) -> list[Architecture]:
    """Returns the rows that may be meant, without building the others: of a size within a factor of ten."""
    size = size_of(checkpoint)
    rows = [architecture(name) for name in list_architectures()]
    return [row for row in rows if row.params is None or row.params / 10 <= size <= row.params * 10]


def may_be_ours(row: Architecture, state: Mapping[str, Tensor]) -> bool:
    """Returns whether the names may be our network's; all networks of the registry's families end in a `head`."""
    if row.task == "detection":
        return any(key.startswith("head.boxes.") for key in state)
    return row.family == "own" or any(key.startswith("head.") for key in state)


def identified(
    checkpoint: Checkpoint,
    row: Architecture,
    options: Mapping[str, Any],
    *,
    reading: Variant,
    weights: Weights | None,
) -> Identified | None:
    """Returns the architecture with the checkpoint's class and channel counts; None where it cannot have them."""
    notes = (*checkpoint.notes, *reading.notes)
    try:
        num_classes, in_channels = _counts(checkpoint, row, options, reading.state)
        found = Identified(row, dict(options), num_classes, in_channels, {}, weights, checkpoint.record, notes)
        outline = outline_of(checkpoint, found)
    except UsageError:
        if options:
            raise
        return None
    return dataclasses.replace(found, state=with_counters(in_our_shapes(reading.state, outline), outline))


def outline_of(checkpoint: Checkpoint, found: Identified) -> dict[str, Tensor]:
    """Returns the identified network's state dict without memory; a network of a thousand layers is built only once."""
    row, options = found.architecture, found.options
    key = repr((row.name, found.num_classes, found.in_channels, sorted(options.items())))
    if key not in checkpoint.outlines:
        with at_most(most_modules(checkpoint)):
            network = without_memory(row, num_classes=found.num_classes, in_channels=found.in_channels, **options)
        checkpoint.outlines[key] = network.state_dict()
    return checkpoint.outlines[key]


def _counts(
    checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[int, int]:
    """Returns classes and channels: each as our own checkpoint says it, else as its last or first layer has it."""
    said = checkpoint.record.architecture if checkpoint.record else None
    num_classes, in_channels = (said.num_classes, said.in_channels) if said and said.name == row.name else (None, None)
    if num_classes is not None and in_channels is not None:
        return num_classes, in_channels
    outline = outline_of(checkpoint, Identified(row, dict(options), row.num_classes, row.in_channels, {}))
    own = [key for key in outline if not key.startswith(f"{AUXILIARY}.")]
    first = next((key for key in own if outline[key].ndim == 4), None)
    last = next((key for key in reversed(own) if outline[key].ndim in (2, 4)), None)
    stem, head = state.get(first or ""), state.get(last or "")
    found_classes = head.shape[0] if head is not None and head.ndim in (2, 4) else row.num_classes
    if row.task == "detection":  # a detector's last layer has the classes of each anchor
        found_classes //= outline[last or ""].shape[0] // row.num_classes
    found_channels = stem.shape[1] if stem is not None and stem.ndim == 4 else row.in_channels
    return (
        found_classes if num_classes is None else num_classes,
        found_channels if in_channels is None else in_channels,
    )
