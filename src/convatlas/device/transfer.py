"""Small tensors on their way to the device, which nothing waits for."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def sent(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Returns the tensor on a device, where a copy may still be under way: nothing here waits for it.

    A copy to a GPU waits for all work there unless the tensor lies in pinned memory.
    """
    if device.type == "cuda" and not tensor.is_cuda:
        tensor = tensor.pin_memory()
    return tensor.to(device, dtype, non_blocking=True)


@lru_cache(maxsize=64)
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """float32 (1, channels, 1, 1) on a device, sent there once."""
    with torch.inference_mode(False):  # what is made in inference mode can have no part in training
        return torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)


@lru_cache(maxsize=64)
def per_row(values: tuple[float, ...], width: int) -> Tensor:
    """float32 (width * channels,) on the CPU: the values of all channels for one pixel after the other."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32).repeat(width)
