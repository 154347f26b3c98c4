"""Takes the folders of the machine out of results that are committed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from convatlas.errors import UsageError

ABSOLUTE_PATH = re.compile(r"(?:^|[\s='\"(,:])(?:file://)?(?:/\w|~/|[A-Za-z]:\\)")
FLAGS = re.compile(r"\s--(?:data-dir|out)[ =]\S+")


def without_places(value: Any) -> Any:
    """Returns plain data in which commands have no folders of this machine, and runs only their last two names.

    >>> without_places({"command": "convatlas train a --data-dir /d --epochs 1 --out /o", "run": "/r/a/seed0"})
    {'command': 'convatlas train a --epochs 1', 'run': 'a/seed0'}
    >>> without_places("convatlas train a --data voc:/home/me/cells/BCCD")
    'convatlas train a --data voc:BCCD'
    """
    if isinstance(value, Mapping):
        kept = {key: without_places(item) for key, item in value.items()}
        if isinstance(run := kept.get("run"), str):
            kept["run"] = "/".join(Path(run).parts[-2:])
        return kept
    if isinstance(value, list | tuple):
        return [without_places(item) for item in value]
    if not isinstance(value, str):
        return value
    words = FLAGS.sub("", value)
    return " ".join(_without_place(word) for word in words.split(" "))


def _without_place(word: str) -> str:
    """Returns a word of a command; of a path its last two names, of a source's path the last one."""
    kind, _, path = word.rpartition(":")
    if not path.startswith("/") or (path.startswith("//") and kind != "file"):  # an address is no place
        return word
    return f"{kind}:{Path(path).name}" if kind else "/".join(Path(path).parts[-2:])


def check_no_places(content: Any, *, source: Path) -> None:
    """Raises `UsageError` where a text of the content holds a path of this machine."""
    found = next((text for text in strings(content) if ABSOLUTE_PATH.search(text)), None)
    if found is not None:
        raise UsageError(f"{source} holds a path of this machine: {found!r}")


def strings(value: Any) -> Iterator[str]:
    """Yields every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)
