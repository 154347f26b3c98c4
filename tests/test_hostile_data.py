"""Data files that mean harm or are odd: one line, in bounded memory and time, and nothing is waited for."""

from __future__ import annotations

import os
import re
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

import data_files as made
import hostile_data
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data import load_data, preprocessing
from convatlas.data.images.image_files import check_images, read_image
from convatlas.data.images.stores import file_digest
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.sources.cifar import CIFAR10_FILES
from convatlas.data.sources.layouts.idx import read_idx
from convatlas.data.sources.layouts.parquet import read_shard
from convatlas.data.sources.layouts.pickles import read_batch, read_pickle
from convatlas.errors import UsageError
from convatlas.files import read_json, read_regular
from convatlas.recipe import read_recipe
from convatlas.weights import file_sha256, read_checkpoint
from hostile_data import PLAIN_TAGS, examples, tiff
from test_hostile_checkpoints import Tried, tried

SECONDS = 10.0
ROOM = 40 * 2**20  # bytes beside the pixels of a picture


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tried]:
    """What became of each example, the pictures last: the memory of a process is the most that it had."""
    folder = tmp_path_factory.mktemp("harm")
    paths = {}
    for index, (name, (make, _)) in enumerate(examples().items()):
        content, suffix = make()
        paths[name] = folder / f"{index}{suffix}"
        paths[name].write_bytes(content)
    found = tried("--only", "picture", "--files", *map(str, paths.values()))
    return dict(zip(paths, found, strict=True))


@pytest.mark.parametrize("name", examples())
def test_harm_is_refused_in_one_line(answers: dict[str, Tried], name: str) -> None:
    answer, pattern = answers[name], examples()[name][1]
    assert answer["said"] == ("refused" if pattern else "read"), answer["words"]
    assert re.search(pattern, answer["words"]), answer["words"]
    assert answer["seconds"] < SECONDS
    if pattern:
        assert answer["grown"] < 250 * 2**20
    else:  # a picture needs at most four times its pixels, of three channels a byte each
        assert answer["grown"] < 4 * 3 * 5000**2 + ROOM


def test_a_large_picture_is_resized_channel_by_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit as all channels at once."""
    images = torch.randint(0, 256, (2, 3, 90, 61), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for interpolation in ("bilinear", "bicubic"):
        stage = Preprocessing(20, (0.5,) * 3, (0.2,) * 3, shorter_side=24, interpolation=interpolation)
        whole = stage.resize(images), stage.resize(images[:, :1])
        with monkeypatch.context() as patched:
            patched.setattr(preprocessing, "LARGE", 1)
            assert torch.equal(stage.resize(images), whole[0])
            assert torch.equal(stage.resize(images[:, :1]), whole[1])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "1"])
def test_a_picture_is_decoded_in_bands(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit as all rows at once, whatever its kind."""
    values = made.pixels(1, 20, 30, 4)[0]
    image = Image.fromarray(values[..., :3]).quantize(9) if mode == "P" else Image.fromarray(values).convert("RGBA")
    if mode == "I;16":
        image = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    image = image if image.mode in (mode, "P", "I;16") else image.convert(mode)
    image.save(tmp_path / "a.png", **({"transparency": 3} if mode == "P" else {}))
    whole = [read_image(tmp_path / "a.png", channels=channels) for channels in (1, 3)]
    monkeypatch.setattr("convatlas.data.images.image_files.BAND", 7 * 30)
    assert [torch.equal(read_image(tmp_path / "a.png", channels=each.shape[1]), each) for each in whole] == [True] * 2


@pytest.mark.parametrize("read", [partial(read_image, channels=3), made.encoded_at])
def test_no_warning_of_pillows_reaches_the_screen(
    tmp_path: Path, read: Callable[[Path], Any], capfd: pytest.CaptureFixture[str]
) -> None:
    """Of tags by the thousand, of values that are too many, of samples that cannot be."""
    path = tmp_path / "a.tif"
    for tags in ([(33000, 2, 9, 0)] * 65535, [*PLAIN_TAGS, (256, 3, 2, 4)], [*PLAIN_TAGS, (277, 3, 1, 9)]):
        path.write_bytes(tiff(tags))
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with suppress(UsageError):
                read(path)
        assert not seen
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------------------- only regular files


