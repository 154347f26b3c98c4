"""The place of a network's tensors in a checkpoint, and their moving averages, wherever people put them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from convatlas.errors import UsageError, printable
from convatlas.unpickling import LeftOut
from convatlas.weights.wrappers import (
    State,
    averaged_part,
    bare,
    is_averaged,
    is_dense,
    is_name,
    without_side_entries,
    words_of,
)


class NoTensorsError(UsageError):
    """A checkpoint holds no tensors by name, or none where a network's are known to lie."""


NESTED = ("state_dict", "model_state_dict", "model", "net")  # where people put the network's tensors, the usual first
INNER = ("state_dict", "shadow", "model_state_dict", "model", "module", "params", "weights", "net", "network")
NO_NETWORK = frozenset(  # words in the names of parts whose tensors are no network's weights
    ("optimizer", "optimizers", "optim", "scheduler", "schedulers", "scaler", "loss", "criterion", "rng", "callbacks",
     "loops", "args", "config", "hyper", "stats", "history", "metrics", "acc", "accuracy")
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Tensors by name at a place of a checkpoint; `strange` are the keys of its entries that are none."""

    place: str
    state: State
    strange: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """The network's tensors, other readings of the same entries, and notes of what was chosen.

    `states` has more than one where names may be those of an average or of the network itself, the likelier last.
    """

    states: tuple[State, ...]
    notes: tuple[tuple[str, ...], ...]  # of each state
    strange: tuple[str, ...] = ()


def find_state(content: Mapping[str, Any], *, label: str) -> Found:
    """Returns the network's tensors in a checkpoint's content.

    Where averages lie beside plain tensors, the averages are taken if their names are those of the plain ones, else
    the plain ones; a note says which. Raises `UsageError` where there are no tensors, or several networks.
    """
    parts = [part for part in _parts(content) if part.state]
    averages = [part for part in parts if is_averaged(part.place.partition(".")[0])]
    plain = _plain([part for part in parts if part not in averages], label=label)
    if plain is None and not averages:
        raise NoTensorsError(f"{label} is a checkpoint of no known format: {_nothing(content)}")
    strange = _strange(plain or averages[0])
    if plain is None:
        return Found((averages[0].state,), ((),), strange)
    state, notes = plain.state, []
    for part in averages:
        merged = _merged(plain.state, part.state)
        if merged is not None:
            state, filled = merged
            return Found((state,), ((_taken(part.place, plain.place, filled),),), strange)
        notes.append(_not_taken(part.place, "its names or shapes are not those of the plain ones", plain.place))
    notes += [_not_taken(place, reason, plain.place) for place, reason in _unnamed(content)]
    return _split(state, tuple(notes), strange)


def _parts(content: Mapping[str, Any]) -> list[Part]:
    """Returns the places of a checkpoint that may hold tensors by name."""
    found = []
    for name in [*(n for n in NESTED if n in content), *(n for n in content if n not in NESTED)]:
        value = content[name]
        if not isinstance(name, str) or not isinstance(value, Mapping) or words_of(name) & NO_NETWORK:
            continue
        part = _part(name, value)
        places = [*INNER, *(n for n in value if is_name(n) and n not in INNER)] if is_averaged(name) else INNER
        inner = [_part(f"{name}.{n}", value[n]) for n in places if isinstance(value.get(n), Mapping)]
        found += [part] if part.state or not any(p.state for p in inner) else [p for p in inner if p.state][:1]
    return [*found, _part("", content)]


def _part(place: str, entries: Mapping[Any, Any]) -> Part:
    state = {key: value for key, value in entries.items() if is_name(key) and is_dense(value)}
    return Part(place, state, tuple(shown_key(key) for key in entries if key not in state))


def shown_key(key: object) -> str:
    """Returns a key as a message shows it: a few printable characters."""
    if isinstance(key, str):
        return printable(key, most=60)
    return str(key) if isinstance(key, int) else "..."


def _plain(parts: list[Part], *, label: str) -> Part | None:
    """Returns the part with the network's tensors: one of a usual name, else the only one there is."""
    usual = [part for name in NESTED for part in parts if part.place.partition(".")[0] == name]
    if usual:
        return usual[0]
    bare_state = [part for part in parts if not part.place and any("." in key for key in part.state)]
    if bare_state:
        return bare_state[0]
    nested = [part for part in parts if part.place]
    if len(nested) > 1:
        places = ", ".join(shown_key(part.place) for part in nested[:6])
        raise UsageError(f"{label} holds several networks, {places}; save the state dict of the one that is meant")
    return nested[0] if nested else parts[0] if parts else None


def _strange(part: Part) -> tuple[str, ...]:
    """Returns the entries beside the tensors; beside those that lie at the top of a checkpoint anything may lie."""
    return tuple(f"{part.place}[{name!r}]" if part.place else name for name in part.strange)


def _merged(plain: State, averaged: State) -> tuple[State, int] | None:
    """Returns the averages under the plain names, and how many plain tensors stand in for averages that are missing.

    Many keep no average of a norm's statistics. None where an average has a name or a shape that no plain tensor has.
    """
    averaged, _ = without_side_entries(averaged)
    own = {bare(key): key for key in plain}
    theirs = {bare(key): tensor for key, tensor in averaged.items()}
    if not theirs or len(own) < len(plain) or len(theirs) < len(averaged):
        return None
    if any(key not in own or plain[own[key]].shape != tensor.shape for key, tensor in theirs.items()):
        return None
    missing = without_side_entries({key: t for key, t in plain.items() if bare(key) not in theirs})[0]
    return plain | {own[key]: tensor for key, tensor in theirs.items()}, len(missing)


def _split(state: State, notes: tuple[str, ...], strange: tuple[str, ...]) -> Found:
    """Returns the readings of a state dict in which averages may lie beside the network's tensors, under a word."""
    named = {key: found for key in state if (found := averaged_part(key))}
    if not named or len(named) == len(state):
        inner = {found[1]: state[key] for key, found in named.items()}
        return Found((inner if len(inner) == len(named) > 0 else state,), (notes,), strange)
    plain = {key: tensor for key, tensor in state.items() if key not in named}
    plain = without_side_entries(plain)[0] or plain
    prefix = next(iter(named.values()))[0]
    merged = _merged(plain, {found[1]: state[key] for key, found in named.items()})
    if merged is None:  # a part of the network may be called so too
        note = _not_taken(f"{prefix}*", "their names or shapes are not those of the plain ones", "the others")
        return Found((state, plain), (notes, (*notes, note)), strange)
    note = f"of the two networks in it the averaged one ({prefix}*) is taken" + _standing_in(merged[1], "the other")
    return Found((merged[0],), ((*notes, note),), strange)


def _unnamed(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the places that should hold averages by their name, and why these cannot be taken."""
    found = []
    for name, value in content.items():
        if not isinstance(name, str) or not is_averaged(name) or words_of(name) & NO_NETWORK:
            continue
        if isinstance(value, LeftOut):
            found.append((shown_key(name), "only code of its own could read them"))
        elif isinstance(value, Mapping | list | tuple) and not _part(name, _entries(value)).state:
            inner = [item for item in _entries(value).values() if isinstance(item, Mapping)]
            if any(_part(name, item).state for item in inner):
                continue
            listed = isinstance(value, list | tuple) or any(_are_tensors(v) for v in _entries(value).values())
            found.append((shown_key(name), "its tensors have no names" if listed and value else "it holds none"))
    return found


def _entries(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _are_tensors(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Tensor)


def _taken(averaged: str, plain: str, filled: int) -> str:
    return f"the averaged weights are taken ({averaged}, not {plain or 'the others'})" + _standing_in(filled, plain)


def _standing_in(filled: int, plain: str) -> str:
    return f"; {filled} tensors of which it holds no average are those of {plain or 'the others'}" if filled else ""


def _not_taken(averaged: str, reason: str, plain: str) -> str:
    return f"the plain weights are taken ({plain or 'the others'}), not the averaged ones under {averaged}: {reason}"


def _nothing(content: Mapping[str, Any]) -> str:
    """Returns why no tensors were found."""
    for name in NESTED:
        value = content.get(name)
        if isinstance(value, Mapping) and value:
            odd = next(iter(value))
            return f"{name}[{shown_key(odd)!r}] is no tensor"
        if isinstance(value, Mapping):
            return "it holds no tensors"
    if not content:
        return "it holds no tensors"
    names = ", ".join(map(shown_key, list(content)[:6]))
    return f"it holds {names}, and none of {', '.join(NESTED)}"
