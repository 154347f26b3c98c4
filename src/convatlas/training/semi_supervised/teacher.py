"""The labels that a teacher gives unlabelled images: computed once, without noise, kept in the teacher's run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from convatlas.data.images.protocol import Images, short_hash
from convatlas.errors import UsageError
from convatlas.files import read_arrays, write_arrays
from convatlas.prediction import Predictor, open_predictor
from convatlas.run import TeacherRecord, read_run
from convatlas.training.semi_supervised.batches import unlabelled_images
from convatlas.weights import file_sha256

if TYPE_CHECKING:
    from convatlas.training.plan import Plan


@dataclass(frozen=True)
class TeacherLabels:
    """A teacher's probabilities (N, classes) for the unlabelled images, and the record of where they come from."""

    probabilities: Tensor
    record: TeacherRecord


def teacher_labels(folder: Path, plan: Plan, *, device: str) -> TeacherLabels:
    """Returns the labels that the teacher, a finished run, gives the training images of a plan.

    The teacher answers as in evaluation: without dropout and without changes of the images. The answers are kept in the
    teacher's folder, by the hash of its checkpoint and of the images, and read from there the next time. Raises
    `UsageError` for a run that is not finished, and for a teacher of other classes.
    """
    run = read_run(folder)
    if not run.finished:
        raise UsageError(f"the teacher in {folder} is {run.status}; go on with its training by --resume first")
    predictor = open_predictor(folder)
    _check_classes(predictor, plan)
    images, sha256 = unlabelled_images(plan), file_sha256(run.best_checkpoint)
    key = short_hash([sha256.encode(), *images.content()])
    file = folder / f"pseudo_labels-{key}.npz"
    if not file.is_file():
        write_arrays(file, {"probabilities": _probabilities(predictor, images, device).numpy()})
    probabilities = torch.from_numpy(read_arrays(file)["probabilities"])
    if probabilities.shape != (len(images), plan.num_classes):
        raise UsageError(f"{file} does not fit the images; delete it, and it is computed again")
    record = TeacherRecord(
        source=str(folder),
        sha256=sha256,
        labels_file=file.name,
        labels_hash=short_hash([probabilities.numpy().tobytes()]),
    )
    return TeacherLabels(probabilities, record)


def _probabilities(predictor: Predictor, images: Images, device: str) -> Tensor:
    """Returns the probabilities (N, classes) that a teacher gives images, without noise."""
    return predictor.to(device).logits(images.to(device)).softmax(1)


def _check_classes(teacher: Predictor, plan: Plan) -> None:
    """Raises `UsageError` for a teacher that knows other classes than the data has, or the same in another order."""
    known, classes = teacher.class_names, plan.data.spec.class_names
    if known != classes:
        count = "unknown" if known is None else f"{len(known):,}"
        raise UsageError(
            f"the teacher {teacher.source} is of other classes ({count}) than {plan.data.spec.name} "
            f"({len(classes):,}); a teacher and its student have the same classes in the same order"
        )


def chosen_places(probabilities: Tensor, *, threshold: float, each: int | None, seed: int) -> Tensor:
    """Returns the places of the images that a student learns, equally many of each class that the teacher names.

    Images are left out whose highest probability is not above `threshold`. Of a class with more than `each` the surest
    are taken; of one with fewer some come again, drawn from the seed. Without `each` it is the mean over the classes
    that are named. Xie et al. 2019, section 2.2.

    >>> surest = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.51, 0.49]])
    >>> chosen_places(surest, threshold=0.55, each=2, seed=0).tolist()
    [0, 1, 3, 3]
    """
    certainty, labels = probabilities.max(1)
    sure = certainty > threshold
    generator = torch.Generator().manual_seed(seed)
    members = []
    for label in range(probabilities.shape[1]):
        own = torch.nonzero(sure & (labels == label)).flatten()
        members.append(own[certainty[own].argsort(descending=True, stable=True)])
    named = [own for own in members if len(own)]
    if not named:
        raise UsageError(f"threshold={threshold:g} leaves no image: the teacher is sure of none; lower it")
    wanted = each or round(sum(map(len, named)) / len(named))
    chosen = []
    for own in named:
        missing = max(0, wanted - len(own))
        again = own[torch.randint(len(own), (missing,), generator=generator)]
        chosen.append(torch.cat([own[:wanted], again]))
    return torch.cat(chosen)
