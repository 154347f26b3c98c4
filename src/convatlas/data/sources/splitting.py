"""Images held out of others, with the one seed of all studies."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
from torch import Tensor

from convatlas.data.dataset import SPLIT_SEED


def hold_out(count: int, held_out: int) -> tuple[Tensor, Tensor]:
    """Returns the places of the images to train on and of those held out, in an order of their own.

    The permutation is the one that `torch.utils.data.random_split` makes after `torch.manual_seed(42)`.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return order[: count - held_out], order[count - held_out :]


def hold_out_of_each_class(places: np.ndarray, labels: np.ndarray, *, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places that stay and those held out, a share of every class, both in an order of their own.

    `labels` are those of all images, of which `places` are some. The draw is the one that scikit-learn's
    `train_test_split(places, test_size=share, stratify=labels[places], random_state=42)` makes; its import would take
    longer than the folder.
    """
    own = labels[places]
    random = np.random.RandomState(SPLIT_SEED)
    counts = np.unique(own, return_counts=True)[1]
    held_out = math.ceil(share * len(places))
    stay = _in_proportion(counts, len(places) - held_out, random)
    held = _in_proportion(counts - stay, held_out, random)
    of_class = np.split(np.argsort(own, kind="stable"), np.cumsum(counts)[:-1])
    mixed = [each[random.permutation(len(each))] for each in of_class]
    first = [each[:count] for each, count in zip(mixed, stay, strict=True)]
    then = [each[start : start + count] for each, start, count in zip(mixed, stay, held, strict=True)]
    order = random.permutation(np.concatenate(first))
    return places[order], places[random.permutation(np.concatenate(then))]


def hold_out_together(
    places: np.ndarray, labels: np.ndarray, units: np.ndarray, *, share: float, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places that stay and those held out, about a share of every class, and no unit in both.

    `units` has a number for each of all images; images of one number belong together. Units are held out in a random
    order, each while it fits into what its classes lack. Of a class of which none fits the smallest unit is held out.
    So many units as `keep` stay of every class; a class of too few may thus have none that is held out.
    """
    own = labels[places]
    wanted = np.maximum(1, np.rint(share * np.bincount(own))).astype(int)
    members: dict[int, list[int]] = {}
    for place, unit in zip(places.tolist(), units[places].tolist(), strict=True):
        members.setdefault(unit, []).append(place)
    classes = {unit: Counter(labels[inside].tolist()) for unit, inside in members.items()}
    left = Counter(label for of_unit in classes.values() for label in of_unit)
    held: Counter[int] = Counter()
    taken: set[int] = set()

    def take(unit: int) -> None:
        taken.add(unit)
        held.update(classes[unit])
        left.subtract(classes[unit].keys())

    order = np.random.RandomState(SPLIT_SEED).permutation(np.array(list(members))).tolist()
    for unit in order:
        if all(held[label] + n <= wanted[label] and left[label] > keep for label, n in classes[unit].items()):
            take(unit)
    for label in sorted(left):
        free = [unit for unit in order if label in classes[unit] and all(left[each] > keep for each in classes[unit])]
        if not held[label] and free:
            take(min(free, key=lambda unit: len(members[unit])))
    out = np.array([place for unit in order if unit in taken for place in members[unit]], np.int64)
    return np.setdiff1d(places, out), out


def _in_proportion(counts: np.ndarray, total: int, random: np.random.RandomState) -> np.ndarray:
    """Returns how many images of each class make `total`; equal claims to the last of them are drawn."""
    exact = counts / counts.sum() * total
    chosen = np.floor(exact)
    missing = int(total - chosen.sum())
    for claim in np.sort(np.unique(exact - np.floor(exact)))[::-1]:
        if missing == 0:
            break
        (classes,) = np.where(exact - np.floor(exact) == claim)
        more = random.choice(classes, size=min(len(classes), missing), replace=False)
        chosen[more] += 1
        missing -= len(more)
    result: np.ndarray = chosen.astype(int)
    return result
