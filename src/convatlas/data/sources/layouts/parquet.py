"""The hub's layout: `train-*.parquet` and `test-*.parquet` with a column of encoded images and one of labels."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convatlas.bounds import Allowance
from convatlas.data.images.image_files import open_picture, upright
from convatlas.data.sources.layouts.class_names import in_our_order, stated_classes
from convatlas.data.sources.layouts.parquet_pages import take_pages
from convatlas.data.sources.layouts.parts import (
    Form,
    IncompleteError,
    Part,
    checked,
    joined,
    unreadable,
    whole_numbers,
)
from convatlas.errors import UsageError, printable, reason_of
from convatlas.files import open_regular

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

IMAGE_COLUMNS = ("img", "image")
FORMATS = ("PNG", "JPEG", "WEBP")  # Pillow would hand others to programs outside, and none of them is needed
RECORDS = 1000  # read at a time
LONGEST = 2**18  # bytes of an encoded image
CONTAINERS = 100_000  # items of a list in a footer


@dataclass(frozen=True)
class ParquetFiles:
    """The shards of one data set; `labels` is the column of their labels."""

    labels: str

    @property
    def described(self) -> str:
        return f"train-*.parquet and test-*.parquet, or train/*.parquet and test/*.parquet, with a column {self.labels}"

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds shards with this column of labels, or one whose columns cannot be read."""
        shards = [*_listed(folder, "train"), *_listed(folder, "test")]
        return bool(shards) and self._fits(min(shards))

    def resembles(self, name: str) -> bool:
        """Returns whether a file of this name may be one of the layout's, under whatever name it was saved."""
        return name.endswith((".parquet", ".arrow"))

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError` for a file that is missing, damaged or not of this form."""
        train, test = (
            joined([read_shard(path, labels=self.labels, form=form) for path in _shards(folder, part)])
            for part in ("train", "test")
        )
        return train, test

    def _fits(self, shard: Path) -> bool:
        import pyarrow

        try:
            with opened(shard) as file:
                return self.labels in footer_of(file).schema_arrow.names
        except (pyarrow.ArrowException, OSError, ValueError):
            return True  # reading it will say what is wrong


def opened(path: Path) -> io.BufferedReader:
    """Returns the file, opened. Raises `UsageError` for a pipe, a folder and an empty file."""
    file = open_regular(path)
    if os.fstat(file.fileno()).st_size == 0:
        file.close()
        raise unreadable(path, "it is empty")
    return file


def _shards(folder: Path, part: str) -> list[Path]:
    """Returns the files of a part in order. Raises `UsageError` where a name says that one is missing.

    Names of the hub's own files end in `-of-00003`; those that it converted are numbered from 0000 on.
    """
    shards = _listed(folder, part)
    if not shards:
        raise IncompleteError(folder, f"it has no {part}-*.parquet, and no {part}/*.parquet")
    count = re.search(r"-of-(\d+)", shards[0].name)
    if count and int(count[1]) != len(shards):
        raise IncompleteError(folder, f"it has {len(shards)} of the {int(count[1])} files {part}-*.parquet")
    numbers = [int(shard.stem) for shard in shards if re.fullmatch(r"[0-9]{1,9}", shard.stem)]
    if numbers and numbers != list(range(len(shards))):
        raise IncompleteError(folder, f"it has no {part}/{min({*range(len(shards))} - {*numbers}):04}.parquet")
    return shards


def _listed(folder: Path, part: str) -> list[Path]:
    """Returns the shards of a part: `train-*.parquet`, else those in a folder `train`, as the hub converts files."""
    return sorted(folder.glob(f"{part}-*.parquet")) or sorted((folder / part).glob("*.parquet"))


def read_shard(path: Path, *, labels: str, form: Form) -> Part:
    """Reads one parquet file. Raises `UsageError` for one that is damaged or not of this form."""
    import pyarrow

    images: list[np.ndarray] = []
    numbers: list[Any] = []
    lossy: set[str] = set()
    try:
        with opened(path) as file:
            allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
            metadata = footer_of(file).schema_arrow.metadata
            stated = stated_classes(path, metadata, labels=labels, allowance=allowance)
            for contents, more in _records(file, path, labels=labels, form=form, allowance=allowance):
                for content in contents:
                    pixels, kind = _decoded(content, path=path, place=len(images), form=form)
                    images.append(pixels)
                    if kind == "JPEG" or (kind == "WEBP" and not _is_lossless_webp(content or b"")):
                        lossy.add(kind)
                numbers += more
    except UsageError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise unreadable(path, f"it is no whole parquet file ({printable(reason_of(error), most=160)})") from error
    column = whole_numbers(path, numbers, name=f"column {labels}")
    stacked = np.stack(images) if images else np.empty((0, form.image_size, form.image_size, form.channels), np.uint8)
    part = checked(path, np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)), column, form=form)
    ours = in_our_order(path, part.labels, stated=stated, ours=form.class_names) if stated else part.labels
    return Part(part.images, ours, frozenset(lossy), not np.array_equal(ours, part.labels))


def _records(
    file: io.BufferedReader, path: Path, *, labels: str, form: Form, allowance: Allowance
) -> Iterator[tuple[Iterator[bytes | None], list[Any]]]:
    """Yields encoded images and labels, some thousand records at a time."""
    import pyarrow.parquet

    table = footer_of(file)
    image = _image_column(path, table.schema_arrow, labels=labels)
    if table.metadata.num_rows > max(form.train_count, form.test_count):
        raise unreadable(path, f"it has {table.metadata.num_rows:,} records, more than the data set")
    take_pages(file, table.metadata, {image, labels}, allowance=allowance)
    # As a dictionary: else one value that a page names a thousand times would be written out as often. Each group of
    # rows has a dictionary of its own.
    with pyarrow.parquet.ParquetFile(file, read_dictionary=[image], pre_buffer=False) as table:
        for group in range(table.num_row_groups):
            for batch in table.iter_batches(RECORDS, row_groups=[group], columns=[image, labels]):
                images = batch.column(image.partition(".")[0])
                contents = contents_of(images.flatten()[0] if "." in image else images, path)
                yield contents, batch.column(labels).to_pylist()


def footer_of(file: io.BufferedReader) -> pyarrow.parquet.ParquetFile:
    """Returns the footer of a parquet file; Arrow's own limits are far above what small images need."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(file, thrift_container_size_limit=CONTAINERS, pre_buffer=False)


def _image_column(path: Path, schema: pyarrow.Schema, *, labels: str) -> str:
    """Returns the path of the column of encoded images. Raises `UsageError` where the columns are of other kinds."""
    import pyarrow

    names = schema.names
    image = next((name for name in IMAGE_COLUMNS if name in names), None)
    if image is None or names.count(image) != 1 or names.count(labels) != 1:
        found = printable(", ".join(names), most=300)
        raise unreadable(path, f"its columns are {found}; it needs one img or image, and one {labels}")
    if not pyarrow.types.is_integer(schema.field(labels).type):
        raise unreadable(path, f"its column {labels} holds something else than whole numbers")
    kind, inside = schema.field(image).type, image
    if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind, inside = kind.field("bytes").type, f"{image}.bytes"
    if not (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind) or pyarrow.types.is_null(kind)):
        raise unreadable(path, f"its column {inside} holds no bytes")
    return inside


def contents_of(column: Any, path: Path, *, longest: int = LONGEST) -> Iterator[bytes | None]:
    """Yields the bytes of each value, one after the other. Raises `UsageError` for one that is too long."""
    for value in column:
        content = value.as_buffer() if hasattr(value, "as_buffer") else value.value and value.value.as_buffer()
        if content is not None and content.size > longest:
            raise unreadable(path, f"an image in it has {content.size:,} bytes; one may have at most {longest:,}")
        yield None if content is None else content.to_pybytes()


def _decoded(content: bytes | None, *, path: Path, place: int, form: Form) -> tuple[np.ndarray, str]:
    """Returns one image uint8 (H, W, C), as `predict` sees it, and the format that it was encoded in."""
    from PIL import UnidentifiedImageError

    if content is None:
        raise unreadable(path, f"image {place} holds no bytes")
    wanted = (form.image_size, form.image_size)
    name = f"{path}: image {place}"
    try:
        with open_picture(io.BytesIO(content), name, formats=FORMATS) as image:
            kind = str(image.format)
            size = image.size  # known from the header, before anything is decoded
            pixels = upright(image, name, channels=form.channels) if size == wanted else None
    except UsageError:
        raise
    except UnidentifiedImageError as error:  # its message is the address of a buffer
        raise unreadable(path, f"image {place} is no image of the formats {', '.join(FORMATS)}") from error
    except Exception as error:  # a damaged image may raise nearly anything
        raise unreadable(path, f"image {place} cannot be decoded ({printable(reason_of(error), most=160)})") from error
    if pixels is None:
        raise unreadable(path, f"image {place} has {size[0]} x {size[1]} pixels, not {wanted[0]} x {wanted[1]}")
    return pixels, kind


def _is_lossless_webp(content: bytes) -> bool:
    """Returns whether the first image of a WebP file is known to be in its lossless form."""
    at = 12  # behind RIFF, the size and WEBP
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name in (b"VP8L", b"VP8 ", b"ANMF"):
            return name == b"VP8L"
        at += 8 + size + size % 2
    return False
