"""Every kind of picture that people have: the right colours, the same by both paths, with both decoders of JPEG."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

import convatlas.data.images.decoding as decoding
from convatlas.data.images.image_files import read_image
from convatlas.errors import UsageError
from data_files import encoded_at

HEIGHT, WIDTH = 48, 64
WHITE = (255, 255, 255)
COLOURS = ((200, 40, 40), (40, 180, 60), (40, 60, 200), (240, 240, 240))  # of the four quarters, row by row
GREYS = ((200,) * 3, (40,) * 3, (120,) * 3, (250,) * 3)
Colours = tuple[tuple[int, ...], ...]


def quarters(values: Colours | tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    """Four quarters of one value each: (H, W) or (H, W, C)."""
    made = np.array(values, dtype)
    return made.reshape(2, 2, *made.shape[1:]).repeat(HEIGHT // 2, 0).repeat(WIDTH // 2, 1)


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(quarters(COLOURS)).convert(mode)


def grey() -> Image.Image:
    return Image.fromarray(quarters(tuple(level for level, _, _ in GREYS)))


def other() -> Image.Image:
    """A second frame."""
    return Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3))


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def of(mode: str, kind: str, **options: object) -> bytes:
    return saved(picture(mode), kind, **options)


def frames(kind: str, first: Image.Image | None = None) -> bytes:
    return saved(picture() if first is None else first, kind, save_all=True, append_images=[other()])


def with_alpha(mode: str, kind: str, **options: object) -> bytes:
    """The last quarter transparent, the third by half."""
    image = picture("RGB") if mode == "RGBA" else grey()
    image.putalpha(Image.fromarray(quarters((255, 255, 128, 0))))
    return saved(image.convert(mode), kind, **options)


def over_white(colours: Colours) -> Colours:
    half = tuple(round((level * 128 + 255 * 127) / 255) for level in colours[2])
    return (*colours[:2], half, WHITE)


def turned(kind: str) -> bytes:
    """The picture as a camera held on its side stores it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(picture().transpose(Image.Transpose.ROTATE_90), kind, exif=exif)


def palette(**options: object) -> bytes:
    return saved(picture().quantize(4, dither=Image.Dither.NONE), "PNG", **options)


def transparent_colour(kind: str) -> bytes:
    """A palette of which the colour of the last quarter is transparent."""
    image = picture().quantize(4, dither=Image.Dither.NONE)
    return saved(image, kind, transparency=image.getpixel((WIDTH - 1, HEIGHT - 1)))


def ycck() -> bytes:
    """A CMYK JPEG as Photoshop writes it: inverted, and its colours as luminance and chrominance."""
    cmyk = np.asarray(picture("CMYK"))
    stored = np.asarray(Image.fromarray(cmyk[..., :3], "RGB").convert("YCbCr"))
    content = bytearray(saved(Image.fromarray(np.dstack([255 - stored, cmyk[..., 3]]), "CMYK"), "JPEG", quality=95))
    marker = content.index(b"\xff\xee")
    assert content[marker + 4 : marker + 9] == b"Adobe"
    content[marker + 15] = 2  # the transform: YCCK
    return bytes(content)


