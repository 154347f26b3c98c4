"""Words and numbers that the page and the figures of docs/few_labels_example.md share."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from page_script import plain_command

from convatlas.evaluation import FEWEST_SEEDS, Z_975, summarize
from convatlas.words import percent

TEACHER = "noisy_student/round0"
LONGER = "long_"  # before the names of the runs with more steps
AIM = 0.03  # above labels alone, with as many steps
BIASED = "few_pseudo_label_weight5"  # the run that fails
METHODS = {  # the runs of the study -> their names
    "supervised": "supervised",
    "meta_pseudo_labels": "meta_pseudo_labels",
    "fixmatch": "fixmatch",
    TEACHER: "noisy_student, round 0",
    "noisy_student/round2": "noisy_student, round 2",
}

Content = Mapping[str, Any]


def spread(runs: Sequence[Content]) -> tuple[float, float, float]:
    """Returns the mean accuracy on test and its 95 % interval: over seeds, or over the test images of few runs.

    With fewer than three seeds the interval is Wilson's, of the share of right answers of one network.
    """
    mean, _, interval = summarize([run["results"]["test_top1"] for run in runs])
    if len(runs) >= FEWEST_SEEDS and interval is not None:
        return mean, *interval
    return mean, *wilson(mean, runs[0]["data"]["test"])


def wilson(share: float, n: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share of n images.

    >>> [round(end, 3) for end in wilson(0.5, 100)]
    [0.404, 0.596]
    """
    square = Z_975**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    half = Z_975 * math.sqrt(share * (1 - share) / n + square / (4 * n * n)) / (1 + square / n)
    return middle - half, middle + half


def versus(member: Content, other: str, name: str) -> str:
    """Returns a sentence: the difference to another method on test, and whether the interval excludes 0."""
    found = member["differences"][other]
    where = "above" if found["mean"] > 0 else "below"
    apart = "" if found["significant"] else ", which may be chance"
    return f"It ends {percent(abs(found['mean']))} points {where} {name} ({interval(found)}){apart}."


def reached(content: Content, member: str) -> str:
    """Returns whether a method reaches the aim: so many points above labels alone, with intervals that lie apart."""
    start = LONGER if member.startswith(LONGER) else ""
    highest = spread(content[f"{start}supervised"]["runs"])[2]
    gain = content[member]["differences"][f"{start}supervised"]["mean"]
    apart = spread(content[member]["runs"])[1] > highest
    found = "reached" if gain >= AIM and apart else "not reached"
    return f"{found} ({signed(gain)}, intervals {'apart' if apart else 'not apart'})"


def gained(member: Content, other: str) -> str:
    """Returns a difference with its interval as a cell of a table, or a stroke where there is none."""
    found = member["differences"].get(other)
    return "-" if found is None else f"{signed(found['mean'])} ({signed(found['low'])} to {signed(found['high'])})"


def interval(found: Content) -> str:
    """Returns the interval of a difference."""
    return f"95 % interval {signed(found['low'])} to {signed(found['high'])}"


def signed(value: float) -> str:
    """Returns a difference in points with its sign."""
    return f"{'+' if value >= 0 else '-'}{percent(abs(value))}"


def accuracy(runs: Sequence[Content]) -> float:
    """Returns the mean accuracy on test."""
    return spread(runs)[0]


def course(runs: Sequence[Content]) -> list[float]:
    """Returns the mean accuracy on validation after each epoch."""
    return [sum(each) / len(each) for each in zip(*(run["course"]["val_top1"] for run in runs), strict=True)]


def best_steps(runs: Sequence[Content]) -> int:
    """Returns the steps after which the mean accuracy on validation is highest."""
    found = course(runs)
    return every(runs) * (found.index(max(found)) + 1)


def minutes(runs: Sequence[Content]) -> float:
    """Returns the mean minutes of a run."""
    each = [run["epoch_seconds"] * len(run["course"]["val_top1"]) / 60 for run in runs]
    return sum(each) / len(each)


def part(runs: Sequence[Content], epoch: int) -> str:
    """Returns the mean part of the unlabelled images that taught in an epoch, in whole percent."""
    each = [run["course"]["train_mask"][epoch] for run in runs]
    return f"{100 * sum(each) / len(each):.0f}"


def every(runs: Sequence[Content]) -> int:
    """Returns the steps of an epoch."""
    return int(runs[0]["recipe"]["epoch_steps"])


def lines_of(command: str) -> str:
    """Returns a command in lines that fit the page; an option stays with its value."""
    first, *options = plain_command(command).split(" --")
    kept = " ".join([first, *(f"--{option}".replace(" ", "\0") for option in options)])
    lines = textwrap.wrap(kept, 110, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    return " \\\n".join(lines).replace("\0", " ")
