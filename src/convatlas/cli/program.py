"""The program itself: its name and general flags, its exit codes, and the stream that has its answers."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from convatlas.screen import say
from convatlas.stopping import exit_code

# In the order of work.
VERBS = (
    "list",
    "show",
    "data",
    "train",
    "finetune",
    "semi",
    "hyperrule",
    "transfer",
    "evaluate",
    "predict",
    "compare",
    "report",
    "bench",
    "gradients",
    "explain",
    "landscape",
    "degradation",
    "disagree",
)


class Group(TyperGroup):
    """Commands whose help fills the width of the terminal. Typer would keep the line breaks of the docstring.

    A docstring has paragraphs alone: a list would become one line.
    """

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command by its name, or None; each paragraph of its help is one line."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and command.help:
            paragraphs = inspect.cleandoc(command.help).split("\n\n")
            command.help = "\n\n".join(paragraph.replace("\n", " ") for paragraph in paragraphs)
        return command


class Verbs(Group):
    """The verbs, in the order of work, as `--help` lists them; a new one comes last.

    A verb that is stopped says so. Typer would end it without a word, and with 130.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of the verbs."""
        names = super().list_commands(ctx)
        return sorted(names, key=lambda name: VERBS.index(name) if name in VERBS else len(VERBS))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            say("convatlas: stopped")
            raise typer.Exit(exit_code(stop)) from None


app = typer.Typer(
    cls=Verbs,
    name="convatlas",
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DONE, FAILED, USAGE = 0, 1, 2  # a command that is stopped ends with `stopping.exit_code`


@contextlib.contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Ends a command that is stopped with the line that says how to go on with its folder."""
    try:
        yield
    except KeyboardInterrupt as stop:
        say(f"stopped; the same command with --resume goes on with {folder}")
        raise typer.Exit(exit_code(stop)) from None


_answers: ContextVar[TextIO | None] = ContextVar("answers", default=None)


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


@contextlib.contextmanager
def only_answers() -> Iterator[None]:
    """Keeps standard output for the answer of `--json`: whatever a user's own network prints goes to standard error."""
    token = _answers.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _answers.reset(token)


def answers() -> TextIO:
    """Returns the stream that has the command's answer."""
    return _answers.get() or sys.stdout
