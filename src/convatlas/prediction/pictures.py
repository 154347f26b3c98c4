"""The image files that a user's words mean: files, folders, patterns, and names on standard input."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from convatlas.data.images.formats import SUFFIXES
from convatlas.data.sources.walking import files_below, natural
from convatlas.errors import UsageError

STANDARD_INPUT = "-"


def image_paths(words: Sequence[str], *, names: Iterable[str] = ()) -> list[str]:
    """Returns the paths of the image files that some words mean, in the order of the words.

    A word is a file, a folder with images in it and below it, a pattern such as `photos/*.jpg`, or `-`, which stands
    for `names`. Hidden files are left out of folders. Raises `UsageError` for a word that means no file.
    """
    paths = [path for word in words for path in _meant(word, names)]
    if not paths:
        raise UsageError("no image is named on standard input; give one name in each line")
    return paths


def _meant(word: str, names: Iterable[str]) -> Iterator[str]:
    """Yields the paths that one word means."""
    if word == STANDARD_INPUT:
        yield from names
        return
    place = Path(word)
    found: Sequence[str] = [word]
    if place.is_dir():
        found = [path for path in _below(place) if path.lower().endswith(SUFFIXES)]
        if not found:
            raise UsageError(f"{word} and the folders in it hold no image; {', '.join(SUFFIXES)} are read")
    elif not place.exists():
        found = sorted(glob.glob(word, recursive=True), key=natural) if glob.has_magic(word) else []
        if not found:
            raise UsageError(f"no image at {word}")
    yield from found


def _below(place: Path) -> Iterator[str]:
    return (str(place / name) for name in files_below(str(place), ".", hidden=[]))


def names_in(stream: TextIO) -> Iterator[str]:
    """Yields the names in the lines of a stream, without empty ones.

    >>> import io
    >>> list(names_in(io.StringIO("one.png\\n\\nwith space .png\\n")))
    ['one.png', 'with space .png']
    """
    return (name for name in (line.rstrip("\r\n") for line in stream) if name)
