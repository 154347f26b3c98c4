"""The kinds of data with boxes, a row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convatlas.data.boxes.coco import list_coco
from convatlas.data.boxes.listing import BoxListing, boxed_source
from convatlas.data.boxes.voc import list_voc
from convatlas.data.boxes.yolo import list_yolo
from convatlas.data.dataset import Source
from convatlas.data.sources.part_names import absolute
from convatlas.data_names import check_reference
from convatlas.errors import UsageError


@dataclass(frozen=True)
class BoxKind:
    """A kind of data with boxes: its name in a reference, its title, and its reader."""

    name: str
    title: str
    read: Callable[[str], BoxListing]

    def source(self, reference: str) -> Source:
        """Returns the images at a path as a source. Raises `UsageError` for files that are not of this kind."""
        path = absolute(reference)
        return boxed_source(self.read(reference), name=f"{self.name}:{path}", title=f"{self.title} of {path.name}")


BOX_KINDS = {
    kind.name: kind
    for kind in (
        BoxKind("voc", "Images with boxes (Pascal VOC)", list_voc),
        BoxKind("coco", "Images with boxes (COCO)", list_coco),
        BoxKind("yolo", "Images with boxes (YOLO)", list_yolo),
    )
}


def list_boxes(reference: str) -> BoxListing:
    """Returns the images with boxes that a reference such as voc:PATH stands for. Raises `UsageError` for others."""
    check_reference(reference)
    kind, _, path = reference.partition(":")
    if kind not in BOX_KINDS:
        known = ", ".join(f"{name}:PATH" for name in BOX_KINDS)
        raise UsageError(f"{reference} has no boxes; data with boxes is {known}")
    return BOX_KINDS[kind].read(path)
