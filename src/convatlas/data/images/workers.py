"""Threads that fill batches ahead of whoever consumes them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from convatlas.errors import UsageError

Batch = TypeVar("Batch")
Fill = Callable[[], None]  # decodes the images of one part into their places in the batch


def completed(jobs: Iterable[tuple[Batch, list[Fill]]], *, workers: int) -> Generator[Batch, None, None]:
    """Yields batches in order, each when all its parts are filled; further ones are filled meanwhile.

    With 0 workers the caller fills them himself. The first error of a part is raised, in the order of the parts. When
    the iteration ends, however it ends, no thread is left.
    """
    # Threads, not processes: all that takes time (reading, decoding, resizing) releases Python's lock. bench/loader.py
    # measures both ways; threads read more images a second than as many processes, which have each batch to hand over,
    # start at once and end with the iteration.
    if not workers:
        for batch, parts in jobs:
            for fill in parts:
                fill()
            yield batch
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convatlas-images")
    waiting: deque[tuple[Batch, list[Future[None]]]] = deque()
    try:
        for batch, parts in jobs:
            waiting.append((batch, [pool.submit(fill) for fill in parts]))
            if len(waiting) > 2 and sum(len(futures) for _, futures in waiting) >= 3 * workers:
                yield _filled(*waiting.popleft())
        while waiting:
            yield _filled(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def worker_count(workers: int | None) -> int:
    """Returns the number of workers: as many as this process may use cores where none is given.

    Raises `UsageError` for a number below 0.
    """
    if workers is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return cores or 1
    if workers < 0:
        raise UsageError(f"{workers} workers are not possible; 0 or more are, 0 for none beside the caller")
    return workers


def _filled(batch: Batch, futures: list[Future[None]]) -> Batch:
    for future in futures:
        future.result()
    return batch
