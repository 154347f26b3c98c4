"""CIFAR and MNIST from files in their published layouts: what is read, what is held out, what is refused."""

from __future__ import annotations

import gzip
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.utils.data import random_split

import data_files as made
from convatlas import data_names
from convatlas.data import DataSet, ResidentImages, list_data, load_data, open_source, sources
from convatlas.data.check import check_data
from convatlas.data.sources.collection import data_folder
from convatlas.data.sources.splitting import hold_out
from convatlas.errors import UsageError


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test of this file may reach for the internet: a data set that is not found fails at once."""

    def refuse(*_: object, **__: object) -> None:
        raise UsageError("it would be downloaded")

    monkeypatch.setattr("convatlas.data.sources.collection.fetch_together", refuse)
    monkeypatch.delenv("CONVATLAS_DATA", raising=False)


# --------------------------------------------------------------------------------------------------------------- specs


def test_there_are_five_data_sets() -> None:
    assert list_data() == ["cifar10", "cifar100", "digits", "fashion_mnist", "mnist"]
    assert len(open_source("cifar100").spec.class_names) == len(set(open_source("cifar100").spec.class_names)) == 100
    assert open_source("cifar10").spec.class_names[3] == "cat"
    assert [name for name in list_data() if open_source(name).spec.mirror] == ["cifar10", "cifar100", "fashion_mnist"]
    assert data_names.NAMED == {
        "cifar10": None, "cifar100": None, "digits": "quick", "fashion_mnist": "quick", "mnist": "quick"
    }  # fmt: skip
    assert set(data_names.KINDS) == set(sources.KINDS)
    assert set(sources.NAMED) == set(data_names.NAMED)


# -------------------------------------------------------------------------------------------------------------- splits


def test_the_split_is_the_one_random_split_makes_under_seed_42() -> None:
    torch.manual_seed(42)
    train, validation = random_split(range(50_000), [45_000, 5_000])
    ours = hold_out(50_000, 5_000)
    assert ours[0].tolist() == list(train.indices)
    assert ours[1].tolist() == list(validation.indices)


def test_the_official_size_holds_out_5000_and_any_other_a_tenth(tmp_path: Path) -> None:
    home = made.mnist(tmp_path / "a", train=60_000, test=10_000, gzipped=False, like="mnist")
    whole = load_data("mnist", folder=home)
    assert [len(s) for s in (whole.train, whole.validation, whole.test)] == [55_000, 5_000, 10_000]
    assert not whole.notes
    torch.manual_seed(42)
    assert whole.validation.index.tolist() == list(random_split(range(60_000), [55_000, 5_000])[1].indices)
    part = load_data("mnist", folder=made.mnist(tmp_path / "b", train=57, test=3))
    assert [len(s) for s in (part.train, part.validation, part.test)] == [51, 6, 3]
    assert part.notes == ("only a part of mnist: 57 of 60,000 training images and 3 of 10,000 test images",)
    assert sorted([*part.train.index.tolist(), *part.validation.index.tolist()]) == list(range(57))


# ------------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickled_batches_are_read_in_order(tmp_path: Path, protocol: int) -> None:
    data = load_data("cifar10", folder=made.cifar10(tmp_path, protocol=protocol))
    source = np.concatenate([made.pixels(4, 3072, seed=seed) for seed in range(5)]).reshape(-1, 3, 32, 32)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 4)
    for split in (data.train, data.validation):
        assert np.array_equal(split.pixels.numpy(), source[split.index.numpy()])
        assert split.labels.tolist() == [i % 4 for i in split.index.tolist()]
    assert np.array_equal(data.test.pixels.numpy().reshape(4, -1), made.pixels(4, 3072, seed=5))
    assert (data.train.pixels.dtype, data.train.labels.dtype) == (torch.uint8, torch.int64)


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """Strings of Python 2 have an opcode of their own, and the array's module its old name: so are the originals."""
    home = made.cifar10(tmp_path)
    content = made.pixels(2, 3072, seed=9).tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(K\x01(K\x02M\x00\x0ct"
        b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbI00\nT"
        + len(content).to_bytes(4, "little") + content + b"tb"
    )  # fmt: skip
    (home / "test_batch").write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x03K\x07eu.")
    data = load_data("cifar10", folder=tmp_path)
    assert data.test.labels.tolist() == [3, 7]
    assert np.array_equal(data.test.pixels.numpy().reshape(2, -1), made.pixels(2, 3072, seed=9))


def test_cifar100_has_its_fine_labels(tmp_path: Path) -> None:
    data = load_data("cifar100", folder=made.cifar100(tmp_path))
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 20)
    assert data.test.labels.tolist() == list(range(20))
    assert data.notes == ("only a part of cifar100: 20 of 50,000 training images and 20 of 10,000 test images",)


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_files_plain_and_gzipped(tmp_path: Path, gzipped: bool) -> None:
    data = load_data("fashion_mnist", folder=made.mnist(tmp_path, gzipped=gzipped))
    source = made.pixels(20, 28, 28)
    assert np.array_equal(data.train.pixels[:, 0].numpy(), source[data.train.index.numpy()])
    assert data.test.labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("name", "columns"), [("cifar10", {}), ("cifar100", {"label": "fine_label"})])
