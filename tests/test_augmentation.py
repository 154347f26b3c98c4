"""RandAugment's operations against Pillow, its draws, and cutout, mixup and CutMix against references by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from convatlas.data import load_data
from convatlas.data.augmentation import rand_augment as module
from convatlas.data.augmentation.mixing import cutmix, cutout, mixing_share, mixup
from convatlas.data.augmentation.rand_augment import (
    GREY,
    OPERATIONS,
    Operation,
    autocontrast,
    brightness,
    color,
    contrast,
    equalize,
    posterize,
    rand_augment,
    rotate,
    sharpness,
    shear_x,
    shear_y,
    solarize,
    translate_x,
    translate_y,
)
from convatlas.errors import UsageError
from convatlas.recipe import recipe

HEIGHT, WIDTH = 30, 44


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photographs() -> Tensor:
    """Four parts of two photographs (4, 3, H, W), uint8."""
    from sklearn.datasets import load_sample_image

    parts = []
    for name, top, left in (
        ("china.jpg", 60, 200),
        ("china.jpg", 250, 20),
        ("flower.jpg", 50, 200),
        ("flower.jpg", 0, 0),
    ):
        part = Image.fromarray(load_sample_image(name)).crop((left, top, left + 4 * WIDTH, top + 4 * HEIGHT))
        parts.append(torch.from_numpy(np.array(part.resize((WIDTH, HEIGHT)))))
    return torch.stack(parts).permute(0, 3, 1, 2).contiguous()


def invented() -> Tensor:
    """Noise, little contrast, one flat channel, all flat, two values, a ramp with a peak (6, 3, H, W), uint8."""
    noise = torch.randint(256, (2, 3, HEIGHT, WIDTH), generator=generator(), dtype=torch.uint8)
    noise[1] = noise[1] // 8 + 100
    half_flat = noise[0].clone()
    half_flat[1] = 90
    two = (noise[0] > 100).to(torch.uint8) * 99 + 7
    ramp = (torch.arange(HEIGHT * WIDTH) // 8).clamp(max=140).to(torch.uint8).view(1, HEIGHT, WIDTH).expand(3, -1, -1)
    return torch.stack([*noise, half_flat, torch.full_like(two, 77), two, ramp])


COLOURED = torch.cat([photographs(), invented()])
PIXELS = {"RGB": COLOURED, "grey": COLOURED[:, :1], "digits": load_data("digits").train.pixels[:10]}


def floats(pixels: Tensor) -> Tensor:
    return pixels.float() / 255


def picture(pixels: Tensor) -> Image.Image:
    """uint8 (C, H, W) as Pillow has it."""
    return Image.fromarray((pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).numpy())


def pixels_of(image: Image.Image) -> Tensor:
    pixels = torch.from_numpy(np.array(image))
    return (pixels.unsqueeze(0) if pixels.dim() == 2 else pixels.permute(2, 0, 1)).double()


# ------------------------------------------------------------------------------------------ colours, against Pillow

Change = Callable[[Tensor, Tensor], Tensor]
Reference = Callable[[Image.Image, float], Image.Image]
FACTORS = (0.1, 0.6, 1.0, 1.3, 1.9, 3.5)

# The last number is how many levels the two may lie apart at which amount. Pillow rounds the end result downwards, so
# that ours may be up to a level higher, and before that the grey, the mean or the smoothed image to the nearest level.
AGAINST_PILLOW: dict[str, tuple[Change, Reference, tuple[float, ...], Callable[[float], float]]] = {
    "autocontrast": (lambda i, _: autocontrast(i), lambda i, _: ImageOps.autocontrast(i), (0,), lambda _: 1),
    "equalize": (lambda i, _: equalize(i), lambda i, _: ImageOps.equalize(i), (0,), lambda _: 0),
    "solarize": (solarize, lambda i, t: ImageOps.solarize(i, int(t)), (0, 1, 26, 128, 255, 256), lambda _: 0),
    "posterize": (posterize, lambda i, b: ImageOps.posterize(i, int(b)), (1, 2, 3, 4, 5, 6, 7, 8), lambda _: 0),
    "color": (color, lambda i, f: ImageEnhance.Color(i).enhance(f), FACTORS, lambda f: 1 + abs(1 - f) / 2),
    "contrast": (contrast, lambda i, f: ImageEnhance.Contrast(i).enhance(f), FACTORS, lambda f: 1 + abs(1 - f) / 2),
    "brightness": (brightness, lambda i, f: ImageEnhance.Brightness(i).enhance(f), FACTORS, lambda _: 1),
    "sharpness": (sharpness, lambda i, f: ImageEnhance.Sharpness(i).enhance(f), FACTORS, lambda f: 1 + abs(1 - f) / 2),
}


@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("name", AGAINST_PILLOW)
def test_colours_are_pillows(name: str, kind: str) -> None:
    """Photographs, noise and odd cases, each image with its own amount in the same batch."""
    change, reference, amounts, tolerance = AGAINST_PILLOW[name]
    pixels = PIXELS[kind]
    for turn in range(len(amounts)):
        chosen = [amounts[(k + turn) % len(amounts)] for k in range(len(pixels))]
        ours = change(floats(pixels), torch.tensor(chosen, dtype=torch.float64)) * 255
        assert ours.shape == pixels.shape
        for k, amount in enumerate(chosen):
            theirs = pixels_of(reference(picture(pixels[k]), amount))
            higher = ours[k].double() - theirs
            assert higher.max() <= tolerance(amount) + 1e-3, (k, amount)
            assert -higher.min() <= max(0, tolerance(amount) - 1) + 1e-3, (k, amount)


def test_a_factor_of_0_leaves_grey_black_and_smooth() -> None:
    images, nothing = floats(COLOURED), torch.zeros(len(COLOURED))
    grey = torch.einsum("nchw,c->nhw", images, torch.tensor([0.299, 0.587, 0.114]))
    assert torch.allclose(color(images, nothing), grey.unsqueeze(1).expand_as(images), atol=1e-6)
    assert torch.allclose(contrast(images, nothing)[:, 2, 3, 4], grey.mean((1, 2)), atol=1e-6)
    assert brightness(images, nothing).abs().max() == 0
    smooth = sharpness(images, nothing)
    block = images[..., 4:7, 8:11].sum((2, 3)) + 4 * images[..., 5, 9]
    assert torch.allclose(smooth[..., 5, 9], block / 13, atol=1e-6)
    assert torch.equal(smooth[..., 0, :], images[..., 0, :])


def test_values_between_the_levels_stay_between_them() -> None:
    """Only equalize and posterize round to levels, others keep what a resized image has between them."""
    images = torch.rand(4, 3, 32, 32, generator=generator())
    rounded = (images * 255).round() / 255
    assert torch.equal(equalize(images), equalize(rounded))
    assert not torch.allclose(equalize(images), images, atol=0.01)
    assert torch.equal(posterize(images, torch.full((4,), 5)), posterize(rounded, torch.full((4,), 5)))
    inverted = solarize(images, torch.full((4,), 128))
    assert torch.equal(inverted, torch.where(images >= 127.5 / 255, 1 - images, images))
    assert (brightness(images, torch.full((4,), 0.5)) * 2 - images).abs().max() < 1e-6


# ------------------------------------------------------------------------------------------- places, against Pillow


def affine(image: Image.Image, *rows: float) -> Image.Image:
    grey = 128 if image.mode == "L" else (128, 128, 128)
    return image.transform(image.size, Image.Transform.AFFINE, rows, Image.Resampling.NEAREST, fillcolor=grey)


def turned(image: Image.Image, degrees: float) -> Image.Image:
    return image.rotate(degrees, Image.Resampling.NEAREST, fillcolor=128 if image.mode == "L" else (128, 128, 128))


PLACES: dict[str, tuple[Change, Reference, tuple[float, ...]]] = {
    "rotate": (rotate, turned, (-84.1, -30.3, -3.7, 5.3, 29.9, 61.7)),
    "shear_x": (shear_x, lambda i, r: affine(i, 1, r, 0, 0, 1, 0), (-0.831, -0.2897, -0.0313, 0.1713, 0.2897)),
    "shear_y": (shear_y, lambda i, r: affine(i, 1, 0, 0, r, 1, 0), (-0.831, -0.2897, -0.0313, 0.1713, 0.2897)),
    "translate_x": (translate_x, lambda i, p: affine(i, 1, 0, -p * i.width, 0, 1, 0), (-0.453, -0.1037, 0.0301, 0.271)),
    "translate_y": (translate_y, lambda i, p: affine(i, 1, 0, 0, 0, 1, -p * i.height), (-0.453, -0.107, 0.0301, 0.271)),
}


@pytest.mark.parametrize("kind", PIXELS)
@pytest.mark.parametrize("name", PLACES)
def test_places_are_pillows_to_the_pixel(name: str, kind: str) -> None:
    change, reference, amounts = PLACES[name]
    pixels = PIXELS[kind]
    chosen = [amounts[k % len(amounts)] for k in range(len(pixels))]
    moved = change(floats(pixels), torch.tensor(chosen, dtype=torch.float64)) * 255
    for k, amount in enumerate(chosen):
        assert torch.allclose(moved[k].double(), pixels_of(reference(picture(pixels[k]), amount)), atol=1e-4), amount


def test_whole_pixels_and_right_angles_by_hand() -> None:
    images = torch.rand(2, 3, 20, 20, generator=generator())
    right = translate_x(images, torch.tensor([0.25, -0.1]))
    assert torch.equal(right[0, :, :, 5:], images[0, :, :, :15])
    assert torch.equal(right[1, :, :, :18], images[1, :, :, 2:])
    assert torch.all(right[0, :, :, :5] == torch.tensor(GREY))
    down = translate_y(images, torch.tensor([0.25, -0.1]))
    assert torch.equal(down, translate_x(images.transpose(2, 3), torch.tensor([0.25, -0.1])).transpose(2, 3))
    quarter = rotate(images, torch.tensor([90.0, -90.0], dtype=torch.float64))
    assert torch.equal(quarter[0], images[0].rot90(1, (1, 2)))
    assert torch.equal(quarter[1], images[1].rot90(-1, (1, 2)))


# ------------------------------------------------------------------------------------------------------- magnitudes

# amounts at the magnitudes 0, 9, 10, 17 and 28, for the sign that goes down and the one that goes up
ROTATION = ((0, -27, -30, -51, -84), (0, 27, 30, 51, 84))
FACTOR = ((1, 0.19, 0.1, 0.1, 0.1), (1, 1.81, 1.9, 2.53, 3.52))
SHEAR = ((0, -0.27, -0.3, -0.51, -0.84), (0, 0.27, 0.3, 0.51, 0.84))
TRANSLATION = ((0, -0.407855, -0.453172, -0.453172, -0.453172), (0, 0.407855, 0.453172, 0.453172, 0.453172))
AMOUNTS = {
    "identity": ((0,) * 5,) * 2,
    "autocontrast": ((0,) * 5,) * 2,
    "equalize": ((0,) * 5,) * 2,
    "rotate": ROTATION,
    "solarize": ((256, 25.6, 0, 0, 0),) * 2,
    "color": FACTOR,
    "posterize": ((8, 4.4, 4, 1.2, 1),) * 2,
    "contrast": FACTOR,
    "brightness": FACTOR,
    "sharpness": FACTOR,
    "shear_x": SHEAR,
    "shear_y": SHEAR,
    "translate_x": TRANSLATION,
    "translate_y": TRANSLATION,
}


def test_amounts_are_those_of_the_table() -> None:
    assert list(OPERATIONS) == list(AMOUNTS)
    for name, (downwards, upwards) in AMOUNTS.items():
        for column, magnitude in enumerate((0, 9, 10, 17, 28)):
            amounts = OPERATIONS[name].amounts(magnitude, torch.tensor([0, 1, 0]))
            expected = torch.tensor([downwards[column], upwards[column], downwards[column]], dtype=torch.float64)
            assert torch.allclose(amounts, expected, rtol=0, atol=1e-6), (name, magnitude)


def test_each_row_of_the_table_is_the_change_compared_with_pillows() -> None:
    images, amounts = floats(COLOURED), torch.tensor([0.3, 1.4] * 5, dtype=torch.float64)
    before = images.clone()
    changes = {name: row[0] for table in (AGAINST_PILLOW, PLACES) for name, row in table.items()}
    changes["identity"] = lambda images, _: images
    assert set(changes) == set(OPERATIONS)
    for name, change in changes.items():
        assert torch.equal(OPERATIONS[name].change(images, amounts), change(images, amounts)), name
        assert torch.equal(images, before), name


@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitude_0_changes_nothing_and_more_changes_more(name: str) -> None:
    images, operation = floats(photographs()), OPERATIONS[name]
    signs = torch.tensor([0, 1, 1, 0])
    changes = [
        (operation.change(images, operation.amounts(magnitude, signs)) - images).abs().mean()
        for magnitude in (0, 2, 5, 10)
    ]
    if name in ("autocontrast", "equalize"):
        assert changes[0] == changes[3] > 0
    else:
        assert changes[0] < 1e-6
        assert sorted(changes) == changes
        assert changes[1] > (0.001 if name != "identity" else -1)


# ---------------------------------------------------------------------------------------------------------- the draw


def test_batch_equals_the_per_image_reference() -> None:
    """The draws repeated by hand, each image changed alone, by two operations one after the other."""
    images = floats(COLOURED).repeat(20, 1, 1, 1)
    batch = rand_augment(images, operations=2, magnitude=9, generator=generator(3))
    draws, operations = generator(3), list(OPERATIONS.values())
    steps = [[torch.randint(high, (200,), generator=draws).tolist() for high in (14, 2)] for _ in range(2)]
    assert len(set(zip(steps[0][0], steps[1][0], strict=True))) > 100
    for k in range(0, 200, 3):
        expected = images[k : k + 1]
        for choices, signs in steps:
            operation = operations[choices[k]]
            expected = operation.change(expected, operation.amounts(9, torch.tensor(signs[k : k + 1])))
        assert torch.allclose(batch[k], expected[0], atol=1e-6), k


def test_operations_and_signs_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operation replaced by one that writes down its number and sign: 784 cells of two steps, 50 images each."""
    count = 784 * 50

    def writing(number: int) -> Operation:
        return Operation(lambda images, amounts: images * 28 + number + amounts.view(-1, 1, 1, 1), 0, (0, 14))

    monkeypatch.setattr(module, "OPERATIONS", {str(number): writing(number) for number in range(14)})
    images = torch.zeros(count, 1, 1, 1)
    written = rand_augment(images, operations=2, magnitude=10, generator=generator()).flatten().long()
    counts = written.bincount(minlength=784)
    assert len(counts) == 784
    assert counts.min() > 50 - 5 * math.sqrt(50)
    assert counts.max() < 50 + 5 * math.sqrt(50)
    chi_square = float(((counts - 50) ** 2 / 50).sum())
    assert chi_square == pytest.approx(783, abs=5 * math.sqrt(2 * 783))
    first, second = written // 28 % 14, written % 14
    assert int((first == second).sum()) == pytest.approx(count / 14, abs=5 * math.sqrt(count / 14))


