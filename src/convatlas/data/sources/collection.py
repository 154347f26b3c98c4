"""A published collection of small images: find it in the user's folders, else fetch it; read it; hold a part out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from convatlas.data.dataset import Splits
from convatlas.data.images.resident import ResidentImages
from convatlas.data.sources.identity import check_files, check_parts
from convatlas.data.sources.layouts.parts import Form, IncompleteError, Part
from convatlas.data.sources.places import misfits, places
from convatlas.data.sources.splitting import hold_out
from convatlas.data.sources.staging import addresses, fetch_together
from convatlas.download import RemoteFile
from convatlas.errors import UsageError, printable

VARIABLE = "CONVATLAS_DATA"
MISFITS = 3  # files in a message


class Layout(Protocol):
    """A way in which the files of a collection lie in a folder."""

    @property
    def described(self) -> str:
        """The names of the files, in words."""
        ...

    def lies_in(self, folder: Path) -> bool:
        """Returns whether a folder holds files of this layout."""
        ...

    def resembles(self, name: str) -> bool:
        """Returns whether a file of this name may be one of the layout's, under whatever name it was saved."""
        ...

    def read(self, folder: Path, *, form: Form) -> tuple[Part, Part]:
        """Reads training and test part. Raises `UsageError`."""
        ...


@dataclass(frozen=True)
class Collection:
    """A collection as published.

    `homes` are the names that its folder goes by, `layouts` what may lie there, `validation` is how many of the full
    training set are held out. `others` are folders that hold another collection in the same layout. `files` are
    downloaded to `homes[0]` in the data folder.
    """

    name: str
    form: Form
    homes: tuple[str, ...]
    layouts: tuple[Layout, ...]
    files: tuple[RemoteFile, ...]
    others: tuple[str, ...] = ()
    validation: int = 5000

    def read(self, folder: Path | None = None) -> Splits:
        """Reads the splits from `folder`, else $CONVATLAS_DATA, else the user's cache folder. Raises `UsageError`."""
        home, layout = self.find(folder)
        check_files(home, name=self.name)
        try:
            train, test = layout.read(home, form=self.form)
        except IncompleteError as error:
            wanted = [one for one in self.files if Path(one.file).name == error.file] or self.files
            raise UsageError(f"{error}; {self.name} is published at {addresses(wanted)}") from error
        self._check_counts(train, test, home)
        notes = (*self._notes(train, test), *check_parts(home, train, test, name=self.name))
        held_out = self.validation if len(train) == self.form.train_count else max(1, round(0.1 * len(train)))
        train_index, validation_index = hold_out(len(train), held_out)
        return Splits(
            _split(train, train_index),
            _split(train, validation_index),
            _split(test, torch.arange(len(test))),
            notes,
        )

    def find(self, folder: Path | None = None) -> tuple[Path, Layout]:
        """Returns the folder with the files and their layout; downloaded where they are absent. Raises `UsageError`."""
        root = data_folder(folder)
        if folder is None and not os.environ.get(VARIABLE):
            root.mkdir(parents=True, exist_ok=True)  # the cache is ours to make, another folder is not
        found = self._search(root)
        if found is None:
            self._check_misfits(root)
            fetch_together(self.files, name=self.name, home=self.homes[0], folder=root)
            found = self._search(root)
        if found is None:
            raise UsageError(f"{root} has no {self.name} after the download; this is an error of ConvAtlas")
        return found

    def _search(self, root: Path) -> tuple[Path, Layout] | None:
        """Returns the nearest place that has the files. Raises `UsageError` where two are equally near."""
        for near in self._places(root):
            different = {_identity(place): place for place in near if place.is_dir()}.values()
            found = [(place, layout) for place in different for layout in self.layouts if layout.lies_in(place)]
            if len(found) > 1:
                names = ", ".join(str(place) for place, _ in found)
                raise UsageError(f"{root} has {self.name} {len(found)} times ({names}); name one with --data-dir")
            if found:
                return found[0]
        return None

    def _places(self, root: Path) -> Iterator[Sequence[Path]]:
        """Yields the places where the files may lie: the folder itself, its homes, the homes of its subfolders."""
        if not root.is_dir():
            kind = "is no folder" if root.exists() else "does not exist"
            raise UsageError(
                f"the data folder {root} {kind}; make it, or name another with --data-dir; {self.name} is downloaded "
                f"into it from {addresses(self.files)}"
            )
        if not set(self.others) & set(root.absolute().parts[-2:]):
            yield [root, root / "raw"]
        try:
            yield from places(root, name=self.name, homes=self.homes)
        except OSError as error:
            raise UsageError(f"cannot read the data folder {root}: {error.strerror}") from error

    def _check_misfits(self, root: Path) -> None:
        """Raises `UsageError` where files of the collection seem to lie in a folder, in a form that is not read."""
        own = [Path(one.file).name for one in self.files]
        found = [
            place
            for each in (root, root / "raw")
            for place in misfits(each, name=self.name, layouts=self.layouts, own=own)
        ]
        if found:
            names = ", ".join(printable(str(place.relative_to(root)), most=60) for place in found[:MISFITS])
            more = f" and {len(found) - MISFITS} more" if len(found) > MISFITS else ""
            raise UsageError(
                f"{root} has {names}{more}, but {self.name} is not read from there, and nothing was downloaded; it is "
                f"read from {' or '.join(layout.described for layout in self.layouts)}, in a folder such as "
                f"{self.homes[0]}; to download it, name another folder with --data-dir"
            )

    def _check_counts(self, train: Part, test: Part, home: Path) -> None:
        if len(train) < 2 or len(test) < 1:
            raise UsageError(f"{home} holds {len(train)} training and {len(test)} test images; 2 and 1 are needed")
        if len(train) > self.form.train_count or len(test) > self.form.test_count:
            raise UsageError(
                f"{home} holds {len(train):,} training and {len(test):,} test images, more than {self.name} has "
                f"({self.form.train_count:,} and {self.form.test_count:,})"
            )

    def _notes(self, train: Part, test: Part) -> Iterator[str]:
        if (len(train), len(test)) != (self.form.train_count, self.form.test_count):
            yield (
                f"only a part of {self.name}: {len(train):,} of {self.form.train_count:,} training images and "
                f"{len(test):,} of {self.form.test_count:,} test images"
            )
        if train.renumbered or test.renumbered:
            yield f"the files of {self.name} have its classes in another order: the labels were renumbered"
        if train.lossy or test.lossy:
            formats = " and ".join(sorted(train.lossy | test.lossy))
            yield (
                f"the images of {self.name} were compressed again as {formats}: accuracies are below those on the "
                "published images"
            )


def data_folder(folder: str | Path | None) -> Path:
    """Returns `folder`, else $CONVATLAS_DATA, else the cache folder of this platform, such as ~/.cache/convatlas."""
    if folder is not None:
        return Path(folder).expanduser()
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    import pooch

    return Path(pooch.os_cache("convatlas"))


def _identity(place: Path) -> tuple[int, int]:
    """Returns the same for two names of one folder, as where capitals do not count."""
    status = place.stat()
    return status.st_dev, status.st_ino


def _split(part: Part, index: torch.Tensor) -> ResidentImages:
    places = index.numpy()
    images = np.ascontiguousarray(part.images[places])
    return ResidentImages(torch.from_numpy(images), torch.from_numpy(part.labels[places]), index)