def test_the_hubs_layout(tmp_path: Path, name: str, columns: dict[str, str]) -> None:
    data = load_data(name, folder=made.hub(tmp_path, **columns))
    source = made.pixels(25, 32, 32, 3).transpose(0, 3, 1, 2)
    assert np.array_equal(data.train.pixels.numpy(), source[data.train.index.numpy()])
    assert np.array_equal(data.test.pixels.numpy(), source[20:])
    assert len(data.notes) == 1


def test_the_hubs_layout_of_mnist(tmp_path: Path) -> None:
    images = made.pixels(12, 28, 28)
    for part in ("train", "test"):
        contents = [made.encoded(image) for image in images]
        made.shard(tmp_path / "mnist" / f"{part}-00000-of-00001.parquet", contents, made.numbers(12), image="image")
    data = load_data("mnist", folder=tmp_path)
    assert np.array_equal(data.test.pixels[:, 0].numpy(), images)


def test_jpeg_images_are_said_to_be_lossy(tmp_path: Path) -> None:
    notes = load_data("cifar10", folder=made.hub(tmp_path, kind="JPEG")).notes
    assert len(notes) == 2
    assert "compressed again as JPEG:" in notes[1]


@pytest.mark.parametrize(("options", "lossy"), [({}, True), ({"lossless": True}, False)])
@pytest.mark.parametrize("profile", [b"", b"a profile"])
def test_webp_is_lossy_unless_it_says_otherwise(
    tmp_path: Path, options: dict[str, bool], lossy: bool, profile: bytes
) -> None:
    """A colour profile puts other chunks before the image."""
    home = made.hub(tmp_path)
    buffer = io.BytesIO()
    image = Image.fromarray(made.pixels(1, 32, 32, 3)[0])
    image.save(buffer, "WEBP", icc_profile=profile, **options)
    made.shard(home / "test-00000-of-00001.parquet", [buffer.getvalue()], [1])
    notes = load_data("cifar10", folder=tmp_path).notes
    assert ["compressed again as WEBP:" in note for note in notes] == [False, True][: 1 + lossy]


def test_equal_images_are_counted_one_by_one() -> None:
    """Three equal images under three labels: two repeat the first, both under another label than those before."""
    images, index = torch.zeros(3, 1, 8, 8, dtype=torch.uint8), torch.arange(3)
    for labels, other in (([0, 1, 2], 2), ([0, 1, 1], 1), ([0, 0, 0], 0)):
        split = ResidentImages(images, torch.tensor(labels), index)
        found = check_data(DataSet(open_source("digits").spec, split, split, split)).duplicates
        assert found[0] == {"splits": ["train"], "images": 2, "other_label": other}
        assert found[3] == {"splits": ["train", "validation"], "images": 3, "other_label": 0}


# ------------------------------------------------------------------------------------------------------------- folders


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-py", "data/cifar-10-batches-py"])
def test_the_folder_may_be_its_own_or_above(tmp_path: Path, inside: str) -> None:
    made.cifar10((tmp_path / inside).parent if inside != "." else tmp_path)
    folder = tmp_path / "cifar-10-batches-py" if inside == "." else tmp_path
    assert len(load_data("cifar10", folder=folder).test) == 4


@pytest.mark.parametrize("folder", ["", "MNIST", "MNIST/raw", "above"])
def test_mnist_is_not_fashion_mnist(tmp_path: Path, folder: str) -> None:
    base = tmp_path / "above" if folder == "above" else tmp_path
    made.mnist(base / "MNIST" / "raw", test=3)
    made.mnist(base / "FashionMNIST" / "raw", test=4)
    folder = "" if folder == "above" else folder
    assert len(load_data("mnist", folder=tmp_path / folder).test) == 3
    assert len(load_data("fashion_mnist", folder=tmp_path).test) == 4
    with pytest.raises(UsageError, match="downloaded"):
        load_data("mnist", folder=tmp_path / "FashionMNIST" / "raw")


