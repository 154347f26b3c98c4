"""Real processes that are killed: what they leave can be resumed, bit for bit, and a folder has one writer."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from convatlas.errors import UsageError
from convatlas.files import TEMPORARY, held, write_bytes
from convatlas.run import is_run, read_run
from convatlas.training import train_plan
from test_training import StopAt, assert_same, tiny_plan

FORK = multiprocessing.get_context("fork")  # a fresh interpreter would take four seconds to import everything


def killed_after(seconds: float, work: Callable[[], object]) -> bool:
    """Runs `work` in a process of its own and kills it -9; whether it was killed before it had ended."""
    process = FORK.Process(target=work)
    process.start()
    process.join(seconds)
    alive = process.is_alive()
    if alive and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return alive


@pytest.mark.slow
def test_killed_at_random_moments_then_resumed(tmp_path: Path) -> None:
    """Killed again and again, anywhere in start, training, validation, checkpoints, evaluation and figures."""
    plan = tiny_plan(epochs=3)
    whole = train_plan(plan, folder=tmp_path / "whole")
    folder = tmp_path / "parts"
    moments = random.Random(0)
    kills = 0
    for _ in range(40):
        kills += killed_after(moments.uniform(0.05, 0.6), lambda: train_plan(plan, folder=folder, resume=True))
        if is_run(folder) and read_run(folder).finished:
            break
    resumed = train_plan(plan, folder=folder, resume=True)
    assert kills
    assert_same(resumed, whole)
    assert not list(folder.rglob(f"{TEMPORARY}*"))
    assert (folder / "curves.png").is_file()


@pytest.mark.parametrize("content", [b"old", None])
def test_a_file_is_whole_or_as_before_at_every_kill(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    new = b"x" * 20_000_000

    def write() -> None:
        while True:
            write_bytes(path, new)

    killed_after(random.Random(1).uniform(0.02, 0.1), write)
    assert (path.read_bytes() if path.exists() else None) in (content, new)


def hold(folder: Path) -> None:
    with held(folder):
        (folder / "ready").touch()
        time.sleep(60)


@pytest.mark.slow
def test_the_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = FORK.Process(target=hold, args=(folder,))
    process.start()
    while not (folder / "ready").exists():
        time.sleep(0.01)
    (folder / "ready").unlink()
    with pytest.raises(UsageError, match=f"held by process {process.pid} on .* since"):
        train_plan(tiny_plan(), folder=folder)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert train_plan(tiny_plan(epochs=1), folder=folder).finished  # the dead hold nothing


@pytest.mark.slow
def test_resumed_in_another_place_it_still_knows_the_best(tmp_path: Path) -> None:
    """The best epoch is an early one: were it forgotten with the old folder, a later one would be chosen."""
    plan = tiny_plan(schedule="constant", lr=0.5, epochs=6)
    whole = train_plan(plan, folder=tmp_path / "whole")
    best = int(whole.results["best_epoch"])
    assert best < 6
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "first", progress=StopAt(4 * best + 1))
    (tmp_path / "first").rename(tmp_path / "second")
    assert_same(train_plan(plan, folder=tmp_path / "second", resume=True), whole)


@pytest.mark.slow
def test_a_full_disk_leaves_the_run_resumable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full when the second epoch's checkpoint is written; later there is room again."""
    import errno

    from convatlas.training.engine import callbacks

    whole = train_plan(tiny_plan(), folder=tmp_path / "whole")
    count = 0

    def full(path: Path, content: bytes) -> None:
        nonlocal count
        count += path.name == "last.ckpt"
        if count == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_bytes(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            train_plan(tiny_plan(), folder=tmp_path / "run")
    assert read_run(tmp_path / "run").status == "unfinished"
    assert_same(train_plan(tiny_plan(), folder=tmp_path / "run", resume=True), whole)