def test_images_stay_in_range_and_untouched() -> None:
    for kind, pixels in PIXELS.items():
        images = floats(pixels)
        before = images.clone()
        augmented = rand_augment(images, operations=3, magnitude=28, generator=generator(1))
        assert augmented.shape == images.shape, kind
        assert augmented.dtype == torch.float32
        assert 0 <= augmented.min() <= augmented.max() <= 1
        assert torch.equal(images, before)
        single = rand_augment(images[:1], operations=1, magnitude=10, generator=generator(1))
        assert single.shape == images[:1].shape


def test_grey_images_are_treated_as_coloured_ones() -> None:
    grey = floats(COLOURED[:, :1]).repeat(15, 1, 1, 1)
    one = rand_augment(grey, operations=1, magnitude=9, generator=generator(2))
    three = rand_augment(grey.expand(-1, 3, -1, -1), operations=1, magnitude=9, generator=generator(2))
    assert torch.allclose(one.expand(-1, 3, -1, -1), three, atol=1e-5)


def changed_by_each(seed: int) -> list[Tensor]:
    images, targets = floats(COLOURED), torch.eye(10)
    return [
        rand_augment(images, operations=2, magnitude=9, generator=generator(seed)),
        cutout(images, size=8, generator=generator(seed)),
        *mixup(images, targets, alpha=1.0, generator=generator(seed)),
        *cutmix(images, targets, alpha=1.0, generator=generator(seed)),
    ]


