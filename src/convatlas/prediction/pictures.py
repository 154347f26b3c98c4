"""The image files that a user's words mean: files, folders, patterns, and names on standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from convatlas.data.images.formats import SUFFIXES
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError

STANDARD_INPUT = "-"
SHOWN = 3  # files in a note


@dataclass
class Pictures:
    """The paths of image files, and the files and folders that were passed over."""

    paths: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """A line that says what was passed over, if anything was."""
        if not self.others:
            return []
        more = f" and {len(self.others) - SHOWN:,} more" if len(self.others) > SHOWN else ""
        named = ", ".join(self.others[:SHOWN])
        return [f"passed over, since their names do not end like those of images: {named}{more}"]

    def add_folder(self, place: str) -> None:
        """Adds the images in a folder and below it in natural order; hidden ones are left out, links not followed."""
        for folder, folders, files in os.walk(place):
            folders[:] = sorted((name for name in folders if name[0] != "."), key=natural)
            self.add(os.path.join(folder, name) for name in sorted(files, key=natural) if name[0] != ".")

    def add(self, files: Iterable[str]) -> None:
        """Adds files whose names end like those of images; the others are passed over."""
        for path in files:
            (self.paths if path.lower().endswith(SUFFIXES) else self.others).append(path)


def pictures_of(words: Sequence[str], *, names: Iterable[str] = ()) -> Pictures:
    """Returns the image files that some words mean, in the order of the words.

    A word is a file, a folder with images in it and below it, a pattern such as `photos/*.jpg`, or `-`, which stands
    for `names` of files and folders. Raises `UsageError` for a word that means no file.
    """
    found = Pictures()
    for word in words:
        if word == STANDARD_INPUT:
            for name in names:
                found.add_folder(name) if os.path.isdir(name) else found.paths.append(name)
        else:
            _add_word(found, word)
    if not found.paths:
        raise UsageError("no image is named on standard input; give one name in each line")
    return found


def _add_word(found: Pictures, word: str) -> None:
    """Adds the files that one word means. Raises `UsageError` where there are none."""
    before = len(found.paths)
    if os.path.isdir(word):
        found.add_folder(word)
        if len(found.paths) == before:
            raise UsageError(f"{word} and the folders in it hold no image; {', '.join(SUFFIXES)} are read")
    elif os.path.lexists(word):
        found.paths.append(word)
    else:
        matches = sorted(glob.glob(word, recursive=True), key=natural) if glob.has_magic(word) else []
        found.add(path for path in matches if not os.path.isdir(path))
        if "**" not in word:  # which matches the files in folders too
            for path in filter(os.path.isdir, matches):
                found.add_folder(path)
        if len(found.paths) == before:
            raise UsageError(f"no image at {word}")


def names_in(stream: TextIO) -> Iterator[str]:
    """Yields the names in the lines of a stream, without empty ones.

    >>> import io
    >>> list(names_in(io.StringIO("one.png\\n\\nwith space .png\\n")))
    ['one.png', 'with space .png']
    """
    return (name for name in (line.rstrip("\r\n") for line in stream) if name)
