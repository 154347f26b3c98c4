"""The names that people give to the parts of a data set, and columns that a reference chooses."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from convatlas.errors import UsageError, printable, unknown

NAMES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}  # of the parts
_TOKEN = re.compile(r"(?:^|[-_.])(train|validation|valid|val|test)(?=[-_.\d]|$)", re.IGNORECASE)


def part_named(name: str) -> str | None:
    """Returns the part that a word names, or None.

    >>> part_named("Valid"), part_named("dogs")
    ('validation', None)
    """
    return next((part for part, names in NAMES.items() if name.strip().lower() in names), None)


def part_in(name: str) -> str | None:
    """Returns the part that is named in the name of a file, or None.

    >>> part_in("imagenet-train-0001.tar"), part_in("val-00000-of-00001.parquet"), part_in("trained.tar")
    ('train', 'validation', None)
    """
    found = _TOKEN.search(name)
    return part_named(found[1]) if found else None


def chosen_columns(reference: str, permitted: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Returns the path in a reference, and the columns that it chooses behind a question mark.

    Raises `UsageError` for a column that has no use.

    >>> chosen_columns("photos.csv?image=file&label=species", ("image", "label"))
    ('photos.csv', {'image': 'file', 'label': 'species'})
    """
    path, mark, query = reference.rpartition("?")
    if not mark or Path(reference).expanduser().exists():
        return reference, {}
    chosen = dict(parse_qsl(query, keep_blank_values=True))
    for name, column in chosen.items():
        if name not in permitted:
            raise unknown("column", name, permitted, hint=f"; write {path}?{permitted[0]}=NAME&{permitted[1]}=NAME")
        if not column:
            raise UsageError(f"{reference} names no column for {name}; write {name}=NAME")
    if not chosen:
        raise UsageError(f"{reference} has a question mark and no column; write {path}?{permitted[0]}=NAME")
    return path, chosen


def taken_of(reference: str, use: str, found: Sequence[str]) -> tuple[str, ...]:
    """Returns a note where several columns have a usual name: the first is taken, and another can be chosen.

    >>> taken_of("hf:pets", "label", ["label", "labels"])
    ('columns label and labels may hold the label; label is taken, and hf:pets?label=labels takes the other',)
    """
    if len(found) < 2:
        return ()
    names = " and ".join(printable(name) for name in found)
    other = f"{reference}?{use}={printable(found[1])}"
    return (f"columns {names} may hold the {use}; {printable(found[0])} is taken, and {other} takes the other",)


def said_columns(chosen: dict[str, str]) -> str:
    """Returns chosen columns as a reference names them."""
    return "?" + "&".join(f"{name}={column}" for name, column in chosen.items()) if chosen else ""


def absolute(path: str) -> Path:
    """Returns a path that means the same from everywhere."""
    return Path(os.path.abspath(Path(path).expanduser()))
