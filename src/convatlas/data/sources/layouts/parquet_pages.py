"""The pages of a parquet file: the memory that they ask for is summed up before any is unpacked."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from convatlas.bounds import Allowance

if TYPE_CHECKING:
    import pyarrow.parquet

COST = 64  # bytes of memory that a page takes beside its content
# Thrift's compact protocol, as far as the headers of pages have it.
_TRUE, _FALSE, _WHOLE, _DOUBLE, _BINARY, _STRUCT = 1, 2, (3, 4, 5, 6), 7, 8, 12
_UNPACKED, _PACKED, _DICTIONARY, _VALUES = 2, 3, 7, 1  # the numbers of fields
_DEEPEST = 4  # structures in each other


def take_pages(
    file: io.BufferedReader, metadata: pyarrow.parquet.FileMetaData, columns: set[str], *, allowance: Allowance
) -> None:
    """Takes the memory of all pages of some columns from the allowance, and lays the file at its beginning again.

    Arrow unpacks a page into as many bytes as its header says. Raises `ValueError` for a header that is damaged, and
    `UsageError` where the pages need more than the allowance has.
    """
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(row_group.num_columns):
            chunk = row_group.column(number)
            if chunk.path_in_schema in columns:
                begin = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)), default=0)
                end = begin + chunk.total_compressed_size
                if not 0 <= begin <= end <= allowance.size:
                    raise ValueError("it is cut off")
                _take_chunk(file, begin, end, allowance=allowance)
    file.seek(0)


def _take_chunk(file: io.BufferedReader, begin: int, end: int, *, allowance: Allowance) -> None:
    file.seek(begin)
    while file.tell() < end:
        header = _structure(file)
        unpacked, packed, dictionary = header.get(_UNPACKED), header.get(_PACKED), header.get(_DICTIONARY, {})
        values = dictionary.get(_VALUES, 0) if isinstance(dictionary, dict) else None
        if not (isinstance(unpacked, int) and isinstance(packed, int) and isinstance(values, int)):
            raise ValueError("a page of it is damaged")
        if unpacked < 0 or packed < 0 or values > unpacked:
            raise ValueError("a page of it is damaged")
        allowance.take(unpacked + COST, "its pages")
        file.seek(packed, io.SEEK_CUR)


def _structure(file: io.BufferedReader, depth: int = 0) -> dict[int, Any]:
    """Returns the numbers and structures of a structure by the numbers of their fields."""
    if depth > _DEEPEST:
        raise ValueError("a page of it is damaged")
    fields: dict[int, Any] = {}
    field = 0
    while (head := _byte(file)) != 0:
        step, kind = head >> 4, head & 15
        field = field + step if step else _number(file)
        if kind in _WHOLE:
            fields[field] = _number(file)
        elif kind == _STRUCT:
            fields[field] = _structure(file, depth + 1)
        elif kind in (_BINARY, _DOUBLE):
            file.seek(_variable(file) if kind == _BINARY else 8, io.SEEK_CUR)
        elif kind not in (_TRUE, _FALSE):
            raise ValueError("a page of it is damaged")
    return fields


def _number(file: io.BufferedReader) -> int:
    """Returns a whole number with its sign, which is its last bit."""
    value = _variable(file)
    return (value >> 1) ^ -(value & 1)


def _variable(file: io.BufferedReader) -> int:
    """Returns a whole number of seven bits a byte, the last byte without the highest bit."""
    value = 0
    for shift in range(0, 70, 7):
        byte = _byte(file)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("a page of it is damaged")


def _byte(file: io.BufferedReader) -> int:
    content = file.read(1)
    if not content:
        raise ValueError("it is cut off")
    return content[0]
