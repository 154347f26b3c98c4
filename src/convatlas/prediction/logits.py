"""Images and preprocessing to logits: the one path of everything that asks a network for an answer."""

from __future__ import annotations

import contextlib
import warnings
from contextlib import AbstractContextManager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError, unknown
from convatlas.layers import folded
from convatlas.prediction.memory import out_of_memory
from convatlas.recipe import Precision

Device = Literal["auto", "cpu", "cuda"]

BATCH_SIZE = 64  # images at a time: small enough for the caches of a CPU


def predict_logits(
    network: nn.Module, images: Tensor, *, preprocessing: Preprocessing, precision: Precision = "float32"
) -> Tensor:
    """The logits (N, num_classes), float32 on the CPU, for uint8 images (N, C, H, W).

    The network is put in eval mode for the time of the call. Images may be on the network's device or on the CPU. Where
    memory does not suffice, fewer images are worked on at a time, and a warning says so.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    parts: list[Tensor] = []
    size, done = BATCH_SIZE, 0
    try:
        with torch.inference_mode(), autocast(device, precision):
            while done < len(images) or not parts:
                try:
                    part = images[done : done + size].to(device)
                    parts.append(network(network_input(preprocessing(part))).float().cpu())
                    done += size
                except RuntimeError as error:
                    if size == 1 or not out_of_memory(error):
                        raise
                    size = _halved(size, device)
    finally:
        network.train(was_training)
    return torch.cat(parts)


def _halved(size: int, device: torch.device) -> int:
    """Half as many images at a time, and a warning."""
    warnings.warn(
        f"too little memory on {device.type} for {size} images at a time: going on with {size // 2}; "
        "the answers are the same but for rounding",
        stacklevel=3,
    )
    return size // 2


def answering(network: nn.Module, *, precision: Precision) -> nn.Module:
    """The network as it answers fastest: channels last in memory, and in bf16 a copy with its batch norms folded.

    The weights of the copy are rounded to bf16 here, once, and not for each batch. In float32 it is the network itself,
    unfolded, so that its logits are the plain ones.
    """
    if precision == "bf16":
        network = folded(network)
        for layer in network.modules():
            if type(layer) in (nn.Conv2d, nn.Linear):
                layer.to(torch.bfloat16)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def network_input(images: Tensor) -> Tensor:
    """The batch in the memory layout in which convolutions are fastest (channels last)."""
    return images.contiguous(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 arithmetic where `precision` asks for it."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def described(device: str | torch.device, precision: Precision) -> str:
    """The arithmetic in a line: what every number that a network gives on this device is computed in.

    >>> described("cpu", "float32")
    'float32 on cpu'
    """
    kind = torch.device(device).type
    if precision == "float32":
        return f"float32 on {kind}"
    emulated = "" if has_bf16(kind) else f"; this {kind} has no bf16 arithmetic and emulates it, slower than float32"
    return f"bf16 on {kind}, batch norms folded into convolutions for answers{emulated}"


def has_bf16(kind: str) -> bool:
    """Whether the CPU or the GPU computes in bf16 itself."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))


def resolve_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` is cuda where there is one. Raises `UsageError` for cuda where there is none."""
    if device not in get_args(Device):
        raise unknown("device", device, get_args(Device))
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch finds no CUDA device here; use auto or cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
