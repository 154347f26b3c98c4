"""`hf:PATH-OR-NAME`: data sets in the layouts of the Hugging Face hub, and by name."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from convatlas.cli import main
from convatlas.data import DataSet, class_labels, load_data, open_source
from convatlas.data.images import packed
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from test_folder import flat

NAMES = ("eel", "dog", "cat")
PLAIN = Preprocessing(16, (0.5,) * 3, (0.25,) * 3)
CIFAR10 = Path(os.environ.get("CONVATLAS_TEST_DATA", "nowhere")) / "data/cifar10-jpeg"


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16 + number, 16), (number, 5 * number, 255 - number)).save(buffer, "PNG")
    return buffer.getvalue()


def shard(
    path: Path, numbers: Sequence[int], *, image: str = "image", label: str = "label",
    names: Sequence[str] | None = NAMES, values: Sequence[Any] | None = None,
) -> Path:  # fmt: skip
    """Writes a parquet file as the hub does: images of many sizes, the classes in turn."""
    images = [{"bytes": picture(number), "path": f"{number}.png"} for number in numbers]
    table = pa.table({image: images, "id": list(numbers), label: values or [number % 3 for number in numbers]})
    features = {image: {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"} if names else {"dtype": "x"}}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=7)
    return path


def content(data: DataSet, part: str) -> list[bytes]:
    images = data.parts[part]
    assert isinstance(images, StreamedImages)
    return [images.store.read(number) for number in images.index.tolist()]


def test_parquet_files_with_parts(tmp_path: Path) -> None:
    shard(tmp_path / "data" / "train-00000-of-00002.parquet", range(9))
    shard(tmp_path / "data" / "train-00001-of-00002.parquet", range(9, 18))
    shard(tmp_path / "data" / "validation-00000-of-00001.parquet", range(18, 24))
    shard(tmp_path / "data" / "test-00000-of-00001.parquet", range(24, 30))
    data = load_data(f"hf:{tmp_path}")
    assert (data.spec.name, data.spec.class_names, data.spec.split_seed) == (f"hf:{tmp_path}", NAMES, None)
    assert [len(part) for part in data.parts.values()] == [18, 6, 6]
    assert content(data, "train") == [picture(number) for number in range(18)]
    assert content(data, "test") == [picture(number) for number in range(24, 30)]
    assert class_labels(data.train).tolist() == [number % 3 for number in range(18)]
    assert torch.allclose(data.train.batch(torch.tensor([4]), preprocessing=PLAIN)[0, 1] * 255, torch.tensor(20.0))
    train = data.train
    assert isinstance(train, StreamedImages)
    number = int(train.index[10])
    assert train.store.name(number) == "data/train-00001-of-00002.parquet/1"
    assert train.store.shown(number) == f"{tmp_path}/data/train-00001-of-00002.parquet: image 1"


def test_large_sets_lie_in_one_file_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_DATA", str(tmp_path / "cache"))
    home = tmp_path / "set"
    shard(home / "train.parquet", range(30), names=None, values=[NAMES[number % 3] for number in range(30)])
    small = load_data(f"hf:{home}")
    monkeypatch.setattr(packed, "IN_MEMORY", 100)
    large = load_data(f"hf:{home}")
    files = sorted((tmp_path / "cache" / "packed").iterdir())
    assert [file.suffix for file in files] == [".bin", ".npz"]
    assert large.spec.class_names == small.spec.class_names == ("cat", "dog", "eel")
    assert (large.split_hash, large.images_hash) == (small.split_hash, small.images_hash)
    assert isinstance(large.train, StreamedImages)
    assert isinstance(large.train.store.content, np.memmap)  # type: ignore[attr-defined]
    changed = files[0].stat().st_mtime_ns
    assert load_data(f"hf:{home}").images_hash == small.images_hash
    assert files[0].stat().st_mtime_ns == changed
    shard(home / "train.parquet", range(1, 31))
    assert load_data(f"hf:{home}").images_hash != small.images_hash
    assert len(list((tmp_path / "cache" / "packed").iterdir())) == 4


def test_parts_are_those_of_folders_and_the_newest_snapshot_counts(tmp_path: Path) -> None:
    snapshots = tmp_path / "datasets--me--pets" / "snapshots"
    shard(snapshots / "old" / "default" / "train" / "0000.parquet", range(3))
    for number, part in enumerate(("train", "test")):
        shard(snapshots / "new" / "default" / part / "0000.parquet", range(15 * number, 15 * number + 15))
    (tmp_path / "datasets--me--pets" / "refs").mkdir()
    (tmp_path / "datasets--me--pets" / "refs" / "main").write_text("new")
    data = load_data(f"hf:{tmp_path}/datasets--me--pets")
    assert [len(part) for part in data.parts.values()] == [12, 3, 15]


@pytest.mark.parametrize(("image", "label"), [("img", "labels"), ("image", "fine_label"), ("photo", "kind")])
def test_columns_are_found_or_chosen(tmp_path: Path, image: str, label: str) -> None:
    shard(tmp_path / "a.parquet", range(15), image=image, label=label)
    reference = f"hf:{tmp_path}"
    if image == "photo":
        with pytest.raises(
            UsageError, match=r"has no column image or img; its columns are photo, id, kind; choose one"
        ):
            load_data(reference)
        reference += "?image=photo&label=kind"
    data = load_data(reference)
    assert (data.spec.name, data.spec.class_names) == (reference, NAMES)


@pytest.mark.parametrize("kind", ["category", "bool"])
def test_labels_may_be_categories_and_truth_values(tmp_path: Path, kind: str) -> None:
    path = shard(tmp_path / "a.parquet", range(15), names=None)
    written = [NAMES[number % 3] if kind == "category" else number % 3 == 0 for number in range(15)]
    column = pa.array(written).dictionary_encode() if kind == "category" else pa.array(written)
    pq.write_table(pq.read_table(path).set_column(2, "label", column), path, row_group_size=4)
    data = load_data(f"hf:{tmp_path}")
    assert data.spec.class_names == (tuple(sorted(NAMES)) if kind == "category" else ("False", "True"))
    for place, label in zip(data.train.index.tolist(), class_labels(data.train).tolist(), strict=True):
        assert data.spec.class_names[label] == str(written[place])


def test_of_two_columns_that_may_be_meant_a_note_names_the_one_taken(tmp_path: Path) -> None:
    path = shard(tmp_path / "a.parquet", range(15), names=None)
    read = pq.read_table(path)
    read = read.append_column("labels", pa.array([number % 2 for number in range(15)]))
    pq.write_table(read.append_column("img", read.column("image")), path)
    data = load_data(f"hf:{tmp_path}")
    assert len(data.spec.class_names) == 3
    assert [note for note in data.notes if "taken" in note] == [
        "columns image and img may hold the image; image is taken, and hf:PATH?image=img takes the other",
        "columns label and labels may hold the label; label is taken, and hf:PATH?label=labels takes the other",
    ]
    data = load_data(f"hf:{tmp_path}?image=img&label=labels")
    assert len(data.spec.class_names) == 2
    assert not any("taken" in note for note in data.notes)


def test_of_two_columns_of_a_table_a_note_names_the_one_taken(tmp_path: Path) -> None:
    root = flat(tmp_path / "plain", each=5)
    rows = [f"{path.relative_to(root).as_posix()},{path.parent.name},x" for path in sorted(root.rglob("*.*"))]
    (root / "metadata.csv").write_text("\n".join(["file_name,Label,labels", *rows]))
    said = "columns Label and labels may hold the label; Label is taken, and hf:PATH?label=labels takes the other"
    assert said in load_data(f"hf:{root}").notes


def test_image_folders(tmp_path: Path) -> None:
    root = flat(tmp_path / "plain", each=5)
    plain = load_data(f"hf:{root}")
    assert plain.split_hash == load_data(f"folder:{root}").split_hash
    rows = [f"{path.relative_to(root).as_posix()},{path.parent.name}" for path in sorted(root.rglob("*.*"))]
    (root / "metadata.csv").write_text("\n".join(["file_name,label", *rows]))
    assert load_data(f"hf:{root}").spec.class_names == plain.spec.class_names
    parts = tmp_path / "parts"
    for part in ("train", "validation", "test"):
        for path in flat(parts / part, each=2).rglob("*.*"):
            path.rename(parts / part / f"{path.parent.name} {path.name}")
        files = sorted((parts / part).glob("*.*"))
        lines = [f"{path.name},{path.name.rpartition(' ')[0]}" for path in files]
        (parts / part / "metadata.csv").write_text("\n".join(["file_name,labels", *lines]))
    data = load_data(f"hf:{parts}")
    assert [class_labels(part).bincount().tolist() for part in data.parts.values()] == [[2, 2, 2]] * 3
    assert isinstance(data.test, StreamedImages)
    assert data.test.store.name(int(data.test.index[0])).startswith("test/class 1 ")


@pytest.mark.skipif(not CIFAR10.is_dir(), reason="needs the real data below CONVATLAS_TEST_DATA")
@pytest.mark.slow
def test_the_hubs_cifar10_is_the_one_that_has_a_name() -> None:
    data, named = load_data(f"hf:{CIFAR10}"), load_data("cifar10", folder=CIFAR10)
    assert data.spec.class_names == named.spec.class_names
    assert torch.equal(class_labels(data.test), class_labels(named.test))
    places, plain = torch.arange(20), Preprocessing(32, (0.5,) * 3, (0.25,) * 3)
    assert torch.equal(data.test.batch(places, preprocessing=plain), named.test.batch(places, preprocessing=plain))


# -------------------------------------------------------------------------------------------------------------- by name


class Rows(list[dict[str, Any]]):
    """A part as the library `datasets` gives it, as far as it is used."""

    features: ClassVar = {"image": None, "label": SimpleNamespace(names=list(NAMES)), "id": None}
    column_names: ClassVar = ["image", "label", "id"]

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)

    def cast_column(self, name: str, feature: object) -> Rows:
        assert (name, feature) == ("image", "undecoded")
        return self

    def select_columns(self, names: list[str]) -> Rows:
        return Rows({name: row[name] for name in names} for row in self)


def rows(numbers: Sequence[int]) -> Rows:
    return Rows({"image": {"bytes": picture(n), "path": None}, "label": n % 3, "id": n} for n in numbers)


def library(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> list[tuple[Any, ...]]:
    """Puts a library in the place of `datasets`, and returns what it is asked for."""
    asked = []

    def load_dataset(*words: Any) -> Any:
        asked.append(words)
        if isinstance(loaded, Exception):
            raise loaded
        return loaded

    fake = SimpleNamespace(load_dataset=load_dataset, Image=lambda *, decode: "decoded" if decode else "undecoded")
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return asked


def test_a_name_is_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = library(
        monkeypatch, {"train": rows(range(30)), "test": rows(range(30, 36)), "unsupervised": rows(range(2))}
    )
    data = load_data("hf:me/pets?config=small")
    assert asked == [("me/pets", "small")]
    assert (data.spec.name, data.spec.class_names) == ("hf:me/pets?config=small", NAMES)
    assert [len(part) for part in data.parts.values()] == [24, 6, 6]
    assert content(data, "test") == [picture(number) for number in range(30, 36)]
    assert class_labels(data.train).tolist() == [number % 3 for number in data.train.index.tolist()]
    assert "parts of me/pets that were left out: unsupervised" in data.notes
    assert not any("is taken" in note for note in data.notes)
    assert isinstance(data.test, StreamedImages)
    assert data.test.store.shown(31) == "me/pets, test: image 1"
    library(monkeypatch, ConnectionError("no network"))
    with pytest.raises(
        UsageError, match="hf:me/pets cannot be had from the hub: no network; a folder with it is hf:PATH"
    ):
        load_data("hf:me/pets")


def test_a_name_without_the_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert main(["data", "show", "hf:me/pets"]) == 2
    said = capsys.readouterr().err
    assert "there is no folder at me/pets; to get it from the Hugging Face hub by this name, run: pip install" in said
    assert said.count("\n") == 1


BAD = {
    "no folder": "there is no folder at .*nowhere; hf:PATH needs one with parquet files or images",
    "cut off": "is no whole parquet file",
    "text": "is no whole parquet file",
    "empty": "it is empty",
    "no bytes": r"has no bytes in its record 2, column image\.bytes; a path to an image is not followed: choose",
    "paths": r"has text in its column image, not encoded images; a path .* a table for csv:FILE",
    "only paths": "has text in its column image, not encoded images; a path to an image is not followed",
    "no label": "has no label in its record 2, column label; each needs one",
    "numbers": "holds no encoded images in its column id; choose one",
    "fractions": "has a column label of double; classes are whole numbers or names",
    "outside": "has the label 7, and its 3 classes are 0 and more",
    "other classes": "has other classes than a-train.parquet",
    "some parts": "names no part, train, validation or test, and others do",
    "unknown column": "has no column species; its columns are image, id, label; choose one",
    "unknown use": "unknown column 'lable'; did you mean label",
    "nothing": "has 0 class folders and 0 files",
    "no column": "has no parquet file and no metadata.csv, and so no column to choose",
}


def spoiled(home: Path, fault: str) -> str:
    """Writes a folder with one fault, and returns its reference."""
    if fault in ("no folder", "nothing", "no column"):
        return f"hf:{home}" + {"no folder": "/nowhere", "no column": "?label=x"}.get(fault, "")
    labels: list[Any] = [number % 3 for number in range(15)]
    if fault == "no label":
        labels[2] = None
    elif fault == "outside":
        labels[2] = 7
    elif fault == "fractions":
        labels = [0.5] * 15
    path = shard(home / "a-train.parquet", range(15), values=labels)
    if fault in ("cut off", "text", "empty"):
        content = path.read_bytes()
        path.write_bytes({"cut off": content[: len(content) // 2], "text": b"text" * 100, "empty": b""}[fault])
    elif fault == "no bytes":
        table = pq.read_table(path)
        images = table.column("image").to_pylist()
        images[2] = {"bytes": None, "path": "2.png"}
        pq.write_table(table.set_column(0, "image", [images]), path)
    elif fault in ("paths", "only paths"):
        names = [f"{number}.png" for number in range(15)]
        images = pa.array(names if fault == "paths" else [{"path": name} for name in names])
        pq.write_table(pq.read_table(path).set_column(0, "image", images), path)
    elif fault == "other classes":
        shard(home / "b-test.parquet", range(15), names=("x", "y", "z"))
    elif fault == "some parts":
        shard(home / "b.parquet", range(15))
    chosen = {"numbers": "?image=id", "unknown column": "?label=species", "unknown use": "?lable=label"}
    return f"hf:{home}{chosen.get(fault, '')}"


@pytest.mark.parametrize("fault", BAD)
def test_a_data_set_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, fault: str) -> None:
    reference = spoiled(tmp_path, fault)
    with pytest.raises(UsageError, match=BAD[fault]) as raised:
        open_source(reference).load()
    assert "\n" not in str(raised.value)
