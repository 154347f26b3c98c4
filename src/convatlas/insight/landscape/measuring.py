"""Measures the points of loss surfaces, in this process or in several, and keeps them as they come.

Every process computes with one thread, so that the values do not depend on the number of processes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from convatlas.data.images.workers import worker_count
from convatlas.device import keep_freed_memory
from convatlas.files import TEMPORARY, written
from convatlas.insight.landscape.opening import directions_of, open_network, surface_of
from convatlas.insight.landscape.points import Points
from convatlas.insight.landscape.surface import Sample, Surface
from convatlas.insight.landscape.wanted import Wanted

WRITTEN_EVERY = 5.0  # seconds
MOST_PROCESSES = 8  # where the user names no number: each takes some hundred megabytes
TIMED, NEAR = 256, (1e-3, 1e-3)  # images and place of the measurement before the work


@dataclass(frozen=True)
class Task:
    """A surface that any process can open: the run, the seed of the directions, and the files with the images."""

    source: str
    seed: int
    wanted: Wanted
    device: str
    pixels: Path
    labels: Path


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Computes with one thread until the end of the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def shared(sample: Sample, folder: Path, *, number: int) -> tuple[Path, Path]:
    """Writes images where every process reads them, under names that are swept away after a kill."""
    paths = []
    for name, tensor in {"pixels": sample.pixels, "labels": sample.labels}.items():
        path = folder / f"{TEMPORARY}{name}{number}.npy"
        with written(path) as file:
            np.save(file, tensor.numpy())
        paths.append(path)
    return paths[0], paths[1]


def seconds_of_point(surface: Surface, sample: Sample) -> float:
    """Returns the seconds that a point takes in one process, measured on some of the images."""
    few = sample.first(TIMED)
    surface.measure(few.first(TIMED // 4))
    begun = time.perf_counter()
    surface.measure(few, *NEAR)
    taken = time.perf_counter() - begun
    surface.move(0.0, 0.0)
    return taken * len(sample) / len(few)


def process_count(seconds: float) -> int:
    """Returns the number of processes for a work of so many seconds: one for each core where the work is long.

    >>> process_count(3.0)
    1
    """
    return 1 if seconds < 30 else min(MOST_PROCESSES, worker_count(None))


def measure(
    points: Points, tasks: Sequence[Task], *, folder: Path, processes: int, watch: Callable[[int, int], None]
) -> None:
    """Measures the points that are left, and writes all into the folder every some seconds and at the end or a stop."""
    left = points.left
    kept = time.monotonic()
    try:
        with contextlib.closing(_values(points, tasks, left, processes=processes)) as values:
            for done, (place, value) in enumerate(values, start=1):
                points.loss[place], points.error[place] = value
                watch(done, len(left))
                if time.monotonic() - kept > WRITTEN_EVERY:
                    points.write(folder)
                    kept = time.monotonic()
    finally:
        _opened.cache_clear()
        points.write(folder)


Spot = tuple[int, int, int]  # surface, row, column


def _values(
    points: Points, tasks: Sequence[Task], left: Sequence[Spot], *, processes: int
) -> Generator[tuple[Spot, tuple[float, float]], None, None]:
    """Yields the places with their loss and error, as they are done."""
    asked = {
        (surface, row, column): (tasks[surface], float(points.x[surface, column]), float(points.y[surface, row]))
        for surface, row, column in left
    }
    if processes == 1:
        with one_thread():
            yield from ((place, _measured(*each)) for place, each in asked.items())
        return
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(processes, len(left)), mp_context=spawn, initializer=_prepare)
    try:
        futures = {pool.submit(_measured, *each): place for place, each in asked.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool as error:
        raise RuntimeError(
            "a process that measured points ended, perhaps for lack of memory; take fewer --processes and --resume"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare() -> None:
    """Prepares a process: one thread, no Ctrl-C, which is for the first process, and no life after that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process where the first one is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _measured(task: Task, x: float, y: float) -> tuple[float, float]:
    """Returns the loss and the error of a surface at a point."""
    surface, sample = _opened(task)
    return surface.measure(sample, x, y)


@lru_cache(maxsize=1)  # points come surface by surface
def _opened(task: Task) -> tuple[Surface, Sample]:
    """Opens a surface and its images."""
    predictor = open_network(task.source, device=task.device)
    directions = directions_of(predictor, task.wanted, seed=task.seed)
    pixels, labels = (torch.from_numpy(np.load(path, mmap_mode="c")) for path in (task.pixels, task.labels))
    device = next(predictor.network.parameters()).device
    return surface_of(predictor, directions, task.wanted), Sample(pixels.to(device), labels)
