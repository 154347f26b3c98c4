"""The width of text without a font at hand: generous, so that text in another font fits too."""

from __future__ import annotations

NARROW, WIDE = frozenset("ijlI.,:;|'!()[]/f t1"), frozenset("mwMW%@→×+QGO")


def text_width(text: str, size: float) -> float:
    """Returns the pixels of a line in a common sans-serif font of this size.

    >>> text_width("3 x 3 conv, 64", 12) < text_width("3 x 3 conv, 64", 13)
    True
    """
    widths = (0.36 if c in NARROW else 0.92 if c in WIDE else 0.72 if c.isupper() else 0.6 for c in text)
    return size * sum(widths)
