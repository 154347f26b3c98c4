"""yolo:PATH, the folder of YOLO: a text file of boxes for each image, and a YAML file with the class names.

The layout is that of https://docs.ultralytics.com/datasets/detect: images/train/NAME.jpg has its boxes in
labels/train/NAME.txt, a line `class cx cy w h` for each, in fractions of the image's width and height.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.boxes.annotations import Annotation
from convatlas.data.boxes.files import header_sizes, listed_names, read_text
from convatlas.data.boxes.listing import BoxListing
from convatlas.data.boxes.yolo_yaml import YoloFile, read_yolo
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import Found
from convatlas.data.sources.walking import files_below
from convatlas.errors import UsageError, printable

LARGEST = 16 * 2**20  # bytes of a file of boxes
LARGEST_LIST = 256 * 2**20
NO_LABELS = "classes.txt"  # a list of names that some programs write beside the boxes


@dataclass(frozen=True, eq=False)
class Lines:
    """The boxes of an image in fractions: classes (n,), and corners (n, 4)."""

    classes: np.ndarray
    corners: np.ndarray


def list_yolo(reference: str) -> BoxListing:
    """Returns the images of a YOLO folder. Raises `UsageError` for another layout and for a damaged file."""
    described = read_yolo(reference)
    root = described.path.parent
    images = {part: [path for place in places for path in _images(place)] for part, places in described.parts.items()}
    for part, paths in images.items():
        if not paths:
            raise UsageError(f"{described.parts[part][0]} holds no image; {', '.join(SUFFIXES)} are read")
    paths = list(dict.fromkeys(path for own in images.values() for path in own))
    place = {path: number for number, path in enumerate(paths)}
    store = FileStore(root, [os.path.relpath(path, root).replace(os.sep, "/") for path in paths])
    labels = [_label_file(path) for path in paths]
    lines = [read_lines(path) if path.is_file() else Lines(np.zeros(0, np.int64), np.zeros((0, 4))) for path in labels]
    names, classes = _names(described, lines)
    parts = {
        part: Found(str(described.parts[part][0]), np.array([place[path] for path in dict.fromkeys(own)]))
        for part, own in images.items()
    }
    annotations = _annotations(store, labels, classes, [own.corners for own in lines])
    unlabelled = sum(not path.is_file() for path in labels)
    notes = (f"images without a file of boxes, taken for images without boxes: {unlabelled:,}",) if unlabelled else ()
    absent = [(found.shown, store.name(number)) for found in parts.values() for number in _gone(found, paths)]
    absent += _orphans(paths, labels)
    return BoxListing(str(root), store, names, len(described.names), annotations, parts, notes, absent)


def _images(place: Path) -> list[str]:
    """Returns the paths of the images in a folder and below it, or of those in a list."""
    if place.is_dir():
        below = files_below(str(place), ".")
        return [f"{place}/{name.removeprefix('./')}" for name in below if name.lower().endswith(SUFFIXES)]
    names = listed_names(place, most=LARGEST_LIST)
    return [os.path.normpath(os.path.join(place.parent, name)) for _, name in names]


def _gone(found: Found, paths: Sequence[str]) -> list[int]:
    """Returns the numbers of the images of a part that are not there: a list may name them."""
    return [number for number in found.places.tolist() if not os.path.isfile(paths[number])]


def _label_file(image: str) -> Path:
    """Returns the file of an image's boxes: in `labels` where the image is in `images`, else beside it."""
    head, inside, tail = image.rpartition(f"{os.sep}images{os.sep}")
    return Path(f"{head}{os.sep}labels{os.sep}{tail}" if inside else image).with_suffix(".txt")


def read_lines(path: Path) -> Lines:
    """Returns the boxes in a file. Raises `UsageError` for a line that is none."""
    classes, corners = [], []
    lines = read_text(path, purpose="the boxes of an image", most=LARGEST).splitlines()
    for number, line in enumerate(lines, 1):
        if words := line.split():
            values = _values(words, f"line {number} of {path}")
            classes.append(int(values[0]))
            corners.append(_corners(values[1:]))
    return Lines(np.array(classes, np.int64), np.array(corners, np.float64).reshape(-1, 4))


def _values(words: Sequence[str], shown: str) -> list[float]:
    """Returns the numbers of a line: class, centre and size, or class and the corners of a polygon."""
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise UsageError(f"{shown} is {printable(' '.join(words), most=60)}; it must be class cx cy w h") from error
    if (len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0)) or not all(abs(each) < 1e6 for each in values):
        raise UsageError(f"{shown} has {len(values)} numbers; it must be class cx cy w h, in fractions of the image")
    if values[0] < 0 or values[0] != int(values[0]):
        raise UsageError(f"{shown} has the class {words[0]}; classes are numbers from 0 on")
    return values


def _corners(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Returns the corners of a box by its centre and size, or of a polygon's box."""
    if len(values) == 4:
        x, y, width, height = values
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))


def _names(described: YoloFile, lines: Sequence[Lines]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """Returns the class names, then a name for each other number in the files, and the places of the boxes' names."""
    count = len(described.names)
    strange = sorted({int(number) for own in lines for number in own.classes.tolist() if number >= count})
    place = {number: count + order for order, number in enumerate(strange)}
    labels = [np.array([place.get(each, each) for each in own.classes.tolist()], np.int64) for own in lines]
    return (*described.names, *(f"number {number}" for number in strange)), labels


def _annotations(
    store: FileStore, paths: Sequence[Path], labels: Sequence[np.ndarray], fractions: Sequence[np.ndarray]
) -> list[Annotation]:
    """Returns the annotation of each image in pixels; of one that cannot be read, as if it had one pixel."""
    sizes = header_sizes(store, range(len(store)))
    found = []
    for number, (path, classes, own) in enumerate(zip(paths, labels, fractions, strict=True)):
        width, height = sizes.get(number, (1, 1))
        corners, difficult = own * (width, height, width, height), np.zeros(len(classes), bool)
        found.append(Annotation(store.name(number), str(path), corners, classes, difficult, width, height))
    return found


def _orphans(images: Sequence[str], labels: Sequence[Path]) -> list[tuple[str, str]]:
    """Returns the files of boxes that have no image, with the image that each should have."""
    known = {str(path) for path in labels}
    folders = dict.fromkeys((path.parent, Path(image).parent) for path, image in zip(labels, images, strict=True))
    found = []
    for folder, home in folders:
        for name in sorted(os.listdir(folder)) if folder.is_dir() and folder != home else []:
            if name.endswith(".txt") and name != NO_LABELS and str(folder / name) not in known:
                found.append((str(folder / name), f"{home / name[:-4]}.jpg"))
    return found
