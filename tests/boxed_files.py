"""Writes images with boxes in the layouts of VOC, COCO and YOLO, a few invented images each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


def coco_json(chosen: Sequence[Picture], *, numbers: Sequence[int] = (3, 7)) -> dict[str, Any]:
    """Returns the content of a COCO file; difficult boxes are crowds."""
    boxes = [(image, place, box) for image, picture in enumerate(chosen) for place, box in enumerate(picture.boxes)]
    return {
        "info": {"note": "[{}]"},
        "images": [
            {"id": 10 + number, "file_name": f"{each.name}.png", "width": each.width, "height": each.height}
            for number, each in enumerate(chosen)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": 10 + image,
                "category_id": dict(zip(CLASSES, numbers, strict=True))[name],
                "bbox": [left, upper, right - left, lower - upper],
                "iscrowd": int(place in chosen[image].difficult),
                "segmentation": [[0, 0, 1, 1]],
            }
            for number, (image, place, (name, left, upper, right, lower)) in enumerate(boxes)
        ],
        "categories": [{"id": number, "name": name} for name, number in zip(CLASSES, numbers, strict=True)][::-1],
    }


def coco(folder: Path, chosen: Sequence[Picture]) -> Path:
    """Writes COCO's own layout."""
    for part in dict.fromkeys(picture.part for picture in chosen):
        own = [picture for picture in chosen if picture.part == part]
        for picture in own:
            draw(picture, folder / f"{part}2017" / f"{picture.name}.png")
        path = folder / "annotations" / f"instances_{part}2017.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(coco_json(own), indent=1), encoding="utf-8")
    return folder


def roboflow(folder: Path, chosen: Sequence[Picture]) -> Path:
    """Writes Roboflow's layout of COCO's JSON."""
    for part in dict.fromkeys(picture.part for picture in chosen):
        own = [picture for picture in chosen if picture.part == part]
        home = folder / part.replace("val", "valid")
        for picture in own:
            draw(picture, home / f"{picture.name}.png")
        (home / "_annotations.coco.json").write_text(json.dumps(coco_json(own)), encoding="utf-8")
    return folder


def yolo(folder: Path, chosen: Sequence[Picture]) -> Path:
    """Writes the layout of YOLO; an image without boxes has no text file."""
    for picture in chosen:
        draw(picture, folder / "images" / picture.part / f"{picture.name}.png")
        path = folder / "labels" / picture.part / f"{picture.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if picture.boxes:
            path.write_text("".join(map(_line, [picture] * len(picture.boxes), picture.boxes)), encoding="utf-8")
    parts = "".join(f"{part}: images/{part}\n" for part in dict.fromkeys(picture.part for picture in chosen))
    (folder / "data.yaml").write_text(f"path: /home/ada/cells\n{parts}nc: 2\nnames: [cat, dog]\n", encoding="utf-8")
    return folder


def _line(picture: Picture, box: Box) -> str:
    name, left, upper, right, lower = box
    centre = (left + right) / 2 / picture.width, (upper + lower) / 2 / picture.height
    size = (right - left) / picture.width, (lower - upper) / picture.height
    return f"{CLASSES.index(name)} " + " ".join(f"{each:.6f}" for each in (*centre, *size)) + "\n"
