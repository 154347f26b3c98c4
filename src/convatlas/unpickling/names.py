"""The names of Python's plain types and of numpy's numbers and arrays, with functions of ours that answer their calls.

An argument is never printed or hashed before its type is known: a few nested tuples may stand for more than any memory.
"""

from __future__ import annotations

import struct
from typing import Any

from convatlas.unpickling.stand_ins import Buildable, LeftOut, Maker, PickleError, RefusedError, mapping, safe_key

# numpy's codes of numbers that Python has, with struct's letter for each.
NUMBERS = {
    "b1": "?", "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip


class ArrayType(Buildable):
    """Stands for numpy's dtype: its code, such as f8, and its byte order, `<` or `>`."""

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode("latin-1") if isinstance(code, bytes) else code
        if not isinstance(text, str):
            raise PickleError("it is damaged")
        self.order, self.code = (text[0], text[1:]) if text[:1] in ("<", ">", "|", "=") else ("<", text)

    def set_state(self, state: Any) -> None:
        """Takes the byte order; fields and flags are of no use for a number."""
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        self.order = ">" if order == ">" else "<"


class Array(Buildable):
    """Stands for numpy's array: `state` has version, shape, type, order and bytes, and nothing of numpy is called."""

    state: tuple[Any, ...] = ()

    def set_state(self, state: Any) -> None:
        """Takes the five parts."""
        self.state = tuple(state)


class Settings(Buildable):
    """Stands for the namespace of settings that a training script adds; nobody reads them."""

    def set_state(self, state: Any) -> None:
        """Forgets the settings."""


def _number(kind: Any = None, content: Any = None) -> Any:
    """Returns numpy's number as Python's, where Python has the kind."""
    if not isinstance(kind, ArrayType) or kind.code not in NUMBERS or not isinstance(content, bytes):
        return LeftOut("numpy.core.multiarray.scalar")
    return struct.unpack(kind.order.replace("|", "<") + NUMBERS[kind.code], content)[0]


def _encoded(text: Any, encoding: Any = "utf-8") -> bytes:
    """Returns the bytes that Python 3 writes for Python 2 as text."""
    if not isinstance(text, str) or not isinstance(encoding, str):
        raise PickleError("it is damaged")
    if encoding != "latin1":
        raise RefusedError(f"it wants to encode as {encoding[:20]!r}")
    return text.encode("latin-1")


def _bytes(*content: Any) -> bytes:
    """Returns the bytes that are given as such or as text; a number, which would be a length, is refused."""
    if not content:
        return b""
    if isinstance(content[0], bytes):
        return content[0]
    if isinstance(content[0], str) and content[1:] in (("latin-1",), ("latin1",)):
        return content[0].encode("latin-1")
    raise RefusedError("it wants to call bytes with an argument")


def _set(items: Any = ()) -> set[Any]:
    if not isinstance(items, list | tuple | set | frozenset):
        raise PickleError("it is damaged")
    return set(map(safe_key, items))


def _old_instance(kind: Any, *_: Any) -> Any:
    """Returns the object that a pickle of protocol 0 or 1 makes without calling its class."""
    if isinstance(kind, Maker) and kind.make is Settings:
        return Settings()
    return LeftOut(kind.name if isinstance(kind, Maker) else "object")


def _path(*parts: Any) -> str:
    return "/".join(part for part in parts if isinstance(part, str)).replace("//", "/")


def _makers(module: str, **functions: Any) -> dict[str, Maker]:
    return {f"{module}.{name}": Maker(f"{module}.{name}", function) for name, function in functions.items()}


CODECS = _makers("_codecs", encode=_encoded) | _makers("builtins", bytes=_bytes) | _makers("__builtin__", bytes=_bytes)
NUMPY = {
    **CODECS,
    **_makers("numpy", dtype=ArrayType, ndarray=None),
    **_makers("numpy.core.multiarray", _reconstruct=lambda *_: Array(), scalar=_number),
    **_makers("numpy._core.multiarray", _reconstruct=lambda *_: Array(), scalar=_number),
}
PLAIN = {
    **CODECS,
    **_makers("collections", OrderedDict=mapping, Counter=mapping, defaultdict=lambda *_: {}),
    **_makers(
        "builtins",
        set=_set,
        frozenset=lambda *items: frozenset(_set(*items)),
        bytearray=_bytes,
        complex=complex,
        object=None,
    ),
    **_makers(
        "__builtin__",
        set=_set,
        frozenset=lambda *items: frozenset(_set(*items)),
        bytearray=_bytes,
        complex=complex,
        object=None,
    ),
    **_makers("argparse", Namespace=Settings),
    **_makers("types", SimpleNamespace=Settings),
    **_makers("copyreg", _reconstructor=_old_instance),
    **_makers("copy_reg", _reconstructor=_old_instance),
    **_makers("pathlib", PosixPath=_path, PurePosixPath=_path, WindowsPath=_path, PureWindowsPath=_path, Path=_path),
}
