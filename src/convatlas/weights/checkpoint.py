"""What a checkpoint holds: the network's tensors, wherever they lie in it, and what it says of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convatlas.errors import UsageError
from convatlas.run import CheckpointRecord, read_checkpoint_record
from convatlas.weights.files import METADATA, file_sha256, read_checkpoint

NESTED = ("state_dict", "model_state_dict", "model", "net")  # where people put the network's tensors
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")  # and the moving averages of them (EMA)
PREFIXES = ("module.", "model.", "network.", "net.", "_forward_module.")  # of modules that hold the network
AVERAGED_PREFIXES = ("ema_model.", "model_ema.", "ema_network.", "averaged_model.", "ema.")
COMPILED = "_orig_mod."  # torch.compile's, wherever a compiled part begins
COUNTERS = ("n_averaged", "num_updates")  # of the averaged models of torch and others, beside the network


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a network and what the checkpoint says of it.

    `variants` are the tensors with 0, 1, 2 ... of the prefixes removed that all their keys share. `record` is what our
    own checkpoints say, `hyperparameters` what Lightning ones do. `label` names it in messages.
    `notes` say what was chosen where the checkpoint holds more than one network.
    """

    label: str
    variants: tuple[dict[str, Tensor], ...]
    record: CheckpointRecord | None = None
    hyperparameters: Mapping[str, Any] | None = None
    path: Path | None = None
    notes: tuple[str, ...] = ()
    outlines: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)  # compared so far

    def sha256(self) -> str:
        """The hash of the file; nothing for a checkpoint that is in memory only."""
        return "" if self.path is None else file_sha256(self.path)


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file. Raises `UsageError` as `read_checkpoint` and `checkpoint_of` do."""
    return checkpoint_of(read_checkpoint(path), label=str(path), path=path)


def checkpoint_of(content: Mapping[str, Any], *, label: str = "the state dict", path: Path | None = None) -> Checkpoint:
    """A checkpoint's content, or a plain state dict, as a `Checkpoint`.

    Known are Lightning's, a state dict under `state_dict`, `model_state_dict`, `model` or `net`, and a bare one; of a
    checkpoint that holds a moving average of the weights too, the average counts, and a note says so. Raises
    `UsageError` for another content, and for a tensor that holds NaN or infinity.

    >>> checkpoint = checkpoint_of({"state_dict": {"module.fc.bias": torch.zeros(1)}, "best_prec1": 91.7})
    >>> [list(variant) for variant in checkpoint.variants]
    [['module.fc.bias'], ['fc.bias']]
    """
    state, notes = _averaged(*_state(content, label))
    for key, tensor in state.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            raise UsageError(f"{label}: the tensor {key} is sparse, quantized or empty; dense ones are needed")
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            raise UsageError(f"{label}: the tensor {key} holds NaN or infinity; the training had diverged")
    entry, hyperparameters = content.get(METADATA), content.get("hyper_parameters")
    if entry is not None and not isinstance(entry, Mapping):
        raise UsageError(f"{label}: what it says of itself under {METADATA!r} cannot be read")
    return Checkpoint(
        label=label,
        variants=tuple(_variants(state)),
        record=None if entry is None else read_checkpoint_record(entry, label=label),
        hyperparameters=hyperparameters if isinstance(hyperparameters, Mapping) else None,
        path=path,
        notes=notes,
    )


def _averaged(state: dict[str, Tensor], notes: tuple[str, ...]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Of a module that holds the network and a moving average of it, the average; counters are left out."""
    state = {key: tensor for key, tensor in state.items() if key.rpartition(".")[2] not in COUNTERS}
    prefix = next((p for p in AVERAGED_PREFIXES if any(key.startswith(p) for key in state)), None)
    if prefix is None or all(key.startswith(prefix) for key in state):
        return {key.removeprefix(prefix or ""): tensor for key, tensor in state.items()}, notes
    note = f"of the two networks in it the averaged one ({prefix}*) is taken"
    return {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}, (*notes, note)


def _state(content: Mapping[str, Any], label: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The network's tensors by name, and a note where the checkpoint holds others too."""
    averaged = [name for name in AVERAGED if isinstance(content.get(name), Mapping)]
    nested = averaged + [name for name in NESTED if isinstance(content.get(name), Mapping)]
    state = content[nested[0]] if nested else content
    if not state:
        raise UsageError(f"{label} is a checkpoint of no known format: it holds no tensors")
    odd = next((key for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))), None)
    if odd is None:
        both = bool(averaged) and len(nested) > len(averaged)
        return dict(state), (f"the averaged weights are taken ({nested[0]}, not {nested[-1]})",) if both else ()
    if nested:
        raise UsageError(f"{label} is a checkpoint of no known format: {nested[0]}[{odd!r}] is no tensor")
    names = ", ".join(map(str, list(content)[:6]))
    raise UsageError(f"{label} is a checkpoint of no known format: it holds {names}, and none of {', '.join(NESTED)}")


def _variants(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """The state without compilers' prefixes, again with each part removed that all names begin with, and, where most of
    the names lie under one known prefix, those alone: beside the network a module may hold a loss with weights.
    """
    variants = [{key.replace(COMPILED, ""): tensor for key, tensor in state.items()}]
    while (shared := _shared(variants[-1])) is not None:
        variants.append({key.removeprefix(shared): tensor for key, tensor in variants[-1].items()})
    for prefix in PREFIXES:
        inner = {key.removeprefix(prefix): t for key, t in variants[0].items() if key.startswith(prefix)}
        if len(variants[0]) > len(inner) > len(variants[0]) / 2:
            variants += _variants(inner)
    return variants


def _shared(state: dict[str, Tensor]) -> str | None:
    """The first part of the names, with its dot, where it is the same in all: a known one, or one of several parts."""
    first = f"{next(iter(state), '').partition('.')[0]}."
    if not all(key.startswith(first) for key in state):
        return None
    return first if first in PREFIXES or all("." in key.removeprefix(first) for key in state) else None
