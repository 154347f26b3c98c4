"""The reason why a checkpoint fits no architecture, and the architecture that is nearest to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from convatlas.architecture import Architecture
from convatlas.errors import UsageError
from convatlas.weights.checkpoint import Checkpoint, Variant
from convatlas.weights.fitting import (
    OWN_LAYOUT,
    Identified,
    identified,
    known_layouts,
    may_be_ours,
    of_similar_size,
    outline_of,
    size_of,
)
from convatlas.weights.keys import differences, in_our_shapes, shown, translate_what_matches, with_counters

ALIKE = 0.5  # the part of all keys that two networks share, from which on one is named as the nearest of the other
MOST_TENSORS = 2000  # of a checkpoint whose nearest network is looked for; most networks have a few hundred
Found = tuple[list[str], float]  # differences, and the part of all keys that is shared


def no_fit(checkpoint: Checkpoint, row: Architecture | None, options: Mapping[str, Any]) -> str:
    """Returns the reason why nothing fits, in one line."""
    nearest, alike = _nearest(checkpoint, without=row)
    left_out = "".join(f"; {note}" for note in checkpoint.notes)
    if row is None:
        if nearest is None:
            keys = ", ".join(key[:60] for key in list(checkpoint.variants[-1].state)[:3])
            return (
                f"{checkpoint.label} fits no architecture that we know; its keys are {keys} ...; "
                f"name it with --arch{left_out}"
            )
        lines = _closest(checkpoint, nearest, {})[0]
        return f"{checkpoint.label} fits no architecture; the nearest is {nearest.name}: {shown(lines)}{left_out}"
    lines, own_share = _closest(checkpoint, row, options)
    hint = f"; the nearest by its keys is {nearest.name}" if nearest is not None and alike > own_share else ""
    return f"{checkpoint.label} is of another network than {row.name}: {shown(lines)}{hint}{left_out}"


def _nearest(checkpoint: Checkpoint, *, without: Architecture | None) -> tuple[Architecture | None, float]:
    """Returns the architecture of which most keys and shapes are the checkpoint's, and the part of all that is shared.

    Those of its size come first: of the others, most can then be left out unbuilt.
    """
    size = max(1, size_of(checkpoint))
    rows = sorted(of_similar_size(checkpoint), key=lambda row: abs(math.log(size / (row.params or size))))
    nearest, alike = None, ALIKE
    for row in rows if len(checkpoint.state) <= MOST_TENSORS else ():
        if without is None or row.name != without.name:
            share = _shared_at_least(checkpoint, row, least=alike)
            if share > alike:
                nearest, alike = row, share
    return nearest, alike


def _shared_at_least(checkpoint: Checkpoint, row: Architecture, *, least: float) -> float:
    """Returns the part of all keys that the checkpoint shares with the architecture of its own classes and channels.

    A layout of which the keys alone tell that no more than the part `least` can be shared is left out unbuilt.
    """
    best = 0.0
    for _, table in OWN_LAYOUT + known_layouts(row):
        for variant in checkpoint.variants[-3:]:  # with the fewest of the words that wrappers add
            state, unmatched = _translated(variant, table)
            if len(state) <= least * (len(state) + len(unmatched)) or (
                table is None and not may_be_ours(row, variant.state)
            ):
                continue
            try:
                outline = outline_of(checkpoint, Identified(row, {}, row.num_classes, row.in_channels, {}))
            except UsageError:
                return 0.0
            fitted = with_counters(in_our_shapes(state, outline), outline)
            best = max(best, _share(outline, fitted, len(unmatched)))
    return best


def _closest(checkpoint: Checkpoint, row: Architecture, options: Mapping[str, Any]) -> Found:
    """Returns the differences to the architecture in the layout that has fewest, and the part of all keys shared."""
    best: Found = ([f"- {row.name} (cannot be built so)"], -1.0)
    for weights, table in OWN_LAYOUT + known_layouts(row):
        for variant in checkpoint.variants:
            state, unmatched = _translated(variant, table)
            fit = identified(checkpoint, row, options, reading=Variant(state), weights=weights)
            if fit is None:
                continue
            outline = outline_of(checkpoint, fit)
            share = _share(outline, fit.state, len(unmatched))
            if share > best[1]:
                best = differences(outline, fit.state) + [f"+ {key} (unknown)" for key in unmatched], share
    return best


def _translated(variant: Variant, table: Any) -> tuple[dict[str, Any], list[str]]:
    return (variant.state, []) if table is None else translate_what_matches(variant.state, table)


def _share(outline: Mapping[str, Any], state: Mapping[str, Any], unmatched: int) -> float:
    shared: int = sum(key in state and state[key].shape == tensor.shape for key, tensor in outline.items())
    return shared / (len(outline) + len(state) + unmatched - shared)
