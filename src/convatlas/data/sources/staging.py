"""The files of a collection appear together: fetched and unpacked in a hidden folder, then moved into place."""

from __future__ import annotations

import contextlib
import shutil
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from convatlas.download import RemoteFile, fetch
from convatlas.errors import UsageError, reason_of
from convatlas.screen import say


def fetch_together(files: Sequence[RemoteFile], *, name: str, home: str, folder: Path) -> None:
    """Downloads the files; `folder/home` has them when all are there, and nothing before.

    What has come stays in a hidden folder until the rest has, also over an interruption. An archive that was put into
    `folder` by hand is used. Raises `UsageError` where it is another than the published one, and where a file cannot
    be had: with addresses, checksums and the folder, for whoever has to carry it there.
    """
    staging = folder / f".{name}.download"
    try:
        (staging / home).mkdir(parents=True, exist_ok=True)
        for remote in files:
            given = folder / remote.file
            if given.is_file():
                _check(given, remote)
            else:
                given = fetch(
                    remote,
                    folder=staging,
                    advice=_advice(files, name=name, folder=folder),
                    announce=lambda address: say(f"downloading {address} to {folder}"),
                )
            if remote.unpack:
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


def _advice(files: Sequence[RemoteFile], *, name: str, folder: Path) -> str:
    """Returns what to do by hand where a file cannot be downloaded."""
    places = sorted({str((folder / one.file).parent) for one in files})
    return (
        f"{name} is not in {folder}; put {addresses(files)} into {', '.join(places)}, or name the folder that has "
        f"{name} with --data-dir"
    )


def addresses(files: Sequence[RemoteFile]) -> str:
    """Returns the first address of each file with its checksum, in a line."""
    return ", ".join(f"{one.addresses[0]} ({one.checksum})" for one in files)


def _check(place: Path, remote: RemoteFile) -> None:
    """Raises `UsageError` unless a file has the published checksum."""
    if not remote.is_at(place):
        found, wanted = (text.partition(":") for text in (remote.checksum_of(place), remote.checksum))
        raise UsageError(
            f"{place} is not the published file: its {found[0]} is {found[2]}, not {wanted[2]}; delete it and run again"
        )


def _unpack(archive: Path, target: Path) -> None:
    """Writes the plain files that lie in an archive's folder of the target's name, whatever else it holds."""
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
