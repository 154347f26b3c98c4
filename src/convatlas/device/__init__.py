"""The machine: devices, arithmetic, memory, and tensors on their way to a device."""

from __future__ import annotations

from convatlas.device.choice import (
    BATCH_SIZE,
    autocast,
    described,
    has_bf16,
    network_input,
    resolve_device,
)
from convatlas.device.kernels import around_fault
from convatlas.device.memory import free_memory, keep_freed_memory, out_of_memory
from convatlas.device.transfer import per_channel, per_row, sent

__all__ = [
    "BATCH_SIZE",
    "around_fault",
    "autocast",
    "described",
    "free_memory",
    "has_bf16",
    "keep_freed_memory",
    "network_input",
    "out_of_memory",
    "per_channel",
    "per_row",
    "resolve_device",
    "sent",
]
