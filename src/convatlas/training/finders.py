"""Learning rate and batch size, tried out on a throw-away copy of the network: suggestions, never a changed run."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.tuner.tuning import Tuner

from convatlas.data.loader import TrainingBatches, epoch_seed
from convatlas.errors import UsageError
from convatlas.prediction import autocast, network_input
from convatlas.recipe import Recipe
from convatlas.training.classifier import Classifier, DataModule
from convatlas.training.loss import TrainingLoss
from convatlas.training.memory import keep_freed_memory
from convatlas.training.optimizers import make_optimizer
from convatlas.training.plan import Plan
from convatlas.training.train import lightning_precision, quiet_libraries

STEPS = 100  # learning rates that are tried
LOWEST, HIGHEST = 1e-6, 10.0
SMOOTHING = 0.98  # Lightning's
DIVERGED = 4.0  # times the lowest loss, at which the search stops
LARGEST = 4096  # images, the last batch size that is tried
TIMED = 3  # steps of each batch size, after one that is not timed
PATIENCE = 60.0  # seconds after which no larger batch is begun
ENOUGH = 0.95  # of the highest speed


@dataclass(frozen=True)
class RateSearch:
    """The smoothed loss at each learning rate that was tried, and the rate at which it falls fastest.

    `suggestion` is None where the loss never falls.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float | None


@dataclass(frozen=True)
class BatchTrial:
    """One batch size: images per second in training, and the peak of memory in bytes up to then."""

    batch_size: int
    images_per_second: float
    memory: int


@dataclass(frozen=True)
class BatchSearch:
    """The batch sizes that fit, the smallest that is nearly as fast as the fastest, and why no larger was tried."""

    trials: tuple[BatchTrial, ...]
    suggestion: int
    end: str


def find_lr(plan: Plan, *, device: str) -> RateSearch:
    """The learning rate range test with everything else as in the plan: 100 steps, each at a higher rate.

    Lightning's; the rate at which the loss falls fastest for each doubling of the rate. Smith 2015,
    https://arxiv.org/abs/1506.01186, section 3.3.
    """
    keep_freed_memory()
    plan = dataclasses.replace(plan, recipe=_without_schedule(plan.recipe)).on(device)
    with torch.random.fork_rng(), quiet_libraries(), tempfile.TemporaryDirectory() as folder:
        trainer = L.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            max_epochs=-1,
            precision=lightning_precision(plan.recipe),
            gradient_clip_val=plan.recipe.clip_norm,
            limit_val_batches=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            reload_dataloaders_every_n_epochs=1,
        )
        with contextlib.redirect_stderr(io.StringIO()):  # its own progress bar, which no flag of the trainer turns off
            found = Tuner(trainer).lr_find(
                Classifier(plan),
                datamodule=DataModule(plan),
                min_lr=LOWEST,
                max_lr=HIGHEST,
                num_training=STEPS,
                early_stop_threshold=DIVERGED,
                update_attr=False,
            )
    assert found is not None
    rates = found.results["lr"]
    # Lightning 2.6 corrects its moving average for one step too many: the first losses would be far too low.
    losses = [
        loss * (1 - SMOOTHING ** (step + 1)) / (1 - SMOOTHING**step)
        for step, loss in enumerate(found.results["loss"], start=1)
    ]
    return RateSearch(tuple(rates), tuple(losses), steepest(rates, losses))


def _without_schedule(recipe: Recipe) -> Recipe:
    """The recipe at whatever rate the search sets, each batch in one part: its loss is what is plotted."""
    return dataclasses.replace(
        recipe,
        schedule="constant",
        milestones=(),
        gamma=0.1,
        decay_epochs=None,
        patience=None,
        warmup_epochs=0.0,
        warmup="linear",
        warmup_lr=0.0,
        accumulate=1,
    )


