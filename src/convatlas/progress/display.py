"""The part that live displays share: they start, draw, restore the terminal, and keep their lines inside it."""

from __future__ import annotations

import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.text import Text

from convatlas.progress.job import Job, JobState
from convatlas.progress.wording import duration, encodable

MARGIN = 3  # columns left free at the right: a terminal echoes ^C at the cursor, and a wrapped line breaks the display


class Display(ABC):
    """A live display that restores the terminal however it ends; `render` draws it, four times a second."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._runs: dict[Job, JobState] = {}
        self._streams: list[tuple[logging.StreamHandler[Any], Any]] = []
        self._begun_at = clock()
        self._ended_at: float | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._begun_at, self._ended_at = self._clock(), None
        # Only what goes to a terminal passes through the display: a redirected stdout or stderr stays where it is.
        self._live = Live(
            console=self._console,
            get_renderable=self.render,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )
        streams = (sys.stdout, sys.stderr)
        self._live.start(refresh=True)
        # Log handlers hold the stream they were made with and would write into the middle of the display.
        for handler in _stream_handlers():
            for before, after in zip(streams, (sys.stdout, sys.stderr), strict=True):
                if handler.stream is before and before is not after:
                    self._streams.append((handler, before))
                    handler.setStream(after)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended_at = self._clock()
        try:
            for handler, stream in self._streams:
                handler.setStream(stream)
            self._streams.clear()
            if self._live is not None:
                self._live.stop()
        finally:
            self._console.show_cursor(True)

    @abstractmethod
    def render(self) -> Text:
        """Returns the text that the screen shows now."""

    def started(self, job: Job, *, steps: int, first_epoch: int, first_step: int) -> None:
        self._runs.setdefault(job, JobState(job)).start(steps, first_epoch, first_step, self._clock())

    def stepped(self, job: Job, *, step: int) -> None:
        self._runs[job].advance(step, self._clock())

    @property
    def _is_over(self) -> bool:
        return self._ended_at is not None

    @property
    def _width(self) -> int:
        return max(1, self._console.width - MARGIN)

    @property
    def _dots(self) -> str:
        return "..." if self._console.options.ascii_only else "…"

    def _elapsed(self) -> str:
        return duration((self._clock() if self._ended_at is None else self._ended_at) - self._begun_at)

    def _fit(self, text: str, width: int) -> str:
        """Shortens `text` to one line without its middle: names differ at both ends."""
        text = encodable(self._console, text)
        tail = (width - len(self._dots)) // 2
        if cell_len(text) <= width or tail < 1:
            return set_cell_size(text, min(width, cell_len(text)))
        end = text[-tail:]
        return set_cell_size(text, width - len(self._dots) - cell_len(end)) + self._dots + end

    def _cut(self, text: str, width: int) -> str:
        """Shortens `text` to one line without its end."""
        text = encodable(self._console, text)
        if cell_len(text) <= width:
            return text
        return set_cell_size(text, max(0, width - len(self._dots))) + self._dots

    def _bar(self, fraction: float, width: int) -> Text:
        """Draws a bar of heavy and light lines, so that it reads without colours."""
        full, empty = ("#", "-") if self._console.options.ascii_only else ("━", "─")
        done = int(fraction * width)
        return Text.assemble((full * done, "green" if fraction >= 1 else "cyan"), (empty * (width - done), "dim"))

    def _lines(self, lines: Iterable[Text]) -> Text:
        lines = list(lines)
        for line in lines:
            line.truncate(self._width, overflow="crop")
        return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    return [handler for handler in handlers if isinstance(handler, logging.StreamHandler)]
