"""folder:PATH, images of one's own: a folder for each class, in train/, val/ and test/ where these exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from convatlas.data.dataset import Source
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import PARTS, Found, Listing, listed_source
from convatlas.data.sources.part_names import NAMES, absolute
from convatlas.data.sources.table import list_table
from convatlas.data.sources.walking import files_below, folders_in, natural
from convatlas.errors import UsageError

TABLE = "labels.csv"  # in a folder it says which images there are, of which class
SHOWN = 5  # folders in a note


@dataclass
class _Files:
    """The image files that are found one part after the other, their labels, and the folders that stand out."""

    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_part(self, root: Path, home: Path, folders: tuple[str, ...]) -> Found:
        """Adds the images in the folder of a part; `folders` are those of the classes in the order of the labels.

        Raises `UsageError` where there is no image.
        """
        place = "" if home == root else f"{home.name}/"
        before, others = len(self.names), 0
        for label, name in enumerate(folders):
            if not (home / name).is_dir():
                continue
            own, depth = f"{place}{name}", place.count("/") + 2
            for file in files_below(str(root), own, hidden=self.hidden):
                if not file.lower().endswith(SUFFIXES):
                    others += 1
                    continue
                self.names.append(file)
                if file.count("/") >= depth and self.inner[-1:] != [own]:
                    self.inner.append(own)
            self.labels += [label] * (len(self.names) - len(self.labels))
        if len(self.names) == before:
            raise UsageError(f"{home} holds no image; {', '.join(SUFFIXES)} are read")
        if others:
            text = f"files left out of {home.name}, since their names do not end like those of images: {others:,}"
            self.notes.append(text)
        return Found(str(home), np.arange(before, len(self.names)))

    def said(self) -> list[str]:
        """Returns the notes of all parts."""
        notes = [f"hidden folders that were left out: {_some(self.hidden)}"] if self.hidden else []
        if self.inner:
            notes.append(
                f"a class is a folder of the first level; images deeper in it belong to it: {_some(self.inner)}"
            )
        return [*notes, *self.notes]


def folder_source(reference: str) -> Source:
    """Returns the images below a folder as a source. Raises `UsageError` where there is no folder for each class."""
    root = absolute(reference)
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; folder:PATH needs one with a folder for each class")
    if (kind := _kind_of_boxes(root)) is not None:
        raise UsageError(f"the images in {root} have boxes, and no folder for each class: name them {kind}:{root}")
    if (root / TABLE).is_file():
        listing = _with_unnamed(root, list_table(root / TABLE))
        title = f"Images of {root.name}, by its table {TABLE}"
    else:
        listing, title = list_folder(root), f"Images of {root.name}, a folder for each class"
    return listed_source(listing, name=f"folder:{root}", title=title)


def _kind_of_boxes(root: Path) -> str | None:
    """Returns the kind of source with boxes whose folders lie here, such as `voc`; None for other folders."""
    if (root / "Annotations").is_dir() and (root / "JPEGImages").is_dir():
        return "voc"
    if any((root / "annotations").glob("instances_*.json")):
        return "coco"
    return "yolo" if (root / "data.yaml").is_file() and (root / "labels").is_dir() else None


def _with_unnamed(root: Path, listing: Listing) -> Listing:
    """Returns the listing of a table with a note of the images below its folder that no row names."""
    named = {os.path.normpath(listing.store.name(number)) for number in range(len(listing.store))}
    unnamed = 0
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "."]
        below = os.path.relpath(place, root)
        own = [name for name in files if name[0] != "." and name.lower().endswith(SUFFIXES)]
        unnamed += sum(os.path.normpath(os.path.join(below, name)) not in named for name in own)
    note = f"images below {root.name} that no row of {TABLE} names, left out: {unnamed:,}"
    return replace(listing, notes=(*listing.notes, note)) if unnamed else listing


def list_folder(root: Path) -> Listing:
    """Returns the images below a folder. Raises `UsageError` where no folder is of a class."""
    homes, notes = _homes(root)
    visible = {part: _visible(home) for part, home in homes.items()}
    folders = tuple(sorted({name for names in visible.values() for name in names}, key=natural))
    _check_classes(homes, visible)
    found = _Files(hidden=[name for home in dict.fromkeys((root, *homes.values())) for name in _hidden(home)])
    parts = {part: found.add_part(root, homes[part], folders) for part in PARTS if part in homes}
    store, labels = FileStore(root, found.names), np.array(found.labels, np.int64)
    return Listing(str(root), store, folders, labels, parts, notes=(*notes, *found.said()))


def _check_classes(homes: Mapping[str, Path], visible: Mapping[str, list[str]]) -> None:
    """Raises `UsageError` where training images have no two folders of classes, with what lies there."""
    for part in ("train",) if "train" in homes else homes:
        home, folders = homes[part], visible[part]
        if len(folders) < 2:
            files = sum(entry.is_file() and entry.name[0] != "." for entry in os.scandir(home))
            there = f"{len(folders)} class folder{'' if len(folders) == 1 else 's'}"
            raise UsageError(
                f"{home} has {there} and {files:,} file{'' if files == 1 else 's'}; folder:PATH needs a folder for "
                "each class, two or more, with its images in it"
            )


def _homes(root: Path) -> tuple[Mapping[str, Path], list[str]]:
    """Returns the folder of each part and notes. Raises `UsageError` where they contradict each other."""
    visible = _visible(root)
    homes = {part: [name for name in names if name in visible] for part, names in NAMES.items()}
    alone = all([name] in homes.values() for name in visible)
    if not homes["train"] and not (visible and alone):
        return {"train": root}, []
    for names in homes.values():
        if len(names) > 1:
            raise UsageError(f"{root} has the folders {' and '.join(names)}; leave one of them, the validation part")
    others = [name for name in visible if [name] not in homes.values()]
    notes = [f"beside train these folders were left out: {', '.join(others)}"] if others else []
    return {part: root / names[0] for part, names in homes.items() if names}, notes


def _visible(home: Path) -> list[str]:
    """Returns the names of the folders in a folder, without hidden ones, in natural order."""
    return [name for name in folders_in(home) if name[0] != "."]


def _hidden(home: Path) -> list[str]:
    return [name for name in folders_in(home) if name[0] == "."]


def _some(names: list[str]) -> str:
    """Returns the first names and how many more there are."""
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
