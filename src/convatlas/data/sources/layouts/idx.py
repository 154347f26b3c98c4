"""MNIST's original layout: idx files, plain or gzipped."""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.bounds import Allowance
from convatlas.data.sources.layouts.parts import Form, IncompleteError, Part, checked, unreadable
from convatlas.errors import UsageError, reason_of
from convatlas.files import open_regular

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_UNSIGNED_BYTE = 8  # the idx type code
_GZIP = b"\x1f\x8b"
_CHUNK = 2**20  # bytes read at a time


@dataclass(frozen=True)
class IdxFiles:
    """The four files `train-images-idx3-ubyte` to `t10k-labels-idx1-ubyte`, each also as .gz.

    Some programs unpack them as `train-images.idx3-ubyte`, or into a folder of the file's name.
    """

    @property
    def described(self) -> str:
        return "train-images-idx3-ubyte and its three brothers, packed (.gz) or not"

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds any of the files."""
        return any(_find(folder, name).exists() for names in NAMES.values() for name in names)

    def resembles(self, name: str) -> bool:
        """Returns whether a file of this name may be one of the layout's, under whatever name it was saved."""
        return "ubyte" in name

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (_read_part(folder, *NAMES[part], form=form) for part in ("train", "test"))
        return train, test


def read_idx(path: Path, *, dimensions: int) -> np.ndarray:
    """Reads an idx file of uint8 with so many dimensions. Raises `UsageError` for any other file."""
    try:
        with open_regular(path) as file:
            packed = file.peek(len(_GZIP))[: len(_GZIP)] == _GZIP  # some programs unpack a file and leave its name
            allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
            return _parse(gzip.open(file) if packed else file, dimensions=dimensions, allowance=allowance)
    except FileNotFoundError:
        raise IncompleteError(path, "the file is missing", file=path.name) from None
    except UsageError:
        raise
    except (EOFError, ValueError, zlib.error, OSError) as error:
        raise unreadable(path, reason_of(error)) from error


def _parse(file: io.BufferedReader | gzip.GzipFile, *, dimensions: int, allowance: Allowance) -> np.ndarray:
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
    allowance.take(size, f"the shape {shape} in its header")
    content, filled = bytearray(size), 0
    while filled < size and (count := file.readinto(memoryview(content)[filled : filled + _CHUNK])):
        filled += count
    if filled < size or file.read(1):
        found = f"{filled:,}" if filled < size else "more"
        raise ValueError(f"its header promises {size:,} bytes, there are {found}")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    """Returns the plain file where there is one, else the gzipped one, under the names that programs give them."""
    spellings = (name, name.replace("-idx", ".idx"))
    packed = [folder / f"{spelled}.gz" for spelled in spellings]
    inside = [folder / outer / inner for outer in spellings for inner in spellings]
    candidates = [*(folder / spelled for spelled in spellings), *packed, *inside]
    return next((path for path in candidates if path.exists() and not path.is_dir()), packed[0])


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
