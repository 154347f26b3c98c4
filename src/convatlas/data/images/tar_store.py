"""Encoded images in tar files, read in place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.images.stores import ENDING
from convatlas.errors import UsageError
from convatlas.files import open_regular


@dataclass(frozen=True)
class TarStore:
    """Images in tar files, read in place: of each the number of its file, its place there, its size and its name."""

    paths: Sequence[str]
    files: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    members: Sequence[str]

    def __len__(self) -> int:
        return len(self.members)

    def name(self, number: int) -> str:
        """Returns the names of the tar file and of the member."""
        return f"{os.path.basename(self.paths[self.files[number]])}/{self.members[number]}"

    def shown(self, number: int) -> str:
        """Returns the path of the tar file and the name of the member."""
        return f"{self.paths[self.files[number]]}: {self.members[number]}"

    def size(self, number: int) -> int:
        """Returns the bytes of an image."""
        return int(self.sizes[number])

    def ending(self, number: int) -> bytes:
        """Returns the last bytes of an image, 4,096 or all. Raises `UsageError` for a file that cannot be read."""
        size = self.size(number)
        return self._bytes(number, start=max(0, size - ENDING), size=min(size, ENDING))

    def read(self, number: int) -> bytes:
        """Returns the bytes of an image. Raises `UsageError` for a file that cannot be read or was cut off since."""
        return self._bytes(number, start=0, size=self.size(number))

    def digest(self, number: int) -> bytes:
        """Returns the sha256 of the bytes of an image. Raises `UsageError` as `read` does."""
        return hashlib.sha256(self.read(number)).digest()

    def _bytes(self, number: int, *, start: int, size: int) -> bytes:
        path = Path(self.paths[self.files[number]])
        try:
            with open_regular(path) as file:
                file.seek(int(self.offsets[number]) + start)
                content = file.read(size)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if len(content) < size:
            raise UsageError(f"{path} is shorter than it was: it ends within {self.members[number]}")
        return content
