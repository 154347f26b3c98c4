"""csv:FILE, images of one's own: a row for each, with its class, and if wanted its part and its group."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.dataset import Source
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import PARTS, Found, Listing, listed_source
from convatlas.data.sources.part_names import NAMES, absolute, chosen_columns, part_named, said_columns, taken_of
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError, printable
from convatlas.files import read_regular

COLUMNS = ("image", "label", "split", "group")
DELIMITERS = ",;\t"
Row = tuple[int, dict[str, str]]  # the number of the line, and the cells of the columns in use


def csv_source(reference: str) -> Source:
    """Returns the images that a table names as a source. Raises `UsageError` for a table that cannot be used."""
    path, chosen = chosen_columns(reference, COLUMNS)
    file = absolute(path)
    listing = list_table(file, chosen)
    return listed_source(listing, name=f"csv:{file}{said_columns(chosen)}", title=f"Images of the table {file.name}")


def list_table(
    file: Path, chosen: Mapping[str, str] | None = None, *, names: Mapping[str, Sequence[str]] | None = None
) -> Listing:
    """Returns the images that a table names, in the order of its rows.

    `chosen` has the names of columns, `names` the usual names of others. Raises `UsageError` for a table that cannot be
    used.
    """
    usual = (
        {use: (use,) for use in COLUMNS} | dict(names or {}) | {use: (name,) for use, name in (chosen or {}).items()}
    )
    notes: list[str] = []
    reference = "hf:PATH" if names else f"csv:{file.name}"
    header = _Header(file, usual, must={"image", "label", *(chosen or {})}, reference=reference, notes=notes)
    rows = list(_rows(header))
    if not rows:
        raise UsageError(f"{file} has no row below its header; it needs a row for each image")
    missing = _find_images(file, rows, notes=notes)
    if not missing:
        _check_repeated(file, rows)
    images = [row["image"] for _, row in rows]
    classes = tuple(sorted({row["label"] for _, row in rows}, key=natural))
    places = {name: place for place, name in enumerate(classes)}
    labels = np.array([places[row["label"]] for _, row in rows], np.int64)
    groups = None
    if "group" in rows[0][1]:  # an image without a group stands alone
        groups = [row["group"] or f"\0 line {line}" for line, row in rows]
    store, parts = FileStore(file.parent, images), _parts(file, rows)
    return Listing(str(file), store, classes, labels, parts, groups, tuple(notes), missing)


@dataclass(frozen=True)
class _Header:
    """The columns that a table may have: the usual names of each, the uses that it must have, and where notes go."""

    file: Path
    usual: Mapping[str, Sequence[str]]
    must: set[str]
    reference: str
    notes: list[str]

    def columns(self, names: Sequence[str]) -> dict[str, int]:
        """Returns the place of each column in use. Raises `UsageError` for one that is missing or there twice."""
        places = {}
        for use, usual in self.usual.items():
            found = {name: own for name in usual if (own := _named(name, names))}
            if not found and use in self.must:
                raise self._missing(use, names)
            if found:
                name, own = next(iter(found.items()))
                if len(own) > 1:
                    raise UsageError(
                        f"{self.file} has the column {printable(name)} {len(own)} times; leave one of them"
                    )
                places[use] = own[0]
                self.notes.extend(taken_of(self.reference, use, [names[each[0]] for each in found.values()]))
        return places

    def _missing(self, use: str, names: Sequence[str]) -> UsageError:
        """Returns the error for a column that is missing; where the first line is a row, it says so."""
        found = printable(", ".join(names), most=200)
        if any(name.lower().endswith(SUFFIXES) for name in names):
            return UsageError(
                f"{self.file} has no header: its first line is {found}; write a line with the names of the columns "
                "above it, such as image,label"
            )
        return UsageError(
            f"{self.file} has no column {printable(' or '.join(self.usual[use]))}; its columns are {found}; choose "
            f"one, such as {self.reference}?{use}=NAME"
        )


def _named(name: str, names: Sequence[str]) -> list[int]:
    """Returns the places of the columns of a name; where none is written as it is, the case of letters is no matter."""
    equal = [place for place, each in enumerate(names) if each == name]
    return equal or [place for place, each in enumerate(names) if each.casefold() == name.strip().casefold()]


def _rows(header: _Header) -> Iterator[Row]:
    """Yields the rows of a table. Raises `UsageError` for a file that is none, and for a cell that is missing."""
    file = header.file
    lines = _text(file).splitlines(keepends=True)
    if not lines:
        raise UsageError(f"{file} is empty; it needs a header with the columns image and label")
    delimiter = max(DELIMITERS, key=lines[0].count)
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader)]
        columns = header.columns(names)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise UsageError(f"line {reader.line_num} of {file} has {len(cells)} cells, the header {len(names)}")
            row = {use: cells[place].strip() for use, place in columns.items()}
            for use in ("image", "label"):
                if not row[use]:
                    raise UsageError(f"line {reader.line_num} of {file} has no {use}; fill it in or remove the line")
            yield reader.line_num, row
    except csv.Error as error:
        raise UsageError(f"line {reader.line_num} of {file} is no row of a table: {error}") from error


def _text(file: Path) -> str:
    """Returns the text of a table in UTF-8, with or without the mark at its beginning."""
    if not file.exists():
        raise UsageError(f"there is no table at {file}; csv:FILE needs one with the columns image and label")
    try:
        return read_regular(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text in UTF-8; save the table as CSV in UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error


def _find_images(file: Path, rows: list[Row], *, notes: list[str]) -> str:
    """Returns a line that says which images are not there, or none. Backslashes become slashes where that finds a file.

    Each folder is read once: to ask for each of a hundred thousand files takes longer.
    """
    folders: dict[str, set[str]] = {}

    def is_there(name: str) -> bool:
        folder, base = os.path.split(os.path.join(file.parent, name))
        if folder not in folders:
            folders[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        return base in folders[folder]

    absent: list[Row] = []
    turned = 0
    for line, row in rows:
        if is_there(row["image"]):
            continue
        if "\\" in row["image"] and is_there(row["image"].replace("\\", "/")):
            row["image"] = row["image"].replace("\\", "/")
            turned += 1
        else:
            absent.append((line, row))
    if turned:
        notes.append(f"paths in {file.name} of which backslashes are read as slashes: {turned:,}")
    if not absent:
        return ""
    line, row = absent[0]
    more = f", and {len(absent) - 1:,} more are missing" if len(absent) > 1 else ""
    slashes = "; with slashes in place of its backslashes none is there either" if "\\" in row["image"] else ""
    return (
        f"line {line} of {file}: there is no image at {printable(row['image'])}{more}; paths are relative to the "
        f"folder of the table{slashes}"
    )


def _check_repeated(file: Path, rows: list[Row]) -> None:
    """Raises `UsageError` for an image that is named twice."""
    seen: dict[str, int] = {}
    for line, row in rows:
        name = row["image"]
        if (first := seen.setdefault(os.path.normpath(name), line)) != line:
            raise UsageError(f"line {line} of {file} names {printable(name)} again, after line {first}; remove one")


def _parts(file: Path, rows: list[Row]) -> dict[str, Found]:
    """Returns the parts that a table has. Raises `UsageError` for an unknown one, and where some rows have none."""
    given = [row.get("split", "") for _, row in rows]
    if not any(given):
        return {"train": Found(str(file), np.arange(len(rows)))}
    parts = []
    for (line, _), word in zip(rows, given, strict=True):
        part = part_named(word)
        if part is None:
            permitted = ", ".join(name for names in NAMES.values() for name in names)
            said = f"the split {printable(word)}" if word else "no split"
            raise UsageError(f"line {line} of {file} has {said}; it is {permitted}, in every row or in none")
        parts.append(part)
    of = np.array(parts)
    return {part: Found(f"{file} ({part} rows)", np.flatnonzero(of == part)) for part in PARTS if part in parts}
