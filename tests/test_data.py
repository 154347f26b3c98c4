"""Digits, their splits, preprocessing, augmentation against a per-image reference, and the batches of an epoch."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from convatlas.data import load_data
from convatlas.data.augmentation.crops import (
    crop_rectangles,
    draw_mirrored,
    draw_places,
    mirrored_where,
    padded_crop,
    read_places,
    resized_crop,
)
from convatlas.data.augmentation.draws import changed, draw
from convatlas.data.batches.loader import EvaluationBatches, TrainingBatches, augmented_images
from convatlas.data.epoch import epoch_seed, steps_per_epoch
from convatlas.data.images import resident
from convatlas.data.preprocessing import Preprocessing, channel_statistics
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, recipe

DIGITS = load_data("digits")
SPLITS = (DIGITS.train, DIGITS.validation, DIGITS.test)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmented(images: torch.Tensor, *, recipe: Recipe, generator: torch.Generator) -> torch.Tensor:
    """Float images as those of one batch are changed."""
    count, _, height, width = images.shape
    drawn = draw(count, height, width, recipe=recipe, generator=generator, device=images.device)
    return changed(images, drawn, recipe=recipe, generator=generator)


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
        assert split.pixels.dtype == torch.uint8
        assert split.pixels.shape[1:] == (1, 8, 8)
        expected = source.images[split.index.numpy()]
        assert np.array_equal(np.rint(split.pixels[:, 0].numpy() * (16 / 255)), expected)
        assert np.array_equal(split.labels.numpy(), source.target[split.index.numpy()])


def test_the_split_hash_is_stable_and_sees_a_swap() -> None:
    assert DIGITS.split_hash == load_data("digits").split_hash == "003446f167bf540f"
    swapped = dataclasses.replace(DIGITS, validation=DIGITS.test, test=DIGITS.validation)
    assert swapped.split_hash != DIGITS.split_hash


def test_other_pixels_are_another_data_set() -> None:
    """A compressed copy has the same places and labels, hence the same split, and other images."""
    black = dataclasses.replace(DIGITS.test, pixels=torch.zeros_like(DIGITS.test.pixels))
    copy = dataclasses.replace(DIGITS, test=black)
    assert copy.split_hash == DIGITS.split_hash
    assert copy.images_hash != DIGITS.images_hash == load_data("digits").images_hash


def test_unknown_data_shows_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean digits"):
        load_data("digit")


# ------------------------------------------------------------------------------------------------------ preprocessing


def test_normalisation_gives_mean_0_and_std_1() -> None:
    mean, std = channel_statistics(DIGITS.train.pixels)
    images = Preprocessing(8, mean, std)(DIGITS.train.pixels)
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std(correction=0).item() == pytest.approx(1, abs=1e-5)


def test_statistics_by_hand() -> None:
    images = torch.tensor([[[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    mean, std = channel_statistics(images)
    assert mean == pytest.approx((0.5, 0.2))
    assert std == pytest.approx((0.5, 0.0))


def test_one_channel_is_repeated() -> None:
    images = Preprocessing(16, (0.0,) * 3, (1.0,) * 3)(DIGITS.train.pixels[:4])
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


def random_resized_crop(
    images: torch.Tensor, *, scale: tuple[float, ...], ratio: tuple[float, ...], generator: torch.Generator
) -> torch.Tensor:
    """A random rectangle of every image, resized to the image's size."""
    count, _, height, width = images.shape
    rectangles = crop_rectangles(count, height, width, scale=scale, ratio=ratio, generator=generator)
    return resized_crop(images, *read_places(rectangles.float(), height, width))


def random_flip(images: torch.Tensor, *, probability: float, generator: torch.Generator) -> torch.Tensor:
    return mirrored_where(images, draw_mirrored(len(images), probability=probability, generator=generator))


