"""Sets of images of one's own that mean harm, or were damaged: tables, tar files, parquet files of the hub's layout."""

from __future__ import annotations

import functools
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import hostile_data
from hostile_data import Strategy

NUMBERS = (b"0" * 11, b"7" * 11, b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001", b"77777777777\0", b"x" * 12)


def read_set(path: Path) -> object:
    """Reads a file as a set, as the end of its name says; of the hub's layout only its own file."""
    from convatlas.data import open_source
    from convatlas.data.sources.layouts.encoded import columns_of, records_of

    if path.suffix == ".parquet":
        return sum(len(content) for content, _ in records_of(path, columns_of(path, {})))
    source = open_source(f"{path.suffix[1:]}:{path}")
    assert source.take is not None
    return source.take("all").test.content_hash()


@functools.cache
def good_tar() -> bytes:
    """Returns a tar file of some images with labels and one long name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as file:
        for number in range(12):
            image = (f"{number}.png", hostile_data.photograph(".png"))
            for name, content in (image, (f"{number}.cls", b"ab"[number % 2 :])):
                member = tarfile.TarInfo(name if number else "long" * 40 + name)
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@st.composite
def lying_tar(draw: Callable[[Strategy], Any]) -> bytes:
    """Returns a tar file in which a header says another size, kind or name, with a right sum of its bytes."""
    content = bytearray(good_tar())
    begin = 512 * draw(st.integers(0, len(content) // 512 - 3))
    content[begin + 124 : begin + 136] = draw(st.sampled_from(NUMBERS)).ljust(12, b"\0")[:12]
    if draw(st.booleans()):
        content[begin + 156] = draw(st.sampled_from(b"0123456LKSgxVDM\xff"))
    content[begin + 148 : begin + 156] = b"        "
    content[begin + 148 : begin + 156] = f"{sum(content[begin : begin + 512]):06o}\0 ".encode()
    return bytes(content)


TAR: Strategy = st.one_of(
    hostile_data.damaged(good_tar()), lying_tar(), st.integers(0, len(good_tar())).map(lambda cut: good_tar()[:cut])
).map(lambda content: (content, ".tar"))

CELLS = st.one_of(
    st.sampled_from(("image", "label", "split", "group", "train", "", "..", "a\0b", "/dev/zero", "x" * 140_000, '"')),
    st.text(max_size=8),
)
TABLES = st.builds(
    lambda rows, delimiter, ending: ending.join(delimiter.join(row) for row in rows),
    st.lists(st.lists(CELLS, min_size=1, max_size=4), max_size=6),
    st.sampled_from(",;\t"),
    st.sampled_from(("\n", "\r\n", "\r")),
)
CSV: Strategy = st.one_of(
    TABLES.map(lambda text: text.encode("utf-8", "surrogatepass")),
    TABLES.map(lambda text: b"\xef\xbb\xbfimage,label\n" + text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=60),
).map(lambda content: (content, ".csv"))

HUB: Strategy = hostile_data.PARQUET
