"""Thumbnails of a run: training images before and after augmentation, and its worst mistakes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from convatlas.data.augmentation.draws import augmented
from convatlas.data.batches.loader import epoch_seed

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

COUNT = 12


def samples(plan: Plan, test_logits: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays for `samples.npz`: uint8 pictures (k, H, W, C), and the mistakes' labels, predictions and probabilities.

    The worst mistakes are the wrong answers of the highest probability. `before` and `after` are the same training
    images without and with an augmentation as the recipe draws it.
    """
    before = plan.preprocessing.resize(plan.data.train.images[:COUNT].cpu())
    generator = torch.Generator().manual_seed(epoch_seed(plan.seed, 0))
    after = augmented(before, recipe=plan.recipe, generator=generator)
    test = plan.data.test
    labels = test.labels.cpu().numpy()
    probabilities = torch.from_numpy(test_logits).double().softmax(1).numpy()
    predicted = test_logits.argmax(1)
    certainty = np.where(predicted != labels, probabilities.max(1), -1.0)
    worst = [i for i in np.argsort(-certainty, kind="stable")[:COUNT] if certainty[i] >= 0]
    raw = dataclasses.replace(
        plan.preprocessing, image_size=max(plan.preprocessing.image_size, plan.data.spec.image_size)
    )
    mistakes = raw.resize(test.images[worst].cpu()) if worst else before[:0]
    return {
        "before": _pixels(before),
        "after": _pixels(after),
        "mistakes": _pixels(mistakes),
        "mistake_labels": labels[worst],
        "mistake_predictions": predicted[worst],
        "mistake_probabilities": certainty[worst],
    }


def _pixels(images: Tensor) -> np.ndarray:
    """Float images in [0, 1] (k, C, H, W) -> uint8 (k, H, W, C)."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
