"""tar:PATTERN, images of one's own in tar files in WebDataset's layout: `key.jpg` beside `key.cls` or `key.json`."""

from __future__ import annotations

import glob
import io
import json
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data.dataset import Source
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.tar_store import TarStore
from convatlas.data.sources.listing import PARTS, Found, Listing, in_use, listed_source
from convatlas.data.sources.part_names import absolute, part_in
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError, printable, reason_of
from convatlas.files import open_regular, read_regular

BLOCK = 512  # bytes; the members of a tar file begin at multiples of it
LONGEST_LABEL = 2**20  # bytes of `key.cls` and `key.json`
MOST_FILES = 100_000  # that a pattern may mean
LABELS = ("cls", "json")  # the kinds of members with labels
NAME_FILES = ("classes.txt", "classes.json")
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass
class _Index:
    """The images of tar files that were found so far, and their labels as they are written."""

    files: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    said_twice: list[tuple[str, str, str]] = field(default_factory=list)  # a key, its .cls and another label in .json
    ignored: int = 0

    def add(self, number: int, path: str) -> None:
        """Adds the images of a tar file. Raises `UsageError` for one that is cut off and for an image without label."""
        images: dict[str, tarfile.TarInfo] = {}
        labels: dict[str, str] = {}  # of .cls
        others: dict[str, str | None] = {}  # of .json
        for member, content in _members(path):
            key, kind = _split_name(member.name)
            if f".{kind}" in SUFFIXES:
                if key in images:
                    raise UsageError(f"{path} has two images of the key {printable(key)}")
                images[key] = member
            elif content is None:
                self.ignored += 1
            elif kind == "json":
                others[key] = _label_in_json(path, member.name, content)
            else:
                labels[key] = _label(path, member.name, content)
        for key, member in images.items():
            label, other = labels.get(key), others.get(key)
            if label is None and other is None:
                beside = "only a .json without a label" if key in others else "neither .cls nor .json"
                raise UsageError(f"{path} has an image without a label: beside {printable(key)} lies {beside}")
            if label is not None and other not in (None, label):
                self.said_twice.append((f"{path}: {printable(key)}", label, str(other)))
            self.files.append(number)
            self.offsets.append(member.offset_data)
            self.sizes.append(member.size)
            self.members.append(member.name)
            self.labels.append(str(label if label is not None else other))

    def store(self, paths: Sequence[str]) -> TarStore:
        """Returns the store of all images that were added."""
        files, offsets, sizes = (np.array(column, np.int64) for column in (self.files, self.offsets, self.sizes))
        return TarStore(paths, files, offsets, sizes, self.members)


def tar_source(reference: str) -> Source:
    """Returns the images in tar files as a source. Raises `UsageError` for files that cannot be used."""
    pattern = str(absolute(reference))
    paths = _meant(pattern)
    index = _Index()
    for number, path in enumerate(paths):
        index.add(number, path)
    if not index.members:
        raise UsageError(f"{pattern} holds no image; members such as key.jpg and key.cls are read")
    classes, labels, notes = in_use(*_classes(pattern, paths, index))
    if index.ignored:
        notes += (f"members of {pattern} that are no image and no label, left out: {index.ignored:,}",)
    parts = _parts(pattern, paths, index.files)
    listing = Listing(pattern, index.store(paths), classes, labels, parts, notes=notes)
    return listed_source(listing, name=f"tar:{pattern}", title=f"Images of the tar files {Path(pattern).name}")


def _meant(pattern: str) -> list[str]:
    """Returns the paths that a pattern means, in order. Raises `UsageError` where one is missing."""
    found: list[str] = []
    for number, one in enumerate(_spread(pattern)):
        if number > MOST_FILES:
            raise UsageError(f"{pattern} means more than {MOST_FILES:,} files")
        here = sorted(glob.glob(one), key=natural) if glob.has_magic(one) and not os.path.exists(one) else [one]
        if not here or not os.path.isfile(here[0]):
            raise UsageError(
                f"there is no tar file at {one}; tar:PATTERN means some, such as photos-*.tar or "
                "train-{0000..0009}.tar"
            )
        found += here
    return list(dict.fromkeys(found))


def _spread(pattern: str) -> Iterator[str]:
    """Yields the patterns that braces stand for.

    >>> list(_spread("a-{08..10}.tar")), list(_spread("{train,val}.tar"))
    (['a-08.tar', 'a-09.tar', 'a-10.tar'], ['train.tar', 'val.tar'])
    """
    braces = _BRACES.search(pattern)
    if braces is None or os.path.exists(pattern):
        yield pattern
        return
    first, dots, last = braces[1].partition("..")
    if dots and first.isdecimal() and last.isdecimal():
        words: Iterator[str] = (f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1))
    else:
        words = iter(braces[1].split(","))
    for word in words:
        yield from _spread(f"{pattern[: braces.start()]}{word}{pattern[braces.end() :]}")


