"""Images with boxes: the layouts that they are read from, their splits, and bad files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import boxed_files as made
from convatlas.cli import main
from convatlas.data import class_labels, load_data, open_source
from convatlas.data.boxes.truth import box_labels
from convatlas.data.boxes.voc_xml import read_voc
from convatlas.data.subset import no_images
from convatlas.errors import UsageError

PUBLISHED = os.environ.get("CONVATLAS_TEST_DATA")
BCCD = Path(PUBLISHED or ".") / "data" / "bccd" / "BCCD"


def refused(reference: str) -> str:
    """Returns the one line with which a reference is refused."""
    with pytest.raises(UsageError) as error:
        load_data(reference)
    assert "\n" not in str(error.value)
    return str(error.value)


# ----------------------------------------------------------------------------------------------------------- VOC


def test_voc_boxes_count_from_zero_and_exclude_their_right_edge(tmp_path: Path) -> None:
    """The pixels of a drawn box are exactly those between its corners."""
    chosen = [
        made.Picture("a", boxes=[("cat", 3, 4, 11, 20)]),
        *(made.Picture(each, each, boxes=[]) for each in ("val", "test")),
    ]
    data = load_data(f"voc:{made.voc(tmp_path, chosen)}")
    boxes = box_labels(data.train)[0]
    pixels = np.asarray(Image.open(tmp_path / "JPEGImages" / "a.png"))
    rows, columns = np.nonzero(pixels[..., 0] == 255)
    assert boxes.corners.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]
    assert (boxes.width, boxes.height, str(boxes.corners.dtype), str(boxes.labels.dtype)) == (
        40,
        30,
        "float32",
        "int64",
    )


def test_voc_lists_are_the_splits_and_classes_are_those_of_training(tmp_path: Path) -> None:
    data = load_data(f"voc:{made.voc(tmp_path, made.pictures())}")
    assert [len(images) for images in data.parts.values()] == [5, 2, 2]
    assert data.spec.class_names == ("cat", "dog")
    assert data.spec.split_seed is None
    assert any(each.difficult.any() for each in box_labels(data.train))
    assert data.notes == ("images without a box, all background: 1",)


def test_splits_and_boxes_are_in_the_hash(tmp_path: Path) -> None:
    chosen = made.pictures()
    before = load_data(f"voc:{made.voc(tmp_path, chosen)}").split_hash
    assert load_data(f"voc:{tmp_path}").split_hash == before
    path = tmp_path / "Annotations" / "test_0.xml"
    path.write_text(path.read_text().replace("<ymax>", "<ymax>1"))  # cut to the image: another corner
    assert load_data(f"voc:{tmp_path}").split_hash != before


def test_without_lists_a_split_is_drawn_from_the_seed(tmp_path: Path) -> None:
    data = load_data(f"voc:{made.voc(tmp_path, made.pictures(train=12), lists=False)}")
    parts = [set(images.index.tolist()) for images in data.parts.values()]
    assert [len(each) for each in parts] == [9, 4, 4]
    assert len(set.union(*parts)) == 17
    assert data.spec.split_seed == 42
    again = load_data(f"voc:{tmp_path}")
    assert again.split_hash == data.split_hash


def test_trainval_trains_where_there_is_no_list_of_training_images(tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures(train=10, validation=0))
    lists = tmp_path / made.LISTS
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "cat_train.txt").write_text("train_0  1\n")  # of one class: not a part
    data = load_data(f"voc:{tmp_path}")
    assert [len(images) for images in data.parts.values()] == [8, 3, 2]


def test_a_list_may_have_flags_and_names_may_end_in_numbers(tmp_path: Path) -> None:
    made.voc(tmp_path, [*made.pictures(), made.Picture("scan 0"), made.Picture("scan 1")])
    (tmp_path / made.LISTS / "val.txt").write_text("val_0  1\nval_1 -1\n")
    data = load_data(f"voc:{tmp_path}")
    assert [len(images) for images in data.parts.values()] == [7, 2, 2]


def test_a_size_that_a_file_does_not_state_is_that_of_the_upright_image(tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures())
    image = Image.open(tmp_path / "JPEGImages" / "train_0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    image.save(tmp_path / "JPEGImages" / "train_0.png", exif=exif)
    path = tmp_path / "Annotations" / "train_0.xml"
    path.write_text(re.sub("<size>.*</size>", "", path.read_text()))
    data = load_data(f"voc:{tmp_path}")
    index = [data.train.store.name(int(number)) for number in data.train.index].index("JPEGImages/train_0.png")  # type: ignore[attr-defined]
    assert (box_labels(data.train)[index].width, box_labels(data.train)[index].height) == (30, 40)


def test_boxes_are_cut_and_left_out_with_a_note(tmp_path: Path) -> None:
    boxes = [("cat", -5, -5, 10, 10), ("dog", 39, 0, 90, 30), ("cat", 50, 5, 60, 9), ("dog", 8, 8, 8, 20)]
    made.voc(tmp_path, [made.Picture("odd", boxes=boxes), *made.pictures()])
    data = load_data(f"voc:{tmp_path}")
    place = [len(each) for each in box_labels(data.train)].index(2)
    assert box_labels(data.train)[place].corners.tolist() == [[0, 0, 10, 10], [39, 0, 40, 30]]
    file = tmp_path / "Annotations" / "odd.xml"
    assert data.notes[:3] == (
        f"boxes that reach over the edge of their image, cut to it: 2 (the first in {file})",
        f"boxes that lie wholly outside their image, left out: 1 (the first in {file})",
        f"boxes that are empty or inverted, left out: 1 (the first in {file})",
    )


def test_parts_of_an_object_are_not_taken_for_it(tmp_path: Path) -> None:
    """VOC's person layout has a head with a name and a box of its own inside the object."""
    made.voc(tmp_path, made.pictures())
    path = tmp_path / "Annotations" / "train_0.xml"
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    before = box_labels(load_data(f"voc:{tmp_path}").train)
    path.write_text(path.read_text().replace("</object>", f"{part}</object>"))
    after = box_labels(load_data(f"voc:{tmp_path}").train)
    assert [each.corners.tolist() for each in after] == [each.corners.tolist() for each in before]


