"""Names of tensors without the words that wrappers of a network add, and entries that are no weights of any network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import torch
from torch import Tensor

# Words of wrappers alone: parallel and sharded modules, compilers, checkpointed activations, averaged models.
PURE = frozenset(
    ("module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_wrapped_module")
)
HOLDERS = ("model", "network", "net")  # of modules that hold the network; a network may have such parts itself
WORDS = PURE | set(HOLDERS)
AVERAGED = frozenset(("ema", "swa", "averaged", "average", "avg", "shadow", "polyak", "moving"))
# Entries of profilers (thop), averaged models and hooks. A network that has an entry of this name keeps it.
SIDE_ENTRIES = frozenset(("total_ops", "total_params", "n_averaged", "num_updates", "decay", "flops", "macs"))
COUNTERS = ("n_averaged", "num_updates")  # of averaged models; nobody misses them
SIDE_WORDS = frozenset(("hook", "hooks", "activation", "activations", "gradient", "gradients", "profiler", "observer"))
COUNTER = "num_batches_tracked"
MOST_SPELLINGS = 24
LONGEST_NAME = 300  # characters

State = dict[str, Tensor]


def words_of(name: str) -> set[str]:
    """Returns the words of a name in small letters.

    >>> sorted(words_of("modelEMA_state_dict"))
    ['dict', 'ema', 'model', 'state']
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name[:LONGEST_NAME])}


def is_averaged(name: str) -> bool:
    """Returns whether a name is one of averaged weights, as `ema`, `state_dict_ema` and `swa_model` are."""
    return bool(words_of(name) & AVERAGED)


def is_side_entry(key: str, tensor: Tensor) -> bool:
    """Returns whether an entry of a state dict is no weight of any network: a count, or what a profiler or hook left.

    >>> is_side_entry("layer1.total_ops", torch.zeros(1)), is_side_entry("fc.weight", torch.zeros(3, 2))
    (True, False)
    """
    last = key.rpartition(".")[2]
    if last in SIDE_ENTRIES or words_of(last) & SIDE_WORDS:
        return True
    return last != COUNTER and tensor.numel() <= 1 and not (tensor.is_floating_point() or tensor.is_complex())


def without_side_entries(state: Mapping[str, Tensor]) -> tuple[State, list[str]]:
    """Returns the state without its side entries, and their names."""
    sides = [key for key, tensor in state.items() if is_side_entry(key, tensor)]
    left = set(sides)
    return {key: tensor for key, tensor in state.items() if key not in left}, sides


def bare(key: str) -> str:
    """Returns the name without any wrapper's word.

    >>> bare("module.features.module.0.weight")
    'features.0.weight'
    """
    return ".".join(part for part in key.split(".") if part not in WORDS)


def averaged_part(key: str) -> tuple[str, str] | None:
    """Returns the beginning of a name that says that the tensor is an average, and the rest; None for other names.

    >>> averaged_part("module.ema_model.module.fc.bias")
    ('module.ema_model.', 'module.fc.bias')
    """
    parts = key.split(".")
    place = next((index for index, part in enumerate(parts[:-1]) if part not in PURE), None)
    if place is None or not is_averaged(parts[place]):
        return None
    return ".".join(parts[: place + 1]) + ".", ".".join(parts[place + 1 :])


def spellings(state: State) -> list[State]:
    """Returns the state with the names as they are, and with fewer and fewer of the words of wrappers in them.

    Words of wrappers alone are taken away wherever they stand; those that a network may have itself in front, and, in
    each combination, everywhere. So is a first part that all names share.
    """
    found: list[State] = []
    for words in ((), PURE, *_combinations(state)):
        spelling: State | None = _without(state, words)
        while spelling is not None and len(found) < MOST_SPELLINGS:
            if not any(spelling.keys() == other.keys() for other in found):
                found.append(spelling)
            spelling = _without_shared_part(spelling)
    return found


def _combinations(state: Iterable[str]) -> Iterator[frozenset[str]]:
    """Yields the words for wrappers alone with each combination of those holders' words that occur in a name."""
    present = [word for word in HOLDERS if any(f".{word}." in key or key.startswith(f"{word}.") for key in state)]
    for count in range(1, len(present) + 1):
        for words in combinations(present, count):
            yield PURE | frozenset(words)


def _without(state: State, words: Iterable[str]) -> State | None:
    """Returns the state without these words in its names; None where two names become one."""
    if not words:
        return state
    renamed = {".".join(p for p in key.split(".") if p not in words): tensor for key, tensor in state.items()}
    return renamed if len(renamed) == len(state) and "" not in renamed else None


def _without_shared_part(state: State) -> State | None:
    """Returns the state without the first part of its names where all share it: a known one, or one of several."""
    first = next(iter(state), "").partition(".")[0]
    shared = f"{first}."
    if not all(key.startswith(shared) for key in state):
        return None
    if first not in WORDS and not all("." in key.removeprefix(shared) for key in state):
        return None
    return {key.removeprefix(shared): tensor for key, tensor in state.items()}


def inner_network(state: State) -> tuple[State, list[str]] | None:
    """Returns the tensors under one holder's word where most lie there, and the names of the others, such as a loss's.

    None where all or too few lie under one.
    """
    for word in (*HOLDERS, *PURE):
        inner = {key.removeprefix(f"{word}."): t for key, t in state.items() if key.startswith(f"{word}.")}
        if len(state) > len(inner) > len(state) / 2:
            return inner, [key for key in state if not key.startswith(f"{word}.")]
    return None


def is_name(key: object) -> bool:
    """Returns whether a key may be the name of a tensor: printable text of a bearable length."""
    return isinstance(key, str) and key.isprintable() and 0 < len(key) <= LONGEST_NAME


def is_dense(value: object) -> bool:
    """Returns whether a value is a tensor of real numbers that are there, neither sparse nor quantized."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_complex()
        and value.device.type != "meta"
    )
