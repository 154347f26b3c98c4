"""Checkpoints as numpy arrays, `.npz`: TensorFlow's and JAX's names and layout become PyTorch's."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from convatlas.errors import UsageError

LARGEST = 8 * 2**30  # bytes of all arrays; BiT-M-R152x4, the largest file that is published, has 4.4e9
FLOATS = ("float16", "float32", "float64")
NAMES = {"kernel": "weight", "gamma": "weight", "beta": "bias"}  # of the last part of a name


def is_npz(path: Path) -> bool:
    """Whether the file is called so, or is a zip of nothing but arrays: torch's own files are zips too."""
    if path.suffix == ".npz":
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays as tensors, with dots for slashes in their names; nothing is unpickled.

    A convolution's `block1/conv/kernel`, (H, W, in, out), becomes `block1.conv.weight`, (out, in, H, W), and a norm's
    `gamma` and `beta` its `weight` and `bias`. Raises `UsageError` for a file that is damaged, that needs more than 8
    GiB or that holds something else than arrays of floating-point numbers, and for two arrays of one name.
    """
    tensors: dict[str, Tensor] = {}
    for name, array in _arrays(path).items():
        kind = array.dtype.newbyteorder("=")
        if kind.name not in FLOATS:
            raise UsageError(f"{path}: the array {name} is of {kind.name}, not of {', '.join(FLOATS)}")
        tensor = torch.from_numpy(np.asarray(array, dtype=kind))  # its bytes may be the other way round
        renamed = _renamed(name)
        if renamed in tensors:
            raise UsageError(f"{path}: two arrays become {renamed}; one of them is {name}")
        tensors[renamed] = tensor.permute(3, 2, 0, 1) if name.endswith("kernel") and tensor.ndim == 4 else tensor
    return tensors


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """What the file holds, by name. Raises `UsageError` where that is not arrays only."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())  # no more is unpacked of a member
            names = archive.namelist()
            odd = next((name for name in names if not name.endswith(".npy")), None)
            twice = next((name for name in names if names.count(name) > 1), None)
        if size > LARGEST:
            raise UsageError(f"{path} needs {size / 2**30:.0f} GiB of memory; {LARGEST // 2**30} are the limit")
        if odd is not None:
            raise UsageError(f"{path} is no checkpoint of arrays: it holds {odd}")
        if twice is not None:
            raise UsageError(f"{path} is no checkpoint of arrays: it holds {twice} twice")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except UsageError:
        raise
    except Exception as error:  # a damaged file may raise anything
        pickled = "allow_pickle" in str(error)
        reason = "it wants to load objects, which may run code" if pickled else "it is cut off or damaged"
        raise UsageError(f"{path} is no checkpoint of arrays: {reason}") from error


def _renamed(name: str) -> str:
    """`resnet/head/conv2d/kernel` is `resnet.head.conv2d.weight`.

    TensorFlow numbers layers of one kind; in some published files the numbers are left in the names of standardised
    convolutions, and mean nothing.
    """
    *path, last = re.sub(r"/standardized_conv2d_\d+/", "/standardized_conv2d/", name).split("/")
    return ".".join([*path, NAMES.get(last, last)])
