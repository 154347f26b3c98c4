"""Zip files, whose directory and members are measured before they are read."""

from __future__ import annotations

import struct
import zipfile
from typing import Any, BinaryIO

import numpy as np

from convatlas.bounds import Allowance
from convatlas.files import is_failing_disk

GROWTH = 16  # bytes in memory for each byte of a zip's directory, about
END = struct.Struct("<4s8xL4x2x")  # of the directory: signature and size
END_64, LOCATOR_64 = struct.Struct("<4s36xQ8x"), struct.Struct("<4s4xQ4x")
LOCAL = struct.Struct("<4s22xHH")  # the header of a member: signature, length of its name and of its extra field
CHUNK = 2**20


def open_archive(file: BinaryIO, *, allowance: Allowance) -> zipfile.ZipFile:
    """Returns the archive in a file. Raises `zipfile.BadZipFile`, and `UsageError` where its directory is too large."""
    allowance.take(GROWTH * _directory(file, size=allowance.size), "the directory of its archive")
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # a damaged directory may lead to nearly any
        if is_failing_disk(error):
            raise
        raise zipfile.BadZipFile("its directory is damaged") from error


def _directory(file: BinaryIO, *, size: int) -> int:
    """Returns the size of a zip's directory, as the end of the file states it; 0 where there is none."""
    file.seek(max(0, size - END.size))
    last = file.read(END.size)
    place = size - END.size
    if last[:4] != b"PK\5\6" or last[-2:] != b"\0\0":  # else there is no comment behind it
        begin = max(0, size - END.size - 2**16)
        file.seek(begin)
        tail = file.read()
        place = begin + tail.rfind(b"PK\5\6")
        last = tail[place - begin :][: END.size]
        if place < begin or len(last) < END.size:
            return 0
    stated: int = END.unpack(last)[1]
    if stated < 2**32 - 1 or place < LOCATOR_64.size:
        return min(stated, size)
    file.seek(place - LOCATOR_64.size)
    signature, place_64 = LOCATOR_64.unpack(file.read(LOCATOR_64.size))
    if signature != b"PK\6\7" or place_64 > size - END_64.size:
        return size
    file.seek(place_64)
    return min(int(END_64.unpack(file.read(END_64.size))[1]), size)


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, allowance: Allowance) -> np.ndarray:
    """Returns the bytes of a member, uint8. Raises `zipfile.BadZipFile` where the archive is damaged or cut off."""
    allowance.take(member.file_size, "what its archive unpacks to")
    content = np.empty(member.file_size, np.uint8)
    done = 0
    with archive.open(member) as file:
        while chunk := file.read(CHUNK):
            content[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
            done += len(chunk)
    if done != member.file_size:
        raise zipfile.BadZipFile("a member is cut off")
    return content


def read_record(archive: zipfile.ZipFile, member: zipfile.ZipInfo, *, allowance: Allowance) -> np.ndarray:
    """Returns the bytes of a member as `read_member` does; one that torch has only stored is read in one go.

    Its checksum is not compared: torch can be told to write none.
    """
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        return read_member(archive, member, allowance=allowance)
    if member.file_size > allowance.size:
        raise zipfile.BadZipFile("a member is larger than the file")
    content = np.empty(member.file_size, np.uint8)
    file: Any = archive.fp
    file.seek(member.header_offset)
    header = file.read(LOCAL.size)
    if len(header) < LOCAL.size or header[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("a member lacks its header")
    _, name, extra = LOCAL.unpack(header)
    file.seek(name + extra, 1)
    if file.readinto(content) != member.file_size:
        raise zipfile.BadZipFile("a member is cut off")
    return content
