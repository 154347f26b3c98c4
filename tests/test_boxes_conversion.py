"""`data convert`: the same boxes in the layouts of VOC, COCO and YOLO."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import boxed_files as made
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.boxes.conversion import LAYOUTS, convert_boxes
from convatlas.data.boxes.kinds import list_boxes
from convatlas.data.boxes.truth import box_labels
from convatlas.data.images.streaming import StreamedImages
from convatlas.errors import UsageError

Rows = dict[tuple[str, str], tuple[list[str], np.ndarray, list[bool], bytes]]


def rows(reference: str) -> Rows:
    """Returns class names, corners, marks and content of each image by its part and the stem of its name."""
    data, found = load_data(reference), {}
    for part, images in data.parts.items():
        assert isinstance(images, StreamedImages)
        for number, boxes in zip(images.index.tolist(), box_labels(images), strict=True):
            stem = os.path.splitext(os.path.basename(images.store.name(number)))[0]
            labels = [data.spec.class_names[label] for label in boxes.labels]
            found[part, stem] = (labels, boxes.corners, boxes.difficult.tolist(), images.store.digest(number))
    return found


def assert_same(one: Rows, other: Rows, *, marks: bool = True) -> None:
    assert one.keys() == other.keys()
    for key, (labels, corners, difficult, digest) in one.items():
        stay = np.array([marks or not each for each in difficult], bool)
        assert other[key][0] == [label for label, keep in zip(labels, stay, strict=True) if keep]
        assert np.allclose(other[key][1], corners[stay], atol=1e-4)
        assert other[key][2] == (difficult if marks else [False] * int(stay.sum()))
        assert other[key][3] == digest


@pytest.fixture
def source(tmp_path: Path) -> str:
    odd = made.Picture("odd", "val", 33, 57, [("dog", 0.25, 1.5, 20.125, 56.75), ("cat", 0, 0, 33, 57)])
    return f"coco:{made.coco(tmp_path / 'source', [*made.pictures(), odd])}"


@pytest.mark.parametrize("first", LAYOUTS)
@pytest.mark.parametrize("second", LAYOUTS)
def test_every_way_there_and_back_keeps_boxes_parts_and_images(
    first: str, second: str, source: str, tmp_path: Path
) -> None:
    convert_boxes(list_boxes(source), to=first, out=tmp_path / "first")
    convert_boxes(list_boxes(f"{first}:{tmp_path / 'first'}"), to=second, out=tmp_path / "second")
    assert_same(rows(source), rows(f"{second}:{tmp_path / 'second'}"), marks="yolo" not in (first, second))


def test_whole_pixels_stay_whole_in_voc(tmp_path: Path) -> None:
    made.voc(tmp_path / "voc", made.pictures())
    convert_boxes(list_boxes(f"voc:{tmp_path / 'voc'}"), to="yolo", out=tmp_path / "yolo")
    convert_boxes(list_boxes(f"yolo:{tmp_path / 'yolo'}"), to="voc", out=tmp_path / "again")
    texts = [path.read_text() for path in (tmp_path / "again" / "Annotations").glob("*.xml")]
    assert len(texts) == 9
    assert all(re.search(r"<[xy]m(in|ax)>\d+\.", text) is None for text in texts)


def test_what_is_lost_is_said(source: str, tmp_path: Path) -> None:
    done = convert_boxes(list_boxes(source), to="yolo", out=tmp_path / "yolo")
    assert "difficult boxes and crowds, which YOLO has no mark for, left out: 3" in done.notes
    assert done.images == {"train": 5, "validation": 3, "test": 2}


def test_two_images_of_one_name_get_two(tmp_path: Path) -> None:
    chosen = [made.Picture("a"), made.Picture("A", "val"), made.Picture("a", "test")]
    made.roboflow(tmp_path / "source", chosen)
    done = convert_boxes(list_boxes(f"coco:{tmp_path / 'source'}"), to="voc", out=tmp_path / "voc")
    assert "images renamed, since another one has their name: 2" in done.notes
    assert sorted(os.listdir(tmp_path / "voc" / "JPEGImages")) == ["a.png", "test_a.png", "val_A.png"]


def test_a_source_without_a_split_is_written_without_one(tmp_path: Path) -> None:
    made.voc(tmp_path / "source", made.pictures(train=8), lists=False)
    reference = f"voc:{tmp_path / 'source'}"
    done = convert_boxes(list_boxes(reference), to="voc", out=tmp_path / "voc")
    assert "the source has no split, so that none is written" in done.notes
    assert not (tmp_path / "voc" / "ImageSets").exists()
    assert_same(rows(reference), rows(f"voc:{tmp_path / 'voc'}"))


def test_a_wrong_size_is_refused_and_nothing_is_left(source: str, tmp_path: Path) -> None:
    path = tmp_path / "source" / "annotations" / "instances_val2017.json"
    path.write_text(path.read_text().replace('"width": 33', '"width": 57'))
    with pytest.raises(UsageError, match=r"odd.png has 33 x 57 pixels, and .* says 57 x 57; correct it first"):
        convert_boxes(list_boxes(source), to="voc", out=tmp_path / "voc")
    assert sorted(os.listdir(tmp_path)) == ["source"]


def test_the_command_prints_parts_and_the_new_reference(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "voc"
    assert main(["data", "convert", source, "--to", "voc", "--out", str(out)]) == 0
    assert "train: 5 images, 9 boxes" in capsys.readouterr().out
    assert main(["data", "convert", source, "--to", "yolo", "--out", str(out)]) == 2
    assert f"{out} is not empty; name a new folder with --out" in capsys.readouterr().err
    assert main(["data", "convert", f"voc:{out}", "--to", "yolo", "--out", str(tmp_path / "yolo"), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["data"] == f"yolo:{tmp_path / 'yolo'}"
    assert content["splits"]["train"] == {"images": 5, "boxes": 8}
    assert content["notes"][0].startswith("images without a box")


def test_what_lies_in_a_folder_is_never_removed(source: str, tmp_path: Path) -> None:
    hidden, file, empty = tmp_path / "hidden", tmp_path / "file", tmp_path / "empty"
    (hidden / ".git").mkdir(parents=True)
    file.write_text("mine")
    empty.mkdir()
    for out, said in ((hidden, "is not empty"), (file, "is a file")):
        with pytest.raises(UsageError, match=rf"{out.name} {said}; name a new folder"):
            convert_boxes(list_boxes(source), to="voc", out=out)
    assert (hidden / ".git").is_dir()
    assert file.read_text() == "mine"
    place = empty.stat().st_ino
    convert_boxes(list_boxes(source), to="voc", out=empty)
    assert empty.stat().st_ino == place  # somebody's working folder stays the same one
    assert (empty / "Annotations").is_dir()
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "hidden", "source"]


def test_classes_that_voc_loses_or_orders_anew_are_said(tmp_path: Path) -> None:
    others = [made.Picture("b", "val", boxes=()), made.Picture("c", "test", boxes=())]
    made.coco(tmp_path / "one", [made.Picture("a", boxes=[("dog", 0, 0, 9, 9)]), *others])
    done = convert_boxes(list_boxes(f"coco:{tmp_path / 'one'}"), to="voc", out=tmp_path / "voc1")
    lost = "VOC has no list of classes, so that those without a training box are lost: cat"
    order = "VOC has no order of classes: they come in the order of their names, so that their numbers change"
    assert lost in done.notes
    assert order not in done.notes
    made.coco(tmp_path / "two", [made.Picture("a"), *others])
    for path in (tmp_path / "two" / "annotations").glob("*.json"):
        path.write_text(path.read_text().replace('"cat"', '"zebra"'))  # which comes before dog in the file
    done = convert_boxes(list_boxes(f"coco:{tmp_path / 'two'}"), to="voc", out=tmp_path / "voc2")
    assert order in done.notes


def test_areas_of_things_stay_in_coco(source: str, tmp_path: Path) -> None:
    path = tmp_path / "source" / "annotations" / "instances_val2017.json"
    found = json.loads(path.read_text())
    for number, each in enumerate(found["annotations"]):
        each["area"] = 7.5 + number
    path.write_text(json.dumps(found))
    convert_boxes(list_boxes(source), to="coco", out=tmp_path / "second")
    kept = json.loads((tmp_path / "second" / "annotations" / "instances_val.json").read_text())
    assert [each["area"] for each in kept["annotations"]] == [each["area"] for each in found["annotations"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["folder:x", "--to", "voc"], "folder:x has no boxes; data with boxes is voc:PATH, coco:PATH, yolo:PATH"),
        (["voc:x", "--to", "vocs"], "unknown layout of boxes 'vocs'; did you mean voc"),
        (["voc:x", "--to", "coco"], "there is no folder at"),
    ],
)
def test_words_that_cannot_be_used_are_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "convert", *words, "--out", str(tmp_path / "new")]) == 2
    assert said in capsys.readouterr().err
