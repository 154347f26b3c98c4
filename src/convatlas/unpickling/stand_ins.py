"""Stand-ins for things in a pickle that only code could make, and keys that are quick to compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


class PickleError(Exception):
    """The pickle is damaged or cut off."""


class RefusedError(PickleError):
    """The pickle wants to load or call something that the reader does not permit."""


@dataclass(frozen=True, eq=False)
class Maker:
    """A function or class that a pickle names; `make` answers a call of it, and without one the answer is `LeftOut`."""

    name: str
    make: Callable[..., Any] | None = None


@dataclass(frozen=True, eq=False)
class LeftOut:
    """An object that only somebody's code could make; `name` is the function or class that would have made it."""

    name: str


class Buildable:
    """An object of ours that takes a state, as the pickle of its original gives it."""

    def set_state(self, state: Any) -> None:
        """Takes the state. Raises any exception for one that the original cannot have."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Key:
    """A key of a dictionary, or an item of a set, that is neither text nor a small number: hashing it may never end."""

    value: Any


def safe_key(value: Any) -> Any:
    """Returns the key itself where hashing and comparing it is quick whatever the file says, else a `Key` around it.

    >>> safe_key("fc.weight"), safe_key(((), ()))
    ('fc.weight', Key(value=((), ())))
    """
    small = isinstance(value, int) and -(2**32) < value < 2**32
    return value if small or value is None or isinstance(value, str | bytes) else Key(value)


def mapping(pairs: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    """Returns a dictionary of these pairs whose keys are safe."""
    return {safe_key(key): value for key, value in (pairs.items() if isinstance(pairs, Mapping) else pairs)}
