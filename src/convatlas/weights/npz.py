"""Checkpoints as numpy arrays, `.npz`: TensorFlow's and JAX's names and layout become PyTorch's."""

from __future__ import annotations

import io
import math
import re
import zipfile
from typing import Any, BinaryIO

import numpy as np
import torch

from convatlas.bounds import Allowance
from convatlas.errors import UsageError, printable
from convatlas.files import is_failing_disk
from convatlas.unpickling import LeftOut
from convatlas.weights.archives import open_archive, read_member

FLOATS = ("float16", "float32", "float64")
NAMES = {"kernel": "weight", "gamma": "weight", "beta": "bias"}  # of the last part of a name
LONGEST_HEADER = 10_000  # bytes of the text that tells type and shape of an array


def is_npz(file: BinaryIO, *, allowance: Allowance) -> bool:
    """Returns whether a zip holds nothing but arrays: torch's own files are zips too."""
    try:
        with open_archive(file, allowance=allowance) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npz(file: BinaryIO, *, allowance: Allowance) -> dict[str, Any]:
    """Returns the arrays as tensors, with dots for slashes in their names; nothing is unpickled.

    A convolution's `block1/conv/kernel`, (H, W, in, out), becomes `block1.conv.weight`, (out, in, H, W), and a norm's
    `gamma` and `beta` its `weight` and `bias`. Raises `UsageError` for a file that is damaged, that unpacks to more
    than it may take or that holds no arrays of floating-point numbers, and for two arrays of one name. Beside such
    arrays, others, such as a count of steps, are left out.
    """
    path = allowance.path
    tensors: dict[str, Any] = {}
    others: dict[str, str] = {}
    for name, array in _arrays(file, allowance).items():
        kind = array.dtype.newbyteorder("=")
        if kind.name not in FLOATS:
            others[name] = kind.name
            continue
        tensor = torch.from_numpy(np.asarray(array, dtype=kind))  # its bytes may be the other way round
        renamed = _renamed(name)
        if renamed in tensors:
            raise UsageError(f"{path}: two arrays become {printable(renamed)}; one of them is {printable(name)}")
        tensors[renamed] = tensor.permute(3, 2, 0, 1) if name.endswith("kernel") and tensor.ndim == 4 else tensor
    if others and not tensors:
        name, kind_name = next(iter(others.items()))
        raise UsageError(f"{path}: the array {printable(name)} is of {kind_name}, not of {', '.join(FLOATS)}")
    return tensors | {name: LeftOut(f"numpy.{kind_name}") for name, kind_name in others.items() if name not in tensors}


def _arrays(file: BinaryIO, allowance: Allowance) -> dict[str, np.ndarray]:
    """Returns the arrays by name. Raises `UsageError` where the file holds something else."""
    path = allowance.path
    try:
        with open_archive(file, allowance=allowance) as archive:
            members = archive.infolist()
            names = [member.filename for member in members]
            odd = next((name for name in names if not name.endswith(".npy")), None)
            if odd is not None:
                raise UsageError(f"{path} is no checkpoint of arrays: it holds {printable(odd)}")
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise UsageError(f"{path} is no checkpoint of arrays: it holds {printable(twice)} twice")
            return {
                member.filename.removesuffix(".npy"): _array(read_member(archive, member, allowance=allowance))
                for member in members
            }
    except UsageError:
        raise
    except Exception as error:  # a damaged file may raise anything
        if is_failing_disk(error):
            raise
        reason = str(error) if isinstance(error, _ObjectsError) else "it is cut off or damaged"
        raise UsageError(f"{path} is no checkpoint of arrays: {reason}") from error


class _ObjectsError(ValueError):
    """An array holds pickled objects."""


def _array(content: np.ndarray) -> np.ndarray:
    """Returns the array in the bytes of an `.npy` file, in their memory. Raises `ValueError` where they are none."""
    beginning = io.BytesIO(content[: LONGEST_HEADER + 20].tobytes())
    version = np.lib.format.read_magic(beginning)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(beginning, max_header_size=LONGEST_HEADER)
    if kind.hasobject:
        raise _ObjectsError("it wants to load objects, which may run code")
    values = content[beginning.tell() :]
    if math.prod(shape) * kind.itemsize != len(values):
        raise ValueError("its header tells another size than it has")
    array = np.require(values.view(kind) if len(values) else np.empty(0, kind), requirements="A")
    return array.reshape(shape[::-1]).transpose() if fortran else array.reshape(shape)


def _renamed(name: str) -> str:
    """Translates `resnet/head/conv2d/kernel` to `resnet.head.conv2d.weight`.

    TensorFlow numbers layers of one kind; in some published files the numbers are left in the names of standardised
    convolutions, and mean nothing.
    """
    *path, last = re.sub(r"/standardized_conv2d_\d+/", "/standardized_conv2d/", name).split("/")
    return ".".join([*path, NAMES.get(last, last)])
