"""Decoded images that stay in memory: they change no result, and take no more memory than there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.data.epoch import epoch_seed
from convatlas.data.images import kept, parts
from convatlas.data.images.kept import Kept, Shelf
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.reading import crop_notes, reading_line
from convatlas.recipe import Recipe, recipe
from convatlas.training import make_plan
from test_folder import TINY, flat
from test_streaming import noise, photograph

COUNT, LARGE = 40, 5  # images, and among them those that may be decoded reduced
PREPROCESSING = Preprocessing(16, (0.5,) * 3, (0.25,) * 3, shorter_side=20)
RESIZED = {"crop": "resized", "crop_scale": (0.2, 1.0), "crop_ratio": (0.75, 1.33)}
CROPS = {"resized": RESIZED, "pad4": {"crop": "pad4"}, "none": {"crop": "none"}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StreamedImages:
    folder = tmp_path_factory.mktemp("images")
    names = [f"{number}.{('jpg', 'png')[number % 2]}" for number in range(COUNT - LARGE)]
    for number, name in enumerate(names):
        noise(33 + number % 7, 50 - number).save(folder / name)
    for number in range(LARGE):
        names.append(f"large {number}.jpg")
        photograph(130 + number, 200).save(folder / names[-1])
    return StreamedImages(FileStore(folder, names), torch.arange(COUNT), torch.arange(COUNT))


def chosen(**changes: object) -> Recipe:
    return recipe("quick").replaced(**({"batch_size": 25, "drop_last": False, "flip": 0.5} | changes))


def epochs(images: StreamedImages, wanted: Recipe, *, numbers: tuple[int, ...] = (0, 1, 2)) -> Iterator[Tensor]:
    """The batches of some epochs, and of an evaluation after each."""
    for epoch in numbers:
        generator = torch.Generator().manual_seed(epoch_seed(7, epoch))
        order = torch.randperm(len(images), generator=generator)
        read = images.training_batches(order, recipe=wanted, preprocessing=PREPROCESSING, generator=generator)
        yield torch.cat([batch for batch, _, _ in read])
        yield torch.cat([batch for batch, _ in images.batches(torch.arange(9), size=4, preprocessing=PREPROCESSING)])


@pytest.mark.parametrize("crop", CROPS)
@pytest.mark.parametrize("room", [0, 50_000, 2**30])
def test_kept_images_change_no_result(
    files: StreamedImages, crop: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no memory, with some and with enough of it; for 0, 1 and 4 workers; after a resume in the middle too."""
    monkeypatch.setattr(kept, "room", lambda: room)
    wanted = chosen(**CROPS[crop])
    expected = list(epochs(files, wanted))
    for workers in (0, 1, 4):
        found = epochs(dataclasses.replace(files, workers=workers).kept(), wanted)
        assert all(torch.equal(batch, same) for batch, same in zip(found, expected, strict=True))
    resumed = epochs(files.kept(), wanted, numbers=(2,))
    assert all(torch.equal(batch, same) for batch, same in zip(resumed, expected[4:], strict=True))