def test_the_generator_alone_decides() -> None:
    torch.manual_seed(1)
    first, other = changed_by_each(0), changed_by_each(1)
    torch.manual_seed(2)
    again = changed_by_each(0)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_what_is_not_possible_is_refused() -> None:
    images, targets = torch.rand(2, 3, 8, 8), torch.eye(2)
    with pytest.raises(UsageError, match="0 operations"):
        rand_augment(images, operations=0, magnitude=9, generator=generator())
    for magnitude in (-1, 31, math.nan):
        with pytest.raises(UsageError, match="0 to 30"):
            rand_augment(images, operations=1, magnitude=magnitude, generator=generator())
    with pytest.raises(UsageError, match="0 pixels"):
        cutout(images, size=0, generator=generator())
    for alpha in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="alpha"):
            mixup(images, targets, alpha=alpha, generator=generator())
        with pytest.raises(UsageError, match="alpha"):
            cutmix(images, targets, alpha=alpha, generator=generator())


# ------------------------------------------------------------------------------------------------------------ cutout


@pytest.mark.parametrize("size", [1, 4, 7, 50])
def test_cutout_equals_the_per_image_reference(size: int) -> None:
    images = torch.rand(300, 2, 9, 12, generator=generator()) + 0.1
    batch = cutout(images, size=size, generator=generator(1))
    draws = generator(1)
    rows, columns = (torch.randint(length, (300,), generator=draws).tolist() for length in (9, 12))
    for k, (row, column) in enumerate(zip(rows, columns, strict=True)):
        expected = images[k].clone()
        top, left = row - size // 2, column - size // 2
        expected[:, max(0, top) : max(0, top + size), max(0, left) : max(0, left + size)] = 0
        assert torch.equal(batch[k], expected)


