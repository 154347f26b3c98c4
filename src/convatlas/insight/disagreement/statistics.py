"""The agreement of two networks on the same images: shares, Cohen's kappa, the correlation of their errors; NumPy only.

Kappa: Cohen 1960, https://doi.org/10.1177/001316446002000104. Phi is Pearson's correlation of two yes-or-no values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pair:
    """The agreement of two networks: `same` is the share of images with equal answers.

    `kappa` and `phi` are None where they are not defined: all answers are one class; a network is always right or
    always wrong. `both_wrong` is the number of images that both get wrong, `same_mistake` those of them with equal
    answers.
    """

    first: int
    second: int
    same: float
    kappa: float | None
    phi: float | None
    both_wrong: int
    same_mistake: int


def pair_of(answers: np.ndarray, labels: np.ndarray, first: int, second: int) -> Pair:
    """Returns the agreement of two of the networks: answers (networks, images) and labels (images,)."""
    a, b = answers[first], answers[second]
    both = (a != labels) & (b != labels)
    return Pair(
        first=first,
        second=second,
        same=float((a == b).mean()),
        kappa=kappa(a, b),
        phi=phi(a != labels, b != labels),
        both_wrong=int(both.sum()),
        same_mistake=int((both & (a == b)).sum()),
    )


def pairs_of(answers: np.ndarray, labels: np.ndarray) -> list[Pair]:
    """Returns the agreement of every two networks."""
    return [
        pair_of(answers, labels, first, second)
        for first in range(len(answers))
        for second in range(first + 1, len(answers))
    ]


def kappa(a: np.ndarray, b: np.ndarray) -> float | None:
    """Returns Cohen's kappa of two sequences of answers: agreement beyond that of chance, 1 where all are equal.

    >>> kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
    0.5
    """
    classes = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(each, minlength=classes) / len(each) for each in (a, b)]
    expected = float(shares[0] @ shares[1])
    return None if expected == 1 else (float((a == b).mean()) - expected) / (1 - expected)


def phi(a: np.ndarray, b: np.ndarray) -> float | None:
    """Returns the correlation of two yes-or-no values of the same images.

    >>> phi(np.array([True, True, False, False]), np.array([True, False, False, False]))
    0.5773502691896258
    """
    n, both, ones = len(a), int((a & b).sum()), (int(a.sum()), int(b.sum()))
    spread = math.prod(one * (n - one) for one in ones)
    return None if spread == 0 else (n * both - ones[0] * ones[1]) / math.sqrt(spread)


def disputes(answers: np.ndarray, certainty: np.ndarray) -> np.ndarray:
    """Returns the images on which the networks differ, the most disputed first: the entropy of their answers.

    Of equally disputed images, those with the larger mean probability of the answers come first. Answers and their
    probabilities are (networks, images).
    """
    entropy = np.zeros(answers.shape[1])
    for answer in np.unique(answers):
        share = (answers == answer).mean(axis=0)
        entropy -= np.where(share > 0, share * np.log(np.maximum(share, 1e-12)), 0.0)
    order = np.lexsort((-certainty.mean(axis=0), -entropy.round(9)))
    different = (answers != answers[0]).any(axis=0)
    return np.asarray(order[different[order]])


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of logits (images, classes), in float64."""
    shifted = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), dtype=np.float64))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def mean_of(values: Sequence[float | None]) -> float | None:
    """Returns the mean of the values that are defined, or None."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
