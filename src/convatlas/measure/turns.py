"""Measurements that take turns, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Key = TypeVar("Key")


def take_turns(
    works: Mapping[Key, Callable[[], float]],
    *,
    rounds: int,
    fewest: int = 1,
    patience: float = math.inf,
    warm_up: int = 1,
) -> dict[Key, list[float]]:
    """Returns the seconds that each work says it took in every round, after rounds that do not count.

    The order alternates. After `patience` seconds no further round begins, once there are the `fewest`.

    >>> take_turns({"a": lambda: 1.0, "b": lambda: 2.0}, rounds=2)
    {'a': [1.0, 1.0], 'b': [2.0, 2.0]}
    """
    seconds: dict[Key, list[float]] = {key: [] for key in works}
    begun = time.perf_counter()
    for number in range(warm_up + rounds):
        if number >= warm_up + fewest and time.perf_counter() - begun > patience:
            break
        for key in list(works) if number % 2 else reversed(list(works)):
            taken = works[key]()
            if number >= warm_up:
                seconds[key].append(taken)
    return seconds
