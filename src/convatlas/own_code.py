"""The door to a user's own file: nothing in it ends the program, and its errors become one line."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NoReturn

from convatlas.errors import UsageError, reason_of


class _EndError(BaseException):
    """A call that would have ended the process at once."""


@contextlib.contextmanager
def guarded(path: str, problem: str) -> Iterator[None]:
    """Runs a block in which code of the user's file at `path` works.

    Its prints go to standard error. Whatever it raises, and each call that ends the process, becomes a `UsageError`
    of the problem, the error and the line in the file. `UsageError`, Ctrl-C and SIGTERM pass.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr), _no_end():
            yield
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        kind = "it ends the program" if isinstance(error, _EndError | SystemExit) else type(error).__name__
        line = _line(error, path)
        said = f"{kind}: {reason_of(error)}{f' (line {line})' if line else ''}"
        raise UsageError(f"{problem}: {said}") from error


@contextlib.contextmanager
def _no_end() -> Iterator[None]:
    """Replaces the calls that end the process at once; children that the code forks may end themselves."""
    process, calls = os.getpid(), {name: getattr(os, name) for name in ("_exit", "abort")}

    def replaced(name: str) -> object:
        def end(*arguments: object) -> NoReturn:
            if os.getpid() != process:
                calls[name](*arguments)
            raise _EndError(f"os.{name}({', '.join(map(repr, arguments))})")

        return end

    for name in calls:
        setattr(os, name, replaced(name))
    try:
        yield
    finally:
        for name, call in calls.items():
            setattr(os, name, call)


def _line(error: BaseException, path: str) -> int | None:
    """Returns the last line of the file at `path` that led to an error, or None if none did."""
    if isinstance(error, SyntaxError) and error.filename and _same(error.filename, path):
        return error.lineno
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if _same(frame.f_code.co_filename, path)]
    return lines[-1] if lines else None


def _same(name: str, path: str) -> bool:
    return os.path.realpath(name) == os.path.realpath(os.path.expanduser(path))