def test_the_nearest_folder_counts_and_two_as_near_are_refused(tmp_path: Path) -> None:
    made.cifar10(tmp_path / "deep", each=3)
    assert len(load_data("cifar10", folder=tmp_path).test) == 3
    made.hub(tmp_path / "other" / "plain_text")
    with pytest.raises(UsageError, match=r"cifar10 2 times .*--data-dir"):
        load_data("cifar10", folder=tmp_path)
    made.cifar10(tmp_path, each=5)
    assert len(load_data("cifar10", folder=tmp_path).test) == 5


def test_a_folder_of_other_data_is_passed_over(tmp_path: Path) -> None:
    made.hub(tmp_path / "text" / "plain_text", label="sentiment")
    made.cifar10(tmp_path / "images")
    assert len(load_data("cifar10", folder=tmp_path).test) == 4


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONVATLAS_DATA", str(made.mnist(tmp_path)))
    assert len(load_data("mnist").test) == 5
    monkeypatch.delenv("CONVATLAS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_folder(None).name == "convatlas"
    assert data_folder(Path("~/here")) == Path.home() / "here"


def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere does not exist.*cifar-10-python.tar.gz \(sha256:6d958be"):
        load_data("cifar10", folder=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is no folder"):
        load_data("mnist", folder=tmp_path / "file")


# ----------------------------------------------------------------------------------------------------------- bad files


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch hacked",)


def pickled(name: str, content: object) -> Callable[[Path], None]:
    return lambda home: made.dump(home / name, content)


def cut(name: str, keep: float) -> Callable[[Path], None]:
    def apply(home: Path) -> None:
        content = (home / name).read_bytes()
        (home / name).write_bytes(content[: int(keep * len(content))])

    return apply


def written(name: str, content: bytes) -> Callable[[Path], None]:
    def apply(home: Path) -> None:
        (home / name).write_bytes(content)

    return apply


def removed(name: str) -> Callable[[Path], None]:
    return lambda home: (home / name).unlink()


ONE = made.batch(4)
CIFAR_SOURCE = r"https://\S+/cifar-10-python.tar.gz \(sha256:6d958be\w+\)$"
BAD_CIFAR = {
    "truncated": (cut("data_batch_2", 0.6), "data_batch_2 .* no whole pickle"),
    "empty": (written("data_batch_1", b""), "no whole pickle"),
    "noise": (written("data_batch_1", bytes(range(256))), "no whole pickle"),
    "missing": (removed("data_batch_3"), f"data_batch_3 .*missing.* {CIFAR_SOURCE}"),
    "no test": (removed("test_batch"), "test_batch .*missing"),
    "system": (pickled("data_batch_4", {**ONE, b"x": Evil()}), "data_batch_4 .*wants to run code: (posix|nt).system"),
    "eval": (written("test_batch", b"\x80\x02cbuiltins\neval\nU\x041+1\n\x85R."), "wants to run code: builtins.eval"),
    "numpy": (written("test_batch", b"\x80\x02cnumpy\nload\n."), "wants to run code: numpy.load"),
    "codec": (written("test_batch", b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0zip\x86R."), "'zip'"),
    "bytes": (written("test_batch", b"\x80\x02c__builtin__\nbytes\nJ\xff\xff\xff\x7f\x85R."), "bytes with an argument"),
    "list": (pickled("test_batch", [1, 2]), "no dictionary"),
    "no labels": (pickled("test_batch", {b"data": ONE[b"data"]}), "lacks labels"),
    "counts": (pickled("test_batch", {**ONE, b"labels": [1, 2, 3]}), "4 images and 3 labels"),
    "range": (pickled("test_batch", {**ONE, b"labels": [0, 10, 1, 2]}), "label 10 of image 1 is not one of 0 to 9"),
    "negative": (pickled("test_batch", {**ONE, b"labels": [0, 1, -1, 2]}), "label -1 of image 2"),
    "text": (pickled("test_batch", {**ONE, b"labels": ["cat"] * 4}), "whole numbers"),
    "large": (pickled("test_batch", {**ONE, b"labels": [0, 1, 2, 2**31]}), "test_batch .*too large for a label"),
    "change": (
        written("test_batch", b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__U\x06latin1\x85s\x86b."),
        "test_batch .*wants to change a function",
    ),
    "attribute": (
        written("test_batch", b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}U\x01aK\x01sb."),
        "test_batch .*wants to change a function",
    ),
    "float": (pickled("test_batch", {**ONE, b"data": np.zeros((4, 3072))}), "no array of bytes"),
    "object": (pickled("test_batch", {**ONE, b"data": np.array([None] * 4)}), "no array of bytes"),
    "width": (pickled("test_batch", {**ONE, b"data": made.pixels(4, 100)}), r"shape \(4, 100\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_CIFAR)
def test_a_bad_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, message = BAD_CIFAR[case]
    spoil(made.cifar10(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        load_data("cifar10", folder=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "hacked").exists()


TRAIN, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def zipped(name: str, content: bytes) -> Callable[[Path], None]:
    return written(name, gzip.compress(content))


IMAGES = made.idx(made.pixels(20, 28, 28))
BAD_MNIST = {
    "truncated gz": (cut(TRAIN, 0.5), f"{TRAIN} .*end-of-stream"),
    "broken gz": (written(LABELS, gzip.compress(b"x" * 99)[:12] + b"\xff" * 40), LABELS),
    "empty": (zipped(TRAIN, b""), f"{TRAIN} .*it is empty"),
    "no bytes": (written(LABELS, b""), f"{LABELS} .*it is empty"),
    "magic": (zipped(TRAIN, b"\x00\x00\x08\x01" + IMAGES[4:]), "begins with 00 00 08 01, not 00 00 08 03"),
    "header": (zipped(TRAIN, IMAGES[:9]), "ends within its header"),
    "short": (zipped(TRAIN, IMAGES[:-1]), "promises 15,680 bytes, there are 15,679"),
    "long": (zipped(TRAIN, IMAGES + b"x"), "promises 15,680 bytes, there are more"),
    "huge": (zipped(TRAIN, IMAGES[:4] + b"\xff" * 12), r"asks for at least .* GiB of memory for the shape"),
    "size": (zipped(TRAIN, made.idx(made.pixels(20, 27, 28))), "27 x 28, not 28 x 28"),
    "counts": (zipped(LABELS, made.idx(np.zeros(19, np.uint8))), "20 images and 19 labels"),
    "range": (zipped(LABELS, made.idx(np.full(20, 11, np.uint8))), f"{LABELS} .*label 11 of image 0 is not one of 0"),
    "missing": (removed(LABELS), rf"{LABELS} .*missing.* https://\S+{LABELS} \(sha256:3552534a[0-9a-f]{{56}}\)$"),
    "none": (zipped("t10k-images-idx3-ubyte.gz", made.idx(made.pixels(0, 28, 28))), "0 images and 5 labels"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_MNIST)
def test_a_bad_idx_file_is_refused(tmp_path: Path, case: str) -> None:
    spoil, message = BAD_MNIST[case]
    spoil(made.mnist(tmp_path))
    with pytest.raises(UsageError, match=message) as caught:
        load_data("mnist", folder=tmp_path)
    assert "\n" not in str(caught.value)


GOOD = made.encoded(made.pixels(1, 32, 32, 3)[0])
SHARD = "train-00001-of-00002.parquet"


def records(images: list[bytes | None], labels: list[object], **columns: str) -> Callable[[Path], None]:
    return lambda home: made.shard(home / SHARD, images, labels, **columns)


def twice(column: str) -> Callable[[Path], None]:
    """The shard with one of its columns a second time."""

    def apply(home: Path) -> None:
        table = pq.read_table(home / SHARD)
        pq.write_table(table.append_column(column, table.column(column)), home / SHARD)

    return apply


BAD_HUB = {
    "truncated": (cut(SHARD, 0.7), f"{SHARD} .*no whole parquet file"),
    "noise": (written("test-00000-of-00001.parquet", b"PAR1 this is none PAR1"), "no whole parquet"),
    "missing": (removed(SHARD), f"plain_text .*1 of the 2 files train.* {CIFAR_SOURCE}"),
    "no test": (removed("test-00000-of-00001.parquet"), rf"has no test-\*.parquet.* {CIFAR_SOURCE}"),
    "columns": (records([GOOD], [1], image="picture"), "columns are picture, label"),
    "no image": (records([GOOD, b"no image"], [1, 2]), f"{SHARD} .*image 1 is no image of the formats PNG, JPEG"),
    "half an image": (records([GOOD[: len(GOOD) // 2]], [1]), "image 0 cannot be decoded"),
    "null": (records([GOOD, None], [1, 2]), "image 1 holds no bytes"),
    "size": (records([GOOD, made.encoded(made.pixels(1, 16, 32, 3)[0])], [1, 2]), "image 1 has 32 x 16 pixels"),
    "kind": (records([made.encoded(made.pixels(1, 32, 32, 3)[0], "GIF")], [1]), f"{SHARD} .*image 0 is no image"),
    "range": (records([GOOD, GOOD], [1, 10]), "label 10 of image 1"),
    "text": (records([GOOD], ["cat"]), "something else than whole numbers"),
    "large": (records([GOOD], [np.uint64(2**63)]), f"{SHARD} .*column label holds a number too large for a label"),
    "two images": (twice("img"), f"{SHARD} .*columns are img, label, img; it needs one img"),
    "two labels": (twice("label"), f"{SHARD} .*columns are img, label, label; it needs .* one label"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_HUB)
def test_a_bad_parquet_file_is_refused(tmp_path: Path, case: str) -> None:
    spoil, message = BAD_HUB[case]
    spoil(made.hub(tmp_path / "plain_text"))
    with pytest.raises(UsageError, match=message) as caught:
        load_data("cifar10", folder=tmp_path)
    assert "\n" not in str(caught.value)


def test_more_or_too_few_records_are_refused(tmp_path: Path) -> None:
    made.mnist(tmp_path / "more", test=10_001, gzipped=False)
    with pytest.raises(UsageError, match=r"10,001 test images, more than mnist has \(60,000 and 10,000\)"):
        load_data("mnist", folder=tmp_path / "more")
    with pytest.raises(UsageError, match="1 training and 5 test images; 2 and 1 are needed"):
        load_data("mnist", folder=made.mnist(tmp_path / "fewer", train=1))


def test_the_stand_ins_run_nothing(tmp_path: Path) -> None:
    """What the seven permitted names can be made to build are our own stand-ins, however they are called."""
    from convatlas.data.sources.layouts.pickles import read_pickle

    path = tmp_path / "file"
    path.write_bytes(pickle.dumps({"data": made.pixels(1, 3)}, protocol=2))
    assert type(read_pickle(path)["data"]).__module__.startswith("convatlas.")
    path.write_bytes(b"\x80\x02}(U\x01dcnumpy\nndarray\n(K\x05tRu.")  # ndarray called with a shape
    with pytest.raises(UsageError, match="no whole pickle"):
        read_pickle(path)


# ---------------------------------------------------------------------------------------------------------- real files

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
real = pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder with data files")


def folder_of(name: str) -> Path:
    return Path(FOLDER or "") / "data" / name


@real
def test_the_lossless_part_of_cifar10() -> None:
    data = load_data("cifar10", folder=folder_of("cifar10-lossless-part"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [4500, 500, 1000]
    assert data.notes == ("only a part of cifar10: 5,000 of 50,000 training images and 1,000 of 10,000 test images",)
    assert data.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]  # as every CIFAR-10 has them


@real
def test_the_part_of_mnist() -> None:
    data = load_data("mnist", folder=folder_of("mnist-part"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [15_300, 1_700, 10_000]
    assert data.notes == ("only a part of mnist: 17,000 of 60,000 training images and 10,000 of 10,000 test images",)
    assert data.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert data.test.pixels.float().mean().item() == pytest.approx(33.79, abs=0.01)


@real
@pytest.mark.slow
def test_the_jpeg_form_of_cifar10_is_in_the_official_order() -> None:
    """Each lossless image is nearly the JPEG in its place; the split is the tutorial's."""
    data = load_data("cifar10", folder=folder_of("cifar10-jpeg"))
    part = load_data("cifar10", folder=folder_of("cifar10-lossless-part"))
    assert [len(s) for s in (data.train, data.validation, data.test)] == [45_000, 5_000, 10_000]
    assert torch.equal(data.test.labels[:1000], part.test.labels)
    assert (data.test.pixels[:1000].float() - part.test.pixels.float()).abs().mean() < 12
    torch.manual_seed(42)
    train, validation = random_split(range(50_000), [45_000, 5_000])
    assert data.train.index.tolist() == list(train.indices)
    assert data.validation.index.tolist() == list(validation.indices)
    assert len(data.notes) == 1
    assert "JPEG" in data.notes[0]
