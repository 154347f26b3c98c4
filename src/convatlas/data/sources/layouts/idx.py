"""MNIST's original layout: idx files, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from convatlas.data.sources.layouts.parts import Form, IncompleteError, Part, checked, unreadable
from convatlas.errors import reason_of

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 8  # the idx type code
_LARGEST = 2**30  # bytes; MNIST's images are 47 million


@dataclass(frozen=True)
class IdxFiles:
    """The four files `train-images-idx3-ubyte` to `t10k-labels-idx1-ubyte`, each also as .gz."""

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds any of the files."""
        return any(_find(folder, name).is_file() for names in NAMES.values() for name in names)

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (_read_part(folder, *NAMES[part], form=form) for part in ("train", "test"))
        return train, test


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """Reads an idx file of uint8 with so many dimensions. Raises `UsageError` for any other file."""
    if not path.is_file():
        raise IncompleteError(path, "the file is missing", file=path.name)
    try:
        with _opened(path) as file:
            return _parse(file, dimensions=dimensions)
    except (EOFError, ValueError, zlib.error, OSError) as error:
        raise unreadable(path, reason_of(error)) from error


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _parse(file: IO[bytes], *, dimensions: int) -> np.ndarray:
    magic = file.read(4)
    wanted = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if not magic:
        raise ValueError("it is empty")
    if magic != wanted:
        raise ValueError(f"it begins with {magic.hex(' ')}, not {wanted.hex(' ')}: no idx file of {dimensions}-d bytes")
    head = file.read(4 * dimensions)
    if len(head) < 4 * dimensions:
        raise ValueError("it ends within its header")
    shape = struct.unpack(f">{dimensions}I", head)
    size = math.prod(shape)
    if size > _LARGEST:
        raise ValueError(f"its header promises the shape {shape}")
    content = file.read(size + 1)  # one more than there should be
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content):,}"
        raise ValueError(f"its header promises {size:,} bytes, there are {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """Returns the plain file where there is one, else the gzipped one."""
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _read_part(folder: Path, images_name: str, labels_name: str, *, form: Form) -> Part:
    path = _find(folder, images_name)
    images = read_idx(path, dimensions=3)
    labels_path = _find(folder, labels_name)
    labels = read_idx(labels_path, dimensions=1)
    if images.shape[1:] != (form.image_size, form.image_size):
        raise unreadable(
            path, f"its images are {images.shape[1]} x {images.shape[2]}, not {form.image_size} x {form.image_size}"
        )
    return checked(labels_path, images[:, None], labels, form=form)
