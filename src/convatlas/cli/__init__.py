"""The command line: parse, call, print. A verb imports its own modules when it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from convatlas.errors import UsageError

VERBS = ("list", "show", "data", "train", "evaluate", "predict", "compare", "report", "bench")  # in the order of work


class InOrder(TyperGroup):
    """The verbs in the order of work, as `--help` lists them; a new one comes last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of the verbs."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: VERBS.index(name) if name in VERBS else len(VERBS))


app = typer.Typer(
    name="convatlas",
    cls=InOrder,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"convatlas {version('convatlas')}")
        raise typer.Exit


@app.callback()
def convatlas(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere in the line.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Train, compare and understand convolutional networks under one protocol.

    Start with: convatlas list; convatlas train resnet_uva --data digits
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code: 0 done, 1 the work failed, 2 usage, 130 interrupted."""
    from convatlas.cli import answers, bench, data, listing, runs, show, studies  # noqa: F401  (they add their verbs)
    from convatlas.files import is_full_disk

    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        code = app(words, standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except TyperException as error:
        return _complain(error.format_message(), USAGE, debug=debug)
    except UsageError as error:
        return _complain(str(error), USAGE, debug=debug)
    except BrokenPipeError:  # the reader of our output is closed, as in `convatlas list | head`
        sys.stderr.close()
        return DONE
    except OSError as error:
        if not is_full_disk(error):
            return _complain(str(error), FAILED, debug=debug, hint=" (--debug shows the traceback)")
        return _complain(f"the disk is full ({error}); make room and go on with --resume", USAGE, debug=debug)
    except Exception as error:
        message = str(error) or type(error).__name__
        return _complain(message, FAILED, debug=debug, hint=" (--debug shows the traceback)")


def _complain(message: str, code: int, *, debug: bool, hint: str = "") -> int:
    """Says what is wrong in one line, or with the traceback, and returns the exit code."""
    if debug:
        import traceback

        traceback.print_exc()
    print(f"convatlas: {' '.join(message.split())}{hint}", file=sys.stderr)
    return code


def entry() -> None:
    """Runs the `convatlas` command and ends the process with its exit code."""
    sys.exit(main())
