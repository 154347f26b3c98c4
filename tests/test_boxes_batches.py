"""The transforms that move images and their boxes together, and the batches that a detector gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import boxed_files as made
from convatlas.data import load_data
from convatlas.data.boxes.augmentation import BoxChanges, layers_of
from convatlas.data.boxes.batches import BoxBatches, BoxEvaluationBatches, padded
from convatlas.data.boxes.placement import Placement, fitted, put, scaled
from convatlas.data.boxes.truth import Boxes, boxes_in
from convatlas.data.dataset import DataSet
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.subset import no_images
from convatlas.errors import UsageError
from convatlas.recipe import recipe

PLAIN = Preprocessing(32, (0.2, 0.4, 0.6), (0.5, 0.5, 0.5))
QUICK = recipe("quick").replaced(batch_size=3, drop_last=False)
sides = st.integers(2, 60)
fractions = st.floats(0, 1, exclude_max=True)
placements = st.builds(
    lambda width, height, longer, across, down, cut, mirrored: scaled(
        width, height, longer=longer, window=(across, down, 40, 36), cut=cut, mirrored=mirrored
    ),
    width=sides,
    height=sides,
    longer=st.integers(2, 90),
    across=st.integers(0, 20),
    down=st.integers(0, 20),
    cut=st.tuples(fractions, fractions),
    mirrored=st.booleans(),
)


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    return load_data(f"voc:{made.voc(tmp_path, made.pictures(train=6))}")


def streamed(data: DataSet) -> StreamedImages:
    assert isinstance(data.train, StreamedImages)
    return data.train


def epoch(
    images: StreamedImages, *, seed: int = 3, changes: BoxChanges | None = None
) -> list[tuple[torch.Tensor, ...]]:
    batches = BoxBatches(images, recipe=QUICK, preprocessing=PLAIN, changes=changes or BoxChanges(), seed=seed)
    return [(pixels, *truth) for pixels, truth in batches]


def drawn_box(placement: Placement, corners: list[int]) -> np.ndarray:
    """Returns the square of an image that is black but for a white box, as numbers from 0 to 1."""
    pixels = np.zeros((placement.height, placement.width, 3), np.uint8)
    left, top, right, bottom = corners
    pixels[top:bottom, left:right] = 255
    square = np.zeros((40, 40, 3), np.uint8)
    put(pixels, placement, square)
    brightness: np.ndarray = square[..., 0] / 255
    return brightness


def covered(corners: np.ndarray) -> np.ndarray:
    """Returns which part of each pixel of a square of 40 lies in a box."""
    edges = np.arange(41)
    left, top, right, bottom = corners
    columns, rows = (np.diff(edges.clip(low, high)) for low, high in ((left, right), (top, bottom)))
    return np.outer(rows, columns)


# ------------------------------------------------------------------------------------------------------------ places


@settings(max_examples=60, deadline=None)
@given(placement=placements, data=st.data())
def test_a_drawn_box_and_its_corners_move_alike(placement: Placement, data: st.DataObject) -> None:
    """All pixels of a box move where its corners move, to the blur of resizing."""
    left, top = (data.draw(st.integers(0, side - 1)) for side in (placement.width, placement.height))
    right = data.draw(st.integers(left + 1, placement.width))
    bottom = data.draw(st.integers(top + 1, placement.height))
    square = drawn_box(placement, [left, top, right, bottom])
    seen, _ = placement.visible(
        boxes_in([[left, top, right, bottom]], [0], [False], width=placement.width, height=placement.height)
    )
    corners = seen.corners[0] if len(seen) else np.zeros(4)
    blur = 1 + max(placement.columns / placement.width, placement.rows / placement.height)
    bright = np.argwhere(square > 0.5)
    inside = corners + np.array([-blur, -blur, blur, blur])
    assert all(inside[0] <= x + 0.5 <= inside[2] and inside[1] <= y + 0.5 <= inside[3] for y, x in bright)
    if (corners[2:] - corners[:2] > 2 * blur).all():
        assert (square[covered(corners + np.array([blur, blur, -blur, -blur])) == 1] > 0.5).all()


@settings(max_examples=60, deadline=None)
@given(placement=placements)
def test_backward_is_the_inverse_of_forward(placement: Placement) -> None:
    corners = np.array([[0, 0, placement.width, placement.height], [0.5, 1.0, 1.5, 1.25]])
    assert np.allclose(placement.backward(placement.forward(corners)), corners, atol=1e-9)


@pytest.mark.parametrize("mirrored", [False, True])
def test_whole_pixels_move_exactly(mirrored: bool) -> None:
    """Without resizing and at twice the size nothing is blurred but the edge: every pixel is where the corners say."""
    placement = scaled(60, 50, longer=60, window=(0, 0, 40, 40), cut=(0.5, 0.2), mirrored=mirrored)
    assert (placement.left, placement.top) == (-10, -2)
    corners = [14, 8, 30, 21]
    seen, _ = placement.visible(boxes_in([corners], [0], [False], width=60, height=50))
    assert seen.corners.tolist() == [[20, 6, 36, 19] if mirrored else [4, 6, 20, 19]]
    assert (drawn_box(placement, corners) == covered(seen.corners[0])).all()


def test_boxes_of_which_nothing_is_seen_are_dropped() -> None:
    placement = scaled(80, 40, longer=80, window=(0, 0, 40, 40), cut=(0.5, 0))
    boxes = boxes_in([[0, 0, 20, 40], [0, 0, 21, 40], [60, 0, 80, 40]], [0, 1, 2], [0, 1, 0], width=80, height=40)
    seen, places = placement.visible(boxes)
    assert seen.corners.tolist() == [[0, 0, 1, 40]]
    assert (places.tolist(), seen.labels.tolist(), seen.difficult.tolist()) == ([1], [1], [True])


def test_evaluation_shows_the_whole_image_at_the_upper_left() -> None:
    """As google/automl and effdet: the longer side fills the square, the shorter is rounded down."""
    assert (fitted(640, 427, size=512).columns, fitted(640, 427, size=512).rows) == (512, 341)
    assert (fitted(10, 500, size=100).columns, fitted(10, 500, size=100).rows) == (2, 100)
    assert fitted(2000, 1, size=64).rows == 2


def test_scales_and_mirroring_are_drawn_over_their_whole_range() -> None:
    boxes = [boxes_in([], [], [], width=100, height=50)]
    drawn = [layers_of(0, boxes, BoxChanges(), size=100, seed=seed)[0].placement for seed in range(400)]
    longer = np.array([each.columns for each in drawn])
    assert 9 <= longer.min() <= 15
    assert 190 <= longer.max() < 200
    assert abs(longer.mean() - 105) < 10
    assert 0.4 < np.mean([each.mirrored for each in drawn]) < 0.6
    cut = np.array([each.left for each in drawn if each.columns == longer.max()])
    assert ((cut <= 0) & (cut >= 100 - longer.max())).all()
    assert all(each.left == 0 for each in drawn if each.columns <= 100)


# ----------------------------------------------------------------------------------------------------------- batches


def test_a_batch_is_as_the_contract_says(data: DataSet) -> None:
    batches = epoch(streamed(data))
    assert [len(pixels) for pixels, *_ in batches] == [3, 3, 1]
    for pixels, corners, labels, ignored in batches:
        assert pixels.shape[1:] == (3, 32, 32)
        assert pixels.dtype == torch.float32
        assert corners.shape == (*labels.shape, 4)
        assert ignored.shape == labels.shape
        assert (corners.dtype, labels.dtype, ignored.dtype) == (torch.float32, torch.int64, torch.bool)
        there = labels >= 0
        assert (corners[~there] == -1).all()
        assert not ignored[~there].any()
        inside = corners[there]
        assert ((inside >= 0) & (inside <= 32)).all()
        assert (inside[:, 2:] > inside[:, :2]).all()
    assert any(ignored.any() for *_, ignored in batches)


def test_padding_of_an_image_without_boxes() -> None:
    empty, one = boxes_in([], [], [], width=9, height=9), boxes_in([[0, 0, 4, 5]], [3], [True], width=9, height=9)
    assert padded([empty]).corners.tolist() == [[[-1, -1, -1, -1]]]
    assert padded([empty, one]).labels.tolist() == [[-1], [3]]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("changes", [BoxChanges(), BoxChanges(mosaic=0.5)], ids=["jitter", "mosaic"])
def test_batches_are_the_same_for_any_workers_and_memory(data: DataSet, workers: int, changes: BoxChanges) -> None:
    images = replace(streamed(data), workers=workers)
    kept = images.kept()
    first = epoch(replace(images, workers=0), changes=changes)
    for again in (epoch(images, changes=changes), epoch(kept, changes=changes), epoch(kept, changes=changes)):
        assert all(
            torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True)
        )


def test_each_seed_is_an_epoch_of_its_own(data: DataSet) -> None:
    one, other = epoch(streamed(data), seed=1), epoch(streamed(data), seed=2)
    assert not torch.equal(one[0][0], other[0][0])


def test_around_an_image_lies_the_mean(data: DataSet) -> None:
    pixels, placements = next(iter(BoxEvaluationBatches(data.train, preprocessing=PLAIN, batch_size=9)))
    assert len(pixels) == len(placements) == 7
    assert (placements[0].columns, placements[0].rows) == (32, 24)
    assert pixels[:, :, 24:].abs().max() < 0.005
    assert pixels[:, :, :24].abs().max() > 0.3


def test_a_mosaic_shows_four_images_with_their_boxes(tmp_path: Path) -> None:
    """Every drawn box is as red as it was, so that the red part of the square is that of the boxes."""
    full = [made.Picture(f"{each}", each, boxes=[("cat", 0, 0, 40, 30)]) for each in ("train", "val", "test")]
    data = load_data(f"voc:{made.voc(tmp_path, full)}")
    changes = BoxChanges(scale=(0.9, 1.2), mosaic=1)
    pixels, corners, labels, _ = epoch(streamed(data), changes=changes)[0]
    assert (labels[0] == 0).sum() == 4
    red = (pixels[0, 0] * 0.5 + 0.2 > 0.9).numpy()
    area = np.zeros((32, 32))
    for own in corners[0].numpy():
        area += covered(own)[:32, :32]
    assert (red == (area > 0.5)).mean() > 0.97
    assert 4 * 30 < area.sum() <= 32 * 32


def test_boxes_of_another_size_of_image_are_refused(tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures())
    path = tmp_path / "Annotations" / "train_0.xml"
    path.write_text(path.read_text().replace("<width>40", "<width>30"))
    data = load_data(f"voc:{tmp_path}")
    with pytest.raises(UsageError, match=r"train_0\.png has 40 x 30 pixels and its annotation says 30 x 30"):
        epoch(streamed(data))


def test_images_without_boxes_are_no_batches() -> None:
    with pytest.raises(UsageError, match="training a detector needs the boxes of each image"):
        epoch(no_images(3))


def test_boxes_are_chosen_by_mask() -> None:
    boxes: Boxes = boxes_in([[0, 0, 1, 1], [2, 2, 3, 3]], [4, 5], [0, 1], width=9, height=9)
    assert boxes.chosen(np.array([False, True])).labels.tolist() == [5]
