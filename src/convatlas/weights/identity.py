"""Which network a checkpoint is of: by what it says, by the name the user gives, or by its keys and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from convatlas import values
from convatlas.architecture import Architecture, KeyTables, Weights
from convatlas.architectures import architecture, list_architectures
from convatlas.errors import UsageError
from convatlas.layers.auxiliary import AUXILIARY
from convatlas.run import CheckpointRecord
from convatlas.weights.checkpoint import Checkpoint
from convatlas.weights.keys import (
    differences,
    in_our_shapes,
    load_strictly,
    shown,
    translate_keys,
    translate_what_matches,
    with_counters,
)
from convatlas.weights.tutorial import architecture_and_options

ALIKE = 0.5  # the part of all keys that two networks share, from which on one is named as the nearest of the other
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
        """The network with the checkpoint's weights, in eval mode on the CPU."""
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
        prefixes = tuple(f"{part}." for part in fresh)
        return {
            key: tensor
            for key, tensor in self.state.items()
            if outline[key].shape == tensor.shape and not f"{key}.".startswith(prefixes)
        }


def identify(
    checkpoint: Checkpoint, *, arch: str | None = None, options: Mapping[str, Any] | None = None
) -> Identified:
    """The network that the checkpoint is of: `arch` with `options`, else what it says itself, else the one that fits.

    Raises `UsageError` where the keys or shapes differ, with the differences (- missing, + unknown, ! another shape)
    and the network that is nearest by its keys, and where several networks fit.
    """
    said, plain = _said(checkpoint)
    if not arch and _is_own(checkpoint):  # a checkpoint may come from anywhere: to read it must not run a file
        raise UsageError(f"{checkpoint.label} is of somebody's own network; name it with --arch path/to/file.py:NAME")
    name = arch or said
    rows = [architecture(name)] if name else _of_similar_size(checkpoint)
    chosen = dict(options or {})
    if name and rows[0].name == said:
        chosen = {**_typed(checkpoint, plain, rows[0]), **chosen}
    fits = [fit for row in rows for fit in _fits(checkpoint, row, chosen, layouts=_known_layouts(row))]
    if not fits:  # our own names last: a table is refused at a glance, but these only when the network is built
        fits = [fit for row in rows for fit in _fits(checkpoint, row, chosen, layouts=OWN_LAYOUT)]
    if not fits:
        raise UsageError(_no_fit(checkpoint, rows[0] if name else None, chosen))
    return _the_one(checkpoint, fits)


def _said(checkpoint: Checkpoint) -> tuple[str | None, dict[str, Any]]:
    """The name of the architecture that the checkpoint gives, and its options as plain data."""
    if checkpoint.record is not None:
        described = checkpoint.record.architecture
        return described.name, dict(described.options)
    return architecture_and_options(checkpoint.hyperparameters or {})


def _is_own(checkpoint: Checkpoint) -> bool:
    """Whether our checkpoint names a file, in whichever place, instead of a registered architecture."""
    if checkpoint.record is None:
        return False
    described = checkpoint.record.architecture
    return bool(described.reference) or not described.name.isidentifier()


def _typed(checkpoint: Checkpoint, plain: Mapping[str, Any], row: Architecture) -> dict[str, Any]:
    """Options from plain data as the builder has them, without those that are its defaults.

    Raises `UsageError` that names the file where no network can have them; more blocks than the file has tensors are
    refused before any is built.
    """
    origin = f"the {'hyperparameters' if checkpoint.record is None else 'options'} of {checkpoint.label}"
    hints, defaults = row.option_types(), row.options()
    typed = {name: values.from_plain(value, hints.get(name)) for name, value in plain.items()}
    depths, tensors = typed.get("depths"), len(checkpoint.variants[0])
    if isinstance(depths, tuple) and sum(depth for depth in depths if isinstance(depth, int)) > tensors:
        raise UsageError(f"{origin}: they ask for more blocks than the file has tensors, {tensors}")
    changed = {name: value for name, value in typed.items() if name not in defaults or value != defaults[name]}
    if changed:
        try:
            with torch.device("meta"):
                row.build(num_classes=row.num_classes, in_channels=row.in_channels, **changed)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # options may come from anywhere
            raise UsageError(f"{origin}: {error}") from error
    return changed


def _known_layouts(row: Architecture) -> tuple[Layout, ...]:
    return (*((weights, weights.keys) for weights in row.weights), *((None, table) for table in row.layouts.values()))


def _fits(
    checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any], *, layouts: tuple[Layout, ...]
) -> list[Identified]:
    """The ways in which the checkpoint fits the architecture without any difference."""
    found = []
    for weights, table in layouts:
        for variant in reversed(checkpoint.variants):
            if table is None and not _may_be_ours(row, variant):
                continue
            try:
                state = variant if table is None else translate_keys(variant, table)
            except UsageError:
                continue
            fit = _identified(checkpoint, row, options, state=state, weights=weights)
            if fit is not None and not differences(_outline(checkpoint, fit), fit.state):
                found.append(fit)
                break
    return found


def _of_similar_size(checkpoint: Checkpoint) -> list[Architecture]:
    """The rows that may be meant, without building the others: of a size within a factor of ten.

    The largest matrix does not count, as it may be a head for many more classes than the row's own.
    """
    tensors = checkpoint.variants[0].values()
    size = sum(tensor.numel() for tensor in tensors) - max((t.numel() for t in tensors if t.ndim == 2), default=0)
    rows = [architecture(name) for name in list_architectures()]
    return [row for row in rows if row.params is None or row.params / 10 <= size <= row.params * 10]


