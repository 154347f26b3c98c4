"""One run on a terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from convatlas.progress.display import Display
from convatlas.progress.job import Job, JobState
from convatlas.progress.wording import duration, epoch_facts, first_line, outcome, percent

EVERY_EPOCH = 20  # a run of more epochs prints a line above its bar only for a new best validation score


class Bar(Display):
    """One run: a bar over all its steps and the scores so far; at the end the result takes the place of the bar."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock)
        self._run: JobState | None = None
        self._ending: Text | None = None

    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None:
        super().started(job, steps=steps, first_epoch=first_epoch, first_step=first_step)
        self._run, self._ending = self._runs[job], None

    def epoch_ended(self, job: Job, row: Mapping[str, float]) -> None:
        is_best = self._runs[job].end_epoch(row, self._clock())
        if not is_best and job.epochs > EVERY_EPOCH:
            return
        facts = epoch_facts(job, row, len(str(job.epochs)))
        while len(facts) > 1 and len("  ".join(facts)) > self._width:
            facts.pop()
        self._console.print(Text("  ".join(facts)), soft_wrap=True)

    def finished(self, job: Job, results: Mapping[str, float]) -> None:
        self._end(job, outcome(results, job.score), "green")

    def loaded(self, job: Job, results: Mapping[str, float]) -> None:
        self._end(job, f"loaded  {outcome(results, job.score)}; nothing was trained", "dim")

    def failed(self, job: Job, error: str) -> None:
        self._end(job, f"failed  {first_line(error)}", "red")

    def _end(self, job: Job, text: str, style: str) -> None:
        name = f"{job.label} seed {job.seed}  "
        shown = self._cut(text, self._width - min(cell_len(name), self._width // 2))
        self._ending = Text.assemble(self._fit(name, self._width - cell_len(shown)), (shown, style))

    def render(self) -> Text:
        """Returns the bar and a line of facts beneath; the result once there is one."""
        if self._ending is not None:
            return self._lines([self._ending.copy()])
        if self._run is None:
            return self._lines([Text("stopped" if self._is_over else "preparing", "dim")])
        run, job = self._run, self._run.job
        name = self._fit(f"{job.label} seed {job.seed}", self._width // 2)
        bar = self._bar(run.fraction, max(1, self._width - cell_len(name) - 7))
        left = "stopped" if self._is_over else f"left {duration(run.left(run.epoch_seconds()))}"
        facts = [f"epoch {run.epoch}/{job.epochs}", f"elapsed {self._elapsed()}", left]
        if not math.isnan(run.reached):
            since = f" since epoch {run.first_epoch + 1}" if run.first_epoch else ""
            facts += [f"val {_shown(job, run.reached)}", f"best{since} {_shown(job, run.best)}"]
        return self._lines([Text.assemble(name, " ", bar, f" {int(100 * run.fraction):3d} %"), Text("  ".join(facts))])


def _shown(job: Job, value: float) -> str:
    """Returns a value of the job's score, a fraction in percent."""
    return percent(value).strip() if job.score.unit == "fraction" else job.score.shown(value)
