"""folder:PATH, images of one's own: a folder for each class, in train/, val/ and test/ where these exist."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from convatlas.data.dataset import SPLIT_SEED, Source, Spec, Splits
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.streaming import STATISTICS_IMAGES, StreamedImages
from convatlas.errors import UsageError

PARTS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
LEAST = 5  # images of a class of which a fifth is held out


@dataclass(frozen=True)
class Layout:
    """A folder as it lies on the disk: the folders of its parts, its classes in the order of their labels, notes.

    Without part folders `root` itself is the training part. Every part that has no folder is held out of that one.
    """

    root: Path
    homes: Mapping[str, Path]
    classes: tuple[str, ...]
    notes: tuple[str, ...]

    def read(self, folder: Path | None = None) -> Splits:
        """Lists the files and splits them. Raises `UsageError` where classes are missing, unknown or too small."""
        if folder is not None:
            raise UsageError(f"folder:{self.root} says itself where the images are; leave out --data-dir {folder}")
        listed, notes = self._listed()
        names = [name for files in listed.values() for name, _ in files]
        labels = np.array([label for files in listed.values() for _, label in files], np.int64)
        places, start = {}, 0
        for part, files in listed.items():
            places[part] = np.arange(start, start + len(files))
            start += len(files)
        self._check(labels[places["train"]])
        notes += self._hold_out(places, labels)
        if len(places["train"]) > STATISTICS_IMAGES:
            notes.append(
                f"where the recipe names no mean and std, they are computed from {STATISTICS_IMAGES:,} of the "
                f"{len(places['train']):,} training images"
            )
        train, validation, test = (
            StreamedImages(
                self.root,
                [names[place] for place in places[part]],
                torch.from_numpy(labels[places[part]]),
                torch.from_numpy(places[part]),
            )
            for part in PARTS
        )
        return Splits(train, validation, test, (*self.notes, *notes))

    def _listed(self) -> tuple[dict[str, list[tuple[str, int]]], list[str]]:
        """Returns the files (path below the root, label) of each part that has a folder, and notes."""
        listed: dict[str, list[tuple[str, int]]] = {}
        notes, others = [], 0
        for part, home in self.homes.items():
            found = _class_folders(home)[0]
            if unknown := [name for name in found if name not in self.classes]:
                raise UsageError(f"{home} has the class {unknown[0]}, which {self.homes['train']} has not")
            if absent := [name for name in self.classes if name not in found]:
                notes.append(f"{home.name} has no image of {', '.join(absent)}")
            listed[part] = []
            for name in found:
                for path in _files(home / name):
                    if path.suffix.lower() in SUFFIXES:
                        listed[part].append((path.relative_to(self.root).as_posix(), self.classes.index(name)))
                    else:
                        others += 1
            if not listed[part]:
                raise UsageError(f"{home} holds no image; {', '.join(SUFFIXES)} are read")
        if others:
            notes.append(f"{others:,} files were left out: their names do not end like those of images")
        return listed, notes

    def _check(self, labels: np.ndarray) -> None:
        """Raises `UsageError` for a class without images, or with too few to hold some out."""
        least = 1 if len(self.homes) == len(PARTS) else LEAST
        for name, count in zip(self.classes, np.bincount(labels, minlength=len(self.classes)).tolist(), strict=True):
            if count < least:
                few = "no image" if not count else f"{count} images" if count > 1 else "1 image"
                raise UsageError(
                    f"the class {name} of {self.homes['train']} has {few}; {least} or more are needed"
                    + (", or folders train, val and test" if least == LEAST else "")
                )

    def _hold_out(self, places: dict[str, np.ndarray], labels: np.ndarray) -> list[str]:
        """Moves parts that have no folder out of the training part, every class in proportion; returns notes."""
        from sklearn.model_selection import train_test_split

        missing = [part for part in PARTS if part not in places]
        share = 1 / LEAST  # of the images that the training part has now
        for part, held in zip(reversed(missing), (share, share / (1 - share)), strict=False):
            rest, taken = train_test_split(
                places["train"], test_size=held, stratify=labels[places["train"]], random_state=SPLIT_SEED
            )
            places["train"], places[part] = np.sort(rest), np.sort(taken)
        if not missing:
            return []
        counts = ", ".join(f"{len(places[part]):,} for {part}" for part in PARTS)
        return [
            f"a fifth of the images in {self.homes['train'].name} is held out for {' and a fifth for '.join(missing)}, "
            f"every class in proportion, with seed {SPLIT_SEED}: {counts}"
        ]


def folder_source(reference: str) -> Source:
    """Returns the images below a folder as a source. Raises `UsageError` where there is no folder for each class."""
    root = Path(os.path.abspath(Path(reference).expanduser()))
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; folder:PATH needs one with a folder for each class")
    homes, notes = _homes(root)
    classes, hidden = _class_folders(homes["train"])
    if len(classes) < 2:
        raise UsageError(
            f"{homes['train']} has {len(classes)} class folders; folder:PATH needs a folder for each class, two or more"
        )
    if hidden:
        notes.append(f"hidden folders were left out: {', '.join(hidden)}")
    layout = Layout(root, homes, tuple(classes), tuple(notes))
    spec = Spec(
        name=f"folder:{root}",
        title=f"Images of {root.name}, a folder for each class",
        source=str(root),
        class_names=layout.classes,
        channels=3,
        image_size=None,
        mirror=True,
        default_recipe=None,
        split_seed=None if len(homes) == len(PARTS) else SPLIT_SEED,
    )
    return Source(spec, read=layout.read)


def natural(name: str) -> tuple[list[tuple[str, int, str]], str]:
    """Returns the key by which names are sorted as people do.

    >>> sorted(["class 10", "class 9", "Class 1"], key=natural)
    ['Class 1', 'class 9', 'class 10']
    """
    pieces = re.findall(r"(\D*)(\d*)", name.casefold())
    return [(text, int(number) if number else -1, number) for text, number in pieces], name


def _homes(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Returns the folder of each part and notes. Raises `UsageError` where they contradict each other."""
    visible, _ = _class_folders(root)
    homes = {part: [name for name in names if name in visible] for part, names in PARTS.items()}
    if not homes["train"]:
        if visible and all(name in PARTS["validation"] + PARTS["test"] for name in visible):
            raise UsageError(f"{root} has {', '.join(visible)} and no train; training images belong in {root}/train")
        return {"train": root}, []
    for names in homes.values():
        if len(names) > 1:
            raise UsageError(f"{root} has the folders {' and '.join(names)}; leave one of them, the validation part")
    others = [name for name in visible if [name] not in homes.values()]
    notes = [f"beside train these folders were left out: {', '.join(others)}"] if others else []
    return {part: root / names[0] for part, names in homes.items() if names}, notes


def _class_folders(home: Path) -> tuple[list[str], list[str]]:
    """Returns the names of the folders in a folder in natural order, and those of the hidden ones."""
    try:
        names = sorted((entry.name for entry in os.scandir(home) if entry.is_dir()), key=natural)
    except OSError as error:
        raise UsageError(f"cannot read the folder {home}: {error.strerror}") from error
    return [name for name in names if name[0] != "."], [name for name in names if name[0] == "."]


def _files(folder: Path) -> Iterator[Path]:
    """Yields the files in a folder and below it, without hidden ones, in natural order."""

    def refuse(error: OSError) -> None:
        raise UsageError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted((name for name in folders if name[0] != "."), key=natural)
        yield from (Path(place, name) for name in sorted(files, key=natural) if name[0] != ".")
