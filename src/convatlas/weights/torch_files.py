"""torch's files, zipped and legacy, as plain data and tensors: each tensor is measured before it is made."""

from __future__ import annotations

import math
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from convatlas.bounds import Allowance
from convatlas.unpickling import NUMPY, PLAIN, Array, LeftOut, Maker, PickleError, Source, unpickle
from convatlas.weights.archives import open_archive, read_record

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C  # the first object of a legacy file; the second is the version of the format
PROTOCOL = 1001
STORAGES: dict[str, torch.dtype | None] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": None,  # the tensor says its type
}
TYPES = {f"torch.{name}": value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
MOST_DIMENSIONS = 64
LONGEST_PLACE = 80  # characters
SHOWN = (dict, list, tuple, set, frozenset, LeftOut, Maker, Array)  # in what is searched for left-out objects


@dataclass(frozen=True, eq=False)
class _Kind:
    """A class of storages; `dtype` is that of their numbers."""

    name: str
    dtype: torch.dtype | None


@dataclass(frozen=True, eq=False)
class _Storage:
    """The bytes of a storage, uint8, which its tensors share."""

    content: Tensor
    kind: _Kind


def read_zip(file: BinaryIO, *, allowance: Allowance) -> Any:
    """Returns the object in a file that torch has written as a zip. Raises `PickleError`, `zipfile.BadZipFile`."""
    with open_archive(file, allowance=allowance) as archive:
        members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in members if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise PickleError("it is an archive of something else")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in members:
            raise PickleError("it is a program of TorchScript; save the state dict of the network")
        order = _small(archive, members.get(f"{folder}byteorder"), allowance) or "little"
        stored: dict[str, _Storage] = {}

        def storage(kind: _Kind, key: str, _: int) -> _Storage:
            if key not in stored:
                content = read_record(archive, members[f"{folder}data/{key}"], allowance=allowance)
                stored[key] = _Storage(torch.from_numpy(_native(content, kind, order=order)), kind)
            return stored[key]

        content = read_record(archive, members[pickles[0]], allowance=allowance)
        source = Source.of(content.tobytes())
        return unpickle(source, allowance=allowance, find=_names(allowance), persistent=_persistent(storage))


def _small(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None, allowance: Allowance) -> str:
    """Returns the text of a member of a few letters."""
    if member is None or member.file_size > 16:
        return ""
    return read_record(archive, member, allowance=allowance).tobytes().decode("ascii")


def _native(content: np.ndarray, kind: _Kind, *, order: str) -> np.ndarray:
    """Returns the bytes in the order of this machine."""
    if order == sys.byteorder:
        return content
    if kind.dtype is None or order not in ("little", "big"):
        raise PickleError(f"its numbers are in the byte order {order!r}")
    width = kind.dtype.itemsize // (2 if kind.dtype.is_complex else 1)
    return content.view(f"u{width}").byteswap().view(np.uint8)


def read_legacy(file: BinaryIO, *, allowance: Allowance) -> Any:
    """Returns the object in a file of torch before 1.6: pickles, then the storages. Raises `PickleError`."""
    source = Source(file, size=allowance.size)
    stored: dict[str, _Storage] = {}
    unclaimed = allowance.size

    def storage(kind: _Kind, key: str, count: int) -> _Storage:
        nonlocal unclaimed
        if key not in stored:
            size = count * (kind.dtype or torch.uint8).itemsize
            unclaimed -= size
            if size < 0 or unclaimed < 0:
                raise PickleError("its tensors are larger than the file")
            stored[key] = _Storage(torch.empty(size, dtype=torch.uint8), kind)
        return stored[key]

    def following(persistent: Callable[[Any], Any] | None = None) -> Any:
        return unpickle(source, allowance=allowance, find=_names(allowance), persistent=persistent)

    if following() != MAGIC_NUMBER or following() != PROTOCOL:
        raise PickleError("it is of no known format")
    following()  # the machine that wrote it
    content = following(_persistent(storage))
    for key in following():
        _fill(source, stored[key])
    return content


def _fill(source: Source, storage: _Storage) -> None:
    """Reads the bytes of a storage: their count as a number of values, then the values."""
    (count,) = struct.unpack("<q", source.read(8))
    if count * (storage.kind.dtype or torch.uint8).itemsize != storage.content.numel():
        raise PickleError("a storage has another size than is said")
    source.fill(storage.content.numpy())


def _persistent(storage: Callable[[_Kind, str, int], _Storage]) -> Callable[[Any], Any]:
    """Returns the function that answers torch's identifiers: of storages, and in old files of classes."""

    def answer(identifier: Any) -> Any:
        if not isinstance(identifier, tuple) or len(identifier) < 2:
            raise PickleError("it is damaged")
        if identifier[0] == "module":
            return identifier[1]
        kind, key, _, count, *view = identifier[1:]
        if identifier[0] != "storage" or not isinstance(kind, _Kind):
            raise PickleError("it holds a storage of no known kind")
        if type(key) not in (str, int) or type(count) is not int:
            raise PickleError("it is damaged")
        whole = storage(kind, str(key), count)
        return _part(whole, *view[0]) if view and view[0] is not None else whole

    return answer


def _part(whole: _Storage, _: Any, offset: int, count: int) -> _Storage:
    """Returns a part of a storage, as legacy files name it."""
    width = (whole.kind.dtype or torch.uint8).itemsize
    return _Storage(whole.content[offset * width : (offset + count) * width], whole.kind)


def _names(allowance: Allowance) -> Callable[[str], Any]:
    """Returns the function that says what a name in the file stands for."""

    def rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
        if len(rest) > 2 and rest[2]:
            return LeftOut("torch.Tensor.conj")
        return _tensor(storage, (offset, tuple(size), tuple(stride)), allowance=allowance)

    def rebuilt_with_type(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Any:
        if len(rest) > 3 and rest[3]:
            return LeftOut("torch.Tensor.conj")
        return _tensor(storage, (offset, tuple(size), tuple(stride)), allowance=allowance, dtype=rest[2])

    def from_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
        return function.make(*arguments) if isinstance(function, Maker) and function.make else LeftOut("torch.Tensor")

    makers: dict[str, Callable[..., Any]] = {
        "torch._utils._rebuild_tensor": rebuilt,
        "torch._utils._rebuild_tensor_v2": rebuilt,
        "torch._utils._rebuild_tensor_v3": rebuilt_with_type,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
        "torch.nn.parameter.Parameter": lambda data, *_: data,
        "torch._tensor._rebuild_from_type_v2": from_type,
        "torch.tensor._rebuild_from_type_v2": from_type,
        "torch.Size": lambda sizes=(): tuple(sizes),
        "torch.device": lambda kind="", *_: kind,
    }

    def find(name: str) -> Any:
        if name in makers:
            return Maker(name, makers[name])
        if name in PLAIN or name in NUMPY:
            return PLAIN.get(name) or NUMPY[name]
        module, _, last = name.rpartition(".")
        if last in STORAGES and module in ("torch", "torch.cuda", "torch.storage"):
            return _Kind(name, STORAGES[last])
        return TYPES.get(name) or Maker(name)

    return find


def _tensor(
    storage: Any,
    place: tuple[int, tuple[int, ...], tuple[int, ...]],
    *,
    allowance: Allowance,
    dtype: torch.dtype | None = None,
) -> Any:
    """Returns the tensor at an offset, with a size and strides; storages and strides of a wrong kind raise.

    Numbers that lie several times in the tensor, by strides of 0, count each time.
    """
    offset, size, stride = place
    numbers = (offset, *size, *stride)
    if not isinstance(storage, _Storage) or not all(type(number) is int and number >= 0 for number in numbers):
        raise PickleError("it is damaged")
    kind = dtype or storage.kind.dtype
    if kind is None or not isinstance(kind, torch.dtype) or len(size) != len(stride) or len(size) > MOST_DIMENSIONS:
        raise PickleError("it is damaged")
    count = math.prod(size)
    allowance.take(count * kind.itemsize, "its tensors")
    if not count:
        return torch.empty(size, dtype=kind)
    values = storage.content.numel() // kind.itemsize
    if offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) >= values:
        raise PickleError("a tensor is larger than its storage")
    return storage.content[: values * kind.itemsize].view(kind).as_strided(size, stride, offset)


def left_out(content: Any) -> Iterator[tuple[str, str]]:
    """Yields the place of each object that only code could make, such as `args.schedule`, and the name of its class."""
    waiting: list[tuple[str, Any]] = [("", content)] if isinstance(content, SHOWN) else []
    seen: set[int] = set()
    while waiting:
        place, value = waiting.pop()
        if not isinstance(value, dict | list | tuple | set | frozenset):
            yield place, "numpy.ndarray" if isinstance(value, Array) else value.name
        elif id(value) not in seen:
            seen.add(id(value))
            items = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [(_inside(place, key), item) for key, item in items if isinstance(item, SHOWN)]
            waiting += reversed(inner)


def _inside(place: str, key: Any) -> str:
    name = key[:LONGEST_PLACE] if isinstance(key, str) else str(key) if isinstance(key, int) else "..."
    return name if not place else f"{place}.{name}" if len(place) < LONGEST_PLACE else place
