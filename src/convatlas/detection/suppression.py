"""From the output of a network to boxes: the best candidates, of which those go that repeat a better one."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from convatlas.detection.anchors import Flat
from convatlas.detection.boxes import decode, overlaps
from convatlas.values import Suppression

CANDIDATES, MOST = 5000, 100
OVERLAP = 0.5  # of two boxes of a class, above which hard suppression drops the one of lower score
SIGMA = 0.5  # of Gaussian suppression
LOWEST = 0.001  # score, under which nothing is a detection


class Detections(NamedTuple):
    """The boxes found in a batch, the best first: corners (N, D, 4), scores (N, D) and classes (N, D).

    Where an image has fewer than D, the others have the score 0 and the class -1.
    """

    corners: Tensor
    scores: Tensor
    classes: Tensor


def detections(output: Flat, anchors: Tensor, *, size: int, suppression: Suppression = "hard") -> Detections:
    """Returns at most 100 boxes for each image of `size` pixels, from the 5,000 best pairs of anchor and class.

    Boxes are cut at the image's edges. All arithmetic on boxes is in float32.
    """
    classes = output.logits.shape[-1]
    logits = output.logits.float().flatten(1)
    best, places = logits.topk(min(CANDIDATES, logits.shape[1]))
    chosen = places.div(classes, rounding_mode="floor")
    offsets = output.offsets.float().gather(1, chosen[..., None].expand(-1, -1, 4))
    corners = decode(offsets, anchors[chosen]).clamp(0, size)
    candidates = Detections(corners, best.sigmoid(), places % classes)
    return suppress(candidates, suppression)


def suppress(candidates: Detections, kind: Suppression = "hard", *, most: int = MOST) -> Detections:
    """Returns at most `most` of the candidates of each image: again and again the best one, which lowers the others.

    Only candidates of the same class are lowered. `hard` drops those that overlap the best by more than 0.5. `soft`
    multiplies their scores by exp(-overlap^2 / 0.5): Bodla et al. 2017, https://arxiv.org/abs/1704.04503. Candidates of
    a score of 0.001 or less are left out.
    """
    corners, classes = candidates.corners.float(), candidates.classes
    scores = torch.where(candidates.scores > LOWEST, candidates.scores.float(), 0)
    kept = []
    for _ in range(min(most, scores.shape[1])):
        score, place = scores.max(1, keepdim=True)
        box = corners.gather(1, place[..., None].expand(-1, -1, 4))
        of_class = classes.gather(1, place)
        kept.append(Detections(box, score, torch.where(score > 0, of_class, -1)))
        if not score.any():
            break
        overlap = torch.where(classes == of_class, overlaps(box, corners), 0)
        scores = scores * ((overlap <= OVERLAP).float() if kind == "hard" else torch.exp(-overlap.square() / SIGMA))
        scores = torch.where(scores > LOWEST, scores, 0).scatter(1, place, 0)
    return Detections(*(torch.cat(column, dim=1) for column in zip(*kept, strict=True)))
