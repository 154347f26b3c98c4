"""The memory of the process: how freed memory is kept, how much is free, and the errors of too little."""

from __future__ import annotations

import ctypes
import math
import platform
from pathlib import Path

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # the parameters' numbers in glibc's malloc.h

_SIGNS = ("allocate memory", "ALLOC_FAILED", "ALLOCATION_FAILED", "CUDA error: out of memory", "bad_alloc")
_ONEDNN = ("could not create a primitive", "could not execute a primitive")  # no more: memory for code or scratchpad


def keep_freed_memory() -> bool:
    """Makes glibc keep the memory of freed tensors for the next ones, and returns whether it could.

    By default each large tensor is mapped afresh and given back when it is freed, and the page faults cost some percent
    of a training step on a CPU. The arithmetic is not touched; the process holds its peak memory until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 64 << 20))
    return all(mallopt(parameter, value) for parameter, value in settings)


def out_of_memory(error: RuntimeError) -> bool:
    """Returns whether an error means too little memory: of a GPU, its libraries or the CPU, without a common class."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or text in _ONEDNN or any(sign in text for sign in _SIGNS)


def free_memory(system: Path = Path("/")) -> float:
    """Returns the bytes that the system and its container can still give; infinite where neither says.

    `system` is the root of the files that say it; a container's limit is that of Linux's control groups, version 2, and
    where it cannot be read there is none.
    """
    information = system / "proc/meminfo"
    available = _numbers(information).get("MemAvailable:", math.inf) * 1024 if information.is_file() else math.inf
    group = system / "sys/fs/cgroup"
    try:
        limit = float((group / "memory.max").read_text())
        used = float((group / "memory.current").read_text())
        cached = _numbers(group / "memory.stat").get("inactive_file", 0.0)  # given back when it is needed
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return available
    return max(0.0, min(available, limit - used + cached))


def _numbers(file: Path) -> dict[str, float]:
    """Returns the lines of a file, each a name and a number."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
