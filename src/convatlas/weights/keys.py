"""Names and shapes of tensors: theirs to ours by a table, and the strict load that allows no difference."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from convatlas.architecture import KeyTable, KeyTables
from convatlas.errors import UsageError

COUNTER = "num_batches_tracked"


def translate_keys(state: Mapping[str, Tensor], table: KeyTables) -> dict[str, Tensor]:
    """Translates published key names to ours; a tuple of tables is applied in turn.

    A row maps a dotted prefix of theirs to ours: `{}` is a number, `{-1}` and `{+1}` on our side that number shifted,
    `None` drops the key; the first row that matches wins. Raises `UsageError` for a key that no row matches, a row
    that matches no key, and two keys that become one.

    >>> import torch
    >>> translate_keys({"layer2.0.bn1.weight": torch.ones(1)}, {"layer{}.{}.bn{}": "stage{}.{}.norm{-1}"})
    {'stage2.0.norm0.weight': tensor([1.])}
    """
    tables = table if isinstance(table, tuple) else (table,)
    translated = dict(state)
    for single in tables:
        translated = _translate_once(translated, single)
    return translated


def _translate_once(state: Mapping[str, Tensor], table: KeyTable) -> dict[str, Tensor]:
    used: set[str] = set()
    result: dict[str, Tensor] = {}
    unmatched: list[str] = []
    for key, row, renamed in _renamed(state, table):
        if row is None:
            unmatched.append(key)
            continue
        used.add(row)
        if renamed is None:
            continue
        if renamed in result:
            raise UsageError(f"two checkpoint keys become {renamed!r}; one of them is {key!r}")
        result[renamed] = state[key]
    dead = [row for row in table if row not in used]
    if unmatched or dead:
        problems = [f"{len(unmatched)} keys are unknown, such as {unmatched[0]!r}"] if unmatched else []
        problems += [f"{len(dead)} expected ones are missing, such as {dead[0]!r}"] if dead else []
        raise UsageError(f"the checkpoint is of another network: {'; '.join(problems)}")
    return result


def translate_what_matches(state: Mapping[str, Tensor], table: KeyTables) -> tuple[dict[str, Tensor], list[str]]:
    """Translates the keys that the table knows, as `translate_keys` does, and returns the unknown keys beside them.

    >>> import torch
    >>> translate_what_matches({"a.weight": torch.ones(1), "b.weight": torch.ones(1)}, {"a": "x", "c": "y"})
    ({'x.weight': tensor([1.])}, ['b.weight'])
    """
    tables = table if isinstance(table, tuple) else (table,)
    names = {key: key for key in state}  # ours so far -> theirs
    unmatched: list[str] = []
    for single in tables:
        following = {}
        for key, row, renamed in _renamed(names, single):
            if row is None:
                unmatched.append(names[key])
            elif renamed is not None:
                following[renamed] = names[key]
        names = following
    return {ours: state[theirs] for ours, theirs in names.items()}, unmatched


def _renamed(keys: Iterable[str], table: KeyTable) -> Iterator[tuple[str, str | None, str | None]]:
    """Pairs each key with its first matching row and its new name: None for no row and for a dropped key."""
    patterns = _patterns(tuple(table.items()))
    for key in keys:
        for row, pattern, ours in patterns:
            match = pattern.match(key)
            if match:
                yield key, row, None if ours is None else _fill(ours, match.groups()) + key[match.end() :]
                break
        else:
            yield key, None, None


@functools.cache
def _patterns(rows: tuple[tuple[str, str | None], ...]) -> tuple[tuple[str, re.Pattern[str], str | None], ...]:
    """Returns the rows of a table with the pattern of their keys."""
    return tuple((row, re.compile(re.escape(row).replace(r"\{\}", r"(\d+)") + r"(?=\.|$)"), ours) for row, ours in rows)


def knows_all(table: KeyTables, keys: Iterable[str]) -> bool:
    """Returns whether a table has a row for each key; with most tables of other networks, the first key tells.

    >>> knows_all({"conv{}": "stem.conv{}"}, ["conv1.weight", "fc.bias"])
    False
    """
    first = table[0] if isinstance(table, tuple) else table
    return all(row is not None for _, row, _ in _renamed(keys, first))


def _fill(template: str, numbers: tuple[str, ...]) -> str:
    """Fills a pattern: `stage{}.{-1}` with ("2", "3") is `stage2.2`."""
    remaining = iter(numbers)
    return re.sub(r"\{([+-]\d+)?\}", lambda hole: str(int(next(remaining)) + int(hole[1] or 0)), template)


def in_our_shapes(state: Mapping[str, Tensor], outline: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reshapes whole-input convolutions to linear layers, and linear layers to 1x1 convolutions: the same numbers."""
    return {
        key: tensor.reshape(outline[key].shape)
        if key in outline and _same_layer(tensor.shape, outline[key].shape)
        else tensor
        for key, tensor in state.items()
    }


def _same_layer(theirs: torch.Size, ours: torch.Size) -> bool:
    dense, conv = sorted((theirs, ours), key=len)
    return len(dense) == 2 and len(conv) == 4 and dense[0] == conv[0] and dense[1] == math.prod(conv[1:])


def with_counters(state: dict[str, Tensor], outline: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state with a count of 0 for each norm that has none, as those of PyTorch before 0.4.1.

    The count matters to no norm that has a momentum.
    """
    return state | {key: torch.tensor(0) for key in outline if key.endswith(COUNTER) and key not in state}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copies `state` into the network; every key and every shape must agree, else `UsageError` with the differences."""
    found = differences(network.state_dict(), state)
    if found:
        raise UsageError(f"the checkpoint does not fit the network: {shown(found)}")
    network.load_state_dict(dict(state), strict=True)


def differences(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> list[str]:
    """Lists differences from the network's state dict: `-` a missing key, `+` one too many, `!` another shape."""
    found = [f"- {key} (missing)" for key in ours if key not in theirs]
    found += [f"+ {key} (unknown)" for key in theirs if key not in ours]
    found += [
        f"! {key} (shape {tuple(theirs[key].shape)}, here {tuple(tensor.shape)})"
        for key, tensor in ours.items()
        if key in theirs and theirs[key].shape != tensor.shape
    ]
    return found


def shown(found: list[str]) -> str:
    """Returns the first differences, at least one of each sign, and how many more there are.

    >>> shown([f"- {key} (missing)" for key in "abcd"] + ["+ e (unknown)"])
    '- a (missing); - b (missing); - c (missing); + e (unknown); and 1 more'
    """
    firsts = {line[0]: line for line in reversed(found)}
    chosen = [line for line in found if line in firsts.values()]
    chosen += [line for line in found if line not in chosen][: max(0, 4 - len(chosen))]
    more = f"; and {len(found) - len(chosen)} more" if len(found) > len(chosen) else ""
    return "; ".join(sorted(chosen, key=found.index)) + more
