"""Data files that mean harm, or were damaged: idx, parquet, pictures. `hostile_files.KINDS` has a row for each kind."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from PIL import Image

import data_files as made

Strategy = st.SearchStrategy[Any]
Made = tuple[bytes, str]  # the content of a file and the end of its name
LENGTHS = (0, 1, 3, 28, 255, 10**4, 9 * 10**4, 2**20, 2**31 - 1, 2**32 - 1)
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP", ".tif": "TIFF", ".ppm": "PPM"}


def read_data(path: Path) -> object:
    """Reads a file as the end of its name says: an idx file, a shard, or a picture in both ways."""
    from convatlas.data.images.cutting import seen
    from convatlas.data.images.image_files import read_image
    from convatlas.data.preprocessing import Preprocessing
    from convatlas.data.sources.cifar import CIFAR10_FILES
    from convatlas.data.sources.layouts.idx import read_idx
    from convatlas.data.sources.layouts.parquet import read_shard

    if path.suffix in (".idx", ".gz"):
        return read_idx(path, dimensions=3)
    if path.suffix == ".parquet":
        return read_shard(path, labels="label", form=CIFAR10_FILES.form)
    preprocessing = Preprocessing(8, (0.0,) * 3, (1.0,) * 3, shorter_side=10)
    preprocessing.resize(read_image(path, channels=3))
    return seen(made.encoded_at(path), preprocessing)


# ------------------------------------------------------------------------------------------------------- idx files


def zeros_gzip(begin: bytes, mebibytes: int) -> bytes:
    """Returns a gzip file of these bytes and so many MiB of zeros; it has a thousandth of them."""
    chunk, header = bytes(2**20), b"\x1f\x8b\x08" + bytes(7)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    first = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = packer.compress(chunk) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(begin)
    for _ in range(mebibytes):
        check = zlib.crc32(chunk, check)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return (
        header + first + packed * mebibytes + end + struct.pack("<II", check, (len(begin) + mebibytes * 2**20) % 2**32)
    )


def idx_head(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


SHAPES = st.lists(st.sampled_from(LENGTHS), min_size=1, max_size=4)
CONTENTS = st.one_of(
    st.builds(lambda shape, rest: idx_head(*shape) + rest, SHAPES, st.binary(max_size=64)),
    st.builds(lambda count, cut: made.idx(made.pixels(count, 28, 28))[:cut], st.integers(0, 9), st.integers(1, 9000)),
    st.binary(max_size=40),
)
IDX: Strategy = st.one_of(
    CONTENTS.map(lambda content: (content, ".idx")),
    CONTENTS.map(lambda content: (gzip.compress(content, mtime=0), ".gz")),
    st.sampled_from((40, 300, 1024)).map(lambda size: (zeros_gzip(idx_head(size, 1024, 1024), size), ".gz")),
    st.builds(lambda content, cut: (gzip.compress(content)[:cut], ".gz"), CONTENTS, st.integers(3, 40)),
)


# --------------------------------------------------------------------------------------------------- parquet files


@functools.cache
def good_shard() -> bytes:
    """Returns a shard of some images, with the classes in its metadata."""
    buffer = io.BytesIO()
    images = [{"bytes": made.encoded(image), "path": None} for image in made.pixels(4, 32, 32, 3)]
    table = pa.table({"img": pa.array(images, made.HUB_IMAGE), "label": pa.array(made.numbers(4))})
    pq.write_table(table.replace_schema_metadata({"huggingface": '{"info": {}}'}), buffer)
    return buffer.getvalue()


@functools.cache
def repeated(rows: int, size: int, *, compression: str, dictionary: bool, label: str = "label") -> bytes:
    """Returns a shard whose rows all hold one value of so many zeros, in groups of 20 rows."""
    buffer = io.BytesIO()
    kind = pa.struct([("bytes", pa.dictionary(pa.int32(), pa.binary()))])
    value = pa.DictionaryArray.from_arrays(pa.array([0] * 20, pa.int32()), pa.array([bytes(size)], pa.binary()))
    table = pa.table({"img": pa.StructArray.from_arrays([value], fields=list(kind)), label: pa.array([0] * 20)})
    schema = pa.schema({"img": pa.struct([("bytes", pa.binary())]), label: pa.int64()})
    options: dict[str, Any] = {"compression": compression, "dictionary_pagesize_limit": 2**28, "store_schema": False}
    plain = pa.table({"img": table.column("img").combine_chunks().cast(schema.field("img").type), label: table[label]})
    with pq.ParquetWriter(buffer, schema, use_dictionary=dictionary, **options) as writer:
        for _ in range(rows // 20):
            writer.write_table(plain)
    return buffer.getvalue()


@functools.cache
def lying_page(size: int) -> bytes:
    """Returns a shard in which the header of a page says that it is unpacked into so many bytes."""
    content = good_shard()
    group = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0)
    place = group.column(0).dictionary_page_offset
    # 15: the field of the kind of page; then 15 and the number of unpacked bytes, each seven bits.
    begin = content.index(b"\x15", place + 1)
    end = begin + 1
    while content[end] & 128:
        end += 1
    number, said = 2 * size, b""
    while number > 127:
        said += bytes([number & 127 | 128])
        number >>= 7
    said += bytes([number])
    return content[: begin + 1] + said.ljust(0) + content[end + 1 :]


@st.composite
def damaged(draw: Callable[[Strategy], Any], content: bytes) -> bytes:
    """Makes a file with bytes changed, left out, doubled, or cut off at its end."""
    spoiled = bytearray(content)
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, max(0, len(spoiled) - 1)))
        length = draw(st.sampled_from((1, 1, 2, 4, 8, 64, 1000)))
        change = draw(st.sampled_from(("set", "set", "set", "set", "cut", "remove", "double")))
        if change == "set":
            spoiled[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif change == "cut":
            del spoiled[max(1, place) :]
        elif change == "remove" and len(spoiled) > length + 1:
            del spoiled[place : place + length]
        else:
            spoiled[place:place] = spoiled[place : place + length]
    return bytes(spoiled)


ROWS = st.builds(
    functools.partial(repeated, label="label"),
    st.sampled_from((20, 200)),
    st.sampled_from((2**10, 2**20, 2**21)),
    compression=st.sampled_from(("zstd", "gzip", "snappy")),
    dictionary=st.booleans(),
)
PARQUET: Strategy = st.one_of(
    ROWS,
    damaged(good_shard()),
    damaged(good_shard()),
    st.sampled_from((2**20, 2**29, 2**30 - 1)).map(lying_page),
    st.binary(max_size=40).map(lambda content: b"PAR1" + content + struct.pack("<I", len(content)) + b"PAR1"),
).map(lambda content: (content, ".parquet"))


# --------------------------------------------------------------------------------------------------------- pictures


def picture(width: int, height: int, *, kind: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """Returns a picture of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, (width, height)).save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def photograph(suffix: str) -> bytes:
    """Returns a small picture with many colours."""
    return made.encoded(made.pixels(1, 20, 30, 3)[0], FORMATS[suffix])


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *, depth: int = 8, kind: int = 2, values: bytes = b"", others: bytes = b"") -> bytes:
    """Returns a PNG whose header may say anything."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + others + chunk(b"IDAT", zlib.compress(values)) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    """Returns the header of a BMP of this size and nothing else."""
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(9)


def tiff(tags: list[tuple[int, int, int, int]]) -> bytes:
    """Returns a TIFF of these tags: number, type, count, value or place."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, min(len(tags), 65535)) + entries + bytes(4) + bytes(64)


