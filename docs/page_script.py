"""What the scripts that write a page from results share: words, the way, and the end, which writes or only checks."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from convatlas.errors import UsageError
from convatlas.files import write_text


def parsed(doc: str | None, arguments: Sequence[str] | None, *, source: str) -> argparse.Namespace:
    """Returns the words --check and --from, which do not go together; `source` says what --from takes over."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where the page is stale")
    parser.add_argument("--from", dest="source", type=Path, metavar="FOLDER", help=source)
    wanted = parser.parse_args(arguments)
    if wanted.check and wanted.source:
        parser.error("--check changes nothing: leave --from out")
    return wanted


def run(
    doc: str | None,
    arguments: Sequence[str] | None,
    target: Path,
    *,
    script: str,
    source: str,
    take_over: Callable[[Path], None],
    made: Callable[[], tuple[str, Callable[[], None]]],
) -> int:
    """Takes over what --from names, and writes the page; returns the exit code, 2 for results that cannot be used.

    `made` returns the page's text and what draws its figures.
    """
    wanted = parsed(doc, arguments, source=source)
    try:
        if wanted.source:
            take_over(wanted.source)
        text, draw = made()
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    return finish(text, target, script=script, check=wanted.check, draw=draw)


def finish(text: str, target: Path, *, script: str, check: bool, draw: Callable[[], None]) -> int:
    """Writes a page and draws its figures; with `check` it only returns 1 where the page is stale, else 0."""
    if check:
        stale = not target.is_file() or target.read_text(encoding="utf-8") != text
        if stale:
            print(f"docs/{target.name} is stale; run python docs/{script}", file=sys.stderr)
        return int(stale)
    draw()
    write_text(target, text)
    return 0


def plain_command(command: str) -> str:
    """Returns a command without the options that say how it was run here."""
    return command.replace(" --quiet", "").replace(" --resume", "")


def wrapped(text: str) -> str:
    """Returns a paragraph in lines."""
    return textwrap.fill(text, 118, break_on_hyphens=False)


def item_of(text: str) -> str:
    """Returns an item of a list in lines."""
    return textwrap.fill(text, 118, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
