"""The description of a YOLO data set: a YAML file with the class names and the places of the parts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convatlas.data.boxes.files import names_in, read_text
from convatlas.data.sources.part_names import NAMES, absolute
from convatlas.errors import UsageError, printable

LARGEST = 4 * 2**20  # bytes
NOTHING = (None, "", "~", "null")
USUAL = ("data.yaml", "data.yml", "dataset.yaml")


@dataclass(frozen=True)
class YoloFile:
    """The content of a description: the class names in their order, and the places of the images of each part."""

    path: Path
    names: tuple[str, ...]
    parts: dict[str, tuple[Path, ...]]


def read_yolo(reference: str) -> YoloFile:
    """Returns the description at a path, which is its own or its folder's. Raises `UsageError`."""
    path = absolute(reference)
    if not path.exists():
        raise UsageError(f"there is nothing at {path}; yolo:PATH is a folder with {USUAL[0]}, or that file")
    path = _description(path) if path.is_dir() else path
    content = _content(path)
    root = _root(path, content.get("path"))
    keys = {
        part: next((name for name in names if content.get(name) not in NOTHING), None) for part, names in NAMES.items()
    }
    parts = {part: _places(root, content[key], f"{path}: {key}") for part, key in keys.items() if key is not None}
    if not parts:
        raise UsageError(f"{path} names no part; write a line such as train: images/train")
    return YoloFile(path, _names(path, content.get("names")), parts)


def _description(root: Path) -> Path:
    """Returns the YAML file in a folder: the usual one, or the only one."""
    found = sorted(name for name in names_in(root) if name.lower().endswith((".yaml", ".yml")))
    usual = next((name for name in USUAL if name in found), None)
    if usual is None and len(found) != 1:
        there = f"several YAML files: {printable(', '.join(found))}; name one of them" if found else f"no {USUAL[0]}"
        raise UsageError(f"{root} has {there}; yolo:PATH needs one with names, train and val")
    return root / (usual or found[0])


def _content(path: Path) -> dict[Any, Any]:
    import yaml

    text = read_text(path, purpose="the description of a YOLO data set", most=LARGEST)
    try:
        content = yaml.load(text, Loader=yaml.BaseLoader)  # every value stays text: a class may be called no
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise UsageError(f"{path} is no YAML that can be read: {printable(reason, most=200)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} must be a mapping with names, train and val")
    return content


def _root(path: Path, stated: object) -> Path:
    """Returns the folder that a description states, or its own: one that is stated is often of another machine."""
    root = os.path.join(path.parent, os.path.expanduser(stated)) if isinstance(stated, str) else ""
    if os.path.isdir(root):  # False for a name that no file can have
        return Path(root)
    return path.parent


def _places(root: Path, stated: object, shown: str) -> tuple[Path, ...]:
    """Returns the folders or lists that a part names. Raises `UsageError` for one that is not there."""
    names = stated if isinstance(stated, list) else [stated]
    places = []
    for name in names:
        if not isinstance(name, str) or "\0" in name:
            raise UsageError(f"{shown} is {printable(str(name), most=60)}; the path of a folder is needed")
        # Roboflow writes ../train/images and means train/images
        tried = [root / name, root / name.removeprefix("../")]
        place = next((each for each in tried if os.path.exists(each)), None)
        if place is None:
            raise UsageError(
                f"{shown} is {printable(name)}, and there is nothing at {printable(str(tried[0]), most=300)}"
            )
        places.append(absolute(str(place)))
    return tuple(places)


def _names(path: Path, stated: object) -> tuple[str, ...]:
    """Returns the class names. Raises `UsageError` where they are missing, or their numbers have gaps."""
    if isinstance(stated, dict):
        numbers = [str(number) for number in range(len(stated))]
        stated = [stated[number] for number in numbers] if set(numbers) == set(stated) else None
    if not isinstance(stated, list) or not stated or not all(isinstance(name, str) for name in stated):
        raise UsageError(f"{path} must name the classes, from 0 on without gaps, such as names: [cat, dog]")
    seen = set[str]()
    for name in stated:
        if not name.isprintable() or not name or name in seen:
            raise UsageError(f"{path} has the class name {printable(name)!r}, twice or without letters")
        seen.add(name)
    return tuple(stated)
