"""The network that a checkpoint is of: by what it says, by the name the user gives, or by its keys and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.errors import UsageError
from convatlas.weights.checkpoint import Checkpoint
from convatlas.weights.declared import options_said, said
from convatlas.weights.fitting import OWN_LAYOUT, Identified, fitting, known_layouts, of_similar_size
from convatlas.weights.nearest import no_fit

MOST_TENSORS = 10_000  # of a checkpoint that does not name its network; the largest network here has 7,220


def identify(
    checkpoint: Checkpoint, *, arch: str | None = None, options: Mapping[str, Any] | None = None
) -> Identified:
    """Returns the network of the checkpoint: `arch` with `options`, else the one it names, else the one that fits.

    Raises `UsageError` where the keys or shapes differ, with the differences (- missing, + unknown, ! another shape)
    and the network that is nearest by its keys, where several networks fit, and where a tensor holds NaN or infinity.
    """
    named, plain = said(checkpoint)
    if not arch and _is_own(checkpoint):  # a checkpoint may come from anywhere: to read it must not run a file
        raise UsageError(f"{checkpoint.label} is of somebody's own network; name it with --arch path/to/file.py:NAME")
    name = arch or named
    if not name and len(checkpoint.state) > MOST_TENSORS:
        raise UsageError(f"{checkpoint.label} has {len(checkpoint.state):,} tensors; name its network with --arch")
    rows = [_row(checkpoint, name, arch=arch)] if name else of_similar_size(checkpoint)
    chosen = dict(options or {})
    if name and rows[0].name == named:
        chosen = {**options_said(checkpoint, plain, rows[0]), **chosen}
    fits = [fit for row in rows for fit in fitting(checkpoint, row, chosen, layouts=known_layouts(row))]
    if not fits:  # our own names last: a table is refused at a glance, but these only when the network is built
        fits = [fit for row in rows for fit in fitting(checkpoint, row, chosen, layouts=OWN_LAYOUT)]
    if not fits:
        _check_finite(checkpoint, checkpoint.state)
        raise UsageError(no_fit(checkpoint, rows[0] if name else None, chosen))
    found = _the_one(checkpoint, fits)
    _check_finite(checkpoint, found.state)
    return found


def _row(checkpoint: Checkpoint, name: str, *, arch: str | None) -> Architecture:
    """Returns the architecture of this name. Raises `UsageError` that names the checkpoint where it says the name."""
    if arch or name in list_architectures():
        return architecture(name)
    raise UsageError(
        f"{checkpoint.label} is of the architecture {name[:60]!r}, which is none here; name one with --arch"
    )


def _check_finite(checkpoint: Checkpoint, state: Mapping[str, Any]) -> None:
    """Raises `UsageError` for a tensor with a value that is no number."""
    for key, tensor in state.items():
        if tensor.is_floating_point() and not _is_finite(tensor.float()):
            raise UsageError(f"{checkpoint.label}: the tensor {key} holds NaN or infinity; the training had diverged")


def _is_finite(values: Tensor) -> bool:
    """Returns whether all values are finite: their sum is finite only then, and is found many times faster."""
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def _is_own(checkpoint: Checkpoint) -> bool:
    """Returns whether our checkpoint names a file, in whichever place, instead of a registered architecture."""
    if checkpoint.record is None:
        return False
    described = checkpoint.record.architecture
    return bool(described.reference) or not described.name.isidentifier()


def _the_one(checkpoint: Checkpoint, fits: list[Identified]) -> Identified:
    """Returns the only fit; of several the one whose published file this is, else the one network that all mean."""
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