def test_crop_of_the_whole_image_changes_nothing() -> None:
    images = torch.rand(5, 3, 8, 8, generator=generator())
    same = random_resized_crop(images, scale=(1.0, 1.0), ratio=(1.0, 1.0), generator=generator())
    assert torch.allclose(same, images, atol=1e-6)


def reference_rectangle(
    height: int, width: int, scale: tuple[float, ...], ratio: tuple[float, ...], draws: Iterator[float]
) -> tuple[int, int, int, int]:
    """Top, left, height and width for one image, one try after another, as torchvision's RandomResizedCrop has it."""
    for _ in range(10):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * next(draws))
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * next(draws))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(next(draws) * (height - h + 1)), int(next(draws) * (width - w + 1)), h, w
    h, w = height, width
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return (height - h) // 2, (width - w) // 2, h, w


def uniform_draws(seed: int) -> Iterator[float]:
    source = random.Random(seed)
    while True:
        yield source.random()


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (32, 32, (0.8, 1.0), (0.9, 1.1)),  # the tutorial's; one draw in seven does not fit
        (8, 8, (0.5, 1.0), (0.9, 1.1)),
        (12, 20, (0.3, 1.0), (0.5, 1.0)),  # mostly too high: several draws are needed, at times the central one
    ],
)
def test_rectangles_are_distributed_as_the_reference_draws_them(
    height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    """Each side's and each offset's frequencies over 20,000 images, within five standard errors of the difference."""
    count, draws = 20_000, uniform_draws(1)
    reference = np.array([reference_rectangle(height, width, scale, ratio, draws) for _ in range(count)])
    ours = crop_rectangles(count, height, width, scale=scale, ratio=ratio, generator=generator()).numpy()
    for column, name in enumerate(("top", "left", "height", "width")):
        ours_share, share = (np.bincount(a[:, column].astype(int), minlength=33) / count for a in (ours, reference))
        error = np.sqrt((ours_share * (1 - ours_share) + share * (1 - share)) / count)
        assert np.all(np.abs(ours_share - share) <= 5 * error + 1e-9), name
    pairs = [np.corrcoef(a[:, 2], a[:, 3])[0, 1] for a in (ours, reference)]
    assert pairs[0] == pytest.approx(pairs[1], abs=0.03)


def test_rectangles_are_those_of_the_reference_draw_by_draw() -> None:
    """The same random numbers in the same places give the same rectangles, one image after another."""
    scale, ratio, count = (0.6, 1.0), (0.5, 1.5), 500
    ours = crop_rectangles(count, 12, 20, scale=scale, ratio=ratio, generator=generator(3))
    source = generator(3)
    areas, aspects = (torch.rand(count, 10, generator=source, dtype=torch.float64) for _ in range(2))
    places = torch.rand(count, 2, generator=source, dtype=torch.float64)
    retried = 0
    for k in range(count):
        tries = zip(areas[k].tolist(), aspects[k].tolist(), strict=True)
        fitting = None
        for turn, (a, b) in enumerate(tries):
            area, aspect = 240 * (0.6 + 0.4 * a), 0.5 * 3**b
            fitting = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if fitting[0] <= 12 and fitting[1] <= 20:
                retried += turn > 0
                break
        else:
            fitting = None
        if fitting is None:
            expected = [0, (20 - 18) // 2, 12, 18]
        else:
            expected = [int(places[k, 0] * (13 - fitting[0])), int(places[k, 1] * (21 - fitting[1])), *fitting]
        assert ours[k].tolist() == expected
    assert retried > 50


def test_where_nothing_fits_the_central_rectangle_is_taken() -> None:
    def crop(height: int, width: int, ratio: tuple[float, float]) -> list[float]:
        found = crop_rectangles(3, height, width, scale=(1.0, 1.0), ratio=ratio, generator=generator())
        assert torch.equal(found[0], found[2])
        return found[0].tolist()

    assert crop(10, 40, (1.0, 2.0)) == [0, 10, 10, 20]
    assert crop(40, 10, (0.5, 1.0)) == [10, 0, 20, 10]
    assert crop(30, 30, (1.2, 2.0)) == [2, 0, 25, 30]
    assert crop(20, 20, (0.5, 0.7)) == [0, 3, 20, 14]


def reference_crop(image: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    """One image (C, H, W) cropped, then resized by torch, bilinear with antialiasing as Pillow has it."""
    part = image[None, :, top : top + height, left : left + width]
    return F.interpolate(part, size=image.shape[1:], mode="bilinear", antialias=True)[0]


def test_crop_equals_the_per_image_reference() -> None:
    images = torch.rand(40, 2, 12, 9, generator=generator(1))
    scale, ratio = (0.3, 1.0), (0.7, 1.4)
    batch = random_resized_crop(images, scale=scale, ratio=ratio, generator=generator(2))
    rectangles = crop_rectangles(40, 12, 9, scale=scale, ratio=ratio, generator=generator(2))
    assert len(rectangles.unique(dim=0)) > 30
    for image, cropped, rectangle in zip(images, batch, rectangles.int().tolist(), strict=True):
        assert torch.allclose(cropped, reference_crop(image, *rectangle), atol=1e-5)


def test_crop_equals_pillow_to_the_rounding() -> None:
    """Pillow, which the tutorial crops with, rounds to 8 bits after each direction: at most one step apart."""
    images = torch.randint(256, (20, 3, 32, 32), generator=generator(4), dtype=torch.uint8)
    ours = random_resized_crop(images.float() / 255, scale=(0.8, 1.0), ratio=(0.9, 1.1), generator=generator(5))
    rectangles = crop_rectangles(20, 32, 32, scale=(0.8, 1.0), ratio=(0.9, 1.1), generator=generator(5))
    for image, cropped, (top, left, height, width) in zip(images, ours, rectangles.int().tolist(), strict=True):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        box = (left, top, left + width, top + height)
        resized = picture.crop(box).resize((32, 32), Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()
        assert (cropped * 255 - expected).abs().max() <= 1.05


def test_padded_crop_equals_the_per_image_reference() -> None:
    """Each image is cut by hand out of a black frame of 4 pixels; 81 places, all taken about equally often."""
    images = torch.rand(4050, 2, 6, 7, generator=generator(1)) + 0.1
    places = draw_places(4050, free=8, generator=generator(2))
    batch, (tops, lefts) = padded_crop(images, places), places.T.tolist()
    for k in range(0, 4050, 45):
        frame = torch.zeros(2, 14, 15)
        frame[:, 4:10, 4:11] = images[k]
        assert torch.equal(batch[k], frame[:, tops[k] : tops[k] + 6, lefts[k] : lefts[k] + 7])
    black_rows = [int((image.sum(0) == 0).all(1).sum()) for image in batch]
    assert max(black_rows) == 4
    counts = np.bincount([9 * top + left for top, left in zip(tops, lefts, strict=True)], minlength=81)
    assert counts.min() > 20
    assert counts.max() < 90


def test_the_recipe_chooses_the_crop() -> None:
    whole = torch.ones(64, 1, 8, 8)
    chosen = {crop: recipe("quick").replaced(crop=crop) for crop in ("none", "pad4")}
    padded = augmented(whole, recipe=chosen["pad4"], generator=generator())
    assert torch.equal(augmented(whole, recipe=chosen["none"], generator=generator()), whole)
    assert torch.equal(padded, padded_crop(whole, draw_places(64, free=8, generator=generator())))
    assert padded.min() == 0


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


def test_images_that_are_mirrored_and_cut_at_once() -> None:
    """As mirrored first and cut then, bit for bit, with the same draws."""
    images = torch.rand(50, 3, 12, 10, generator=generator())
    chosen = recipe("quick").replaced(flip=0.5, crop="resized")
    drawn = generator(7)
    first = random_flip(images, probability=0.5, generator=drawn)
    expected = random_resized_crop(
        first, scale=chosen.images.crop_scale, ratio=chosen.images.crop_ratio, generator=drawn
    )
    assert torch.equal(augmented(images, recipe=chosen, generator=generator(7)), expected)
    assert not torch.equal(first, images)


def test_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.rand(2000, 1, 4, 4, generator=generator())
    flipped = random_flip(images, probability=0.5, generator=generator())
    mirrored = (flipped == images.flip(-1)).flatten(1).all(1)
    kept = (flipped == images).flatten(1).all(1)
    assert torch.all(mirrored ^ kept)
    assert 900 < int(mirrored.sum()) < 1100


# ------------------------------------------------------------------------------------------------------------ batches


def batches(*, seed: int = 0, epoch: int = 0, **changes: object) -> TrainingBatches:
    mean, std = channel_statistics(DIGITS.train.pixels)
    return TrainingBatches(
        DIGITS.train,
        recipe=recipe("quick").replaced(**changes),
        preprocessing=Preprocessing(8, mean, std),
        num_classes=10,
        seed=epoch_seed(seed, epoch),
    )


def test_an_epoch_shows_every_image_at_most_once() -> None:
    taken = batches(crop="none", batch_size=64)
    images = torch.cat([images for images, _ in taken])
    assert len(images) == 16 * 64
    assert len(images.flatten(1).unique(dim=0)) >= 1020  # a few digits look alike to the pixel


def test_without_drop_last_every_image_is_there() -> None:
    taken = batches(crop="none", batch_size=64, drop_last=False)
    labels = torch.cat([labels for _, labels in taken])
    assert len(taken) == 17
    assert torch.equal(labels.sort().values, DIGITS.train.labels.sort().values)


@pytest.mark.parametrize("crop", ["resized", "pad4", "none"])
def test_each_image_is_changed_as_it_was_drawn(crop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the images of several batches were one: three batches a block, and the last has two, one of them small."""
    monkeypatch.setattr(resident, "DRAWN_TOGETHER", 3)
    taken = batches(seed=4, crop=crop, flip=0.5, batch_size=64, drop_last=False)
    source, expected = generator(epoch_seed(4, 0)), []
    for block in torch.randperm(len(DIGITS.train), generator=source).split(3 * 64):
        images = taken.stage.preprocessing.resize(DIGITS.train.pixels[block])
        images = augmented(images, recipe=taken.stage.recipe, generator=source)
        expected.append(taken.stage.preprocessing.normalize(images))
    assert torch.equal(torch.cat([images for images, _ in taken]), torch.cat(expected))


@pytest.mark.parametrize("batch_size", [4, 64])
def test_some_images_are_shown_as_an_epoch_changes_them(batch_size: int) -> None:
    """All together, also where a batch of the recipe holds fewer."""
    chosen = recipe("quick").replaced(batch_size=batch_size, crop="pad4", rand_augment=2, rand_magnitude=9.0)
    preprocessing, places = Preprocessing(12, (0.0,), (1.0,)), torch.tensor([5, 3, 900, 3, 7, 8])
    found = augmented_images(DIGITS.train, places, recipe=chosen, preprocessing=preprocessing, seed=3)
    stored = preprocessing.resize(DIGITS.train.pixels[places])
    assert torch.equal(found, augmented(stored, recipe=chosen, generator=generator(3)))


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
    preprocessing = batches().stage.preprocessing
    taken = EvaluationBatches(DIGITS.test, preprocessing=preprocessing, batch_size=100)
    assert len(taken) == 4
    assert torch.equal(torch.cat([labels for _, labels in taken]), DIGITS.test.labels)
    assert torch.equal(torch.cat([images for images, _ in taken]), preprocessing(DIGITS.test.pixels))
    rest = EvaluationBatches(DIGITS.test, preprocessing=preprocessing, batch_size=100, first=250)
    assert [len(labels) for _, labels in rest] == [100, 10]
