"""Measurements that take turns: each way in its own process, one at a time, in an order that alternates."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from convatlas.measure.turns import take_turns

Work = Callable[[], float | None]  # does the work once; returns its seconds where it measured them itself
Way = tuple[Callable[..., Work], tuple[Any, ...]]  # a function that prepares the work, and its arguments


def in_processes(ways: Mapping[str, Way], *, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of every way in every round, after a round that does not count.

    A process lives as long as the measurement, so that the effects of a way on its memory stay with that way. While one
    process works, the others wait.
    """
    spawn = multiprocessing.get_context("spawn")
    processes, lines = {}, {}
    try:
        for name, (prepare, arguments) in ways.items():
            lines[name], theirs = spawn.Pipe()
            processes[name] = spawn.Process(target=_work, args=(theirs, prepare, arguments))
            processes[name].start()  # no daemon, because a daemon may not start processes and a DataLoader does
            theirs.close()  # so that the end of a failed process ends the wait
            lines[name].recv()  # waits until it is ready: nothing is prepared during a measurement
        return take_turns({name: partial(_asked, line) for name, line in lines.items()}, rounds=rounds)
    finally:
        for name, process in processes.items():
            lines[name].close()
            process.join()


def _asked(line: Connection) -> float:
    """Lets a process work once, and returns its seconds."""
    line.send(True)
    return float(line.recv())


def _work(line: Connection, prepare: Callable[..., Work], arguments: tuple[Any, ...]) -> None:
    work = prepare(*arguments)
    line.send(True)
    with contextlib.suppress(EOFError):  # the measurement is over
        while line.recv():
            begun = time.perf_counter()
            own = work()
            line.send(time.perf_counter() - begun if own is None else own)


def ratios(seconds: Mapping[str, list[float]], *, of: str) -> dict[str, dict[str, float]]:
    """Returns each other way's speed-up over the way `of`: median, lowest and highest of the rounds' ratios."""
    result = {}
    for name, values in seconds.items():
        if name != of:
            each = [other / own for own, other in zip(values, seconds[of], strict=True)]
            result[name] = {"median": statistics.median(each), "min": min(each), "max": max(each)}
    return result
