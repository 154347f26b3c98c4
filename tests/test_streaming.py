"""Image files decoded no larger than needed, and streamed in batches that any number of workers fills alike."""

from __future__ import annotations

import dataclasses
import io
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor

import convatlas.data.images.decoding as decoding
from convatlas.bounds import PIXEL, VARIABLE
from convatlas.data.augmentation.crops import crop_rectangles, rectangles_in
from convatlas.data.epoch import epoch_seed
from convatlas.data.images.cutting import cut_out, seen
from convatlas.data.images.image_files import read_image
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.images.workers import worker_count
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, recipe
from data_files import encoded_at

PREPROCESSING = Preprocessing(32, (0.5,) * 3, (0.25,) * 3, shorter_side=40)
RESIZED = {"crop": "resized", "crop_scale": (0.2, 1.0), "crop_ratio": (0.75, 1.33)}


PALACE = Image.fromarray(load_sample_images().images[0])  # a photograph that scikit-learn ships


def photograph(height: int, width: int) -> Image.Image:
    return PALACE.resize((width, height), Image.Resampling.BICUBIC)


def noise(height: int, width: int) -> Image.Image:
    generator = np.random.default_rng(height * width)
    return Image.fromarray(generator.integers(256, size=(height, width, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StreamedImages:
    """45 small images of many sizes, two thirds of them JPEG: with 20 a batch, parts of 16, 4 and 5."""
    folder = tmp_path_factory.mktemp("images")
    names = [f"{number}.{('jpg', 'png', 'jpeg')[number % 3]}" for number in range(45)]
    for number, name in enumerate(names):
        noise(33 + number, 90 - number).save(folder / name)
    return StreamedImages(FileStore(folder, names), torch.arange(45), torch.arange(45))


@pytest.fixture(params=["simplejpeg", "pillow"])
def jpeg_decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both decoders of JPEG in turn, whichever is installed."""
    if request.param == "simplejpeg":
        pytest.importorskip("simplejpeg")
    else:
        monkeypatch.setattr(decoding, "simplejpeg", None)
    assert decoding.decoder().startswith(request.param)
    return str(request.param)


def training(
    files: StreamedImages, *, seed: int = 0, workers: int | None = 2, **changes: object
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch as they are read: uint8 images and labels."""
    images = dataclasses.replace(files, workers=workers)
    chosen = chosen_recipe(**(({} if "crop" in changes else RESIZED) | {"flip": 0.5} | changes))
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(files), generator=generator)
    read = images.training_batches(order, recipe=chosen, preprocessing=PREPROCESSING, generator=generator)
    return ((levels(pixels), labels) for pixels, labels, _ in read)


def evaluation(files: StreamedImages, *, size: int, workers: int | None = 2) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order as they are read: uint8 images and labels."""
    images = dataclasses.replace(files, workers=workers)
    read = images.batches(torch.arange(len(files)), size=size, preprocessing=PREPROCESSING)
    return ((levels(pixels), labels) for pixels, labels in read)


def levels(pixels: Tensor) -> Tensor:
    assert pixels.dtype == torch.float32
    return (pixels * 255).round().to(torch.uint8)


def chosen_recipe(**changes: object) -> Recipe:
    return recipe("quick").replaced(**({"batch_size": 20, "drop_last": False} | changes))


def upright(path: Path) -> np.ndarray:
    return read_image(path, channels=3)[0].permute(1, 2, 0).numpy()


# ----------------------------------------------------------------------------------------------------------- one image


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("options", [{"subsampling": 0}, {"subsampling": 2, "progressive": True}])
def test_a_jpeg_is_what_read_image_says_however_it_lies(
    tmp_path: Path, jpeg_decoder: str, mode: str, options: dict[str, int]
) -> None:
    for orientation in range(10):  # 0 and 9 mean nothing
        image = photograph(37, 50).convert(mode)
        exif = image.getexif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        image.save(path, exif=exif, **options)
        encoded = encoded_at(path)
        assert (encoded.height, encoded.width, 3) == encoded.pixels().shape
        assert np.array_equal(encoded.pixels(), upright(path)), orientation


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("png", "RGBA"), ("png", "P"), ("png", "I;16"), ("tiff", "L"), ("tiff", "RGB"), ("webp", "RGB"), ("gif", "P")],
)
def test_other_kinds_are_what_read_image_says_however_they_lie(tmp_path: Path, kind: str, mode: str) -> None:
    for orientation in range(1, 9):
        image = photograph(37, 50).convert("I" if mode == "I;16" else mode)
        if mode == "RGBA":
            image.putalpha(photograph(37, 50).convert("L"))
        if mode == "I;16":
            image = Image.fromarray((np.asarray(image) * 257).astype(np.uint16))
        exif = image.getexif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.{kind}"
        image.save(path, **({} if kind == "gif" else {"exif": exif}))
        encoded = encoded_at(path)
        assert (encoded.height, encoded.width, 3) == encoded.pixels().shape
        assert np.array_equal(encoded.pixels(), upright(path)), orientation
        assert encoded.reduction(height=10_000, width=10_000, size=1) == 1


def test_a_grey_tiff_that_lies_is_turned(tmp_path: Path) -> None:
    image = photograph(6, 9).convert("L")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "lying.tiff", exif=exif)
    assert np.array_equal(upright(tmp_path / "lying.tiff")[..., 0], np.rot90(np.asarray(image), -1))


def test_an_orientation_behind_the_pixels_counts(tmp_path: Path) -> None:
    image, exif = photograph(6, 9), Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    path = tmp_path / "late.png"
    path.write_bytes(buffer.getvalue()[:-12] + chunk + buffer.getvalue()[-12:])
    encoded = encoded_at(path)
    assert (encoded.height, encoded.width) == (9, 6)
    assert np.array_equal(encoded.pixels(), np.rot90(np.asarray(image), -1))
    assert np.array_equal(encoded.pixels(), upright(path))


def test_how_far_a_jpeg_is_reduced(tmp_path: Path) -> None:
    """While twice the pixels needed remain a side; the shorter side of the part counts."""
    photograph(64, 64).save(tmp_path / "a.jpg")
    encoded = encoded_at(tmp_path / "a.jpg")
    for side, expected in ((448, 1), (895, 1), (896, 2), (1791, 2), (1792, 4), (3583, 4), (3584, 8), (100_000, 8)):
        assert encoded.reduction(height=side, width=4000, size=224) == min(expected, 8), side
        assert encoded.reduction(height=100_000, width=side, size=224) == expected, side


@pytest.mark.parametrize("size", [(64, 64), (17, 33), (1, 1), (223, 225), (9, 100)])
def test_reduced_sides_are_rounded_up_and_both_decoders_agree(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph(*size).save(tmp_path / "a.jpg")
    encoded = encoded_at(tmp_path / "a.jpg")
    for reduction in (1, 2, 4, 8):
        if min(size) < reduction:
            continue
        found = encoded.pixels(reduction=reduction)
        assert found.shape == (-(-size[0] // reduction), -(-size[1] // reduction), 3)
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "simplejpeg", None)
            assert np.array_equal(encoded.pixels(reduction=reduction), found)


def test_a_reduced_image_that_lies_is_turned(tmp_path: Path, jpeg_decoder: str) -> None:
    image = photograph(160, 240)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "lying.jpg", exif=exif)
    encoded = encoded_at(tmp_path / "lying.jpg")
    assert (encoded.height, encoded.width) == (240, 160)
    image.save(tmp_path / "upright.jpg")
    expected = encoded_at(tmp_path / "upright.jpg").pixels(reduction=4)
    assert np.array_equal(encoded.pixels(reduction=4), np.rot90(expected, -1))


# ------------------------------------------------------------------------------------------------ what is cut out of it


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(40, 40), (60, 47), (47, 300), (20, 31), (33, 33)])
def test_evaluation_sees_what_preprocessing_does(tmp_path: Path, size: tuple[int, int], interpolation: str) -> None:
    """To the rounding: of uint8 images torch, like Pillow, rounds after each direction, and clips bicubic overshoot."""
    path = tmp_path / "a.png"
    photograph(*size).save(path)
    preprocessing = Preprocessing(32, (0.5,) * 3, (0.25,) * 3, shorter_side=40, interpolation=interpolation)  # type: ignore[arg-type]
    expected = preprocessing.resize(read_image(path, channels=3)) * 255
    found = seen(encoded_at(path), preprocessing)
    assert found.shape == (1, 3, 32, 32)
    difference = (found - expected).abs()
    assert difference.max() <= (1.05 if interpolation == "bilinear" else 3.7)
    assert difference.mean() < 0.4


@pytest.mark.parametrize(("side", "reduction"), [(100, 2), (60, 2), (53, 4), (26, 8)])
def test_evaluation_of_a_reduced_jpeg(
    tmp_path: Path, side: int, reduction: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """427 x 640 pixels, divisible by none of the reductions: a grid that is off by part of a pixel would be seen."""
    path = tmp_path / "a.jpg"
    photograph(427, 640).save(path, quality=92)
    preprocessing = Preprocessing(side - 6, (0.5,) * 3, (0.25,) * 3, shorter_side=side)
    encoded = encoded_at(path)
    assert encoded.reduction(height=427, width=640, size=side) == reduction
    expected = preprocessing.resize(read_image(path, channels=3)) * 255
    found = seen(encoded, preprocessing)
    assert (found - expected).abs().mean() < 1.2
    assert (found - expected).abs().max() < 16
    monkeypatch.setattr(decoding, "REDUCTIONS", ())
    assert not torch.equal(seen(encoded, preprocessing), found)


def test_a_reduced_image_is_resized_to_the_very_size() -> None:
    """PyTorch multiplies the size with a factor and rounds down, whatever the rounding of the factor."""
    for size in range(2, 60):
        preprocessing = Preprocessing(size, (0.5,) * 3, (0.25,) * 3)
        for height in range(2 * size, 4 * size, 3):  # 12 of 47, among others: 47 * (12 / 47) < 12
            pixels = torch.zeros(1, 3, height, height + 2, dtype=torch.uint8)
            assert preprocessing.framed(pixels, extent=(height, height + 1.5)).shape == (1, 3, size, size)


def test_a_reduced_panorama(tmp_path: Path) -> None:
    """Its centre begins at a whole pixel, half a pixel from where that of the whole image does."""
    photograph(131, 640).save(tmp_path / "a.jpg")
    encoded = encoded_at(tmp_path / "a.jpg")
    preprocessing = Preprocessing(28, (0.5,) * 3, (0.25,) * 3, shorter_side=30)
    assert encoded.reduction(height=131, width=640, size=30) == 2
    expected = preprocessing.resize(read_image(tmp_path / "a.jpg", channels=3)) * 255
    assert (seen(encoded, preprocessing) - expected).abs().mean() < 2.5


def test_a_crop_is_cut_then_resized(tmp_path: Path) -> None:
    """Enlarged and reduced, against PyTorch's resizing of the float pixels inside, as test_data has it."""
    photograph(80, 110).save(tmp_path / "a.png")
    whole = read_image(tmp_path / "a.png", channels=3).float()
    for top, left, height, width in ((0, 0, 80, 110), (11, 3, 20, 70), (5, 60, 32, 32), (79, 109, 1, 1)):
        part = whole[..., top : top + height, left : left + width]
        expected = F.interpolate(part, size=(32, 32), mode="bilinear", antialias=True)
        found = cut_out(encoded_at(tmp_path / "a.png"), (top, left, height, width), size=32)
        assert (found - expected).abs().max() <= 1.05


def test_a_crop_of_a_reduced_jpeg_is_of_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photograph(427, 640).save(tmp_path / "a.jpg", quality=92)
    encoded = encoded_at(tmp_path / "a.jpg")
    for rectangle in ((0, 0, 427, 640), (13, 7, 411, 402), (27, 211, 400, 429)):
        assert encoded.reduction(height=rectangle[2], width=rectangle[3], size=50) == 4
        reduced = cut_out(encoded, rectangle, size=50).float()
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "REDUCTIONS", ())
            whole = cut_out(encoded, rectangle, size=50).float()
        assert (reduced - whole).abs().mean() < 3
        moved = (reduced[..., 1:] - whole[..., :-1]).abs().mean()
        assert (reduced - whole).abs().mean() < moved / 3
    part = torch.from_numpy(encoded.pixels()[100:150, 200:250].copy()).permute(2, 0, 1)
    assert torch.equal(cut_out(encoded, (100, 200, 50, 50), size=50)[0], part)  # too small to be reduced


def test_rectangles_of_one_size_are_those_of_many() -> None:
    """The law of `crop_rectangles`, image by image: the same draws, whatever the sizes of the others."""
    sizes = torch.tensor([[12, 20], [375, 500], [40, 10], [12, 20]])
    scale, ratio = (0.3, 1.0), (0.5, 1.0)
    found = rectangles_in(sizes, scale=scale, ratio=ratio, generator=torch.Generator().manual_seed(1))
    for place, (height, width) in enumerate(sizes.tolist()):
        generator = torch.Generator().manual_seed(1)
        alike = crop_rectangles(4, height, width, scale=scale, ratio=ratio, generator=generator)
        assert torch.equal(found[place], alike[place])


# -------------------------------------------------------------------------------------------------------------- batches


def test_training_batches_are_the_same_whatever_the_workers(files: StreamedImages) -> None:
    first = list(training(files, workers=0))
    assert [len(labels) for _, labels in first] == [20, 20, 5]
    assert torch.equal(torch.cat([labels for _, labels in first]).sort().values, files.labels)
    for workers in (1, 2, 5, None):
        for (images, labels), (same_images, same_labels) in zip(first, training(files, workers=workers), strict=True):
            assert images.shape == (len(labels), 3, 32, 32)
            assert images.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(images, same_images)
            assert torch.equal(labels, same_labels)


def test_an_epoch_is_that_of_its_seed_and_number(files: StreamedImages) -> None:
    """A run that goes on with epoch 3 sees what one does that came through epochs 0 to 2."""
    uninterrupted = [list(training(files, seed=epoch_seed(7, epoch))) for epoch in range(4)]
    resumed = list(training(files, seed=epoch_seed(7, 3)))
    for (images, labels), (same_images, same_labels) in zip(uninterrupted[3], resumed, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)
    orders = [torch.cat([labels for _, labels in epoch]).tolist() for epoch in uninterrupted]
    assert len({tuple(order) for order in orders}) == 4


def test_each_image_of_each_part_has_draws_of_its_own(tmp_path: Path) -> None:
    """40 times the same image: no two crops alike, about half of them mirrored."""
    grey = np.broadcast_to(np.arange(250, dtype=np.uint8), (200, 250))
    Image.fromarray(grey).save(tmp_path / "ramp.png")
    alike = StreamedImages(FileStore(tmp_path, ["ramp.png"] * 40), torch.zeros(40), torch.arange(40))
    images = torch.cat([images for images, _ in training(alike, batch_size=40)])
    assert len(images.flatten(1).unique(dim=0)) > 35
    mirrored = int((images[:, 0, 0, 0] > images[:, 0, 0, -1]).sum())
    assert 10 < mirrored < 30


def test_flip_mirrors(files: StreamedImages) -> None:
    never, always = (next(iter(training(files, flip=flip)))[0] for flip in (0.0, 1.0))
    assert torch.equal(never.flip(-1), always)


def test_another_crop_leaves_what_evaluation_sees(files: StreamedImages) -> None:
    images, labels = next(training(files, crop="pad4", flip=0.0))
    for image, label in zip(images, labels.tolist(), strict=True):
        assert torch.equal(image, seen(encoded_at(Path(files.store.shown(label))), PREPROCESSING)[0])


def test_drop_last_leaves_the_smaller_batch_out(files: StreamedImages) -> None:
    assert [len(labels) for _, labels in training(files, drop_last=True)] == [20, 20]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_evaluation_shows_all_images_in_order(files: StreamedImages, workers: int) -> None:
    batches = list(evaluation(files, size=20, workers=workers))
    assert len(batches) == 3
    assert torch.equal(torch.cat([labels for _, labels in batches]), files.labels)
    images = torch.cat([images for images, _ in batches])
    for place in (0, 15, 16, 19, 20, 44):
        expected = PREPROCESSING.resize(read_image(Path(files.store.shown(place)), channels=3))[0] * 255
        assert (images[place] - expected).abs().max() <= 1.05
    normalised = PREPROCESSING.normalize(images / 255)
    assert normalised.dtype == torch.float32


# ------------------------------------------------------------------------------------------------------ what can happen


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("convatlas-images")]


