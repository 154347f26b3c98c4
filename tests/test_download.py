"""Downloads, from a server on this machine: checksums, mirrors, what stays when it goes wrong. Never the internet."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import data_files as made
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.sources import NAMED
from convatlas.data.sources.cifar import CIFAR10, CIFAR10_FILES, CIFAR100_FILES
from convatlas.data.sources.collection import Collection
from convatlas.data.sources.mnist import FASHION_MNIST_FILES, MNIST_FILES
from convatlas.download import RemoteFile, fetch
from convatlas.errors import UsageError

DOWN = "http://127.0.0.1:9/"  # the port where nobody answers


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder `served`."""
    folder = tmp_path / "served"
    folder.mkdir()
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}/"
    running.shutdown()
    running.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convatlas.download.ATTEMPTS", 1)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def archive(path: Path) -> str:
    """CIFAR-10's archive with a few records, and what a careless or evil one may hold; returns its checksum."""
    home = made.cifar10(path.parent / "source")
    with tarfile.open(path, "w:gz") as tar:
        tar.add(home, "cifar-10-batches-py")
        for name in ("../outside", "/tmp/outside", "cifar-10-batches-py/../../outside", "other/file"):
            member = tarfile.TarInfo(name)
            member.size = 3
            tar.addfile(member, io.BytesIO(b"abc"))
        link = tarfile.TarInfo("cifar-10-batches-py/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def cifar(checksum: str, *addresses: str) -> Collection:
    file = RemoteFile("cifar-10-python.tar.gz", checksum, tuple(f"{a}c.tar.gz" for a in addresses), unpack=True)
    return Collection("cifar10", CIFAR10_FILES.form, CIFAR10_FILES.homes, CIFAR10_FILES.layouts, (file,))


def mnist(served: Path, address: str, *, wrong: str = "") -> Collection:
    made.mnist(served)
    files = []
    for path in sorted(served.glob("*.gz")):
        digest = hashlib.md5(path.read_bytes()).hexdigest() if path.name != wrong else "0" * 32
        files.append(RemoteFile(f"MNIST/raw/{path.name}", f"md5:{digest}", (f"{address}{path.name}",)))
    return Collection("mnist", MNIST_FILES.form, MNIST_FILES.homes, MNIST_FILES.layouts, tuple(files))


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_archive_is_fetched_once_checked_and_unpacked(
    tmp_path: Path, data: Path, server: str, capfd: pytest.CaptureFixture[str]
) -> None:
    collection = cifar(archive(tmp_path / "served" / "c.tar.gz"), server)
    splits = collection.read(data)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (18, 2, 4)
    batches = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    assert names(data) == [f"cifar-10-batches-py/{name}" for name in batches]  # no link, no archive, nothing hidden
    assert [path.name for path in data.iterdir()] == ["cifar-10-batches-py"]
    assert not list(tmp_path.glob("outside"))
    assert capfd.readouterr().err == f"downloading {server}c.tar.gz to {data}\n"
    (tmp_path / "served" / "c.tar.gz").unlink()
    collection.read(data)
    assert not capfd.readouterr().err


def test_a_mirror_takes_over(tmp_path: Path, data: Path, server: str) -> None:
    collection = cifar(archive(tmp_path / "served" / "c.tar.gz"), DOWN, f"{server}missing/", server)
    assert len(collection.read(data).test) == 4


def test_a_failed_address_is_tried_again(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is an error, the second the file: with one retry that is enough."""
    checksum = archive(tmp_path / "c.tar.gz")
    asked = []

    class Flaky(Handler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) == 1:
                self.send_error(503)
            else:
                super().do_GET()

    monkeypatch.setattr("convatlas.download.ATTEMPTS", 2)
    monkeypatch.setattr("time.sleep", lambda _: None)
    running = ThreadingHTTPServer(("127.0.0.1", 0), partial(Flaky, directory=str(tmp_path)))
    threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
    try:
        assert len(cifar(checksum, f"http://127.0.0.1:{running.server_port}/").read(data).test) == 4
    finally:
        running.shutdown()
        running.server_close()
    assert len(asked) == 2


def test_a_wrong_checksum_leaves_nothing(tmp_path: Path, data: Path, server: str) -> None:
    archive(tmp_path / "served" / "c.tar.gz")
    wrong = "sha256:" + "0" * 64
    with pytest.raises(UsageError, match=rf"127.0.0.1:\d+: another checksum.*c.tar.gz \({wrong}\) into {data}"):
        cifar(wrong, server).read(data)
    assert not list(data.iterdir())


def test_offline_is_one_line_with_address_checksum_and_folder(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checksum = "sha256:" + "1" * 64
    offline = cifar(checksum, DOWN, DOWN)
    monkeypatch.setitem(NAMED, "cifar10", dataclasses.replace(CIFAR10, read=offline.read))
    assert main(["data", "check", "cifar10", "--data-dir", str(data)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[:-1] == [f"downloading {DOWN}c.tar.gz to {data}"] * 2
    for text in ("no connection", f"{DOWN}c.tar.gz ({checksum})", str(data), "--data-dir"):
        assert text in lines[-1]
    assert not list(data.iterdir())


def test_four_files_appear_together(tmp_path: Path, data: Path, server: str) -> None:
    """The last of the four cannot be had: none is in place; what came is not fetched again."""
    served = tmp_path / "served"
    last = "train-labels-idx1-ubyte.gz"
    with pytest.raises(UsageError, match="another checksum"):
        mnist(served, server, wrong=last).read(data)
    assert not (data / "MNIST").exists()
    collection = mnist(served, server)
    for path in served.glob("*images*"):
        path.unlink()
    assert len(collection.read(data).test) == 5
    assert len(names(data)) == 4
    assert [path.name for path in data.iterdir()] == ["MNIST"]


def test_an_archive_carried_by_hand_is_used_and_kept(tmp_path: Path, data: Path) -> None:
    checksum = archive(data / "cifar-10-python.tar.gz")
    (data / "source").rename(tmp_path / "source")
    assert len(cifar(checksum, DOWN).read(data).test) == 4
    assert (data / "cifar-10-python.tar.gz").is_file()


def test_another_archive_under_its_name_is_refused(data: Path) -> None:
    (data / "cifar-10-python.tar.gz").write_bytes(b"half of it")
    with pytest.raises(
        UsageError, match=r"cifar-10-python.tar.gz is not the published file: its sha256 is .*delete it"
    ):
        cifar("sha256:" + "1" * 64, DOWN).read(data)
    assert names(data) == ["cifar-10-python.tar.gz"]


def test_a_full_disk_is_one_line(tmp_path: Path, data: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    collection = cifar(archive(tmp_path / "served" / "c.tar.gz"), server, server)
    monkeypatch.setattr("convatlas.download._fetch_from", full)
    with pytest.raises(UsageError, match=f"cannot write cifar10 to the data folder {data}: No space left"):
        collection.read(data)
    assert not list(data.iterdir())


@pytest.mark.parametrize(
    "checksum",
    [
        *("", "sha256:", f"sha1:{40 * '0'}", f"sha256:{32 * '0'}", f"sha256:{64 * '0'}..."),
        *("...", "sha256:...", "sha256:0123456...", f"md5:{8 * '0'}...", f"md5:{32 * '0'}..."),
    ],
)
def test_no_checksum_no_download(checksum: str) -> None:
    with pytest.raises(UsageError, match="no checksum"):
        RemoteFile("file", checksum, ("http://127.0.0.1/file",))


def test_a_file_lies_there_when_its_checksum_is_the_published_one_or_begins_like_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    sha256, md5 = hashlib.sha256(b"content").hexdigest(), hashlib.md5(b"content").hexdigest()
    for right in (f"sha256:{sha256}", f"sha256:{sha256[:8]}...", f"sha256:{sha256[:63]}...", f"md5:{md5}"):
        assert RemoteFile("file", right, (DOWN,)).is_at(path)
    for wrong in (f"sha256:{sha256[1:]}0", f"sha256:{sha256[1:9]}...", f"md5:{md5[1:]}0"):
        assert not RemoteFile("file", wrong, (DOWN,)).is_at(path)
    assert not RemoteFile("file", f"md5:{md5}", (DOWN,)).is_at(tmp_path)


def test_each_address_is_tried_before_one_is_tried_again(
    tmp_path: Path, data: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong file, no answer and no file: each host has its reason, each address is announced once."""
    monkeypatch.setattr("convatlas.download.ATTEMPTS", 2)
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    (tmp_path / "served" / "file").write_bytes(b"another")
    addresses = (f"{server}file", f"{DOWN}file", f"{server.replace('127.0.0.1', 'localhost')}missing")
    announced: list[str] = []
    remote = RemoteFile("folder/file", f"md5:{32 * '0'}", addresses)
    with pytest.raises(UsageError) as caught:
        fetch(remote, folder=data, advice="carry it there", announce=announced.append)
    found = hashlib.md5(b"another").hexdigest()
    texts = (f"another checksum, md5:{found}; 127.0.0.1:9: no connection; localhost:", "answer 404; 2 attempts")
    assert all(text in str(caught.value) for text in texts), str(caught.value)
    assert str(caught.value).startswith(f"cannot download {addresses[0]} (127.0.0.1:")
    assert str(caught.value).endswith("): carry it there")
    assert tuple(announced) == addresses
    assert [pause for pause in pauses if pause] == [1]
    assert names(data) == []


def test_a_file_that_lies_there_is_not_fetched_again(tmp_path: Path, data: Path, server: str) -> None:
    """Another file under its name is replaced, by one that all may read."""
    (tmp_path / "served" / "file").write_bytes(b"content")
    remote = RemoteFile("folder/file", f"md5:{hashlib.md5(b'content').hexdigest()}", (f"{server}file",))
    (data / "folder").mkdir()
    (data / "folder" / "file").write_bytes(b"another")
    place = fetch(remote, folder=data, advice="")
    assert (place, place.read_bytes()) == (data / "folder" / "file", b"content")
    assert place.stat().st_mode & 0o777 == 0o644
    (tmp_path / "served" / "file").unlink()
    assert fetch(remote, folder=data, advice="") == place
    assert names(data) == ["folder/file"]


def test_every_published_file_has_two_addresses() -> None:
    files = [f for c in (CIFAR10_FILES, CIFAR100_FILES, MNIST_FILES, FASHION_MNIST_FILES) for f in c.files]
    assert len(files) == 10
    assert all(len(file.addresses) >= 2 for file in files)
    assert len({file.checksum for file in files}) == 10


def test_digits_need_no_folder(tmp_path: Path) -> None:
    assert len(load_data("digits", folder=tmp_path / "nowhere").test) == 360
