"""Writes images with boxes in the layout of VOC, COCO or YOLO, with the splits that the source has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from convatlas.data.boxes.listing import BoxListing
from convatlas.data.boxes.truth import Boxes
from convatlas.data.boxes.writing import PARTS, Written, write_coco, write_voc, write_yolo
from convatlas.data.images.decoding import read_encoded
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError, printable, unknown
from convatlas.files import TEMPORARY, check_new, make_writable

LAYOUTS: dict[str, Callable[[Path, tuple[str, ...], dict[str, list[Written]]], None]] = {
    "voc": write_voc,
    "coco": write_coco,
    "yolo": write_yolo,
}
FOLDERS: dict[str, Callable[[str], str]] = {  # below the set, of the images of a part
    "voc": lambda part: "JPEGImages",
    "coco": lambda part: PARTS[part],
    "yolo": lambda part: f"images/{PARTS[part]}",
}


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion: its folder, the images and boxes of each part, and notes of what was changed."""

    folder: Path
    images: dict[str, int]
    boxes: dict[str, int]
    notes: tuple[str, ...]


def convert_boxes(listing: BoxListing, *, to: str, out: Path) -> Conversion:
    """Writes all images and their boxes into a new folder. The splits are the source's own; none is drawn.

    Raises `UsageError` for a source with missing images or unknown classes, for an image that cannot be read or has
    another size than its annotation says, and for a folder that is not empty. Nothing is left behind then.
    """
    if to not in LAYOUTS:
        raise unknown("layout of boxes", to, LAYOUTS)
    check_new(out)
    notes = [*listing.taken("all").notes]
    out = Path(os.path.abspath(out))
    make_writable(out.parent)
    unfinished = out.parent / f"{TEMPORARY}{out.name}"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        parts, renamed = _copied(listing, unfinished, folder=FOLDERS[to])
        difficult = sum(int(each.boxes.difficult.sum()) for own in parts.values() for each in own)
        if to == "yolo" and difficult:
            notes.append(f"difficult boxes and crowds, which YOLO has no mark for, left out: {difficult:,}")
            parts = {part: [each.without_difficult() for each in own] for part, own in parts.items()}
        if renamed:
            notes.append(f"images renamed, since another one has their name: {renamed:,}")
        if tuple(listing.parts) == ("train",):
            notes.append("the source has no split, so that none is written")
        if to == "voc":
            notes += _classes_in_voc(listing.classes, parts)
        LAYOUTS[to](unfinished, listing.classes, parts)
        _put_in_place(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    images = {part: len(own) for part, own in parts.items()}
    boxes = {part: sum(len(each.boxes) for each in own) for part, own in parts.items()}
    return Conversion(out, images, boxes, tuple(notes))


def _put_in_place(written: Path, out: Path) -> None:
    """Gives a finished folder its name; an empty folder of this name, which may be somebody's working folder, stays."""
    if not out.exists():
        os.replace(written, out)
        return
    for path in sorted(written.iterdir()):
        os.replace(path, out / path.name)


def _classes_in_voc(classes: tuple[str, ...], parts: dict[str, list[Written]]) -> Iterator[str]:
    """Yields a note of classes that VOC loses, which has no list of them, and one where it gives them another order."""
    labels = {label for each in parts.get("train", []) for label in each.boxes.labels.tolist()}
    there = [name for label, name in enumerate(classes) if label in labels]
    if lost := [name for name in classes if name not in there]:
        yield f"VOC has no list of classes, so that those without a training box are lost: {printable(', '.join(lost))}"
    if there != sorted(there, key=natural):
        yield "VOC has no order of classes: they come in the order of their names, so that their numbers change"


def _copied(listing: BoxListing, home: Path, *, folder: Callable[[str], str]) -> tuple[dict[str, list[Written]], int]:
    """Copies the images of all parts; returns their new places and boxes, and how many have a new name."""
    taken: set[str] = set()
    parts: dict[str, list[Written]] = {}
    renamed = 0
    for part, found in listing.parts.items():
        (home / folder(part)).mkdir(parents=True, exist_ok=True)
        parts[part] = []
        for number in found.places.tolist():
            old = os.path.basename(listing.store.name(number))
            name = next(each for each in _names(old, part) if os.path.splitext(each)[0].casefold() not in taken)
            taken.add(os.path.splitext(name)[0].casefold())
            renamed += name != old
            place = f"{folder(part)}/{name}"
            (home / place).write_bytes(_checked(listing, number))
            parts[part].append(Written(place, listing.boxes[number]))
    return parts, renamed


def _names(name: str, part: str) -> Iterator[str]:
    """Yields the name of an image, and others to be taken where it is not free."""
    stem, ending = os.path.splitext(name)
    yield name
    yield f"{PARTS[part]}_{name}"
    number = 2
    while True:
        yield f"{PARTS[part]}_{stem}_{number}{ending}"
        number += 1


def _checked(listing: BoxListing, number: int) -> bytes:
    """Returns the bytes of an image. Raises `UsageError` for one that is damaged or of another size than stated."""
    content = listing.store.read(number)
    image = read_encoded(content, listing.store.shown(number))
    boxes: Boxes = listing.boxes[number]
    if (image.width, image.height) != (boxes.width, boxes.height):
        raise UsageError(
            f"{image.name} has {image.width} x {image.height} pixels, and {listing.annotations[number].shown} says "
            f"{boxes.width} x {boxes.height}; correct it first"
        )
    return content
