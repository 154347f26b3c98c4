"""Thumbnails of a run: training images before and after augmentation, and its worst mistakes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from convatlas.data import class_labels
from convatlas.data.batches.loader import augmented_images
from convatlas.data.epoch import epoch_seed

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

COUNT = 12


def samples(plan: Plan, test_logits: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays of `samples.npz`: uint8 pictures (k, H, W, C); labels and answers of the mistakes.

    The worst mistakes are the wrong answers of the highest probability. `before` and `after` are the same training
    images without and with an augmentation as the recipe draws it.
    """
    train, cpu = plan.data.train, torch.device("cpu")
    places = torch.arange(min(COUNT, len(train)))
    before = train.batch(places, preprocessing=plan.preprocessing, device=cpu)
    after = augmented_images(
        train, places, recipe=plan.recipe, preprocessing=plan.preprocessing, seed=epoch_seed(plan.seed, 0)
    )
    test = plan.data.test
    labels = class_labels(test).cpu().numpy()
    probabilities = torch.from_numpy(test_logits).double().softmax(1).numpy()
    predicted = test_logits.argmax(1)
    certainty = np.where(predicted != labels, probabilities.max(1), -1.0)
    worst = [i for i in np.argsort(-certainty, kind="stable")[:COUNT] if certainty[i] >= 0]
    raw = plan.preprocessing
    if (stored := plan.data.spec.image_size or 0) > raw.image_size:
        raw = dataclasses.replace(raw.whole, image_size=stored)
    mistakes = test.batch(torch.tensor(worst), preprocessing=raw, device=cpu) if worst else before[:0]
    return {
        "before": _pixels(before),
        "after": _pixels(after),
        "mistakes": _pixels(mistakes),
        "mistake_labels": labels[worst],
        "mistake_predictions": predicted[worst],
        "mistake_probabilities": certainty[worst],
    }


def _pixels(images: Tensor) -> np.ndarray:
    """Converts float images in [0, 1] (k, C, H, W) to uint8 (k, H, W, C)."""
    return (images.cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
