"""Searches for a learning rate and a batch size on throw-away networks. They suggest a value and change no run."""

from __future__ import annotations

import dataclasses
import itertools
import math
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from convatlas.device import free_memory, keep_freed_memory, out_of_memory
from convatlas.errors import UsageError
from convatlas.training.learner import build_learner
from convatlas.training.objective import Measured, TooLittleMemoryError
from convatlas.training.plan import Plan

STEPS = 100  # learning rates that are tried
LOWEST, HIGHEST = 1e-6, 10.0
SMOOTHING = 0.98  # of the loss, an exponential moving average over steps
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
    """The batch sizes that fit, the smallest of nearly the highest speed, and the reason why the search ended."""

    trials: tuple[BatchTrial, ...]
    suggestion: int
    end: str


def find_lr(plan: Plan, *, device: str) -> RateSearch:
    """Runs the learning rate range test: up to 100 steps, each at a higher rate, all else as in the plan.

    The suggestion is the rate at which the loss falls fastest for each doubling of the rate. The search ends where the
    smoothed loss is four times its lowest. Smith 2015, https://arxiv.org/abs/1506.01186, section 3.3.
    """
    keep_freed_memory()
    plan = plan.on(device)
    rates: list[float] = []
    losses: list[float] = []
    mean, lowest = 0.0, math.inf
    with torch.random.fork_rng():
        trial = _Trial(plan, device=device)
        for step, batch in zip(range(STEPS), trial.batches(), strict=False):
            rates.append(LOWEST * (HIGHEST / LOWEST) ** (step / STEPS))
            loss = trial.step(batch, rate=rates[-1]).means["loss"].item()
            mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
            losses.append(mean / (1 - SMOOTHING ** (step + 1)))
            lowest = min(lowest, losses[-1])
            if not losses[-1] <= DIVERGED * lowest:  # not a number neither
                break
    return RateSearch(tuple(rates), tuple(losses), steepest(rates, losses))


class _Trial:
    """A fresh learner of a plan, to take some steps with and to be thrown away."""

    def __init__(self, plan: Plan, *, device: str) -> None:
        self.plan = plan
        self.learner = build_learner(plan, device=device)

    def batches(self) -> Iterator[Any]:
        """Yields batches of one epoch after the other, without end."""
        for epoch in itertools.count():
            yield from self.learner.objective.batches(self.plan, epoch)

    def step(self, batch: Any, *, rate: float) -> Measured:
        """Takes one step and waits for the device."""
        measured = self.learner.step(batch, rate=rate)
        if "loss" not in measured.means:
            raise UsageError(f"the objective {self.plan.objective.name} measures no loss, which the search follows")
        measured.means["loss"].item()
        return measured


def steepest(rates: list[float], losses: list[float], *, skipped: int = 10) -> float | None:
    """Returns the rate at which the loss falls fastest in the logarithm of the rate; the first ones are warm-up.

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
                if not (isinstance(error, TooLittleMemoryError) or out_of_memory(error)):
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


def _sizes(images: int) -> Iterator[int]:
    size = 8
    while size <= min(LARGEST, max(images, 8)):
        yield size
        size *= 2


def _trial(plan: Plan, batch_size: int) -> BatchTrial:
    """Measures the median speed of a few steps at this batch size, on a fresh network."""
    changed = plan.recipe.replaced(batch_size=batch_size, accumulate=1)
    device = plan.data.train.device
    trial = _Trial(dataclasses.replace(plan, recipe=changed), device=str(device))
    seconds = []
    for _step, batch in zip(range(TIMED + 1), trial.batches(), strict=False):
        begun = time.perf_counter()
        measured = trial.step(batch, rate=plan.recipe.optimizer.lr)
        seconds.append(time.perf_counter() - begun)
    speed = measured.count / float(np.median(seconds[1:]))
    return BatchTrial(batch_size, speed, _peak_memory(device))


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _fits(trials: list[BatchTrial]) -> bool:
    """Returns whether a batch of twice the size is likely to fit, by the memory that the last one added."""
    added = trials[-1].memory - trials[0].memory
    return 2 * added < 0.8 * free_memory()
