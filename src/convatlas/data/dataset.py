"""A data set: its description, its parts, and the hashes that say which images each part holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.data.images.protocol import Images, short_hash
from convatlas.data_names import Subset, subset_in
from convatlas.errors import UsageError
from convatlas.words import file_name

if TYPE_CHECKING:
    from convatlas.data.boxes.listing import BoxListing

SPLIT_SEED = 42  # one seed for every study: runs differ in their training, never in their data
LONGEST = 60  # letters of class names in a file name


@dataclass(frozen=True)
class Spec:
    """The description of a data set. `name` is the reference that opens it again.

    `image_size` is None where images are of many sizes; a recipe then names one. `mirror` says that an image mirrored
    left to right keeps its label.
    `split_seed` is the seed that drew the split, None where the source brings its split.
    """

    name: str
    title: str
    source: str
    class_names: tuple[str, ...]
    channels: int
    image_size: int | None
    mirror: bool
    split_seed: int | None = SPLIT_SEED

    @property
    def label(self) -> str:
        """The name as a part of file names: `cifar10`, `folder-photos` for `folder:/home/ada/photos`.

        Of a part of a data set it has the words: `digits-shots5-draw0`.
        """
        whole, subset = subset_in(self.name)
        kind, colon, reference = whole.partition(":")
        name = whole if not colon else f"{kind}-{re.sub(r'[*{}]+', '', Path(reference.partition('?')[0]).name)}"
        names = [file_name("-".join(subset.classes))[:LONGEST]] if subset.classes else []
        words = [f"{word}{value}" for word, value in subset.words.items() if word != "classes"]
        return "-".join([name, *names, *words])


@dataclass(frozen=True)
class Splits:
    """The parts of a data set as they were read; `notes` say in a line each where they are not as published."""

    train: Images
    validation: Images
    test: Images
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """A place that a data set is read from, whose description is known before: `open_source`.

    `read` gives the parts, from a folder with published files or from the default one (None). A source of one's own
    names the `parts` that it has itself; `found` gives them, without any that is held out: also where no split can be
    drawn. `take` gives one of these parts, or with `all` every image, as test images and nothing else: for a network
    that was not trained on them. `boxed` has the annotations of images with boxes as their files state them.
    """

    spec: Spec
    read: Callable[[Path | None], Splits]
    found: Callable[[], Splits] | None = None
    parts: tuple[str, ...] = ()
    take: Callable[[str], Splits] | None = None
    boxed: BoxListing | None = None

    def load(self, folder: Path | None = None) -> DataSet:
        """Reads and splits the data set."""
        return self._of(self.read(folder))

    def taken(self, part: str) -> DataSet:
        """Returns one of the source's own `parts`, or with `all` every image, as the test images of a data set.

        Raises `UsageError` for a source whose parts are drawn or published.
        """
        if self.take is None:
            raise UsageError(f"{self.spec.name} has training, validation and test images; name one of them")
        return replace(self, spec=replace(self.spec, split_seed=None))._of(self.take(part))

    def _of(self, splits: Splits) -> DataSet:
        return DataSet(self.spec, splits.train, splits.validation, splits.test, splits.notes)


@dataclass(frozen=True)
class DataSet:
    """A data set: training, validation and test images, and the hashes that tell it from others.

    `notes` say where it is not as it was published, such as fewer records; they go into every run. `unreadable` is the
    number of images that were left out because they cannot be read.
    """

    spec: Spec
    train: Images
    validation: Images
    test: Images
    notes: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def parts(self) -> dict[str, Images]:
        """The parts by their names."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def subset(self) -> Subset:
        """The words that took these images from a larger set, among them the shots and the number of the draw."""
        return subset_in(self.spec.name)[1]

    @property
    def split_hash(self) -> str:
        """A short sha256 over the images' places and labels in each split: equal hashes, equal splits."""
        return short_hash(self._identity())

    @cached_property
    def images_hash(self) -> str:
        """A short sha256 over all images: it tells a compressed copy from the original, which have one split hash."""
        return short_hash(content for images in self.parts.values() for content in images.content())

    def kept(self) -> DataSet:
        """Returns the same data set for many epochs: decoded images of training and validation stay in memory."""
        return self.replaced(train=self.train.kept(), validation=self.validation.kept())

    def to(self, device: str) -> DataSet:
        """Returns the same data set with batches that arrive on a device."""
        return self.replaced(**{part: images.to(device) for part, images in self.parts.items()})

    def replaced(self, **changes: Any) -> DataSet:
        """Returns the same images described, labelled or placed in another way."""
        changed = replace(self, **changes)
        if "images_hash" in vars(self):  # the same images: they are not read a second time
            vars(changed)["images_hash"] = self.images_hash
        return changed

    def _identity(self) -> Iterator[bytes]:
        for images in self.parts.values():
            yield len(images).to_bytes(8, "little")
            yield from images.identity()
