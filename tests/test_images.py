"""`Images`: in memory and in files alike, through one stage; with classes, with boxes and without labels."""

from __future__ import annotations

import copy
import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convatlas.data import Images, ResidentImages, class_labels
from convatlas.data.augmentation.rand_augment import rand_augment
from convatlas.data.batches.loader import EvaluationBatches, TrainingBatches
from convatlas.data.images import stores, streaming
from convatlas.data.images.protocol import Labels, label_bytes
from convatlas.data.images.resident import unlabelled
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing, channel_statistics
from convatlas.errors import UsageError
from convatlas.prediction import predict_logits
from convatlas.recipe import Recipe, recipe

COUNT, SIZE, CLASSES = 50, 16, 5
PREPROCESSING = Preprocessing(SIZE, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
PIXELS = torch.from_numpy(np.random.default_rng(0).integers(256, size=(COUNT, 3, SIZE, SIZE), dtype=np.uint8))
LABELS = torch.arange(COUNT) % CLASSES
INDEX = torch.arange(COUNT) + 1000
KINDS = ("resident", "streamed")
EVERYTHING = {
    "crop": "pad4", "flip": 0.5, "rand_augment": 2, "rand_magnitude": 9.0, "cutout": 6, "mixup": 0.3, "cutmix": 1.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as files that lose nothing."""
    made = tmp_path_factory.mktemp("images")
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(made / f"{number}.png")
    return made


def images_of(kind: str, folder: Path, *, labels: Labels = LABELS, workers: int | None = 2) -> Images:
    """The same images in memory or in files."""
    if kind == "resident":
        return ResidentImages(PIXELS, labels, INDEX)
    store = FileStore(folder, [f"{(number - 1000) % COUNT}.png" for number in range(1000 + COUNT)])
    return StreamedImages(store, labels, INDEX, workers=workers)


def chosen_recipe(**changes: object) -> Recipe:
    return recipe("quick").replaced(**({"crop": "none", "batch_size": 20, "drop_last": False} | changes))


def epoch_of(images: Images, *, seed: int = 3, **changes: object) -> TrainingBatches:
    chosen = chosen_recipe(**changes)
    return TrainingBatches(images, recipe=chosen, preprocessing=PREPROCESSING, num_classes=CLASSES, seed=seed)


# ---------------------------------------------------------------------------------------------- in memory and in files


def test_an_epoch_is_the_same_from_memory_and_from_files(folder: Path) -> None:
    """Where a recipe changes nothing at random, but the order."""
    resident, streamed = (list(epoch_of(images_of(kind, folder))) for kind in KINDS)
    assert [len(labels) for _, labels in resident] == [20, 20, 10]
    for (images, labels), (same_images, same_labels) in zip(resident, streamed, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)


def test_evaluation_is_the_same_from_memory_and_from_files(folder: Path) -> None:
    preprocessing = dataclasses.replace(PREPROCESSING, image_size=SIZE)
    resident, streamed = (
        list(EvaluationBatches(images_of(kind, folder), preprocessing=preprocessing, batch_size=20)) for kind in KINDS
    )
    for (images, labels), (same_images, same_labels) in zip(resident, streamed, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)
    assert torch.equal(torch.cat([images for images, _ in resident]), preprocessing(PIXELS))


def test_logits_are_the_same_for_pixels_and_for_images(folder: Path) -> None:
    """Also where the last part holds fewer images than the others."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(CLASSES))
    network(torch.zeros(1, 3, SIZE, SIZE))
    expected = predict_logits(network, PIXELS, preprocessing=PREPROCESSING)
    assert expected.shape == (COUNT, CLASSES)
    for kind in KINDS:
        assert torch.equal(predict_logits(network, images_of(kind, folder), preprocessing=PREPROCESSING), expected)


def test_every_change_of_a_batch_reaches_images_in_files(folder: Path) -> None:
    """The changes of whole batches are those of images in memory: each field of the recipe shows."""
    images = images_of("streamed", folder)
    plain = torch.cat([batch for batch, _ in epoch_of(images)])
    for change in (
        {"crop": "pad4"}, {"flip": 1.0}, {"rand_augment": 1, "rand_magnitude": 20.0}, {"cutout": 6}, {"mixup": 5.0},
        {"cutmix": 5.0},
    ):  # fmt: skip
        assert not torch.equal(torch.cat([batch for batch, _ in epoch_of(images, **change)]), plain), change
    hidden = torch.cat([batch for batch, _ in epoch_of(images, cutout=6)])
    assert ((hidden == 0).all(1).flatten(1).sum(1) > 0).all()
    for _, targets in epoch_of(images, mixup=5.0):
        assert targets.shape[1] == CLASSES
        assert torch.allclose(targets.sum(1), torch.ones(len(targets)))


def test_what_is_drawn_does_not_depend_on_how_far_the_workers_read_ahead(folder: Path) -> None:
    first = list(epoch_of(images_of("streamed", folder, workers=0), **EVERYTHING))
    for workers in (1, 3):
        again = epoch_of(images_of("streamed", folder, workers=workers), **EVERYTHING)
        for (images, targets), (same_images, same_targets) in zip(first, again, strict=True):
            assert torch.equal(images, same_images)
            assert torch.equal(targets, same_targets)


def test_rand_augment_does_not_depend_on_the_memory_layout() -> None:
    """Files arrive channels last."""
    images = PIXELS / 255
    plain, last = (
        rand_augment(laid, operations=3, magnitude=9.0, generator=torch.Generator().manual_seed(1))
        for laid in (images, images.to(memory_format=torch.channels_last))
    )
    assert torch.allclose(plain, last, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_arrive_where_they_are_asked_for(folder: Path, kind: str) -> None:
    """The meta device stands for a GPU: whatever computes on the wrong one fails."""
    moved = images_of(kind, folder, workers=0).to("meta")
    assert moved.device.type == "meta"
    assert (len(moved), moved.channels) == (COUNT, 3)
    for images, targets in moved.batches(torch.arange(4), size=2, preprocessing=PREPROCESSING):
        assert (images.device.type, images.dtype, targets.device.type) == ("meta", torch.float32, "meta")
    here = images_of(kind, folder)
    assert here.batch(torch.arange(2), preprocessing=PREPROCESSING, device=torch.device("meta")).is_meta


# --------------------------------------------------------------------------------------------------------------- labels


BOXES = [
    {"boxes": torch.full((number % 3, 4), float(number)), "labels": [number] * (number % 3)} for number in range(COUNT)
]


@pytest.mark.parametrize("kind", KINDS)
def test_images_without_labels_pass(folder: Path, kind: str) -> None:
    images = images_of(kind, folder, labels=None)
    labelled = epoch_of(images_of(kind, folder), crop="pad4", flip=0.5, cutout=4)
    for (batch, targets), (same, _) in zip(epoch_of(images, crop="pad4", flip=0.5, cutout=4), labelled, strict=True):
        assert targets is None
        assert torch.equal(batch, same)
    shown = list(EvaluationBatches(images, preprocessing=PREPROCESSING, batch_size=30))
    assert [(len(batch), targets) for batch, targets in shown] == [(30, None), (20, None)]
    assert len(list(images.identity())) >= 1


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_stay_with_their_images_untouched(folder: Path, kind: str) -> None:
    """Each target is the very object that was given, whatever is done to the pixels."""
    seen = []
    for batch, targets in epoch_of(images_of(kind, folder, labels=BOXES), cutout=4, rand_augment=1, rand_magnitude=5.0):
        assert len(batch) == len(targets)
        seen += targets
    numbers = torch.cat([labels for _, labels in epoch_of(images_of(kind, folder, labels=torch.arange(COUNT)))])
    assert [id(target) for target in seen] == [id(BOXES[number]) for number in numbers.tolist()]
    evaluated = EvaluationBatches(images_of(kind, folder, labels=BOXES), preprocessing=PREPROCESSING, batch_size=30)
    assert [target for _, targets in evaluated for target in targets] == BOXES


@pytest.mark.parametrize("labels", [None, BOXES])
def test_only_classes_can_be_mixed(folder: Path, labels: Labels) -> None:
    images = images_of("streamed", folder, labels=labels)
    for field in ("mixup", "cutmix"):
        with pytest.raises(UsageError, match=f"{field}.* needs the class of each image"):
            epoch_of(images, **{field: 0.5})
    with pytest.raises(UsageError, match="needs the class of each image"):
        class_labels(images)


# ----------------------------------------------------------------------------------------------------- what they tell


@pytest.mark.parametrize("kind", KINDS)
def test_the_hash_of_a_split_is_of_places_and_labels(folder: Path, kind: str) -> None:
    first = list(images_of(kind, folder).identity())
    assert first == list(images_of(kind, folder).identity())
    assert first != list(images_of(kind, folder, labels=LABELS.flip(0)).identity())
    assert first != list(images_of(kind, folder, labels=None).identity())


ANSWER = {"boxes": [[1.0, 2.0, 3.0, 4.0]], "names": ["cell"]}


@pytest.mark.parametrize(
    ("label", "other"),
    [
        (torch.tensor([10.00001]), torch.tensor([10.00004])),  # equal where they are printed
        (np.arange(4000.0), np.arange(4000.0) + (np.arange(4000) == 2000)),  # printed, NumPy shortens it
        (np.zeros(2, np.int64), np.zeros(2, np.float64)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (ANSWER, {**ANSWER, "names": ["cells"]}),
        (["ab", "c"], ["a", "bc"]),
        ([["a"], "b"], [["a", "b"]]),
        (1, True),
        (1, "1"),
        (None, "None"),
    ],
    ids=str,
)
def test_structured_labels_are_told_apart_by_every_value(label: Any, other: Any) -> None:
    assert label_bytes([label, 0]) == label_bytes([copy.deepcopy(label), 0]) != label_bytes([other, 0])
    assert label_bytes([ANSWER]) == label_bytes([dict(reversed(ANSWER.items()))])


def test_labels_that_are_no_plain_data_are_refused() -> None:
    with pytest.raises(UsageError, match="a label holds a object; labels are plain data"):
        label_bytes([{"box": object()}])


def test_no_images_have_no_logits() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10))
    preprocessing = Preprocessing(8, (0.5,) * 3, (0.5,) * 3)
    assert predict_logits(network, PIXELS[:0], preprocessing=preprocessing).shape == (0, 10)
    as_floats = predict_logits(network, PIXELS.double() / 255, preprocessing=preprocessing)
    assert torch.allclose(as_floats, predict_logits(network, PIXELS, preprocessing=preprocessing), atol=1e-5)


def test_the_hash_of_files_is_of_their_content_and_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, pixels in (("a.png", PIXELS[0]), ("b.png", PIXELS[1])):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / name)
    images = StreamedImages(FileStore(tmp_path, ["a.png", "b.png"]), None, torch.arange(2))
    before = images.content_hash()
    swapped = StreamedImages(FileStore(tmp_path, ["b.png", "a.png"]), None, torch.arange(2))
    assert swapped.content_hash() != before
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    changed = images.content_hash()
    assert changed != before
    monkeypatch.setattr(stores, "open_regular", None)  # neither file is read again
    assert images.content_hash() == changed
    os.utime(tmp_path / "b.png", ns=(0, 0))
    with pytest.raises(TypeError):
        images.content_hash()


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 10_000])
def test_the_ending_of_a_file_is_its_last_bytes(tmp_path: Path, size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "a.png").write_bytes(content)
    store = stores.FileStore(tmp_path, ["a.png"])
    assert (store.ending(0), store.size(0), store.read(0)) == (content[-stores.ENDING :], size, content)


