"""The tensors of a network in a checkpoint, wherever they lie in it, and the facts that it says of the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.errors import UsageError, printable
from convatlas.run import CheckpointRecord, read_checkpoint_record
from convatlas.unpickling import LeftOut
from convatlas.weights.files import METADATA, file_sha256, read_file, unsafe
from convatlas.weights.state_dict import Found, NoTensorsError, find_state, shown_key
from convatlas.weights.wrappers import COUNTERS, State, inner_network, is_dense, spellings, without_side_entries

MOST_SAID = 200_000  # values in what a checkpoint says of itself; a record of 21,000 classes has 21,100
LONGEST_SAID = 10_000  # characters of a text in it


@dataclass(frozen=True)
class Variant:
    """One reading of a checkpoint's names; `notes` say which of its entries this reading takes and leaves out."""

    state: State
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a network and the facts that the checkpoint says of it.

    `variants` are the tensors with fewer and fewer of the words that wrappers add to their names. `record` is the entry
    of our own checkpoints, `hyperparameters` that of Lightning's. `label` names the checkpoint in messages. `notes` say
    which entries were left out.
    """

    label: str
    variants: tuple[Variant, ...]
    record: CheckpointRecord | None = None
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None
    notes: tuple[str, ...] = ()
    outlines: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)  # compared so far

    @property
    def state(self) -> State:
        """The tensors by the names that they have in the checkpoint."""
        return self.variants[0].state

    def sha256(self) -> str:
        """Returns the hash of the file; nothing for a checkpoint that is in memory only."""
        return "" if self.path is None else file_sha256(self.path)


def open_checkpoint(path: Path) -> Checkpoint:
    """Returns the checkpoint in a file. Raises `UsageError` as `read_file` and `checkpoint_of` do."""
    opened = read_file(path)
    try:
        checkpoint = checkpoint_of(opened.content, label=str(path), path=path)
    except NoTensorsError as error:
        if opened.left_out:
            raise unsafe(path, opened.left_out[0][1]) from error
        raise
    if opened.left_out:
        named = [f"{shown_key(place)} ({shown_key(name)})" for place, name in opened.left_out]
        note = f"left out, as only code of their own could read them: {_some(named)}"
        return replace(checkpoint, notes=(*checkpoint.notes, note))
    return checkpoint


def checkpoint_of(content: Mapping[str, Any], *, label: str = "the state dict", path: Path | None = None) -> Checkpoint:
    """Returns a checkpoint's content, or a plain state dict, as a `Checkpoint`.

    The tensors lie in it as they are, or below a name such as `state_dict` or `model`. Where it holds moving averages
    of the weights too, these are taken, and a note says so. Raises `UsageError` for another content.

    >>> import torch
    >>> checkpoint = checkpoint_of({"state_dict": {"module.fc.bias": torch.zeros(1)}, "best_prec1": 91.7})
    >>> [list(variant.state) for variant in checkpoint.variants]
    [['module.fc.bias'], ['fc.bias']]
    """
    entry, hyperparameters = content.get(METADATA), content.get("hyper_parameters")
    if entry is not None and not (isinstance(entry, Mapping) and is_small(entry)):
        raise UsageError(f"{label}: its entry {METADATA!r} cannot be read")
    record = None if entry is None else read_checkpoint_record(entry, label=label)
    found = _evaluated(content, record) or find_state(content, label=label)
    variants: list[Variant] = []
    for state, notes in zip(found.states, found.notes, strict=True):
        for variant in _readings(state, notes):
            variants = [other for other in variants if other.state.keys() != variant.state.keys()]
            variants.append(variant)  # of the same names the later reading says more
    said = hyperparameters if isinstance(hyperparameters, Mapping) else {}
    return Checkpoint(
        label=label,
        variants=tuple(variants),
        record=record,
        hyperparameters={name: value for name, value in said.items() if is_small(value)},
        path=path,
        notes=_left_out("are no tensors of real numbers", found.strange),
    )


def _evaluated(content: Mapping[str, Any], record: CheckpointRecord | None) -> Found | None:
    """Returns the network that our own checkpoint says is evaluated, of the networks that it holds."""
    state = content.get("state_dict")
    if record is None or not record.evaluated or not isinstance(state, Mapping):
        return None
    prefix = record.evaluated
    chosen = {key.removeprefix(prefix): value for key, value in state.items() if str(key).startswith(prefix)}
    if not chosen or not all(is_dense(value) for value in chosen.values()):
        return None
    kind = "averaged" if prefix.endswith(".module.") else "evaluated"
    note = f"of the two networks in it the {kind} one ({printable(prefix)}*) is taken"
    return Found((chosen,), ((note,) if len(chosen) < len(state) else (),), ())


def _readings(state: State, notes: tuple[str, ...]) -> Iterator[Variant]:
    """Yields the tensors under the names that they may have without wrappers, with and without entries beside them."""
    clean, sides = without_side_entries(state)
    readings = [(state, notes)]
    if sides and clean:
        told = [key for key in sides if key.rpartition(".")[2] not in COUNTERS]
        readings.append((clean, (*notes, *_left_out("are no weights", told))))
    for reading, said in readings:
        yield from (Variant(spelling, said) for spelling in spellings(reading))
        inner = inner_network(reading)
        if inner is not None:
            beside = (*said, *_left_out("lie beside the network", inner[1]))
            yield from (Variant(spelling, beside) for spelling in spellings(inner[0]))


def _left_out(reason: str, names: Sequence[str]) -> tuple[str, ...]:
    """Returns the note of entries that are left out, where there are any."""
    return (f"left out, as they {reason}: {_some(names)}",) if names else ()


def _some(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are.

    >>> _some(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def is_small(value: object) -> bool:
    """Returns whether plain data, written out, is of a bearable size: in a pickle, lists may lie in themselves."""
    waiting, count = [value], 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, LeftOut) or (isinstance(value, str | bytes) and len(value) > LONGEST_SAID):
            return False
        inner = [*value, *value.values()] if isinstance(value, Mapping) else value
        if isinstance(inner, list | tuple | set | frozenset):
            if count + len(waiting) + len(inner) > MOST_SAID:
                return False
            waiting += inner
    return True
