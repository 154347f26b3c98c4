"""Matches anchors with true boxes: the targets of a training step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convatlas.data.boxes.batches import PaddedBoxes
from convatlas.detection.boxes import covered, encode, overlaps

OVERLAP = 0.5  # from which an anchor belongs to a box
BACKGROUND, UNDECIDED = -1, -2  # of an anchor: it has no box, or it is left out of the loss


class Targets(NamedTuple):
    """The targets of all anchors of a batch: classes (N, A), and offsets (N, A, 4), which are 0 without a box.

    A class may also be `BACKGROUND` or `UNDECIDED`.
    """

    classes: Tensor
    offsets: Tensor

    @property
    def positives(self) -> Tensor:
        """The number of anchors with a box, as a tensor."""
        return (self.classes >= 0).sum()


def match(anchors: Tensor, truth: PaddedBoxes) -> Targets:
    """Returns the targets of anchors (A, 4) in each image.

    An anchor belongs to the box that it overlaps most, from an intersection over union of 0.5. The anchor that overlaps
    a box most belongs to this box in any case; of two such boxes, to the first. Ignored boxes, which are crowds or
    difficult, teach nothing: an anchor without a box that lies to half in one is undecided.
    """
    found = [_match(anchors, PaddedBoxes(*image)) for image in zip(*truth, strict=True)]
    return Targets(torch.stack([each.classes for each in found]), torch.stack([each.offsets for each in found]))


def _match(anchors: Tensor, truth: PaddedBoxes) -> Targets:
    """Returns the targets in one image: classes (A,) and offsets (A, 4)."""
    there = truth.labels >= 0
    taught, ignored = there & ~truth.ignored, there & truth.ignored
    boxes, labels = truth.corners[taught], truth.labels[taught]
    classes = torch.full(anchors.shape[:1], BACKGROUND, device=anchors.device)
    offsets = torch.zeros_like(anchors)
    if len(boxes):
        owners = _owners(overlaps(boxes[:, None], anchors))
        owned = owners >= 0
        classes[owned] = labels[owners[owned]]
        offsets[owned] = encode(boxes[owners[owned]], anchors[owned])
    if ignored.any():
        inside = covered(anchors, truth.corners[ignored][:, None]).amax(0)
        classes[(classes == BACKGROUND) & (inside >= OVERLAP)] = UNDECIDED
    return Targets(classes, offsets)


def _owners(overlap: Tensor) -> Tensor:
    """Returns the box that each anchor belongs to, or -1, from the overlaps (boxes, anchors): -> (anchors,)."""
    most, owners = overlap.max(0)
    owners = torch.where(most >= OVERLAP, owners, -1)
    reached, best = overlap.max(1)
    for box in reversed(reached.nonzero().flatten().tolist()):  # the first box comes last and wins
        owners[best[box]] = box
    return owners
