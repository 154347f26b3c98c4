"""The mean of several networks' probabilities: validation chooses the members, the test images are looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convatlas.evaluation import Difference, image_bootstrap


@dataclass(frozen=True)
class Chosen:
    """The members in the order in which validation chose them, and the accuracy on validation after each choice."""

    members: tuple[int, ...]
    accuracies: tuple[float, ...]


def choose(validation: Sequence[np.ndarray], labels: np.ndarray) -> Chosen:
    """Returns the members that greedy forward selection finds: probabilities (images, classes) of each network.

    The first member has the best accuracy. The next one is that with which the mean is best, as long as the accuracy
    rises. Of equal accuracies that with the smaller cross entropy counts, then the first network.
    """
    total = np.zeros(validation[0].shape)
    members: list[int] = []
    accuracies: list[float] = []
    while len(members) < len(validation):
        left = [each for each in range(len(validation)) if each not in members]
        scored = [(*_score(total + validation[each], len(members) + 1, labels), -each) for each in left]
        accuracy, _, place = max(scored)
        if accuracies and accuracy <= accuracies[-1]:
            break
        members.append(-place)
        accuracies.append(accuracy)
        total = total + validation[-place]
    return Chosen(tuple(members), tuple(accuracies))


def _score(total: np.ndarray, members: int, labels: np.ndarray) -> tuple[float, float]:
    """Returns the accuracy of a sum of probabilities, and the mean logarithm of the true class's mean probability."""
    true = np.take_along_axis(total, labels[:, None], axis=1)[:, 0] / members
    return float((total.argmax(axis=1) == labels).mean()), float(np.log(np.maximum(true, 1e-30)).mean())


@dataclass(frozen=True)
class Tested:
    """An average on the test images: its accuracy, and the difference to the best single network."""

    members: tuple[int, ...]
    correct: int
    accuracy: float
    gain: Difference


def averaged(test: Sequence[np.ndarray], labels: np.ndarray, members: Sequence[int], *, best: int) -> Tested:
    """Returns the accuracy of the mean of the members' probabilities, beside the single network `best`."""
    total = np.zeros(test[0].shape)
    for member in members:
        total += test[member]
    right = total.argmax(axis=1) == labels
    gain = image_bootstrap(right, test[best].argmax(axis=1) == labels)
    return Tested(tuple(members), int(right.sum()), float(right.mean()), gain)
