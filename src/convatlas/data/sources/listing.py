"""The images of a source of one's own as they are found, and the splits that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from convatlas.data.dataset import SPLIT_SEED, Source, Spec, Splits
from convatlas.data.images.protocol import Images
from convatlas.data.images.stores import Store
from convatlas.data.images.streaming import STATISTICS_IMAGES, StreamedImages
from convatlas.data.sources.equal import units_of
from convatlas.data.sources.imagenet import are_synsets, imagenet_synsets
from convatlas.data.sources.splitting import hold_out_of_each_class, hold_out_together
from convatlas.data.subset import no_images
from convatlas.errors import UsageError, printable

PARTS = ("train", "validation", "test")
SHOWN = 5  # classes in a note
LEAST = 5  # images of a class of which a fifth is held out


@dataclass(frozen=True)
class Found:
    """The images of one part as a source has them: their places in the listing, and the part's name in a message."""

    shown: str
    places: np.ndarray


@dataclass(frozen=True)
class Listing:
    """The images of a source: a store, and of each image its class, its part and its group. `home` is its place.

    `labels` (N,) are places in `classes`, which are in the order of the labels. `parts` are those that the source has;
    all images are in `train` where it has none. Every part that is absent is held out of the training part. `groups`
    has a name for each image; images of one name never fall into two splits that are drawn. `missing_files` is the line
    that says which images are not there; then the images can be checked, and nothing else.
    """

    home: str
    store: Store
    classes: tuple[str, ...]
    labels: np.ndarray
    parts: Mapping[str, Found]
    groups: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    missing_files: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that the source has not."""
        return tuple(part for part in PARTS if part not in self.parts)

    def splits(self) -> Splits:
        """Returns training, validation and test images. Raises `UsageError` where files or classes are missing."""
        self._check_files()
        self._check()
        notes = [*self.notes, *self._absent()]
        places = {part: found.places for part, found in self.parts.items()}
        if self.missing:
            notes += self._hold_out(places)
        if (count := len(places["train"])) > STATISTICS_IMAGES:
            notes.append(
                f"where the recipe names no mean and std, they are computed from {STATISTICS_IMAGES:,} of the "
                f"{count:,} training images"
            )
        train, validation, test = (self.images(places[part]) for part in PARTS)
        return Splits(train, validation, test, tuple(notes))

    def as_found(self) -> Splits:
        """Returns the parts that the source has; those that would be held out of another are empty."""
        train, validation, test = (
            self.images(self.parts[part].places) if part in self.parts else no_images(3) for part in PARTS
        )
        return Splits(train, validation, test, self.notes)

    def taken(self, part: str) -> Splits:
        """Returns the images of one part that the source has, or `all`, as test images; nothing is drawn.

        Raises `UsageError` where files are missing.
        """
        self._check_files()
        places = np.arange(len(self.labels)) if part == "all" else self.parts[part].places
        return Splits(no_images(3), no_images(3), self.images(places), self.notes)

    def images(self, places: np.ndarray) -> Images:
        """Returns some images, in the order of the listing."""
        index = torch.from_numpy(np.sort(places))
        return StreamedImages(self.store, torch.from_numpy(self.labels)[index], index)

    def _check_files(self) -> None:
        """Raises `UsageError` where files are missing."""
        if self.missing_files:
            raise UsageError(self.missing_files)

    def _check(self) -> None:
        """Raises `UsageError` for a class with too few training images, and for one that training has not."""
        if "train" not in self.parts:
            parts = ", ".join(Path(found.shown).name for found in self.parts.values())
            raise UsageError(f"{self.home} has {parts} and no train; training needs images in a part train")
        train = self.parts["train"]
        least = LEAST if self.missing else 1
        counts = np.bincount(self.labels[train.places], minlength=len(self.classes)).tolist()
        if len(self.classes) < 2:
            raise UsageError(
                f"{self.home} has images of 1 class, {self.classes[0]}; a classification needs two or more"
            )
        if max(counts) == 1 and len(counts) > LEAST:
            raise UsageError(
                f"every image in {train.shown} is of a class of its own ({len(counts):,} classes); a label is a class, "
                "not a name, and training needs some images of each"
            )
        if self.groups is not None:
            self._check_groups(self.groups)
        for part, found in self.parts.items():
            strange = [label for label in np.unique(self.labels[found.places]).tolist() if not counts[label]]
            if part != "train" and strange:
                raise UsageError(f"{found.shown} has the class {self.classes[strange[0]]}, which {train.shown} has not")
        for name, count in zip(self.classes, counts, strict=True):
            if count < least:
                otherwise = ", or parts train, val and test" if self.missing else ""
                raise UsageError(
                    f"images of class {name} in {train.shown}: {count}; {least} or more are needed{otherwise}"
                )

    def _check_groups(self, groups: Sequence[str]) -> None:
        """Raises `UsageError` for a group of which images lie in two parts."""
        seen: dict[str, str] = {}
        for part, found in self.parts.items():
            for place in found.places.tolist():
                if seen.setdefault(groups[place], part) != part:
                    raise UsageError(
                        f"{self.home} has images of group {groups[place]} in {seen[groups[place]]} and in {part}; all "
                        "images of a group belong in one part"
                    )

    def _absent(self) -> Iterator[str]:
        """Yields a note for each part that has no image of some classes."""
        for part, found in self.parts.items():
            there = set(np.unique(self.labels[found.places]).tolist())
            absent = ", ".join(name for label, name in enumerate(self.classes) if label not in there)
            if part != "train" and absent:
                yield f"{Path(found.shown).name} has no image of {absent}"

    def _hold_out(self, places: dict[str, np.ndarray]) -> Iterator[str]:
        """Moves the missing parts out of the training part, every class in proportion, and yields notes of it."""
        train = self.parts["train"]
        units, repeated = units_of(self.store, train.places, groups=self.groups)
        share = 1 / LEAST
        for number, held in enumerate((share, share / (1 - share))[: len(self.missing)]):  # of what is left
            part = self.missing[-1 - number]
            if units is None:
                places["train"], places[part] = hold_out_of_each_class(places["train"], self.labels, share=held)
            else:
                keep = len(self.missing) - number
                places["train"], places[part] = hold_out_together(
                    places["train"], self.labels, units, share=held, keep=keep
                )
                self._check_held(part, places[part], units)
        counts = ", ".join(f"{len(places[part]):,} for {part}" for part in PARTS)
        yield (
            f"a fifth of the images in {Path(train.shown).name} is held out for "
            f"{' and a fifth for '.join(self.missing)}, every class in proportion, with seed {SPLIT_SEED}: {counts}"
        )
        if repeated:
            yield f"images that equal another, byte for byte: {repeated:,}; equal ones lie in one split"
        if self.groups is not None:
            yield f"images of one group lie in one split: {len(set(self.groups)):,} groups"

    def _check_held(self, part: str, places: np.ndarray, units: np.ndarray) -> None:
        """Raises `UsageError` for a class of which no image could be held out: too many of them belong together."""
        train = self.parts["train"]
        there = set(self.labels[places].tolist())
        for label, name in enumerate(self.classes):
            if label not in there:
                own = train.places[self.labels[train.places] == label]
                raise UsageError(
                    f"images of class {name} in {train.shown}: {len(own)} in {len(np.unique(units[own]))} groups, of "
                    f"which none can be held out for {part}; images of one group and equal images stay together, so "
                    f"{len(self.missing) + 1} groups or more of each class are needed, or parts train, val and test"
                )


def listed_source(listing: Listing, *, name: str, title: str) -> Source:
    """Returns the source of a listing; classes that are named by ImageNet's synsets get readable names.

    Raises `UsageError` for a class whose name has a character NUL.
    """
    strange = next((each for each in listing.classes if "\0" in each), None)
    if strange is not None:
        raise UsageError(f"{listing.home} has the class {printable(strange)}: its name has a character NUL; remove it")
    if are_synsets(listing.classes):
        count = f"{len(listing.classes):,} of ImageNet's 1,000 classes"
        classes = tuple(imagenet_synsets()[synset] for synset in listing.classes)
        listing = replace(listing, classes=classes, notes=(f"synsets name {count}", *listing.notes))
        title = f"{title}: {count}"
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

    return Source(spec, read=read, found=listing.as_found, parts=tuple(listing.parts), take=listing.taken)


def in_use(classes: tuple[str, ...], labels: np.ndarray) -> tuple[tuple[str, ...], np.ndarray, tuple[str, ...]]:
    """Returns the classes that have images, the labels as places among these, and a note of the others."""
    used, labels = np.unique(labels, return_inverse=True)
    if len(used) == len(classes):
        return classes, labels, ()
    unused = [name for place, name in enumerate(classes) if place not in set(used.tolist())]
    more = f" and {len(unused) - SHOWN:,} more" if len(unused) > SHOWN else ""
    note = f"classes without an image, left out: {', '.join(unused[:SHOWN])}{more}"
    return tuple(classes[place] for place in used.tolist()), labels, (note,)
