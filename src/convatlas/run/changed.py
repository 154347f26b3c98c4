"""Images of one's own that are not what they were when a run began: the difference in words."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.run.record import DataRecord, other_pixels

SHOWN = 3  # classes in a message


def change_of_data(ours: DataRecord, theirs: DataRecord) -> str | None:
    """Returns the difference of the images at hand from those of a run; None for named data sets and other images.

    >>> facts = {"split_hash": "0f", "train": 8, "validation": 1, "test": 1}
    >>> there = DataRecord(name="folder:a", **facts, classes=("cat", "dog"))
    >>> change_of_data(DataRecord(name="folder:a", **facts | {"split_hash": "1f", "train": 7}, classes=("cat",)), there)
    'class dog is gone, 1 image fewer'
    """
    if ":" not in ours.name:
        return None
    same_split = ours.split_hash == theirs.split_hash
    if ours.name != theirs.name:
        moved = same_split and not other_pixels(ours.images_hash, theirs.images_hash)
        return f"the same images lay in {theirs.name}; move them back there" if moved else None
    said = [
        *_classes(sorted(set(theirs.classes) - set(ours.classes)), "gone"),
        *_classes(sorted(set(ours.classes) - set(theirs.classes)), "new"),
    ]
    more = sum((ours.train, ours.validation, ours.test)) - sum((theirs.train, theirs.validation, theirs.test))
    if more:
        said.append(f"{abs(more):,} image{'s' * (abs(more) > 1)} {'more' if more > 0 else 'fewer'}")
    elif not same_split:
        said.append("other names, classes or parts of the images")
    elif other_pixels(ours.images_hash, theirs.images_hash):
        said.append("other content of the same images")
    return ", ".join(said)


def _classes(names: Sequence[str], what: str) -> list[str]:
    """Returns the words for classes that are gone or new."""
    if not names:
        return []
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return [
        f"class{'es' * (len(names) > 1)} {', '.join(names[:SHOWN])}{more} {'are' if len(names) > 1 else 'is'} {what}"
    ]