def steepest(rates: list[float], losses: list[float], *, skipped: int = 10) -> float | None:
    """The rate at which the loss falls fastest in the logarithm of the rate; the first ones are warm-up.

    >>> steepest([10.0**power for power in range(-8, 0)], [3, 3, 3, 2.9, 2, 1.8, 1.7, 9], skipped=1)
    0.0001
    """
    known = [(rate, loss) for rate, loss in zip(rates, losses, strict=True) if math.isfinite(loss)][skipped:]
    if len(known) < 2:
        return None
    slopes = np.gradient([loss for _, loss in known], np.log([rate for rate, _ in known]))
    best = int(np.argmin(slopes))
    return known[best][0] if slopes[best] < -1e-9 else None  # rounding is no fall


def find_batch_size(plan: Plan, *, device: str, report: Callable[[BatchTrial], None] = lambda _: None) -> BatchSearch:
    """Trains a few steps with batches of 8, 16, 32 ... images until memory, images or a minute end.

    `report` is told of each. Raises `UsageError` where not even the smallest fits.
    """
    keep_freed_memory()
    trials: list[BatchTrial] = []
    begun = time.perf_counter()
    end = f"{LARGEST} images are the largest that is tried"
    with torch.random.fork_rng():
        for batch_size in _sizes(len(plan.data.train)):
            if trials and device == "cpu" and not _fits(trials):
                end = f"batches of {batch_size} would not fit into the memory that is free"
                break
            if trials and time.perf_counter() - begun > PATIENCE:
                end = f"batches of {batch_size} were not tried, after {PATIENCE:g} seconds"
                break
            try:
                trials.append(_trial(plan.on(device), batch_size))
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                end = f"batches of {batch_size} do not fit into the memory of {device}"
                break
            report(trials[-1])
        else:
            if trials[-1].batch_size * 2 > len(plan.data.train):
                end = f"there are {len(plan.data.train):,} training images"
    if not trials:
        raise UsageError(f"not even a batch of 8 images fits into the memory of {device}")
    fastest = max(trial.images_per_second for trial in trials)
    chosen = next(trial for trial in trials if trial.images_per_second >= ENOUGH * fastest)
    return BatchSearch(tuple(trials), chosen.batch_size, end)


def _out_of_memory(error: RuntimeError) -> bool:
    """The CPU's allocator has no exception of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _sizes(images: int) -> Iterator[int]:
    size = 8
    while size <= min(LARGEST, max(images, 8)):
        yield size
        size *= 2


def _trial(plan: Plan, batch_size: int) -> BatchTrial:
    """Median speed of a few steps at this batch size, on a fresh network."""
    recipe = plan.recipe.replaced(batch_size=batch_size, accumulate=1)
    batches = TrainingBatches(
        plan.data.train,
        recipe=recipe,
        preprocessing=plan.preprocessing,
        num_classes=plan.num_classes,
        seed=epoch_seed(plan.seed, 0),
    )
    device = plan.data.train.images.device
    network = plan.build().to(device=device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = make_optimizer(network, recipe)
    loss = TrainingLoss(recipe, labels=plan.data.train.labels, num_classes=plan.num_classes)
    seconds = []
    for _step, (images, targets) in zip(range(TIMED + 1), _endless(batches), strict=False):
        begun = time.perf_counter()
        with autocast(device, recipe.precision):
            value = loss(network(network_input(images)), targets)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        value.item()  # waits for the device
        seconds.append(time.perf_counter() - begun)
    return BatchTrial(batch_size, len(targets) / float(np.median(seconds[1:])), _peak_memory(device))


def _endless(batches: TrainingBatches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        yield from batches


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _fits(trials: list[BatchTrial]) -> bool:
    """Whether twice the last batch is likely to fit: what it added to memory, doubled, against what is free."""
    added = trials[-1].memory - trials[0].memory
    return 2 * added < 0.8 * _free_memory()


def _free_memory() -> float:
    """Bytes that the system can still give; infinite where it does not say."""
    information = Path("/proc/meminfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    return math.inf