@pytest.fixture
def in_time() -> Iterator[None]:
    """Ends a test that waits."""

    def late(*_: Any) -> None:
        raise AssertionError("it waits for a pipe")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS: dict[str, Callable[[Path], Any]] = {
    "idx": partial(read_idx, dimensions=3),
    "pickle": read_pickle,
    "batch": partial(read_batch, labels="labels", form=CIFAR10_FILES.form),
    "shard": partial(read_shard, labels="label", form=CIFAR10_FILES.form),
    "picture": partial(read_image, channels=3),
    "streamed picture": made.encoded_at,
    "pictures": lambda path: check_images([path]),
    "digest": file_digest,
    "recipe": read_recipe,
    "record": read_json,
    "content": read_regular,
    "checkpoint": read_checkpoint,
    "sum": file_sha256,
}


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("kind", READERS)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    pipe, link, folder = tmp_path / "pipe.py", tmp_path / "link.py", tmp_path / "folder.py"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    folder.mkdir()
    cases = {pipe: "a named pipe", link: "a named pipe", folder: "a folder", Path("/dev/zero"): "a device"}
    if kind == "checkpoint":
        del cases[folder]  # a run
    for path, said in cases.items():
        with pytest.raises(UsageError, match=f"{path.name}.* is {said}; (a regular file|name the image)"):
            READERS[kind](path)