def hidden_part(centre: int, size: int, length: int) -> int:
    start = centre - size // 2
    return min(length, start + size) - max(0, start)


@pytest.mark.parametrize("size", [5, 16])
def test_the_area_cut_out_is_that_of_uniform_centres(size: int) -> None:
    """Its mean over 4,000 images within five standard errors of the exact mean over all centres."""
    areas = np.outer(*([hidden_part(centre, size, length) for centre in range(length)] for length in (24, 32)))
    cut = (cutout(torch.ones(4000, 1, 24, 32), size=size, generator=generator()) == 0).sum((1, 2, 3)).numpy()
    assert cut.max() == size**2
    assert cut.mean() == pytest.approx(areas.mean(), abs=5 * areas.std() / math.sqrt(4000))
    assert (cut == size**2).mean() == pytest.approx((areas == size**2).mean(), abs=0.04)


# ------------------------------------------------------------------------------------------------- mixup and CutMix


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 3.0])
def test_lambda_has_the_moments_of_beta(alpha: float) -> None:
    """Mean 1/2, variance 1 / (4 (2 alpha + 1)), excess kurtosis -6 / (2 alpha + 3), a symmetric distribution."""
    count, draws = 6000, generator(5)
    shares = np.array([mixing_share(alpha, generator=draws) for _ in range(count)])
    assert 0 <= shares.min() < shares.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    fourth = variance**2 * (3 - 6 / (2 * alpha + 3))
    distance = shares - 0.5
    assert distance.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / count))
    spread = np.var(distance**2) + 1e-12
    assert (distance**2).mean() == pytest.approx(variance, abs=4 * math.sqrt(spread / count))
    assert (distance**4).mean() == pytest.approx(fourth, abs=4 * np.std(distance**4) / math.sqrt(count))
    assert (distance**3).mean() == pytest.approx(0, abs=4 * np.std(distance**3) / math.sqrt(count))


