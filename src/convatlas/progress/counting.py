"""A bar over things that are counted, such as the images that a check looks at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Watch = Callable[[int, int], None]  # is told how many of how many are done


def unwatched(_done: int, _total: int) -> None:
    """Shows nothing."""


@contextlib.contextmanager
def counting(console: Console, label: str) -> Iterator[Watch]:
    """Shows a bar until the end of the block; nothing without a terminal. It is told how many of how many are done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_interactive) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
