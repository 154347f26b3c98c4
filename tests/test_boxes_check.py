"""`data check` for images with boxes: every planted fault is found, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxed_files as made
from convatlas.cli import main
from convatlas.data import open_source
from convatlas.data.check import Check, check_data, found_data
from convatlas.data.readability import require_readable, without_unreadable
from convatlas.errors import UsageError

LOOKS = {
    "tiny-class",
    "imbalance",
    "absent-class",
    "small",
    "no-boxes",
    "near-leak",
    "near-repeated",
    "one-colour",
    "dark",
}


def checked(reference: str) -> Check:
    source = open_source(reference)
    data, unsplit = found_data(source)
    return check_data(data, unsplit=unsplit, boxed=source.boxed)


def found(check: Check) -> dict[str, list[str]]:
    """Returns the names of the images of each finding, but for findings about the looks of invented images."""
    return {
        finding.kind: sorted(Path(check.scan.name(number)).stem for group in finding.groups for number in group)
        for finding in check.findings
        if finding.kind not in LOOKS
    }


def details(check: Check, kind: str) -> tuple[str, ...]:
    return next(finding.details for finding in check.findings if finding.kind == kind)


FAULTS = [
    made.Picture("outside", boxes=[("cat", 50, 5, 60, 9), ("dog", 1, 1, 9, 9)]),
    made.Picture("inverted", boxes=[("cat", 20, 5, 10, 9), ("dog", 8, 8, 8, 20)]),
    made.Picture("over", boxes=[("cat", -3, 5, 10, 9.5)]),
    made.Picture("twice", boxes=[("cat", 2, 2, 30, 28), ("cat", 2, 2, 30, 27.5), ("dog", 2, 2, 30, 28)]),
]
EXPECTED = {
    "box-outside": ["outside"],
    "box-empty": ["inverted"],
    "box-repeated": ["twice"],
    "box-cut": ["over"],
}


@pytest.mark.parametrize("write", [made.voc, made.coco])
def test_planted_boxes_are_found_and_nothing_else(write: Callable[..., Path], tmp_path: Path) -> None:
    kind = "voc" if write is made.voc else "coco"
    check = checked(f"{kind}:{write(tmp_path, [*made.pictures(), *FAULTS])}")
    assert found(check) == EXPECTED
    assert details(check, "box-outside") == ("1 box 50, 5, 60, 9",)
    assert details(check, "box-repeated") == ("1 box 2, 2, 30, 27.5",)  # not the one of another class
    assert details(check, "box-empty") == ("2 boxes, the first 20, 5, 10, 9",)
    assert next(each.images for each in check.findings if each.kind == "no-boxes") == 1
    assert not check.may_train


def test_sound_boxes_raise_no_alarm(tmp_path: Path) -> None:
    check = checked(f"yolo:{made.yolo(tmp_path, made.pictures())}")
    assert found(check) == {}
    assert check.may_train
    titles = {title for title, _ in check.passed()}
    assert "with boxes wholly outside" in titles
    assert "of an odd shape" not in titles


def test_a_missing_image_an_unknown_class_and_another_size(tmp_path: Path) -> None:
    made.coco(tmp_path, made.pictures())
    path = tmp_path / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["category_id"] = 9
    content["images"][1]["width"] = 41
    path.write_text(json.dumps(content))
    (tmp_path / "train2017" / "train_2.png").unlink()
    (tmp_path / "train2017" / "train_3.png").write_bytes(b"<html>")
    check = checked(f"coco:{tmp_path}")
    assert found(check) == {
        "image-missing": ["train_2"],
        "unreadable": ["train_3"],
        "box-class": ["train_0"],
        "image-size": ["train_1"],
    }
    assert details(check, "box-class") == ("number 9",)
    assert details(check, "image-size") == ("41 x 30 in the annotation, 40 x 30 in the file",)


def test_boxes_without_an_image_are_found_where_images_lead(tmp_path: Path) -> None:
    made.yolo(tmp_path, made.pictures())
    (tmp_path / "images" / "train" / "train_0.png").unlink()
    check = checked(f"yolo:{tmp_path}")
    assert "train_0.txt" in details(check, "image-missing")[0]


def test_an_image_in_two_splits_is_a_leak_and_equal_images_of_other_boxes_contradict(tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures())
    content = (tmp_path / "JPEGImages" / "train_0.png").read_bytes()
    (tmp_path / "JPEGImages" / "train_1.png").write_bytes(content)
    (tmp_path / made.LISTS / "test.txt").write_text("test_0\ntrain_3\n")
    check = checked(f"voc:{tmp_path}")
    assert found(check) == {"leak": ["train_3", "train_3"], "contradiction": ["train_0", "train_1"]}


def test_images_that_cannot_be_read_are_left_out_with_their_boxes(tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures())
    (tmp_path / "JPEGImages" / "train_0.png").write_bytes(b"no image")
    data = open_source(f"voc:{tmp_path}").load()
    with pytest.raises(UsageError, match=r"1 of 9 images of voc:.* cannot be read: JPEGImages/train_0.png"):
        require_readable(data)
    left = without_unreadable(data)
    assert len(left.train) == 4
    assert left.train.labels is not None
    assert len(left.train.labels) == 4


def test_the_command_counts_boxes_and_ends_with_1_for_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made.voc(tmp_path / "cells", [*made.pictures(), *FAULTS])
    page = tmp_path / "page.html"
    assert main(["data", "check", f"voc:{tmp_path / 'cells'}", "--out", str(page)]) == 1
    out = capsys.readouterr().out
    assert "train: 9 images, 14 boxes; fewest" in out
    assert "1 image with boxes wholly outside" in out
    assert "Boxes of each class" in page.read_text()
    assert "<b>1 dog</b>" in page.read_text()


def test_thumbnails_have_boxes(tmp_path: Path) -> None:
    from convatlas.data.check import thumbnail

    chosen = [made.Picture(part, part, 80, 60, [("cat", 20, 20, 60, 40)]) for part in ("train", "val", "test")]
    made.voc(tmp_path, chosen)
    Image.new("RGB", (80, 60)).save(tmp_path / "JPEGImages" / "train.png")
    check = checked(f"voc:{tmp_path}")
    image = thumbnail(check.scan, 0, side=40)
    assert image is not None
    rows, columns = np.nonzero(np.asarray(image).max(2))
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (10, 10, 30, 20)
