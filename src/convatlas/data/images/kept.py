"""Decoded pixels that stay in memory, as far as it suffices, so that an image is decoded once and not in each epoch."""

from __future__ import annotations

import math
from collections.abc import Hashable
from threading import Lock

import numpy as np

from convatlas.device import free_memory

SHARE = 0.5  # of the free memory, measured when the first pixels of a kind are kept
UNKNOWN = 2 * 2**30  # bytes to use where the system does not say how many are free


class Shelf:
    """Pixels of one kind by the number of their image, and the bytes that are left for more. Threads may use it."""

    def __init__(self, room: float) -> None:
        self.room = room
        self._pixels: dict[int, np.ndarray] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._pixels)

    def get(self, number: int) -> np.ndarray | None:
        """Returns the pixels of an image, or None where they are not kept."""
        return self._pixels.get(number)

    def put(self, number: int, pixels: np.ndarray) -> None:
        """Keeps a copy of the pixels of an image where there is room for it."""
        with self._lock:
            if pixels.nbytes > self.room or number in self._pixels:
                return
            self.room -= pixels.nbytes
        self._pixels[number] = pixels.copy()


class Kept:
    """The shelf of the images of one part of a data set. Pixels of another kind take the place of those before."""

    def __init__(self) -> None:
        self._kind: Hashable = None
        self._shelf = Shelf(0)

    def shelf(self, kind: Hashable) -> Shelf:
        """Returns the shelf for pixels of a kind: those that were decoded in the same way."""
        if kind != self._kind:
            self._shelf = Shelf(0)  # frees the memory before it is measured
            self._kind, self._shelf = kind, Shelf(room())
        return self._shelf


def room() -> float:
    """Returns the bytes that may be used: half of what the system and its container can still give."""
    free = free_memory()
    return UNKNOWN if math.isinf(free) else SHARE * free
