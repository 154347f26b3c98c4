"""folder:PATH, images of one's own: a folder for each class, in train/, val/ and test/ where these exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convatlas.data.dataset import SPLIT_SEED, Source, Spec
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import PARTS, Found, Listing, listed_source
from convatlas.data.sources.walking import files_below, folders_in, natural
from convatlas.errors import UsageError

NAMES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}  # of the parts' folders


def folder_source(reference: str) -> Source:
    """Returns the images below a folder as a source. Raises `UsageError` where there is no folder for each class."""
    root = Path(os.path.abspath(Path(reference).expanduser()))
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; folder:PATH needs one with a folder for each class")
    listing = list_folder(root)
    spec = Spec(
        name=f"folder:{root}",
        title=f"Images of {root.name}, a folder for each class",
        source=str(root),
        class_names=listing.classes,
        channels=3,
        image_size=None,
        mirror=True,
        split_seed=SPLIT_SEED if listing.missing else None,
    )
    return listed_source(spec, listing)


def list_folder(root: Path) -> Listing:
    """Returns the images below a folder. Raises `UsageError` where it has no folder for each class."""
    homes, notes = _homes(root)
    visible = {part: _visible(home) for part, home in homes.items()}
    classes = tuple(sorted({name for names in visible.values() for name in names}, key=natural))
    if len(visible.get("train", classes)) < 2:
        raise UsageError(
            f"{homes['train']} has {len(visible['train'])} class folders; folder:PATH needs a folder for each class, "
            "two or more"
        )
    hidden = [name for home in dict.fromkeys((root, *homes.values())) for name in folders_in(home) if name[0] == "."]
    if hidden:
        notes.append(f"hidden folders that were left out: {', '.join(hidden)}")
    names: list[str] = []
    labels: list[int] = []
    parts = {}
    for part in (part for part in PARTS if part in homes):
        before = len(names)
        notes += _list_part(root, homes[part], classes, names=names, labels=labels)
        parts[part] = Found(str(homes[part]), np.arange(before, len(names)))
    return Listing(str(root), FileStore(root, names), classes, np.array(labels, np.int64), parts, notes=tuple(notes))


def _list_part(root: Path, home: Path, classes: tuple[str, ...], *, names: list[str], labels: list[int]) -> list[str]:
    """Appends the image files in the folder of a part, below `root`, and their labels; returns notes of the others.

    Raises `UsageError` where there is no image.
    """
    place = "" if home == root else f"{home.name}/"
    before, others = len(names), 0
    for label, name in enumerate(classes):
        if not (home / name).is_dir():
            continue
        for file in files_below(str(root), f"{place}{name}"):
            if file.lower().endswith(SUFFIXES):
                names.append(file)
            else:
                others += 1
        labels += [label] * (len(names) - len(labels))
    if len(names) == before:
        raise UsageError(f"{home} holds no image; {', '.join(SUFFIXES)} are read")
    if not others:
        return []
    return [f"files left out of {home.name}, since their names do not end like those of images: {others:,}"]


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
