"""One pass over all images of a data set, in threads: the facts of each image, or the reason why it cannot be read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from convatlas.data.boxes.truth import Boxes, box_labels, has_boxes
from convatlas.data.check.facts import FACTS, Hash, measure, perceptual_hash
from convatlas.data.dataset import DataSet
from convatlas.data.images.formats import RASTER_FORMATS
from convatlas.data.images.protocol import Images, class_labels, label_bytes
from convatlas.data.images.resident import ResidentImages
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.data.readability import UnreadableError, decode_at
from convatlas.errors import UsageError

PART = 16  # images that one thread looks at in a row
TOGETHER = 8  # such parts in a job

Watch = Callable[[int, int], None]  # is told how many images were looked at so far, and how many there are


@dataclass(frozen=True)
class Scan:
    """The facts of all images of a data set, a row of `FACTS` for each, all parts one after the other.

    A number is the place of an image among all of them. `part` (N,) has the place of each image's part in
    `data.parts`, `labels` (N,) its class, or for images with boxes a number that images of equal boxes share. `reasons`
    say by number why an image cannot be read. `hashed` says that perceptual hashes were made.
    """

    data: DataSet
    facts: np.ndarray
    part: np.ndarray
    labels: np.ndarray
    reasons: dict[int, str]
    hashed: bool

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(self.data.parts)

    def locate(self, number: int) -> tuple[Images, int]:
        """Returns the part of an image, and its place there."""
        part = int(self.part[number])
        return self.data.parts[self.parts[part]], number - int(np.searchsorted(self.part, part))

    def number(self, part: str, place: int) -> int:
        """Returns the number of the image at a place of a part."""
        return int(np.searchsorted(self.part, self.parts.index(part))) + place

    def name(self, number: int) -> str:
        """Returns the name of an image: its path below the place of the data, or its place in the source."""
        images, place = self.locate(number)
        index = int(images.index[place])
        return images.store.name(index) if isinstance(images, StreamedImages) else f"image {index}"

    def boxes(self, number: int) -> Boxes | None:
        """Returns the boxes of an image, or None where images have classes."""
        images, place = self.locate(number)
        return box_labels(images)[place] if has_boxes(images) else None

    def class_counts(self, part: int) -> np.ndarray:
        """Returns the number of readable images of a part, by its place, that are of each class or have a box of it."""
        numbers = np.flatnonzero(self.facts["readable"] & (self.part == part))
        labels = self.labels[numbers]
        if has_boxes(self.data.parts[self.parts[part]]):
            found = [boxes.labels for number in numbers.tolist() if (boxes := self.boxes(number)) is not None]
            labels = np.concatenate([*map(np.unique, found), np.array([], np.int64)])
        return np.bincount(labels, minlength=len(self.data.spec.class_names))

    def described(self, number: int) -> dict[str, str]:
        """Returns name, whole path, part and class of an image, as plain data."""
        images, place = self.locate(number)
        names, boxes = self.data.spec.class_names, self.boxes(number)
        own = names[self.labels[number]] if boxes is None else boxes.said(names)
        said = {"image": self.name(number), "split": self.parts[self.part[number]], "class": own}
        if isinstance(images, StreamedImages):
            said["path"] = images.store.shown(int(images.index[place]))
        return said


def scan_images(data: DataSet, *, watch: Watch | None = None, workers: int | None = None) -> Scan:
    """Looks at every image of a data set once. The memory does not grow with the images, but for 150 bytes each.

    Raises `UsageError` for images of a kind that is not known here, and for images without classes.
    """
    parts = list(data.parts.values())
    sizes = [len(images) for images in parts]
    facts, reasons = np.zeros(sum(sizes), FACTS), dict[int, str]()
    hashed = perceptual_hash()
    jobs = _jobs(parts, facts, reasons, hashed)
    for done in completed(jobs, workers=worker_count(workers)):
        if watch is not None:
            watch(done, len(facts))
    return Scan(
        data=data,
        facts=facts,
        part=np.repeat(np.arange(len(parts)), sizes),
        labels=_labels(parts),
        reasons=dict(sorted(reasons.items())),
        hashed=hashed is not None,
    )


def _labels(parts: list[Images]) -> np.ndarray:
    """Returns the class of each image of all parts, or a number for its boxes."""
    numbers: dict[bytes, int] = {}
    found = []
    for images in parts:
        if has_boxes(images):
            own = [numbers.setdefault(label_bytes([boxes]), len(numbers)) for boxes in box_labels(images)]
            found.append(np.array(own, np.int64))
        else:
            found.append(class_labels(images, needed_by="a check").cpu().numpy())
    return np.concatenate(found)


def _jobs(
    parts: list[Images], facts: np.ndarray, reasons: dict[int, str], hashed: Hash | None
) -> Iterator[tuple[int, list[Fill]]]:
    """Yields the number of images after each job, and the functions that do it."""
    start = 0
    for images in parts:
        look = partial(_look, _looker(images, hashed), start=start, facts=facts, reasons=reasons)
        for first in range(0, len(images), PART * TOGETHER):
            end = min(first + PART * TOGETHER, len(images))
            fills: list[Fill] = [
                partial(look, range(place, min(place + PART, end))) for place in range(first, end, PART)
            ]
            yield start + end, fills
        start += len(images)


def _look(
    looker: Callable[[int], dict[str, Any]],
    places: range,
    *,
    start: int,
    facts: np.ndarray,
    reasons: dict[int, str],
) -> None:
    """Writes the facts of some images of a part into their rows; `start` is the number of the part's first image."""
    for place in places:
        try:
            found = looker(place)
        except UnreadableError as error:
            reasons[start + place] = str(error)
            continue
        row = facts[start + place]
        for name, value in found.items():
            row[name] = value


def _looker(images: Images, hashed: Hash | None) -> Callable[[int], dict[str, Any]]:
    """Returns the function that gives the facts of an image by its place. Raises `UsageError` for unknown images."""
    if isinstance(images, StreamedImages):
        return partial(_look_into_store, images, hashed=hashed)
    if isinstance(images, ResidentImages):
        pixels = images.pixels.cpu().permute(0, 2, 3, 1).numpy()
        return lambda place: measure(pixels[place], hashed=hashed)
    raise UsageError(f"{type(images).__name__} cannot be checked; images in memory and encoded images can")


def _look_into_store(images: StreamedImages, place: int, *, hashed: Hash | None) -> dict[str, Any]:
    encoded, pixels = decode_at(images, place)
    return {**_header(encoded.content), **measure(pixels, hashed=hashed)}


def _header(content: bytes) -> dict[str, Any]:
    """Returns format, mode, orientation and the like of an image that has been decoded."""
    with Image.open(io.BytesIO(content), formats=RASTER_FORMATS) as file:
        found = {"format": file.format, "mode": _mode(file), "transparent": file.has_transparency_data}
        with contextlib.suppress(Exception):  # the picture was read; damage behind its first frame changes nothing
            found["orientation"] = file.getexif().get(0x0112, 1)
            found["animated"] = file.format != "MPO" and bool(getattr(file, "is_animated", False))
    return found


def _mode(file: Image.Image) -> str:
    """Returns Pillow's name of the kind of pixel, with the bits where Pillow's name does not say them."""
    tile = getattr(file, "tile", [])
    arguments = tile[0].args if tile else ""
    raw = arguments if isinstance(arguments, str) else str(arguments[0]) if arguments else ""
    return f"{file.mode};16" if ";16" in raw and ";16" not in file.mode else file.mode