def deep_png(colour: int, values: np.ndarray, transparent: bytes = b"", depth: int = 16) -> bytes:
    """A PNG of 16 bits a channel, or grey of 2."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    if depth == 2:
        values = np.packbits(np.unpackbits(values[..., None].astype(np.uint8), axis=2)[..., -2:].reshape(HEIGHT, -1), 1)
    rows = b"".join(b"\0" + row.astype(">u2" if depth == 16 else "u1").tobytes() for row in values)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    if transparent:
        chunks.insert(1, chunk(b"tRNS", transparent))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey_tiff(values: np.ndarray, *, bits: int, photometric: int = 1) -> bytes:
    """A TIFF of one strip, which Pillow itself would not write: black at the other end, or 12 bits."""
    data = values.astype("<u2").tobytes()
    if bits == 12:
        digits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2), axis=2)
        data = np.packbits(digits[..., 4:].reshape(HEIGHT, -1), 1).tobytes()
    tags = [(256, WIDTH), (257, HEIGHT), (258, bits), (259, 1), (262, photometric), (273, 8 + 2 + 12 * 9 + 4)]
    tags += [(277, 1), (278, HEIGHT), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II" + struct.pack("<HIH", 42, 8, len(tags)) + entries + struct.pack("<I", 0) + data


def wide(colours: Colours) -> np.ndarray:
    """Values of 16 bits for levels of 8."""
    return quarters(colours, np.uint16) * 257


class Row(NamedTuple):
    """A kind of picture: a function that makes the file, the colours of its quarters, and how far they may lie off."""

    name: str
    content: Callable[[], bytes]
    colours: Colours = COLOURS
    tolerance: int = 0


LEVELS = wide(GREYS)[..., 0]
UNEVEN = quarters(COLOURS, np.uint16) * 256 + 7  # two different bytes each
ROWS = [
    Row("JPEG", partial(of, "RGB", "JPEG", quality=95), tolerance=4),
    Row("JPEG of full chroma", partial(of, "RGB", "JPEG", quality=95, subsampling=0), tolerance=4),
    Row("JPEG, progressive", partial(of, "RGB", "JPEG", quality=95, progressive=True), tolerance=4),
    Row("JPEG, grey", lambda: saved(grey(), "JPEG", quality=95), GREYS, 3),
    Row("JPEG, CMYK", partial(of, "CMYK", "JPEG", quality=95), tolerance=6),
    Row("JPEG, YCCK", ycck, tolerance=6),
    Row("JPEG that lies", partial(turned, "JPEG"), tolerance=8),
    Row("MPO, a JPEG of two", partial(frames, "MPO"), tolerance=8),
    Row("PNG", partial(of, "RGB", "PNG")),
    Row("PNG that lies", partial(turned, "PNG")),
    Row("PNG, bits", lambda: saved(grey().point(lambda level: 255 * (level > 100)).convert("1"), "PNG"),
        (WHITE, (0,) * 3, WHITE, WHITE)),
    Row("PNG, palette", palette),
    Row("PNG, transparent colour", partial(transparent_colour, "PNG"), (*COLOURS[:3], WHITE)),
    Row("PNG, palette with alpha", lambda: palette(transparency=b"\0\0\0\0"), (WHITE,) * 4),
    Row("PNG, grey", lambda: saved(grey(), "PNG"), GREYS),
    Row("PNG, grey with a transparent level", lambda: saved(grey(), "PNG", transparency=40),
        (GREYS[0], WHITE, *GREYS[2:])),
    Row("PNG, grey with alpha", partial(with_alpha, "LA", "PNG"), over_white(GREYS), 1),
    Row("PNG, alpha", partial(with_alpha, "RGBA", "PNG"), over_white(COLOURS), 1),
    Row("PNG of 2 bits with a transparent level",
        lambda: deep_png(0, quarters((0, 1, 2, 3)), b"\0\1", depth=2), ((0,) * 3, WHITE, (170,) * 3, WHITE)),
    Row("PNG of 16 bits, grey", lambda: deep_png(0, LEVELS), GREYS),
    Row("PNG of 16 bits, grey with a transparent level",
        lambda: deep_png(0, LEVELS, struct.pack(">H", 40 * 257)), (GREYS[0], WHITE, *GREYS[2:])),
    Row("PNG of 16 bits, grey with alpha", lambda: deep_png(4, np.dstack([LEVELS, wide((255, 255, 128, 0))])),
        over_white(GREYS), 1),
    Row("PNG of 16 bits", lambda: deep_png(2, wide(COLOURS))),
    Row("PNG of 16 bits with a transparent colour",
        lambda: deep_png(2, UNEVEN, UNEVEN[0, -1].astype(">u2").tobytes()),
        (COLOURS[0], WHITE, *COLOURS[2:])),
    Row("PNG of 16 bits, alpha", lambda: deep_png(6, np.dstack([wide(COLOURS), wide((255, 255, 128, 0))])),
        over_white(COLOURS), 1),
    Row("PNG, animated", partial(frames, "PNG")),
    Row("GIF", lambda: saved(picture().quantize(4, dither=Image.Dither.NONE), "GIF")),
    Row("GIF, transparent colour", partial(transparent_colour, "GIF"), (*COLOURS[:3], WHITE)),
    Row("GIF, animated", lambda: frames("GIF", picture().quantize(4, dither=Image.Dither.NONE))),
    Row("WebP", partial(of, "RGB", "WEBP", quality=95), tolerance=8),
    Row("WebP, lossless with alpha", partial(with_alpha, "RGBA", "WEBP", lossless=True), over_white(COLOURS), 1),
    Row("WebP, animated", partial(frames, "WEBP"), tolerance=10),
    Row("WebP that lies", partial(turned, "WEBP"), tolerance=10),
    Row("TIFF", partial(of, "RGB", "TIFF")),
    Row("TIFF, LZW", partial(of, "RGB", "TIFF", compression="tiff_lzw")),
    Row("TIFF, deflated", partial(of, "RGB", "TIFF", compression="tiff_adobe_deflate")),
    Row("TIFF, tiles", lambda: of("RGB", "TIFF", compression="tiff_lzw", tiffinfo={322: 32, 323: 16})),
    Row("TIFF of two pages", partial(frames, "TIFF")),
    Row("TIFF that lies", partial(turned, "TIFF")),
    Row("TIFF, CMYK", partial(of, "CMYK", "TIFF")),
    Row("TIFF, palette", lambda: saved(picture().quantize(4, dither=Image.Dither.NONE), "TIFF")),
    Row("TIFF, alpha", partial(with_alpha, "RGBA", "TIFF"), over_white(COLOURS), 1),
    Row("TIFF of 16 bits", lambda: grey_tiff(LEVELS, bits=16), GREYS),
    Row("TIFF of 16 bits, white first", lambda: grey_tiff(65_535 - LEVELS, bits=16, photometric=0), GREYS),
    Row("TIFF of 12 bits", lambda: grey_tiff(LEVELS // 16, bits=12), GREYS, 1),
    Row("BMP", partial(of, "RGB", "BMP")),
    Row("BMP, palette", lambda: saved(picture().quantize(4, dither=Image.Dither.NONE), "BMP")),
    Row("PPM", partial(of, "RGB", "PPM")),
    Row("PGM", lambda: saved(grey(), "PPM"), GREYS),
    Row("PGM of 16 bits", lambda: b"P5 %d %d 65535\n" % (WIDTH, HEIGHT) + LEVELS.astype(">u2").tobytes(), GREYS),
]  # fmt: skip


@pytest.fixture(params=["simplejpeg", "pillow"])
def jpeg_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both decoders of JPEG in turn, whichever is installed."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(decoding, "simplejpeg", None)
    return str(request.param)


def by_both(path: Path) -> np.ndarray:
    """The pixels (H, W, 3) as `predict` and as training read them, which are the same."""
    found = read_image(path, channels=3)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(encoded_at(path).pixels(), found)
    return found


def inside(pixels: np.ndarray) -> np.ndarray:
    """The colours in the middle of the four quarters (4, 3)."""
    height, width = pixels.shape[:2]
    return pixels[height // 4 :: height // 2, width // 4 :: width // 2].reshape(4, 3).astype(int)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "_"))
def test_a_picture_has_its_colours(tmp_path: Path, row: Row, jpeg_decoder: str) -> None:
    path = tmp_path / "picture.jpg"  # whatever the name says, the content decides
    path.write_bytes(row.content())
    pixels = by_both(path)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(inside(pixels) - np.array(row.colours)).max() <= row.tolerance


NAMES = ["IMG 1.JPG", "a,b;c.jPeG", "wrong.png", "no_suffix", "Łódź 東京.jpg", "-rf.jpg", os.fsdecode(b"caf\xe9.jpg")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_picture_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    try:
        path.write_bytes(of("RGB", "JPEG", quality=95))
    except OSError:
        pytest.skip("this file system takes no such name")
    assert np.abs(inside(by_both(path)) - np.array(COLOURS)).max() <= 4
    path.write_bytes(b"hello")
    for read in (encoded_at, partial(read_image, channels=3)):
        with pytest.raises(UsageError, match="is no image file that can be read") as refused:
            read(path)
        str(refused.value).encode()  # can be printed


def cut(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


def noisy(kind: str, **options: object) -> bytes:
    values = np.random.default_rng(0).integers(256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
    return saved(Image.fromarray(values), kind, **options)


BAD = {
    "JPEG, cut": (lambda: cut(noisy("JPEG")), "is a damaged image file: .*truncated"),
    "JPEG, progressive and cut": (lambda: cut(noisy("JPEG", progressive=True)), "is a damaged image file: .*truncated"),
    "JPEG without its last marker": (lambda: noisy("JPEG")[:-2], "is a damaged image file: .*truncated"),
    "PNG, cut": (lambda: cut(noisy("PNG")), "is a damaged image file: .*truncated"),
    "WebP, cut": (lambda: cut(noisy("WEBP")), "is a damaged image file: .+"),
    "GIF, cut": (lambda: cut(noisy("GIF")), "is a damaged image file: .*truncated"),
    "BMP, cut": (lambda: cut(noisy("BMP")), "is a damaged image file: .*truncated"),
    "TIFF, cut": (lambda: cut(noisy("TIFF")), "is a damaged image file: .+|is no image file that can be read"),
    "TIFF of 32 bits": (lambda: saved(Image.new("F", (4, 4)), "TIFF"), "32 bits or with a sign, .* 8 or 16 bits"),
    "empty": (lambda: b"", "it is an empty file"),
    "zeros": (lambda: bytes(5000), "it is a file of zeros"),
    "web page": (lambda: b"\n<!DOCTYPE html><p>404", "it is a web page"),
    "HEIC": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "it is a picture in HEIC; save it as JPEG or PNG"),
    "AVIF": (lambda: b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "it is a picture in AVIF; save it as JPEG or PNG"),
    "Git LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:12", "`git lfs pull`"),
    "text": (lambda: b"hello", "is no image file that can be read$"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_picture_that_cannot_be_read_is_named_with_its_reason(tmp_path: Path, kind: str, jpeg_decoder: str) -> None:
    content, reason = BAD[kind]
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content())
    for read in (lambda: encoded_at(path).pixels(), partial(read_image, path, channels=3)):
        with pytest.raises(UsageError, match=reason) as refused:
            read()
        assert "holiday.jpg" in str(refused.value)
        assert "\n" not in str(refused.value)
