"""CIFAR's original layout: pickled dictionaries, read without running anything that a pickle may ask for."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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


@dataclass(frozen=True)
class Batches:
    """The names of the pickles of one data set and the key of their labels."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: str

    def lies_in(self, folder: Path) -> bool:
        """Whether a folder holds any of the files."""
        return any((folder / name).is_file() for name in (*self.train, *self.test))

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (
            joined([_read_batch(folder / name, labels=self.labels, form=form) for name in names])
            for names in (self.train, self.test)
        )
        return train, test


class _Refused(pickle.UnpicklingError):
    """The pickle names a function or class that image data does not need."""


class _ArrayType:
    """Stands for numpy's dtype: only its code is kept."""

    def __init__(self, code: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Byte order and flags, which a single byte does not have."""


class _Array:
    """Stands for numpy's array: shape, type, order and bytes are kept, nothing of numpy is called."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = tuple(state)

    def pixels(self) -> np.ndarray:
        """The array of bytes that it stands for. Raises `ValueError` for any other."""
        _, shape, kind, fortran, content = self.state
        if isinstance(content, str):  # a pickle of Python 2 that went through an editor of Python 3
            content = content.encode("latin1")
        if not isinstance(kind, _ArrayType) or kind.code not in ("u1", "|u1") or fortran:
            raise ValueError("its array is not one of bytes, row after row")
        return np.frombuffer(content, np.uint8).reshape(shape)


class _Name:
    """Stands for a function or class that a pickle may name; no pickle can change it, which it could a function."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise _Refused("it wants to change a function")


class _ArrayClass(_Name):
    """Named as an argument of `_reconstruct`, never called."""

    __slots__ = ()


class _Reconstruct(_Name):
    __slots__ = ()

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _TypeClass(_Name):
    __slots__ = ()

    def __call__(self, code: Any, *_: Any) -> _ArrayType:
        return _ArrayType(code)


class _Encode(_Name):
    """How Python 3 writes bytes for Python 2."""

    __slots__ = ()

    def __call__(self, text: Any, encoding: Any = "utf-8") -> bytes:
        if encoding != "latin1" or not isinstance(text, str):
            raise _Refused(f"it wants to encode as {encoding!r}")
        return text.encode("latin1")


class _Bytes(_Name):
    """How Python 3 writes the empty bytes for Python 2."""

    __slots__ = ()

    def __call__(self, *content: Any) -> bytes:
        if content:
            raise _Refused("it wants to call bytes with an argument")
        return b""


_PERMITTED: dict[tuple[str, str], _Name] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy", "ndarray"): _ArrayClass(),
    ("numpy", "dtype"): _TypeClass(),
    ("_codecs", "encode"): _Encode(),
    ("__builtin__", "bytes"): _Bytes(),
    ("builtins", "bytes"): _Bytes(),
}


class _PlainUnpickler(pickle.Unpickler):
    """Knows the seven names that the original files contain, each bound to a stand-in of ours."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _PERMITTED[module_name, global_name]
        except KeyError:
            raise _Refused(f"it wants to run code: {module_name}.{global_name}") from None


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary that a pickle holds, its keys as text. Raises `UsageError` for anything but plain data."""
    try:
        with path.open("rb") as file:
            content = _PlainUnpickler(file, encoding="bytes").load()
    except FileNotFoundError:
        raise IncompleteError(path, "the file is missing", file=path.name) from None
    except _Refused as error:
        raise unreadable(path, f"{error}, which is refused") from error
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise unreadable(path, f"it is no whole pickle ({reason_of(error)})") from error
    if not isinstance(content, dict):
        raise unreadable(path, "it holds no dictionary")
    return {key.decode("latin1") if isinstance(key, bytes) else str(key): value for key, value in content.items()}


def _read_batch(path: Path, *, labels: str, form: Form) -> Part:
    content = read_pickle(path)
    missing = [key for key in ("data", labels) if key not in content]
    if missing:
        raise unreadable(path, f"it lacks {' and '.join(missing)}")
    numbers = whole_numbers(path, content[labels], name=labels)
    size = form.channels * form.image_size**2
    try:
        pixels = content["data"].pixels()
    except Exception as error:
        raise unreadable(path, f"its data is no array of bytes ({reason_of(error)})") from error
    if pixels.ndim != 2 or pixels.shape[1] != size:
        raise unreadable(path, f"its data has the shape {pixels.shape}, not (n, {size})")
    images = pixels.reshape(-1, form.channels, form.image_size, form.image_size)
    return checked(path, images, numbers, form=form)
