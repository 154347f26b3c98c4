"""hf:PATH-OR-NAME, a data set as the Hugging Face hub lays it out: parquet files or folders; by name with an extra."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convatlas.data.dataset import Source
from convatlas.data.images.packed import PackedStore, packed
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.collection import data_folder
from convatlas.data.sources.folder import list_folder
from convatlas.data.sources.layouts.encoded import Columns, columns_of, records_of
from convatlas.data.sources.listing import PARTS, Found, Listing, in_use, listed_source
from convatlas.data.sources.part_names import absolute, chosen_columns, part_in, part_named, said_columns, taken_of
from convatlas.data.sources.places import snapshots
from convatlas.data.sources.table import list_table
from convatlas.data.sources.walking import files_below, natural
from convatlas.errors import UsageError, printable

CHOICES = ("image", "label", "config")
METADATA = "metadata.csv"
FILE_COLUMNS = {"image": ("file_name", "image"), "label": ("label", "labels", "fine_label")}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def hub_source(reference: str) -> Source:
    """Returns a data set in the hub's layout as a source: a folder's, or by name that of the hub itself.

    Raises `UsageError` for one that cannot be used.
    """
    path, chosen = chosen_columns(reference, CHOICES)
    place = absolute(path)
    if place.is_dir():
        listing = _list_hub(place, chosen)
        return listed_source(listing, name=f"hf:{place}{said_columns(chosen)}", title=f"Images of {place.name}")
    if path.startswith((".", "/", "~")) or not _HUB_NAME.fullmatch(path):
        raise UsageError(f"there is no folder at {place}; hf:PATH needs one with parquet files or images")
    from convatlas.data.sources.hub_download import list_named

    name = f"hf:{path}{said_columns(chosen)}"
    return listed_source(list_named(path, chosen), name=name, title=f"{path} of the Hugging Face hub")


def _list_hub(place: Path, chosen: Mapping[str, str]) -> Listing:
    """Returns the images in a folder of the hub's layout."""
    root = (snapshots(place) or [place])[-1]
    names = [name for name in files_below(str(root), ".") if name.endswith((".parquet", f"/{METADATA}"))]
    parquet = [name.removeprefix("./") for name in names if name.endswith(".parquet")]
    if parquet:
        return _list_parquet(root, parquet, chosen)
    tables = [root / name for name in names if name.count("/") <= 2]
    if tables:
        return _list_tables(root, tables, chosen)
    if chosen:
        raise UsageError(f"{root} has no parquet file and no {METADATA}, and so no column to choose")
    return list_folder(root)


def _list_parquet(root: Path, names: Sequence[str], chosen: Mapping[str, str]) -> Listing:
    """Returns the images in parquet files: in memory, or in a file of the cache that their content names."""
    found = [columns_of(root / name, chosen) for name in names]
    classes = found[0].classes
    other = next((name for name, columns in zip(names, found, strict=True) if columns.classes != classes), None)
    if other is not None:
        raise UsageError(f"{root / other} has other classes than {names[0]}; name a folder with one data set")
    key = hashlib.sha256(b"".join(columns.footer for columns in found))
    key.update("\0".join((*names, found[0].image, found[0].label)).encode("utf-8", "surrogateescape"))
    place = data_folder(None) / "packed" / f"{key.hexdigest()[:16]}.bin"
    size = sum(columns.size for columns in found)
    images = packed(_records(root, names, found), size=size, place=place)
    firsts = np.cumsum([0, *(columns.rows for columns in found)])
    store = PackedStore(images.content, images.ends, root, names, firsts[:-1])
    names_of, labels = _named(root, classes, images.names, images.labels)
    used, labels, notes = in_use(names_of, labels)
    for columns in found:
        notes += taken_of("hf:PATH", "image", columns.image_names) + taken_of("hf:PATH", "label", columns.label_names)
    notes = tuple(dict.fromkeys(notes))
    return Listing(str(root), store, used, labels, _parts(root, names, firsts), notes=notes)


def _records(root: Path, names: Sequence[str], found: Sequence[Columns]) -> Iterator[tuple[bytes, str]]:
    for name, columns in zip(names, found, strict=True):
        yield from records_of(root / name, columns)


def _named(
    root: Path, stated: tuple[str, ...], written: tuple[str, ...], labels: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the classes in their order and the labels as places among them.

    Where the files state no names, the labels are the names. Raises `UsageError` for a number that no class has.
    """
    classes = stated or tuple(sorted(written, key=natural))
    places = {str(place) if stated else name: place for place, name in enumerate(classes)}
    strange = next((name for name in written if name not in places), None)
    if strange is not None:
        raise UsageError(f"{root} has the label {printable(strange)}, and its {len(classes)} classes are 0 and more")
    if len(set(classes)) < len(classes):
        raise UsageError(f"{root} names a class twice; each name belongs to one class")
    return classes, np.array([places[name] for name in written], np.int64)[labels]


def _parts(root: Path, names: Sequence[str], firsts: np.ndarray) -> Mapping[str, Found]:
    """Returns the parts that files are named after, or the folders in which they lie.

    Raises `UsageError` where only some are.
    """
    said = [part_in(os.path.basename(name)) or _folder_part(name) for name in names]
    everything = np.arange(int(firsts[-1]))
    if not any(said):
        return {"train": Found(str(root), everything)}
    if not all(said):
        raise UsageError(f"{root / names[said.index(None)]} names no part, train, validation or test, and others do")
    of = np.repeat([str(part) for part in said], np.diff(firsts))
    return {part: Found(f"{root} ({part} files)", everything[of == part]) for part in PARTS if part in said}


def _folder_part(name: str) -> str | None:
    return next(filter(None, map(part_named, reversed(name.split("/")[:-1]))), None)


def _list_tables(root: Path, tables: Sequence[Path], chosen: Mapping[str, str]) -> Listing:
    """Returns the images that tables name: one beside all images, or one in the folder of each part."""
    listings = [list_table(table, chosen, names=FILE_COLUMNS) for table in tables]
    if len(tables) == 1:
        return listings[0]
    classes = tuple(sorted({name for listing in listings for name in listing.classes}, key=natural))
    names: list[str] = []
    labels: list[np.ndarray] = []
    parts: dict[str, Found] = {}
    for table, listing in zip(tables, listings, strict=True):
        part = part_named(table.parent.name)
        if part is None or part in parts:
            raise UsageError(f"{table} lies in no folder of a part of its own: train, validation or test")
        parts[part] = Found(str(table.parent), np.arange(len(names), len(names) + len(listing.labels)))
        below = table.parent.relative_to(root).as_posix()
        names += [f"{below}/{listing.store.name(number)}" for number in range(len(listing.labels))]
        labels.append(np.array([classes.index(name) for name in listing.classes], np.int64)[listing.labels])
    ordered = {part: parts[part] for part in PARTS if part in parts}
    notes = tuple(dict.fromkeys(note for listing in listings for note in listing.notes))
    missing = next((listing.missing_files for listing in listings if listing.missing_files), "")
    return replace(
        listings[0], home=str(root), store=FileStore(root, names), classes=classes, labels=np.concatenate(labels),
        parts=ordered, notes=notes, missing_files=missing,
    )  # fmt: skip
