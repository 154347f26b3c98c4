"""coco:PATH, the JSON of COCO: one file, or one for each part beside the folders of the images.

Lin et al. 2014, https://arxiv.org/abs/1405.0312. The layout is that of the data set,
annotations/instances_train2017.json and train2017/, or Roboflow's, train/_annotations.coco.json among the images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convatlas.data.boxes.annotations import Annotation
from convatlas.data.boxes.coco_json import CocoFile, Key, read_coco
from convatlas.data.boxes.files import header_sizes, names_in
from convatlas.data.boxes.listing import BoxListing
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.listing import PARTS, Found
from convatlas.data.sources.part_names import absolute, part_in, part_named
from convatlas.data.sources.walking import folders_in, natural
from convatlas.errors import UsageError

FOLDER, FIRST, ROBOFLOW = "annotations", "instances_", "_annotations.coco.json"
TRIED = 20  # images by which the folder of all is found


@dataclass(frozen=True)
class _Image:
    """An image of a part: the file that describes it, its number there, and its path below the folder."""

    part: str
    file: CocoFile
    key: Key
    name: str


def list_coco(reference: str) -> BoxListing:
    """Returns the images that COCO's JSON describes. Raises `UsageError` for another layout and for a damaged file."""
    path = absolute(reference)
    if not path.exists():
        raise UsageError(f"there is nothing at {path}; coco:PATH is a folder with {FOLDER}, or a JSON file")
    root = path if path.is_dir() else path.parent
    files = {part: read_coco(own) for part, own in (_files(path) if path.is_dir() else {"train": path}).items()}
    images = [image for part, file in files.items() for image in _images(root, part, file)]
    names = _classes(files)
    place = {name: number for number, name in enumerate(dict.fromkeys(image.name for image in images))}
    store = FileStore(root, tuple(place))
    annotations = _annotations([images[number] for number in _firsts(images)], store, names)
    parts = {
        part: Found(str(files[part].path), np.array([place[each.name] for each in images if each.part == part]))
        for part in files
    }
    absent = [
        (str(image.file.path), image.name) for image in images if not os.path.isfile(os.path.join(root, image.name))
    ]
    known = len(files["train"].classes) if "train" in files else len(names)
    return BoxListing(str(path), store, names, known, annotations, parts, absent=absent)


def _files(root: Path) -> dict[str, Path]:
    """Returns the file of each part in a folder. Raises `UsageError` where there is none, or two for one part."""
    found = [(part_named(name), root / name / ROBOFLOW) for name in folders_in(root)]
    found = [(part, path) for part, path in found if part is not None and path.is_file()]
    if not found and (home := root / FOLDER).is_dir():
        names = sorted((name for name in names_in(home) if name.lower().endswith(".json")), key=natural)
        names = [name for name in names if name.startswith(FIRST)] or names
        found = [(part_in(name), home / name) for name in names]
        if len(found) == 1:
            found = [(found[0][0] or "train", found[0][1])]
    if not found:
        raise UsageError(
            f"{root} has neither {FOLDER}/{FIRST}train2017.json nor train/{ROBOFLOW}; coco:PATH needs one of them, or "
            "name a JSON file itself"
        )
    parts: dict[str, Path] = {}
    for part, path in found:
        if part is None:
            raise UsageError(f"{path} names no part; write train, val or test into its name, or name one file itself")
        if part in parts:
            raise UsageError(f"{parts[part]} and {path} are both the part {part}; name one of them itself")
        parts[part] = path
    return {part: parts[part] for part in PARTS if part in parts}


def _images(root: Path, part: str, file: CocoFile) -> list[_Image]:
    """Returns the images of a file. They lie beside it, or in a folder with the name that follows `instances_`."""
    if not file.images:
        raise UsageError(f"{file.path} lists no image; a part needs some")
    own = file.path.stem.removeprefix(FIRST)
    homes = [file.path.parent, file.path.parent / "images", root / own, root / "images" / own, root / "images", root]
    first = [image.name for image in list(file.images.values())[:TRIED]]
    there = (home for home in homes if any(os.path.isfile(home / name) for name in first))
    home = next(there, root / own if (root / own).is_dir() else file.path.parent)
    below = "" if home == root else f"{home.relative_to(root).as_posix()}/"
    found: dict[str, Key] = {}
    for key, image in file.images.items():
        if (other := found.setdefault(image.name, key)) != key:
            raise UsageError(f"{file.path} lists {image.name} twice, as image {other!r} and as {key!r}; remove one")
    return [_Image(part, file, key, f"{below}{name}") for name, key in found.items()]


def _firsts(images: Sequence[_Image]) -> list[int]:
    """Returns the places of the images without those that another part lists too."""
    first: dict[str, int] = {}
    for number, image in enumerate(images):
        first.setdefault(image.name, number)
    return list(first.values())


def _classes(files: dict[str, CocoFile]) -> tuple[str, ...]:
    """Returns the classes of the training file in the order of their numbers, then those that others have beside."""
    names: dict[str, None] = {}
    for file in files.values():
        ordered = sorted(file.classes.items(), key=lambda item: (isinstance(item[0], str), item[0]))
        names |= dict.fromkeys(name for _, name in ordered)
        strange = {box.category for own in file.boxes.values() for box in own}.difference(file.classes)
        names |= dict.fromkeys(_unnamed(key) for key in sorted(strange, key=str))
    return tuple(names)


def _named(file: CocoFile, key: Key) -> str:
    return file.classes.get(key, _unnamed(key))


def _unnamed(key: Key) -> str:
    return f"number {key!r}"


def _annotations(images: Sequence[_Image], store: FileStore, names: Sequence[str]) -> list[Annotation]:
    """Returns the annotation of each image; a size that a file does not state is that of the image."""
    label = {name: place for place, name in enumerate(names)}
    stated = [image.file.images[image.key] for image in images]
    sizes = header_sizes(store, [number for number, own in enumerate(stated) if not (own.width and own.height)])
    found = []
    for number, (image, own) in enumerate(zip(images, stated, strict=True)):
        boxes = image.file.boxes.get(image.key, [])
        width, height = sizes.get(number, (own.width, own.height))
        found.append(
            Annotation(
                image=image.name,
                shown=f"{image.file.path}, image {image.key!r}",
                corners=np.array([box.corners for box in boxes], np.float64).reshape(-1, 4),
                labels=np.array([label[_named(image.file, box.category)] for box in boxes], np.int64),
                difficult=np.array([box.crowd for box in boxes], bool),
                width=width,
                height=height,
                areas=np.array([box.area for box in boxes], np.float64),
            )
        )
    return found
