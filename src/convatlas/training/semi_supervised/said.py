"""The facts about few labels that a run says: its notes, and the labelled images in its record."""

from __future__ import annotations

from convatlas.data import DataSet, class_labels
from convatlas.data.few_labels import labelled_places
from convatlas.data.images.protocol import short_hash
from convatlas.data.subset import at
from convatlas.recipe import Recipe
from convatlas.run import LabelledRecord, UnlabelledRecord

SHOWN = 5  # classes in a note


def label_notes(recipe: Recipe, data: DataSet, *, seed: int) -> tuple[str, ...]:
    """Returns the notes of a training with few labels. Raises `UsageError` where the images have too few.

    They say how many images keep their labels, which are unlabelled, and what the validation images are for.
    """
    fields, there = recipe.method, len(data.train)
    if fields.kind is None:
        return ()
    labelled = labelled_record(recipe, data, seed=seed)
    count = there if labelled is None else labelled.count
    chosen = "" if labelled is None else ", chosen by the seed, of each class equally many"
    if fields.labels is not None and fields.labels < 1:
        chosen = ", chosen by the seed, the same part of each class"
    notes = [f"{count:,} of {there:,} training images keep their labels{chosen}"]
    notes.append(all_unlabelled(data) if fields.unlabelled_ratio else "training images without labels are not used")
    if not len(data.validation):
        notes.append("there are no validation images; the last epoch is tested")
    elif recipe.select == "last":
        notes.append(f"the last epoch is tested; {len(data.validation):,} labelled validation images are only watched")
    else:
        notes.append(f"{len(data.validation):,} labelled validation images select the epoch, beside {count:,} labels")
    if count < recipe.batch_size:
        notes.append(f"a batch has {recipe.batch_size} labelled images, drawn with replacement of {count:,}")
    return tuple(notes)


def all_unlabelled(data: DataSet) -> str:
    """Returns the note that the training images are the unlabelled ones."""
    return f"all {len(data.train):,} training images are used without labels too"


def labelled_record(recipe: Recipe, data: DataSet, *, seed: int) -> LabelledRecord | None:
    """Returns the record of the images that keep their labels; None where all do."""
    wanted = recipe.method.labels
    if wanted is None:
        return None
    labels = class_labels(data.train, needed_by=f"method={recipe.method.kind}")
    places = labelled_places(labels, wanted, class_names=data.spec.class_names, seed=seed)
    chosen = at(data.train, places)
    return LabelledRecord(
        count=len(places),
        seed=seed,
        hash=short_hash(chosen.identity()),
        index=" ".join(map(str, chosen.index.tolist())),
    )


def unlabelled_record(data: DataSet | None) -> UnlabelledRecord | None:
    """Returns the record of unlabelled images of another source; None where there is none."""
    if data is None:
        return None
    return UnlabelledRecord(name=data.spec.name, count=len(data.train), images_hash=data.images_hash)


def unlabelled_notes(unlabelled: DataSet, data: DataSet) -> tuple[str, ...]:
    """Returns the notes of unlabelled images of another source: their number, and classes that have no labels."""
    names, known = unlabelled.spec.class_names, set(data.spec.class_names)
    others = [name for name in names if name not in known]
    notes = [f"{len(unlabelled.train):,} images of {unlabelled.spec.name} are the unlabelled ones, and no others"]
    if others:
        shown = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN:,} more" if len(others) > SHOWN else "")
        notes.append(f"some unlabelled images are of classes that have no labels and cannot be learned: {shown}")
    return tuple(notes)
