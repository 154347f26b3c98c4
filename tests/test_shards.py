"""`tar:PATTERN`: images in tar files in WebDataset's layout, read in place."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image

from convatlas.cli import main
from convatlas.data import class_labels, load_data, open_source
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError

NAMES = ("cats", "dogs", "eels")
PLAIN = Preprocessing(16, (0.5,) * 3, (0.25,) * 3)
Members = list[tuple[str, bytes]]


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16 + number), (number, 5 * number, 255 - number)).save(buffer, "PNG")
    return buffer.getvalue()


def members(numbers: Iterable[int], *, kind: str = "cls", number_labels: bool = False) -> Members:
    """Images with labels beside them, the classes in turn."""
    made = []
    for number in numbers:
        label = str(number % 3) if number_labels else NAMES[number % 3]
        content = label.encode() if kind == "cls" else json.dumps({"label": label, "more": [1]}).encode()
        made += [(f"a/{number:04}.png", picture(number)), (f"a/{number:04}.{kind}", content + b"\n")]
    return made


def tar(path: Path, content: Members) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in content:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def content(images: object) -> list[bytes]:
    assert isinstance(images, StreamedImages)
    return [images.store.read(number) for number in images.index.tolist()]


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_shards_are_split_as_a_folder_is(tmp_path: Path, kind: str) -> None:
    tar(tmp_path / "pets-0.tar", members(range(20), kind=kind))
    tar(tmp_path / "pets-1.tar", members(range(20, 30), kind=kind))
    data = load_data(f"tar:{tmp_path}/pets-*.tar")
    assert (data.spec.class_names, data.spec.label) == (NAMES, "tar-pets-.tar")
    assert [class_labels(part).bincount().tolist() for part in data.parts.values()] == [[6] * 3, [2] * 3, [2] * 3]
    for part in data.parts.values():
        for number, label, found in zip(part.index.tolist(), class_labels(part).tolist(), content(part), strict=True):
            assert (found, label) == (picture(number), number % 3)
    assert torch.allclose(data.test.batch(torch.tensor([0]), preprocessing=PLAIN)[0, 1] * 255, 5.0 * data.test.index[0])
    again = load_data(f"tar:{tmp_path}/pets-{{0..1}}.tar")
    assert (again.split_hash, again.images_hash) == (data.split_hash, data.images_hash)
    assert open_source(data.spec.name).spec.name == data.spec.name == f"tar:{tmp_path}/pets-*.tar"


def test_parts_are_those_that_the_files_are_named_after(tmp_path: Path) -> None:
    for number, name in enumerate(("train-000", "train-001", "pets-val-0", "TEST")):
        tar(tmp_path / f"{name}.tar", members(range(9 * number, 9 * number + 9)))
    data = load_data(f"tar:{tmp_path}/*.tar")
    assert [len(part) for part in data.parts.values()] == [18, 9, 9]
    assert content(data.test) == [picture(number) for number in range(27, 36)]
    assert [len(part) for part in load_data(f"tar:{tmp_path}/{{train-*,TEST}}.tar").parts.values()] == [14, 4, 9]
    tar(tmp_path / "more.tar", members(range(36, 45)))
    with pytest.raises(UsageError, match=r"more\.tar names no part, and other files do"):
        load_data(f"tar:{tmp_path}/*.tar")


@pytest.mark.parametrize("beside", ["classes.txt", "classes.json"])
def test_numbers_are_places_in_a_list_of_classes_beside(tmp_path: Path, beside: str) -> None:
    tar(tmp_path / "a.tar", members(range(15), number_labels=True))
    assert open_source(f"tar:{tmp_path}/a.tar").spec.class_names == ("0", "1", "2")
    names = ["eels", "dogs", "cats", "bats"]
    (tmp_path / beside).write_text(json.dumps(names) if beside.endswith("json") else "\n".join(names))
    data = load_data(f"tar:{tmp_path}/a.tar")
    assert data.spec.class_names == ("eels", "dogs", "cats")
    assert "classes without an image, left out: bats" in data.notes
    assert class_labels(data.train).tolist() == [place % 3 for place in data.train.index.tolist()]
    tar(tmp_path / "a.tar", members(range(15)))
    data = load_data(f"tar:{tmp_path}/a.tar")
    assert class_labels(data.train).tolist() == [(2, 1, 0)[place % 3] for place in data.train.index.tolist()]


def test_other_members_are_left_out_and_said(tmp_path: Path) -> None:
    more = [("a/0000.txt", b"a cat"), ("a/README", b"mine")]
    data = load_data(f"tar:{tar(tmp_path / 'a.tar', [*members(range(15)), *more])}")
    assert f"members of {tmp_path}/a.tar that are no image and no label, left out: 2" in data.notes


@pytest.mark.parametrize("metadata", [{}, {"label": None}, {"width": 16, "labels": [1]}, {"label": "LABEL"}, [1]])
@pytest.mark.parametrize("json_first", [True, False])
def test_a_json_beside_a_cls_is_metadata(tmp_path: Path, metadata: object, json_first: bool) -> None:
    made: Members = []
    for number in range(15):
        label = NAMES[number % 3]
        said = {"label": label} if metadata == {"label": "LABEL"} else metadata
        beside = [(f"{number}.cls", label.encode()), (f"{number}.json", json.dumps(said).encode())]
        made += [*(reversed(beside) if json_first else beside), (f"{number}.png", picture(number))]
    data = load_data(f"tar:{tar(tmp_path / 'a.tar', made)}")
    assert data.spec.class_names == NAMES
    assert class_labels(data.train).tolist() == [place % 3 for place in data.train.index.tolist()]


def test_a_number_in_cls_and_the_same_name_in_json_agree(tmp_path: Path) -> None:
    named = [(f"a/{number:04}.json", json.dumps({"label": NAMES[number % 3]}).encode()) for number in range(15)]
    path = tar(tmp_path / "a.tar", [*named, *members(range(15), number_labels=True)])
    with pytest.raises(UsageError, match=r"a/0000 has the label 0 in \.cls and cats in \.json; leave one of them"):
        load_data(f"tar:{path}")
    (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    assert load_data(f"tar:{path}").spec.class_names == NAMES


BAD = {
    "contradiction": r"a\.tar: a/0003 has the label cats in \.cls and eels in \.json; leave one of them",
    "json without label": "beside a/0000 lies only a .json without a label",
    "damaged json": "has no whole JSON in a/0000.json; get the file again",
    "NUL": "has the class ca.x00ts: its name has a character NUL; remove it",
    "no file": r"there is no tar file at .*a\.tar; tar:PATTERN means some, such as",
    "no shard": r"there is no tar file at .*a-1\.tar",
    "no image": "holds no image; members such as key.jpg and key.cls are read",
    "no label": "has an image without a label: beside a/0003 lies neither .cls nor .json",
    "cut in an image": r"is cut off within a/0014.png; get the file again|is no whole tar file",
    "cut before the end": "is cut off or damaged: its end is missing; get the file again",
    "damaged header": "is cut off or damaged: its end is missing",
    "text": "is no whole tar file: ",
    "empty": "is no whole tar file: empty file",
    "compressed": "is compressed, and images in it cannot be read in place; unpack it by gunzip",
    "two images": "has two images of the key a/0003",
    "label in json": "has no label in a/0000.json: it holds the name of a class, or its number",
    "binary label": "has no label in a/0000.cls",
    "long label": "has a label of 2,000,000 bytes in a/0000.cls",
    "unknown label": "has the label cats, which is none of the 2 classes beside",
    "classes": "is no list of the names of classes, each once",
}  # fmt: skip


def spoiled(home: Path, fault: str) -> str:
    """Writes a tar file with one fault, and returns its reference."""
    content, path = members(range(15)), home / "a.tar"
    if fault == "no file":
        return f"tar:{path}"
    if fault == "no image":
        content = content[1::2]
    elif fault == "no label":
        del content[7]
    elif fault == "two images":
        content.append(("a/0003.jpg", b""))
    elif fault == "contradiction":
        content.insert(0, ("a/0003.json", b'{"label": "eels"}'))
    elif fault == "json without label":
        content[1] = ("a/0000.json", b'{"width": 16}')
    elif fault == "damaged json":
        content.insert(0, ("a/0000.json", b'{"width": '))
    elif fault == "NUL":
        content[1::6] = [(name, b"ca\0ts") for name, _ in content[1::6]]
    elif fault == "label in json":
        content[1] = ("a/0000.json", b'{"label": [1]}')
    elif fault == "binary label":
        content[1] = ("a/0000.cls", b"\xff\xfe")
    elif fault == "long label":
        content[1] = ("a/0000.cls", bytes(2_000_000))
    elif fault in ("unknown label", "classes"):
        (home / "classes.txt").write_text("dogs\neels\n" if fault == "unknown label" else "dogs\ndogs\n")
    tar(path, content)
    whole = path.read_bytes()
    at = whole.find(b"a/0014.png")
    changed = {
        "cut in an image": whole[: at + 520], "cut before the end": whole[: whole.find(b"a/0014.cls") + 1024],
        "damaged header": whole[:at] + b"?" * 200 + whole[at + 200 :], "text": b"no tar file\n" * 100, "empty": b"",
        "compressed": b"\x1f\x8b" + whole,
    }  # fmt: skip
    path.write_bytes(changed.get(fault, whole))
    if fault == "no shard":
        path.rename(home / "a-0.tar")
        return f"tar:{home}/a-{{0..1}}.tar"
    return f"tar:{path}"


@pytest.mark.parametrize("fault", BAD)
def test_a_tar_file_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = spoiled(tmp_path, fault)
    with pytest.raises(UsageError, match=BAD[fault]) as raised:
        load_data(reference)
    assert "\n" not in str(raised.value)
    if fault == "no label":
        assert main(["data", "show", reference]) == 2
        assert capsys.readouterr().err == f"convatlas: {raised.value}\n"


def test_a_file_that_was_cut_off_since_is_named(tmp_path: Path) -> None:
    path = tar(tmp_path / "a.tar", members(range(15)))
    data = load_data(f"tar:{path}")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UsageError, match="is shorter than it was: it ends within a/00"):
        data.test.batch(torch.arange(3), preprocessing=PLAIN)


def test_a_member_of_a_negative_size_is_refused(tmp_path: Path) -> None:
    """Python's own reader would read the same member for ever."""
    path = tar(tmp_path / "a.tar", [("a.bin", b"x"), *members(range(15))])
    content = bytearray(path.read_bytes())
    content[124:136] = b"\xff" * 10 + b"\xfc\x00"  # -1024, in base 256
    content[148:156] = b"        "
    content[148:156] = f"{sum(content[:512]):06o}\0 ".encode()
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"is cut off within a\.bin|is no whole tar file"):
        load_data(f"tar:{path}")
