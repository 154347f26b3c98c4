"""Checkpoint files as plain data and tensors: torch's zip and legacy formats, safetensors, and numpy's arrays."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convatlas.errors import UsageError
from convatlas.weights.npz import is_npz, read_npz

METADATA = "convatlas"  # the entry of a checkpoint in which we say what network it is of


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint file as plain data and tensors on the CPU; nothing but these is unpickled.

    The tensors of a safetensors or `.npz` file are its `state_dict`. Raises `UsageError` for a file that is missing,
    empty or cut off, that is no checkpoint or that holds other objects.
    """
    if not path.is_file():
        raise UsageError(f"no checkpoint at {path}")
    try:
        with path.open("rb") as file:
            beginning = file.read(9)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if not beginning:
        raise UsageError(f"{path} is no checkpoint: the file is empty")
    if path.suffix == ".safetensors" or beginning[8:] == b"{":  # eight bytes for the length of a JSON header
        return _read_safetensors(path)
    if is_npz(path):
        return {"state_dict": read_npz(path)}
    return _read_torch(path)


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a pickle's protocol: either it can be read or it is refused
            with torch.serialization.safe_globals([argparse.Namespace]):  # the settings that training scripts add
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle may raise anything
        raise UsageError(f"{path} is no checkpoint of tensors and plain data: {_reason(error, path)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds a {type(content).__name__}, not the dictionary of a checkpoint")
    return content


def _reason(error: Exception, path: Path) -> str:
    """Why torch refused the file, without its advice to switch the safety off."""
    text = str(error)
    refused = re.search(r"GLOBAL (\S+)", text) or re.search(r"(?:class|callable|function) (\S+)", text)
    if "Weights only load failed" in text and refused:
        return f"it wants to load {refused[1].strip('.,')}, which may run code"
    with path.open("rb") as file:
        half_a_zip = file.read(2) == b"PK" and not zipfile.is_zipfile(path)
    if half_a_zip or "central directory" in text or isinstance(error, EOFError):
        return "it is cut off or damaged"
    return "it is damaged or of no known format"


def _read_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            content: dict[str, Any] = {"state_dict": {key: file.get_tensor(key) for key in file.keys()}}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{path} is no safetensors file, or it is cut off or damaged") from error
    if METADATA in metadata:
        try:
            content[METADATA] = json.loads(metadata[METADATA])
        except ValueError as error:
            raise UsageError(f"{path}: its metadata {METADATA!r} is no JSON") from error
    return content


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def network_state(checkpoint: Mapping[str, Any], *, prefix: str) -> dict[str, Tensor]:
    """The tensors under `prefix` in a Lightning checkpoint's `state_dict`, the prefix removed.

    >>> network_state({"state_dict": {"network.fc.bias": torch.zeros(1)}}, prefix="network.")
    {'fc.bias': tensor([0.])}
    """
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping):
        raise UsageError(f"the checkpoint has no 'state_dict'; it has {', '.join(map(str, checkpoint)) or 'nothing'}")
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
