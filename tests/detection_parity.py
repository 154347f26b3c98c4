"""Anchors, targets, losses and boxes of effdet, as arrays in a file: `python tests/detection_parity.py FILE`.

It runs in a process of its own, see `oracles`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np
import torch

from oracles import load_effdet

SIZE, CLASSES, IMAGES = 128, 3, 2


def results() -> dict[str, Any]:
    """Returns the inputs and effdet's answers for invented boxes and outputs."""
    load_effdet()
    anchors_of, losses = import_module("effdet.anchors"), import_module("effdet.loss")
    generator = torch.Generator().manual_seed(0)
    made = anchors_of.Anchors(3, 7, 3, [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)], 4.0, (SIZE, SIZE))
    odd = anchors_of.Anchors(3, 7, 3, [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)], 5.0, (320, 320))
    low = torch.rand(IMAGES, 5, 2, generator=generator) * 80
    boxes = torch.cat((low, low + 8 + torch.rand(IMAGES, 5, 2, generator=generator) * 40), dim=-1)  # y0, x0, y1, x1
    labels = torch.randint(1, CLASSES + 1, (IMAGES, 5), generator=generator)
    labels[1, 3:] = -1
    labeler = anchors_of.AnchorLabeler(made, CLASSES, match_threshold=0.5)
    classes, offsets, positives = labeler.batch_label_anchors(list(boxes), list(labels))
    logits = [torch.randn(IMAGES, 9 * CLASSES, *size[:2], generator=generator) for size in made.feat_sizes[3:]]
    outputs = [torch.randn(IMAGES, 36, *size[:2], generator=generator) / 4 for size in made.feat_sizes[3:]]
    numbers = {"alpha": 0.25, "gamma": 1.5, "delta": 0.1, "box_loss_weight": 50.0}
    loss = losses.loss_fn(logits, outputs, classes, offsets, positives, CLASSES, **numbers)

    def flat(levels: list[torch.Tensor], columns: int) -> np.ndarray:
        return torch.cat([level.permute(0, 2, 3, 1).reshape(IMAGES, -1, columns) for level in levels], 1).numpy()

    flat_offsets = torch.from_numpy(flat(outputs, 4))
    decoded = [anchors_of.decode_box_outputs(each, made.boxes, output_xyxy=True).numpy() for each in flat_offsets]
    return {
        "anchors": made.boxes.numpy(),
        "odd_anchors": odd.boxes.numpy(),
        "boxes": boxes.numpy(),
        "labels": labels.numpy(),
        "classes": torch.cat([level.reshape(IMAGES, -1) for level in classes], 1).numpy(),
        "offsets": torch.cat([level.reshape(IMAGES, -1, 4) for level in offsets], 1).numpy(),
        "losses": np.array([float(each) for each in loss]),  # total, classes, boxes
        "decoded": np.stack(decoded),
        **{f"logits{level}": each.numpy() for level, each in enumerate(logits)},
        **{f"outputs{level}": each.numpy() for level, each in enumerate(outputs)},
    }


if __name__ == "__main__":
    np.savez(sys.argv[1], **results())
