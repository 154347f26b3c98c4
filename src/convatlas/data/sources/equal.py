"""Images that belong together: they have one group, or equal bytes, and never fall into two drawn splits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np

from convatlas.data.images.stores import Store


def units_of(store: Store, places: np.ndarray, *, groups: Sequence[str] | None = None) -> tuple[np.ndarray | None, int]:
    """Returns a number for each image of the store, the same for images that belong together.

    Of the images at `places`, those belong together that have one of `groups` or equal bytes. Returns None where every
    image stands alone, and how many repeat another.
    """
    firsts: dict[object, int] = {}  # of a digest or a group
    pairs = [(firsts.setdefault(digest, place), place) for place, digest in _digests(store, places.tolist())]
    repeated = sum(first != place for first, place in pairs)
    if groups is not None:
        pairs += [(firsts.setdefault(groups[place], place), place) for place in places.tolist()]
    elif not repeated:
        return None, 0
    return _united(len(store), pairs), repeated


def _digests(store: Store, numbers: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yields the numbers and digests of images that equal another in length and in their last bytes."""
    for alike in _alike(numbers, store.size):
        for equal in _alike(alike, store.ending):
            yield from ((number, store.digest(number)) for number in equal)


def _alike(numbers: Sequence[int], key: Callable[[int], Hashable]) -> Iterator[list[int]]:
    """Yields lists of two or more numbers that have one key."""
    if len(numbers) < 2:
        return
    found: dict[Hashable, list[int]] = {}
    for number in numbers:
        found.setdefault(key(number), []).append(number)
    yield from (together for together in found.values() if len(together) > 1)


def _united(count: int, pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Returns a number for each of `count` images, the same for both of each pair and for all that hang together."""
    above = list(range(count))

    def first(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = above[place]
        return place

    for one, other in pairs:
        a, b = first(one), first(other)
        above[max(a, b)] = min(a, b)
    return np.array([first(place) for place in range(count)])
