"""The door to the terminal: tables, notes and errors pass here.

A name from a file or an error may hold characters that steer a terminal. They are shown escaped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from convatlas.errors import escaped


class Screen(Console):
    """A console that shows the characters of texts escaped where they would steer the terminal."""

    def render(self, *arguments: Any, **keywords: Any) -> Iterable[Segment]:
        """Yields the parts of a line; the parts that rich itself makes to steer the terminal stay."""
        for part in super().render(*arguments, **keywords):
            yield part if part.control else Segment(escaped(part.text), part.style)

    def on_broken_pipe(self) -> None:
        """Raises `BrokenPipeError` where the reader of the output is gone, as in `convatlas ... | head -1`.

        What is still to be written goes nowhere. rich itself would end the program with the exit code 1.
        """
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        raise BrokenPipeError


def say(line: str) -> None:
    """Prints a line on standard error."""
    print(escaped(line), file=sys.stderr, flush=True)
