"""Images and a detector to boxes: the one path of everything that asks a detector for an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from convatlas.data.boxes.batches import BoxEvaluationBatches
from convatlas.data.boxes.placement import Placement
from convatlas.data.images.protocol import Images
from convatlas.data.preprocessing import Preprocessing
from convatlas.detection.anchors import anchors_of, flat_output, level_sizes
from convatlas.detection.precision import FoundBoxes
from convatlas.detection.suppression import LOWEST, detections
from convatlas.device import autocast, network_input
from convatlas.recipe import Precision
from convatlas.values import Suppression

AT_A_TIME, PIXELS = 16, 16 * 512**2  # images that are answered together at most, and their pixels


def at_a_time(preprocessing: Preprocessing) -> int:
    """Returns how many images are answered together: fewer large ones, because of the memory."""
    return max(1, min(AT_A_TIME, PIXELS // preprocessing.image_size**2))


def predict_boxes(
    network: nn.Module,
    images: Images,
    *,
    preprocessing: Preprocessing,
    precision: Precision = "float32",
    suppression: Suppression = "hard",
) -> list[FoundBoxes]:
    """Returns the boxes that a detector finds in each image, at most 100, in pixels of the image.

    The network is put in eval mode for the time of the call.
    """
    found: list[FoundBoxes] = []
    with asked(network):
        for squares, placed in BoxEvaluationBatches(
            images, preprocessing=preprocessing, batch_size=at_a_time(preprocessing)
        ):
            found += boxes_in_squares(network, squares, placed, precision=precision, suppression=suppression)
    return found


@contextmanager
def asked(network: nn.Module) -> Iterator[None]:
    """Puts a network in eval mode and keeps no gradients, for a time."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)


def boxes_in_squares(
    network: nn.Module,
    squares: Tensor,
    placed: Sequence[Placement],
    *,
    precision: Precision = "float32",
    suppression: Suppression = "hard",
) -> list[FoundBoxes]:
    """Returns the boxes that a detector finds in normalised squares (n, C, size, size), in pixels of the images."""
    with autocast(squares.device, precision):
        output = network(network_input(squares))
    anchors, size = anchors_of(network), squares.shape[-1]
    boxes = anchors.boxes(size, level_sizes(output)).to(squares.device)
    found = detections(flat_output(output, anchors=len(anchors)), boxes, size=size, suppression=suppression)
    arrays = (each.cpu().numpy() for each in found)
    rows = zip(*arrays, strict=True)
    return [in_image(FoundBoxes(*own), placement) for own, placement in zip(rows, placed, strict=True)]


def in_image(found: FoundBoxes, placement: Placement) -> FoundBoxes:
    """Returns the boxes of a square in pixels of its image, cut to it, without those of which nothing lies in it."""
    found = found.above(LOWEST)
    limits = (placement.width, placement.height) * 2
    inside = placement.backward(found.corners).clip(0, limits).astype(np.float32)
    there = (inside[:, 2:] > inside[:, :2]).all(1)
    return FoundBoxes(inside[there], found.scores[there], found.classes[there])
