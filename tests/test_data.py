"""Digits, their splits, preprocessing, augmentation against a per-image reference, and the batches of an epoch."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from convatlas.data import load_data
from convatlas.data.augment import random_flip, random_resized_crop
from convatlas.data.loader import EvaluationBatches, TrainingBatches, augmented, epoch_seed, steps_per_epoch
from convatlas.data.preprocessing import Preprocessing, channel_statistics
from convatlas.errors import UsageError
from convatlas.recipes import recipe

DIGITS = load_data("digits")
SPLITS = (DIGITS.train, DIGITS.validation, DIGITS.test)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_digits_are_split_without_overlap() -> None:
    assert [len(split) for split in SPLITS] == [1077, 360, 360]
    everything = torch.cat([split.index for split in SPLITS])
    assert torch.equal(everything.sort().values, torch.arange(1797))


def test_digits_are_stratified() -> None:
    whole = torch.cat([split.labels for split in SPLITS]).bincount() / 1797
    for split in SPLITS:
        assert torch.allclose(split.labels.bincount() / len(split), whole, atol=1.5 / len(split))


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    source = load_digits()
    for split in SPLITS:
        assert split.images.dtype == torch.uint8
        assert split.images.shape[1:] == (1, 8, 8)
        expected = source.images[split.index.numpy()]
        assert np.array_equal(np.rint(split.images[:, 0].numpy() * (16 / 255)), expected)
        assert np.array_equal(split.labels.numpy(), source.target[split.index.numpy()])


def test_the_split_hash_is_stable_and_sees_a_swap() -> None:
    assert DIGITS.split_hash == load_data("digits").split_hash == "003446f167bf540f"
    swapped = dataclasses.replace(DIGITS, validation=DIGITS.test, test=DIGITS.validation)
    assert swapped.split_hash != DIGITS.split_hash


def test_unknown_data_shows_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean digits"):
        load_data("digit")


# ------------------------------------------------------------------------------------------------------ preprocessing


def test_normalisation_gives_mean_0_and_std_1() -> None:
    mean, std = channel_statistics(DIGITS.train.images)
    images = Preprocessing(8, mean, std)(DIGITS.train.images)
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_statistics_by_hand() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 0.0))


def test_one_channel_is_repeated() -> None:
    images = Preprocessing(16, (0.0,) * 3, (1.0,) * 3)(DIGITS.train.images[:4])
    assert images.shape == (4, 3, 16, 16)
    assert torch.equal(images[:, 0], images[:, 2])


def test_resize_keeps_a_flat_image_and_the_corners() -> None:
    flat = torch.full((1, 1, 8, 8), 100, dtype=torch.uint8)
    assert torch.allclose(Preprocessing(20, (0.0,), (1.0,))(flat), torch.tensor(100 / 255))
    corner = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    corner[..., 0, 0] = 255
    resized = Preprocessing(16, (0.0,), (1.0,))(corner)
    assert resized[0, 0, 0, 0] == 1
    assert resized[0, 0, 4:, :].abs().max() == 0


# ------------------------------------------------------------------------------------------------------- augmentation


def test_crop_of_the_whole_image_changes_nothing() -> None:
    images = torch.rand(5, 3, 8, 8, generator=generator())
    same = random_resized_crop(images, scale=(1.0, 1.0), ratio=(1.0, 1.0), generator=generator())
    assert torch.allclose(same, images, atol=1e-6)


def reference_crop(image: torch.Tensor, top: float, left: float, height: float, width: float) -> torch.Tensor:
    """One image (C, H, W) cropped and resized pixel by pixel, bilinear, pixel centres at halves, borders repeated."""
    _, rows, columns = image.shape
    out = torch.empty_like(image)
    for i in range(rows):
        for j in range(columns):
            y = min(max(top + (i + 0.5) * height / rows - 0.5, 0), rows - 1)
            x = min(max(left + (j + 0.5) * width / columns - 0.5, 0), columns - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, rows - 1), min(x0 + 1, columns - 1)
            a, b = y - y0, x - x0
            above = (1 - b) * image[:, y0, x0] + b * image[:, y0, x1]
            below = (1 - b) * image[:, y1, x0] + b * image[:, y1, x1]
            out[:, i, j] = (1 - a) * above + a * below
    return out


def test_crop_equals_the_per_image_reference() -> None:
    """The batch's draws are repeated in the same order, then each image is cropped by two loops over its pixels."""
    images = torch.rand(6, 2, 9, 7, generator=generator(1))
    scale, ratio = (0.3, 1.0), (0.7, 1.4)
    batch = random_resized_crop(images, scale=scale, ratio=ratio, generator=generator(2))
    draws = generator(2)
    area = scale[0] + (scale[1] - scale[0]) * torch.rand(6, generator=draws)
    aspect = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * torch.rand(6, generator=draws))
    height = (area / aspect).sqrt().clamp(max=1) * 9
    width = (area * aspect).sqrt().clamp(max=1) * 7
    top = torch.rand(6, generator=draws) * (9 - height)
    left = torch.rand(6, generator=draws) * (7 - width)
    for k in range(6):
        expected = reference_crop(images[k], *(float(v[k]) for v in (top, left, height, width)))
        assert torch.allclose(batch[k], expected, atol=1e-5)


