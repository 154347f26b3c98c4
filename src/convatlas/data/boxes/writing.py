"""The annotation files of VOC, COCO and YOLO as they are written."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from convatlas.data.boxes.truth import Boxes
from convatlas.files import write_text

DECIMALS = 4  # of a pixel in VOC and COCO
FRACTIONS = 6  # decimals of YOLO's fractions
NEAR = 1e-3  # of a pixel: what those fractions lose of a whole number
PARTS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Written:
    """An image that was written: its path below the set, with slashes, and its boxes."""

    place: str
    boxes: Boxes

    @property
    def name(self) -> str:
        """The file name."""
        return os.path.basename(self.place)

    @property
    def stem(self) -> str:
        """The file name without its ending."""
        return os.path.splitext(self.name)[0]

    def without_difficult(self) -> Written:
        """Returns the image without difficult boxes."""
        return replace(self, boxes=self.boxes.chosen(~self.boxes.difficult))


def write_voc(home: Path, classes: tuple[str, ...], parts: dict[str, list[Written]]) -> None:
    """Writes an XML file for each image, and a list for each part, where the set has more than one."""
    (home / "Annotations").mkdir()
    for part, images in parts.items():
        for image in images:
            write_text(home / "Annotations" / f"{image.stem}.xml", _voc_xml(image, classes))
        if tuple(parts) != ("train",):
            lists = home / "ImageSets" / "Main"
            lists.mkdir(parents=True, exist_ok=True)
            write_text(lists / f"{PARTS[part]}.txt", "".join(f"{image.stem}\n" for image in images))


def write_coco(home: Path, classes: tuple[str, ...], parts: dict[str, list[Written]]) -> None:
    """Writes a JSON file for each part, with numbers from 1 for images, boxes and classes."""
    (home / "annotations").mkdir()
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    for part, images in parts.items():
        content: dict[str, Any] = {"images": [], "annotations": [], "categories": categories}
        for number, image in enumerate(images, 1):
            own = image.boxes
            content["images"].append({"id": number, "file_name": image.name, "width": own.width, "height": own.height})
            areas = [None] * len(own) if own.areas is None else own.areas.tolist()
            columns = (own.corners.tolist(), own.labels.tolist(), own.difficult, areas)
            for corners, label, difficult, area in zip(*columns, strict=True):
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]) + 1,
                        "image_id": number,
                        "category_id": label + 1,
                        **_coco_box(corners, area),
                        "iscrowd": int(difficult),
                    }
                )
        write_text(home / "annotations" / f"instances_{PARTS[part]}.json", json.dumps(content, ensure_ascii=False))


def write_yolo(home: Path, classes: tuple[str, ...], parts: dict[str, list[Written]]) -> None:
    """Writes a text file for each image, empty for one without boxes, and the description of the set."""
    import yaml

    for part, images in parts.items():
        labels = home / "labels" / PARTS[part]
        labels.mkdir(parents=True)
        for image in images:
            write_text(labels / f"{image.stem}.txt", "".join(_yolo_lines(image.boxes)))
    lines = {PARTS[part]: f"images/{PARTS[part]}" for part in parts}
    content = {**lines, "nc": len(classes), "names": list(classes)}
    write_text(home / "data.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _voc_xml(image: Written, classes: tuple[str, ...]) -> str:
    """Returns a VOC file, which counts pixels from 1 and includes the last one."""
    root, own = ElementTree.Element("annotation"), image.boxes
    _add(root, filename=image.name)
    _add(ElementTree.SubElement(root, "size"), width=str(own.width), height=str(own.height), depth="3")
    for corners, label, difficult in zip(own.corners.tolist(), own.labels.tolist(), own.difficult, strict=True):
        thing = ElementTree.SubElement(root, "object")
        _add(thing, name=classes[label], difficult=str(int(difficult)))
        left, top, right, bottom = (_whole(side) for side in (corners[0] + 1, corners[1] + 1, *corners[2:]))
        box = ElementTree.SubElement(thing, "bndbox")
        _add(box, xmin=str(left), ymin=str(top), xmax=str(right), ymax=str(bottom))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _add(element: ElementTree.Element, **texts: str) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(element, name).text = text


def _coco_box(corners: list[float], area: float | None) -> dict[str, Any]:
    """Returns x, y, width and height of a box, and its area: the one that the source stated, if it stated one."""
    left, top, right, bottom = corners
    width, height = right - left, bottom - top
    area = width * height if area is None else area
    return {"bbox": [_short(side) for side in (left, top, width, height)], "area": _short(area)}


def _short(number: float) -> int | float:
    """Returns a number of pixels, a whole one without decimals."""
    rounded = round(number, DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded


def _whole(number: float) -> int | float:
    """Returns a number of pixels, a whole one where it is that near: many programs read VOC's numbers as whole ones."""
    return round(number) if abs(number - round(number)) < NEAR else _short(number)


def _yolo_lines(boxes: Boxes) -> list[str]:
    size = (boxes.width, boxes.height)
    lines = []
    for corners, label in zip(boxes.corners.tolist(), boxes.labels.tolist(), strict=True):
        low, high = corners[:2], corners[2:]
        centre = [(a + b) / 2 / side for a, b, side in zip(low, high, size, strict=True)]
        extent = [(b - a) / side for a, b, side in zip(low, high, size, strict=True)]
        lines.append(f"{label} " + " ".join(f"{each:.{FRACTIONS}f}" for each in (*centre, *extent)) + "\n")
    return lines
