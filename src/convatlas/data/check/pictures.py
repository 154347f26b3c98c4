"""The findings with thumbnails of their images, as plain data for a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from convatlas.data.boxes.truth import Boxes
from convatlas.data.check.findings import Finding
from convatlas.data.check.kinds import KINDS
from convatlas.data.check.scan import Scan
from convatlas.data.images.resident import ResidentImages
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.readability import UnreadableError, decode_at
from convatlas.drawing import COLOURS

ALONE, TOGETHER = 24, 12  # groups that are shown of a finding: of one image each, of several
OF_GROUP = 4  # images that are shown of a group
SIDE = 128  # pixels of a thumbnail, at most
EXACT = 64  # pixels up to which a thumbnail loses nothing; a larger one is a JPEG


def shown(scan: Scan, findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Returns the findings with their first images, each with its thumbnail as a `data:` address.

    `more` is how many further groups a finding has.
    """
    result = []
    for finding in findings:
        most = ALONE if finding.images == len(finding.groups) else TOGETHER
        details = finding.details if finding.groups else ()
        groups = [
            {
                "detail": details[place] if details else "",
                "images": [_shown(scan, number) for number in group[:OF_GROUP]],
                "more": max(0, len(group) - OF_GROUP),
            }
            for place, group in enumerate(finding.groups[:most])
        ]
        said = {"kind": finding.kind, "gravity": finding.gravity, "sentence": finding.sentence}
        content = {"classes": finding.classes, "groups": groups, "more": max(0, len(finding.groups) - most)}
        result.append({**said, **content, "meaning": KINDS[finding.kind].meaning})
    return result


def thumbnail(scan: Scan, number: int, *, side: int = SIDE) -> Image.Image | None:
    """Returns an image, whole, upright and with its own proportions, within a square; None for an unreadable one.

    Boxes are drawn on it.
    """
    images, place = scan.locate(number)
    if isinstance(images, StreamedImages):
        try:
            pixels = decode_at(images, place)[1]
        except UnreadableError:
            return None
    elif isinstance(images, ResidentImages):
        pixels = images.pixels[place].cpu().permute(1, 2, 0).numpy()
    else:
        return None
    pixels = np.ascontiguousarray(pixels)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((side, side))
    if (boxes := scan.boxes(number)) is not None:
        _draw(image, boxes)
    return image


def _draw(image: Image.Image, boxes: Boxes) -> None:
    """Draws boxes on an image of another size, a colour for each class."""
    pen = ImageDraw.Draw(image)
    scale = np.array([image.width / boxes.width, image.height / boxes.height] * 2)
    for corners, label in zip((boxes.corners * scale).tolist(), boxes.labels.tolist(), strict=True):
        pen.rectangle(corners, outline=COLOURS[label % len(COLOURS)])


def _shown(scan: Scan, number: int) -> dict[str, Any]:
    image = thumbnail(scan, number)
    return {**scan.described(number), "picture": None if image is None else _data_uri(image)}


def _data_uri(image: Image.Image) -> str:
    kind = "png" if max(image.size) <= EXACT else "jpeg"
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 80} if kind == "jpeg" else {}))
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
