"""The end of the scripts that write a page from results: the page and its figures are written, or only checked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from convatlas.files import write_text


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