def _members(path: str) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Yields the files in a tar file; of labels the content too. Raises `UsageError` for one that is cut off."""
    try:
        with open_regular(Path(path)) as file:
            if file.read(2) == b"\x1f\x8b":
                raise UsageError(f"{path} is compressed, and images in it cannot be read in place; unpack it by gunzip")
            file.seek(0)
            yield from _plain_members(path, file)
    except UsageError:
        raise
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:  # a header may say any number
        reason = printable(reason_of(error), most=160)
        raise UsageError(f"{path} is no whole tar file: {reason}; get the file again") from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or 'it is cut off'}") from error


def _plain_members(path: str, file: io.BufferedReader) -> Iterator[tuple[tarfile.TarInfo, bytes | None]]:
    """Yields the files in an opened tar file, as `_members` does."""
    size = os.fstat(file.fileno()).st_size
    bound: Any = _Within(file, size)
    with tarfile.open(fileobj=bound, mode="r:") as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # else it keeps every one
            if member.size < 0 or (member.isreg() and member.offset_data + member.size > size):
                raise UsageError(f"{path} is cut off within {printable(member.name)}; get the file again")
            if not member.isreg() or member.issparse():
                continue
            content = None
            if _split_name(member.name)[1] in LABELS:
                if member.size > LONGEST_LABEL:
                    raise UsageError(f"{path} has a label of {member.size:,} bytes in {printable(member.name)}")
                file.seek(member.offset_data)
                content = file.read(member.size)
            yield member, content
        file.seek(min(tar.offset, size))
    if file.read(BLOCK) != bytes(BLOCK):
        raise UsageError(f"{path} is cut off or damaged: its end is missing; get the file again")


class _Within:
    """A file of which no more is read than it has: a header may ask for any number of bytes, and memory for them."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._file, self._size = file, size

    def read(self, count: int = -1) -> bytes:
        """Returns the next bytes, so many or all that are left."""
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if count < 0 else min(count, left))


def _split_name(member: str) -> tuple[str, str]:
    """Returns the key of a member and its kind in small letters, which begins behind the first dot of its name.

    >>> _split_name("./cats/0001.JPG")
    ('./cats/0001', 'jpg')
    """
    folder, slash, name = member.rpartition("/")
    key, _, kind = name.partition(".")
    return f"{folder}{slash}{key}", kind.lower()


def _label(path: str, member: str, content: bytes) -> str:
    """Returns the label in a `.cls` as it is written. Raises `UsageError` for one that is no text."""
    try:
        return _checked_label(path, member, content.decode("utf-8"))
    except UnicodeDecodeError:
        return _checked_label(path, member, None)


def _label_in_json(path: str, member: str, content: bytes) -> str | None:
    """Returns the label in a `.json` as it is written; None where it has no field `label`. Raises `UsageError`."""
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} has no whole JSON in {printable(member)}; get the file again") from error
    found = said.get("label") if isinstance(said, dict) else None
    return None if found is None else _checked_label(path, member, found)


def _checked_label(path: str, member: str, found: object) -> str:
    """Returns a label as text. Raises `UsageError` for one that is neither a name nor a number."""
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
        raise UsageError(f"{path} has no label in {printable(member)}: it holds the name of a class, or its number")
    return str(found).strip()


def _classes(pattern: str, paths: Sequence[str], index: _Index) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the classes in the order of the labels, and the label of each image.

    A list of names beside the files counts; without one the labels are the names. Raises `UsageError` for a label that
    the list has not, and for two labels of an image that contradict each other.
    """
    written = index.labels
    names = _stated(Path(paths[0]).parent)
    places = {name: place for place, name in enumerate(names or sorted(set(written), key=natural))}
    if names:
        places = {str(place): place for place in range(len(names))} | places
    strange = next((label for label in written if label not in places), None)
    if strange is not None:
        raise UsageError(
            f"{pattern} has the label {printable(strange)}, which is none of the {len(names)} classes beside"
        )
    for shown, label, other in index.said_twice:
        if places[label] != places.get(other) or not names:
            raise UsageError(
                f"{shown} has the label {printable(label)} in .cls and {printable(other)} in .json; leave one of them"
            )
    classes = names or tuple(places)
    return classes, np.array([places[label] for label in written], np.int64)


def _stated(folder: Path) -> tuple[str, ...]:
    """Returns the names in a list of classes in a folder, or none. Raises `UsageError` for a list that is damaged."""
    for file in (folder / name for name in NAME_FILES):
        if file.is_file():
            try:
                text = read_regular(file).decode("utf-8-sig")
                found = json.loads(text) if file.suffix == ".json" else text.split("\n")
            except (ValueError, RecursionError, OSError) as error:
                raise UsageError(f"{file} cannot be read: {printable(reason_of(error), most=160)}") from error
            names = [name.strip() for name in found if isinstance(name, str)] if isinstance(found, list) else []
            names = [name for name in names if name]
            if len(names) != len(set(names)) or not names:
                raise UsageError(f"{file} is no list of the names of classes, each once, in the order of the labels")
            return tuple(names)
    return ()


def _parts(pattern: str, paths: Sequence[str], files: Sequence[int]) -> Mapping[str, Found]:
    """Returns the parts that the names of the files say. Raises `UsageError` where only some of them say one."""
    said = [part_in(os.path.basename(path)) for path in paths]
    if not any(said):
        return {"train": Found(pattern, np.arange(len(files)))}
    if not all(said):
        without = paths[said.index(None)]
        raise UsageError(
            f"{without} names no part, and other files do; a name has train, val or test in all files or none"
        )
    of = np.array([str(said[file]) for file in files])
    return {part: Found(f"{pattern} ({part} files)", np.flatnonzero(of == part)) for part in PARTS if part in of}
