"""Progress without a terminal: nothing, or one line an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from convatlas.progress.job import Job, JobState
from convatlas.progress.wording import duration, encodable, epoch_facts, first_line, outcome


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None: ...
    def stepped(self, job: Job, *, step: int) -> None: ...
    def epoch_ended(self, job: Job, row: Mapping[str, float]) -> None: ...
    def finished(self, job: Job, results: Mapping[str, float]) -> None: ...
    def loaded(self, job: Job, results: Mapping[str, float]) -> None: ...
    def failed(self, job: Job, error: str) -> None: ...


class Lines(Silent):
    """One line an epoch, for pipes and logs; `jobs`, where they are known, let the columns align over a study."""

    def __init__(
        self, console: Console, jobs: Iterable[Job] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._clock = console, clock
        self._runs = {job: JobState(job) for job in jobs}

    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None:
        self._run(job).start(steps, first_epoch, first_step, self._clock())

    def stepped(self, job: Job, *, step: int) -> None:
        self._run(job).advance(step, self._clock())

    def epoch_ended(self, job: Job, row: Mapping[str, float]) -> None:
        run = self._run(job)
        run.end_epoch(row, self._clock())
        width = max(len(str(other.epochs)) for other in self._runs)
        facts = [*epoch_facts(job, row, width), f"left {duration(run.left(run.epoch_seconds())):>7}"]
        self._print(job, "  ".join(facts))

    def finished(self, job: Job, results: Mapping[str, float]) -> None:
        self._print(job, f"finished  {outcome(results, job.score)}")

    def loaded(self, job: Job, results: Mapping[str, float]) -> None:
        self._print(job, f"loaded    {outcome(results, job.score)}; nothing was trained")

    def failed(self, job: Job, error: str) -> None:
        self._print(job, f"failed    {first_line(error)}")

    def _run(self, job: Job) -> JobState:
        return self._runs.setdefault(job, JobState(job))

    def _print(self, job: Job, text: str) -> None:
        self._run(job)
        label = max(cell_len(other.label) for other in self._runs)
        seed = max(len(str(other.seed)) for other in self._runs)
        line = f"{set_cell_size(job.label, label)} seed {job.seed:<{seed}}  {text}"
        # A pipe has no width: rich would wrap at 80. Each print is flushed.
        self._console.print(Text(encodable(self._console, line)), soft_wrap=True)
