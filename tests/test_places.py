"""The layouts in which people have data files; files in a form that is not read are named before a download."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import data_files as made
from convatlas.data import load_data
from convatlas.data.sources import collection
from convatlas.data.sources.identity import IDX_NAMES
from convatlas.errors import UsageError
from test_identity import in_parquet

FILES = [f"{name}-ubyte" for name in IDX_NAMES]
HUB = {"cifar10": "plain_text", "cifar100": "cifar100", "mnist": "mnist", "fashion_mnist": "fashion_mnist"}
OWNERS = {"cifar10": "uoft-cs", "cifar100": "uoft-cs", "mnist": "ylecun", "fashion_mnist": "zalando-datasets"}


@pytest.fixture(autouse=True)
def _no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it is downloaded")

    monkeypatch.setattr(collection, "fetch_together", refuse)


def dotted(home: Path) -> None:
    """As some archivers unpack: `train-images.idx3-ubyte`."""
    for name in FILES:
        (home / name).rename(home / name.replace("-idx", ".idx"))


def dotted_and_packed(home: Path) -> None:
    for name in FILES:
        (home / f"{name.replace('-idx', '.idx')}.gz").write_bytes(gzip.compress((home / name).read_bytes()))
        (home / name).unlink()


def in_folders(home: Path) -> None:
    """As a collection on Kaggle has them: each in a folder of its name."""
    for name in FILES:
        content = (home / name).read_bytes()
        (home / name).unlink()
        (home / name).mkdir()
        (home / name / name).write_bytes(content)


def in_dotted_folders(home: Path) -> None:
    in_folders(home)
    for name in FILES:
        (home / name / name).rename(home / name / name.replace("-idx", ".idx"))


def packed_without_suffix(home: Path) -> None:
    for name in FILES:
        (home / name).write_bytes(gzip.compress((home / name).read_bytes()))


def unpacked_with_suffix(home: Path) -> None:
    for name in FILES:
        (home / name).rename(home / f"{name}.gz")


def mixed(home: Path) -> None:
    (home / FILES[0]).rename(home / FILES[0].replace("-idx", ".idx"))
    (home / f"{FILES[1]}.gz").write_bytes(gzip.compress((home / FILES[1]).read_bytes()))
    (home / FILES[1]).unlink()


IDX: list[Callable[[Path], None]] = [
    dotted,
    dotted_and_packed,
    in_folders,
    in_dotted_folders,
    packed_without_suffix,
    unpacked_with_suffix,
    mixed,
]


@pytest.mark.parametrize("spoil", IDX)
@pytest.mark.parametrize("home", [".", "MNIST/raw", "mnist/mnist", "data/MNIST/raw"])
def test_idx_files_as_programs_leave_them(tmp_path: Path, spoil: Callable[[Path], None], home: str) -> None:
    usual = load_data("mnist", folder=made.mnist(tmp_path / "usual"))
    spoil(made.mnist(tmp_path / "a" / home, gzipped=False))
    assert load_data("mnist", folder=tmp_path / "a").images_hash == usual.images_hash


@pytest.mark.parametrize("above", ["cifar-10-batches-py", "cifar-10-python/cifar-10-batches-py"])
def test_a_folder_in_a_folder_of_its_name(tmp_path: Path, above: str) -> None:
    made.cifar10(tmp_path / above)
    for root in (tmp_path, (tmp_path / above).parent, tmp_path / above, tmp_path / above / "cifar-10-batches-py"):
        assert len(load_data("cifar10", folder=root).test) == 4


def converted(home: Path, name: str) -> None:
    """The hub's own conversion: `train/0000.parquet` on."""
    in_parquet(home, name)
    for part in ("train", "test"):
        (home / part).mkdir()
        (home / f"{part}-00000-of-00001.parquet").rename(home / part / "0000.parquet")


@pytest.mark.parametrize("name", HUB)
@pytest.mark.parametrize("layout", [in_parquet, converted])
@pytest.mark.parametrize("inside", ["home", "default", "", "data"])
def test_the_hubs_cache(tmp_path: Path, name: str, layout: Callable[[Path, str], object], inside: str) -> None:
    """By way of the cache, the repository and the snapshot; other repositories lie beside it."""
    repository = tmp_path / f"hub/datasets--{OWNERS[name]}--{name}"
    snapshot = repository / "snapshots" / ("0" * 40)
    home = snapshot / (HUB[name] if inside == "home" else inside)
    layout(home, name)
    blobs = repository / "blobs"
    blobs.mkdir()
    for number, file in enumerate(sorted(home.rglob("*.parquet"))):  # the cache holds links
        file.rename(blobs / str(number))
        file.symlink_to(blobs / str(number))
    for other in HUB:
        if other != name:
            in_parquet(tmp_path / f"hub/datasets--{OWNERS[other]}--{other}/snapshots/1/{HUB[other]}", other, count=9)
    roots = [tmp_path, tmp_path / "hub", repository, *([snapshot] if inside in ("home", "") else [])]
    for root in roots:
        assert len(load_data(name, folder=root).test) == 20


