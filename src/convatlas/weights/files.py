"""Checkpoint files as plain data and tensors: torch's zip and legacy formats, safetensors, and numpy's arrays.

A file is measured before it is read: see `convatlas.bounds`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from convatlas.bounds import Allowance
from convatlas.errors import UsageError
from convatlas.files import check_encodable, is_failing_disk, open_regular
from convatlas.unpickling import PickleError
from convatlas.weights.npz import is_npz, read_npz
from convatlas.weights.torch_files import left_out, read_legacy, read_zip

METADATA = "convatlas"  # the entry of a checkpoint in which we say what network it is of
TENSOR = 1024  # bytes of memory that a tensor takes beside its values, about
JSON = 32  # bytes of memory for each byte of a JSON text, at most


@dataclass(frozen=True)
class Opened:
    """A checkpoint file's plain data and tensors; `left_out` has place and class of each object that needs code."""

    content: dict[str, Any]
    left_out: tuple[tuple[str, str], ...] = ()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Returns a checkpoint file as plain data and tensors on the CPU; nothing is unpickled but these.

    Raises `UsageError` as `read_file` does, and for a file that holds any other object.
    """
    opened = read_file(path)
    if opened.left_out:
        raise unsafe(path, opened.left_out[0][1])
    return opened.content


def read_file(path: Path) -> Opened:
    """Returns the plain data and tensors of a checkpoint file, on the CPU, and the objects that were left out.

    The tensors of a safetensors or `.npz` file are its `state_dict`. Raises `UsageError` for a file that is missing,
    empty or cut off, that is no checkpoint, or that asks for more memory than a file of its size may take.
    """
    if not path.exists():
        raise UsageError(f"no checkpoint at {path}")
    try:
        with open_regular(path) as file:
            return _read(path, file)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(path: Path, file: BinaryIO) -> Opened:
    beginning = file.read(9)
    if not beginning:
        raise UsageError(f"{path} is no checkpoint: the file is empty")
    allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
    if path.suffix == ".safetensors" or beginning[8:] == b"{":  # eight bytes for the length of a JSON header
        return Opened(_read_safetensors(path, allowance, header=int.from_bytes(beginning[:8], "little")))
    zipped = beginning[:4] == b"PK\3\4"
    if path.suffix == ".npz" or (zipped and is_npz(file, allowance=allowance)):
        return Opened({"state_dict": read_npz(file, allowance=allowance)})
    return _read_torch(path, file, zipped=zipped, allowance=allowance)


def _read_torch(path: Path, file: BinaryIO, *, zipped: bool, allowance: Allowance) -> Opened:
    file.seek(0)
    try:
        content = (read_zip if zipped else read_legacy)(file, allowance=allowance)
    except UsageError:
        raise
    except PickleError as error:
        raise UsageError(f"{path} is no checkpoint of tensors and plain data: {error}") from error
    except Exception as error:  # a damaged file may lead to nearly any
        if is_failing_disk(error):
            raise
        reason = "it is cut off or damaged"
        raise UsageError(f"{path} is no checkpoint of tensors and plain data: {reason}") from error
    others = tuple(left_out(content))
    if others and others[0][0] == "":
        raise unsafe(path, others[0][1])
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return Opened(content, others)


def unsafe(path: Path | str, name: str) -> UsageError:
    """Returns the error for a checkpoint whose weights only code of `name` could make."""
    return UsageError(
        f"{path} is no checkpoint of tensors and plain data: it wants to load {name[:100]}, which may run code; "
        "save the state dict of the network alone"
    )


def _read_safetensors(path: Path, allowance: Allowance, *, header: int) -> dict[str, Any]:
    from safetensors import safe_open

    check_encodable(str(path), advice="rename the file")
    allowance.take(JSON * min(header, allowance.size), "its header")
    try:
        with safe_open(path, framework="pt") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            allowance.take(TENSOR * len(names), "its tensors")
            content: dict[str, Any] = {"state_dict": {name: file.get_tensor(name) for name in names}}
    except UsageError:
        raise
    except Exception as error:  # a damaged header may lead to any
        kind = "no safetensors file, or it is cut off or damaged"
        raise UsageError(f"{path} is {kind}") from error
    if METADATA in metadata:
        allowance.take(JSON * len(metadata[METADATA]), "its metadata")
        try:
            content[METADATA] = json.loads(metadata[METADATA])
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path}: its metadata {METADATA!r} is no JSON, or nested too deep") from error
    return content


def file_sha256(path: Path) -> str:
    """Returns the sha256 of a file, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def network_state(checkpoint: Mapping[str, Any], *, prefix: str) -> dict[str, Tensor]:
    """Returns the tensors under `prefix` in a Lightning checkpoint's `state_dict`, the prefix removed.

    >>> import torch
    >>> network_state({"state_dict": {"network.fc.bias": torch.zeros(1)}}, prefix="network.")
    {'fc.bias': tensor([0.])}
    """
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise UsageError(f"the checkpoint has no 'state_dict'; it has {', '.join(map(str, checkpoint)) or 'nothing'}")
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
