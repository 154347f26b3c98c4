"""`Images`: the images of one part of a data set, asked for in the same way wherever they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from convatlas.data.augmentation.draws import Draws
from convatlas.data.preprocessing import Preprocessing, Statistics, unnormalised
from convatlas.errors import UsageError
from convatlas.recipe import Recipe

Labels = Tensor | Sequence[Any] | None
"""The class of each image (N,) as int64, a structured target for each, such as its boxes, or None without labels."""

Targets = Any
"""The labels of a batch: classes (n,), a list of structured targets, or None; where classes are mixed (n, classes)."""


class Images(Protocol):
    """The images of one part of a data set: in memory (`ResidentImages`) or in files (`StreamedImages`).

    Images are asked for batch by batch, in an order that is known before, so that files can be read ahead. A place is
    the number of an image in this part, 0 to N - 1.
    """

    @property
    def labels(self) -> Labels:
        """The label of each image, in the order of the places."""
        ...

    @property
    def index(self) -> Tensor:
        """The place (N,) of each image in the source, int64 on the CPU."""
        ...

    @property
    def channels(self) -> int:
        """The channels of every image, before preprocessing."""
        ...

    @property
    def device(self) -> torch.device:
        """The device on which batches arrive."""
        ...

    def __len__(self) -> int: ...

    def batch(self, places: Tensor, *, preprocessing: Preprocessing, device: torch.device | None = None) -> Tensor:
        """Returns some images (n,) as evaluation sees them before normalisation: float32 in [0, 1] (n, C, size, size).

        They are computed on `device`, by default on that of the images.
        """
        ...

    def batches(
        self, order: Tensor, *, size: int, preprocessing: Preprocessing, device: torch.device | None = None
    ) -> Generator[tuple[Tensor, Targets], None, None]:
        """Yields images as `batch` gives them, and their targets, for places in an order, `size` at a time."""
        ...

    def training_batches(
        self, order: Tensor, *, recipe: Recipe, preprocessing: Preprocessing, generator: torch.Generator
    ) -> Generator[tuple[Tensor, Targets, Draws], None, None]:
        """Yields the batches of an epoch: float32 in [0, 1] (n, C, size, size), targets, and the changes still to make.

        What was changed while an image was read is not among the changes. Everything random comes from the generator.
        """
        ...

    def channel_statistics(self, *, image_size: int) -> Statistics:
        """Returns mean and standard deviation of each channel, of values in [0, 1].

        Images of many sizes are brought to `image_size` for this.
        """
        ...

    def thumbnails(self, places: Tensor, *, size: int) -> Tensor:
        """Returns small pictures of some images: uint8 (n, channels, size, size) on the CPU."""
        ...

    def identity(self) -> Iterator[bytes]:
        """Yields the bytes that say which images of the source these are, and their labels: `split_hash` is of them."""
        ...

    def content(self) -> Iterator[bytes]:
        """Yields for each image the bytes that tell it from others: `content_hash` is of them."""
        ...

    def content_hash(self) -> str:
        """Returns a short sha256 over the content of all images."""
        ...

    def kept(self) -> Images:
        """Returns the same images for many epochs: what is decoded stays in memory, as far as that suffices."""
        ...

    def to(self, device: str) -> Images:
        """Returns the same images with batches that arrive on a device."""
        ...


def class_labels(images: Images, *, needed_by: str = "this") -> Tensor:
    """Returns the class of each image (N,). Raises `UsageError`, which names the need, where images have no classes."""
    if isinstance(images.labels, Tensor):
        return images.labels
    kind = "no labels" if images.labels is None else "structured labels, such as boxes"
    raise UsageError(f"{needed_by} needs the class of each image; these images have {kind}")


def relabelled(images: Images, labels: Tensor) -> Images:
    """Returns the same images with other classes (N,)."""
    changed: Images = replace(images, labels=labels)  # type: ignore[type-var]  # every kind of images is a dataclass
    return changed


def targets_at(labels: Labels, places: Tensor) -> Targets:
    """Returns the labels at some places; structured ones as a list, untouched."""
    if labels is None:
        return None
    if isinstance(labels, Tensor):
        return labels.index_select(0, places)
    return [labels[place] for place in places.tolist()]


def label_bytes(labels: Labels) -> bytes:
    """Returns the labels as bytes, the same for equal labels. Raises `UsageError` for labels that are no plain data."""
    if labels is None:
        return b""
    return labels.cpu().numpy().tobytes() if isinstance(labels, Tensor) else _encoded(list(labels))


def _encoded(label: object) -> bytes:
    """Returns a structured label as bytes: plain data, tensors and arrays, whose every value counts."""
    if isinstance(label, Tensor):
        return _encoded(label.cpu().numpy())
    if isinstance(label, np.ndarray) and not label.dtype.hasobject:
        return f"{label.dtype.str}{label.shape}".encode() + label.tobytes()
    if is_dataclass(label):
        return _encoded({name: value for name, value in vars(label).items() if value is not None})  # optional fields
    if isinstance(label, Mapping):
        return _encoded([[key, label[key]] for key in sorted(label)])
    if isinstance(label, list | tuple):
        parts = [_encoded(item) for item in label]
        return f"[{len(parts)}".encode() + b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    if label is None or isinstance(label, str | int | float | bytes):
        return repr(label).encode()
    raise UsageError(f"a label holds a {type(label).__name__}; labels are plain data, tensors and arrays")


def thumbnails_of(images: Images, places: Tensor, *, size: int) -> Tensor:
    """Returns the centre of some images, resized to uint8 (n, channels, size, size) on the CPU."""
    plain = unnormalised(size, channels=images.channels)
    pixels = images.batch(places, preprocessing=plain, device=torch.device("cpu"))
    return (pixels * 255).round().to(torch.uint8)


def short_hash(content: Iterable[bytes]) -> str:
    """Returns the first 16 hexadecimal digits of the sha256 over some bytes."""
    digest = hashlib.sha256()
    for part in content:
        digest.update(part)
    return digest.hexdigest()[:16]
