"""The class names that a parquet file of the hub carries, compared with those of the data set."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convatlas.bounds import Allowance
from convatlas.data.sources.layouts.parts import unreadable
from convatlas.errors import printable

KEY = b"huggingface"
_JSON = 16  # bytes of memory for each byte of JSON
_SHOWN = 3  # class names in a message


def stated_classes(
    path: Path, metadata: Mapping[bytes, bytes] | None, *, labels: str, allowance: Allowance
) -> tuple[str, ...]:
    """Returns the class names that the metadata of a file states for its column of labels; none where it has none.

    Raises `UsageError` for metadata that is no JSON.
    """
    text = (metadata or {}).get(KEY, b"{}")
    allowance.take(_JSON * len(text), "its metadata")
    try:
        place = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise unreadable(path, f"its metadata {KEY.decode()!r} is no JSON, or nested too deep") from error
    for key in ("info", "features", labels, "names"):
        place = place.get(key) if isinstance(place, dict) else None
    return tuple(place) if isinstance(place, list) and all(isinstance(name, str) for name in place) else ()


def in_our_order(path: Path, labels: np.ndarray, *, stated: tuple[str, ...], ours: tuple[str, ...]) -> np.ndarray:
    """Returns the labels of a file as places in our order of the classes.

    Names are compared by their letters and digits. Raises `UsageError` where a file states other classes than ours.
    """
    places = {_letters(name): place for place, name in enumerate(ours)}
    found = [places.get(_letters(name), -1) for name in stated]
    if sorted(found) != list(range(len(ours))):
        raise unreadable(path, f"its classes are {_some(stated)}, not {_some(ours)}: it is of another data set")
    renumbered: np.ndarray = np.array(found, np.int64)[labels]
    return renumbered


def _letters(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.casefold())


def _some(names: tuple[str, ...]) -> str:
    """Returns the first names and how many there are."""
    first = ", ".join(printable(name, most=40) for name in names[:_SHOWN])
    return first if len(names) <= _SHOWN else f"{first} ... ({len(names)})"
