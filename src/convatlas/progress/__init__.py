"""Displays of a training: nothing, a line an epoch, a bar for one run, or the table of a study."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console

from convatlas.progress.bar import Bar
from convatlas.progress.job import Job
from convatlas.progress.overview import Overview
from convatlas.progress.plain import Lines, Silent

__all__ = ["Bar", "Job", "Lines", "Overview", "Progress", "Silent", "choose"]


class Progress(Protocol):
    """The display that a training reports to, a context manager around the training.

    `steps` are all optimizer steps of the run; `first_epoch` and `first_step` are the epochs and steps done before
    it resumed, `step` the global step done so far. Accuracies are fractions. `row` is a row of `metrics.csv`, `results`
    those of `run.json`.
    """

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None: ...
    def stepped(self, job: Job, *, step: int) -> None: ...
    def epoch_ended(self, job: Job, row: Mapping[str, float]) -> None: ...
    def finished(self, job: Job, results: Mapping[str, float]) -> None: ...
    def loaded(self, job: Job, results: Mapping[str, float]) -> None: ...
    def failed(self, job: Job, error: str) -> None: ...


def choose(console: Console, jobs: Sequence[Job], *, quiet: bool = False) -> Progress:
    """Returns the display: none when quiet, lines without a terminal, else a bar for one run or a table."""
    if quiet:
        return Silent()
    # FORCE_COLOR colours a pipe, and rich then takes it for a terminal: a log would fill with cursor movements.
    coloured_pipe = "FORCE_COLOR" in os.environ and not console.file.isatty()
    if not console.is_interactive or coloured_pipe:
        return Lines(console, jobs)
    return Bar(console) if len(jobs) == 1 else Overview(console, jobs)