def test_successive_lambdas_are_independent() -> None:
    draws = generator(5)
    shares = np.array([mixing_share(1.0, generator=draws) for _ in range(4000)])
    assert np.corrcoef(shares[1:], shares[:-1])[0, 1] == pytest.approx(0, abs=5 / math.sqrt(4000))
    assert len(np.unique(shares)) == 4000


def numbered(count: int, height: int = 12, width: int = 16) -> tuple[Tensor, Tensor]:
    """Images with their own number in each pixel, and their numbers as targets."""
    return torch.arange(count).float().view(-1, 1, 1, 1).expand(-1, 2, height, width).clone(), torch.eye(count)


def test_mixup_equals_the_per_image_reference() -> None:
    images, targets = torch.rand(50, 3, 5, 6, generator=generator()), torch.eye(50)
    batch, mixed = mixup(images, targets, alpha=1.0, generator=generator(8))
    draws = generator(8)
    share, partners = mixing_share(1.0, generator=draws), torch.randperm(50, generator=draws).tolist()
    assert 0.02 < share < 0.98
    for k, partner in enumerate(partners):
        assert torch.allclose(batch[k], share * images[k] + (1 - share) * images[partner], atol=1e-6)
        assert torch.allclose(mixed[k], share * targets[k] + (1 - share) * targets[partner], atol=1e-6)