def test_the_newest_snapshot_counts_and_two_as_new_are_refused(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--ylecun--mnist"
    in_parquet(repository / "snapshots/a/mnist", "mnist", count=9)
    in_parquet(repository / "snapshots/b/mnist", "mnist", count=8)
    with pytest.raises(UsageError, match=r"mnist 2 times .*--data-dir"):
        load_data("mnist", folder=tmp_path)
    (repository / "refs").mkdir()
    (repository / "refs/main").write_text("b\n")
    assert len(load_data("mnist", folder=tmp_path).test) == 8


def test_a_missing_converted_shard_is_named(tmp_path: Path) -> None:
    converted(tmp_path / "mnist", "mnist")
    shutil.copy(tmp_path / "mnist/train/0000.parquet", tmp_path / "mnist/train/0002.parquet")
    with pytest.raises(UsageError, match=r"it has no train/0001\.parquet"):
        load_data("mnist", folder=tmp_path)
    shutil.rmtree(tmp_path / "mnist/test")
    (tmp_path / "mnist/train/0002.parquet").rename(tmp_path / "mnist/train/0001.parquet")
    with pytest.raises(UsageError, match=r"it has no test-\*\.parquet, and no test/\*\.parquet"):
        load_data("mnist", folder=tmp_path)


# ------------------------------------------------------------------------------------- files in a form that is not read


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-10-batches-bin/data_batch_1.bin"),
        ("cifar10", "cifar-10-batches-mat/data_batch_1.mat"),
        ("cifar10", "cifar-10-python.tar"),
        ("cifar10", "cifar-10-python (1).tar.gz"),
        ("cifar10", "data_batch_1.bin"),
        ("cifar10", "CIFAR10.npz"),
        ("cifar10", "validation-00000-of-00001.parquet"),
        ("cifar10", "cifar10-train.arrow"),
        ("cifar10", "datasets--uoft-cs--cifar10/snapshots/1/plain_text/all.parquet"),
        ("cifar100", "cifar-100-binary/train.bin"),
        ("cifar100", "cifar100.zip"),
        ("mnist", "mnist.npz"),
        ("mnist", "mnist.pkl.gz"),
        ("mnist", "MNIST/processed/training.pt"),
        ("mnist", "mnist_train.csv"),
        ("mnist", "train-images-idx3-ubyte.zip"),
        ("mnist", "emnist-letters-train-images-idx3-ubyte"),
        ("fashion_mnist", "fashion-mnist_train.csv"),
        ("fashion_mnist", "fashion-mnist/fashion.pkl"),
    ],
)
def test_files_that_do_not_fit_are_named_before_a_download(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"nobody knows")
    shown = file.split("/")[0].replace("(", r"\(").replace(")", r"\)")
    message = rf"has {shown}, but {name} is not read from there, and nothing was downloaded; it is read from .*; to do"
    with pytest.raises(UsageError, match=message) as raised:
        load_data(name, folder=tmp_path)
    assert "\n" not in str(raised.value)


def test_a_folder_of_pictures_does_not_fit(tmp_path: Path) -> None:
    home = tmp_path / "cifar10/train/airplane"
    home.mkdir(parents=True)
    for number in range(10):
        (home / f"{number}.png").write_bytes(b"")
    with pytest.raises(UsageError, match="has cifar10, but cifar10 is not read from there"):
        load_data("cifar10", folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cifar10", "cifar-100-python/train"),
        ("cifar10", "cifar-100-binary/train.bin"),
        ("cifar10", "MNIST/raw/train-images-idx3-ubyte"),
        ("cifar10", "cifar10_curves.png"),
        ("cifar10", "resnet_cifar10.pt"),
        ("cifar10", "notes.csv"),
        ("cifar10", "plain_text/readme.md"),
        ("mnist", "FashionMNIST/raw/train-images-idx3-ubyte"),
        ("mnist", "fashion-mnist/a.npz"),
        ("mnist", "fashion_mnist.npz"),
        ("mnist", "emnist.zip"),
        ("fashion_mnist", "MNIST/raw/train-images-idx3-ubyte"),
        ("fashion_mnist", "mnist.npz"),
        ("cifar100", "cifar-10-batches-py/data_batch_1"),
        ("cifar100", ".cifar100.download/a.npz"),
    ],
)
def test_files_of_others_do_not_stop_a_download(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_bytes(b"nobody knows")
    with pytest.raises(AssertionError, match="it is downloaded"):
        load_data(name, folder=tmp_path)


def test_files_of_another_collection_by_their_folder_are_named(tmp_path: Path) -> None:
    made.mnist(tmp_path / "FashionMNIST/raw")
    with pytest.raises(
        UsageError, match=r"has t10k-images-idx3-ubyte.gz, .* and 1 more, but mnist is not read from th"
    ):
        load_data("mnist", folder=tmp_path / "FashionMNIST/raw")
