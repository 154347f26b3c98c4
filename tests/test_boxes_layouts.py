"""COCO's JSON and YOLO's text files: the same boxes as in VOC's files, and bad files in one line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import boxed_files as made
from convatlas.data import DataSet, load_data
from convatlas.data.boxes.truth import box_labels
from convatlas.data.images.streaming import StreamedImages
from convatlas.errors import UsageError

Content = dict[str, tuple[str, list[object]]]


def content(data: DataSet) -> Content:
    """Returns the part and the boxes of each image by the name of its file."""
    found: Content = {}
    for part, images in data.parts.items():
        assert isinstance(images, StreamedImages)
        for number, boxes in zip(images.index.tolist(), box_labels(images), strict=True):
            labels = [data.spec.class_names[label] for label in boxes.labels]
            sides = np.round(boxes.corners, 3).tolist()
            name = os.path.basename(images.store.name(number))
            found[name] = (part, [boxes.width, boxes.height, labels, sides, boxes.difficult.tolist()])
    return found


def refused(reference: str) -> str:
    """Returns the one line with which a reference is refused."""
    with pytest.raises(UsageError) as error:
        load_data(reference)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def expected(tmp_path: Path) -> Content:
    return content(load_data(f"voc:{made.voc(tmp_path / 'voc', made.pictures())}"))


# ------------------------------------------------------------------------------------------------------------ layouts


@pytest.mark.parametrize("write", [made.coco, made.roboflow])
def test_coco_has_the_boxes_of_voc(write: Callable[..., Path], tmp_path: Path, expected: Content) -> None:
    data = load_data(f"coco:{write(tmp_path / 'coco', made.pictures())}")
    assert content(data) == expected
    assert data.spec.class_names == ("cat", "dog")


def test_coco_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_text(json.dumps(made.coco_json(made.pictures(), numbers=(90, 2))))
    for picture in made.pictures():
        made.draw(picture, tmp_path / "images" / f"{picture.name}.png")
    data = load_data(f"coco:{path}")
    assert data.spec.class_names == ("dog", "cat")
    assert [len(images) for images in data.parts.values()] == [5, 2, 2]
    assert data.spec.split_seed == 42


def test_yolo_has_the_boxes_of_voc_to_its_rounding(tmp_path: Path, expected: Content) -> None:
    data = load_data(f"yolo:{made.yolo(tmp_path / 'yolo', made.pictures())}")
    found = content(data)
    assert found.keys() == expected.keys()
    for name, (part, (width, height, labels, sides, _)) in expected.items():
        assert (found[name][0], *found[name][1][:3]) == (part, width, height, labels)
        assert np.allclose(found[name][1][3], sides, atol=1e-4)  # type: ignore[arg-type]
    assert "images without a file of boxes, taken for images without boxes: 1" in data.notes
    assert not any("reach over the edge" in note for note in data.notes)


def test_yolo_takes_roboflows_paths_polygons_and_numbered_names(tmp_path: Path) -> None:
    made.yolo(tmp_path, made.pictures())
    (tmp_path / "images" / "train").rename(tmp_path / "images" / "fit")
    (tmp_path / "labels" / "train").rename(tmp_path / "labels" / "fit")
    (tmp_path / "labels" / "fit" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "labels" / "fit" / "train_0.txt").write_text("1 0.1 0.2 0.5 0.2 0.3 0.8\n")
    text = "train: ../images/fit\nvalid: list.txt\ntest:\nnames:\n  1: no\n  0: cat\n"
    (tmp_path / "data.yaml").write_text(text)
    (tmp_path / "list.txt").write_text("./images/val/val_0.png\nimages/val/val_1.png\n")
    data = load_data(f"yolo:{tmp_path / 'data.yaml'}")
    assert data.spec.class_names == ("cat", "no")
    found = content(data)
    assert found["train_0.png"][1][2:4] == [["no"], [[4, 6, 20, 24]]]
    assert [part for part, _ in found.values()].count("validation") == 2


# ---------------------------------------------------------------------------------------------------------- bad files


def _json(change: Callable[[dict], object]) -> Callable[[Path], object]:  # type: ignore[type-arg]
    def write(root: Path) -> None:
        path = root / "annotations" / "instances_train2017.json"
        found = json.loads(path.read_text())
        change(found)
        path.write_text(json.dumps(found))

    return write


def _text(old: bytes, new: bytes) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        path = root / "annotations" / "instances_train2017.json"
        path.write_bytes(path.read_bytes().replace(old, new, 1))

    return write


BAD_COCO: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing images": (
        lambda root: [path.rename(root / path.name) for path in (root / "train2017").glob("train_[01].png")],
        r"train2017.json describes the image train2017/train_0.png, which is not there, and 1 more is missing",
    ),
    "no json": (_text(b"{", b"{ hello"), r"is cut off or no JSON, in line 1"),
    "cut": (_text(b'"categories"', b'"categories'), r"is cut off or no JSON"),
    "a list": (_text(b"{", b"[{"), r"is cut off or no JSON, in line 1: a { is expected"),
    "latin": (_text(b"train_0", b"tr\xe9in_0"), r"no text in UTF-8"),
    "deep": (_text(b'"info": {', b'"deep": ' + b"[" * 10**5 + b"]" * 10**5 + b',"info": {'), r"nested too deep"),
    "no categories": (_json(lambda each: each.pop("categories")), r"has no list categories"),
    "no id": (_json(lambda each: each["images"][1].pop("id")), r"item 2 of images has no id that can be used"),
    "nan": (_text(b'"bbox": [', b'"bbox": [NaN,'), r"item 1 of annotations has the bbox \[nan"),
    "crowd": (
        _json(lambda each: each["annotations"][0].update(iscrowd="0")),
        r"item 1 of annotations has the iscrowd '0'; 0 or 1 is needed",
    ),
    "short": (_json(lambda each: each["annotations"][0]["bbox"].pop()), r"x, y, width and height are needed"),
    "other image": (_json(lambda each: each["annotations"][0].update(image_id=99)), r"has a box in image 99, which"),
    "other class": (
        _json(lambda each: each["annotations"][0].update(category_id=5)),
        r"image 10 has a box of class number 5, which .* does not know; its classes are cat, dog",
    ),
    "same id": (_json(lambda each: each["images"][1].update(id=10)), r"item 2 of images has the id 10 again"),
    "same name": (_json(lambda each: each["images"][1].update(file_name="train_0.png")), r"lists train_0.png twice"),
    "long": (_json(lambda each: each["images"][0].update(file_name="a" * 5000)), r"which is not there"),
    "nul": (_json(lambda each: each["images"][0].update(file_name="a\0b")), r"which no file can have"),
    "half": (_json(lambda each: each["images"][0].update(file_name="\ud800")), r"which no file can have"),
    "no images": (_json(lambda each: each.update(images=[], annotations=[])), r"lists no image"),
    "two files": (
        lambda root: (root / "annotations" / "instances_train2014.json").write_text("{}"),
        r"are both the part train; name one of them itself",
    ),
    "empty": (lambda root: (root / "annotations").rename(root / "old"), r"has neither annotations/instances_train2017"),
}


@pytest.mark.parametrize("kind", BAD_COCO)
def test_a_bad_coco_set_is_one_line(kind: str, tmp_path: Path) -> None:
    change, words = BAD_COCO[kind]
    change(made.coco(tmp_path, made.pictures()))
    assert re.search(words, refused(f"coco:{tmp_path}"))


def _label(text: bytes) -> Callable[[Path], object]:
    return lambda root: (root / "labels" / "train" / "train_0.txt").write_bytes(text)


def _yaml(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "data.yaml").write_text(text)


BAD_YOLO: dict[str, tuple[Callable[[Path], object], str]] = {
    "unknown class": (_label(b"5 0.5 0.5 0.1 0.1\n"), r"train_0.txt has a box of class number 5, which"),
    "negative": (_label(b"-1 0.5 0.5 0.1 0.1\n"), r"line 1 of .*train_0.txt has the class -1"),
    "words": (_label(b"\ncat 0.5 0.5 0.1 0.1\n"), r"line 2 of .*train_0.txt is cat 0.5 .*; it must be class cx cy w h"),
    "six": (_label(b"0 0.5 0.5 0.1 0.1 0.9\n"), r"line 1 of .*train_0.txt has 6 numbers"),
    "nan": (_label(b"0 nan 0.5 0.1 0.1\n"), r"line 1 of .*train_0.txt"),
    "latin": (_label(b"caf\xe9"), r"no text in UTF-8"),
    "orphan": (
        lambda root: (root / "images" / "train" / "train_0.png").unlink(),
        r"train_0.txt describes the image .*images/train/train_0.jpg, which is not there",
    ),
    "no yaml": (lambda root: (root / "data.yaml").unlink(), r"has no data.yaml; yolo:PATH needs one"),
    "long path": (_yaml(f"path: {'a' * 5000}\ntrain: {'a' * 5000}\nnames: [a]\n"), r"there is nothing at"),
    "no home": (_yaml("path: ~nobody-of-this-name\ntrain: images/fit\nnames: [a]\n"), r"there is nothing at"),
    "list": (
        _yaml("train: list.txt\nnames: [cat, dog]\n"),
        r"list.txt describes the image gone.png, which is not there",
    ),
    "no names": (_yaml("train: images/train\n"), r"must name the classes"),
    "gaps": (_yaml("train: images/train\nnames: {0: a, 2: b}\n"), r"must name the classes, from 0 on without gaps"),
    "twice": (_yaml("train: images/train\nnames: [a, a]\n"), r"has the class name 'a', twice"),
    "bomb": (_yaml("a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\ntrain: images/train\n"), r"must name the classes"),
    "tag": (_yaml("names: !!python/object/apply:os.system [ls]\n"), r"names no part"),
    "no mapping": (_yaml("- a\n"), r"must be a mapping"),
    "no file": (_yaml("a: [\n"), r"is no YAML that can be read"),
    "no folder": (_yaml("train: images/fit\nnames: [a]\n"), r"data.yaml: train is images/fit, and there is nothing at"),
    "no image": (_yaml("train: labels\nnames: [a]\n"), r"labels holds no image"),
    "only val": (_yaml("val: images/val\nnames: [cat, dog]\n"), r"has the parts validation and no train"),
    "same": (_yaml("train: images/val\nval: images/val\nnames: [cat, dog]\n"), r"an image of train and of validation"),
}


@pytest.mark.parametrize("kind", BAD_YOLO)
def test_a_bad_yolo_set_is_one_line(kind: str, tmp_path: Path) -> None:
    change, words = BAD_YOLO[kind]
    change(made.yolo(tmp_path, made.pictures()))
    (tmp_path / "list.txt").write_text("images/train/train_0.png\ngone.png\n")
    assert re.search(words, refused(f"yolo:{tmp_path}"))


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_nothing_at_a_path_is_one_line(kind: str, tmp_path: Path) -> None:
    assert f"there is nothing at {tmp_path / 'x'}; {kind}:PATH is a" in refused(f"{kind}:{tmp_path / 'x'}")