def test_mixup_pairs_by_a_permutation_with_one_lambda() -> None:
    images, targets = numbered(64)
    batch, mixed = mixup(images, targets, alpha=1.0, generator=generator(2))
    assert torch.allclose(mixed.sum(1), torch.ones(64))
    assert torch.allclose(mixed.sum(0), torch.ones(64))  # each image once itself and once a partner
    assert torch.allclose(batch[:, 0, 0, 0], mixed @ torch.arange(64.0), atol=1e-4)
    pairs = mixed[(mixed > 0).sum(1) == 2]
    assert len(pairs) > 55
    assert torch.allclose(pairs.max(1).values, pairs.max(), atol=1e-6)


def test_cutmix_mixes_targets_by_the_pixels_share() -> None:
    """Whatever lambda and the border made of the box, a target is the image's histogram of numbers."""
    images, targets = numbered(20)
    for seed in range(60):
        batch, mixed = cutmix(images, targets, alpha=1.0, generator=generator(seed))
        pixels = torch.stack([(batch == number).float().mean((1, 2, 3)) for number in range(20)], 1)
        assert torch.allclose(mixed, pixels, atol=1e-6)
        assert torch.allclose(mixed.sum(1), torch.ones(20))
        assert torch.allclose(mixed.sum(0), torch.ones(20), atol=1e-5)


