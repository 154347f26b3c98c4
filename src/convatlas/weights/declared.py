"""The options that a checkpoint says its network was built with, checked before the network is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas import values
from convatlas.architecture import Architecture
from convatlas.architectures.meta import at_most, without_memory
from convatlas.errors import UsageError
from convatlas.weights.checkpoint import Checkpoint
from convatlas.weights.tutorial import architecture_and_options

LONGEST = 300  # characters of a message about options that may come from anywhere
MODULES, FEWEST = 10, 1000  # modules for each tensor of a file, and of any network at least


def said(checkpoint: Checkpoint) -> tuple[str | None, dict[str, Any]]:
    """Returns the name of the architecture that the checkpoint gives, and its options as plain data.

    Raises `UsageError` where it says more classes or channels than it has values.
    """
    if checkpoint.record is not None:
        described = checkpoint.record.architecture
        values_there = sum(tensor.numel() for tensor in checkpoint.state.values())
        for count, things in ((described.num_classes, "classes"), (described.in_channels, "channels")):
            if count is not None and count > values_there:
                raise UsageError(f"{checkpoint.label}: it says {count:,} {things}, and has {values_there:,} values")
        return described.name, dict(described.options)
    return architecture_and_options(checkpoint.hyperparameters)


def most_modules(checkpoint: Checkpoint) -> int:
    """Returns the number of modules that the network of a checkpoint may have; half of them hold no tensors."""
    return FEWEST + MODULES * len(checkpoint.state)


def options_said(checkpoint: Checkpoint, plain: Mapping[str, Any], row: Architecture) -> dict[str, Any]:
    """Returns options from plain data as the builder has them, without those that are its defaults.

    Raises `UsageError` that names the file where no network can have them, or none of as few tensors as the file has.
    """
    origin = f"the {'hyperparameters' if checkpoint.record is None else 'options'} of {checkpoint.label}"
    hints, defaults = row.option_types(), row.options()
    typed = {name: values.from_plain(value, hints.get(name)) for name, value in plain.items()}
    depths, tensors = typed.get("depths"), len(checkpoint.state)
    if isinstance(depths, tuple) and sum(depth for depth in depths if isinstance(depth, int)) > tensors:
        raise UsageError(f"{origin}: they ask for more blocks than the file has tensors, {tensors}")
    changed = {name: value for name, value in typed.items() if name not in defaults or value != defaults[name]}
    if changed:
        try:
            with at_most(most_modules(checkpoint)):
                without_memory(row, num_classes=row.num_classes, in_channels=row.in_channels, **changed)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # options may come from anywhere
            own = isinstance(error, UsageError) and error.__cause__ is None
            reason = str(error) if own else f"{row.name} cannot be built with them"
            raise UsageError(f"{origin}: {reason[:LONGEST]}") from error
    return changed