def _may_be_ours(row: Architecture, state: Mapping[str, Tensor]) -> bool:
    """Whether the names may be those of our network; all networks of the registry's families end in a `head`."""
    return row.family == "own" or any(key.startswith("head.") for key in state)


def _identified(
    checkpoint: Checkpoint,
    row: Architecture,
    options: Mapping[str, Any],
    *,
    state: dict[str, Tensor],
    weights: Weights | None,
) -> Identified | None:
    """The architecture with the checkpoint's class and channel counts; None where it cannot have them."""
    try:
        num_classes, in_channels = _counts(checkpoint, row, options, state)
    except UsageError:
        if options:
            raise
        return None
    identified = Identified(
        row, dict(options), num_classes, in_channels, state, weights, checkpoint.record, checkpoint.notes
    )
    try:
        outline = _outline(checkpoint, identified)
    except UsageError:
        if options:
            raise
        return None
    return dataclasses.replace(identified, state=with_counters(in_our_shapes(state, outline), outline))


def _outline(checkpoint: Checkpoint, identified: Identified) -> dict[str, Tensor]:
    """The state dict of the identified network without memory; a network of a thousand layers is built only once."""
    row, options = identified.architecture, identified.options
    key = repr((row.name, identified.num_classes, identified.in_channels, sorted(options.items())))
    if key not in checkpoint.outlines:
        with torch.device("meta"):
            network = row.build(num_classes=identified.num_classes, in_channels=identified.in_channels, **options)
        checkpoint.outlines[key] = network.state_dict()
    return checkpoint.outlines[key]


def _counts(
    checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any], state: Mapping[str, Tensor]
) -> tuple[int, int]:
    """Classes and channels: as our own checkpoint says, else as its first and last layer have them."""
    said = checkpoint.record.architecture if checkpoint.record else None
    if said and said.name == row.name and said.num_classes is not None and said.in_channels is not None:
        return said.num_classes, said.in_channels
    outline = _outline(checkpoint, Identified(row, dict(options), row.num_classes, row.in_channels, {}))
    own = [key for key in outline if not key.startswith(f"{AUXILIARY}.")]
    first = next((key for key in own if outline[key].ndim == 4), None)
    last = next((key for key in reversed(own) if outline[key].ndim in (2, 4)), None)
    stem, head = state.get(first or ""), state.get(last or "")
    return (
        head.shape[0] if head is not None and head.ndim in (2, 4) else row.num_classes,
        stem.shape[1] if stem is not None and stem.ndim == 4 else row.in_channels,
    )


def _the_one(checkpoint: Checkpoint, fits: list[Identified]) -> Identified:
    """The only fit; of several the one whose published file this is, else the one network that they all mean."""
    if len(fits) > 1:
        sha256 = checkpoint.sha256()
        known = [fit for fit in fits if sha256 and fit.weights and sha256.startswith(fit.weights.sha256)]
        fits = known[:1] or fits
    names = sorted({fit.architecture.name for fit in fits})
    if len(names) > 1:
        raise UsageError(f"{checkpoint.label} fits {', '.join(names)} alike; say which it is with --arch")
    normalisations = {(fit.weights.mean, fit.weights.std) for fit in fits if fit.weights}
    # Several published weights share their keys: which normalisation this file was trained with is not known.
    return dataclasses.replace(fits[0], weights=None) if len(normalisations) > 1 else fits[0]


def _no_fit(checkpoint: Checkpoint, row: Architecture | None, options: Mapping[str, Any]) -> str:
    """Why nothing fits, in one line."""
    nearest, alike, found = None, 0.0, []
    for other in _of_similar_size(checkpoint):
        least = max(alike, ALIKE)
        lines, share = _closest(checkpoint, other, {}, above=least)
        if share > least and (row is None or other.name != row.name):
            nearest, alike, found = other, share, lines
    if row is None:
        if nearest is None:
            keys = ", ".join(list(checkpoint.variants[-1])[:3])
            return f"{checkpoint.label} fits no architecture that we know; its keys are {keys} ...; name it with --arch"
        return f"{checkpoint.label} fits no architecture; the nearest is {nearest.name}: {shown(found)}"
    own, own_share = _closest(checkpoint, row, options, above=-1.0)
    better = nearest is not None and alike > own_share
    hint = f"; the nearest by its keys is {nearest.name}" if better and nearest is not None else ""
    return f"{checkpoint.label} is of another network than {row.name}: {shown(own)}{hint}"


def _closest(
    checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any], *, above: float
) -> tuple[list[str], float]:
    """The differences to the architecture in the layout that has the fewest, and the part of all keys shared.

    A layout of which the keys alone tell that no more than the part `above` can be shared is left out unbuilt.
    """
    best: tuple[list[str], float] = ([f"- {row.name} (cannot be built so)"], -1.0)
    for weights, table in OWN_LAYOUT + _known_layouts(row):
        for variant in checkpoint.variants:
            state, unmatched = (variant, []) if table is None else translate_what_matches(variant, table)
            possible = len(state) / (len(state) + len(unmatched))
            if possible <= above or (above >= 0 and table is None and not _may_be_ours(row, variant)):
                continue
            fit = _identified(checkpoint, row, options, state=state, weights=weights)
            if fit is None:
                continue
            outline = _outline(checkpoint, fit)
            lines = differences(outline, fit.state) + [f"+ {key} (unknown)" for key in unmatched]
            shared = sum(key in fit.state and fit.state[key].shape == outline[key].shape for key in outline)
            share = shared / (len(outline) + len(fit.state) + len(unmatched) - shared)
            if share > best[1]:
                best = lines, share
    return best
