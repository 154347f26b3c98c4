"""Colour jitter: the hue against Python's colorsys, each image with draws and an order of its own, and the recipe."""

from __future__ import annotations

import colorsys

import pytest
import torch
from torch import Tensor

from convatlas.data import load_data
from convatlas.data.augmentation.draws import Draws, changed
from convatlas.data.augmentation.jitter import jittered, turned_hue
from convatlas.data.augmentation.rand_augment import brightness, color, contrast
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.fitting import check_fit
from convatlas.data.images.resident import ResidentImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import recipe


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def colours(count: int = 6, channels: int = 3) -> Tensor:
    """Noise, with grey pixels, black, white, and pixels of two equal channels."""
    images = torch.rand(count, channels, 6, 5, generator=generator(1))
    images[:, :, 0, 0] = 0.4
    images[:, :, 0, 1], images[:, :, 0, 2] = 0, 1
    images[:, -1, 1] = images[:, 0, 1]
    images[:, -2:, 2] = images.amax((1, 2, 3)).view(-1, 1, 1)
    return images


def test_the_hue_is_that_of_colorsys() -> None:
    images, turns = colours().double(), torch.tensor([-0.5, -0.13, 0.0, 0.07, 0.31, 0.5], dtype=torch.float64)
    turned = turned_hue(images, turns)
    for image, turn, ours in zip(images, turns.tolist(), turned, strict=True):
        for pixel, found in zip(image.flatten(1).t().tolist(), ours.flatten(1).t().tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            assert found == pytest.approx(colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value), abs=1e-9)
    assert torch.allclose(turned[2], images[2], atol=1e-12)
    assert torch.allclose(turned_hue(turned, 1 - turns), images, atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_is_each_image_changed_alone(channels: int) -> None:
    """The draws repeated by hand: amounts and the order of the changes of each image."""
    images = colours(60, channels)
    before = images.clone()
    batch = jittered(images, strength=0.4, hue=0.1, generator=generator(3))
    assert torch.equal(images, before)
    draws = generator(3)
    amounts = 2 * torch.rand(60, 4, generator=draws) - 1
    orders = torch.rand(60, 4, generator=draws).argsort(1).tolist()
    assert len(set(map(tuple, orders))) > 15  # of 24
    for k, order in enumerate(orders):
        expected = images[k : k + 1]
        for number in order:
            drawn = amounts[k, number].view(1)
            change = (brightness, contrast, color, turned_hue)[number]
            expected = change(expected, 0.1 * drawn if number == 3 else 1 + 0.4 * drawn)
        assert torch.allclose(batch[k], expected[0], atol=1e-6), k
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_the_factors_fill_their_ranges() -> None:
    grey = torch.full((4_000, 3, 2, 2), 0.5)  # saturation, contrast and hue leave it alone
    means = jittered(grey, strength=0.4, hue=0.0, generator=generator()).mean((1, 2, 3))
    assert means.min() == pytest.approx(0.3, abs=1e-3)
    assert means.max() == pytest.approx(0.7, abs=1e-3)
    assert means.mean() == pytest.approx(0.5, abs=0.01)
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(4_000, 3, 2, 2)
    turned = jittered(red, strength=0.0, hue=1 / 6, generator=generator())
    assert turned[:, 0].min() == 1  # no further than yellow and magenta
    assert turned[:, 1:].amax((0, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-2)


def test_a_recipe_jitters_before_normalisation_and_draws_nothing_without() -> None:
    images, plain = colours(), recipe("uva_sgd").replaced(crop="none", flip=0.0, crop_scale=(0.8, 1.0), batch_size=6)
    assert torch.equal(changed(images, Draws(), recipe=plain, generator=generator()), images)
    chosen = plain.replaced(jitter=0.4, hue=0.05)
    expected = jittered(images, strength=0.4, hue=0.05, generator=generator())
    assert torch.equal(changed(images, Draws(), recipe=chosen, generator=generator()), expected)
    assert "jitter 0.4, hue 0.05" in chosen.summary()
    after = generator()
    changed(images, Draws(), recipe=plain, generator=after)
    assert torch.equal(after.get_state(), generator().get_state())


def test_jitter_of_many_channels_is_refused_and_grey_images_are_jittered() -> None:
    with pytest.raises(UsageError, match=r"jitter=0\.4 is for images of 1 or 3 channels, not 4"):
        check_fit(recipe("imagenet"), image_size=224, in_channels=4)
    with pytest.raises(UsageError, match=r"hue=0\.1 is for images of 1 or 3 channels, not 4"):
        check_fit(recipe("quick").replaced(hue=0.1), image_size=16, in_channels=4)
    check_fit(recipe("imagenet"), image_size=224, in_channels=1)


def test_the_shorter_side_is_of_evaluation_and_a_random_crop_takes_the_whole_image() -> None:
    """Images of 8 pixels: evaluation cuts the middle 4 of them, and the whole image is the only crop that is drawn."""
    pixels = torch.randint(256, (6, 3, 8, 8), generator=generator(), dtype=torch.uint8)
    images = ResidentImages(pixels, torch.zeros(6, dtype=torch.int64), torch.arange(6))
    chosen = recipe("imagenet").replaced(
        image_size=4, shorter_side=8, jitter=0.0, crop_scale=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0, batch_size=6
    )
    assert chosen.images.shorter_side == 8
    seen = Preprocessing(4, (0.0,) * 3, (1.0,) * 3, shorter_side=8)
    assert torch.equal(images.batch(torch.arange(6), preprocessing=seen), pixels[:, :, 2:6, 2:6].float() / 255)
    batches = TrainingBatches(images, recipe=chosen, preprocessing=seen, num_classes=1, seed=0)
    ((trained, _),) = batches
    order = torch.randperm(6, generator=generator())
    assert torch.allclose(trained, seen.whole.resize(pixels[order]), atol=1e-5)
    centres = TrainingBatches(
        images,
        recipe=chosen.replaced(crop="none", crop_scale=(0.8, 1.0), crop_ratio=(0.9, 1.1)),
        preprocessing=seen,
        num_classes=1,
        seed=0,
    )
    assert torch.equal(next(iter(centres))[0], pixels[order][:, :, 2:6, 2:6].float() / 255)


def test_digits_may_be_jittered() -> None:
    data = load_data("digits")
    chosen = recipe("quick").replaced(jitter=0.4, hue=0.1, image_size=8)
    batches = TrainingBatches(
        data.train, recipe=chosen, preprocessing=Preprocessing(8, (0.0,), (1.0,)), num_classes=10, seed=0
    )
    images = next(iter(batches))[0]
    assert images.shape == (32, 1, 8, 8)
    assert 0 <= images.min() < images.max() <= 1
