"""Devices and the arithmetic that a network computes in."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from convatlas import values
from convatlas.errors import UsageError
from convatlas.recipe import Precision
from convatlas.values import Device

BATCH_SIZE = 64  # images that are answered at a time: small enough for the caches of a CPU


def resolve_device(device: str) -> str:
    """Returns `cpu` or `cuda`; `auto` is cuda where there is one. Raises `UsageError` for cuda where there is none."""
    values.parse(device, Device, name="device")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch finds no CUDA device here; use auto or cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def described(device: str | torch.device, precision: Precision) -> str:
    """Returns the arithmetic of a network on this device, in a line.

    >>> described("cpu", "float32")
    'float32 on cpu'
    """
    kind = torch.device(device).type
    if precision == "float32":
        return f"float32 on {kind}"
    emulated = "" if has_bf16(kind) else f"; this {kind} has no bf16 arithmetic and emulates it, slower than float32"
    return f"bf16 on {kind}, batch norms folded into convolutions for answers{emulated}"


def has_bf16(kind: str) -> bool:
    """Returns whether the CPU or the GPU computes in bf16 itself."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Switches to bfloat16 arithmetic where `precision` asks for it."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def network_input(images: Tensor) -> Tensor:
    """Returns the batch in the memory layout in which convolutions are fastest (channels last).

    A batch that has no height and width, such as features, stays as it is.
    """
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
