"""A stop from outside: Ctrl-C, or SIGTERM, which ends the work in the same way."""

from __future__ import annotations

import signal
from types import FrameType


class TerminationError(KeyboardInterrupt):
    """A SIGTERM. Whoever handles Ctrl-C handles it too; files are written to their end or not at all."""


def watch() -> None:
    """Makes SIGTERM raise `TerminationError`, unless the process ignores the signal."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)


def exit_code(stop: KeyboardInterrupt) -> int:
    """Returns the exit code of a command that was stopped: 143 by SIGTERM, 130 by Ctrl-C.

    >>> exit_code(TerminationError()), exit_code(KeyboardInterrupt())
    (143, 130)
    """
    return 143 if isinstance(stop, TerminationError) else 130


def stop_of(error: BaseException | None) -> KeyboardInterrupt | None:
    """Returns the Ctrl-C or the SIGTERM from which an error came, or None; libraries turn a stop into other errors.

    >>> try:
    ...     raise ImportError("half of a library") from TerminationError()
    ... except ImportError as error:
    ...     stop_of(error)
    TerminationError()
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise TerminationError
