"""A study on a terminal."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from convatlas.progress.display import Display
from convatlas.progress.job import Job, JobState
from convatlas.progress.wording import duration, first_line
from convatlas.scores import TOP1, Score

SMALL_BAR = 6
MEAN = 6  # columns of an accuracy in percent
FAILURES = 3  # failed runs named under a live table; all of them when it ends


class Overview(Display):
    """A study: a row for each label, a column for each seed, and beneath them the progress and the time left."""

    def __init__(self, console: Console, jobs: Iterable[Job], *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(console, clock=clock)
        self._runs = {job: JobState(job) for job in jobs}
        self._labels = list(dict.fromkeys(job.label for job in self._runs))
        self._seeds = sorted({job.seed for job in self._runs})
        self._cells = {(job.label, job.seed): run for job, run in self._runs.items()}
        self._by_label = {
            label: [run for job, run in self._runs.items() if job.label == label] for label in self._labels
        }
        self._heading = _heading({job.score for job in self._runs})
        self._failures: dict[Job, str] = {}
        self._focus = 0
        self._at_once = 1

    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None:
        super().started(job, steps=steps, first_epoch=first_epoch, first_step=first_step)
        self._failures.pop(job, None)
        self._focus = self._labels.index(job.label)
        self._at_once = max(self._at_once, sum(run.status == "running" for run in self._runs.values()))

    def epoch_ended(self, job: Job, row: Mapping[str, float]) -> None:
        self._runs[job].end_epoch(row, self._clock())

    def finished(self, job: Job, results: Mapping[str, float]) -> None:
        self._runs[job].end("done", results, self._clock())

    def loaded(self, job: Job, results: Mapping[str, float]) -> None:
        self._runs[job].end("loaded", results, self._clock())

    def failed(self, job: Job, error: str) -> None:
        self._runs[job].end("failed", {}, self._clock())
        self._failures[job] = first_line(error)

    def left(self) -> float | None:
        """Returns the seconds until the study is done, from the runs of each label, else from those of other labels."""
        speeds = {label: speed for label in self._labels if (speed := self._epoch_seconds(label)) is not None}
        mean = fmean(speeds.values()) if speeds else None
        lefts = [run.left(speeds.get(run.job.label, mean)) for run in self._runs.values() if not run.is_over]
        known = [left for left in lefts if left is not None]
        if len(known) < len(lefts):
            return None
        return max(sum(known) / self._at_once, max(known, default=0.0))  # runs of a cluster go on side by side

    def _epoch_seconds(self, label: str) -> float | None:
        for status in ("done", "running"):
            speeds = [run.epoch_seconds() for run in self._by_label[label] if run.status == status]
            known = [speed for speed in speeds if speed is not None]
            if known:
                return fmean(known)
        return None

    def render(self) -> Text:
        """Returns the table, the failures, the state of the study and its bar; at the end the whole table."""
        failures = self._failure_lines()
        footer = [Text(""), *failures, *self._state()]
        room = len(self._labels) if self._is_over else max(2, self._console.height - 2 - len(footer))
        shown, hidden = self._window(room)
        header, rows = self._table(shown)
        return self._lines([header, *rows, *hidden, *footer])

    def _window(self, room: int) -> tuple[list[str], list[Text]]:
        """Returns the labels around the running one that fit into `room` lines, and the line that counts the others."""
        count = len(self._labels)
        if count <= room:
            return self._labels, []
        size = room - 1
        start = min(max(0, self._focus - size // 2), count - size)
        above, below = start, count - size - start
        line = f"{self._dots} {above + below} more ({above} above, {below} below)"
        return self._labels[start : start + size], [Text(line, "dim")]

    def _failure_lines(self) -> list[Text]:
        failures = list(self._failures.items())
        count = len(failures) if self._is_over else FAILURES
        named = [f"failed: {job.label} seed {job.seed}: {error}" for job, error in failures[:count]]
        if len(failures) > count:
            named.append(f"failed: {len(failures) - count} more")
        return [Text(self._cut(line, self._width), "red") for line in named]

    def _state(self) -> tuple[Text, Text]:
        """Returns `run 5 of 12  elapsed 0:21  left about 0:33`, and the bar over the whole study."""
        over = sum(run.is_over for run in self._runs.values())
        seen = sum(run.status != "waiting" for run in self._runs.values())
        total = len(self._runs)
        left = self.left()
        facts = [f"run {seen} of {total}", f"elapsed {self._elapsed()}"]
        if self._is_over:
            facts[0] = f"all {total} runs" if over == total else f"stopped after {over} of {total} runs"
        else:
            facts.append("left ?" if left is None else f"left about {duration(left)}")
        if self._failures:
            facts.insert(1, f"{len(self._failures)} failed")
        fraction = fmean([run.fraction for run in self._runs.values()] or [1.0])
        bar = self._bar(fraction, max(1, self._width - 6))
        return Text("  ".join(facts)), Text.assemble(bar, f" {int(100 * fraction):3d} %")

    def _table(self, labels: Sequence[str]) -> tuple[Text, list[Text]]:
        """Returns the header and a row for each of `labels`, as detailed as the width permits."""
        longest = max(cell_len(label) for label in [self._heading, *self._labels])
        for detail in ("bar", "epoch", "short"):
            cell = self._cell_width(detail)
            room = self._width - len(self._seeds) * (cell + 2)
            if room >= min(longest, 16 if detail == "short" else 20):
                name = min(longest, room)
                seeds = [Text(f"seed {seed}") for seed in self._seeds]
                header = _row(self._fit(self._heading, name), seeds, name, cell)
                header.stylize("bold")
                return header, [
                    _row(self._fit(label, name), [self._cell(label, seed, detail) for seed in self._seeds], name, cell)
                    for label in labels
                ]
        return self._folded_table(labels, longest)

    def _folded_table(self, labels: Sequence[str], longest: int) -> tuple[Text, list[Text]]:
        counts = {label: self._counts(label) for label in labels}
        widest = max((cells[-1].cell_len for cells in counts.values()), default=0)
        name = min(longest, max(12, self._width - widest - MEAN - 4))
        header = _row(self._fit(self._heading, name), [Text("mean"), Text("runs")], name, MEAN)
        header.stylize("bold")
        return header, [_row(self._fit(label, name), counts[label], name, MEAN) for label in labels]

    def _cell_width(self, detail: str) -> int:
        epochs = max((2 * len(str(job.epochs)) + 1 for job in self._runs), default=3)
        return {
            "bar": max(14, epochs + 14 + SMALL_BAR),
            "epoch": max(14, epochs + 13),
            "short": max(8, epochs + 7),
        }[detail]

    def _cell(self, label: str, seed: int, detail: str) -> Text:
        """Returns the cell of one run: waiting, its epoch, its score, or failed."""
        run = self._cells.get((label, seed))
        if run is None:
            return Text("")
        if run.status == "running":
            return self._running_cell(run, detail)
        if run.status in ("done", "loaded"):
            tick = "*" if self._console.options.ascii_only else "✓"
            mark = "" if run.status == "done" else f" {tick}" if detail == "short" else f" {tick} loaded"
            return Text(f"{run.job.score.shown(run.reached)}{mark}", "green" if run.status == "done" else "dim")
        return Text(run.status, "red" if run.status == "failed" else "dim")

    def _running_cell(self, run: JobState, detail: str) -> Text:
        epoch = f"{run.epoch:>{len(str(run.job.epochs))}}/{run.job.epochs}"
        if self._is_over:
            return Text("stopped" if detail == "short" else f"stopped {epoch}", "yellow")
        shown = "" if math.isnan(run.reached) else run.job.score.shown(run.reached, decimals=1)
        cell = Text(f"{'' if detail == 'short' else 'epoch '}{epoch}  {shown:<5}", "bold")
        return Text.assemble(cell, " ", self._bar(run.fraction, SMALL_BAR)) if detail == "bar" else cell

    def _counts(self, label: str) -> list[Text]:
        """Puts many seeds in one cell: the mean over the finished ones, and the number in each state."""
        runs = self._by_label[label]
        counts = Counter("stopped" if self._is_over and run.status == "running" else run.status for run in runs)
        reached = [run.reached for run in runs if run.status in ("done", "loaded")]
        order = ("done", "loaded", "failed", "running", "stopped", "waiting")
        text = ", ".join(f"{counts[status]} {status}" for status in order if counts[status])
        style = "red" if counts["failed"] else "bold" if counts["running"] else "dim" if counts["waiting"] else "green"
        return [Text(runs[0].job.score.shown(fmean(reached)) if reached else ""), Text(text, style)]


def _heading(scores: set[Score]) -> str:
    """Returns the heading of the table: the score of the runs on validation, where it is the same for all.

    >>> _heading({TOP1}), _heading({Score("loss", "min", "number")}), _heading({TOP1, Score("ap")})
    ('validation %', 'validation loss', 'validation')
    """
    if len(scores) > 1:
        return "validation"
    (score,) = scores or {TOP1}
    return f"validation{'' if score == TOP1 else f' {score.word}'}{score.sign}"


def _row(name: str, cells: Sequence[Text], name_width: int, cell_width: int) -> Text:
    """Returns the name and the cells, each padded to its width; a last cell may be wider."""
    row = Text(set_cell_size(name, name_width))
    for cell in cells:
        cell.pad_right(max(0, cell_width - cell.cell_len))
        row = Text.assemble(row, "  ", cell)
    row.rstrip()
    return row
