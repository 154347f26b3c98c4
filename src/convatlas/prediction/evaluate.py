"""The answers of a network on a split of a data set, and their scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

from convatlas.data import DataSet, Images, class_labels, is_known, load_data
from convatlas.errors import UsageError, unknown
from convatlas.evaluation import Evaluation, evaluate_logits
from convatlas.prediction.opening import open_predictor
from convatlas.prediction.predictor import Predictor
from convatlas.run import other_pixels
from convatlas.values import SplitName


def evaluate_run(
    source: Path, *, split: str = "test", data_dir: Path | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluates a run's best epoch, or one of its checkpoint files, on one split of the data it was trained on.

    `source` is a run's folder or a file in its `checkpoints/`. Raises `UsageError` where there is no finished run, and
    where the data at hand is not what the run was trained on.
    """
    check_split(split)
    predictor = open_predictor(source).to(device)
    return evaluate_split(predictor, choose_data(predictor, folder=data_dir), split=split)


def choose_data(predictor: Predictor, *, name: str | None = None, folder: Path | None = None) -> DataSet:
    """Returns the data set called `name`, else that of the run or of the published weights.

    Another copy of the run's images, such as a compressed one, is taken where the data is named; a note then says so.
    Raises `UsageError` for such a copy where it is not named, where the data is split in another way than that of the
    run, and where the network knows other classes, or takes other channels, than the data has.
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
    own = data.spec.name == predictor.data
    if own and predictor.split_hash is not None and data.split_hash != predictor.split_hash:
        raise UsageError(
            f"the data at hand is split as {data.split_hash}, that of the run {predictor.source} as "
            f"{predictor.split_hash}: an evaluation would mix training and test images"
        )
    if (copy := _other_copy(predictor, data)) is not None:
        if not named:
            raise UsageError(f"{copy}; --data {name} evaluates on this copy all the same")
        data = dataclasses.replace(data, notes=(*data.notes, copy))
    classes, known = data.spec.class_names, predictor.class_names
    if len(classes) != predictor.num_classes or (known is not None and known != classes):
        shown = f": {', '.join(known[:3])} ..." if known else ""
        raise UsageError(
            f"{predictor.source} knows {predictor.num_classes} classes{shown}; {name} has {len(classes)}: "
            f"{', '.join(classes[:3])} ...; only a data set of the same classes can be evaluated"
        )
    if data.spec.channels not in (1, predictor.in_channels):
        raise UsageError(
            f"{predictor.source} takes images of {predictor.in_channels} channels; "
            f"those of {name} have {data.spec.channels}"
        )
    return data


def _other_copy(predictor: Predictor, data: DataSet) -> str | None:
    """Returns the difference where the data has the images of the run, but not its pixels, as a note.

    A folder that was moved is known by its split.
    """
    ours, folders = predictor.images_hash, "folder:"
    moved = data.spec.name.startswith(folders) and (predictor.data or "").startswith(folders)
    if not (moved or data.spec.name == predictor.data) or not other_pixels(ours, data.images_hash):
        return None
    if data.split_hash != predictor.split_hash:
        return (
            f"another folder than that of {predictor.source}, which was trained on {predictor.data}: if images of its "
            "training are among these, the accuracy is too high"
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


def check_split(split: str) -> None:
    """Raises `UsageError` unless there is a split of this name."""
    if split not in get_args(SplitName):
        raise unknown("split", split, get_args(SplitName))


def split_of(data: DataSet, split: str) -> Images:
    """Returns the split called `train`, `validation` or `test`."""
    check_split(split)
    return data.parts[split]
