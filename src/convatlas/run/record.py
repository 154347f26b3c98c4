"""The record of a run, the content of `run.json`: its parts as frozen dataclasses, and the facts that identify it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from convatlas import values
from convatlas.architecture import Published
from convatlas.recipe import WORDS, Fit, Precision, defaults
from convatlas.run.start import Start
from convatlas.scores import TOP1, Score
from convatlas.values import Interpolation

FORMAT = 2  # of run.json, of study.json and of the entry in a checkpoint
LARGEST_IMAGE = 4096  # pixels along a side

Status = Literal["unfinished", "finished", "failed"]


@dataclass(frozen=True, kw_only=True)
class ArchitectureRecord:
    """A network: the name of its architecture, and the options, classes and channels with which it was built.

    `reference` and `source_hash` are the file of a user's own network and its sha256. The counts are None if a
    checkpoint does not say them; a run always says them.
    """

    name: str
    reference: str | None = None
    source_hash: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    in_channels: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_channels"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"its {name} is {count}, not at least 1")


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The data set of a run: its name, the hashes of its split and of its pixels, the number of images of each part.

    `split_seed` is the seed that drew the split, None if the source has its own split. The oldest records have no
    `images_hash`. `unreadable` images of the data set were left out: they cannot be read.
    """

    name: str
    split_hash: str
    images_hash: str | None = None
    split_seed: int | None = None
    train: int
    validation: int
    test: int
    classes: tuple[str, ...]
    source: str = ""
    unreadable: int = 0

    def identity(self) -> dict[str, Any]:
        """Returns the facts that two runs on the same images and the same split share, as plain data."""
        return {"name": self.name, "split_hash": self.split_hash, "images_hash": self.images_hash}


@dataclass(frozen=True, kw_only=True)
class LabelledRecord:
    """The training images that kept their labels: their number, the seed that chose them, and a hash.

    `index` has the places of these images in the source, in one text. `hash` is over places and labels.
    """

    count: int
    seed: int
    hash: str
    index: str


@dataclass(frozen=True, kw_only=True)
class UnlabelledRecord:
    """The source of unlabelled images beside the data set: its name, the number and the hash of its images."""

    name: str
    count: int
    images_hash: str


@dataclass(frozen=True, kw_only=True)
class TeacherRecord:
    """The teacher of a student: its run, the sha256 of its checkpoint, and the file and the hash of its labels."""

    source: str
    sha256: str
    labels_file: str
    labels_hash: str


@dataclass(frozen=True, kw_only=True)
class PreprocessingRecord:
    """The size of the images, their fit and their normalisation; see `convatlas.data.preprocessing.Preprocessing`."""

    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        side = self.image_size if self.shorter_side is None else self.shorter_side
        if not 1 <= self.image_size <= side <= LARGEST_IMAGE:
            raise ValueError(f"images of {self.image_size} pixels, cut of {side}, are not of 1 to {LARGEST_IMAGE}")
        if not len(self.mean) == len(self.std) > 0 or not all(map(math.isfinite, self.mean + self.std)):
            raise ValueError("its mean and std are not a finite number for each channel")
        if min(self.std) <= 0:
            raise ValueError("a number of its std is not above 0")


