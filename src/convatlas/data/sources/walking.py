"""Folders and the files below them in the order in which people count, without an object for each file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
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
            names = sorted((entry.name for entry in entries if entry.is_dir()), key=natural)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename or home}: {error.strerror}") from error
    check_case(str(home), names)
    return names


def files_below(root: str, folder: str, *, hidden: list[str] | None = None) -> Iterator[str]:
    """Yields the files in a folder and below it, as paths below `root`, in natural order.

    The files of a folder come before its folders. Links to folders are followed. Hidden files are left out, and hidden
    folders, whose paths are appended to `hidden`. Raises `UsageError` for a folder that cannot be read, for a link that
    leads back to a folder around it, and for names that differ in the case of their letters only.
    """
    place = os.path.join(root, folder)
    files: list[str] = []
    folders: list[str] = []
    try:
        if os.path.islink(place):
            _check_circle(root, folder)
        with os.scandir(place) as entries:
            for entry in entries:
                (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename or place}: {error.strerror}") from error
    check_case(place, [*files, *folders])
    if hidden is not None:
        hidden += [f"{folder}/{name}" for name in folders if name[0] == "."]
    yield from (f"{folder}/{name}" for name in sorted(files, key=natural) if name[0] != ".")
    for name in sorted(folders, key=natural):
        if name[0] != ".":
            yield from files_below(root, f"{folder}/{name}", hidden=hidden)


def check_case(place: str, names: Iterable[str]) -> None:
    """Raises `UsageError` for names in one folder that differ in the case of their letters only."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise UsageError(
                f"{place} has {' and '.join(sorted((other, name)))}, which differ in the case of letters only: on many "
                "disks one would take the place of the other; rename one"
            )


def _check_circle(root: str, folder: str) -> None:
    """Raises `UsageError` for a link that leads to a folder in which it lies, or through which it was reached."""
    link = os.path.join(root, folder)
    target, around = os.path.realpath(link), os.path.dirname(link)
    while len(around) >= len(root):
        place = os.path.realpath(around)
        if place == target or place.startswith(os.path.join(target, "")):
            raise UsageError(f"{link} is a link that leads in a circle, back to {target}; remove it")
        around = os.path.dirname(around)
