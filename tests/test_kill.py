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
from convatlas.progress import Progress, Silent
from convatlas.progress.job import Job
from convatlas.run import Run, read_run
from convatlas.training import Sources, train_plan, training_rounds
from convatlas.training.semi_supervised import OBJECTIVES
from few_labels import few
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


class KilledAt(Silent):
    """Kills its own process -9 at an optimizer step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, job: Job, *, step: int) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(step: int, train: Callable[[Progress], object]) -> None:
    """Trains in a process of its own, which dies at an optimizer step."""
    process = FORK.Process(target=train, args=(KilledAt(step),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_at_random_moments_then_resumed(tmp_path: Path) -> None:
    """Killed in the second epoch, then again and again, anywhere from the start to the evaluation and the figures."""
    plan = tiny_plan(epochs=3)
    whole = train_plan(plan, folder=tmp_path / "whole")
    folder = tmp_path / "parts"
    killed_at(6, lambda progress: train_plan(plan, folder=folder, progress=progress))
    assert len(read_run(folder).metrics()) == 1, "it does not begin anew"
    moments = random.Random(0)
    for _ in range(40):
        killed_after(moments.uniform(0.05, 0.6), lambda: train_plan(plan, folder=folder, resume=True))
        if read_run(folder).finished:
            break
    resumed = train_plan(plan, folder=folder, resume=True)
    assert_same(resumed, whole)
    assert not list(folder.rglob(f"{TEMPORARY}*"))
    assert (folder / "curves.png").is_file()


def train_method(method: str, folder: Path, progress: Progress | None = None) -> Run:
    """Trains with few labels in `folder`, or goes on with what lies there; of Noisy Student the first student."""
    if method != "noisy_student":
        changes = {"student_wait": 0.2, "finetune_part": 0.2} if method == "meta_pseudo_labels" else {}
        return train_plan(few(method, **changes), folder=folder, resume=True, progress=progress)
    rounds = training_rounds(few(method, threshold=0.11), folder, sources=Sources(rounds=1), device="cpu")
    teacher, teacher_folder = next(rounds)
    train_plan(teacher, folder=teacher_folder, resume=True)
    student, student_folder = next(rounds)
    return train_plan(student, folder=student_folder, resume=True, progress=progress)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
@pytest.mark.parametrize("method", OBJECTIVES)
def test_every_method_for_few_labels_is_killed_and_goes_on(method: str, tmp_path: Path) -> None:
    whole = train_method(method, tmp_path / "whole")
    for step in (3, 4, 6):  # within an epoch, at the end of one, at the end of all
        killed_at(step, lambda progress: train_method(method, tmp_path / "parts", progress))
    assert_same(train_method(method, tmp_path / "parts"), whole)


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
