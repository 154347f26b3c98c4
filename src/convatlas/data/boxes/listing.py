"""The images of a source with boxes as they are found, and the splits that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from convatlas.data.boxes.annotations import Annotation, as_boxes, check_count, notes_of
from convatlas.data.boxes.files import missing_line
from convatlas.data.boxes.truth import Boxes
from convatlas.data.dataset import SPLIT_SEED, Source, Spec, Splits
from convatlas.data.images.protocol import Images
from convatlas.data.images.stores import Store
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.sources.equal import units_of
from convatlas.data.sources.listing import LEAST, PARTS, Found
from convatlas.data.sources.splitting import hold_out_of_each_class, hold_out_together
from convatlas.data.subset import no_images
from convatlas.errors import UsageError, printable


@dataclass(frozen=True)
class BoxListing:
    """The images of a source with boxes: a store, and the annotation of each image of it. `home` is its place.

    The first `known` of `names` are the classes, in the order of the labels; the others stand in annotations, and the
    source does not know them. `parts` are those that the source has; all images are in `train` where it has none. Every
    part that is absent is held out of the training part. `absent` has an annotation and its image for each image that
    is not there; then the images can be checked, and nothing else.
    """

    home: str
    store: Store
    names: tuple[str, ...]
    known: int
    annotations: Sequence[Annotation]
    parts: Mapping[str, Found]
    notes: tuple[str, ...] = ()
    absent: Sequence[tuple[str, str]] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return self.names[: self.known]

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that the source has not."""
        return tuple(part for part in PARTS if part not in self.parts)

    @cached_property
    def boxes(self) -> tuple[Boxes, ...]:
        """The boxes of each image of the store, cut to it, of the known classes."""
        found = map(as_boxes, self.annotations)
        return tuple(
            each if (each.labels < self.known).all() else each.chosen(each.labels < self.known) for each in found
        )

    def splits(self) -> Splits:
        """Returns training, validation and test images. Raises `UsageError` where files or classes are missing."""
        self._check()
        notes = [*self.notes, *notes_of([self.annotations[number] for number in self._used()])]
        places = {part: found.places for part, found in self.parts.items()}
        if self.missing:
            notes += self._hold_out(places)
        notes += self._absent(places)
        train, validation, test = (self.images(places[part]) for part in PARTS)
        return Splits(train, validation, test, tuple(notes))

    def as_found(self) -> Splits:
        """Returns the parts that the source has; those that would be held out of another are empty."""
        train, validation, test = (
            self.images(self.parts[part].places) if part in self.parts else no_images(3) for part in PARTS
        )
        return Splits(train, validation, test, self.notes)

    def taken(self, part: str) -> Splits:
        """Returns one of the source's own parts, or `all` images, as test images; nothing is drawn.

        Raises `UsageError` where files or classes are missing.
        """
        self._check_files()
        places = np.array(self._used()) if part == "all" else self.parts[part].places
        notes = notes_of([self.annotations[number] for number in places.tolist()])
        return Splits(no_images(3), no_images(3), self.images(places), (*self.notes, *notes))

    def images(self, places: np.ndarray) -> Images:
        """Returns some images with their boxes, in the order of the listing."""
        index = np.sort(places)
        return StreamedImages(self.store, [self.boxes[number] for number in index.tolist()], torch.from_numpy(index))

    def _used(self) -> list[int]:
        """Returns the numbers of the images that lie in a part, in order."""
        return sorted({number for found in self.parts.values() for number in found.places.tolist()})

    def _check_files(self) -> None:
        """Raises `UsageError` where images are missing, and for a class that the source does not know."""
        if self.absent:
            raise UsageError(missing_line(self.absent))
        for number in self._used():
            annotation = self.annotations[number]
            strange = annotation.labels[annotation.labels >= self.known]
            if len(strange):
                name = printable(self.names[strange[0]])
                raise UsageError(
                    f"{annotation.shown} has a box of class {name}, which {self.home} does not know; its classes are "
                    f"{printable(', '.join(self.classes), most=200)}"
                )

    def _check(self) -> None:
        """Raises `UsageError` for a source that a detector cannot be trained on."""
        if "train" not in self.parts:
            there = ", ".join(self.parts)
            raise UsageError(f"{self.home} has the parts {there} and no train; training needs images in a part train")
        self._check_files()
        train = self.parts["train"]
        check_count([self.annotations[number] for number in train.places.tolist()], train.shown)
        seen: dict[int, str] = {}
        for part, found in self.parts.items():
            for number in found.places.tolist():
                if (first := seen.setdefault(number, part)) != part:
                    raise UsageError(
                        f"{self.store.shown(number)} is an image of {first} and of {part}; leave it in one of them"
                    )
        if self.missing and len(train.places) < LEAST:
            raise UsageError(
                f"{train.shown} has {len(train.places)} images; {LEAST} or more are needed, or parts train, val, test"
            )

    def _absent(self, places: Mapping[str, np.ndarray]) -> Iterator[str]:
        """Yields a note for each part that has no box of some classes."""
        for part, own in places.items():
            there = {label for number in own.tolist() for label in self.boxes[number].labels.tolist()}
            absent = [name for label, name in enumerate(self.classes) if label not in there]
            if absent:
                yield f"{part} has no box of {printable(', '.join(absent), most=200)}"

    def _hold_out(self, places: dict[str, np.ndarray]) -> Iterator[str]:
        """Moves the missing parts out of the training part, and yields notes of it.

        Images are held out in proportion to the rarest class in each.
        """
        rarest = self._rarest()
        units, repeated = units_of(self.store, places["train"])
        share = 1 / LEAST
        for number, held in enumerate((share, share / (1 - share))[: len(self.missing)]):  # of what is left
            part = self.missing[-1 - number]
            if units is None:
                places["train"], places[part] = hold_out_of_each_class(places["train"], rarest, share=held)
            else:
                keep = len(self.missing) - number
                places["train"], places[part] = hold_out_together(places["train"], rarest, units, share=held, keep=keep)
        counts = ", ".join(f"{len(places[part]):,} for {part}" for part in PARTS)
        yield (
            f"a fifth of the images in {Path(self.parts['train'].shown).name} is held out for "
            f"{' and a fifth for '.join(self.missing)}, every class in proportion, with seed {SPLIT_SEED}: {counts}"
        )
        if repeated:
            yield f"images that equal another, byte for byte: {repeated:,}; equal ones lie in one split"

    def _rarest(self) -> np.ndarray:
        """Returns for each image the class in it that the fewest images have, and the number of classes for none."""
        inside = [np.unique(each.labels) for each in self.boxes]
        often = np.bincount(np.concatenate([*inside, np.array([], np.int64)]), minlength=self.known)
        return np.array([own[often[own].argmin()] if len(own) else self.known for own in inside], np.int64)


def boxed_source(listing: BoxListing, *, name: str, title: str) -> Source:
    """Returns the source of a listing with boxes."""
    spec = Spec(
        name=name,
        title=title,
        source=listing.home,
        class_names=listing.classes,
        channels=3,
        image_size=None,
        mirror=True,
        split_seed=SPLIT_SEED if listing.missing else None,
    )

    def read(folder: Path | None = None) -> Splits:
        if folder is not None:
            raise UsageError(f"{name} says itself where the images are; leave out --data-dir {folder}")
        return listing.splits()

    return Source(
        spec, read=read, found=listing.as_found, parts=tuple(listing.parts), take=listing.taken, boxed=listing
    )