def test_no_thread_is_left(files: StreamedImages) -> None:
    many = StreamedImages(files.store, files.labels.repeat(10), files.index.repeat(10))
    for images, _ in training(many):
        assert threads()
        assert len(images) == 20
        break
    assert not threads()
    list(training(files))
    assert not threads()


def test_ctrl_c_leaves_no_thread(files: StreamedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the signal arrives: in the main thread, while it waits for the workers."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("convatlas.data.images.workers._filled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(iter(training(files)))
    assert not threads()


def broken(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.jpg"
    if kind == "text":
        path.write_text("hello")
    elif kind == "folder":
        path.mkdir()
    elif kind == "float":
        path = path.with_suffix(".tiff")
        Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(path)
    elif kind == "cut":
        noise(64, 64).save(path)
        path.write_bytes(path.read_bytes()[:-3000])
    return path


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "no image at"),
        ("folder", "is a folder"),
        ("text", "is no image file"),
        ("cut", "is a damaged image file"),
        ("float", "32 bits"),
    ],
)
def test_a_bad_file_is_named(
    files: StreamedImages, tmp_path: Path, kind: str, message: str, workers: int, jpeg_decoder: str
) -> None:
    path = broken(tmp_path, kind)
    names = [*map(files.store.shown, range(30)), path.name]
    bad = StreamedImages(FileStore(tmp_path, names), torch.arange(31), torch.arange(31))
    for loader in (training(bad, workers=workers), evaluation(bad, size=8, workers=workers)):
        with pytest.raises(UsageError, match=message) as raised:
            list(loader)
        assert path.name in str(raised.value)
        assert "\n" not in str(raised.value)
        assert not threads()


