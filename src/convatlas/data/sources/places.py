"""The places where the files of a collection may lie, and files that lie there in a form that is not read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from convatlas.data.images.formats import SUFFIXES
from convatlas.files import read_regular

KINDS = (".parquet", ".arrow", ".npz", ".npy", ".mat", ".bin", ".pkl", ".h5", ".tfrecord")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar", ".bz2", ".xz", ".zst")
INSIDE = (*KINDS, *ARCHIVES, ".pt", ".csv")  # a loose file of these may be of a run
PICTURES = 10  # in one folder: fewer may be figures
WORDS = {  # by which files and folders of a collection are known, whoever made them
    "cifar10": r"cifar[-_ ]?10(?!\d)",
    "cifar100": r"cifar[-_ ]?100(?!\d)",
    "mnist": r"(?<![a-z])(?<!fashion[-_ ])mnist",
    "fashion_mnist": r"fashion[-_ ]?mnist",
}
DEEPEST = 5  # folders in each other that are searched for files of another form
MOST = 10_000  # entries of a folder that are looked at


class Known(Protocol):
    """A layout that knows its files by name."""

    def resembles(self, name: str) -> bool:
        """Returns whether a file of this name may be one of the layout's, under whatever name it was saved."""
        ...


def places(root: Path, *, name: str, homes: Sequence[str]) -> Iterator[Sequence[Path]]:
    """Yields the places where the files may lie, the nearest first, several that are equally near at a time.

    They are the homes in a folder, the hub's cache in it, and the homes in its subfolders. A home may have a folder of
    its own name in it, as some programs unpack archives.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    inside = [root / home for home in homes]
    yield inside
    yield [place / place.name for place in inside]
    yield list(_in_hub(root, name=name, homes=homes))
    below = [folder / home for folder in folders for home in homes if os.access(folder, os.X_OK)]
    yield below
    yield [place / place.name for place in below]


def misfits(root: Path, *, name: str, layouts: Sequence[Known], own: Sequence[str]) -> list[Path]:
    """Returns files and folders that seem to be of a collection, though no layout could read them there.

    They are loose files that resemble a layout's, and whatever has the collection's name and holds data. `own` are the
    names of the files that are downloaded.
    """
    words = re.compile(WORDS.get(name, re.escape(name)), re.IGNORECASE)

    def is_misfit(entry: Path) -> bool:
        named = words.search(entry.name) is not None
        if entry.is_dir():
            return named and _holds_data(entry)
        of_data = entry.suffix.lower() in (*KINDS, *ARCHIVES) or re.search(r"(train|test)[^/]*\.csv$", entry.name)
        loose = any(layout.resembles(entry.name) for layout in layouts)
        return loose or bool(named and of_data and entry.name not in own)

    return sorted(filter(is_misfit, _entries(root)))


def _in_hub(root: Path, *, name: str, homes: Sequence[str]) -> Iterator[Path]:
    """Yields the folders of a collection in the cache of the hub: `datasets--OWNER--NAME/snapshots/HASH/...`."""
    caches = (root, root / "hub", root / "huggingface" / "hub")
    repositories = [folder for cache in caches for folder in sorted(cache.glob("datasets--*"))]
    named = [folder for folder in repositories if folder.name.rpartition("--")[2] == name]
    for repository in [root, *named]:
        for snapshot in snapshots(repository):
            yield from (snapshot / home for home in (*homes, "default", "data"))
            yield snapshot


def snapshots(repository: Path) -> list[Path]:
    """Returns the snapshot that is the newest by the cache's own note, else all."""
    found = sorted(path for path in (repository / "snapshots").glob("*") if path.is_dir())
    note = repository / "refs" / "main"
    newest = read_regular(note).decode("ascii", "replace").strip() if note.is_file() else ""
    return [path for path in found if path.name == newest] or found


def _entries(folder: Path) -> list[Path]:
    """Returns what lies in a folder, without hidden entries."""
    try:
        with os.scandir(folder) as entries:
            return [Path(entry.path) for entry, _ in zip(entries, range(MOST), strict=False) if entry.name[0] != "."]
    except OSError:  # it may not be read, and is nobody's data then
        return []


def _holds_data(folder: Path, depth: int = 1) -> bool:
    """Returns whether a folder, or one in it, has a file of a kind that data have."""
    entries = _entries(folder)
    suffixes = [entry.suffix.lower() for entry in entries]
    pictures = sum(suffix in SUFFIXES for suffix in suffixes)
    if pictures >= PICTURES or any(suffix in INSIDE for suffix in suffixes) or any("ubyte" in e.name for e in entries):
        return True
    return depth < DEEPEST and any(_holds_data(entry, depth + 1) for entry in entries if entry.is_dir())
