"""Encoded images one after the other: in memory, or in one file of the user's cache where they are many."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.images.stores import ENDING
from convatlas.errors import UsageError
from convatlas.files import is_full_disk, read_arrays, write_arrays

IN_MEMORY = 2**29  # bytes of images that lie in memory


@dataclass(frozen=True)
class PackedStore:
    """Images in one array of bytes; `ends` (N + 1,) has the place of each and the end of the last.

    `files` are the names of the files that they come from, `firsts` the number of the first image of each.
    """

    content: np.ndarray
    ends: np.ndarray
    root: Path
    files: Sequence[str]
    firsts: np.ndarray

    def __len__(self) -> int:
        return len(self.ends) - 1

    def name(self, number: int) -> str:
        """Returns the name of the file below `root` and the record in it."""
        file = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return f"{self.files[file]}/{number - int(self.firsts[file])}"

    def shown(self, number: int) -> str:
        """Returns the path of the file and the record in it."""
        path, _, record = os.path.join(self.root, self.name(number)).rpartition("/")
        return f"{path}: image {record}"

    def size(self, number: int) -> int:
        """Returns the bytes of an image."""
        return int(self.ends[number + 1] - self.ends[number])

    def ending(self, number: int) -> bytes:
        """Returns the last bytes of an image, 4,096 or all."""
        return self.content[max(self.ends[number], self.ends[number + 1] - ENDING) : self.ends[number + 1]].tobytes()

    def read(self, number: int) -> bytes:
        """Returns the bytes of an image."""
        return self.content[self.ends[number] : self.ends[number + 1]].tobytes()

    def digest(self, number: int) -> bytes:
        """Returns the sha256 of the bytes of an image."""
        return hashlib.sha256(self.read(number)).digest()


@dataclass(frozen=True)
class Packed:
    """Images as `PackedStore` has them, and of each image the place of its label in `names`."""

    content: np.ndarray
    ends: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def packed(records: Iterable[tuple[bytes, str]], *, size: int, place: Path) -> Packed:
    """Returns images and their labels.

    Images of more than `IN_MEMORY` bytes in all, about `size`, lie in the file `place`, mapped into memory; one that is
    there already is used.
    """
    if size <= IN_MEMORY:
        content = bytearray()
        index = _append(records, content.extend)
        return Packed(np.frombuffer(content, np.uint8), index["ends"], index["labels"], tuple(index["names"].tolist()))
    beside = place.with_suffix(".npz")
    if not (place.is_file() and beside.is_file()):
        _write(records, place, beside)
    index = read_arrays(beside)
    return Packed(np.memmap(place, np.uint8, "r"), index["ends"], index["labels"], tuple(index["names"].tolist()))


def _append(records: Iterable[tuple[bytes, str]], add: Callable[[bytes], object]) -> dict[str, np.ndarray]:
    """Adds the bytes of each image, and returns ends, labels and the names of labels."""
    ends, labels = [0], []
    places: dict[str, int] = {}
    for content, label in records:
        add(content)
        ends.append(ends[-1] + len(content))
        labels.append(places.setdefault(label, len(places)))
    return {
        "ends": np.array(ends, np.int64),
        "labels": np.array(labels, np.int64),
        "names": np.array(list(places), str),
    }


def _write(records: Iterable[tuple[bytes, str]], place: Path, beside: Path) -> None:
    """Writes images and their index; neither appears before it is whole. Raises `UsageError` for a full disk."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".writing-{place.name}.", delete=False) as file:
            try:
                index = _append(records, file.write)
            except BaseException:
                os.unlink(file.name)
                raise
        write_arrays(beside, index)
        os.replace(file.name, place)
    except OSError as error:
        reason = "the disk is full" if is_full_disk(error) else error.strerror
        raise UsageError(f"cannot write the images to {place}: {reason}; XDG_CACHE_HOME names another cache") from error