def test_crop_draws_an_own_rectangle_for_every_image() -> None:
    """A ramp's slope is the crop's length: uniform area, log-uniform aspect, and different in every image."""
    ramp = torch.arange(32.0).expand(4000, 1, 32, 32)
    wide = random_resized_crop(ramp, scale=(0.5, 0.9), ratio=(0.9, 1.1), generator=generator())
    high = random_resized_crop(ramp.transpose(2, 3), scale=(0.5, 0.9), ratio=(0.9, 1.1), generator=generator())
    width = (wide[:, 0, 16, 20] - wide[:, 0, 16, 12]) / 8
    height = (high[:, 0, 20, 16] - high[:, 0, 12, 16]) / 8
    area, aspect = width * height, width / height
    assert area.min() >= 0.5 - 1e-3
    assert area.max() <= 0.9 + 1e-3
    assert area.mean().item() == pytest.approx(0.7, abs=0.01)
    assert area.std().item() == pytest.approx(0.4 / math.sqrt(12), rel=0.05)
    assert aspect.log().mean().item() == pytest.approx(0, abs=0.005)
    assert aspect.max() <= 1.1 + 1e-3
    assert len(width.unique()) > 3900


def test_a_recipes_flip_and_crop_are_applied() -> None:
    images = torch.rand(64, 1, 8, 8, generator=generator())
    flipped = augmented(images, recipe=recipe("quick").replaced(crop="none", flip=1.0), generator=generator())
    assert torch.equal(flipped, images.flip(-1))
    same = augmented(images, recipe=recipe("quick").replaced(crop="none"), generator=generator())
    assert torch.equal(same, images)
    cropped = augmented(images, recipe=recipe("quick"), generator=generator())
    assert not torch.allclose(cropped, images, atol=0.01)


def test_shrinking_averages_over_all_pixels() -> None:
    """Without antialiasing the single bright pixel of a block would be missed, or counted twice."""
    bright = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    bright[..., 1, 1] = 255
    small = Preprocessing(4, (0.0,), (1.0,))(bright)
    assert small.sum().item() == pytest.approx(1 / 16, rel=0.25)


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.rand(2000, 1, 4, 4, generator=generator())
    flipped = random_flip(images, probability=0.5, generator=generator())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert torch.all(mirrored ^ kept)
    assert 900 < int(mirrored.sum()) < 1100


# ------------------------------------------------------------------------------------------------------------ batches


def batches(*, seed: int = 0, epoch: int = 0, **changes: object) -> TrainingBatches:
    mean, std = channel_statistics(DIGITS.train.images)
    return TrainingBatches(
        DIGITS.train,
        recipe=recipe("quick").replaced(**changes),
        preprocessing=Preprocessing(8, mean, std),
        seed=seed,
        epoch=epoch,
    )


def test_an_epoch_shows_every_image_at_most_once() -> None:
    loader = batches(crop="none", batch_size=64)
    images = torch.cat([images for images, _ in loader])
    assert len(images) == 16 * 64
    assert len(images.flatten(1).unique(dim=0)) >= 1020  # a few digits look alike to the pixel


def test_without_drop_last_every_image_is_there() -> None:
    loader = batches(crop="none", batch_size=64, drop_last=False)
    labels = torch.cat([labels for _, labels in loader])
    assert len(loader) == 17
    assert torch.equal(labels.sort().values, DIGITS.train.labels.sort().values)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first, again, other_epoch, other_seed = (
        next(iter(batches(seed=seed, epoch=epoch)))[0] for seed, epoch in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other_epoch)
    assert not torch.equal(first, other_seed)


def test_epoch_seeds_do_not_meet() -> None:
    seeds = {epoch_seed(seed, epoch) for seed in range(50) for epoch in range(1000)}
    assert len(seeds) == 50_000


def test_a_small_set_is_one_step() -> None:
    assert steps_per_epoch(10, recipe("quick")) == 1
    assert steps_per_epoch(32, recipe("quick")) == 1
    assert steps_per_epoch(65, recipe("quick")) == 2
    assert steps_per_epoch(65, recipe("quick").replaced(drop_last=False)) == 3


def test_evaluation_batches_hold_all_in_order() -> None:
    loader = EvaluationBatches(DIGITS.test, batch_size=100)
    assert len(loader) == 4
    assert torch.equal(torch.cat([labels for _, labels in loader]), DIGITS.test.labels)
