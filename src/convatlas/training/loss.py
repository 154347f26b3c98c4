"""The loss that a recipe trains with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.layers import AuxiliaryLogits, total_loss
from convatlas.recipe import Recipe


class TrainingLoss(nn.Module):
    """Cross entropy with the recipe's label smoothing and class weights: (N, classes) and targets -> one value.

    Targets are class indices (N,), or probabilities (N, classes) where images were mixed. The mean is over the images:
    each counts with its class's weight, and the weights average to 1 over the training images. The logits of auxiliary
    heads add their losses, weighted as the network says.
    """

    weights: Tensor | None

    def __init__(self, recipe: Recipe, *, labels: Tensor, num_classes: int) -> None:
        super().__init__()
        self.label_smoothing = recipe.loss.label_smoothing
        balanced = recipe.loss.class_weights == "balanced"
        weights = balanced_weights(labels, num_classes) if balanced else None
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, output: Tensor | AuxiliaryLogits, targets: Tensor) -> Tensor:
        return total_loss(output, lambda logits: self._cross_entropy(logits, targets))

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        total = F.cross_entropy(
            logits.float(), targets, weight=self.weights, label_smoothing=self.label_smoothing, reduction="sum"
        )
        return total / len(targets)


def balanced_weights(labels: Tensor, num_classes: int) -> Tensor:
    """Returns the weight of each class: higher for rarer classes, 1 on the average image, 0 for a class without images.

    >>> balanced_weights(torch.tensor([0, 0, 0, 1]), 2)
    tensor([0.6667, 2.0000])
    """
    counts = labels.bincount(minlength=num_classes).double()
    present = counts > 0
    weights = torch.where(present, len(labels) / counts.clamp(min=1) / present.sum(), 0.0)
    return weights.float()


def classes_of(targets: Tensor) -> Tensor:
    """Returns the class (N,) of each target; of mixed targets it is the class with the largest part."""
    return targets if targets.ndim == 1 else targets.argmax(1)
