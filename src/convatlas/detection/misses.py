"""Right and wrong boxes in one image: the faults of a detector that a person can look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from convatlas.data.boxes.truth import Boxes
from convatlas.detection.boxes import covered, overlaps
from convatlas.detection.precision import FoundBoxes

OVERLAP = 0.5  # from which a found box is right


@dataclass(frozen=True, eq=False)
class Compared:
    """The found boxes of an image beside the true ones: which of them are right (n,), and which are missed (m,).

    Difficult boxes are never missed, and a found box of which half or more lies in one is right, as in COCO's measures.
    """

    right: np.ndarray
    missed: np.ndarray

    @property
    def faults(self) -> int:
        """The number of true boxes that are missed and of found boxes that are wrong."""
        return int(self.missed.sum() + (~self.right).sum())


def compared(found: FoundBoxes, truth: Boxes) -> Compared:
    """Returns the comparison of the boxes found in an image, the best first, with the true ones.

    A found box is right where it overlaps a true one of its class, which no better box has taken, by 0.5 or more.
    """
    right, taken = np.zeros(len(found), bool), np.zeros(len(truth), bool)
    given, wanted = torch.from_numpy(found.corners)[:, None], torch.from_numpy(truth.corners)
    pairs, within = overlaps(given, wanted).numpy(), covered(given, wanted).numpy()
    for place, row in enumerate(pairs):
        same = truth.labels == found.classes[place]
        free = same & ~taken & ~truth.difficult & (row >= OVERLAP)
        if free.any():
            right[place] = taken[int(np.where(free, row, -1).argmax())] = True
        else:
            right[place] = (same & truth.difficult & (within[place] >= OVERLAP)).any()
    return Compared(right, ~taken & ~truth.difficult)
