"""`csv:FILE`: images that a table names, with classes, parts and groups."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from convatlas.cli import main
from convatlas.data import DataSet, class_labels, load_data, open_source
from convatlas.data.images.streaming import StreamedImages
from convatlas.errors import UsageError

ROWS = [(f"pictures/{label} {number}.png", label) for label in ("10", "9", "cats") for number in range(5)]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Fifteen images in a folder, five of each class."""
    (tmp_path / "pictures").mkdir()
    for number, (name, _) in enumerate(ROWS):
        Image.new("RGB", (16, 16 + number)).save(tmp_path / name)
    return tmp_path


def table(home: Path, rows: list[tuple[str, ...]], *, header: str = "image,label", encoding: str = "utf-8") -> str:
    """Writes a table, with the delimiter of its header, and returns its reference."""
    delimiter = next((each for each in ",;\t" if each in header), ",")
    lines = [header, *(delimiter.join(row) for row in rows)]
    (home / "photos.csv").write_text("\n".join(lines) + "\n", encoding=encoding)
    return f"csv:{home / 'photos.csv'}"


def names(data: DataSet, part: str) -> list[str]:
    images = data.parts[part]
    assert isinstance(images, StreamedImages)
    return [images.store.name(number) for number in images.index.tolist()]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_split_as_a_folder_is(home: Path, delimiter: str, encoding: str) -> None:
    reference = table(home, [*ROWS], header=f"image{delimiter}label", encoding=encoding)
    data = load_data(reference)
    assert (data.spec.name, data.spec.label, data.spec.class_names) == (
        reference,
        "csv-photos.csv",
        ("9", "10", "cats"),
    )
    assert [class_labels(part).bincount().tolist() for part in data.parts.values()] == [[3] * 3, [1] * 3, [1] * 3]
    for name, label in zip(names(data, "train"), class_labels(data.train).tolist(), strict=True):
        assert name.startswith(f"pictures/{data.spec.class_names[label]} ")


def test_parts_and_groups_are_those_of_the_table(home: Path) -> None:
    parts = ["train", "train", "Val", "valid", "test"] * 3
    data = load_data(
        table(home, [(*row, part) for row, part in zip(ROWS, parts, strict=True)], header="image,label,split")
    )
    assert [len(part) for part in data.parts.values()] == [6, 6, 3]
    assert data.spec.split_seed is None
    assert names(data, "test") == [f"pictures/{label} 4.png" for label in ("10", "9", "cats")]
    groups = ["a", "a", "a", "b", ""] * 3  # an image without a group stands alone
    rows = [(*row, f"{row[1]}{group}" if group else "") for row, group in zip(ROWS, groups, strict=True)]
    data = load_data(table(home, rows, header="image,label,group"))
    assert [len(part) for part in data.parts.values()] == [9, 3, 3]
    assert all(name[-5] in "012" for name in names(data, "train"))


def test_other_columns_are_chosen(home: Path) -> None:
    rows = [("x", name, "fold 1", label) for name, label in ROWS]
    plain = table(home, rows, header="id;file name;fold;species")
    reference = f"{plain}?image=file name&label=species"
    data = load_data(reference)
    assert data.spec.name == reference
    assert data.spec.label == "csv-photos.csv"
    assert open_source(data.spec.name).spec.class_names == ("9", "10", "cats")
    with pytest.raises(
        UsageError, match="has no column image; its columns are id, file name, fold, species; choose one"
    ):
        load_data(plain)
    with pytest.raises(UsageError, match="unknown column 'lable'; did you mean label"):
        load_data(f"{plain}?lable=species")
    with pytest.raises(UsageError, match="names no column for label"):
        load_data(f"{plain}?label=")
    with pytest.raises(UsageError, match="has no column part; its columns"):
        load_data(f"{reference}&split=part")


def test_backslashes_are_slashes_where_that_finds_the_files(home: Path) -> None:
    plain = load_data(table(home, [*ROWS]))
    data = load_data(table(home, [(name.replace("/", "\\"), label) for name, label in ROWS]))
    assert data.split_hash == plain.split_hash
    if os.sep == "/":
        assert "paths in photos.csv of which backslashes are read as slashes: 15" in data.notes
    with pytest.raises(UsageError, match=r"no image at C:.*x\.png; .*; with slashes in place of its backslashes none"):
        load_data(table(home, [(r"C:\pictures\x.png", "9"), *ROWS]))


@pytest.mark.parametrize("header", ["Image,LABEL", " image , Label "])
def test_the_case_of_column_names_is_no_matter(home: Path, header: str) -> None:
    reference = table(home, [*ROWS], header=header)
    assert load_data(reference).spec.class_names == ("9", "10", "cats")
    assert load_data(f"{reference}?label=label").spec.class_names == ("9", "10", "cats")


def test_a_name_as_it_is_written_comes_before_other_cases(home: Path) -> None:
    rows = [(*row, "x") for row in ROWS]
    assert load_data(table(home, rows, header="image,label,Label")).spec.class_names == ("9", "10", "cats")


