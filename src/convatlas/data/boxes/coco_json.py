"""One annotation file of COCO: read item by item, so that its memory is that of the text and of the numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from convatlas.data.boxes.files import read_text
from convatlas.errors import UsageError, printable
from convatlas.files import HALVES

LARGEST = 4 * 2**30  # bytes; the training file of COCO 2017 has 448 MB
LISTS = ("images", "annotations", "categories")
_DECODER = json.JSONDecoder()
_SPACE = " \t\n\r"
Key = int | str


@dataclass(frozen=True)
class CocoImage:
    """An image of a COCO file; a side that the file does not state is 0."""

    name: str
    width: int
    height: int


class CocoBox(NamedTuple):
    """A box of a COCO file: its class's number, its corners from 0, whether it stands for a crowd, and its area.

    The area is that of the thing in the box; where the file states none it is that of the box.
    """

    category: Key
    corners: tuple[float, float, float, float]
    crowd: bool
    area: float


@dataclass(frozen=True)
class CocoFile:
    """The content of a COCO file: images and classes by their numbers, and the boxes of each image."""

    path: Path
    images: dict[Key, CocoImage] = field(default_factory=dict)
    classes: dict[Key, str] = field(default_factory=dict)
    boxes: dict[Key, list[CocoBox]] = field(default_factory=dict)


def read_coco(path: Path) -> CocoFile:
    """Returns the content of a COCO file. Raises `UsageError` for one that is no JSON or has other content."""
    text = read_text(path, purpose="annotations in COCO's JSON", most=LARGEST)
    found, seen = CocoFile(path), set[str]()
    take = {"images": _take_image, "annotations": _take_box, "categories": _take_class}
    try:
        for name, number, item in _items(text):
            seen.add(name)
            if item is not None:
                take[name](found, item, f"{path}: item {number} of {name}")
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is cut off or no JSON, in line {error.lineno}: {printable(error.msg)}") from error
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deep to be annotations") from error
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} cannot be read: {printable(str(error))}") from error
    for name in LISTS:
        if name not in seen:
            raise UsageError(f"{path} has no list {name}; annotations in COCO's JSON have {', '.join(LISTS)}")
    for image in found.boxes:
        if image not in found.images:
            raise UsageError(f"{path} has a box in image {image!r}, which its list images has not")
    return found


def _items(text: str) -> Iterator[tuple[str, int, Any]]:
    """Yields the items of the three lists, with their numbers from 1, and None for the beginning of each list.

    Other content is passed over. Raises `JSONDecodeError`.
    """
    place = _after(text, 0, "{")
    while text[place : place + 1] != "}":
        name, place = _DECODER.raw_decode(text, place)
        place = _after(text, place, ":")
        if name in LISTS and text[place : place + 1] == "[":
            yield name, 0, None
            place, number = _after(text, place, "["), 0
            while text[place : place + 1] != "]":
                item, place = _DECODER.raw_decode(text, place)
                number += 1
                yield name, number, item
                place = _next(text, place, "]")
            place += 1
        else:
            _, place = _DECODER.raw_decode(text, place)
        place = _next(text, _skip(text, place), "}")
    if _skip(text, place + 1) != len(text):
        raise json.JSONDecodeError("there is more behind the object", text, place + 1)


def _skip(text: str, place: int) -> int:
    while text[place : place + 1] in _SPACE and place < len(text):
        place += 1
    return place


def _after(text: str, place: int, sign: str) -> int:
    """Returns the place behind a sign and the space around it. Raises `JSONDecodeError` where it is not there."""
    place = _skip(text, place)
    if text[place : place + 1] != sign:
        raise json.JSONDecodeError(f"a {sign} is expected", text, place)
    return _skip(text, place + 1)


def _next(text: str, place: int, end: str) -> int:
    """Returns the place of the next item, behind a comma, or of the end of the list or object."""
    place = _skip(text, place)
    return place if text[place : place + 1] == end else _after(text, place, ",")


def _take_image(found: CocoFile, item: Any, shown: str) -> None:
    key, name = _value(item, "id", (int, str), shown), _value(item, "file_name", (str,), shown)
    if "\0" in name or HALVES.search(name):
        raise UsageError(f"{shown} has the file_name {printable(name)}, which no file can have")
    if key in found.images:
        raise UsageError(f"{shown} has the id {key!r} again; each image has its own")
    sides = [item.get(side) for side in ("width", "height")]
    width, height = (int(side) if isinstance(side, int | float) and 0 < side < 1e9 else 0 for side in sides)
    found.images[key] = CocoImage(name, width, height)


def _take_class(found: CocoFile, item: Any, shown: str) -> None:
    key, name = _value(item, "id", (int, str), shown), _value(item, "name", (str,), shown)
    if key in found.classes or name in found.classes.values():
        raise UsageError(f"{shown} has the id or the name of another class: {key!r}, {printable(name)}")
    if not name or not name.isprintable():
        raise UsageError(f"{shown} has the name {printable(name)!r}, which cannot be printed")
    found.classes[key] = name


def _take_box(found: CocoFile, item: Any, shown: str) -> None:
    image, key = (_value(item, name, (int, str), shown) for name in ("image_id", "category_id"))
    sides = _value(item, "bbox", (list,), shown)
    if len(sides) != 4 or not all(isinstance(side, int | float) and abs(side) < 1e9 for side in sides):
        raise UsageError(f"{shown} has the bbox {printable(str(sides), most=60)}; x, y, width and height are needed")
    left, top, width, height = map(float, sides)
    crowd = item.get("iscrowd", 0)
    if crowd not in (0, 1):  # true and false are 1 and 0
        raise UsageError(f"{shown} has the iscrowd {printable(repr(crowd), most=40)}; 0 or 1 is needed")
    area = item.get("area")
    if isinstance(area, bool) or not isinstance(area, int | float) or not 0 <= area < 1e18:
        area = width * height
    box = CocoBox(key, (left, top, left + width, top + height), bool(crowd), float(area))
    found.boxes.setdefault(image, []).append(box)


def _value(item: Any, name: str, kinds: tuple[type, ...], shown: str) -> Any:
    """Returns a value of an item. Raises `UsageError` where it is missing or of another kind."""
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise UsageError(f"{shown} has no {name} that can be used")
    return value
