"""Images that cannot be read: found before a training begins, refused or left out, and remembered for the next time."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import __version__ as pillow

from convatlas.bounds import permitted_pixels
from convatlas.data.boxes.truth import label_counts
from convatlas.data.dataset import DataSet
from convatlas.data.images.decoding import Encoded, decoder, read_encoded
from convatlas.data.images.protocol import Images, short_hash, targets_at
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.errors import UsageError
from convatlas.files import read_json, write_json
from convatlas.screen import say

PART, TOGETHER = 16, 8  # images that one thread tries in a row, and such parts in a job
NAMED = 5  # images in a message
FEW = 500  # images that are tried each time: remembering them is not worth a file
MANY = 5_000  # images before whose trial a person is told


class UnreadableError(Exception):
    """An image cannot be read; the text says why, and follows the name of the image."""


@dataclass(frozen=True)
class Unreadable:
    """An image that cannot be read: its part, its place there, and the reason."""

    part: str
    place: int
    reason: str


def open_at(images: StreamedImages, place: int) -> Encoded:
    """Returns an encoded image with its header read. Raises `UnreadableError`."""
    number = int(images.index[place])
    shown = images.store.shown(number)
    try:
        return read_encoded(images.store.read(number), shown)
    except UsageError as error:
        raise UnreadableError(_reason(error, shown)) from error


def decode_at(images: StreamedImages, place: int) -> tuple[Encoded, np.ndarray]:
    """Returns an encoded image and its pixels, as training decodes it. Raises `UnreadableError`."""
    encoded = open_at(images, place)
    return encoded, _pixels(encoded, reduction=1)


def require_readable(data: DataSet) -> None:
    """Raises `UsageError` that names the first five images that cannot be read, and how many there are."""
    found = unreadable_images(data)
    if found:
        raise UsageError(
            f"{len(found):,} of {_count(data):,} images of {data.spec.name} cannot be read: {_named(data, found)} (the "
            f"first {found[0].reason}); `{_command(data.spec.name)}` shows all of them; leave them out with "
            "--skip-unreadable, skip_unreadable=True in Python"
        )


def without_unreadable(data: DataSet) -> DataSet:
    """Returns a data set without the images that cannot be read, with a note that names them.

    Raises `UsageError` where a class then has no training image, or a part no image.
    """
    found = unreadable_images(data)
    if not found:
        return data
    train, validation, test = (_left(images, part, found, name=data.spec.name) for part, images in data.parts.items())
    names = data.spec.class_names
    before, after = (label_counts(images, len(names)) for images in (data.train, train))
    if lost := [name for name, had, has in zip(names, before, after, strict=True) if had and not has]:
        raise UsageError(
            f"no training image of class {lost[0]} of {data.spec.name} can be read; "
            f"`{_command(data.spec.name)}` shows them"
        )
    note = f"images that cannot be read and were left out: {len(found):,} ({_named(data, found)})"
    return DataSet(data.spec, train, validation, test, (*data.notes, note), unreadable=len(found))


def unreadable_images(data: DataSet) -> tuple[Unreadable, ...]:
    """Returns the encoded images that cannot be decoded, in their order. All of them are tried.

    What was found among many images is remembered in the user's cache by the content of all images and the version of
    the decoder. It is not searched again then.
    """
    count = sum(len(images) for images in data.parts.values() if isinstance(images, StreamedImages))
    place = _remembered(data) if count >= FEW else None
    if place is not None and (known := _recall(place, data, count=count)) is not None:
        return known
    if count >= MANY:
        say(f"trying once whether all {count:,} images can be read; the answer is remembered")
    found = tuple(_try_all(data))
    if place is not None:
        try:
            write_json(place, {"images": count, "unreadable": [[one.part, one.place, one.reason] for one in found]})
        except OSError as error:
            say(f"note: {place} cannot be written ({error.strerror}): all images are tried again next time")
    return found


def _try_all(data: DataSet) -> Iterator[Unreadable]:
    for part, images in data.parts.items():
        if isinstance(images, StreamedImages):
            reasons: dict[int, str] = {}
            for _ in completed(_jobs(images, reasons), workers=worker_count(images.workers)):
                pass
            yield from (Unreadable(part, place, reasons[place]) for place in sorted(reasons))


def _jobs(images: StreamedImages, reasons: dict[int, str]) -> Iterator[tuple[None, list[Fill]]]:
    for first in range(0, len(images), PART * TOGETHER):
        end = min(first + PART * TOGETHER, len(images))
        yield (
            None,
            [partial(_try, images, range(start, min(start + PART, end)), reasons) for start in range(first, end, PART)],
        )


def _try(images: StreamedImages, places: range, reasons: dict[int, str]) -> None:
    """Decodes some images, a JPEG as small as it goes: every byte of it is read all the same."""
    for place in places:
        try:
            encoded = open_at(images, place)
            _pixels(encoded, reduction=encoded.reduction(height=encoded.height, width=encoded.width, size=1))
        except UnreadableError as error:
            reasons[place] = str(error)


def _pixels(encoded: Encoded, *, reduction: int) -> np.ndarray:
    try:
        return encoded.pixels(reduction=reduction)
    except UsageError as error:
        raise UnreadableError(_reason(error, encoded.name)) from error


def _reason(error: UsageError, shown: str) -> str:
    return str(error).removeprefix(shown).strip()


def _left(images: Images, part: str, found: Sequence[Unreadable], *, name: str) -> Images:
    """Returns the images of a part that can be read."""
    out = [one.place for one in found if one.part == part]
    if not out or not isinstance(images, StreamedImages):
        return images
    stay = torch.ones(len(images), dtype=torch.bool)
    stay[out] = False
    if not stay.any():
        raise UsageError(f"no {part} image of {name} can be read; `{_command(name)}` shows them")
    places = stay.nonzero().flatten()
    return replace(images, labels=targets_at(images.labels, places), index=images.index[places])


def _named(data: DataSet, found: Sequence[Unreadable]) -> str:
    """Returns the names of the first images, and how many more there are."""
    names = []
    for one in found[:NAMED]:
        images = data.parts[one.part]
        assert isinstance(images, StreamedImages)
        names.append(images.store.name(int(images.index[one.place])))
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return ", ".join(names) + more


def _command(name: str) -> str:
    """Returns the command that shows all images that cannot be read, as a shell reads it."""
    return f"convatlas data check {shlex.quote(name)}"


def _count(data: DataSet) -> int:
    return sum(map(len, data.parts.values()))


def _remembered(data: DataSet) -> Path | None:
    """Returns the file in the user's cache for these images, or None where not even their bytes can be read."""
    import pooch

    try:
        said = (data.images_hash, decoder(), pillow, str(permitted_pixels()))
    except UsageError:
        return None
    return Path(pooch.os_cache("convatlas")) / "readable" / f"{short_hash(each.encode() for each in said)}.json"


def _recall(path: Path, data: DataSet, *, count: int) -> tuple[Unreadable, ...] | None:
    """Returns what a file remembers, or None where it is absent or damaged: then all images are tried again."""
    try:
        content: Mapping[str, object] = read_json(path) if path.is_file() else {}
        rows = content.get("unreadable")
        if content.get("images") != count or not isinstance(rows, list):
            return None
        found = tuple(Unreadable(str(part), int(place), str(reason)) for part, place, reason in rows)
    except (UsageError, TypeError, ValueError):
        return None
    known = all(one.part in data.parts and 0 <= one.place < len(data.parts[one.part]) for one in found)
    return found if known else None
