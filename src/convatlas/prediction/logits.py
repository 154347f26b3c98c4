"""Images and preprocessing to logits: the one path of everything that asks a network for an answer."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError, unknown
from convatlas.layers import folded
from convatlas.recipe import Precision

Device = Literal["auto", "cpu", "cuda"]

BATCH_SIZE = 64  # images at a time: small enough for the caches of a CPU


def predict_logits(
    network: nn.Module, images: Tensor, *, preprocessing: Preprocessing, precision: Precision = "float32"
) -> Tensor:
    """The logits (N, num_classes), float32 on the CPU, for uint8 images (N, C, H, W).

    The network is put in eval mode for the time of the call. Images may be on the network's device or on the CPU.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), autocast(device, precision):
            parts = [
                network(network_input(preprocessing(part.to(device)))).float().cpu()
                for part in torch.split(images, BATCH_SIZE)
            ]
    finally:
        network.train(was_training)
    return torch.cat(parts)


def answering(network: nn.Module, *, precision: Precision) -> nn.Module:
    """The network as it answers fastest: channels last in memory, and in bf16 with its batch norms folded.

    In float32 the network itself, unfolded, so that its logits are the plain ones.
    """
    if precision == "bf16":
        network = folded(network)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def network_input(images: Tensor) -> Tensor:
    """The batch in the memory layout in which convolutions are fastest (channels last)."""
    return images.contiguous(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 arithmetic where `precision` asks for it."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def resolve_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` is cuda where there is one. Raises `UsageError` for cuda where there is none."""
    if device not in get_args(Device):
        raise unknown("device", device, get_args(Device))
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch finds no CUDA device here; use auto or cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