def test_cutmix_cuts_the_box_of_lambda_and_the_centre() -> None:
    """Its edges, cut at the border, are within half a pixel of those that the draws give."""
    images, targets = numbered(30, 24, 40)
    clipped = 0
    for seed in range(200):
        batch, _ = cutmix(images, targets, alpha=1.0, generator=generator(seed))
        draws = generator(seed)
        side = math.sqrt(1 - mixing_share(1.0, generator=draws))
        down, across = torch.rand(2, generator=draws).tolist()
        partners = torch.randperm(30, generator=draws)
        k = int((partners != torch.arange(30)).nonzero()[0])
        foreign = batch[k, 0] == partners[k]
        assert torch.all(foreign | (batch[k, 0] == k))
        clipped += not (side / 2 < down < 1 - side / 2 and side / 2 < across < 1 - side / 2)
        for line, centre, length in ((foreign.any(1), down, 24), (foreign.any(0), across, 40)):
            edges = [min(max(centre + half, 0), 1) * length for half in (-side / 2, side / 2)]
            inside = [place for place in range(length) if edges[0] < place + 0.5 < edges[1]]
            found = line.nonzero().flatten().tolist()
            assert found == inside or not foreign.any()
        assert int(foreign.sum()) == int(foreign.any(1).sum() * foreign.any(0).sum())
    assert 40 < clipped < 180


def test_the_share_of_cutmix_is_the_exact_mean_over_lambda_and_centre() -> None:
    """Whole pixels do not bias the mean overlap of box and image, over uniform lambda and centres."""
    images, targets = numbered(8, 8, 8)
    shares = []
    for seed in range(1200):
        _, mixed = cutmix(images, targets, alpha=1.0, generator=generator(seed))
        shares.append(1 - float(mixed.diagonal().min()))  # of an image that is not its own partner
    sides = np.sqrt(1 - (np.arange(10_000) + 0.5) / 10_000)  # lambda is uniform for alpha = 1
    expected = ((sides - sides**2 / 4) ** 2).mean()  # a side's mean overlap with the image, both directions
    assert np.mean(shares) == pytest.approx(expected, abs=5 * np.std(shares) / math.sqrt(len(shares)))


def test_an_image_alone_is_its_own_partner() -> None:
    images, targets = torch.rand(1, 3, 8, 8, generator=generator()), torch.tensor([[0.25, 0.75]])
    for mix in (mixup, cutmix):
        same, label = mix(images, targets, alpha=1.0, generator=generator(3))
        assert torch.allclose(same, images)
        assert torch.allclose(label, targets)
    assert cutout(images, size=4, generator=generator()).shape == images.shape


def test_drawn_magnitudes_are_uniform_for_each_image_and_a_fixed_one_draws_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.Tensor] = []
    images = torch.rand(2_000, 3, 4, 4, generator=torch.Generator().manual_seed(1))

    def kept(chosen: torch.Tensor, *_: torch.Tensor, magnitudes: torch.Tensor) -> torch.Tensor:
        seen.append(magnitudes)
        return chosen

    monkeypatch.setattr("convatlas.data.augmentation.rand_augment._changed", kept)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    rand_augment(images, operations=2, magnitude=10, magnitudes="drawn", generator=generators[0])
    rand_augment(images, operations=2, magnitude=10, generator=generators[1])
    first, second, *fixed = seen
    assert not torch.equal(first, second)
    for each in (first, second):
        assert 0 <= each.min() < 0.1
        assert 9.9 < each.max() < 10
        assert each.mean().item() == pytest.approx(5, abs=0.3)
    assert all(torch.equal(each, torch.full((2_000,), 10.0, dtype=torch.float64)) for each in fixed)


def test_drawn_magnitudes_need_rand_augment() -> None:
    with pytest.raises(UsageError, match="fixed without rand_augment"):
        recipe("quick").replaced(rand_magnitudes="drawn")
