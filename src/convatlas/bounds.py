"""A bound on the memory that reading one file may take, kept before anything is allocated.

A file may take four times its size and 64 MiB, but no more than 8 GiB beyond its size. A small file can therefore not
ask for much, and a large honest one is read. A picture may take 1 GiB, which is 89 million pixels: flat ones are small
files. The environment variable `CONVATLAS_FILE_MEMORY` names another bound for both, in GiB.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

from convatlas.errors import UsageError

VARIABLE = "CONVATLAS_FILE_MEMORY"
TIMES = 3  # a compressed file of weights or pixels seldom grows more
FREE = 64 * 2**20  # bytes
LARGEST = 8 * 2**30  # bytes; BiT-M-R152x4, the largest published file of weights, has 4.4e9
GIB = 2**30
PICTURE = GIB  # bytes
PIXEL = 12  # bytes for each pixel of a picture: four times its three channels


def permitted(size: int) -> int:
    """Returns the bytes that a file of `size` bytes may take. Raises `UsageError` for a variable that is no number.

    >>> permitted(0) == 64 * 2**20
    True
    """
    return _chosen() or size + min(TIMES * size + FREE, LARGEST)


def permitted_pixels() -> int:
    """Returns the pixels that a picture may have. Raises `UsageError` for a variable that is no number.

    >>> permitted_pixels()
    89478485
    """
    return (_chosen() or PICTURE) // PIXEL


def check_pixels(path: Path | str, *, width: int, height: int) -> None:
    """Raises `UsageError` that names the file and the bound for a picture of too many pixels."""
    most = permitted_pixels()
    if width * height > most:
        raise UsageError(
            f"{path} has too many pixels: {width} x {height} of at most {most:,}; set {VARIABLE} to more GiB, one for "
            f"each {GIB // PIXEL:,} pixels, if you trust the file"
        )


def _chosen() -> int | None:
    """Returns the bytes that the variable permits, or None where it is not set."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return None
    try:
        gib = float(text)
    except ValueError:
        gib = math.nan
    if not 0 < gib < 1e9:
        raise UsageError(f"{VARIABLE}={text!r} must be a number of GiB above 0, such as 16")
    return int(gib * GIB)


class Allowance:
    """The memory that one file may still take; whoever reads the file takes from it first."""

    def __init__(self, path: Path, *, size: int | None = None) -> None:
        self.path = path
        self.size = path.stat().st_size if size is None else size
        self.whole = self.left = permitted(self.size)

    def take(self, amount: int, purpose: str) -> None:
        """Takes `amount` bytes. Raises `UsageError` that names the file and the bound where so many are not left."""
        self.left -= amount
        if self.left < 0:
            wanted = _bytes(self.whole - self.left)
            raise UsageError(
                f"{self.path} has {_bytes(self.size)} and asks for at least {wanted} of memory for {purpose}; "
                f"it may take {_bytes(self.whole)}; set {VARIABLE} to more GiB if you trust the file"
            )


def _bytes(count: int) -> str:
    """Returns a number of bytes with its unit.

    >>> _bytes(900), _bytes(3_000_000), _bytes(10**11)
    ('900 bytes', '2.9 MiB', '93.1 GiB')
    """
    count = min(count, 2**80)  # a file may declare any number
    for unit, name in ((GIB, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if count >= unit:
            return f"{count / unit:,.1f} {name}"
    return f"{count:,} bytes"
