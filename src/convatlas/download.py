"""Downloads of published files: never without a checksum, and never half a file."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.errors import UsageError, reason_of

if TYPE_CHECKING:
    from rich.progress import Progress

ATTEMPTS = 3  # at each address
TIMEOUT = 30  # seconds without an answer
DIGITS = {"sha256": 64, "md5": 32}
FEWEST_DIGITS = 8  # of a sha256, if only its beginning is known
BEGINNING = "..."  # follows the digits of such a beginning
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # errors of our own disk: another address would not help


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its place below a folder, its checksum, its addresses.

    The checksum is `sha256:` or `md5:` with all digits, or `sha256:` with the first 8 or more digits and `...`.
    `unpack` says that the file is a tar archive to be unpacked. Raises `UsageError` without a checksum.
    """

    file: str
    checksum: str
    addresses: tuple[str, ...]
    unpack: bool = False

    def __post_init__(self) -> None:
        kind, _, digits = self.checksum.partition(":")
        known = len(digits.removesuffix(BEGINNING))
        begins = kind == "sha256" and digits.endswith(BEGINNING) and FEWEST_DIGITS <= known < DIGITS[kind]
        if not begins and (kind not in DIGITS or len(digits) != DIGITS[kind]):
            raise UsageError(f"{self.file} has the checksum {self.checksum!r}: no checksum, no download")

    def checksum_of(self, path: Path) -> str:
        """Returns the checksum of a file on disk, of the published kind."""
        import pooch

        kind = self.checksum.partition(":")[0]
        return f"{kind}:{pooch.file_hash(str(path), alg=kind)}"

    def is_at(self, path: Path) -> bool:
        """Returns whether a path is a file with the published checksum."""
        return path.is_file() and self.checksum_of(path).startswith(self.checksum.removesuffix(BEGINNING))


def fetch(
    remote: RemoteFile, *, folder: Path, advice: str, announce: Callable[[str], object] = lambda _address: None
) -> Path:
    """Returns the path of the file below a folder, and downloads it if it is missing or has another checksum.

    The addresses are tried in turn, several times over; `announce` is called with an address before its first attempt.
    Raises `UsageError` with the address, a reason for each host and `advice` if no address has the file. Raises
    `OSError` if the folder cannot be written to.
    """
    place = folder / remote.file
    if remote.is_at(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    reasons: dict[str, str] = {}
    with _temporary(place) as temporary:
        for address in _in_turn(remote.addresses, announce=announce):
            reason = _fetch_from(address, remote, temporary=temporary)
            if reason is None:
                os.chmod(temporary, 0o644)  # a temporary file is private
                os.replace(temporary, place)
                return place
            reasons[_host(address)] = reason
    failed = "; ".join(f"{host}: {reason}" for host, reason in reasons.items())
    raise UsageError(f"cannot download {remote.addresses[0]} ({failed}; {ATTEMPTS} attempts): {advice}")


@contextlib.contextmanager
def _temporary(place: Path) -> Iterator[Path]:
    """Makes an empty file beside `place`, and removes it in the end if it was not moved."""
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}.")
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _in_turn(addresses: tuple[str, ...], *, announce: Callable[[str], object]) -> Iterator[str]:
    """Yields all addresses in turn, `ATTEMPTS` times over, with a pause before each new round."""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        for address in addresses:
            if attempt == 0:
                announce(address)
            yield address


def _fetch_from(address: str, remote: RemoteFile, *, temporary: Path) -> str | None:
    """Downloads from one address and returns None, or the reason of a failure.

    Raises `OSError` if the file cannot be written, because every address would fail then.
    """
    import pooch

    try:
        with _bar(Path(remote.file).name) as bar:
            pooch.HTTPDownloader(progressbar=bar, timeout=TIMEOUT)(address, str(temporary), None)
    except OSError as error:  # the errors of requests are of this kind
        if isinstance(error, PermissionError) or error.errno in NO_ROOM:
            raise
        return _short(error)
    return None if remote.is_at(temporary) else f"another checksum, {remote.checksum_of(temporary)}"


class _Bar:
    """A progress bar of rich with the four members that pooch needs."""

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
        """Does nothing: the display ends with its block."""


@contextlib.contextmanager
def _bar(name: str) -> Iterator[_Bar]:
    """Shows a bar with bytes and time left, if standard error is a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from convatlas.screen import Screen

    screen = Screen(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        yield _Bar(progress, name)


def _host(address: str) -> str:
    return address.split("/")[2]


def _short(error: OSError) -> str:
    """Returns the reason of a failed download, without the address."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answer {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return reason_of(error)
