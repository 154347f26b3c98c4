"""`data convert`: images with boxes, written in the layout of VOC, COCO or YOLO."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convatlas.cli import options
from convatlas.cli.data import data_app, say_line
from convatlas.data_names import BOX_KINDS
from convatlas.errors import unknown


@data_app.command()
def convert(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Images with boxes: voc:PATH, coco:PATH or yolo:PATH.")],
    to: Annotated[str, typer.Option("--to", metavar="LAYOUT", help=f"The new layout: {', '.join(BOX_KINDS)}.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new folder for images and boxes.")],
    as_json: options.AsJson = False,
) -> None:
    """Write images with boxes in another layout: that of Pascal VOC, COCO or YOLO. The splits stay.

    Example: convatlas data convert voc:cells --to coco --out cells-coco
    """
    from convatlas.data_names import check_reference

    check_reference(data)
    if to not in BOX_KINDS:
        raise unknown("layout of boxes", to, BOX_KINDS)

    from convatlas.data.boxes.conversion import convert_boxes  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.data.boxes.kinds import list_boxes

    done = convert_boxes(list_boxes(data), to=to, out=out)
    content = {
        "data": f"{to}:{done.folder}",
        "splits": {part: {"images": done.images[part], "boxes": done.boxes[part]} for part in done.images},
        "notes": list(done.notes),
    }
    if as_json:
        options.print_json(content)
        return
    for part, count in done.images.items():
        say_line(f"{part}: {count:,} images, {done.boxes[part]:,} boxes")
    for note in done.notes:
        say_line(f"note: {note}")
    say_line(f"wrote {to}:{done.folder}")