def test_the_limit_on_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    noise(20, 30).save(path)
    for permitted in (600, 599):
        monkeypatch.setenv(VARIABLE, str((permitted + 0.5) * PIXEL / 2**30))
        for read in (encoded_at, partial(read_image, channels=3)):
            with nullcontext() if permitted == 600 else pytest.raises(UsageError, match="too many pixels: 30 x 20"):
                read(path)
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)  # the user's own limit of Pillow holds too, at twice its value
    for read in (encoded_at, partial(read_image, channels=3)):
        monkeypatch.setattr("convatlas.data.images.image_files.permitted_pixels", lambda: 299)
        with pytest.raises(UsageError, match=f"too many pixels: more than 299; set {VARIABLE} to more GiB"):
            read(path)


def test_the_limit_can_be_raised_beyond_pillows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    noise(20, 30).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setenv(VARIABLE, "0.001")
    assert read_image(path, channels=3).shape == (1, 3, 20, 30)


def test_a_harmless_flaw_is_left_to_pillow(tmp_path: Path) -> None:
    """Bytes between two segments: libjpeg warns, Pillow reads on, and so do we."""
    buffer = io.BytesIO()
    noise(24, 32).save(buffer, "JPEG")
    content = buffer.getvalue()
    quantization = content.index(b"\xff\xdb")
    path = tmp_path / "flawed.jpg"
    path.write_bytes(content[:quantization] + b"\x00\x00" + content[quantization:])
    assert np.array_equal(encoded_at(path).pixels(), upright(path))


def test_one_core_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    assert worker_count(None) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(), raising=False)
    assert worker_count(None) == 1


def test_what_cannot_be_streamed(files: StreamedImages) -> None:
    with pytest.raises(UsageError, match="-1 workers"):
        training(files, workers=-1)
    with pytest.raises(UsageError, match="each needs one"):
        dataclasses.replace(files, labels=torch.arange(3))
    with pytest.raises(UsageError, match="0 image files"):
        StreamedImages(files.store, None, torch.arange(0))
    grey = Preprocessing(32, (0.5,), (0.25,))
    with pytest.raises(UsageError, match="takes 1"):
        files.batch(torch.arange(2), preprocessing=grey)
