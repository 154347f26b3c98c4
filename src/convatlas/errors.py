"""Errors in one line: the value, the permitted values, the next step."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SYNONYMS = {  # words that people use for ours
    "gpu": "cuda",
    "nvidia": "cuda",
    "bfloat16": "bf16",
    "fp32": "float32",
    "float": "float32",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "training": "train",
    "testing": "test",
}


class UsageError(ValueError):
    """The user's value cannot be used; the command line answers with the message and exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(escaped(message))


def unknown(kind: str, name: str, permitted: Iterable[str], *, hint: str = "") -> UsageError:
    """Returns a `UsageError` for a name that does not exist, with the nearest permitted names.

    >>> str(unknown("recipe", "quik", ["quick", "uva_sgd"]))
    "unknown recipe 'quik'; did you mean quick? (all: quick, uva_sgd)"
    >>> str(unknown("device", "gpu", ["auto", "cpu", "cuda"]))
    "unknown device 'gpu'; did you mean cuda? (all: auto, cpu, cuda)"
    """
    names = sorted(permitted)
    meant = SYNONYMS.get(name.lower())
    near = [meant] if meant in names else difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    everything = ", ".join(names) if names else "none"
    shown = f" (all: {everything})" if len(names) <= 12 else ""
    return UsageError(f"unknown {kind} {name!r}{guess}{shown}{hint}")


def reason_of(error: BaseException) -> str:
    """Returns the text of an exception, as one short line; its name where it has no text or cannot say one."""
    try:
        text = escaped(" ".join(str(error).split()))
    except Exception:  # a class of the user's own may fail at that too
        text = ""
    text = text or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def escaped(text: str) -> str:
    r"""Returns a text in which characters that steer a terminal are escaped; lines and tabs stay.

    >>> escaped("caf\u00e9 \x1b[2J")
    'café \\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text)


def printable(text: str, *, most: int = 100) -> str:
    r"""Returns the first characters of a text from a file as a message may show them: no character moves the cursor.

    >>> printable("fc.weight"), printable("\x1b[2J")
    ('fc.weight', '\\x1b[2J')
    """
    return text[:most] if text[:most].isprintable() else ascii(text[:most])[1:-1]
