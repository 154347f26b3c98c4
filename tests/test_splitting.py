"""Splits of one's own images: drawn as scikit-learn draws them, and nothing that belongs together is torn apart."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from convatlas.data import Splits, class_labels
from convatlas.data.sources.listing import PARTS, Found, Listing
from convatlas.data.sources.splitting import hold_out_of_each_class, hold_out_together
from convatlas.errors import UsageError


@dataclass(frozen=True)
class Bytes:
    """A store of any bytes."""

    content: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.content)

    def name(self, number: int) -> str:
        return str(number)

    shown = name

    def size(self, number: int) -> int:
        return len(self.content[number])

    def read(self, number: int) -> bytes:
        return self.content[number]

    def ending(self, number: int) -> bytes:
        return self.content[number][-1:]

    def digest(self, number: int) -> bytes:
        return hashlib.sha256(self.content[number]).digest()


def listing(
    labels: Sequence[int], *, content: Sequence[int] | None = None, groups: Sequence[str] | None = None
) -> Listing:
    """Images without parts; equal numbers of `content` are equal images."""
    store = Bytes([number.to_bytes(4, "big") for number in (content or range(len(labels)))])
    classes = tuple(f"class {label}" for label in range(max(labels) + 1))
    return Listing("here", store, classes, np.array(labels), {"train": Found("here", np.arange(len(labels)))}, groups)


def parts_of(splits: Splits) -> list[list[int]]:
    return [images.index.tolist() for images in (splits.train, splits.validation, splits.test)]


def counts(splits: Splits) -> list[list[int]]:
    return [class_labels(images).bincount().tolist() for images in (splits.train, splits.validation, splits.test)]


@pytest.mark.parametrize("seed", range(20))
def test_the_draw_is_that_of_scikit_learn(seed: int) -> None:
    source = np.random.default_rng(seed)
    labels = source.integers(source.integers(2, 12), size=source.integers(80, 300))
    places = source.permutation(len(labels))[: 3 * len(labels) // 4]
    for share in (0.2, 0.25):
        expected = train_test_split(places, test_size=share, stratify=labels[places], random_state=42)
        for found, wanted in zip(hold_out_of_each_class(places, labels, share=share), expected, strict=True):
            assert np.array_equal(found, wanted)


def test_equal_images_lie_in_one_split() -> None:
    content = [*range(50), *[60] * 6, *range(40)]  # six equal ones, and forty that repeat one of the first fifty
    splits = listing([0] * 96 + [1] * 20, content=[*content, *range(100, 120)]).splits()
    assert sorted(place for part in parts_of(splits) for place in part) == list(range(116))
    numbers = [{[*content, *range(100, 120)][place] for place in part} for part in parts_of(splits)]
    assert all(not a & b for number, a in enumerate(numbers) for b in numbers[:number])
    assert counts(splits) == [[58, 12], [19, 4], [19, 4]]
    assert "images that equal another, byte for byte: 45; equal ones lie in one split" in splits.notes


def test_images_of_one_group_lie_in_one_split_and_hang_together_by_equal_ones() -> None:
    """Groups of many sizes with images of two classes; image 0 of one group equals image 99 of another."""
    source = np.random.default_rng(0)
    groups = [f"patient {number}" for number in source.integers(25, size=100)]
    content = [*range(99), 0]
    data = listing(source.integers(2, size=100).tolist(), content=content, groups=groups)
    splits = data.splits()
    where = {place: part for part, places in enumerate(parts_of(splits)) for place in places}
    assert len(where) == 100
    assert all(len({where[p] for p in range(100) if groups[p] == name}) == 1 for name in groups)
    assert where[0] == where[99]
    for part in counts(splits)[1:]:
        assert all(6 <= count <= 12 for count in part), "a fifth of about fifty"
    assert any("images of one group lie in one split: 25 groups" in note for note in splits.notes)
    assert parts_of(data.splits()) == parts_of(splits)


def test_groups_of_one_image_each_are_no_groups_of_few() -> None:
    splits = listing([0, 1] * 10, groups=[str(number) for number in range(20)]).splits()
    assert counts(splits) == [[6, 6], [2, 2], [2, 2]]


def test_a_group_that_has_nearly_all_images_of_a_class_stays_in_training() -> None:
    groups = ["large"] * 20 + ["a", "b"] + [str(number) for number in range(22)]
    splits = listing([0] * 22 + [1] * 22, groups=groups).splits()
    assert counts(splits)[0][0] == 20


@pytest.mark.parametrize(("groups", "count"), [(["a"] * 5 + ["b"] * 5, 2), (["a"] * 10, 1)])
def test_a_class_of_too_few_groups_is_refused(groups: list[str], count: int) -> None:
    data = listing([0] * 10 + [1] * 10, groups=groups + [str(number) for number in range(10)])
    with pytest.raises(
        UsageError, match=f"class 0 in here: 10 in {count} groups, of which none can be held out for"
    ) as e:
        data.splits()
    assert "3 groups or more of each class" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_group_in_two_given_parts_is_refused() -> None:
    data = listing([0, 1] * 10, groups=["a"] * 10 + ["b"] * 10)
    parts = {part: Found(part, places) for part, places in zip(PARTS, np.split(np.arange(20), [6, 14]), strict=True)}
    with pytest.raises(
        UsageError, match="here has images of group a in train and in validation; all images of a group"
    ):
        replace(data, parts=parts).splits()
    even = {part: Found(part, places) for part, places in zip(PARTS[:2], np.split(np.arange(20), [10]), strict=True)}
    assert len(replace(data, parts={**even, "test": Found("test", np.arange(0))}).parts) == 3


def test_units_are_held_out_to_about_the_share() -> None:
    source = np.random.default_rng(1)
    units = source.integers(200, size=2000)
    labels = units % 10
    stay, held = hold_out_together(np.arange(2000), labels, units, share=0.2, keep=2)
    assert sorted([*stay, *held]) == list(range(2000))
    assert not set(units[stay]) & set(units[held])
    wanted = np.bincount(labels) / 5
    assert np.abs(np.bincount(labels[held]) - wanted).max() <= 7
    assert torch.equal(torch.from_numpy(stay), torch.from_numpy(np.sort(stay)))
