"""The kinds of image file the project opens, by Pillow's names for them, and others by their first bytes."""

RASTER_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""The formats that an image given by a person may have; Pillow tries no other reader. Its JPEG reader opens MPO too."""

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".jpe", ".jfif", ".mpo", ".apng"),
)
"""The endings, in small letters, by which image files are found in a folder. The content decides how one is read."""

_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"}  # of files that begin with `ftyp`; most others are Apple's
_OTHERS = (
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x00\x01\x00", "an icon"),
    (b"%PDF", "a PDF file"),
    (b"<svg", "an SVG drawing"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b"PK\x03\x04", "a ZIP file"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file with `git lfs pull`"),
)
HEAD = 64  # bytes by which a kind is known


def kind_of(head: bytes) -> str:
    """Returns the kind of a file that is not read, by its first bytes, in words; an empty text where it is not known.

    >>> kind_of(b"<!DOCTYPE html>"), kind_of(b"hello")
    ('a web page', '')
    """
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "a file of zeros"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand[:2] in (b"he", b"mi", b"ms") or brand in _BRANDS:
            return f"a picture in {_BRANDS.get(brand, 'HEIC')}; save it as JPEG or PNG"
        return "a film"
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    return next((kind for first, kind in _OTHERS if start.startswith(first.lower()) or head.startswith(first)), "")
