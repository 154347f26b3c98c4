"""The nearest class mean: an image is of the class whose mean feature is nearest. Nothing is trained.

The features are divided by their length; the distance is Euclidean. This is the classifier of Wang, Chao, Weinberger,
van der Maaten. SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning. 2019,
https://arxiv.org/abs/1911.04623, with the transformation that they call L2N.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from convatlas.data import class_labels
from convatlas.evaluation import evaluate_logits
from convatlas.files import held, write_arrays
from convatlas.run import Run, RunRecord, run_there, this_session
from convatlas.training.plan import Plan

NAME = "nearest_mean"
SOURCE = "nearest class mean of features of length 1 (SimpleShot, L2N), Wang et al. 2019, arXiv:1911.04623"
SELECTION = "nothing is trained or selected"


def nearest_mean(train: Tensor, labels: Tensor, asked: Tensor, *, classes: int) -> Tensor:
    """Returns minus the squared distance (M, classes) of features (M, F) from the class means of features (N, F).

    >>> train = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> nearest_mean(train, torch.tensor([0, 1]), torch.tensor([[5.0, 1.0]]), classes=2).argmax(1)
    tensor([0])
    """
    train, asked = (normalize(each.flatten(1).double(), dim=1) for each in (train, asked))
    means = torch.stack([train[labels == label].mean(0) for label in range(classes)])
    return -torch.cdist(asked, means).square()


def nearest_mean_run(plan: Plan, *, folder: Path, device: str) -> Run:
    """Classifies the test images of a plan by the nearest mean of its kept features, and keeps the answers as a run.

    A finished run is loaded. Raises `UsageError` where the folder holds another run.
    """
    assert plan.features is not None
    record = nearest_mean_record(plan)
    existing = run_there(folder, record)
    if existing is not None and existing.finished:
        return existing
    started = time.perf_counter()
    data, names = plan.data, plan.data.spec.class_names
    train, asked = (plan.features.of(part, data.parts[part]) for part in ("train", "test"))
    logits = nearest_mean(train, class_labels(data.train).cpu(), asked, classes=len(names)).float().numpy()
    labels = class_labels(data.test).cpu().numpy()
    found = evaluate_logits(logits, labels, names)
    results = {name: value for name, value in found.results("test").items() if name != "test_loss"}  # no probabilities
    results |= {"test_imbalance": found.imbalance, "train_seconds": time.perf_counter() - started}
    with held(folder):
        arrays = {"test_logits": logits, "test_labels": labels, "test_index": data.test.index.cpu().numpy()}
        write_arrays(folder / "predictions.npz", arrays)
        record = dataclasses.replace(record, status="finished", device=device, sessions=(this_session(),))
        return Run(folder, dataclasses.replace(record, results=results)).write()


def nearest_mean_record(plan: Plan) -> RunRecord:
    """Returns the record of the run before its results; it has no seed, because nothing is drawn but the images."""
    seen = dataclasses.asdict(plan.preprocessing)  # they decide the features
    recipe = {"name": NAME, "source": SOURCE, "precision": plan.recipe.precision, **seen}
    record = plan.record()
    return dataclasses.replace(
        record, recipe=recipe, seed=None, selection=SELECTION, objective=NAME, notes=plan.data.notes
    )