@dataclass(frozen=True, kw_only=True)
class NetworkRecord:
    """The size of a network: parameters, multiply-adds for an image, and the shape (C, H, W) of that image."""

    params: int
    macs: int
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class SessionRecord:
    """The circumstances of one session of a run; a resumed run has several sessions."""

    versions: Mapping[str, str] = field(default_factory=dict)
    git_commit: str | None = None
    hardware: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    started: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """All facts of a run, the content of `run.json`.

    `recipe` has the recipe's fields by name. An evaluated checkpoint has only `name`, `source` and `precision` there,
    and no `seed`. `labelled` are the images that kept their labels, where not all did, `unlabelled`
    those of another source, `teacher` is that of a student. `objective` names the goal of
    the training, `score` the measure that selected the epoch and ranks the run. `results` are numbers by name
    (best_epoch, val_top1, val_loss, test_top1, test_loss, train_seconds, images_per_second, of classes
    test_balanced_accuracy, test_macro_f1 and test_imbalance too, and the score's; accuracies are fractions). A failed
    run has `error` and `traceback` there.
    """

    status: Status
    architecture: ArchitectureRecord
    start: Start
    recipe: Mapping[str, Any]
    seed: int | None
    data: DataRecord
    preprocessing: PreprocessingRecord
    network: NetworkRecord
    labelled: LabelledRecord | None = None
    unlabelled: UnlabelledRecord | None = None
    teacher: TeacherRecord | None = None
    published: tuple[Published, ...] = ()
    selection: str | None = None
    notes: tuple[str, ...] = ()
    objective: str = "classification"  # the only objective when the oldest records were written
    score: Score = TOP1  # the only score when records did not name it
    device: str | None = None
    sessions: tuple[SessionRecord, ...] = ()
    results: Mapping[str, Any] = field(default_factory=dict)

    @property
    def latest(self) -> SessionRecord:
        """The last session of the run; an empty one if no session is recorded."""
        return self.sessions[-1] if self.sessions else SessionRecord()

    @property
    def fine_tuned(self) -> bool:
        """Whether the run was trained from the weights of a checkpoint; an evaluated checkpoint was not trained."""
        return self.start.origin == "weights" and self.seed is not None

    def identity(self) -> dict[str, Any]:
        """Returns the identity of the run, as plain data: two runs with equal identities are the same run."""
        return {
            "architecture": values.plain(asdict(self.architecture)),
            "start": self.start.identity(),
            "recipe": recipe_identity(self.recipe),
            "seed": self.seed,
            "data": self.data.identity(),
            "objective": self.objective,
            **({} if self.unlabelled is None else {"unlabelled": asdict(self.unlabelled)}),
            **({} if self.teacher is None else {"teacher": self.teacher.labels_hash}),
        }

    def content(self) -> dict[str, Any]:
        """Returns the record as plain data, the content of `run.json`; the last session also stands at the top."""
        parts = asdict(self)
        sessions, results = parts.pop("sessions"), parts.pop("results")
        content = {"format": FORMAT, **parts, **asdict(self.latest), "sessions": sessions, "results": results}
        return {name: values.plain(value) for name, value in content.items()}

    def entry(self) -> dict[str, Any]:
        """Returns the entry for a checkpoint of the run, a part of the record as plain data."""
        content = self.content()
        return {name: content[name] for name in ("format", "architecture", "preprocessing", "data", "recipe")}

    def said(self) -> CheckpointRecord:
        """Returns the facts of `entry` in the form in which they are read from a checkpoint."""
        data = DataSaid(
            name=self.data.name,
            split_hash=self.data.split_hash,
            images_hash=self.data.images_hash,
            classes=self.data.classes,
        )
        return CheckpointRecord(
            architecture=self.architecture, preprocessing=self.preprocessing, data=data, recipe=self.recipe
        )


@dataclass(frozen=True, kw_only=True)
class DataSaid:
    """The data set that a checkpoint names; None for a fact that the checkpoint does not say."""

    name: str | None = None
    split_hash: str | None = None
    images_hash: str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointRecord:
    """The facts that a checkpoint says of its network; None for a fact that it does not say.

    `evaluated` is the beginning of the names of the evaluated network's tensors, where a run has several networks.
    """

    architecture: ArchitectureRecord
    preprocessing: PreprocessingRecord | None = None
    data: DataSaid | None = None
    recipe: Mapping[str, Any] | None = None
    evaluated: str | None = None

    @property
    def precision(self) -> Precision:
        """The arithmetic of the training."""
        precision: Precision = (self.recipe or {}).get("precision", "float32")
        return precision


def recipe_identity(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recipe's values without its words; a field that is newer than the recipe has its default.

    >>> recipe_identity({"name": "quick", "lr": 0.1})["momentum"]
    0.0
    """
    given = {name: values.plain(value) for name, value in recipe.items() if name not in WORDS}
    return given | {name: value for name, value in defaults().items() if name not in given}


def other_pixels(ours: str | None, theirs: str | None) -> bool:
    """Returns whether two hashes of pixels are known and differ: the oldest records have none, which proves nothing.

    >>> other_pixels("0f1e", "2d3c"), other_pixels("0f1e", None)
    (True, False)
    """
    return None not in (ours, theirs) and ours != theirs


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns the places where two identities differ, one line each: name, our value, their value.

    A hash of pixels is compared where both identities have one.

    >>> differences({"seed": 1, "recipe": {"lr": 0.1}}, {"seed": 2, "recipe": {"lr": 0.1}})
    ['seed 1 here, 2 there']
    """
    lines = []
    for key in sorted(ours.keys() | theirs.keys()):
        a, b = ours.get(key), theirs.get(key)
        if key not in ours or key not in theirs:
            lines.append(f"{prefix}{key} only {'here' if key in ours else 'there'}")
        elif key == "images_hash" and not other_pixels(a, b):
            continue
        elif isinstance(a, Mapping) and isinstance(b, Mapping):
            lines += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            lines.append(f"{prefix}{key} {_short(a)} here, {_short(b)} there")
    return lines


def _short(value: object) -> str:
    """Returns a value in one line of at most 80 characters."""
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