@pytest.mark.parametrize(("text", "difficult"), [("0", False), ("Unspecified", False), ("1", True), ("true", True)])
def test_difficult_is_what_the_word_says(text: str, difficult: bool, tmp_path: Path) -> None:
    made.voc(tmp_path, made.pictures())
    path = tmp_path / "Annotations" / "train_0.xml"
    content = re.sub(r"<difficult>\d</difficult>", f"<difficult>{text}</difficult>", path.read_text())
    path.write_text(content)
    assert read_voc(path).difficult.tolist() == [difficult] * 3


@pytest.mark.parametrize(("change", "said"), [("difficult", "3 boxes"), ("none", "no box")])
def test_images_with_nothing_to_learn_are_refused(change: str, said: str, tmp_path: Path) -> None:
    boxes = [("cat", 2, 3, 12, 20)] if change == "difficult" else []
    chosen = [
        made.Picture(f"{part}{n}", part, boxes=boxes, difficult=(0,)) for part in ("train", "val") for n in range(3)
    ]
    made.voc(tmp_path, [*chosen, made.Picture("test0", "test", boxes=boxes)])
    assert f"has 3 images and {said}" in refused(f"voc:{tmp_path}")
    assert main(["data", "check", f"voc:{tmp_path}", "--out", str(tmp_path / "page.html")]) == 1


BOMB = '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><annotation>&c;</annotation>'
OUTSIDE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><filename>&b;</filename></annotation>'
BAD_XML: dict[str, tuple[str | bytes, str]] = {
    "bomb": (BOMB, "declares a document type or an entity"),
    "outside": (OUTSIDE, "declares a document type or an entity"),
    "cut": ("<annotation><object>", "no XML that can be read: no element found"),
    "none": ("width: 40", "no XML that can be read"),
    "empty": ("", "no XML that can be read"),
    "latin": (b"<annotation><filename>caf\xe9</filename></annotation>", "no XML that can be read"),
    "deep": ("<a>" * 100 + "</a>" * 100, "more than 32 elements inside each other"),
    "nameless": ("<annotation><object><bndbox/></object></annotation>", "object 1 has no name of a class"),
    "boxless": ("<annotation><object><name>cat</name></object></annotation>", "object 1 has no xmin"),
    "words": ("<annotation><size><width>wide</width></size></annotation>", "width is 'wide'; a number of pixels"),
    "difficult": (
        "<annotation><object><name>cat</name><difficult>no idea</difficult><bndbox><xmin>1</xmin><ymin>1</ymin>"
        "<xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>",
        "object 1 has difficult 'no idea'; 0 or 1 is needed",
    ),
    "nan": (made.annotation_xml(made.Picture("train_0")).replace(">3<", ">nan<"), "object 1 has xmin 'nan'"),
}


