"""COCO's numbers for detectors: by hand, and equal to pycocotools' (in a process of its own)."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convatlas.data.boxes.truth import Boxes, boxes_in
from convatlas.detection import precision
from convatlas.detection.precision import FoundBoxes, coco_results, precision_scores
from convatlas.errors import UsageError
from oracles import FOLDER, INSTALLED

NAMES = ("cell", "platelet")


def truth(*boxes: list[float], labels: list[int] | None = None, difficult: list[bool] | None = None) -> Boxes:
    labels = labels or [0] * len(boxes)
    return boxes_in(boxes, labels, difficult or [False] * len(boxes), width=200, height=200)


def found(*boxes: list[float], scores: list[float], classes: list[int] | None = None) -> FoundBoxes:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return FoundBoxes(corners, np.array(scores, np.float32), np.array(classes or [0] * len(scores), np.int64))


def test_precision_by_hand() -> None:
    # Two true boxes; the best answer is right, the second wrong, the third right: precision 1 and then 2/3.
    scores = precision_scores(
        [found([0, 0, 50, 50], [150, 150, 190, 190], [60, 60, 100, 100], scores=[0.9, 0.8, 0.7])],
        [truth([0, 0, 50, 50], [60, 60, 100, 100])],
        class_names=NAMES,
    )
    wanted = (51 * 1 + 50 * 2 / 3) / 101  # of 101 recalls, 51 are at most a half
    assert scores.ap50 == pytest.approx(wanted)
    assert scores.ap == pytest.approx(wanted)
    assert scores.class_ap50 == (pytest.approx(wanted), None)
    assert scores.class_boxes == (2, 0)
    assert scores.numbers["ar1"] == pytest.approx(0.5)
    assert scores.numbers["ap_large"] is None
    assert scores.curves[0, [0, 50, 51, 100]].tolist() == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert np.isnan(scores.curves[1]).all()


def test_a_box_of_another_class_or_of_small_overlap_is_wrong() -> None:
    wanted = [truth([0, 0, 50, 50], labels=[1])]
    assert precision_scores([found([0, 0, 50, 50], scores=[0.9])], wanted, class_names=NAMES).ap50 == 0
    shifted = found([20, 0, 70, 50], scores=[0.9], classes=[1])  # overlap 30 / 70
    assert precision_scores([shifted], wanted, class_names=NAMES).ap50 == 0


def test_difficult_boxes_count_neither_way() -> None:
    wanted = [truth([0, 0, 50, 50], [100, 100, 150, 150], difficult=[False, True])]
    both = found([100, 100, 150, 150], [0, 0, 50, 50], scores=[0.9, 0.8])
    one = found([0, 0, 50, 50], scores=[0.8])
    for each in (both, one):
        scores = precision_scores([each], wanted, class_names=NAMES)
        assert scores.ap == pytest.approx(1)
        assert scores.class_boxes == (1, 0)


def test_no_detections_and_no_true_boxes_give_numbers() -> None:
    nothing = found(scores=[])
    assert precision_scores([nothing], [truth([0, 0, 9, 9])], class_names=NAMES).ap == 0
    empty = precision_scores([nothing, found([0, 0, 9, 9], scores=[0.5])], [truth(), truth()], class_names=NAMES)
    assert (empty.ap, empty.numbers["ap"]) == (0, None)


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "PACKAGE", "no_such_package")
    with pytest.raises(UsageError, match=r"pip install 'convatlas\[detect\]'"):
        precision_scores([], [], class_names=NAMES)


def coco_file(truth: list[Boxes], names: tuple[str, ...]) -> dict[str, object]:
    """A file of COCO, written without the code that is tested."""
    annotations = []
    for image, each in enumerate(truth):
        assert each.areas is not None
        for (left, top, right, bottom), label, crowd, area in zip(
            each.corners.astype(float).tolist(), each.labels, each.difficult, each.areas, strict=True
        ):
            box = {"bbox": [left, top, right - left, bottom - top], "area": float(area), "iscrowd": int(crowd)}
            own = {"id": len(annotations) + 1, "image_id": image + 1, "category_id": int(label) + 1}
            annotations.append({**own, **box})
    images = [{"id": image + 1, "width": 500, "height": 500} for image in range(len(truth))]
    categories = [{"id": number + 1, "name": name} for number, name in enumerate(names)]
    return {"info": {}, "images": images, "categories": categories, "annotations": annotations}


@pytest.mark.parity
@pytest.mark.skipif(not (INSTALLED.exists() and (FOLDER / "pycocotools").exists()), reason="no pycocotools")
def test_the_twelve_numbers_are_those_of_pycocotools(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    names, true, given = ("a", "b", "c"), [], []
    for _ in range(20):
        low, sides = generator.uniform(0, 300, (8, 2)), generator.uniform(10, 150, (8, 2))
        corners = np.concatenate((low, low + sides), axis=1)
        labels = generator.integers(0, 3, 8)
        boxes = boxes_in(corners, labels, generator.random(8) < 0.2, width=500, height=500)
        true.append(dataclasses.replace(boxes, areas=generator.uniform(0.2, 1, 8) * sides.prod(1)))  # of the things
        moved = np.concatenate((corners, corners)) + generator.normal(0, 8, (16, 4))
        classes = np.where(generator.random(16) < 0.8, np.tile(labels, 2), generator.integers(0, 3, 16))
        given.append(FoundBoxes(moved.astype(np.float32), generator.random(16, np.float32), classes))
    scores = precision_scores(given, true, class_names=names)
    truth_file, results_file = tmp_path / "truth.json", tmp_path / "results.json"
    truth_file.write_text(json.dumps(coco_file(true, names)))
    results_file.write_text(json.dumps(list(coco_results(given))))
    script = str(Path(__file__).parent / "coco_parity.py")
    done = subprocess.run(
        [sys.executable, script, str(truth_file), str(results_file)], check=True, capture_output=True, text=True
    )
    wanted = json.loads(done.stdout)
    assert 0.1 < wanted[0] < 0.9
    assert list(scores.numbers.values()) == pytest.approx(wanted, abs=1e-12)
