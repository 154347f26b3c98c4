"""The hub's layout: `train-*.parquet` and `test-*.parquet` with a column of encoded images and one of labels."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.data.sources.layouts.parts import (
    Form,
    IncompleteError,
    Part,
    checked,
    joined,
    unreadable,
    whole_numbers,
)
from convatlas.errors import reason_of

if TYPE_CHECKING:
    import pyarrow.parquet

IMAGE_COLUMNS = ("img", "image")
FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow would hand others to programs outside, and none of them is needed
RECORDS = 1000  # read at a time


@dataclass(frozen=True)
class ParquetFiles:
    """The shards of one data set; `labels` is the column of their labels."""

    labels: str

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds shards with this column of labels, or one whose columns cannot be read."""
        shards = [*folder.glob("train-*.parquet"), *folder.glob("test-*.parquet")]
        return bool(shards) and self._fits(min(shards))

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (
            joined([_read_shard(path, labels=self.labels, form=form) for path in _shards(folder, part)])
            for part in ("train", "test")
        )
        return train, test

    def _fits(self, shard: Path) -> bool:
        import pyarrow

        try:
            with _opened(shard) as file:
                return self.labels in file.schema_arrow.names
        except (pyarrow.ArrowException, OSError):
            return True  # reading it will say what is wrong


def _opened(path: Path) -> pyarrow.parquet.ParquetFile:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _shards(folder: Path, part: str) -> list[Path]:
    """Lists the files of a part in order. Raises `UsageError` where `-of-00003` in a name says that one is missing."""
    shards = sorted(folder.glob(f"{part}-*.parquet"))
    if not shards:
        raise IncompleteError(folder, f"it has no {part}-*.parquet")
    count = re.search(r"-of-(\d+)", shards[0].name)
    if count and int(count[1]) != len(shards):
        raise IncompleteError(folder, f"it has {len(shards)} of the {int(count[1])} files {part}-*.parquet")
    return shards


def _read_shard(path: Path, *, labels: str, form: Form) -> Part:
    import pyarrow

    images: list[np.ndarray] = []
    numbers: list[Any] = []
    lossy: set[str] = set()
    try:
        for contents, more in _records(path, labels=labels):
            for content in contents:
                pixels, kind = _decoded(content, path=path, place=len(images), form=form)
                images.append(pixels)
                if kind == "JPEG" or (kind == "WEBP" and not _is_lossless_webp(content["bytes"])):
                    lossy.add(kind)
            numbers += more
    except (pyarrow.ArrowException, OSError) as error:
        raise unreadable(path, f"it is no whole parquet file ({reason_of(error)})") from error
    column = whole_numbers(path, numbers, name=f"column {labels}")
    stacked = np.stack(images) if images else np.empty((0, form.image_size, form.image_size, form.channels), np.uint8)
    part = checked(path, np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)), column, form=form)
    return Part(part.images, part.labels, frozenset(lossy))


def _records(path: Path, *, labels: str) -> Iterator[tuple[list[Any], list[Any]]]:
    """Yields encoded images and labels, some thousand records at a time."""
    with _opened(path) as file:
        names = file.schema_arrow.names
        image = next((name for name in IMAGE_COLUMNS if name in names), None)
        if image is None or names.count(image) != 1 or names.count(labels) != 1:
            raise unreadable(path, f"its columns are {', '.join(names)}; it needs one img or image, and one {labels}")
        for batch in file.iter_batches(RECORDS, columns=[image, labels]):
            yield batch.column(image).to_pylist(), batch.column(labels).to_pylist()


def _decoded(content: Any, *, path: Path, place: int, form: Form) -> tuple[np.ndarray, str]:
    """Returns one image uint8 (H, W, C) and the format that it was encoded in."""
    from PIL import Image, UnidentifiedImageError

    encoded = content.get("bytes") if isinstance(content, dict) else None
    if not isinstance(encoded, bytes):
        raise unreadable(path, f"image {place} holds no bytes")
    wanted = (form.image_size, form.image_size)
    try:
        with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
            kind = str(image.format)
            size = image.size  # known from the header, before anything is decoded
            pixels = np.asarray(image.convert("RGB" if form.channels == 3 else "L")) if size == wanted else None
    except UnidentifiedImageError as error:  # its message is the address of a buffer
        raise unreadable(path, f"image {place} is no image of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged image may raise nearly anything
        raise unreadable(path, f"image {place} cannot be decoded ({reason_of(error)})") from error
    if pixels is None:
        raise unreadable(path, f"image {place} has {size[0]} x {size[1]} pixels, not {wanted[0]} x {wanted[1]}")
    return pixels.reshape(*wanted, form.channels), kind


def _is_lossless_webp(content: bytes) -> bool:
    """Returns whether the first image of a WebP file is known to be in its lossless form."""
    at = 12  # behind RIFF, the size and WEBP
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name in (b"VP8L", b"VP8 ", b"ANMF"):
            return name == b"VP8L"
        at += 8 + size + size % 2
    return False