@pytest.mark.parametrize("kind", BAD_XML)
def test_a_bad_annotation_is_one_line(kind: str, tmp_path: Path) -> None:
    content, words = BAD_XML[kind]
    made.voc(tmp_path, made.pictures())
    path = tmp_path / "Annotations" / "train_0.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(f"voc:{tmp_path}")
    assert str(path) in line
    assert words in line


def _list(name: str, text: bytes) -> Callable[[Path], object]:
    return lambda root: (root / made.LISTS / f"{name}.txt").write_bytes(text)


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no image": (lambda root: (root / "JPEGImages" / "train_0.png").unlink(), "train_0.jpg, which is not there"),
    "no annotation": (lambda root: (root / "Annotations" / "val_0.xml").unlink(), "there is no annotation at"),
    "no folder": (lambda root: (root / "JPEGImages").rename(root / "images"), "has no folder JPEGImages"),
    "empty list": (_list("val", b"\n"), "names no image"),
    "latin list": (_list("val", b"caf\xe9\n"), "no text in UTF-8"),
    "twice": (_list("val", b"val_0\n\nval_0\n"), "line 3 of .* names val_0 again, after line 1"),
    "nul": (_list("val", b"val_0\nval\0\n"), "line 2 of .* has a character NUL"),
    "long": (_list("val", b"a" * 5000), "cannot read .*: File name too long"),
    "two parts": (_list("val", b"val_0\ntrain_0\n"), "train_0.png is an image of train and of validation"),
    "no training": (
        lambda root: (root / made.LISTS / "train.txt").unlink(),
        "has the parts validation, test",
    ),
    "other class": (
        lambda root: (root / "Annotations" / "val_0.xml").write_text(
            made.annotation_xml(made.Picture("val_0", boxes=[("owl", 1, 1, 5, 5)]))
        ),
        "val_0.xml has a box of class owl, which .* does not know; its classes are cat, dog",
    ),
    "no boxes": (
        lambda root: [path.write_text("<annotation/>") for path in (root / "Annotations").iterdir()],
        "images and no box",
    ),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_a_bad_folder_is_one_line(kind: str, tmp_path: Path) -> None:
    change, words = BAD_FOLDERS[kind]
    change(made.voc(tmp_path, made.pictures()))
    assert re.search(words, refused(f"voc:{tmp_path}"))


@pytest.mark.parametrize("kind", ["voc", "coco", "yolo"])
def test_a_folder_of_classes_it_is_not_is_said(kind: str, tmp_path: Path) -> None:
    getattr(made, kind)(tmp_path, made.pictures())
    assert f"have boxes, and no folder for each class: name them {kind}:{tmp_path}" in refused(f"folder:{tmp_path}")


def test_the_folder_above_is_refused_with_a_hint(tmp_path: Path) -> None:
    assert "needs one with Annotations and JPEGImages" in refused(f"voc:{tmp_path / 'nowhere'}")
    assert "has no folder Annotations; voc:PATH needs" in refused(f"voc:{tmp_path}")
    made.voc(tmp_path / "VOC2007", made.pictures())
    assert f"voc:{tmp_path / 'VOC2007'} has it" in refused(f"voc:{tmp_path}")


def test_a_classifier_is_told_that_images_have_boxes(tmp_path: Path) -> None:
    data = load_data(f"voc:{made.voc(tmp_path, made.pictures())}")
    with pytest.raises(UsageError, match="training needs the class of each image; these images have structured labels"):
        class_labels(data.train, needed_by="training")
    with pytest.raises(UsageError, match="a detector needs the boxes of each image; use data with boxes"):
        box_labels(no_images(3), needed_by="a detector")


@pytest.mark.skipif(not BCCD.is_dir(), reason="CONVATLAS_TEST_DATA names no folder with data/bccd")
def test_bccd_has_the_published_images_and_boxes() -> None:
    """https://github.com/Shenggan/BCCD_Dataset: 364 images, the official split, and the counts of its three classes."""
    data = load_data(f"voc:{BCCD}")
    assert [len(images) for images in data.parts.values()] == [205, 87, 72]
    assert data.spec.class_names == ("Platelets", "RBC", "WBC")
    assert data.split_hash == "d2b340c67e926663"  # as in runs of older versions: new fields of boxes do not change it
    labels = np.concatenate([each.labels for images in data.parts.values() for each in box_labels(images)])
    assert np.bincount(labels).tolist() == [361, 4155, 372]
    assert open_source(f"voc:{BCCD}").parts == ("train", "validation", "test")
