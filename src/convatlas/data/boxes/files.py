"""The files that annotations are read from, and the images that they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from convatlas.data.images.decoding import read_encoded
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.stores import Store
from convatlas.data.images.workers import Fill, completed, worker_count
from convatlas.errors import UsageError, printable
from convatlas.files import read_regular

PART = 64  # headers that one thread reads in a row


def read_text(path: Path, *, purpose: str, most: int) -> str:
    """Returns the text of a file in UTF-8. Raises `UsageError` for one that is absent, too large or no such text."""
    try:
        if path.stat().st_size > most:
            raise UsageError(f"{path} has more than {most:,} bytes, too many for {purpose}")
        return read_regular(path).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UsageError(f"there is no file at {path}; it is needed as {purpose}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8; save {purpose} in UTF-8") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def listed_names(path: Path, *, most: int) -> list[tuple[int, str]]:
    """Returns the lines of a list of images with their numbers, without empty ones.

    Raises `UsageError` for a line that can name no file.
    """
    lines = read_text(path, purpose="the list of a part", most=most).splitlines()
    for number, line in enumerate(lines, 1):
        if "\0" in line:
            raise UsageError(f"line {number} of {path} has a character NUL, which no name of a file has")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]


def names_in(folder: Path) -> list[str]:
    """Returns the names of the files in a folder, without hidden ones. Raises `UsageError` where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.name[0] != "." and entry.is_file()]
    except OSError as error:
        raise UsageError(f"cannot read {folder}: {error.strerror}") from error


def images_by_stem(names: Iterable[str]) -> dict[str, list[str]]:
    """Returns the names of image files by their names without the ending, for those that end like images.

    >>> images_by_stem(["a.jpg", "a.png", "b.JPG", "b.txt"])
    {'a': ['a.jpg', 'a.png'], 'b': ['b.JPG']}
    """
    found: dict[str, list[str]] = {}
    for name in names:
        if name.lower().endswith(SUFFIXES):
            found.setdefault(os.path.splitext(name)[0], []).append(name)
    return found


def header_sizes(store: Store, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Returns width and height of some upright images by number; an image that cannot be read is left out."""
    sizes: dict[int, tuple[int, int]] = {}

    def read(chosen: Sequence[int]) -> None:
        for number in chosen:
            try:
                image = read_encoded(store.read(number), store.shown(number))
            except UsageError:
                continue  # a training and a check try every image and say which cannot be read
            sizes[number] = (image.width, image.height)

    def jobs() -> Iterator[tuple[None, list[Fill]]]:
        for start in range(0, len(numbers), PART):
            chosen = numbers[start : start + PART]
            yield None, [partial(read, chosen)]

    for _ in completed(jobs(), workers=worker_count(None)):
        pass
    return sizes


def missing_line(absent: Sequence[tuple[str, str]]) -> str:
    """Returns the line that says which images are not there, for pairs of an annotation and an image; empty for none.

    >>> missing_line([("a.xml", "a.jpg"), ("b.xml", "b.jpg")])
    'a.xml describes the image a.jpg, which is not there, and 1 more is missing'
    """
    if not absent:
        return ""
    annotation, image = absent[0]
    more = len(absent) - 1
    others = f", and {more:,} more {'is' if more == 1 else 'are'} missing" if more else ""
    return f"{annotation} describes the image {printable(image, most=300)}, which is not there{others}"
