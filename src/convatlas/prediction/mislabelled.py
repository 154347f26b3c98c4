"""The images that a run finds most probably mislabelled: confident learning over answers to held-out images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from convatlas.data import DataSet
from convatlas.data.check import INSTALL, Check, make_finding
from convatlas.data.readability import without_unreadable
from convatlas.errors import UsageError
from convatlas.run import Run, other_pixels
from convatlas.words import percent

PARTS = {"validation": "val", "test": "test"}  # with the beginning of their names in predictions.npz

GOOD = 0.8  # the accuracy from which on the doubts of a network are worth more than its mistakes


@dataclass(frozen=True)
class Suspect:
    """An image that is probably mislabelled: its part and its place there, its class, and the class of the network.

    The probabilities are those that the network gives the two classes.
    """

    part: str
    place: int
    given: int
    suggested: int
    given_probability: float
    suggested_probability: float


@dataclass(frozen=True)
class HeldOut:
    """The logits (n, classes), labels (n,), parts and places of the validation and test images of a run's folder."""

    run: Path
    logits: np.ndarray
    labels: np.ndarray
    places: tuple[tuple[str, int], ...]


def with_suspects(checked: Check, run: Run) -> Check:
    """Returns a check with the images that a run finds most probably mislabelled.

    Raises `UsageError` for a run on other data. Without the library the check says that it is missing.
    """
    whole = checked.scan.data
    data = without_unreadable(whole) if run.record.data.unreadable else whole
    check_run(run, data)
    if find_spec("cleanlab") is None:
        missing = f"wrong labels were not searched: that needs cleanlab; {INSTALL}"
        return replace(checked, undone=(*checked.undone, missing))
    checked = replace(checked, searched=True)
    answers = held_out(run, data)
    accuracy = float((answers.logits.argmax(1) == answers.labels).mean())
    if accuracy < GOOD:
        weak = (
            f"the run is right about {percent(accuracy)} % of the images whose labels were searched: many of its "
            "doubts are mistakes of its own; a better network doubts fewer labels"
        )
        checked = replace(checked, undone=(*checked.undone, weak))
    found, names = suspects(answers), data.spec.class_names
    if not found:
        return checked
    details = [
        f"{names[each.given]} {percent(each.given_probability)} %, {names[each.suggested]} "
        f"{percent(each.suggested_probability)} %"
        for each in found
    ]
    groups = [[checked.scan.number(each.part, _place_in(whole, data, each))] for each in found]
    return checked.with_finding(make_finding("mislabelled", groups, details))


def _place_in(whole: DataSet, data: DataSet, suspect: Suspect) -> int:
    """Returns the place of an image among all of its part, those that cannot be read included."""
    index = data.parts[suspect.part].index[suspect.place]
    return int((whole.parts[suspect.part].index == index).nonzero()[0])


def check_run(run: Run, data: DataSet) -> None:
    """Raises `UsageError` for a run that is not finished, or not on these images and this split."""
    if not run.finished:
        raise UsageError(f"the run {run.path} is {run.status}; only a finished run has answers to held-out images")
    theirs = run.record.data
    if theirs.split_hash != data.split_hash or other_pixels(theirs.images_hash, data.images_hash):
        raise UsageError(
            f"the run {run.path} is on other images than {data.spec.name}: on {theirs.name}, split "
            f"{theirs.split_hash} (here {data.split_hash}); name a run that was trained on these"
        )


def suspects(answers: HeldOut) -> list[Suspect]:
    """Returns the validation and test images that are most probably mislabelled, the most probable first.

    Confident learning (Northcutt, Jiang and Chuang 2021, https://arxiv.org/abs/1911.00068), by the library `cleanlab`.
    It estimates how many labels of each class, and of each pair of classes, are wrong: the network must be surer of
    another class than it is on average of images of that class. The images are those that both estimates name: of 36
    wrong labels among 720 of digits, 30 and 6 others; by one estimate alone 11 others. The training images are
    left out, for the network has learned their labels. Raises `UsageError` where a class has no image.
    """
    from cleanlab.filter import find_label_issues

    labels, places, probabilities = answers.labels, answers.places, _softmax(answers.logits)
    try:
        found = find_label_issues(
            labels, probabilities, filter_by="both", return_indices_ranked_by="self_confidence", n_jobs=1
        )
    except ValueError as error:  # of a class that has no image, or of fewer than two
        raise UsageError(f"the answers of {answers.run} cannot be searched for wrong labels: {error}") from error
    suggested = probabilities.argmax(1)
    return [
        Suspect(
            part=places[number][0],
            place=places[number][1],
            given=int(labels[number]),
            suggested=int(suggested[number]),
            given_probability=float(probabilities[number, labels[number]]),
            suggested_probability=float(probabilities[number, suggested[number]]),
        )
        for number in found.tolist()
        if suggested[number] != labels[number]
    ]


def held_out(run: Run, data: DataSet) -> HeldOut:
    """Returns the answers of a run to the validation and test images. Raises `UsageError` for those of other images."""
    answers, path = run.predictions(), run.path
    logits, labels, places = [], [], []
    for part, name in PARTS.items():
        images = data.parts[part]
        keys = [f"{name}_{array}" for array in ("logits", "labels", "index")]
        if not all(key in answers for key in keys):
            raise UsageError(f"{path / 'predictions.npz'} has no {', '.join(keys)}; a run of a classifier has them")
        own_logits, own_labels, own_index = (answers[key] for key in keys)
        if own_logits.shape != (len(images), len(data.spec.class_names)) or not np.array_equal(
            own_index, images.index.cpu().numpy()
        ):
            raise UsageError(f"{path / 'predictions.npz'} is not of the {part} images of {data.spec.name}")
        logits.append(own_logits)
        labels.append(own_labels)
        places += [(part, place) for place in range(len(images))]
    return HeldOut(
        path, np.concatenate(logits).astype(np.float64), np.concatenate(labels).astype(np.int64), tuple(places)
    )


def _softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the probabilities of each image (n, classes) from its logits."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: np.ndarray = powers / powers.sum(1, keepdims=True)
    return probabilities
