"""The answers of a network on a split of a data set, and their scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

from convatlas.data import DataSet, Images, Source, class_labels, is_known, load_data, open_source
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.readability import without_unreadable
from convatlas.errors import UsageError, unknown
from convatlas.evaluation import Evaluation, evaluate_logits
from convatlas.prediction.classes import with_classes_of
from convatlas.prediction.opening import open_predictor
from convatlas.prediction.predictor import Predictor
from convatlas.run import other_pixels
from convatlas.values import SplitName


@dataclass(frozen=True)
class Chosen:
    """The images on which a network is evaluated: `split` as it is said, and its name among the parts of `data`."""

    data: DataSet
    split: str
    part: str


def evaluate_run(
    source: Path, *, split: str | None = None, data_dir: Path | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluates a run's best epoch, or one of its checkpoint files, on one split of the data it was trained on.

    `source` is a run's folder or a file in its `checkpoints/`. Raises `UsageError` where there is no finished run, and
    where the data at hand is not what the run was trained on.
    """
    check_split(split)
    predictor = open_predictor(source).to(device)
    chosen = choose_images(predictor, folder=data_dir, split=split)
    return evaluate_split(predictor, chosen.data, split=chosen.part)


def choose_images(
    predictor: Predictor,
    *,
    name: str | None = None,
    folder: Path | None = None,
    split: str | None = None,
    skip_unreadable: bool = False,
) -> Chosen:
    """Returns the images to evaluate a network on: of a run's own data the test images where no split is named.

    Images of one's own that the network was not trained on are taken as they are: their own test part where they have
    parts, else all of them. With `skip_unreadable`, images that cannot be read are left out. Raises `UsageError` as
    `choose_data` does, for `all` where it would mix training with test images, and where it is not clear which part is
    meant.
    """
    choose = partial(choose_data, predictor, name=name, folder=folder, skip_unreadable=skip_unreadable)
    reference = name or predictor.data
    source = open_source(reference) if reference is not None and is_known(reference) else None
    if source is None or source.take is None or _is_own(predictor, source):
        if split == "all" and source is not None:
            raise UsageError(
                f"--split all is for images of your own that {predictor.source} was not trained on; of {reference} it "
                "would mix training and test images; name train, validation or test"
            )
        return Chosen(choose(), split or "test", split or "test")
    if folder is not None or split not in (None, "all", *source.parts):  # drawn as for a training
        return Chosen(choose(), str(split), str(split))
    whole = len(source.parts) == 1
    taken = split or ("all" if whole else _test_part(source))
    data = source.taken(taken)
    data = without_unreadable(data) if skip_unreadable else data
    if split is None and whole:
        note = (
            f"{reference} has no test part, and {predictor.source} was not trained on it: all its images are evaluated"
        )
        data = data.replaced(notes=(*data.notes, note))
    return Chosen(fitting_data(predictor, data, named=True), taken, "test")


def _test_part(source: Source) -> str:
    """Returns `test`. Raises `UsageError` where a source of several parts has no such part."""
    if "test" in source.parts:
        return "test"
    raise UsageError(
        f"{source.spec.name} has the parts {' and '.join(source.parts)}; say which of them is evaluated, such as "
        f"--split {source.parts[-1]}, or --split all"
    )


def choose_data(
    predictor: Predictor, *, name: str | None = None, folder: Path | None = None, skip_unreadable: bool = False
) -> DataSet:
    """Returns the data set called `name`, else that of the run or of the published weights.

    Its classes are the network's, to which its own are matched by name. Another copy of the run's images, such as a
    compressed one, is taken where the data is named; a note then says so. Raises `UsageError` for such a copy where it
    is not named, where the data is split in another way than that of the run, and where the network does not know a
    class, or takes other channels, than the data has.
    """
    named, name = name is not None, name or predictor.data
    if name is None:
        raise UsageError(f"{predictor.source} does not say which data set its network is for; name one with --data")
    if name == predictor.data and not is_known(name):
        raise UsageError(
            f"{predictor.source} was trained on {name}, which ConvAtlas does not read; name a data set of the same "
            "classes with --data"
        )
    data = load_data(name, folder=folder)
    data = without_unreadable(data) if skip_unreadable else data
    check_own_split(predictor, data, way_on="" if skip_unreadable else _left_out(data))
    return fitting_data(predictor, data, named=named)