PLAIN_TAGS = [(256, 3, 1, 4), (257, 3, 1, 4), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
SIDES = st.sampled_from((1, 7, 200, 3000, 9000, 9500, 2**20, 2**31 - 1))
TAGS = st.lists(
    st.tuples(
        st.sampled_from((256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 317, 330, 339, 700, 34665, 65535)),
        st.integers(0, 19),
        st.sampled_from((0, 1, 2, 2**16, 2**31, 2**32 - 1)),
        st.sampled_from((0, 1, 3, 8, 3000, 2**31, 2**32 - 1)),
    ),
    max_size=12,
)
PICTURES: Strategy = st.one_of(
    *(damaged(photograph(suffix)).map(functools.partial(lambda suffix, x: (x, suffix), suffix)) for suffix in FORMATS),
    st.builds(
        lambda width, height, depth, kind: (png(width, height, depth=depth, kind=kind), ".png"),
        SIDES,
        SIDES,
        st.sampled_from((1, 8, 16)),
        st.sampled_from((0, 2, 3, 4, 6)),
    ),
    st.sampled_from((b"zTXt", b"iCCP", b"iTXt")).map(
        lambda name: (png(4, 4, others=chunk(name, b"a\0\0" + zlib.compress(bytes(2**27)))), ".png")
    ),
    st.builds(lambda width, height: (bmp(width % 2**31, height % 2**31), ".bmp"), SIDES, SIDES),
    st.builds(lambda width, height: (b"P6 %d %d 255\n" % (width, height) + bytes(9), ".ppm"), SIDES, SIDES),
    st.builds(lambda tags, more: (tiff([*PLAIN_TAGS[: more % 7], *tags]), ".tif"), TAGS, st.integers(0, 6)),
    st.sampled_from((2, 9, 300)).map(lambda kind: (tiff([(33000, kind % 19, 9, 0)] * 65535), ".tif")),
    st.sampled_from(("RGB", "RGBA", "L", "P", "I;16")).map(lambda mode: (picture(3000, 2000, mode=mode), ".png")),
)


# ------------------------------------------------------------------------------------------- one file for each harm


@functools.cache
def examples() -> dict[str, tuple[Callable[[], Made], str]]:
    """Returns what makes a file for each harm, with the pattern of the line that refuses it; none where it is read."""
    much, pages = "asks for at least .* of memory", "asks for at least .* of memory for its pages"
    zstd = functools.partial(repeated, compression="zstd")
    return {
        "idx of 2^96 bytes": (lambda: (idx_head(2**32 - 1, 2**32 - 1, 2**32 - 1), ".idx"), much),
        "idx of more than the file": (
            lambda: (idx_head(50_000, 28, 28), ".idx"),
            "promises 39,200,000 bytes, there are 0",
        ),
        "idx of 1 GiB of zeros": (lambda: (zeros_gzip(idx_head(1024, 1024, 1024), 1024), ".gz"), much),
        "zeros behind an idx": (
            lambda: (zeros_gzip(idx_head(1, 28, 28), 1024), ".gz"),
            "promises 784 bytes, there are more",
        ),
        "rows of zeros": (lambda: (zstd(200, 2**21, dictionary=False), ".parquet"), pages),
        "rows of one value": (
            lambda: (zstd(200, 2**21, dictionary=True), ".parquet"),
            "an image in it has 2,097,152 bytes",
        ),
        "a page of zeros": (lambda: (zstd(20, 2**24, dictionary=False), ".parquet"), pages),
        "a page that says 1 GiB": (lambda: (lying_page(2**30 - 1), ".parquet"), pages),
        "no footer": (
            lambda: (b"PAR1" + struct.pack("<I", 2**31) + b"PAR1", ".parquet"),
            "it is no whole parquet file",
        ),
        "labels that are no numbers": (
            lambda: (good_shard().replace(b"label", b"lable"), ".parquet"),
            "its columns are",
        ),
        "picture of too many pixels": (
            lambda: (png(30_000, 30_000), ".png"),
            r"too many pixels: (30000 x|more than) .*",
        ),
        "picture just above": (
            lambda: (png(9_500, 9_500), ".png"),
            "too many pixels: 9500 x 9500 of at most 89,478,485; set",
        ),
        "picture without pixels": (lambda: (png(9_000, 9_000), ".png"), "is a damaged image file"),
        "text of a picture": (
            lambda: (png(4, 4, others=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))), ".png"),
            "dam",
        ),
        "65,535 tags": (lambda: (tiff([(33000, 2, 9, 0)] * 65535), ".tif"), "is a damaged image file|is no image file"),
        "25 million pixels": (lambda: (picture(5_000, 5_000), ".png"), ""),
        "25 million transparent pixels": (lambda: (picture(5_000, 5_000, mode="RGBA"), ".png"), ""),
        "25 million pixels of a palette": (lambda: (picture(5_000, 5_000, mode="P", transparency=0), ".png"), ""),
        "25 million pixels on their side": (
            lambda: (picture(5_000, 5_000, kind="TIFF", compression="tiff_lzw"), ".tif"),
            "",
        ),
    }
