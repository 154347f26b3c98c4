"""How the process asks the system for memory while it trains on a CPU."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # the parameters' numbers in glibc's malloc.h


def keep_freed_memory() -> bool:
    """Makes glibc keep the memory of freed tensors for the next step; whether it could.

    By default each large tensor is mapped afresh and given back when it is freed, and the page faults cost some percent
    of a training step on a CPU. The arithmetic is not touched; the process holds its peak memory until it ends.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = ((_MMAP_THRESHOLD, 1 << 30), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 64 << 20))
    return all(mallopt(parameter, value) for parameter, value in settings)