def check_own_split(predictor: Predictor, data: DataSet, *, way_on: str = "") -> None:
    """Raises `UsageError` where a network was trained on the data set, but on another split of it."""
    own = data.spec.name == predictor.data
    if own and predictor.split_hash is not None and data.split_hash != predictor.split_hash:
        raise UsageError(
            f"the data at hand is split as {data.split_hash}, that of the run {predictor.source} as "
            f"{predictor.split_hash}: images, their names, classes or parts have changed, and an evaluation would mix "
            f"training and test images{way_on}"
        )


def fitting_data(predictor: Predictor, data: DataSet, *, named: bool) -> DataSet:
    """Returns the data with the network's classes and a note of another copy. Raises `UsageError` as `choose_data`."""
    name = data.spec.name
    if (copy := _other_copy(predictor, data)) is not None:
        if not named:
            raise UsageError(f"{copy}; --data {name} evaluates on this copy all the same")
        data = data.replaced(notes=(*data.notes, copy))
    if data.spec.channels not in (1, predictor.in_channels):
        raise UsageError(
            f"{predictor.source} takes images of {predictor.in_channels} channels; "
            f"those of {name} have {data.spec.channels}"
        )
    return with_classes_of(predictor, data)


def _is_own(predictor: Predictor, source: Source) -> bool:
    """Returns whether a network was trained on these images, here or in a place that they were moved from."""
    if source.spec.name == predictor.data:
        return True
    if ":" not in (predictor.data or "") or predictor.split_hash is None:
        return False
    try:
        return source.load().split_hash == predictor.split_hash
    except UsageError:  # they cannot be split, and so were never trained on
        return False


def _left_out(data: DataSet) -> str:
    """Returns the way on where the run may have left out images that cannot be read."""
    streamed = isinstance(data.test, StreamedImages) and not data.unreadable
    return "; if the run left out images that cannot be read, add --skip-unreadable" if streamed else ""


def _other_copy(predictor: Predictor, data: DataSet) -> str | None:
    """Returns the difference where the data has the images of the run, but not its pixels, as a note.

    A folder that was moved is known by its split.
    """
    ours = predictor.images_hash
    moved = ":" in data.spec.name and ":" in (predictor.data or "")  # both are images of somebody's own
    if not (moved or data.spec.name == predictor.data) or not other_pixels(ours, data.images_hash):
        return None
    if data.split_hash != predictor.split_hash:
        return (
            f"other images than those of {predictor.source}, which was trained on {predictor.data}: if images of its "
            "training are among these, the result is too high"
        )
    return (
        f"another copy of {predictor.data} than that of {predictor.source}: the images at hand have the hash "
        f"{data.images_hash}, those of the run {ours}"
    )


def evaluate_split(predictor: Predictor, data: DataSet, *, split: str = "test") -> Evaluation:
    """Returns the scores of the network on a split of the data, with the logits (n, classes) and labels (n,)."""
    part = split_of(data, split)
    logits = predictor.logits(part).numpy()
    if logits.shape[1] != predictor.num_classes:
        raise UsageError(f"{predictor.source} gives {logits.shape[1]} logits an image, not {predictor.num_classes}")
    return evaluate_logits(logits, class_labels(part).cpu().numpy(), data.spec.class_names)


def check_split(split: str | None) -> None:
    """Raises `UsageError` unless there is a split of this name, or none is named."""
    if split is not None and split not in get_args(SplitName):
        raise unknown("split", split, get_args(SplitName))


def split_of(data: DataSet, split: str) -> Images:
    """Returns the split called `train`, `validation` or `test`."""
    if split not in data.parts:
        raise unknown("split", split, data.parts)
    return data.parts[split]
