"""Images of another source that are used without labels: a folder of any depth, or a data set by its name or kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from convatlas.data.dataset import DataSet, Spec
from convatlas.data.images.formats import SUFFIXES
from convatlas.data.images.protocol import Images, relabelled
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.sources import KINDS, NAMED
from convatlas.data.sources.part_names import absolute
from convatlas.data.sources.walking import files_below
from convatlas.data.subset import no_images
from convatlas.data_names import check_reference
from convatlas.errors import UsageError


def load_unlabelled(reference: str, *, folder: Path | None = None) -> DataSet:
    """Returns the images of a source as the training images of a data set, all with the same label.

    Of a folder these are all images below it, whether folders of classes lie in it or not; of a named data set the
    training images; of another kind all images. The description has the names of the classes, where there are some.
    Raises `UsageError` for an unknown source and for a folder without images.
    """
    check_reference(reference)
    kind, colon, rest = reference.partition(":")
    if kind == "folder":
        return _folder(reference, absolute(rest))
    if not colon:
        data = NAMED[kind].load(folder)
        return _of(data.train, data.spec)
    source = KINDS[kind](rest)
    return _of(source.taken("all").test, source.spec)


def check_unseen(unlabelled: DataSet, data: DataSet) -> None:
    """Raises `UsageError` where files of the unlabelled images are validation or test images of the data."""
    held = {name for part in (data.validation, data.test) for name in _files(part)}
    found = [name for name in _files(unlabelled.train) if name in held]
    if found:
        raise UsageError(
            f"{len(found):,} of the images of {unlabelled.spec.name} are validation or test images of "
            f"{data.spec.name}, such as {found[0]}: a network that learns them cannot be measured on them; name others"
        )


def _files(images: Images) -> Iterator[str]:
    """Yields the real paths of images that are files."""
    if isinstance(images, StreamedImages) and isinstance(images.store, FileStore):
        yield from (os.path.realpath(images.store.shown(number)) for number in images.index.tolist())


def _folder(reference: str, root: Path) -> DataSet:
    """Returns all images below a folder; its own folders, where it has some, are the classes of its description."""
    if not root.is_dir():
        raise UsageError(f"there is no folder at {root}; --unlabelled folder:PATH needs one with images in it")
    below = (name.removeprefix("./") for name in files_below(str(root), "."))
    names = [name for name in below if name.lower().endswith(SUFFIXES)]
    if not names:
        raise UsageError(f"{root} holds no image; {', '.join(SUFFIXES)} are read")
    classes = tuple(dict.fromkeys(name.partition("/")[0] for name in names if "/" in name))
    images = StreamedImages(FileStore(root, names), torch.zeros(len(names)).long(), torch.arange(len(names)))
    title = f"Images of {root.name} without labels"
    return _of(images, Spec(reference, title, str(root), classes, 3, None, mirror=True, split_seed=None))


def _of(images: Images, spec: Spec) -> DataSet:
    same = relabelled(images, torch.zeros(len(images)).long().to(images.device))
    return DataSet(spec, same, no_images(images.channels), no_images(images.channels))
