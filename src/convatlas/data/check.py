"""The content of a data set: images of each class in each split, and images that occur more than once."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations
from typing import Any

from convatlas.data.dataset import DataSet
from convatlas.data.images.protocol import Images, class_labels


def summary(data: DataSet) -> dict[str, Any]:
    """Returns name, source, splits with their class counts, split hash and notes, as plain data.

    The height and width in `shape` are None where images are of many sizes.

    >>> from convatlas.data import load_data
    >>> summary(load_data("digits"))["splits"]["test"]["n"]
    360
    """
    names = data.spec.class_names
    counts = {part: class_labels(images).bincount(minlength=len(names)).tolist() for part, images in data.parts.items()}
    return {
        "data": data.spec.name,
        "title": data.spec.title,
        "source": data.spec.source,
        "shape": [data.train.channels, data.spec.image_size, data.spec.image_size],
        "splits": {
            part: {"n": sum(row), "per_class": dict(zip(names, row, strict=True))} for part, row in counts.items()
        },
        "split_hash": data.split_hash,
        "notes": list(data.notes),
    }


def duplicates(data: DataSet) -> list[dict[str, Any]]:
    """Counts for each split, and each two of them, the images that equal another: in every pixel, in files every byte.

    `images` counts those of the later split that the earlier one has too, or within one split those that repeat an
    earlier image; `other_label` is how many of these have a label that no equal one of the earlier images has.
    """
    seen = {part: _labels_by_image(split) for part, split in data.parts.items()}
    found = []
    for part, images in seen.items():
        repeated = [labels for labels in images.values() if len(labels) > 1]
        differing = sum(label not in labels[:i] for labels in repeated for i, label in enumerate(labels) if i)
        found.append({"splits": [part], "images": sum(len(x) - 1 for x in repeated), "other_label": differing})
    for first, second in combinations(seen, 2):
        both = seen[first].keys() & seen[second].keys()
        again = [(label, seen[first][key]) for key in both for label in seen[second][key]]
        differing = sum(label not in labels for label, labels in again)
        found.append({"splits": [first, second], "images": len(again), "other_label": differing})
    return found


def imbalance(per_class: dict[str, int]) -> tuple[str, str]:
    """Returns the names of the rarest and the most frequent class."""
    order = Counter(per_class).most_common()
    return order[-1][0], order[0][0]


def _labels_by_image(images: Images) -> dict[bytes, list[int]]:
    """Returns the labels of each different image."""
    found: dict[bytes, list[int]] = {}
    for content, label in zip(images.content(), class_labels(images).tolist(), strict=True):
        found.setdefault(hashlib.blake2b(content, digest_size=16).digest(), []).append(label)
    return found
