"""Encoded images of any size and their labels in a parquet file, some at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.bounds import Allowance
from convatlas.data.sources.layouts.class_names import stated_classes
from convatlas.data.sources.layouts.parquet import contents_of, footer_of, opened
from convatlas.data.sources.layouts.parquet_pages import take_pages
from convatlas.errors import UsageError, printable, reason_of

if TYPE_CHECKING:
    import pyarrow

IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")
LONGEST = 2**28  # bytes of an encoded image
TOGETHER = 2**26  # bytes of images read at a time, about
MOST = 1000  # images read at a time
PATHS = (
    "a path to an image is not followed: choose a column with the bytes of images by hf:PATH?image=NAME, or name the "
    "files in a table for csv:FILE"
)


@dataclass(frozen=True)
class Columns:
    """The columns of a parquet file: `inside` is the path of the images' bytes. `classes` are named by the file.

    `image_names` and `label_names` are all columns that might be meant; the first is taken.
    """

    image: str
    inside: str
    label: str
    classes: tuple[str, ...]
    rows: int
    size: int  # bytes of the images, about
    footer: bytes  # a hash that is another for other content
    image_names: tuple[str, ...]
    label_names: tuple[str, ...]


def columns_of(path: Path, chosen: Mapping[str, str]) -> Columns:
    """Returns the columns of a file; `chosen` names some. Raises `UsageError` for a damaged file and absent columns."""
    import pyarrow

    try:
        with opened(path) as file:
            allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
            footer = footer_of(file)
            schema, metadata = footer.schema_arrow, footer.metadata
            images = _meant(path, schema.names, "image", chosen, IMAGES)
            labels = _meant(path, schema.names, "label", chosen, LABELS)
            image, label = images[0], labels[0]
            inside = _inside(path, schema, image)
            _check_label(path, schema, label)
            stated = stated_classes(path, schema.metadata, labels=label, allowance=allowance)
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            chunks = [group.column(number) for group in groups for number in range(metadata.num_columns)]
            size = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema == inside)
            file.seek(-min(allowance.size, metadata.serialized_size + 8), os.SEEK_END)
            digest = hashlib.sha256(str(allowance.size).encode() + file.read()).digest()
        return Columns(image, inside, label, stated, metadata.num_rows, size, digest, images, labels)
    except UsageError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def records_of(path: Path, columns: Columns) -> Iterator[tuple[bytes, str]]:
    """Yields each image and its label as it is written. Raises `UsageError` for a damaged file and an empty record."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with opened(path) as file:
            allowance = Allowance(path, size=os.fstat(file.fileno()).st_size)
            take_pages(file, footer_of(file).metadata, {columns.inside, columns.label}, allowance=allowance)
            together = max(1, min(MOST, TOGETHER * columns.rows // max(1, columns.size)))
            # As a dictionary: else one value that a page names a thousand times would be written out as often.
            with pyarrow.parquet.ParquetFile(file, read_dictionary=[columns.inside], pre_buffer=False) as table:
                for group in range(table.num_row_groups):
                    wanted = [columns.inside, columns.label]
                    for batch in table.iter_batches(together, row_groups=[group], columns=wanted):
                        images = batch.column(columns.image)
                        inner = images.flatten()[0] if columns.inside != columns.image else images
                        labels = batch.column(columns.label).to_pylist()
                        for content, label in zip(contents_of(inner, path, longest=LONGEST), labels, strict=True):
                            if not content or label is None:
                                raise _incomplete(path, columns, number, label=label)
                            yield content, str(label)
                            number += 1
    except UsageError:
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _meant(
    path: Path, names: Sequence[str], use: str, chosen: Mapping[str, str], usual: Sequence[str]
) -> tuple[str, ...]:
    """Returns the columns that have the chosen or a usual name. Raises `UsageError` for none, and for a name twice."""
    wanted = (chosen[use],) if use in chosen else usual
    found = tuple(name for name in wanted if name in names)
    if not found:
        raise UsageError(
            f"{path} has no column {' or '.join(wanted)}; its columns are {printable(', '.join(names), most=200)}; "
            f"choose one, such as hf:PATH?{use}=NAME"
        )
    if names.count(found[0]) > 1:
        raise UsageError(f"{path} has the column {found[0]} {names.count(found[0])} times; leave one of them")
    return found


def _inside(path: Path, schema: pyarrow.Schema, image: str) -> str:
    """Returns the path of the bytes in the column of images. Raises `UsageError` for one that holds no bytes."""
    import pyarrow

    kind, inside = schema.field(image).type, image
    if pyarrow.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind, inside = kind.field("bytes").type, f"{image}.bytes"
    is_path = pyarrow.types.is_struct(kind) and kind.get_field_index("path") >= 0
    if is_path or pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        raise UsageError(f"{path} has text in its column {image}, not encoded images; {PATHS}")
    if not (pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)):
        raise UsageError(
            f"{path} holds no encoded images in its column {image}; choose one, such as hf:PATH?image=NAME"
        )
    return inside


def _check_label(path: Path, schema: pyarrow.Schema, label: str) -> None:
    """Raises `UsageError` for a column whose values are neither names nor whole numbers."""
    import pyarrow

    types = pyarrow.types
    kind = schema.field(label).type
    kind = kind.value_type if types.is_dictionary(kind) else kind  # as pandas writes a category
    known = (types.is_integer, types.is_boolean, types.is_string, types.is_large_string)
    if not any(is_kind(kind) for is_kind in known):
        raise UsageError(
            f"{path} has a column {label} of {printable(str(kind))}; classes are whole numbers or names; choose "
            "another column, such as hf:PATH?label=NAME"
        )


def _incomplete(path: Path, columns: Columns, number: int, *, label: object) -> UsageError:
    """Returns the error for a record without a label or without an image's bytes."""
    if label is None:
        return UsageError(f"{path} has no label in its record {number}, column {columns.label}; each needs one")
    return UsageError(f"{path} has no bytes in its record {number}, column {columns.inside}; {PATHS}")


def _damaged(path: Path, error: BaseException) -> UsageError:
    said = error.strerror if isinstance(error, OSError) else None
    reason = printable(said or reason_of(error), most=160)
    return UsageError(f"{path} is no whole parquet file ({reason}); get the file again")
