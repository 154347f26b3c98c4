"""Published files, fetched where they are absent: several addresses each, never without a checksum."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from convatlas.data.sources.layouts.parts import reason_of
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from rich.progress import Progress

RETRIES = 1  # of each address, before the next is tried
TIMEOUT = 30  # seconds without an answer
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # another address would not help


@dataclass(frozen=True)
class Published:
    """A file as published: its place below the data folder, its checksum (`sha256:...`), its addresses.

    `unpack` says that it is a tar archive whose files are wanted instead of it.
    """

    file: str
    checksum: str
    addresses: tuple[str, ...]
    unpack: bool = False

    def __post_init__(self) -> None:
        kind, _, digest = self.checksum.partition(":")
        if (kind, len(digest)) not in (("sha256", 64), ("md5", 32)):
            raise ValueError(f"{self.file} has the checksum {self.checksum!r}: no checksum, no download")


def fetch(files: Sequence[Published], *, name: str, home: str, folder: Path) -> None:
    """Downloads the files; `folder/home` has them when all are there, and nothing before.

    What has come stays in a hidden folder until the rest has, also over an interruption. An archive that was put into
    `folder` by hand is used. Raises `UsageError` where it is another than the published one, and where a file cannot
    be had: with addresses, checksums and the folder, for whoever has to carry it there.
    """
    staging = folder / f".{name}.download"
    try:
        (staging / home).mkdir(parents=True, exist_ok=True)
        for published in files:
            given = folder / published.file
            if given.is_file():
                _check(given, published)
            else:
                given = _download(published, files, name=name, folder=folder)
            if published.unpack:
                _unpack(given, staging / home)
        _move(staging / home, folder / home)
        shutil.rmtree(staging)
    except OSError as error:
        reason = error.strerror or reason_of(error)
        raise UsageError(
            f"cannot write {name} to the data folder {folder}: {reason}; name another with --data-dir"
        ) from error
    finally:
        _remove_empty(staging / home, until=folder)


def _download(published: Published, files: Sequence[Published], *, name: str, folder: Path) -> Path:
    """Fetches one file from the first of its addresses that has it, into the hidden folder."""
    reasons = []
    staging = folder / f".{name}.download"
    for address in published.addresses:
        print(f"downloading {address} to {folder}", file=sys.stderr)
        try:
            return _fetch_from(address, published, folder=staging)
        except (OSError, ValueError) as error:  # those of requests are OSErrors; pooch says ValueError for a checksum
            if isinstance(error, PermissionError) or getattr(error, "errno", None) in NO_ROOM:
                raise
            reasons.append(f"{_host(address)}: {_short(error)}")
    places = {str((folder / one.file).parent) for one in files}
    raise UsageError(
        f"{name} is not in {folder} and cannot be downloaded ({'; '.join(reasons)}); put {addresses(files)} into "
        f"{', '.join(places)}, or name the folder that has {name} with --data-dir"
    )


def addresses(files: Sequence[Published]) -> str:
    """The first address of each file with its checksum, in a line."""
    return ", ".join(f"{one.addresses[0]} ({one.checksum})" for one in files)


def _fetch_from(address: str, published: Published, *, folder: Path) -> Path:
    """One address: to a temporary name, checked, then moved into place."""
    import pooch
    from pooch.downloaders import HTTPDownloader

    registry = pooch.create(
        path=folder,
        base_url="",
        registry={published.file: published.checksum},
        urls={published.file: address},
        retry_if_failed=RETRIES,
    )
    with _quiet_pooch(), _bar(Path(published.file).name) as bar:
        return Path(registry.fetch(published.file, downloader=HTTPDownloader(progressbar=bar, timeout=TIMEOUT)))


def _check(place: Path, published: Published) -> None:
    """Raises `UsageError` unless a file has the published checksum."""
    import pooch

    kind, _, digest = published.checksum.partition(":")
    found = pooch.file_hash(str(place), alg=kind)
    if found != digest:
        raise UsageError(
            f"{place} is not the published file: its {kind} is {found}, not {digest}; delete it and run again"
        )


def _unpack(archive: Path, target: Path) -> None:
    """The plain files that lie in an archive's folder of the target's name, whatever else it holds."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                content = tar.extractfile(member) if member.isfile() and path.parent.name == target.name else None
                if content is not None:
                    (target / path.name).write_bytes(content.read())
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UsageError(f"{archive} is no whole archive: {reason_of(error)}") from error


def _move(source: Path, target: Path) -> None:
    """Moves a folder into place at once, or file by file where its name is taken by one that has other files."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or not any(target.iterdir()):
        source.replace(target)
        return
    for file in source.iterdir():
        file.replace(target / file.name)


def _remove_empty(folder: Path, *, until: Path) -> None:
    """Removes a folder and those above it that are empty, up to `until`."""
    while folder != until:
        with contextlib.suppress(OSError):
            folder.rmdir()
        folder = folder.parent


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """pooch announces every file; we have done so."""
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Bar:
    """The four members that pooch asks of a progress bar, on one of rich."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.progress = progress
        self.task = progress.add_task(name, total=None)
        self._total = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, value: int) -> None:
        self._total = value
        self.progress.update(self.task, total=value or None)

    def update(self, count: int) -> None:
        self.progress.advance(self.task, count)

    def reset(self) -> None:
        self.progress.reset(self.task, total=self._total or None)

    def close(self) -> None:
        """Nothing: the display ends with its block."""


@contextlib.contextmanager
def _bar(name: str) -> Iterator[_Bar]:
    """A bar with bytes and time left, where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        yield _Bar(progress, name)


def _host(address: str) -> str:
    return address.split("/")[2]


def _short(error: Exception) -> str:
    """Why a download failed, without the address that is said anyway."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answer {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return "another checksum" if isinstance(error, ValueError) else reason_of(error)