def test_the_hash_of_pixels_is_of_all_of_them() -> None:
    images = unlabelled(PIXELS)
    other = unlabelled(PIXELS.clone().index_fill_(0, torch.tensor([7]), 0))
    assert images.content_hash() == unlabelled(PIXELS.clone()).content_hash() != other.content_hash()


@pytest.mark.parametrize("kind", KINDS)
def test_thumbnails(folder: Path, kind: str) -> None:
    images, places = images_of(kind, folder), torch.tensor([4, 0, 4])
    assert torch.equal(images.thumbnails(places, size=SIZE), PIXELS[places])
    small = images.thumbnails(places, size=5)
    assert (small.shape, small.dtype) == ((3, 3, 5, 5), torch.uint8)


def test_statistics_of_files_are_those_of_their_pixels(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = channel_statistics(PIXELS)
    resident, streamed = (images_of(kind, folder) for kind in KINDS)
    assert resident.channel_statistics(image_size=7) == exact
    for found, expected in zip(streamed.channel_statistics(image_size=SIZE), exact, strict=True):
        assert found == pytest.approx(expected, abs=1e-7)
    monkeypatch.setattr(streaming, "STATISTICS_IMAGES", 20)  # of some images: near, the same at each call
    part = streamed.channel_statistics(image_size=SIZE)
    assert part == streamed.channel_statistics(image_size=SIZE) != exact
    for found, expected in zip(part, exact, strict=True):
        assert found == pytest.approx(expected, abs=0.03)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = StreamedImages(FileStore(tmp_path, ["gone.png"]), None, torch.arange(1))
    with pytest.raises(UsageError, match=r"no image at .*gone\.png"):
        gone.content_hash()
