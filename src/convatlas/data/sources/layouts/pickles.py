"""CIFAR's original layout: pickled dictionaries, read without running anything that a pickle may ask for."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.bounds import Allowance
from convatlas.data.sources.layouts.parts import (
    Form,
    IncompleteError,
    Part,
    checked,
    joined,
    unreadable,
    whole_numbers,
)
from convatlas.errors import reason_of
from convatlas.files import open_regular
from convatlas.unpickling import NUMPY, Array, ArrayType, Maker, PickleError, RefusedError, Source, unpickle


@dataclass(frozen=True)
class Batches:
    """The names of the pickles of one data set and the key of their labels."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str

    @property
    def described(self) -> str:
        return f"{', '.join((*self.train, *self.test))}"

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds any of the files."""
        return any((folder / name).is_file() for name in (*self.train, *self.test))

    def resembles(self, name: str) -> bool:
        """Returns whether a file of this name may be one of the layout's, under whatever name it was saved."""
        return len(self.train) > 1 and name.startswith((self.train[0][:-1], *self.test))

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (
            joined([read_batch(folder / name, labels=self.labels, form=form) for name in names])
            for names in (self.train, self.test)
        )
        return train, test


def _called_array(*_: Any) -> Any:
    raise PickleError("it calls numpy.ndarray")


NAMES = {
    name: NUMPY[name]
    for name in (
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct",
        "numpy.dtype",
        "_codecs.encode",
        "__builtin__.bytes",
        "builtins.bytes",
    )
} | {"numpy.ndarray": Maker("numpy.ndarray", _called_array)}  # all that the original files contain


def _found(name: str) -> Maker:
    if name not in NAMES:
        raise RefusedError(f"it wants to run code: {name[:100]}")
    return NAMES[name]


def read_pickle(path: Path) -> dict[str, Any]:
    """Returns the dictionary that a pickle holds, its keys as text. Raises `UsageError` for anything but plain data."""
    try:
        with open_regular(path) as file:
            allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
            content = unpickle(Source(file, size=allowance.size), allowance=allowance, find=_found)
    except FileNotFoundError:
        raise IncompleteError(path, "the file is missing", file=path.name) from None
    except OSError as error:
        raise unreadable(path, reason_of(error)) from error
    except RefusedError as error:
        raise unreadable(path, f"{error}, which is refused") from error
    except PickleError as error:
        raise unreadable(path, f"it is no whole pickle ({error})") from error
    if not isinstance(content, dict):
        raise unreadable(path, "it holds no dictionary")
    return {
        key.decode("latin1") if isinstance(key, bytes) else key: value
        for key, value in content.items()
        if isinstance(key, bytes | str)
    }


def _pixels(array: Any) -> np.ndarray:
    """Returns the bytes of an array, (n, values). Raises `ValueError` for any other array."""
    if not isinstance(array, Array) or len(array.state) != 5:
        raise ValueError("it is no array")
    _, shape, kind, fortran, content = array.state
    if isinstance(content, str):  # a pickle of Python 2
        content = content.encode("latin1")
    if not isinstance(kind, ArrayType) or kind.code != "u1" or fortran or not isinstance(content, bytes):
        raise ValueError("its array is not one of bytes, row after row")
    if not isinstance(shape, tuple) or not all(type(length) is int for length in shape):
        raise ValueError("its shape is none")
    if min(shape, default=0) < 0 or math.prod(shape) != len(content):
        raise ValueError(f"it has {len(content):,} values, which its shape does not")
    return np.frombuffer(content, np.uint8).reshape(shape)


def read_batch(path: Path, *, labels: str, form: Form) -> Part:
    """Reads one pickle of images. Raises `UsageError` for one that is damaged or not of this form."""
    content = read_pickle(path)
    missing = [key for key in ("data", labels) if key not in content]
    if missing:
        raise unreadable(path, f"it lacks {' and '.join(missing)}")
    numbers = whole_numbers(path, content[labels], name=labels)
    size = form.channels * form.image_size**2
    try:
        pixels = _pixels(content["data"])
    except ValueError as error:
        raise unreadable(path, f"its data is no array of bytes ({error})") from error
    if pixels.ndim != 2 or pixels.shape[1] != size:
        raise unreadable(path, f"its data has the shape {pixels.shape}, not (n, {size})")
    images = pixels.reshape(-1, form.channels, form.image_size, form.image_size)
    return checked(path, images, numbers, form=form)
