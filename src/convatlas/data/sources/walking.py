"""Folders and the files below them in the order in which people count, without an object for each file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from convatlas.errors import UsageError

_PIECES = re.compile(r"(\D*)(\d*)")


def natural(name: str) -> tuple[list[tuple[str, int, str]], str]:
    """Returns the key by which names are sorted as people do.

    >>> sorted(["class 10", "class 9", "Class 1"], key=natural)
    ['Class 1', 'class 9', 'class 10']
    """
    pieces = _PIECES.findall(name.casefold())
    return [(text, int(number) if number else -1, number) for text, number in pieces], name


def folders_in(home: Path) -> list[str]:
    """Returns the names of the folders in a folder in natural order. Raises `UsageError`."""
    try:
        with os.scandir(home) as entries:
            return sorted((entry.name for entry in entries if entry.is_dir()), key=natural)
    except OSError as error:
        raise UsageError(f"cannot read the folder {home}: {error.strerror}") from error


def files_below(root: str, folder: str) -> Iterator[str]:
    """Yields the files in a folder and below it, as paths below `root`, without hidden ones, in natural order.

    The files of a folder come before its folders. Raises `UsageError` for a folder that cannot be read.
    """
    place = os.path.join(root, folder)
    files: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name[0] != ".":
                    (folders if entry.is_dir(follow_symlinks=False) else files).append(entry.name)
    except OSError as error:
        raise UsageError(f"cannot read the folder {place}: {error.strerror}") from error
    yield from (f"{folder}/{name}" for name in sorted(files, key=natural))
    for name in sorted(folders, key=natural):
        yield from files_below(root, f"{folder}/{name}")
