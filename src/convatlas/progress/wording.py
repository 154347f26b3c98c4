"""Numbers as they are printed: columns of fixed width, accuracies in percent, times as a clock."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.control import strip_control_codes

from convatlas.errors import escaped
from convatlas.progress.job import Job
from convatlas.scores import BESIDE, Score


def epoch_facts(job: Job, row: Mapping[str, float], width: int) -> list[str]:
    """Returns an epoch in columns of fixed width, the most important first; `width` is that of the epoch's number."""
    epoch = f"{int(row['epoch']):>{width}}/{job.epochs:<{width}}"
    return [
        f"epoch {epoch}",
        *(f"{part} {measures}" for part in ("train", "val") if (measures := _measures(row, part, job.score))),
        f"lr {_rate(row['lr'])}",
        f"{row['seconds']:6.1f} s",
        f"{row['images_per_second']:6.0f} images/s",
    ]


def _measures(row: Mapping[str, float], part: str, score: Score) -> str:
    """Returns the measures of a part: the score last, in percent where it is a fraction.

    A measure that tables show beside the score stands before it, in percent and with its name.
    """
    names = [name.removeprefix(f"{part}_") for name in row if name.startswith(f"{part}_")]
    beside = BESIDE.get(score.measure)
    shown = []
    for name in sorted(names, key=lambda name: name == score.measure):
        value = row[f"{part}_{name}"]
        if beside is not None and name == beside.measure:
            shown.append(f"{beside.word} {percent(value)}")
        else:
            in_percent = score.unit == "fraction" and name == score.measure
            named = f"{name.upper()} " if beside is not None and in_percent else ""
            shown.append(f"{named}{percent(value)}" if in_percent else _loss(value))
    return " / ".join(shown)


def _loss(value: float) -> str:
    """Formats a number in six columns, whatever its size."""
    if value and math.isfinite(value) and not 0.0005 <= abs(value) < 100:
        return f"{value:6.0f}" if 100 <= abs(value) < 99999 else f"{value:6.0e}"
    return f"{value:6.3f}"


def _rate(value: float) -> str:
    """Formats a number in seven columns with at least two significant digits."""
    return f"{value:7.4f}" if value == 0 or value >= 0.001 else f"{value:7.1e}"


def percent(fraction: float) -> str:
    """Returns a fraction as percent with one decimal, always as wide."""
    return f"{100 * fraction:5.1f} %"


def duration(seconds: float | None) -> str:
    """Formats seconds as `0:33`, `12:05`, `3:07:45`; `?` while they are unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "?"
    minutes, second = divmod(round(max(0.0, seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def outcome(results: Mapping[str, float], score: Score) -> str:
    """Returns the results in a line, such as `val 98.33 %, test 97.78 %, 4.2 s`."""
    unit = " %" if score.unit == "fraction" else ""
    reached = [(part, results.get(f"{part}_{score.measure}")) for part in ("val", "test")]
    facts = [f"{part} {score.shown(value)}{unit}" for part, value in reached if value is not None]
    if "train_seconds" in results:
        seconds = results["train_seconds"]
        facts.append(f"{seconds:.1f} s" if seconds < 60 else duration(seconds))
    return ", ".join(facts)


def first_line(error: str) -> str:
    """Returns the first line of an error that says something."""
    return next((line.strip() for line in error.splitlines() if line.strip()), "unknown error")


def encodable(console: Console, text: str) -> str:
    """Returns `text` without what steers a terminal and without characters that the console cannot encode."""
    text = escaped(strip_control_codes(text).expandtabs(1))
    return text.encode("ascii", "replace").decode() if console.options.ascii_only else text
