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
from convatlas.data.sources.splitting import hold_out_of_each_class
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
        notes = list(self.notes)
        listed = {part: self._images(part, notes) for part in self.homes}
        names = [path.relative_to(self.root).as_posix() for images in listed.values() for path, _ in images]
        labels = np.array([label for images in listed.values() for _, label in images], np.int64)
        ends = np.cumsum([len(images) for images in listed.values()])
        places = dict(zip(listed, np.split(np.arange(len(labels)), ends[:-1]), strict=True))
        self._check(labels[places["train"]])
        self._hold_out(places, labels, notes)
        if len(places["train"]) > STATISTICS_IMAGES:
            notes.append(
                f"where the recipe names no mean and std, they are computed from {STATISTICS_IMAGES:,} of the "
                f"{len(places['train']):,} training images"
            )
        train, validation, test = (
            StreamedImages(
                self.root, [names[place] for place in index], torch.from_numpy(labels[index]), torch.from_numpy(index)
            )
            for index in (np.sort(places[part]) for part in PARTS)
        )
        return Splits(train, validation, test, tuple(notes))

    def _images(self, part: str, notes: list[str]) -> list[tuple[Path, int]]:
        """Returns the image files in the folder of a part with their labels, and notes what is not there or left out.

        Raises `UsageError` for a class that the training part has not, and where there is no image.
        """
        home = self.homes[part]
        there = set(_visible(home))
        if unknown := there - set(self.classes):
            raise UsageError(f"{home} has the class {min(unknown)}, which {self.homes['train']} has not")
        classes = [(label, name) for label, name in enumerate(self.classes) if name in there]
        files = [(path, label) for label, name in classes for path in _files(home / name)]
        images = [(path, label) for path, label in files if path.suffix.lower() in SUFFIXES]
        if not images:
            raise UsageError(f"{home} holds no image; {', '.join(SUFFIXES)} are read")
        found = {label for _, label in images}
        if part != "train" and len(found) < len(self.classes):
            absent = ", ".join(name for label, name in enumerate(self.classes) if label not in found)
            notes.append(f"{home.name} has no image of {absent}")
        if others := len(files) - len(images):
            notes.append(
                f"files left out of {home.name}, since their names do not end like those of images: {others:,}"
            )
        return images

    def _check(self, labels: np.ndarray) -> None:
        """Raises `UsageError` for a class with too few training images."""
        least = 1 if len(self.homes) == len(PARTS) else LEAST
        counts = np.bincount(labels, minlength=len(self.classes)).tolist()
        for name, count in zip(self.classes, counts, strict=True):
            if count < least:
                otherwise = ", or folders train, val and test" if least == LEAST else ""
                raise UsageError(
                    f"images of class {name} in {self.homes['train']}: {count}; {least} or more are needed{otherwise}"
                )

    def _hold_out(self, places: dict[str, np.ndarray], labels: np.ndarray, notes: list[str]) -> None:
        """Moves parts that have no folder out of the training part, every class in proportion, and notes it."""
        missing = [part for part in PARTS if part not in places]
        if not missing:
            return
        share = 1 / LEAST
        for part, held in zip(reversed(missing), (share, share / (1 - share)), strict=False):  # of what is left
            places["train"], places[part] = hold_out_of_each_class(places["train"], labels, share=held)
        counts = ", ".join(f"{len(places[part]):,} for {part}" for part in PARTS)
        notes.append(
            f"a fifth of the images in {self.homes['train'].name} is held out for {' and a fifth for '.join(missing)}, "
            f"every class in proportion, with seed {SPLIT_SEED}: {counts}"
        )


def folder_source(reference: str) -> Source:
    """Returns the images below a folder as a source. Raises `UsageError` where there is no folder for each class."""
    root = Path(os.path.abspath(Path(reference).expanduser()))
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; folder:PATH needs one with a folder for each class")
    homes, notes = _homes(root)
    classes = _visible(homes["train"])
    if len(classes) < 2:
        raise UsageError(
            f"{homes['train']} has {len(classes)} class folders; folder:PATH needs a folder for each class, two or more"
        )
    hidden = [name for home in dict.fromkeys((root, *homes.values())) for name in _folders(home) if name[0] == "."]
    if hidden:
        notes.append(f"hidden folders that were left out: {', '.join(hidden)}")
    layout = Layout(root, homes, tuple(classes), tuple(notes))
    spec = Spec(
        name=f"folder:{root}",
        title=f"Images of {root.name}, a folder for each class",
        source=str(root),
        class_names=layout.classes,
        channels=3,
        image_size=None,
        mirror=True,
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
    visible = _visible(root)
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


def _visible(home: Path) -> list[str]:
    """Returns the names of the folders in a folder, without hidden ones, in natural order."""
    return [name for name in _folders(home) if name[0] != "."]


def _folders(home: Path) -> list[str]:
    """Returns the names of the folders in a folder in natural order."""
    try:
        return sorted((entry.name for entry in os.scandir(home) if entry.is_dir()), key=natural)
    except OSError as error:
        raise UsageError(f"cannot read the folder {home}: {error.strerror}") from error


def _files(folder: Path) -> Iterator[Path]:
    """Yields the files in a folder and below it, without hidden ones, in natural order."""

    def refuse(error: OSError) -> None:
        raise UsageError(f"cannot read the folder {error.filename}: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted((name for name in folders if name[0] != "."), key=natural)
        yield from (Path(place, name) for name in sorted(files, key=natural) if name[0] != ".")
