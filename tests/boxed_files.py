"""Writes images with boxes in the layouts of VOC, COCO and YOLO, a few invented images each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

LISTS = Path("ImageSets") / "Main"
CLASSES = ("cat", "dog")
Box = tuple[str, float, float, float, float]  # class, x1, y1, x2, y2, from 0, the right edge excluded


@dataclass(frozen=True)
class Picture:
    """An invented image: its part, its size, its boxes, and the places of those that are difficult."""

    name: str
    part: str = "train"
    width: int = 40
    height: int = 30
    boxes: Sequence[Box] = (("cat", 2, 3, 12, 20), ("dog", 10, 5, 38, 28))
    difficult: Sequence[int] = field(default=())


def pictures(train: int = 4, validation: int = 2, test: int = 2) -> list[Picture]:
    """A set with boxes of two classes, of whole pixels, one of them difficult, and an image without boxes."""
    random = np.random.default_rng(0)
    found = []
    for part, count in (("train", train), ("val", validation), ("test", test)):
        for number in range(count):
            boxes = [_box(random, CLASSES[(number + each) % 2]) for each in range(3 - number % 3)]
            found.append(Picture(f"{part}_{number}", part, 40, 30, boxes, (0,) if number == 1 else ()))
    found.append(Picture("empty", boxes=()))
    return found


def _box(random: np.random.Generator, name: str) -> Box:
    left, upper = int(random.integers(0, 30)), int(random.integers(0, 20))
    right, lower = int(random.integers(left + 4, 41)), int(random.integers(upper + 4, 31))
    return (name, left, upper, right, lower)


def draw(picture: Picture, path: Path) -> None:
    """Writes the image: noise, and each box of one colour."""
    pixels = np.random.default_rng(len(picture.name)).integers(
        0, 60, (picture.height, picture.width, 3), dtype=np.uint8
    )
    pixels[0, 0] = np.frombuffer(picture.name.encode()[-3:].rjust(3), np.uint8)  # no two are equal
    for number, (_, *sides) in enumerate(picture.boxes):
        left, upper, right, lower = (max(0, int(side)) for side in sides)
        pixels[upper:lower, left:right] = (255, 40 * number, 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def object_xml(box: Box, *, difficult: bool = False) -> str:
    """Returns an object of a VOC file."""
    name, left, upper, right, lower = box
    sides = f"<xmin>{left + 1}</xmin><ymin>{upper + 1}</ymin><xmax>{right}</xmax><ymax>{lower}</ymax>"
    return f"<object><name>{name}</name><difficult>{difficult:d}</difficult><bndbox>{sides}</bndbox></object>"


def annotation_xml(picture: Picture) -> str:
    """Returns a VOC file."""
    size = f"<size><width>{picture.width}</width><height>{picture.height}</height><depth>3</depth></size>"
    objects = (object_xml(box, difficult=place in picture.difficult) for place, box in enumerate(picture.boxes))
    return f"<annotation><filename>{picture.name}.png</filename>{size}{''.join(objects)}</annotation>"


def voc(folder: Path, chosen: Sequence[Picture], *, lists: bool = True) -> Path:
    """Writes a VOC folder, with a list for each part where wanted."""
    for picture in chosen:
        draw(picture, folder / "JPEGImages" / f"{picture.name}.png")
        path = folder / "Annotations" / f"{picture.name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(annotation_xml(picture), encoding="utf-8")
    if lists:
        for part in dict.fromkeys(picture.part for picture in chosen):
            path = folder / LISTS / f"{part}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{each.name}\n" for each in chosen if each.part == part), encoding="utf-8")
    return folder
