"""Stores of encoded images: files below a folder here, and whatever else has images as bytes, by number."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from convatlas.data.images.image_files import check_images, damage_named
from convatlas.errors import UsageError
from convatlas.files import open_regular, read_regular

ENDING = 4096  # bytes that tell images of equal length apart, but for headers that many have
_DIGESTS: dict[str, tuple[int, int, bytes]] = {}  # of files by path: size and time of change when they were read


class Store(Protocol):
    """Encoded images by number, 0 to N - 1. Threads may call it."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """Returns the name of an image below the place of the store: the split of a data set is a hash of names."""
        ...

    def shown(self, number: int) -> str:
        """Returns the name by which a message names an image, so that a person finds it."""
        ...

    def size(self, number: int) -> int:
        """Returns the bytes of an image. Raises `UsageError` for one that is gone."""
        ...

    def ending(self, number: int) -> bytes:
        """Returns the last bytes of an image, 4,096 or all. Raises `UsageError` for one that cannot be read."""
        ...

    def read(self, number: int) -> bytes:
        """Returns the bytes of an image. Raises `UsageError` for one that cannot be read."""
        ...

    def digest(self, number: int) -> bytes:
        """Returns the sha256 of the bytes of an image. Raises `UsageError` for one that cannot be read."""
        ...


@dataclass(frozen=True)
class FileStore:
    """Image files. `names` are their paths below `root`, with slashes."""

    root: Path
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.names)

    def name(self, number: int) -> str:
        """Returns the path below `root`."""
        return self.names[number]

    def shown(self, number: int) -> str:
        """Returns the whole path."""
        return os.path.join(self.root, self.names[number])

    def size(self, number: int) -> int:
        """Returns the bytes of a file. Raises `UsageError` for one that is gone."""
        path = self.shown(number)
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error

    def ending(self, number: int) -> bytes:
        """Returns the last bytes of a file, 4,096 or all. Raises `UsageError` for one that cannot be read."""
        path = self.shown(number)
        try:  # the system's own calls: a hundred thousand files are read in a second
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            try:
                content = os.read(descriptor, ENDING)
                if len(content) == ENDING:  # else it was the whole file
                    os.lseek(descriptor, max(0, os.fstat(descriptor).st_size - ENDING), os.SEEK_SET)
                    content = os.read(descriptor, ENDING)
                return content
            finally:
                os.close(descriptor)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error

    def read(self, number: int) -> bytes:
        """Returns the content of a file. Raises `UsageError` for one that is not there or cannot be read."""
        path = Path(self.shown(number))
        check_images([path])
        with damage_named(path):
            return read_regular(path)

    def digest(self, number: int) -> bytes:
        """Returns the sha256 of a file's content, as `file_digest` does."""
        return file_digest(self.shown(number))


def file_digest(path: str | Path) -> bytes:
    """Returns the sha256 of a file's content; one that has its size and time of change from before is not read again.

    Raises `UsageError` for a file that is not there or cannot be read.
    """
    path = str(path)
    try:
        status = os.stat(path)
        known = _DIGESTS.get(path)
        if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
            known = _DIGESTS[path] = (status.st_size, status.st_mtime_ns, _digest(Path(path)))
        return known[2]
    except FileNotFoundError as error:
        raise UsageError(f"no image at {path}") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _digest(path: Path) -> bytes:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").digest()