@pytest.mark.usefixtures("in_time")
def test_a_pipe_holds_no_network(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(UsageError, match="no file"):
        architecture(f"{tmp_path / 'pipe.py'}:Network")


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize(
    "words",
    [
        ["data", "check", "mnist", "--data-dir", "{data}"],
        ["data", "check", "cifar10", "--data-dir", "{data}"],
        ["data", "check", "cifar100", "--data-dir", "{data}"],
        ["train", "lenet5", "--data", "digits", "--recipe", "{data}/pipe.yaml", "--out", "{data}/out"],
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_one_line(
    tmp_path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (
        made.mnist(tmp_path / "data/MNIST/raw") / "train-images-idx3-ubyte.gz",
        made.cifar10(tmp_path / "data") / "data_batch_3",
        made.hub(tmp_path / "data/cifar100", label="fine_label") / "train-00001-of-00002.parquet",
        tmp_path / "data/pipe.yaml",
    ):
        place.unlink(missing_ok=True)
        os.mkfifo(place)
    filled = [word.format(data=tmp_path / "data") for word in words]
    assert main(filled) == 2
    assert re.fullmatch(r"convatlas: .* is a named pipe; a regular file is needed\n", capsys.readouterr().err)
    assert not (tmp_path / "data/out").exists()


@pytest.mark.usefixtures("in_time")
def test_a_pipe_among_pictures_is_a_picture_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, name in enumerate(("cats", "dogs")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            noise = made.pixels(1, 9, 9, 3, seed=6 * place + number)[0]
            (tmp_path / "photos" / name / f"{number}.png").write_bytes(made.encoded(noise))
    (tmp_path / "photos/dogs/5.png").unlink()
    os.mkfifo(tmp_path / "photos/dogs/5.png")
    words = ["data", "check", f"folder:{tmp_path / 'photos'}", "--out", str(tmp_path / "page.html")]
    assert main(words) == 1
    assert "dogs/5.png (is a named pipe; a regular file is needed)" in capsys.readouterr().out
    assert main(["train", "lenet5", "--data", words[2], "--out", str(tmp_path / "out")]) == 2
    assert "dogs/5.png (the first is a named pipe" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------- one decoder for pictures


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "LA", "P", "RGB", "turned"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_in_parquet_is_what_predict_sees(tmp_path: Path, mode: str, channels: int) -> None:
    """Grey of 16 bits is not cut off at 255, transparent pixels are white, and pictures stand upright."""
    side = 28 if channels == 1 else 32
    values = made.pixels(1, side, side, 4)[0]
    options: dict[str, Any] = {}
    if mode == "I;16":
        image = Image.fromarray(np.arange(side * side, dtype=np.uint16).reshape(side, side) * 60)
    elif mode == "turned":
        image, options = Image.fromarray(values[..., :3]), {"exif": Image.Exif()}
        options["exif"][0x0112] = 6
    elif mode == "P":
        image, options = Image.fromarray(values[..., :3]).quantize(9), {"transparency": 2}
    else:
        image = Image.fromarray(values).convert(mode)
    path = tmp_path / "a.png"
    image.save(path, **options)
    name = "mnist" if channels == 1 else "cifar10"
    for part in ("train", "test"):
        made.shard(tmp_path / f"{name}/{part}-00000-of-00001.parquet", [path.read_bytes()] * 20, made.numbers(20))
    found = load_data(name, folder=tmp_path).train.pixels[:1]
    assert torch.equal(found, read_image(path, channels=channels))


def test_a_picture_of_32_bits_in_parquet_is_refused(tmp_path: Path) -> None:
    deep = hostile_data.png(32, 32, depth=16, kind=0, values=bytes(32 * 65))
    Image.fromarray(made.pixels(1, 32, 32)[0].astype(np.int32)).save(tmp_path / "a.tif")
    made.shard(tmp_path / "cifar10/train-00000-of-00001.parquet", [deep, (tmp_path / "a.tif").read_bytes()], [0, 1])
    made.shard(tmp_path / "cifar10/test-00000-of-00001.parquet", [deep], [0])
    with pytest.raises(UsageError, match="image 1 is no image of the formats PNG, JPEG, WEBP"):
        load_data("cifar10", folder=tmp_path)


@pytest.mark.parametrize("groups", [3, 700, 5000])
def test_shards_of_many_groups_of_rows(tmp_path: Path, groups: int) -> None:
    """Each group has a dictionary of values, and goes on without one where it grows too large."""
    import pyarrow.parquet as pq

    images = [made.encoded(image) for image in made.pixels(40, 32, 32, 3)]
    made.shard(tmp_path / "a.parquet", [images[i % 40] + bytes(i) for i in range(1500)], made.numbers(1500))
    pq.write_table(pq.read_table(tmp_path / "a.parquet"), tmp_path / "b.parquet", row_group_size=groups)
    part = read_shard(tmp_path / "b.parquet", labels="label", form=CIFAR10_FILES.form)
    assert np.array_equal(part.images, np.tile(made.pixels(40, 32, 32, 3).transpose(0, 3, 1, 2), (38, 1, 1, 1))[:1500])
    assert part.labels.tolist() == made.numbers(1500)


def test_a_header_of_strange_fields_is_damage(tmp_path: Path) -> None:
    """A structure in the place of a number, and a number in the place of a structure."""
    from convatlas.bounds import Allowance
    from convatlas.data.sources.layouts.parquet_pages import take_pages

    class Chunk:
        path_in_schema, dictionary_page_offset, data_page_offset, total_compressed_size = "a", None, 4, 9

    class Metadata:
        num_row_groups, num_columns = 1, 1

        def row_group(self, _: int) -> Metadata:
            return self

        def column(self, _: int) -> type[Chunk]:
            return Chunk

    path, metadata = tmp_path / "a.parquet", cast(Any, Metadata())
    for header in (b"\x15\0\x1c\0\x15\2\0", b"\x15\0\x15\2\x15\2\x45\2\0", b"\x15\0\x15\1\x15\2\0", b"\x1d"):
        path.write_bytes(b"PAR1" + header + bytes(30))
        with path.open("rb") as file, pytest.raises(ValueError, match="a page of it is damaged"):
            take_pages(file, metadata, {"a"}, allowance=Allowance(path))