@pytest.mark.parametrize("crop", CROPS)
def test_an_image_is_decoded_once(files: StreamedImages, crop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory suffices; but a large JPEG, of which a random part may be decoded reduced, at each time."""
    monkeypatch.setattr(kept, "room", lambda: 2**30)
    read: list[int] = []
    encoded = parts._encoded
    monkeypatch.setattr(parts, "_encoded", lambda store, number: read.append(number) or encoded(store, number))
    images = files.kept().to("cpu")  # in another form they share the memory
    wanted = chosen(**CROPS[crop])
    for epoch in range(3):
        generator = torch.Generator().manual_seed(epoch)
        order = torch.randperm(COUNT, generator=generator)
        list(images.training_batches(order, recipe=wanted, preprocessing=PREPROCESSING, generator=generator))
        again = list(range(COUNT - LARGE, COUNT)) if crop == "resized" else []
        assert sorted(read) == (list(range(COUNT)) if epoch == 0 else again)
        read.clear()


@pytest.mark.parametrize(
    "change",
    [{"shorter_side": None}, {"image_size": 12}, {"interpolation": "bicubic"}, {"fit": "squash"}, {"fit": "pad"}],
    ids=str,
)
def test_other_pixels_are_not_taken_for_these(files: StreamedImages, change: dict[str, object]) -> None:
    other = dataclasses.replace(PREPROCESSING, **change)  # type: ignore[arg-type]
    images, places = files.kept(), torch.arange(9)
    for stage in (PREPROCESSING, other, dataclasses.replace(other, mean=(0.1, 0.2, 0.3)), PREPROCESSING):
        expected = files.batch(places, preprocessing=stage)
        assert torch.equal(images.batch(places, preprocessing=stage), expected)


def test_images_that_were_not_asked_to_stay_do_not(files: StreamedImages) -> None:
    assert files.memory is None
    data = load_data("digits")
    assert data.kept().train is data.train


def test_a_shelf_takes_no_more_than_its_room() -> None:
    shelf, pixels = Shelf(250), np.zeros(100, np.uint8)
    for number in (3, 3, 4, 5):
        shelf.put(number, pixels)
    assert (len(shelf), shelf.room) == (2, 50)
    pixels[:] = 1  # it keeps copies
    assert shelf.get(3) is not None
    assert not np.any(shelf.get(3))
    assert shelf.get(5) is None


def test_another_kind_takes_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = iter((100, 200, 300))
    monkeypatch.setattr(kept, "room", lambda: next(rooms))
    memory = Kept()
    first = memory.shelf("a")
    assert memory.shelf("a") is first
    assert (first.room, memory.shelf("b").room, memory.shelf("a").room) == (100, 200, 300)


@pytest.mark.parametrize(("free", "room"), [(1000.0, 500.0), (0.0, 0.0), (float("inf"), 2 * 2**30)])
def test_half_of_the_free_memory_may_be_used(free: float, room: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "free_memory", lambda: free)
    assert kept.room() == room


# ---------------------------------------------------------------------------------------------------- in one line


@pytest.mark.parametrize(
    ("crop", "gib", "expected"),
    [
        ("none", 8, "40 training images, decoded once and kept in memory (0.0 GiB, of 8.0 that may be used)"),
        ("none", 0, "40 training images, decoded in each epoch by 3 threads"),
        ("resized", 8, "40 training images: about 35 kept in memory (0.0 GiB, of 8.0 that may be used), the others "),
    ],
)
def test_how_images_are_read_is_said_in_one_line(
    files: StreamedImages, crop: str, gib: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.data.reading.room", lambda: gib * 2**30)
    images = dataclasses.replace(files, workers=3).kept()
    line = reading_line(images, recipe=chosen(**CROPS[crop]), preprocessing=PREPROCESSING)
    assert line is not None
    assert line.startswith(expected)
    assert "\n" not in line


def test_part_of_the_images_fit(files: StreamedImages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.data.reading.room", lambda: 10 * 3 * 16 * 16)
    line = reading_line(files.kept(), recipe=chosen(crop="none"), preprocessing=PREPROCESSING)
    assert line is not None
    assert line.startswith("40 training images: about 10 kept in memory")
    plain = reading_line(files, recipe=chosen(crop="none"), preprocessing=PREPROCESSING)
    assert plain is not None
    assert plain.startswith("40 training images, decoded in each epoch by ")
    assert reading_line(load_data("digits").train, recipe=chosen(), preprocessing=PREPROCESSING) is None


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(40, 30)] * 9, ""),
        (
            [(45, 30)] * 9,
            "fit=crop leaves out 33% of the images' area (of 9 looked at); --fit pad or --fit squash keeps",
        ),
        ([(30, 30)] * 8 + [(20, 70)], "fit=crop leaves out more than half of the area of 11% of the images"),
        ([(30, 30)] * 18 + [(20, 70)], ""),
    ],
)
def test_a_crop_that_leaves_out_much_is_noted(tmp_path: Path, sizes: list[tuple[int, int]], expected: str) -> None:
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    names = [f"{number}.png" for number in range(len(sizes))]
    images = StreamedImages(FileStore(tmp_path, names), None, torch.arange(len(names)))
    notes = crop_notes(images, PREPROCESSING)
    assert len(notes) == bool(expected)
    assert "".join(notes).startswith(expected)
    for fit in ("squash", "pad"):
        assert crop_notes(images, dataclasses.replace(PREPROCESSING, fit=fit)) == ()


def test_a_plan_says_how_its_images_are_read(tmp_path: Path) -> None:
    data = load_data(f"folder:{flat(tmp_path / 'photos')}")
    plan = make_plan(
        architecture("resnet_uva"),
        data=data.kept(),
        chosen=recipe("quick").replaced(image_size=16, crop="none"),
        seed=0,
        options=TINY,
    )
    (line,) = plan.reading
    assert "18 training images, decoded once and kept in memory" in line
    assert plan.on("cpu").data.train.memory is plan.data.train.memory is not None  # type: ignore[attr-defined]
