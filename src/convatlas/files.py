"""Files that are never seen half-written, and folders that one process holds at a time."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from filelock import FileLock, Timeout

from convatlas.bounds import Allowance
from convatlas.errors import UsageError, escaped

if TYPE_CHECKING:
    import numpy as np

LARGEST_JSON = 16 * 2**20  # bytes; a study of 10,000 seeds has a hundredth of them
HALVES = re.compile("[\ud800-\udfff]")  # halves of characters: Python's stand-ins for bytes that are not UTF-8
TEMPORARY = ".writing-"  # beginning of the names of files that are not yet complete


KINDS = {  # files that are not regular; reading some of them would wait for ever
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> io.BufferedReader:
    """Returns a regular file, opened for reading bytes. Reading a pipe without a writer would wait for ever.

    Raises `UsageError` for any other kind of file, and `OSError` as `open` does.
    """
    check_regular(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_kind(path, os.fstat(descriptor))  # another file may have taken its place since
    except UsageError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def check_regular(path: Path) -> None:
    """Raises `UsageError` for a folder, a pipe and any other file that is not regular, and `OSError` for none."""
    _check_kind(path, os.stat(path))


def _check_kind(path: Path, status: os.stat_result) -> None:
    if kind := KINDS.get(stat.S_IFMT(status.st_mode)):
        raise UsageError(f"{path} is {kind}; a regular file is needed")


def read_regular(path: Path) -> bytes:
    """Returns the content of a regular file. Raises `UsageError` and `OSError` as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object in a JSON file. Raises `UsageError` if the file holds no JSON object."""
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise UsageError(f"{path} has more than {LARGEST_JSON:,} bytes, too many for a record")
        content = json.loads(read_regular(path).decode("utf-8"))
    except UsageError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read: {_reason(error)}") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no JSON object")
    return content


def _reason(error: BaseException) -> str:
    """Returns in our words why a file of JSON cannot be read."""
    if isinstance(error, OSError):
        return error.strerror or "the disk gives no reason"
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    place = f", in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    return f"it is cut off or no JSON{place}"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns the arrays of an `.npz` file by name. Raises `UsageError` for a damaged or too large file."""
    import zipfile

    import numpy as np

    allowance = Allowance(path)
    try:
        with open_regular(path) as file:
            with zipfile.ZipFile(file) as archive:
                allowance.take(sum(member.file_size for member in archive.infolist()), "its arrays")
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or 'it is cut off or damaged'}") from error
    except Exception as error:  # zip files and numpy's headers fail in many ways
        raise UsageError(f"{path} cannot be read: it is cut off or damaged, or no file of arrays") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file under a temporary name and renames it; tuples become lists."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_text(path, HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file under a temporary name and renames it; bytes of names that are not UTF-8 are escaped."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name in its folder and renames it: nobody ever sees a half-written file."""
    with written(path) as file:
        file.write(content)


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to be written under a temporary name in its folder; after the last line of the block it has its own.

    An error in the block leaves what was there before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f"{TEMPORARY}{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut can leave the name on an empty file
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def keep(path: Path, name: str) -> None:
    """Gives a file a second name in its folder, in the place of a file of that name."""
    temporary = path.with_name(f"{TEMPORARY}{name}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(path, temporary)
    except OSError:  # not every file system has links
        shutil.copyfile(path, temporary)
    os.replace(temporary, path.with_name(name))
    temporary.unlink(missing_ok=True)  # it stays where both names were of one file already


def check_places(folder: Path, *, files: Iterable[str] = (), folders: Iterable[str] = ()) -> None:
    """Raises `UsageError` where something else lies in the place of a file or of a folder that is written there."""
    for name in files:
        path = folder / name
        if os.path.lexists(path) and not path.is_file():
            raise UsageError(f"{path} is no regular file, and a file is written there; move it away")
    for name in folders:
        path = folder / name
        if os.path.lexists(path) and not path.is_dir():
            raise UsageError(f"{path} is no folder, and a folder is needed there; move it away")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed `.npz` file of arrays by name."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a folder for this process until the end of the block or of the process; no second process writes into it.

    Raises `UsageError`, which names the holder, for a folder that is held. Removes the half-written files of killed
    processes.
    """
    make_writable(folder)
    check_places(folder, files=(".lock", ".holder.json"))
    note = folder / ".holder.json"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = _holder(note)
        who = f"process {holder.get('process', 'unknown')} on {holder.get('host', 'unknown')}"
        since = f" since {holder['since']} ({holder['command']})" if holder else ""
        raise UsageError(f"{folder} is held by {who}{since}; wait for it, or choose another with --out") from error
    try:
        for leftover in (*folder.glob(f"{TEMPORARY}*"), *folder.glob(f"*/{TEMPORARY}*")):
            leftover.unlink()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"process": os.getpid(), "host": socket.gethostname(), "since": since, "command": " ".join(sys.argv)}
        write_json(note, holder)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> dict[str, Any]:
    """Returns the facts about the process that holds a folder, or none where they cannot be read."""
    try:
        return {"since": "?", "command": "?", **read_json(note)} if note.is_file() else {}
    except UsageError:
        return {}


def is_full_disk(error: BaseException) -> bool:
    """Returns whether an error says that the disk is full, or this user's part of it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_failing_disk(error: BaseException) -> bool:
    """Returns whether an error says that the disk cannot be read; a wrong place from a damaged file does not count."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def is_free(folder: Path) -> bool:
    """Returns whether a folder is missing or empty; the hidden files of `held` do not count."""
    return not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir())


def check_new(folder: Path) -> None:
    """Raises `UsageError` for a folder that holds something, hidden files too, and for a file."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        kind = "is not empty" if folder.is_dir() else "is a file"
        raise UsageError(f"{folder} {kind}; name a new folder with --out")


def check_writable(folder: Path) -> None:
    """Raises as `make_writable` does, and leaves no folder that was not there: what is written makes its own."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    make_writable(folder)
    for place in missing:
        with contextlib.suppress(OSError):  # another process may have written there meanwhile
            place.rmdir()


def make_writable(folder: Path) -> None:
    """Creates `folder` if it is missing. Raises `UsageError` if files cannot be made in it, and for a strange name."""
    check_encodable(str(folder), advice="choose another with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to the folder {folder}: {error.strerror}; choose another with --out") from error


def check_encodable(text: str, *, advice: str) -> None:
    """Raises `UsageError` for a path whose name is not UTF-8: PyTorch cannot write there, nor a record name it."""
    if HALVES.search(text):
        raise UsageError(f"the name {escaped(text)} is not UTF-8, in which names are written down; {advice}")


def as_path(place: str | Path | None) -> Path | None:
    """Returns a text or a path as a path, and None for None."""
    return None if place is None else Path(place)
