"""The content of a data set: images of each class in each split."""

from __future__ import annotations

from collections import Counter
from typing import Any

from convatlas.data.boxes.truth import label_counts
from convatlas.data.dataset import DataSet


def summary(data: DataSet) -> dict[str, Any]:
    """Returns name, source, splits with their class counts, split hash and notes, as plain data.

    The height and width in `shape` are None where images are of many sizes. Where images have boxes, `n` counts images
    and `per_class` boxes.

    >>> from convatlas.data import load_data
    >>> summary(load_data("digits"))["splits"]["test"]["n"]
    360
    """
    names = data.spec.class_names
    counts = {part: label_counts(images, len(names)) for part, images in data.parts.items()}
    return {
        "data": data.spec.name,
        "title": data.spec.title,
        "source": data.spec.source,
        "shape": [data.train.channels, data.spec.image_size, data.spec.image_size],
        "splits": {
            part: {"n": len(data.parts[part]), "per_class": dict(zip(names, row, strict=True))}
            for part, row in counts.items()
        },
        "split_hash": data.split_hash,
        "notes": list(data.notes),
    }


def imbalance(per_class: dict[str, int]) -> tuple[str, str]:
    """Returns the names of the rarest and the most frequent class."""
    order = Counter(per_class).most_common()
    return order[-1][0], order[0][0]
