"""A collection is known by its files' checksums, its first labels and its classes, not by the names of its files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import data_files as made
from convatlas.data import class_names, load_data
from convatlas.data.sources import identity
from convatlas.data.sources.cifar import CIFAR10_FILES
from convatlas.data.sources.mnist import FASHION_MNIST_FILES, MNIST_FILES
from convatlas.errors import UsageError

HOMES = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw", "cifar10": "cifar10"}
SETS = ("mnist", "fashion_mnist")
SHARED = Path(os.environ.get("CONVATLAS_TEST_DATA", "nowhere")) / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the real data below CONVATLAS_TEST_DATA")


def in_parquet(home: Path, name: str, *, like: str = "", classes: Any = None, count: int = 20) -> Path:
    """A shard for each part, whose labels may begin as those of a collection and whose metadata may name classes."""
    side, image = ((32, 32, 3), "img") if name.startswith("cifar") else ((28, 28), "image")
    label = "fine_label" if name == "cifar100" else "label"
    for number, part in enumerate(("train", "test")):
        images = [made.encoded(one) for one in made.pixels(count, *side, seed=number)]
        labels = made.published(like, number, count)
        shard = home / f"{part}-00000-of-00001.parquet"
        made.shard(shard, images, labels, image=image, label=label, classes=classes)
    return home


@pytest.mark.parametrize("layout", ["gzipped", "plain", "parquet"])
@pytest.mark.parametrize("real", SETS)
@pytest.mark.parametrize("asked", SETS)
@pytest.mark.parametrize("count", [5, 6, 20, 120])
def test_first_labels_tell_one_collection_from_another(
    tmp_path: Path, layout: str, real: str, asked: str, count: int
) -> None:
    """Whatever the names of files and folders say; of five images nothing can be told."""
    home = tmp_path / HOMES[asked]
    if layout == "parquet":
        in_parquet(home, real, like=real, count=count)
    else:
        made.mnist(home, train=count, test=count, gzipped=layout == "gzipped", like=real)
    if real == asked or count == 5:
        data = load_data(asked, folder=tmp_path)
        assert len(data.notes) == 1  # that it is a part
        return
    message = rf"raw is of {real}, not of {asked}: its first training labels are \d, .*; take --data {real}, or name"
    with pytest.raises(UsageError, match=message) as raised:
        load_data(asked, folder=tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("number", [0, 1])
def test_one_file_of_another_collection_is_enough(tmp_path: Path, part: int, number: int) -> None:
    """Images of one with the labels of another, or the test part of another."""
    home, other = made.mnist(tmp_path / "MNIST/raw", like="mnist"), made.mnist(tmp_path / "b", like="fashion_mnist")
    file = f"{identity.IDX_NAMES[2 * part + number]}-ubyte.gz"
    shutil.copy(other / file, home / file)
    with pytest.MonkeyPatch.context() as patched:
        digest = hashlib.md5((home / file).read_bytes()).hexdigest()
        patched.setitem(identity._BY_CHECKSUM, f"md5:{digest}", "kmnist")
        with pytest.raises(UsageError, match=rf"{file} is of kmnist, not of mnist: it has its published md5; name ano"):
            load_data("mnist", folder=tmp_path)
    if number == 1 and part == 0:
        with pytest.raises(UsageError, match="is of fashion_mnist, not of mnist"):
            load_data("mnist", folder=tmp_path)


def test_the_checksums_are_those_of_the_downloads() -> None:
    for collection in (MNIST_FILES, FASHION_MNIST_FILES):
        files = [(Path(one.file).name, one.checksum) for one in collection.files]
        names = [f"{name}-ubyte.gz" for name in identity.IDX_NAMES]
        assert files == list(zip(names, identity.IDX_CHECKSUMS[collection.name], strict=True))


def test_files_that_are_not_the_published_ones_are_noted(tmp_path: Path) -> None:
    data = load_data("mnist", folder=made.mnist(tmp_path, train=100, test=99))
    assert data.notes[1:] == (
        "not the published training images of mnist in their order: the first labels are 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "
        "the published ones 5, 0, 4, 1, 9, 2, 1, 3, 1, 4",
    )


@needs_data
def test_the_real_mnist_is_no_fashion(tmp_path: Path) -> None:
    """Shortened files have other checksums, but labels and images; the test part is whole."""
    source, home = SHARED / "mnist-part/MNIST/raw", tmp_path / "FashionMNIST/raw"
    shutil.copytree(source, home)
    with pytest.raises(UsageError, match=r"t10k-images-idx3-ubyte.gz is of mnist, not of fashion_mnist: .* sha256"):
        load_data("fashion_mnist", folder=tmp_path)
    for number, name in enumerate(identity.IDX_NAMES[:2]):  # the labels or the images alone
        other = made.mnist(tmp_path / f"{number}/FashionMNIST/raw", train=17_000, like="fashion_mnist")
        shutil.copy(home / f"{name}-ubyte.gz", other)
        with pytest.raises(UsageError, match=r"raw is of mnist, not of fashion_mnist: its first training"):
            load_data("fashion_mnist", folder=tmp_path / str(number))


@needs_data
@pytest.mark.parametrize(("name", "folder"), [("mnist", "mnist-part"), ("cifar10", "cifar10-lossless-part")])
def test_the_first_labels_and_images_are_the_published_ones(name: str, folder: str) -> None:
    collection = {"mnist": MNIST_FILES, "cifar10": CIFAR10_FILES}[name]
    home, layout = collection.find(SHARED / folder)
    parts = layout.read(home, form=collection.form)
    assert tuple(tuple(part.labels[:10].tolist()) for part in parts) == identity.FIRST_LABELS[name]
    for part in parts:
        assert identity.FIRST_IMAGES[hashlib.sha256(part.images[0].tobytes()).hexdigest()] == name
    assert not identity.check_parts(home, *parts, name=name)


# ---------------------------------------------------------------------------------------------- classes in the metadata


SPELLED = {
    "mnist": class_names("mnist"),
    "fashion_mnist": ("T - shirt / top", *class_names("fashion_mnist")[1:]),  # as the hub has it
    "cifar10": class_names("cifar10"),
    "cifar100": tuple(name.replace("_", " ").title() for name in class_names("cifar100")),
}


@pytest.mark.parametrize("name", SPELLED)
def test_classes_of_any_spelling_in_any_order(tmp_path: Path, name: str) -> None:
    names = list(SPELLED[name])
    usual = load_data(name, folder=in_parquet(tmp_path / "a" / name, name, classes=names))
    assert len(usual.notes) == 1
    mixed = random.Random(0).sample(names, len(names))
    other = load_data(name, folder=in_parquet(tmp_path / "b" / name, name, classes=mixed))
    assert [mixed[label] for label in usual.train.labels.tolist()] == [  # type: ignore[union-attr]
        names[label]
        for label in other.train.labels.tolist()  # type: ignore[union-attr]
    ]
    assert other.notes[1] == f"the files of {name} have its classes in another order: the labels were renumbered"


@pytest.mark.parametrize(
    "classes",
    [
        list(class_names("mnist")),
        ["T-shirt/top"],
        [*class_names("fashion_mnist"), "Sock"],
        [*class_names("fashion_mnist")[:9], "Bag"],
        ["\x1b[2J"] * 10,
    ],
)
def test_other_classes_are_refused(tmp_path: Path, classes: list[str]) -> None:
    home = in_parquet(tmp_path / "fashion_mnist", "fashion_mnist", classes=classes)
    message = r"parquet cannot be used: its classes are .*, not T-shirt/top, Trouser, Pullover ... \(10\): it is of ano"
    with pytest.raises(UsageError, match=message) as raised:
        load_data("fashion_mnist", folder=home)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("text", ["[" * 10**5, "{", '{"info": NaN', "\xff", '{"a":' * 10**5])
def test_metadata_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    home = in_parquet(tmp_path / "mnist", "mnist")
    path = home / "train-00000-of-00001.parquet"
    content = text.encode("latin-1")
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"huggingface": content}), path)
    with pytest.raises(UsageError, match=r"parquet cannot be used: its metadata 'huggingface' is no JSON, or nested"):
        load_data("mnist", folder=home)


@pytest.mark.parametrize("content", [[], {"info": []}, {"info": {"features": {"label": {"names": [1]}}}}, {"info": {}}])
def test_metadata_without_classes_says_nothing(tmp_path: Path, content: Any) -> None:
    home = in_parquet(tmp_path / "mnist", "mnist")
    path = home / "train-00000-of-00001.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({"huggingface": json.dumps(content)}), path)
    assert len(load_data("mnist", folder=home).notes) == 1
