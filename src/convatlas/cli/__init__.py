"""The command line: parse, call, print. A verb imports its own modules when it runs.

This module imports next to nothing, so that a stop finds the handlers that answer it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from convatlas.errors import UsageError
from convatlas.stopping import exit_code, stop_of, watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code.

    0 done, 1 the work failed, 2 usage, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        return _run(words)
    except BaseException as error:  # a network of the user's own may raise anything
        if _reader_is_gone(error):
            sys.stderr.close()
            return 0
        return _ended(error, debug=debug)


def _run(words: Sequence[str]) -> int:
    """Runs the verb and returns its exit code."""
    from contextlib import nullcontext

    from convatlas.cli import (  # noqa: F401  (they add their verbs)
        answers,
        bench,
        data,
        data_check,
        data_convert,
        degradation,
        disagree,
        explaining,
        finetuning,
        gradients,
        hyperrule,
        landscape,
        listing,
        predicting,
        runs,
        semi_supervised,
        show,
        studies,
        transferring,
    )
    from convatlas.cli.program import DONE, app, only_answers

    only_json = "--json" in words and not {"-h", "--help"} & set(words)
    with only_answers() if only_json else nullcontext():
        code = app(words, standalone_mode=False)
    return code if isinstance(code, int) else DONE


def _reader_is_gone(error: BaseException) -> bool:
    """Returns whether nobody reads the output any more, as in `convatlas list | head`; rich ends help by an exit."""
    return isinstance(error.__context__ if isinstance(error, SystemExit) else error, BrokenPipeError)


def _ended(error: BaseException, *, debug: bool) -> int:
    """Says in one line why a command ended early, and returns the exit code."""
    if (stop := stop_of(error)) is not None:
        _complain("stopped", debug=debug)
        return exit_code(stop)
    if isinstance(error, UsageError):
        _complain(str(error), debug=debug)
        return 2
    from typer.exceptions import TyperException

    from convatlas.errors import reason_of
    from convatlas.files import is_full_disk

    if isinstance(error, TyperException):
        _complain(error.format_message(), debug=debug)
        return 2
    if is_full_disk(error):
        _complain(f"the disk is full ({error}); make room and go on with --resume", debug=debug)
        return 2
    _complain(f"{reason_of(error)} (--debug shows the traceback)", debug=debug)
    return 1


def _complain(message: str, *, debug: bool) -> None:
    """Says what is wrong in one line, after the traceback where it is wanted."""
    from convatlas.screen import say

    if debug:
        import traceback

        say(traceback.format_exc())
    say(f"convatlas: {' '.join(message.split())}")


def entry() -> None:
    """Runs the `convatlas` command and ends the process with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for names that are not in the locale's encoding
    try:
        watch()
        code = main()
    except KeyboardInterrupt as stop:  # a second one, while the first was answered
        code = exit_code(stop)
    sys.exit(code)
