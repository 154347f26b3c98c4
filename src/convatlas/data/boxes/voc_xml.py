"""One annotation file of Pascal VOC, parsed without following or expanding anything in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from convatlas.errors import UsageError, printable
from convatlas.files import read_regular

LARGEST = 16 * 2**20  # bytes
DEEPEST = 32  # elements inside each other; VOC needs 4
LONGEST = 1000  # letters of a text
DIFFICULT = {"": False, "0": False, "false": False, "unspecified": False, "1": True, "true": True}
SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True, eq=False)
class VocFile:
    """The content of a VOC file. `corners` float64 (n, 4) count pixels from 0, the right edge excluded.

    `width` and `height` are 0 where the file does not state them. `image` is the file name that it states.
    """

    path: Path
    image: str
    width: int
    height: int
    names: tuple[str, ...]
    corners: np.ndarray
    difficult: np.ndarray


@dataclass
class _Reader:
    """Takes what expat reports: the texts of the elements that are used, by their path below the outermost element."""

    path: Path
    inside: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    image: dict[str, str] = field(default_factory=dict)
    objects: list[dict[str, str]] = field(default_factory=list)

    def start(self, name: str, _: object) -> None:
        self.inside.append(name)
        self.text.clear()
        if len(self.inside) > DEEPEST:
            raise UsageError(f"{self.path} has more than {DEEPEST} elements inside each other; it is no VOC annotation")
        if self.inside[1:] == ["object"]:
            self.objects.append({})

    def add(self, text: str) -> None:
        self.text.append(text)

    def end(self, _: str) -> None:
        place, text = "/".join(self.inside[1:]), "".join(self.text).strip()
        if place.startswith("object/"):
            self.objects[-1][place.removeprefix("object/")] = text
        elif place in ("filename", "size/width", "size/height"):
            self.image[place] = text
        self.inside.pop()
        self.text.clear()

    def refuse(self, *_: object) -> None:
        raise UsageError(
            f"{self.path} declares a document type or an entity, which could stand for other files or for gigabytes; "
            "a VOC annotation needs neither; remove the declaration"
        )


def read_voc(path: Path) -> VocFile:
    """Returns the content of a VOC file. Raises `UsageError` for one that is absent, damaged or declares entities."""
    reader = _Reader(path)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.add
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = reader.refuse
    try:
        parser.Parse(_content(path), True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is no XML that can be read: {printable(str(error))}") from error
    boxes = [_box(path, number, found) for number, found in enumerate(reader.objects, 1)]
    return VocFile(
        path,
        reader.image.get("filename", "")[:LONGEST],
        _whole(path, "width", reader.image.get("size/width", "")),
        _whole(path, "height", reader.image.get("size/height", "")),
        tuple(found["name"] for found in reader.objects),
        np.array(boxes, np.float64).reshape(-1, 4),
        np.array([_difficult(path, number, found) for number, found in enumerate(reader.objects, 1)], bool),
    )


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} has more than {LARGEST:,} bytes, too many for the annotation of an image")
        return read_regular(path)
    except FileNotFoundError as error:
        raise UsageError(f"there is no annotation at {path}; add it, or take the image out of the lists") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _box(path: Path, number: int, found: dict[str, str]) -> list[float]:
    """Returns the corners of an object, from 0. VOC counts pixels from 1 and includes the last one."""
    if not found.get("name") or len(found["name"]) > LONGEST or not found["name"].isprintable():
        raise UsageError(f"{path}: object {number} has no name of a class that can be printed; write <name>")
    left, upper, right, lower = (_side(path, number, side, found.get(f"bndbox/{side}")) for side in SIDES)
    return [left - 1, upper - 1, right, lower]


def _difficult(path: Path, number: int, found: dict[str, str]) -> bool:
    """Returns whether an object is difficult; one that does not say it is not."""
    text = found.get("difficult", "").lower()
    if text not in DIFFICULT:
        raise UsageError(f"{path}: object {number} has difficult {printable(text, most=40)!r}; 0 or 1 is needed")
    return DIFFICULT[text]


def _side(path: Path, number: int, side: str, text: str | None) -> float:
    if text is None:
        raise UsageError(f"{path}: object {number} has no {side}; a box has {', '.join(SIDES)}")
    return _number(path, f"object {number} has {side}", text)


def _number(path: Path, said: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e9:
        raise UsageError(f"{path}: {said} {printable(text, most=40)!r}; a number of pixels is needed")
    return value


def _whole(path: Path, side: str, text: str) -> int:
    """Returns a side of the image, 0 where none is stated."""
    return max(0, int(_number(path, f"the image's {side} is", text))) if text else 0
