"""A data set of the Hugging Face hub by its name, through the library `datasets` of the extra `hf`."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data.images.stores import ENDING
from convatlas.data.sources.layouts.encoded import IMAGES, LABELS
from convatlas.data.sources.listing import PARTS, Found, Listing, in_use
from convatlas.data.sources.part_names import part_named, taken_of
from convatlas.data.sources.walking import natural
from convatlas.errors import UsageError, printable, reason_of


@dataclass(frozen=True)
class RowStore:
    """Images in the tables of `datasets`, which lie in memory-mapped files; `ends` are those of the parts."""

    repository: str
    parts: Sequence[str]
    tables: Sequence[Any]
    column: str
    ends: np.ndarray

    def __len__(self) -> int:
        return int(self.ends[-1])

    def name(self, number: int) -> str:
        """Returns the name of the part and the row in it."""
        part, row = self._place(number)
        return f"{self.parts[part]}/{row}"

    def shown(self, number: int) -> str:
        """Returns the name of the data set, the part and the row."""
        part, row = self._place(number)
        return f"{self.repository}, {self.parts[part]}: image {row}"

    def size(self, number: int) -> int:
        """Returns the bytes of an image."""
        return len(self.read(number))

    def ending(self, number: int) -> bytes:
        """Returns the last bytes of an image, 4,096 or all."""
        return self.read(number)[-ENDING:]

    def read(self, number: int) -> bytes:
        """Returns the bytes of an image. Raises `UsageError` for a row without any."""
        part, row = self._place(number)
        found = self.tables[part][row][self.column]
        if found and found.get("bytes"):
            content: bytes = found["bytes"]
            return content
        if not found or not found.get("path"):
            raise UsageError(f"{self.shown(number)} has no bytes")
        return Path(found["path"]).read_bytes()

    def digest(self, number: int) -> bytes:
        """Returns the sha256 of the bytes of an image."""
        return hashlib.sha256(self.read(number)).digest()

    def _place(self, number: int) -> tuple[int, int]:
        part = int(np.searchsorted(self.ends, number, side="right"))
        return part, number - (int(self.ends[part - 1]) if part else 0)


def list_named(name: str, chosen: Mapping[str, str]) -> Listing:
    """Returns the images of a data set of the hub, which is downloaded into the library's own cache if need be.

    Raises `UsageError` without the extra, and where the data set cannot be had or has no images with classes.
    """
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError as error:
        raise UsageError(
            f"there is no folder at {name}; to get it from the Hugging Face hub by this name, run: "
            "pip install 'convatlas[hf]'"
        ) from error
    try:
        loaded = datasets.load_dataset(name, chosen.get("config"))
    except Exception as error:  # the library raises many kinds, of the network too
        reason = printable(reason_of(error), most=160)
        raise UsageError(f"hf:{name} cannot be had from the hub: {reason}; a folder with it is hf:PATH") from error
    of_part = {part: table for key, table in loaded.items() if (part := part_named(key)) is not None}
    tables = {part: of_part[part] for part in PARTS if part in of_part}
    if not tables:
        raise UsageError(f"hf:{name} has the parts {', '.join(loaded)}, none of them train, validation or test")
    first = next(iter(tables.values()))
    images = _columns(name, first.column_names, "image", chosen, IMAGES)
    labels_of = _columns(name, first.column_names, "label", chosen, LABELS)
    image, label = images[0], labels_of[0]
    plain = [table.cast_column(image, datasets.Image(decode=False)) for table in tables.values()]
    ends = np.cumsum([len(table) for table in plain])
    store = RowStore(name, tuple(tables), [table.select_columns([image]) for table in plain], image, ends)
    written = [each for table in plain for each in table[label]]
    classes, labels, notes = in_use(*_classes(first.features[label], written))
    notes += taken_of(f"hf:{name}", "image", images) + taken_of(f"hf:{name}", "label", labels_of)
    left = [key for key in loaded if part_named(key) is None]
    if left:
        notes += (f"parts of {name} that were left out: {', '.join(left)}",)
    begins = [0, *ends.tolist()]
    parts = {
        part: Found(f"{name} ({part})", np.arange(begins[number], begins[number + 1]))
        for number, part in enumerate(tables)
    }
    return Listing(f"hf:{name}", store, classes, labels, parts, notes=notes)


def _classes(feature: Any, values: Sequence[Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """Returns the classes in their order and the labels as places among them."""
    if names := getattr(feature, "names", None):
        return tuple(names), np.array(values, np.int64)
    written = [str(value) for value in values]
    classes = tuple(sorted(set(written), key=natural))
    places = {name: place for place, name in enumerate(classes)}
    return classes, np.array([places[name] for name in written], np.int64)


def _columns(
    name: str, names: Sequence[str], use: str, chosen: Mapping[str, str], usual: Sequence[str]
) -> tuple[str, ...]:
    """Returns the columns that have the chosen or a usual name. Raises `UsageError` where there is none."""
    wanted = (chosen[use],) if use in chosen else usual
    found = tuple(each for each in wanted if each in names)
    if not found:
        raise UsageError(
            f"hf:{name} has no column {' or '.join(wanted)}; its columns are {', '.join(names)}; choose one, such as "
            f"hf:{name}?{use}=NAME"
        )
    return found