def test_missing_images_are_a_fault_of_the_check(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)  # the check writes a page below it
    rows = [*ROWS, ("pictures/gone.png", "9"), ("pictures/gone.png", "9")]
    reference = table(home, rows)
    assert main(["data", "check", reference, "--json"]) == 1
    found = {finding["kind"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["unreadable"]["count"] == 2
    assert found["unreadable"]["groups"][0]["images"][0]["image"] == "pictures/gone.png"
    assert "line 17 of" in found["no-split"]["sentence"]
    assert "one-colour" in found
    source = open_source(reference)
    with pytest.raises(UsageError, match=r"there is no image at pictures/gone\.png, and 1 more"):
        source.taken("all")


def test_images_that_no_row_names_are_counted(home: Path) -> None:
    table(home, [*ROWS])
    (home / "photos.csv").rename(home / "labels.csv")
    assert not any("no row" in note for note in load_data(f"folder:{home}").notes)
    for name in ("more.PNG", "pictures/more.jpg", "pictures/.hidden.png", "notes.txt"):
        (home / name).touch()
    assert f"images below {home.name} that no row of labels.csv names, left out: 2" in load_data(f"folder:{home}").notes


def test_a_folder_with_a_table_is_that_table(home: Path) -> None:
    table(home, [*ROWS])
    (home / "photos.csv").rename(home / "labels.csv")
    data = load_data(f"folder:{home}")
    assert (data.spec.name, data.spec.class_names) == (f"folder:{home}", ("9", "10", "cats"))


BAD = {
    "no file": "there is no table at .*photos.csv; csv:FILE needs one with the columns image and label",
    "empty": "is empty; it needs a header",
    "header only": "has no row below its header",
    "missing": r"line 4 of .*photos.csv: there is no image at pictures/gone.png, and 1 more are missing; paths",
    "no label": "line 3 of .*photos.csv has no label; fill it in or remove the line",
    "no image": "line 3 of .*photos.csv has no image",
    "cells": "line 2 of .*photos.csv has 3 cells, the header 2",
    "twice": "has the column label 2 times; leave one",
    "again": "line 17 of .*photos.csv names ./pictures/9 0.png again, after line 7; remove one",
    "no column": "has no column label; its columns are image, class; choose one, such as csv:photos.csv.label=NAME",
    "no header": r"photos.csv has no header: its first line is pictures/10 0.png, 10; write a line .* image,label",
    "gone again": "there is no image at pictures/gone.png, and 1 more are missing",
    "NUL": "has the class a.x00b: its name has a character NUL; remove it",
    "unknown split": "line 2 of .* has the split fold 1; it is train, val, valid, validation, test, in every row",
    "some splits": "line 3 of .* has no split; it is train",
    "encoding": "is no text in UTF-8; save the table as CSV in UTF-8",
    "quote": "is no row of a table|has 1 cells",
    "no class": r"every image in .*photos.csv is of a class of its own \(15 classes\); a label is a class",
    "one class": "has images of 1 class, pets; a classification needs two",
    "groups": "images of group g in train and in test",
    "unseen": r"photos.csv \(test rows\) has the class cats, which .*\(train rows\) has not",
    "few": "images of class cats in .*photos.csv: 4; 5 or more are needed, or parts train, val and test",
}  # fmt: skip


def spoiled(home: Path, fault: str) -> str:
    """Writes a table with one fault, and returns its reference."""
    rows: list[tuple[str, ...]] = [*ROWS]
    header = "image,label"
    if fault == "no file":
        return f"csv:{home / 'photos.csv'}"
    if fault == "missing":
        rows[2], rows[5] = ("pictures/gone.png", "9"), ("nowhere/gone.png", "9")
    elif fault in ("no label", "no image"):
        rows[1] = (rows[1][0], " ") if fault == "no label" else ("", "9")
    elif fault == "cells":
        rows[0] = (*rows[0], "x")
    elif fault == "twice":
        header, rows = "image,label,label", [(*row, "x") for row in rows]
    elif fault == "again":
        rows.append(("./pictures/9 0.png", "10"))
    elif fault == "gone again":
        rows += [("pictures/gone.png", "9")] * 2
    elif fault == "NUL":
        rows = [(name, "a\0b" if label == "9" else label) for name, label in ROWS]
    elif fault == "no header":
        header, rows = ",".join(rows[0]), rows[1:]
    elif fault == "no column":
        header = "image,class"
    elif fault == "quote":
        rows[3] = ('"pictures', "9")
    elif fault == "no class":
        rows = [(name, f"{number}") for number, (name, _) in enumerate(ROWS)]
    elif fault == "one class":
        rows = [(name, "pets") for name, _ in ROWS]
    elif fault == "few":
        rows = rows[:-1]
    elif "split" in fault or fault == "unseen":
        word = {"unknown split": "fold 1", "some splits": "", "unseen": "train"}[fault]
        header, rows = "image,label,split", [(*row, word) for row in rows]
        rows[0] = (*ROWS[0], "fold 1" if fault == "unknown split" else "train")
        rows[-5:] = [(*row, "test") for row in ROWS[-5:]]
    elif fault == "groups":
        header = "image,label,split,group"
        rows = [(*row, "train" if number % 5 else "test", "g") for number, row in enumerate(rows)]
    reference = table(home, rows if fault != "header only" else [], header=header)
    if fault in ("empty", "encoding"):
        (home / "photos.csv").write_bytes(b"" if fault == "empty" else "image,label\nä.png,ä\n".encode("latin-1"))
    return reference


@pytest.mark.parametrize("fault", BAD)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    home: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = spoiled(home, fault)
    with pytest.raises(UsageError, match=BAD[fault]) as raised:
        load_data(reference)
    assert "\n" not in str(raised.value)
    if fault in ("no file", "missing"):
        assert main(["data", "show", reference]) == 2
        assert capsys.readouterr().err == f"convatlas: {raised.value}\n"
