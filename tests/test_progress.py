"""What a person sees while networks train, driven with a fake study and a fake clock."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from convatlas.progress import Bar, Job, Lines, Overview, Silent, choose
from convatlas.progress.job import JobState
from convatlas.progress.wording import duration, epoch_facts
from convatlas.scores import AP

STEPS = 20  # of an epoch


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A file that says it is a terminal, with the encoding of one."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def terminal(width: int = 80, height: int = 24, encoding: str = "utf-8") -> Console:
    return Console(file=Terminal(encoding), force_terminal=True, width=width, height=height)


def pipe() -> Console:
    return Console(file=io.StringIO())


def row(epoch: int, top1: float = 0.95, **values: float) -> dict[str, float]:
    usual = {"train_loss": 1.234, "train_top1": 0.713, "val_loss": 0.456, "lr": 0.01, "seconds": 1.2}
    return {"epoch": epoch, "val_top1": top1, **usual, "images_per_second": 900.4, **values}


def results(top1: float = 0.9833) -> dict[str, float]:
    return {"val_top1": top1, "test_top1": top1 - 0.0055, "train_seconds": 4.2}


Display = Lines | Bar | Overview


def train(
    progress: Display, job: Job, clock: Clock, *, epochs: int, first_epoch: int = 0, step_seconds: float = 0.1
) -> None:
    """Starts `job` and trains until `epochs` of its epochs are done."""
    progress.started(job, steps=STEPS * job.epochs, first_epoch=first_epoch, first_step=STEPS * first_epoch)
    for epoch in range(first_epoch, epochs):
        for step in range(STEPS):
            clock.now += step_seconds
            progress.stepped(job, step=epoch * STEPS + step + 1)
        progress.epoch_ended(job, row(epoch + 1, 0.9 + epoch / 1000))


def shown(progress: Bar | Overview) -> list[str]:
    return progress.render().plain.splitlines()


def study(networks: int, seeds: int, epochs: int = 5) -> list[Job]:
    return [Job(f"network_{n}", seed, epochs) for n in range(networks) for seed in range(seeds)]


def test_choose_takes_the_display_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    one, many = study(1, 1), study(2, 3)
    assert type(choose(terminal(), many, quiet=True)) is Silent
    assert type(choose(pipe(), many, quiet=False)) is Lines
    assert type(choose(terminal(), one, quiet=False)) is Bar
    assert type(choose(terminal(), many, quiet=False)) is Overview
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert type(choose(pipe(), many, quiet=False)) is Lines
    monkeypatch.setenv("TERM", "dumb")
    assert type(choose(terminal(), many, quiet=False)) is Lines


def test_silent_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    job = Job("lenet", 0, 5)
    with choose(terminal(), [job], quiet=True) as progress:
        progress.started(job, steps=100, first_epoch=0, first_step=0)
        progress.stepped(job, step=1)
        progress.epoch_ended(job, row(1))
        progress.finished(job, results())
        progress.loaded(job, results())
        progress.failed(job, "RuntimeError")
    assert capsys.readouterr() == ("", "")


def test_lines() -> None:
    clock, console, jobs = Clock(), pipe(), [Job("resnet_uva", 0, 5), Job("resnet_uva@uva_adam", 10, 5)]
    with Lines(console, jobs, clock=clock) as progress:
        train(progress, jobs[0], clock, epochs=3)
        progress.finished(jobs[0], results())
        progress.loaded(jobs[1], results())
        progress.failed(jobs[1], "\nRuntimeError: out of memory\nsecond line")
    lines = console.file.getvalue().splitlines()
    assert lines[0] == (
        "resnet_uva          seed 0   epoch 1/5  train  1.234 /  71.3 %  val  0.456 /  90.0 %"
        "  lr  0.0100     1.2 s     900 images/s  left    0:08"
    )
    assert lines[2].endswith("left    0:04")
    assert lines[3] == "resnet_uva          seed 0   finished  val 98.33 %, test 97.78 %, 4.2 s"
    assert lines[4] == "resnet_uva@uva_adam seed 10  loaded    val 98.33 %, test 97.78 %, 4.2 s; nothing was trained"
    assert lines[5] == "resnet_uva@uva_adam seed 10  failed    RuntimeError: out of memory"
    assert len(lines) == 6


def test_lines_are_flushed_one_by_one() -> None:
    class Recorder(io.StringIO):
        flushed = ""

        def flush(self) -> None:
            Recorder.flushed = self.getvalue()

    progress = Lines(Console(file=Recorder()))
    progress.loaded(Job("lenet", 0, 5), results())
    assert Recorder.flushed == "lenet seed 0  loaded    val 98.33 %, test 97.78 %, 4.2 s; nothing was trained\n"


@pytest.mark.parametrize("loss", [0.0, 0.00001, 0.5, 99.9, 1234.5, 1e12, float("nan"), float("inf")])
@pytest.mark.parametrize("lr", [0.0, 3e-7, 0.0005, 0.1])
def test_columns_keep_their_width(loss: float, lr: float) -> None:
    job = Job("lenet", 0, 200)
    usual = [len(fact) for fact in epoch_facts(job, row(100), 3)]
    assert [len(fact) for fact in epoch_facts(job, row(1, 1.0, train_loss=loss, val_loss=loss, lr=lr), 3)] == usual


def test_the_measures_of_a_detector_are_named_and_in_percent() -> None:
    job = Job("tiny", 0, 24, AP)
    measured = {"train_loss": 0.57, "val_ap": 0.4392, "val_ap50": 0.8444}
    facts = epoch_facts(job, {"epoch": 22, **measured, "lr": 1e-3, "seconds": 1.0, "images_per_second": 3.0}, 2)
    assert facts[2] == "val AP50  84.4 % / AP  43.9 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (33.4, "0:33"), (725, "12:05"), (3599.6, "1:00:00"), (11265, "3:07:45"), (-1, "0:00"), (None, "?")],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_first_step_does_not_count_for_the_time_left() -> None:
    """It compiles and fills caches."""
    clock, job = Clock(), Job("lenet", 0, 5)
    progress = Bar(terminal(), clock=clock)
    progress.started(job, steps=100, first_epoch=0, first_step=0)
    clock.now += 60
    progress.stepped(job, step=1)
    assert "left ?" in shown(progress)[1]
    for step in range(2, 12):
        clock.now += 0.5
        progress.stepped(job, step=step)
    assert shown(progress)[1] == "epoch 1/5  elapsed 1:05  left 0:44"  # 89 steps of half a second


def test_time_left_of_a_resumed_run_counts_this_session_only() -> None:
    clock, job = Clock(), Job("lenet", 0, 10)
    progress = Bar(terminal(), clock=clock)
    train(progress, job, clock, epochs=8, first_epoch=7, step_seconds=1.0)
    bar, facts = shown(progress)
    assert bar.endswith(" 80 %")
    # 19 of its 20 steps are measured; 40 are left
    assert facts == "epoch 9/10  elapsed 0:20  left 0:40  val 90.7 %  best since epoch 8 90.7 %"


def test_bar_ends_in_the_result() -> None:
    clock, console, job = Clock(), terminal(), Job("resnet_uva", 3, 5)
    with Bar(console, clock=clock) as progress:
        train(progress, job, clock, epochs=5)
        progress.finished(job, results())
        assert shown(progress) == ["resnet_uva seed 3  val 98.33 %, test 97.78 %, 4.2 s"]
    printed = console.file.getvalue()
    assert printed.count(" lr ") == 5
    assert printed.rstrip().endswith("\x1b[?25h")


def test_bar_of_a_long_run_prints_new_bests_only() -> None:
    clock, console, job = Clock(), terminal(), Job("lenet", 0, 21)
    progress = Bar(console, clock=clock)
    progress.started(job, steps=21 * STEPS, first_epoch=0, first_step=0)
    for epoch, top1 in enumerate([0.5, 0.4, float("nan"), 0.6, 0.6], start=1):
        progress.epoch_ended(job, row(epoch, top1))
    assert [line.split("  train")[0] for line in console.file.getvalue().splitlines()] == ["epoch  1/21", "epoch  4/21"]
    assert shown(progress)[1].endswith("val 60.0 %  best 60.0 %")


def test_overview_cells() -> None:
    clock, jobs = Clock(), study(3, 2)
    progress = Overview(terminal(120), jobs, clock=clock)
    progress.loaded(jobs[0], results(0.9861))
    train(progress, jobs[1], clock, epochs=5)
    progress.finished(jobs[1], results(1.0))
    progress.started(jobs[2], steps=100, first_epoch=0, first_step=0)
    progress.failed(jobs[2], "RuntimeError: [/red] no memory\nat line 3")
    train(progress, jobs[3], clock, epochs=2)
    lines = shown(progress)
    assert lines[:4] == [
        "validation %  seed 0                   seed 1",
        "network_0     98.61 ✓ loaded           100.00",
        "network_1     failed                   epoch 3/5  90.1  ━━────",
        "network_2     waiting                  waiting",
    ]
    assert lines[5] == "failed: network_1 seed 0: RuntimeError: [/red] no memory"
    # network_1 goes at 2 s an epoch, and network_2 as fast as the others: 6 s + 2 x 10 s
    assert lines[6] == "run 4 of 6  1 failed  elapsed 0:14  left about 0:26"
    assert lines[7].endswith(" 56 %")  # 3.4 of 6


def test_overview_time_left_by_label() -> None:
    clock, jobs = (
        Clock(),
        [Job("slow", 0, 10), Job("slow", 1, 10), Job("fast", 0, 5), Job("fast", 1, 5), Job("new", 0, 1)],
    )
    progress = Overview(terminal(), jobs, clock=clock)
    assert progress.left() is None
    assert "left ?" in shown(progress)[-2]
    train(progress, jobs[0], clock, epochs=10, step_seconds=1.0)
    clock.now += 10  # the test set
    progress.finished(jobs[0], results())
    assert progress.left() == pytest.approx(210 + 2 * 5 * 21 + 21)  # all others as slow, 21 s an epoch
    train(progress, jobs[2], clock, epochs=2, step_seconds=0.1)
    assert progress.left() == pytest.approx(210 + (3 + 5) * 2 + (21 + 2) / 2)
    progress.failed(jobs[1], "stopped")
    progress.loaded(jobs[3], results())
    progress.loaded(jobs[4], results())
    assert progress.left() == pytest.approx(6)
    progress.finished(jobs[2], results())
    assert progress.left() == 0


def test_overview_time_left_of_runs_side_by_side() -> None:
    clock, jobs = Clock(), study(1, 4, epochs=2)
    progress = Overview(terminal(), jobs, clock=clock)
    for job in jobs[:2]:
        progress.started(job, steps=2 * STEPS, first_epoch=0, first_step=0)
    for step in range(1, STEPS + 1):
        clock.now += 1
        for job in jobs[:2]:
            progress.stepped(job, step=step)
    assert progress.left() == pytest.approx((2 * 20 + 2 * 40) / 2)


@pytest.mark.parametrize("height", [10, 24, 40])
@pytest.mark.parametrize("focus", [0, 17, 39])
def test_overview_of_many_labels_fits_and_shows_the_running_one(height: int, focus: int) -> None:
    clock, jobs = Clock(), study(40, 3)
    progress = Overview(terminal(80, height), jobs, clock=clock)
    train(progress, jobs[3 * focus], clock, epochs=1)
    for job in jobs[3 * focus + 1 : 3 * focus + 3]:
        progress.failed(job, "RuntimeError")
    lines = shown(progress)
    assert len(lines) < height
    assert sum(line.startswith(f"network_{focus} ") and "2/5" in line for line in lines) == 1
    rows = sum(line.startswith("network_") for line in lines)
    assert f"… {40 - rows} more (" in "\n".join(lines)


def test_overview_is_complete_when_the_study_is_over() -> None:
    clock, jobs = Clock(), study(40, 1)
    progress = Overview(terminal(), jobs, clock=clock)
    with progress:
        for job in jobs:
            progress.loaded(job, results())
    lines = shown(progress)
    assert sum(line.startswith("network_") for line in lines) == 40
    assert lines[-2] == "all 40 runs  elapsed 0:00"


def test_overview_folds_many_seeds() -> None:
    clock, jobs = Clock(), study(2, 10)
    progress = Overview(terminal(), jobs, clock=clock)
    for job in jobs[:3]:
        train(progress, job, clock, epochs=5)
        progress.finished(job, results(0.98))
    progress.started(jobs[3], steps=100, first_epoch=0, first_step=0)
    assert shown(progress)[:3] == [
        "validation %  mean    runs",
        "network_0     98.00   3 done, 1 running, 6 waiting",
        "network_1             10 waiting",
    ]


def everything(console: Console, clock: Clock) -> list[str]:
    """What all displays show at many moments of a study with long names, failures and odd characters."""
    labels = ["resnet_uva", "a_very_long_name_of_a_network[growth_rate=12]@a_recipe", "réseau_卷积网络", "d"]
    jobs = [Job(label, seed, 200) for label in labels for seed in range(3)]
    lines: list[str] = []
    overview = Overview(console, jobs, clock=clock)
    for index, job in enumerate(jobs):
        bar = Bar(console, clock=clock)
        for progress in (overview, bar):
            progress.started(job, steps=STEPS * 200, first_epoch=0, first_step=0)
            train(progress, job, clock, epochs=3)
            lines += shown(progress)
            if index % 3 == 1:
                progress.failed(job, "RuntimeError: " + "naïve 失敗 " * 30)
            else:
                (progress.loaded if index % 3 else progress.finished)(job, results())
            lines += shown(progress)
    return lines + console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_nothing_is_wider_than_the_console(width: int) -> None:
    for line in everything(terminal(width), Clock()):
        assert cell_len(Text.from_ansi(line).plain) <= width


def test_ascii_consoles_get_ascii() -> None:
    console = terminal(encoding="ascii")
    lines = everything(console, Clock())
    assert "".join(lines).isascii()
    assert any("#" in line for line in lines)
    log = Lines(Console(file=Terminal("ascii")))
    log.loaded(Job("réseau", 0, 5), results())
    assert log._console.file.getvalue().startswith("r?seau seed 0")


@pytest.mark.parametrize("display", [Lines, Bar, lambda console: Overview(console, study(40, 3, epochs=100))])
def test_stepped_is_cheap(display: Callable[[Console], Display]) -> None:
    progress, job = display(terminal()), Job("network_0", 0, 100)
    progress.started(job, steps=2000, first_epoch=0, first_step=0)
    begun = time.perf_counter()
    for step in range(2000):
        progress.stepped(job, step=step)
    assert (time.perf_counter() - begun) / 2000 < 50e-6


@pytest.mark.parametrize("jobs", [study(1, 1), study(2, 2)])
def test_ctrl_c_restores_the_terminal(jobs: list[Job]) -> None:
    console, clock = terminal(), Clock()
    progress = choose(console, jobs)
    assert isinstance(progress, (Bar, Overview))
    with pytest.raises(KeyboardInterrupt), progress:  # noqa: PT012
        train(progress, jobs[0], clock, epochs=2)
        raise KeyboardInterrupt
    printed = console.file.getvalue()
    assert printed.rindex("\x1b[?25h") > printed.rindex("\x1b[?25l")
    assert "stopped" in progress.render().plain
    assert not console._live_stack


def test_prints_and_logs_go_above_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    console, job = terminal(), Job("lenet", 0, 5)
    screen = console.file
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    handler = logging.StreamHandler(screen)
    logger = logging.getLogger("test_progress")
    logger.addHandler(handler)
    try:
        with Bar(console) as progress:
            progress.started(job, steps=100, first_epoch=0, first_step=0)
            assert handler.stream is not screen
            logger.warning("a warning")
            print("a print")
        assert handler.stream is screen
    finally:
        logger.removeHandler(handler)
    assert sys.stdout is screen
    for message in ("a warning", "a print"):
        before, after = screen.getvalue().split(f"{message}\n", 1)
        assert before.endswith("\x1b[2K")  # the display was wiped,
        assert "lenet seed 0" in after  # and drawn again beneath


def test_redirected_streams_stay_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    redirected = io.StringIO()
    monkeypatch.setattr(sys, "stdout", redirected)
    with Overview(terminal(), study(2, 2)):
        print("{}")
    assert redirected.getvalue() == "{}\n"


def test_a_second_start_of_a_run_begins_anew() -> None:
    state = JobState(Job("lenet", 0, 4))
    state.start(40, 0, 0, 0.0)
    for step in (1, 2):
        state.advance(step, float(step))
    state.end("failed", {}, 3.0)
    state.start(40, 2, 20, 100.0)
    assert (state.fraction, state.epoch, state.epoch_seconds()) == (0.5, 3, None)


def test_a_resumed_run_whose_last_epoch_is_cut_short_counts_its_steps() -> None:
    """Ten steps in epochs of four: after two epochs 8 are done, and the last epoch is half as long as the others."""
    clock, job = Clock(), Job("lenet", 0, 3)
    progress = Bar(terminal(), clock=clock)
    progress.started(job, steps=10, first_epoch=2, first_step=8)
    assert shown(progress)[0].endswith(" 80 %")
    state = JobState(job)
    state.start(10, 2, 8, 0.0)
    state.end("done", {}, 6.0)
    assert state.epoch_seconds() == 10.0  # 3 s a step, 10 steps, 3 epochs
