"""The speed of a network on this machine: images and FLOPs a second in evaluation and training, beside the peak."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from convatlas.data.preprocessing import Preprocessing
from convatlas.device import has_bf16, keep_freed_memory, out_of_memory
from convatlas.errors import UsageError
from convatlas.measure.peak import Work, peak_works
from convatlas.measure.turns import take_turns
from convatlas.measure.workload import Workload
from convatlas.prediction import answering, predict_logits
from convatlas.recipe import Precision
from convatlas.training.classification import Classification
from convatlas.training.learner import Learner
from convatlas.training.objective import TooLittleMemoryError

ROUNDS = 11  # at most
FEWEST = 3  # rounds, however long they take
PATIENCE = 15.0  # seconds after which no further round is begun
EVALUATION, TRAINING = "evaluation", "training"

Key = tuple[Precision, str]  # the arithmetic, and what is measured in it


@dataclass(frozen=True)
class Speed:
    """The seconds of a work in each round, its FLOPs and its images; the machine's peak has no images."""

    precision: Precision
    work: str
    flops: int
    images: int
    seconds: tuple[float, ...]

    @property
    def images_per_second(self) -> float:
        """The median of the rounds."""
        return self.images / statistics.median(self.seconds)

    @property
    def gflops(self) -> float:
        """Billions of FLOPs a second, the median of the rounds."""
        return self.flops / statistics.median(self.seconds) / 1e9

    @property
    def best(self) -> float:
        """Billions of FLOPs a second in the fastest round."""
        return self.flops / min(self.seconds) / 1e9


def choose_precisions(wanted: Precision | None, *, device: str) -> tuple[tuple[Precision, ...], tuple[str, ...]]:
    """Returns the wanted precision, else all that the device computes in itself, and notes for the reader."""
    chosen: tuple[Precision, ...] = ("float32", "bf16") if wanted is None else (wanted,)
    notes = []
    if wanted is None and not has_bf16(device):
        chosen = ("float32",)
        notes.append(f"bf16 is left out: this {device} has no bf16 arithmetic; --precision bf16 measures its emulation")
    if device == "cuda" and "float32" in chosen and torch.backends.cudnn.allow_tf32:
        notes.append("PyTorch computes float32 convolutions on cuda in TF32, matrix products not: above 100 % can be")
    return chosen, tuple(notes)


def measure(workload: Workload, *, precisions: Sequence[Precision]) -> list[Speed]:
    """Measures the machine's peak, evaluation and a training step, which take turns.

    Evaluation is `predict_logits` of uint8 images in memory; a training step the gradients and the optimizer's step on
    a batch that is ready, without augmentation. Raises `UsageError` where memory does not suffice.
    """
    keep_freed_memory()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            subject = _Subject(workload)
            works = {(name, work): made for name in precisions for work, made in subject.works(name).items()}
            seconds = seconds_of({key: work.run for key, work in works.items()}, device=workload.device)
    except RuntimeError as error:
        if not (isinstance(error, TooLittleMemoryError) or out_of_memory(error)):
            raise
        raise UsageError(
            f"too little memory on {workload.device} for {workload.batch_size} images of {workload.label} at a time; "
            "choose fewer with --batch-size"
        ) from error
    return [Speed(*key, work.flops, work.images, tuple(seconds[key])) for key, work in works.items()]


class _Subject:
    """A fresh network with its optimizer and a batch of noise, to be measured and thrown away."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        count, (channels, size, _), device = workload.batch_size, workload.cost.shape, workload.device
        self.network = workload.architecture.build(**workload.options)
        self.preprocessing = Preprocessing(size, (0.5,) * channels, (0.25,) * channels)
        self.images = torch.randint(256, (count, channels, size, size), dtype=torch.uint8).to(device)
        self.labels = torch.randint(workload.num_classes, (count,)).to(device)
        self.inputs = self.preprocessing(self.images)

    def works(self, precision: Precision) -> dict[str, Work]:
        """Returns the works in one precision; evaluation and training use the same network."""
        count = self.workload.batch_size
        train = partial(self._learner(precision).step, (self.inputs, self.labels))
        answers = answering(self.network, precision=precision)
        evaluation = partial(
            predict_logits, answers, self.images, preprocessing=self.preprocessing, precision=precision
        )
        return {
            **peak_works(self.workload.device, precision),
            EVALUATION: Work(evaluation, count * 2 * self.workload.cost.macs, count),
            TRAINING: Work(train, count * self.workload.training.flops, count),
        }

    def _learner(self, precision: Precision) -> Learner:
        """Returns a learner of the network in one precision, as `train` sets it up."""
        recipe = self.workload.recipe.replaced(precision=precision)
        objective = Classification(
            self.network,
            recipe=recipe,
            labels=self.labels,
            num_classes=self.workload.num_classes,
            device=self.workload.device,
        )
        return Learner(objective, recipe=recipe, steps_per_epoch=1)


def seconds_of(works: Mapping[Key, Callable[[], object]], *, device: str) -> dict[Key, list[float]]:
    """Returns the seconds of each work in every round; there are more rounds until they are enough or take long."""
    timed = {key: partial(_seconds, work, device=device) for key, work in works.items()}
    return take_turns(timed, rounds=ROUNDS, fewest=FEWEST, patience=PATIENCE)


def _seconds(work: Callable[[], object], *, device: str) -> float:
    """Returns the seconds of one call, until the device has done all its work."""
    _wait(device)
    begun = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - begun


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peaks(speeds: Iterable[Speed]) -> dict[Key, Speed]:
    """Returns the machine's peak in each precision: of matrix products, and of convolutions."""
    found: dict[Key, Speed] = {}
    for speed in speeds:
        key = speed.precision, speed.work.partition(" of ")[0]
        if not speed.images and (key not in found or speed.best > found[key].best):
            found[key] = speed
    return found
