"""voc:PATH, Pascal VOC's folder: an XML file for each image, and lists of the images of each part.

Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4; the layout is that of the development kit:
Annotations/NAME.xml, JPEGImages/NAME.jpg, ImageSets/Main/train.txt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.boxes.annotations import Annotation
from convatlas.data.boxes.files import header_sizes, images_by_stem, listed_names, names_in
from convatlas.data.boxes.listing import BoxListing
from convatlas.data.boxes.voc_xml import VocFile, read_voc
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import Found
from convatlas.data.sources.part_names import NAMES, absolute
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError

ANNOTATIONS, IMAGES, LISTS = "Annotations", "JPEGImages", Path("ImageSets") / "Main"
LARGEST = 256 * 2**20  # bytes of a list
_FLAGGED = re.compile(r"(.+?)\s+-?[01]")  # a line of a list for one class: the name, and whether the class is there


@dataclass(frozen=True)
class _Part:
    """The images of a part by name, and the place that lists them."""

    shown: Path
    names: tuple[str, ...]


def list_voc(reference: str) -> BoxListing:
    """Returns the images of a VOC folder. Raises `UsageError` for a folder of another layout and for a damaged file."""
    root = absolute(reference)
    _check_layout(root)
    parts = _parts(root)
    names = sorted({name for part in parts.values() for name in part.names}, key=natural)
    files = [read_voc(root / ANNOTATIONS / f"{name}.xml") for name in names]
    there = images_by_stem(names_in(root / IMAGES))
    images = [_image(file, there.get(name, [])) for name, file in zip(names, files, strict=True)]
    absent = [
        (str(file.path), image)
        for name, file, image in zip(names, files, images, strict=True)
        if Path(image).name not in there.get(name, [])
    ]
    place = {name: number for number, name in enumerate(names)}
    found = {
        part: Found(str(own.shown), np.array([place[name] for name in own.names], np.int64))
        for part, own in parts.items()
    }
    classes, known = _classes(files, found)
    store = FileStore(root, images)
    annotations = _annotations(files, store, classes)
    notes = _notes(root, names)
    return BoxListing(str(root), store, classes, known, annotations, found, notes, absent)


def _check_layout(root: Path) -> None:
    """Raises `UsageError` for a folder that has not the two folders of VOC, with what may be meant."""
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; voc:PATH needs one with {ANNOTATIONS} and {IMAGES}")
    absent = [name for name in (ANNOTATIONS, IMAGES) if not (root / name).is_dir()]
    if absent:
        inner = next((path.parent for path in sorted(root.glob(f"*/{ANNOTATIONS}"))), None)
        hint = f"; voc:{inner} has it" if inner else f"; voc:PATH needs {ANNOTATIONS} and {IMAGES}"
        raise UsageError(f"{root} has no folder {absent[0]}{hint}")


def _parts(root: Path) -> dict[str, _Part]:
    """Returns the parts that have a list; without any list all images are for training.

    The list `trainval` is that of the training images where there is no list `train`.
    """
    named = {part: (*names, "trainval") if part == "train" else names for part, names in NAMES.items()}
    lists = {
        part: next((path for name in names if (path := root / LISTS / f"{name}.txt").is_file()), None)
        for part, names in named.items()
    }
    found = {part: _Part(path, _listed(path, root)) for part, path in lists.items() if path is not None}
    if found:
        return found
    names = sorted((name[:-4] for name in names_in(root / ANNOTATIONS) if name.lower().endswith(".xml")), key=natural)
    if not names:
        raise UsageError(f"{root / ANNOTATIONS} holds no annotation; voc:PATH needs an XML file for each image")
    return {"train": _Part(root / ANNOTATIONS, tuple(names))}


def _listed(path: Path, root: Path) -> tuple[str, ...]:
    """Returns the names in a list. Raises `UsageError` for a list without names and for a name that comes twice.

    A line `scan 1` is the name of an image where `scan 1.xml` is there, else the image `scan` and a flag.
    """
    seen: dict[str, int] = {}
    for line, text in listed_names(path, most=LARGEST):
        flagged = _FLAGGED.fullmatch(text)
        name = flagged[1] if flagged and not os.path.isfile(root / ANNOTATIONS / f"{text}.xml") else text
        if (first := seen.setdefault(name, line)) != line:
            raise UsageError(f"line {line} of {path} names {name} again, after line {first}; remove one")
    if not seen:
        raise UsageError(f"{path} names no image; a line of it is the name of an image without .jpg")
    return tuple(seen)


def _image(file: VocFile, there: Sequence[str]) -> str:
    """Returns the path of an image below the folder: the file of its name, of several the one that the XML states."""
    stated = Path(file.image.replace("\\", "/")).name
    name = stated if stated in there else next(iter(there), f"{file.path.stem}.jpg")
    return f"{IMAGES}/{name}"


def _classes(files: Sequence[VocFile], found: Mapping[str, Found]) -> tuple[tuple[str, ...], int]:
    """Returns the classes of the training images in natural order, then the others, and how many are of training."""
    places = found["train"].places.tolist() if "train" in found else range(len(files))
    trained = sorted({name for place in places for name in files[place].names}, key=natural)
    others = sorted({name for file in files for name in file.names}.difference(trained), key=natural)
    return (*trained, *others), len(trained)


def _annotations(files: Sequence[VocFile], store: FileStore, classes: Sequence[str]) -> list[Annotation]:
    """Returns the annotation of each image; a size that a file does not state is that of the image."""
    label = {name: place for place, name in enumerate(classes)}
    sizes = header_sizes(store, [number for number, file in enumerate(files) if not (file.width and file.height)])
    found = []
    for number, file in enumerate(files):
        width, height = sizes.get(number, (file.width, file.height))
        labels = np.array([label[name] for name in file.names], np.int64)
        found.append(
            Annotation(store.name(number), str(file.path), file.corners, labels, file.difficult, width, height)
        )
    return found


def _notes(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """Returns a note of the annotations that no list names."""
    all_names = {name[:-4] for name in names_in(root / ANNOTATIONS) if name.lower().endswith(".xml")}
    unnamed = len(all_names.difference(names))
    return (f"annotations that no list in {LISTS} names, left out: {unnamed:,}",) if unnamed else ()
