"""Pictures with boxes: true ones, found ones with class and score, and faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convatlas.drawing import COLOURS

DASH = 4  # pixels of a dash and of a gap


@dataclass(frozen=True)
class Outline:
    """A box to be drawn: corners in pixels, a colour, a text above it, and whether its line is dashed."""

    corners: Sequence[float]
    colour: str
    text: str = ""
    dashed: bool = False


def outlines(
    corners: np.ndarray, classes: np.ndarray, *, names: Sequence[str], scores: np.ndarray | None = None
) -> list[Outline]:
    """Returns the outlines of boxes, a colour for each class; found boxes have their scores in percent."""
    texts = [names[label] if label < len(names) else f"class {label}" for label in classes.tolist()]
    if scores is not None:
        texts = [f"{text} {100 * score:.0f}" for text, score in zip(texts, scores.tolist(), strict=True)]
    colours = (COLOURS[label % len(COLOURS)] for label in classes.tolist())
    return [Outline(*each) for each in zip(corners.tolist(), colours, texts, strict=True)]


def with_outlines(pixels: np.ndarray, drawn: Sequence[Outline]) -> np.ndarray:
    """Returns an image uint8 (H, W, 3) with outlines, the texts over all lines."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(np.ascontiguousarray(pixels))
    draw = ImageDraw.Draw(image)
    thick = max(1, round(max(image.size) / 320))
    font = ImageFont.load_default(size=max(9.0, max(image.size) / 45))
    for each in drawn:
        left, top, right, bottom = (round(side) for side in each.corners)
        across = ((left, y, right, y) for y in (top, bottom))
        down = ((x, top, x, bottom) for x in (left, right))
        for edge in (*across, *down):
            for line in _dashes(edge) if each.dashed else (edge,):
                draw.line(line, fill=each.colour, width=thick)
    for each in drawn:
        if each.text:
            _write(draw, each, font=font, height=image.height)
    return np.asarray(image)


def _dashes(edge: tuple[int, int, int, int]) -> list[tuple[float, float, float, float]]:
    """Returns the dashes of a line."""
    start, end = np.array(edge[:2], float), np.array(edge[2:], float)
    length = float(np.abs(end - start).sum())
    places = np.arange(0, length, 2 * DASH)
    way = (end - start) / max(length, 1)
    return [(*(start + at * way), *(start + min(at + DASH, length) * way)) for at in places]


def _write(draw: object, each: Outline, *, font: object, height: int) -> None:
    """Writes the text of an outline in white on its colour: above the box, or inside where there is no room."""
    from PIL import ImageDraw, ImageFont

    assert isinstance(draw, ImageDraw.ImageDraw)
    assert isinstance(font, ImageFont.FreeTypeFont | ImageFont.ImageFont)
    left, top = round(each.corners[0]), round(each.corners[1])
    _, _, wide, high = draw.textbbox((0, 0), each.text, font=font)
    top = max(0, top - round(high) - 1)
    draw.rectangle((left, top, left + wide + 1, min(height, top + high + 1)), fill=each.colour)
    draw.text((left + 1, top), each.text, fill="white", font=font)
