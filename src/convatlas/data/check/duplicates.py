"""Images that occur more than once: equal in every pixel, or alike to the eye."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from convatlas.data.check.facts import HASHED, THUMB
from convatlas.data.check.scan import Scan

BITS = 8  # of 64, in which the hashes of alike images may differ
CORRELATION = 0.93  # of their grey thumbnails, at least: copies that are cropped by a twentieth have 0.95 and more
BLOCK = 2**22  # pairs of hashes that are compared at a time

Groups = list[list[int]]


def equal_images(scan: Scan) -> Groups:
    """Returns the numbers of images that equal another in shape and every pixel, a list for each different image."""
    readable = np.flatnonzero(scan.facts["readable"])
    _, which = np.unique(scan.facts["digest"][readable], axis=0, return_inverse=True)
    return _grouped(readable, which.reshape(-1))


def alike_images(scan: Scan) -> Groups:
    """Returns the numbers of images that are alike and not all equal, a list for all that hang together.

    Two images are alike where their perceptual hashes differ in at most `BITS` bits and their thumbnails have a
    correlation of `CORRELATION` or more. Images of one colour, and images smaller than `HASHED` pixels, are left out.
    """
    facts = scan.facts
    smaller = np.minimum(facts["height"], facts["width"])
    chosen = np.flatnonzero(facts["readable"] & (smaller >= HASHED) & (facts["span"] > 0))
    _, first, which = np.unique(facts["digest"][chosen], axis=0, return_index=True, return_inverse=True)
    different = chosen[first]  # one image of each content
    above = np.arange(len(different))
    for one, other in _near(facts["hash"][different], facts["thumb"][different]):
        a, b = _root(above, one), _root(above, other)
        above[max(a, b)] = min(a, b)
    roots = np.array([_root(above, place) for place in range(len(different))], np.int64)
    together = np.bincount(roots, minlength=len(different))[roots] > 1
    group = np.where(together, roots, -1)[which.reshape(-1)]
    return _grouped(chosen[group >= 0], group[group >= 0])


def counts(scan: Scan, groups: Groups) -> list[dict[str, Any]]:
    """Counts for each split, and each two of them, the images that equal another.

    `images` counts those of the later split that the earlier one has too, or within one split those that repeat an
    earlier image; `other_label` is how many of these have a label that no equal one of the earlier images has.
    """
    labels = [
        [scan.labels[[n for n in group if scan.part[n] == part]].tolist() for group in groups] for part in range(3)
    ]
    found = []
    for part, name in enumerate(scan.parts):
        differing = sum(label not in own[:i] for own in labels[part] for i, label in enumerate(own) if i)
        repeated = sum(max(0, len(own) - 1) for own in labels[part])
        found.append({"splits": [name], "images": repeated, "other_label": differing})
    for first, second in combinations(range(len(scan.parts)), 2):
        pairs = [(a, b) for a, b in zip(labels[first], labels[second], strict=True) if a and b]
        differing = sum(label not in a for a, b in pairs for label in b)
        splits = [scan.parts[first], scan.parts[second]]
        found.append({"splits": splits, "images": sum(len(b) for _, b in pairs), "other_label": differing})
    return found


def spread(scan: Scan, groups: Groups) -> tuple[Groups, Groups, Groups]:
    """Returns the groups that lie in several splits, those of several classes, and those of one split and one class.

    A group may be in the first two.
    """
    split = [group for group in groups if len(set(scan.part[group].tolist())) > 1]
    labelled = [group for group in groups if len(set(scan.labels[group].tolist())) > 1]
    elsewhere = {id(group) for group in (*split, *labelled)}
    return split, labelled, [group for group in groups if id(group) not in elsewhere]


def _grouped(numbers: np.ndarray, which: np.ndarray) -> Groups:
    """Returns the numbers of each group that has two or more, in the order of their first ones."""
    often = Counter(which.tolist())
    groups: dict[int, list[int]] = {}
    for number, group in zip(numbers.tolist(), which.tolist(), strict=True):
        if often[group] > 1:
            groups.setdefault(group, []).append(number)
    return list(groups.values())


def _near(hashes: np.ndarray, thumbs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields the places of two images that are alike; a pair may come several times.

    Of `BITS` + 1 pieces of two such hashes at least one is equal, so only hashes with an equal piece are compared.
    """
    edges = np.linspace(0, 64, BITS + 2).round().astype(int)
    for low, high in pairwise(edges.tolist()):
        piece = (hashes >> np.uint64(low)) & np.uint64(2 ** (high - low) - 1)
        order = np.argsort(piece, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(piece[order])) + 1):
            if len(bucket) > 1:
                yield from _near_within(bucket, hashes, thumbs)


def _near_within(bucket: np.ndarray, hashes: np.ndarray, thumbs: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yields the pairs of alike images among those of one bucket."""
    own = hashes[bucket]
    rows = max(1, BLOCK // len(bucket))
    for start in range(0, len(bucket), rows):
        differing = np.bitwise_count(own[start : start + rows, None] ^ own[None, start:])
        one, other = np.nonzero(np.triu(differing <= BITS, k=1))
        one, other = bucket[start + one], bucket[start + other]
        alike = (_standardised(thumbs[one]) * _standardised(thumbs[other])).mean(1) >= CORRELATION
        yield from zip(one[alike].tolist(), other[alike].tolist(), strict=True)


def _standardised(thumbs: np.ndarray) -> np.ndarray:
    """Returns thumbnails as rows (N, D) of mean 0 and deviation 1; rows of zeros where all pixels are equal."""
    rows: np.ndarray = thumbs.reshape(-1, THUMB * THUMB).astype(np.float32)
    rows -= rows.mean(1, keepdims=True)
    rows /= np.maximum(rows.std(1, keepdims=True), 1e-6)
    return rows


def _root(above: np.ndarray, place: int) -> int:
    while above[place] != place:
        above[place] = above[above[place]]
        place = int(above[place])
    return place
