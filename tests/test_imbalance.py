"""Rare and frequent classes: balanced sampling, and the scores that count each class alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas.cli.runs import _print_run as print_run
from convatlas.data import DataSet, load_data
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.batches.order import balanced_order
from convatlas.data.fitting import fit_recipe
from convatlas.data.images.resident import ResidentImages, unlabelled
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, recipe
from fixtures import write_fake_run


def order_of(labels: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return balanced_order(labels, generator=torch.Generator().manual_seed(seed))


def test_each_class_and_each_image_of_a_class_comes_equally_often() -> None:
    labels = torch.tensor([2] * 70 + [0] * 5 + [5] * 26)  # three classes of six occur
    places = order_of(labels)
    assert len(places) == 101
    assert sorted(labels[places].bincount(minlength=6).tolist()) == [0, 0, 0, 33, 34, 34]
    for label in (0, 2, 5):
        members = torch.nonzero(labels == label).flatten()
        times = places.bincount(minlength=101)[members]
        assert times.max() - times.min() <= 1
    assert not torch.equal(labels[places].sort().values, labels[places])  # shuffled


def test_equal_classes_are_a_plain_shuffle() -> None:
    labels = torch.arange(60) % 4
    assert torch.equal(order_of(labels).sort().values, torch.arange(60))


def test_left_over_places_go_to_drawn_classes_and_epochs_differ() -> None:
    labels = torch.arange(11) % 4  # 3, 3, 3, 2 images: two places more for each class, three left over
    shares = [tuple(labels[order_of(labels, seed)].bincount(minlength=4).tolist()) for seed in range(40)]
    assert set(shares) == {(3, 3, 3, 2), (3, 3, 2, 3), (3, 2, 3, 3), (2, 3, 3, 3)}
    assert torch.equal(order_of(labels, 7), order_of(labels, 7))
    assert not torch.equal(order_of(labels, 7), order_of(labels, 8))


def test_more_classes_than_images_of_a_share() -> None:
    """Nothing is asked of a class whose share is 0: one image of each of three classes, and one place for each."""
    assert sorted(order_of(torch.tensor([0, 1, 2])).tolist()) == [0, 1, 2]


def uneven(data: DataSet) -> DataSet:
    """The digits, with 6 of the ones to nines for each 100 zeros in training."""
    labels = data.train.labels
    assert isinstance(labels, torch.Tensor)
    by_class = [torch.nonzero(labels == label).flatten() for label in range(10)]
    kept = torch.cat([by_class[0], *(places[:6] for places in by_class[1:])])
    assert isinstance(data.train, ResidentImages)
    train = ResidentImages(data.train.pixels[kept], labels[kept], data.train.index[kept])
    return DataSet(data.spec, train, data.validation, data.test)


def balanced(**changes: Any) -> Recipe:
    return recipe("quick").replaced(sampling="balanced", batch_size=16, epochs=2, **changes)


def test_a_recipe_balances_the_batches() -> None:
    data = uneven(load_data("digits"))
    chosen = balanced()
    assert "sampling balanced" in chosen.summary()
    batches = TrainingBatches(
        data.train, recipe=chosen, preprocessing=Preprocessing(16, (0.5,), (0.5,)), num_classes=10, seed=0
    )
    counts = torch.cat([targets for _, targets in batches]).bincount(minlength=10)
    assert counts.sum() == len(batches) * 16
    assert counts.max() - counts.min() <= 5  # the last, smaller batch is left out


def test_a_note_says_how_often_the_rarest_images_come() -> None:
    digits = load_data("digits")
    assert fit_recipe(balanced(), data=digits, in_channels=1)[1] == ()
    notes = fit_recipe(balanced(), data=uneven(digits), in_channels=1)[1]
    assert notes == ("sampling=balanced: each of the 6 images of 1 comes about 3 times in an epoch",)  # 161 / 10 / 6


def test_images_without_classes_cannot_be_balanced() -> None:
    with pytest.raises(UsageError, match="sampling=balanced in the recipe needs the class of each image"):
        TrainingBatches(
            unlabelled(torch.zeros(4, 1, 8, 8, dtype=torch.uint8)),
            recipe=balanced(),
            preprocessing=Preprocessing(8, (0.5,), (0.5,)),
            num_classes=2,
            seed=0,
        )
    digits = load_data("digits")
    nameless = DataSet(digits.spec, unlabelled(torch.zeros(40, 1, 8, 8, dtype=torch.uint8)), *[digits.validation] * 2)
    with pytest.raises(UsageError, match="sampling=balanced in the recipe needs the class of each image"):
        fit_recipe(balanced(), data=nameless, in_channels=1)


def test_weights_and_sampling_do_not_go_together() -> None:
    with pytest.raises(UsageError, match="class_weights=balanced makes no sense; it must be none with sampling"):
        balanced(class_weights="balanced")


@pytest.mark.parametrize(("imbalance", "said"), [(1.06, False), (4.0, True)])
def test_train_says_more_than_the_accuracy_of_imbalanced_classes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, imbalance: float, said: bool
) -> None:
    scores = {"test_top1": 0.9, "test_balanced_accuracy": 0.5, "test_macro_f1": 0.45, "test_imbalance": imbalance}
    print_run(write_fake_run(tmp_path / "run", "lenet5", results={**scores, "train_seconds": 4.0}), note="")
    assert (", 4.0 s, balanced accuracy 50.00 %, macro F1 45.00 %\n" in capsys.readouterr().out) == said
