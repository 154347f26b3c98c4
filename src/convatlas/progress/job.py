"""The progress of a run: its steps, its speed, and the time that is left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convatlas.scores import TOP1, Score


@dataclass(frozen=True)
class Job:
    """One run of a study, or the only one: `label` is the architecture, with `@recipe` and options if they differ."""

    label: str
    seed: int
    epochs: int
    score: Score = TOP1


class JobState:
    """The progress of a job. The training writes it, and the thread that draws reads it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.status = "waiting"
        self.steps = self.step = self.first_step = self.epochs_done = self.first_epoch = 0
        self.started_at = self.seen_at = 0.0
        self.first_seen: tuple[int, float] | None = None
        self.reached = self.best = math.nan

    def start(self, steps: int, first_epoch: int, first_step: int, now: float) -> None:
        self.status, self.steps = "running", max(1, steps)
        self.first_epoch = self.epochs_done = first_epoch
        self.step = self.first_step = first_step
        self.started_at = self.seen_at = now
        self.first_seen, self.reached, self.best = None, math.nan, math.nan

    def advance(self, step: int, now: float) -> None:
        self.step, self.seen_at = step, now
        if self.first_seen is None:
            self.first_seen = (step, now)

    def end_epoch(self, row: Mapping[str, float], now: float) -> bool:
        """Notes the epoch; true for the best score that this session has seen."""
        score = self.job.score
        self.epochs_done, self.seen_at, self.reached = int(row["epoch"]), now, row.get(score.column, math.nan)
        is_best = not score.better(self.reached) <= score.better(self.best) and not math.isnan(self.reached)
        if is_best:
            self.best = self.reached
        return is_best

    def end(self, status: str, results: Mapping[str, float], now: float) -> None:
        self.status, self.seen_at, self.step = status, now, self.steps
        self.reached = results.get(self.job.score.column, math.nan)

    @property
    def epoch(self) -> int:
        return min(self.epochs_done + 1, self.job.epochs)

    @property
    def is_over(self) -> bool:
        return self.status not in ("waiting", "running")

    @property
    def fraction(self) -> float:
        return 1.0 if self.is_over else min(1.0, self.step / self.steps) if self.steps else 0.0

    def epoch_seconds(self) -> float | None:
        """Returns the seconds of an epoch, from the steps of this session; None while they are unknown."""
        if self.status == "done" and self.steps > self.first_step:
            return self._epoch_seconds(self.steps - self.first_step, self.seen_at - self.started_at)
        # From the first step's end: the first step compiles and fills caches, and would promise hours.
        first_step, first_seen_at = self.first_seen or (self.step, self.seen_at)
        if self.status != "running" or self.step <= first_step:
            return None
        return self._epoch_seconds(self.step - first_step, self.seen_at - first_seen_at)

    def _epoch_seconds(self, steps: int, seconds: float) -> float:
        """Returns the seconds of an epoch of mean length, where a number of steps took `seconds`."""
        return seconds / steps * self.steps / self.job.epochs

    def left(self, epoch_seconds: float | None) -> float | None:
        return None if epoch_seconds is None else epoch_seconds * self.job.epochs * (1 - self.fraction)
