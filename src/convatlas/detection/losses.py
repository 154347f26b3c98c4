"""The losses of a detector: focal loss for classes, Huber loss for boxes."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from convatlas.detection.anchors import Flat
from convatlas.detection.matching import UNDECIDED, Targets


class DetectionLosses(NamedTuple):
    """The two losses of a batch; a training step follows the gradient of `total`."""

    classes: Tensor
    boxes: Tensor
    total: Tensor


class LossForm(NamedTuple):
    """The numbers of the losses, as in EfficientDet: `alpha` and `gamma` of the focal loss, `delta` of Huber's."""

    alpha: float = 0.25
    gamma: float = 1.5
    delta: float = 0.1
    box_weight: float = 50.0


def detection_losses(output: Flat, targets: Targets, *, positives: Tensor, form: LossForm) -> DetectionLosses:
    """Returns the losses of a batch or of a part of one; `positives` counts the anchors with a box in all of the batch.

    The sum of the focal loss over all anchors and classes is divided by the positives and 1, the sum of Huber's over
    four offsets of each positive anchor by four times that. The losses of parts add up to the losses of the batch.
    """
    normaliser = positives.to(output.logits.dtype) + 1
    labels = targets.classes
    wanted = F.one_hot(labels.clamp(min=0), output.logits.shape[-1]).to(output.logits.dtype)
    wanted = wanted * (labels >= 0)[..., None]
    each = focal_loss(output.logits, wanted, form) * (labels != UNDECIDED)[..., None]
    classes = each.sum() / normaliser
    positive = labels >= 0
    distances = F.huber_loss(output.offsets[positive], targets.offsets[positive], reduction="sum", delta=form.delta)
    boxes = distances / (4 * normaliser)
    return DetectionLosses(classes, boxes, classes + form.box_weight * boxes)


def focal_loss(logits: Tensor, wanted: Tensor, form: LossForm) -> Tensor:
    """Returns the focal loss of each logit, for targets 0 or 1 of the same shape.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002, equation 5: cross entropy, multiplied by
    alpha (1 - p)^gamma where the target is 1, and by (1 - alpha) p^gamma where it is 0.
    """
    probability = logits.sigmoid()
    missing = torch.where(wanted > 0, 1 - probability, probability)
    weight = torch.where(wanted > 0, form.alpha, 1 - form.alpha)
    return weight * missing**form.gamma * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
