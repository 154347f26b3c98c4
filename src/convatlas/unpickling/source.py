"""The bytes of a pickle, of which no more are read than there are."""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

from convatlas.unpickling.stand_ins import PickleError


class Source:
    """The bytes of a file from where it stands; a read beyond its end is refused before anything is allocated."""

    def __init__(self, file: BinaryIO, *, size: int) -> None:
        self.file = file
        self.size = size

    @classmethod
    def of(cls, content: bytes) -> Source:
        """Returns the bytes as a source."""
        return cls(io.BytesIO(content), size=len(content))

    def read(self, count: int) -> bytes:
        if count > 1 and count > self.size - self.file.tell():
            raise PickleError("it is cut off")
        content = self.file.read(count)
        if len(content) != count:
            raise PickleError("it is cut off")
        return content

    def fill(self, content: Any) -> None:
        """Reads the bytes that follow into an array of bytes."""
        file: Any = self.file
        if file.readinto(content) != len(content):
            raise PickleError("it is cut off")

    def line(self) -> bytes:
        content = self.file.readline()
        if not content.endswith(b"\n"):
            raise PickleError("it is cut off")
        return content[:-1]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.read(struct.calcsize(form)))[0]
