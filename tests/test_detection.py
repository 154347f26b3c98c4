"""The arithmetic of detectors, against definitions, slow references and effdet (in a process of its own)."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from convatlas.architectures import architecture
from convatlas.data.boxes.batches import PaddedBoxes
from convatlas.detection.anchors import Anchors, Flat, flat_output, level_sizes
from convatlas.detection.boxes import LARGEST, decode, encode, overlaps
from convatlas.detection.losses import DetectionLosses, LossForm, detection_losses, focal_loss
from convatlas.detection.matching import BACKGROUND, UNDECIDED, Targets, match
from convatlas.detection.suppression import Detections, Suppression, detections, suppress
from convatlas.layers import DetectorOutput
from oracles import INSTALLED

FORM = LossForm()


def random_boxes(count: int, seed: int, *, side: float = 100.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * side
    return torch.cat((low, low + 2 + torch.rand(count, 2, generator=generator) * side / 2), dim=1)


# ------------------------------------------------------------------------------------------------------------- anchors


def test_the_anchors_of_a_place_have_the_published_sizes_and_shapes() -> None:
    boxes = Anchors().boxes(512, [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)])
    assert boxes.shape == (49_104, 4)
    first = boxes[:9]
    assert torch.allclose((first[:, :2] + first[:, 2:]) / 2, torch.tensor(4.0))  # the centre of the first cell
    sides = [
        (32 * 2 ** (octave / 3) * wide, 32 * 2 ** (octave / 3) * high)
        for octave in range(3)
        for wide, high in ((1, 1), (1.4, 0.7), (0.7, 1.4))
    ]
    assert torch.allclose(first[:, 2:] - first[:, :2], torch.tensor(sides))
    assert torch.allclose(boxes[9, :2] - boxes[0, :2], torch.tensor([8.0, 0.0]))  # along the row first
    assert boxes[-9:].mean(0).tolist() == pytest.approx([448 - 256, 448 - 256, 448 + 256, 448 + 256], rel=0.5)


def test_the_anchor_scale_of_d7_makes_larger_anchors() -> None:
    four, five = (Anchors(scale).boxes(64, [(8, 8)]) for scale in (4.0, 5.0))
    assert torch.allclose((five[:, 2] - five[:, 0]) / (four[:, 2] - four[:, 0]), torch.tensor(1.25))


def test_levels_that_do_not_divide_the_image_cover_it_evenly() -> None:
    boxes = Anchors().boxes(320, [(3, 3)])
    centres = (boxes[:27:9, 0] + boxes[:27:9, 2]) / 2
    assert centres.tolist() == pytest.approx([320 / 6, 160, 320 * 5 / 6])


def test_a_network_gives_as_many_boxes_as_there_are_anchors_in_their_order() -> None:
    network = architecture("efficientdet_tiny").build(num_classes=2).eval()
    with torch.no_grad():
        output = network(torch.zeros(1, 3, 64, 64))
    levels = level_sizes(output)
    flat = flat_output(output, anchors=len(Anchors()))
    assert flat.logits.shape == (1, len(Anchors().boxes(64, levels)), 2)
    place = (2 * levels[0][1] + 5) * 9 + 4  # row 2, column 5, anchor 4
    assert torch.equal(flat.logits[0, place], output.logits[0][0, 4 * 2 : 5 * 2, 2, 5])
    assert torch.equal(flat.offsets[0, place], output.offsets[0][0, 4 * 4 : 5 * 4, 2, 5])


# --------------------------------------------------------------------------------------------------------------- boxes


def test_overlaps_are_intersection_over_union() -> None:
    first, second = random_boxes(7, 1), random_boxes(9, 2)
    found = overlaps(first[:, None], second)
    for i, one in enumerate(first.tolist()):
        for j, two in enumerate(second.tolist()):
            wide = max(0.0, min(one[2], two[2]) - max(one[0], two[0]))
            high = max(0.0, min(one[3], two[3]) - max(one[1], two[1]))
            union = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1]) - wide * high
            assert found[i, j].item() == pytest.approx(wide * high / union, abs=1e-5)
    assert overlaps(first[0], first[0]).item() == pytest.approx(1)
    assert overlaps(torch.ones(4), torch.ones(4)).item() == 0  # an empty box


def test_offsets_are_those_of_faster_rcnn_and_lead_back() -> None:
    anchor, box = torch.tensor([10.0, 20, 30, 60]), torch.tensor([14.0, 20, 34, 40])
    wanted = [(30 - 40) / 40, (24 - 20) / 20, math.log(20 / 40), math.log(20 / 20)]
    assert encode(box, anchor).tolist() == pytest.approx(wanted)
    anchors, boxes = random_boxes(50, 3), random_boxes(50, 4)
    assert torch.allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-3)


def test_a_huge_offset_gives_a_finite_box() -> None:
    box = decode(torch.tensor([0.0, 0, 500, 500]), torch.tensor([0.0, 0, 16, 16]))
    assert box.isfinite().all()
    assert (box[2] - box[0]).item() == pytest.approx(16 * math.exp(LARGEST), rel=1e-4)


# ------------------------------------------------------------------------------------------------------------ matching


def slow_match(anchors: Tensor, corners: Tensor, labels: Tensor) -> list[int]:
    """The box of each anchor by the rule in words; -1 is none."""
    overlap = [[overlaps(box, anchor).item() for anchor in anchors] for box in corners]
    owners = []
    for place in range(len(anchors)):
        column = [row[place] for row in overlap]
        owners.append(int(np.argmax(column)) if max(column) >= 0.5 else -1)
    forced: dict[int, int] = {}
    for box, row in enumerate(overlap):
        if max(row) > 0:
            forced.setdefault(int(np.argmax(row)), box)
    return [forced.get(place, owner) for place, owner in enumerate(owners)]


@pytest.mark.parametrize("seed", range(3))
def test_matches_are_those_of_a_slow_reference(seed: int) -> None:
    anchors = Anchors().boxes(64, [(8, 8), (4, 4)])[::3]
    corners, labels = random_boxes(6, seed, side=50), torch.tensor([0, 1, 2, 0, 1, 2])
    truth = PaddedBoxes(corners[None], labels[None], torch.zeros(1, 6, dtype=torch.bool))
    found = match(anchors, truth)
    owners = slow_match(anchors, corners, labels)
    assert found.classes[0].tolist() == [BACKGROUND if owner < 0 else int(labels[owner]) for owner in owners]
    for place, owner in enumerate(owners):
        wanted = torch.zeros(4) if owner < 0 else encode(corners[owner], anchors[place])
        assert torch.allclose(found.offsets[0, place], wanted, atol=1e-6)


def test_every_box_has_an_anchor_and_of_two_boxes_with_one_best_anchor_the_first_has_it() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    corners = torch.tensor([[0.0, 0, 3, 3], [0, 0, 4, 4], [55, 55, 90, 90]])
    truth = PaddedBoxes(corners[None], torch.tensor([[4, 5, 6]]), torch.zeros(1, 3, dtype=torch.bool))
    assert match(anchors, truth).classes.tolist() == [[4, 6]]


def test_padding_matches_nothing_and_an_image_without_boxes_is_background() -> None:
    anchors = Anchors().boxes(64, [(8, 8)])
    empty = PaddedBoxes(torch.full((2, 3, 4), -1.0), torch.full((2, 3), -1), torch.zeros(2, 3, dtype=torch.bool))
    found = match(anchors, empty)
    assert (found.classes == BACKGROUND).all()
    assert found.positives.item() == 0
    none = PaddedBoxes(torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool))
    assert torch.equal(match(anchors, none).classes, found.classes)


def test_anchors_in_an_ignored_box_are_undecided_unless_they_have_a_box() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 0, 30, 10], [26, 0, 36, 10], [80, 80, 90, 90]])
    corners = torch.tensor([[[0.0, 0, 10, 10], [-5, -5, 32, 20]]])
    truth = PaddedBoxes(corners, torch.tensor([[1, 1]]), torch.tensor([[False, True]]))
    assert match(anchors, truth).classes.tolist() == [[1, UNDECIDED, UNDECIDED, BACKGROUND]]


# -------------------------------------------------------------------------------------------------------------- losses


def test_the_focal_loss_is_its_formula() -> None:
    logits = torch.linspace(-4, 4, 9, dtype=torch.float64)
    for wanted in (0.0, 1.0):
        found = focal_loss(logits, torch.full_like(logits, wanted), FORM)
        for logit, loss in zip(logits.tolist(), found.tolist(), strict=True):
            p = 1 / (1 + math.exp(-logit))
            hit, alpha = (p, 0.25) if wanted else (1 - p, 0.75)
            assert loss == pytest.approx(-alpha * (1 - hit) ** 1.5 * math.log(hit))


def test_losses_are_those_of_a_slow_reference() -> None:
    generator = torch.Generator().manual_seed(5)
    logits, offsets = torch.randn(2, 4, 3, generator=generator), torch.randn(2, 4, 4, generator=generator) / 5
    targets = Targets(
        torch.tensor([[2, BACKGROUND, UNDECIDED, 0], [BACKGROUND] * 4]), torch.randn(2, 4, 4, generator=generator) / 5
    )
    found = detection_losses(Flat(logits, offsets), targets, positives=targets.positives, form=FORM)
    classes = boxes = 0.0
    for image in range(2):
        for anchor, label in enumerate(targets.classes[image].tolist()):
            for number, logit in enumerate(logits[image, anchor].tolist()):
                p = 1 / (1 + math.exp(-logit))
                hit, alpha = (p, 0.25) if number == label else (1 - p, 0.75)
                classes += 0.0 if label == UNDECIDED else -alpha * (1 - hit) ** 1.5 * math.log(hit)
            distances = (offsets - targets.offsets)[image, anchor].abs().tolist()
            huber = [0.5 * d * d if d < 0.1 else 0.1 * (d - 0.05) for d in distances]
            boxes += sum(huber) if label >= 0 else 0.0
    assert found.classes.item() == pytest.approx(classes / 3, rel=1e-5)
    assert found.boxes.item() == pytest.approx(boxes / 12, rel=1e-5)
    assert found.total.item() == pytest.approx(classes / 3 + 50 * boxes / 12, rel=1e-5)


def test_losses_of_parts_add_up_to_those_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(6)
    output = Flat(torch.randn(4, 5, 2, generator=generator), torch.randn(4, 5, 4, generator=generator))
    targets = Targets(torch.randint(-2, 2, (4, 5), generator=generator), torch.zeros(4, 5, 4))
    whole = detection_losses(output, targets, positives=targets.positives, form=FORM)
    parts = [
        detection_losses(
            Flat(*(each[start : start + 2] for each in output)),
            Targets(*(each[start : start + 2] for each in targets)),
            positives=targets.positives,
            form=FORM,
        )
        for start in (0, 2)
    ]
    added = DetectionLosses(*(sum(column, torch.tensor(0.0)) for column in zip(*parts, strict=True)))
    assert torch.allclose(torch.stack(whole), torch.stack(added))


def test_the_gradient_of_saturated_logits_is_finite() -> None:
    logits = torch.tensor([[[-200.0, 200.0], [200.0, -200.0]]], requires_grad=True)
    targets = Targets(torch.tensor([[1, 1]]), torch.zeros(1, 2, 4))
    offsets = torch.zeros(1, 2, 4, requires_grad=True)
    detection_losses(Flat(logits, offsets), targets, positives=targets.positives, form=FORM).total.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


# --------------------------------------------------------------------------------------------------------- suppression


def slow_suppress(
    boxes: Tensor, scores: list[float], classes: list[int], kind: Suppression, *, most: int
) -> list[tuple[int, float]]:
    """The places and the scores of what is kept in one image."""
    left, kept = list(scores), []
    while len(kept) < most and max(left) > 0.001:
        best = left.index(max(left))
        kept.append((best, left[best]))
        left[best] = 0.0
        for other in range(len(left)):
            if classes[other] == classes[best]:
                overlap = overlaps(boxes[other], boxes[best]).item()
                left[other] *= float(overlap <= 0.5) if kind == "hard" else math.exp(-(overlap**2) / 0.5)
    return kept


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_suppression_is_that_of_a_slow_reference(kind: Suppression) -> None:
    generator = torch.Generator().manual_seed(7)
    boxes = torch.stack([random_boxes(40, seed, side=40) for seed in (1, 2)])
    scores, classes = torch.rand(2, 40, generator=generator), torch.randint(0, 2, (2, 40), generator=generator)
    scores[0, 5:] = 0.0005  # few candidates in the first image
    found = suppress(Detections(boxes, scores, classes), kind, most=12)
    for image in range(2):
        wanted = slow_suppress(boxes[image], scores[image].tolist(), classes[image].tolist(), kind, most=12)
        assert found.scores[image, : len(wanted)].tolist() == pytest.approx([score for _, score in wanted], rel=1e-5)
        for place, (number, _) in enumerate(wanted):
            assert torch.equal(found.corners[image, place], boxes[image, number])
            assert found.classes[image, place] == classes[image, number]
        assert (found.scores[image, len(wanted) :] == 0).all()
        assert (found.classes[image, len(wanted) :] == -1).all()


def test_boxes_of_different_classes_do_not_suppress_each_other() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 11]])[None]
    found = suppress(Detections(boxes, torch.tensor([[0.9, 0.8, 0.7]]), torch.tensor([[0, 1, 0]])))
    assert found.classes[0, :2].tolist() == [0, 1]
    assert found.scores[0].count_nonzero() == 2


def test_detections_come_from_the_best_anchors_and_lie_in_the_image() -> None:
    anchors = Anchors().boxes(64, [(8, 8), (4, 4)])
    logits = torch.full((1, len(anchors), 3), -20.0)
    offsets = torch.zeros(1, len(anchors), 4)
    inner, edge = 8 * 9 * 3 + 9 * 4, 0  # of row 3 and column 4; of the corner
    logits[0, inner, 2], logits[0, edge, 1] = 3.0, 2.0
    offsets[0, inner] = encode(torch.tensor([30.0, 20, 50, 44]), anchors[inner])
    found = detections(Flat(logits, offsets), anchors, size=64)
    assert found.scores[0].count_nonzero() == 2
    assert found.classes[0, :2].tolist() == [2, 1]
    assert torch.allclose(found.corners[0, 0], torch.tensor([30.0, 20, 50, 44]), atol=1e-4)
    assert torch.equal(found.corners[0, 1], anchors[edge].clamp(0, 64))
    assert found.scores[0, 0].item() == pytest.approx(1 / (1 + math.exp(-3)))


# -------------------------------------------------------------------------------------------------------------- parity


@pytest.mark.parity
@pytest.mark.skipif(not INSTALLED.exists(), reason="no effdet: make .oracles/.installed")
def test_anchors_targets_losses_and_boxes_are_those_of_effdet(tmp_path: Path) -> None:
    script, file = Path(__file__).parent / "detection_parity.py", tmp_path / "effdet.npz"
    subprocess.run([sys.executable, str(script), str(file)], check=True)
    with np.load(file) as arrays:
        theirs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    xyxy = [1, 0, 3, 2]
    levels = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    anchors = Anchors().boxes(128, levels)
    assert torch.allclose(anchors, theirs["anchors"][:, xyxy], atol=1e-4)
    odd = Anchors(5.0).boxes(320, [(40, 40), (20, 20), (10, 10), (5, 5), (3, 3)])
    assert torch.allclose(odd, theirs["odd_anchors"][:, xyxy], atol=1e-4)
    labels = torch.where(theirs["labels"] > 0, theirs["labels"] - 1, -1)
    truth = PaddedBoxes(theirs["boxes"][..., xyxy], labels, torch.zeros_like(labels, dtype=torch.bool))
    targets = match(anchors, truth)
    assert torch.equal(targets.classes, theirs["classes"])
    assert targets.positives.item() > 20
    assert torch.allclose(targets.offsets, theirs["offsets"], atol=1e-5)
    output = DetectorOutput(
        tuple(theirs[f"logits{level}"] for level in range(5)), tuple(theirs[f"outputs{level}"] for level in range(5))
    )
    flat = flat_output(output, anchors=9)
    losses = detection_losses(flat, targets, positives=targets.positives, form=FORM)
    found = [losses.total.item(), losses.classes.item(), losses.boxes.item()]
    assert found == pytest.approx(theirs["losses"].tolist(), rel=1e-5)
    assert torch.allclose(decode(flat.offsets, anchors), theirs["decoded"], atol=1e-3)
