"""The index: the facts of all architectures as plain data, to be read without PyTorch.

docs/write_index.py writes it from the families, and a test holds it against them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from convatlas.architecture import Architecture, Paper, Published, PublishedPrecision, Task

INDEX = Path(__file__).with_name("index.json")


@dataclass(frozen=True)
class Listed:
    """An architecture as far as it is plain data, with the names of its options and of its published weights."""

    name: str
    family: str
    paper: Paper | None
    dataset: str | None
    image_size: int
    params: int | None
    macs: int | None
    published: tuple[Published, ...]
    precisions: tuple[PublishedPrecision, ...]
    task: Task
    recipe: str | None
    note: str
    options: tuple[str, ...]
    weights: tuple[str, ...]


def listed(row: Architecture) -> Listed:
    """Returns the facts of an architecture."""
    return Listed(
        name=row.name,
        family=row.family,
        paper=row.paper,
        dataset=row.dataset,
        image_size=row.image_size,
        params=row.params,
        macs=row.macs,
        published=row.published,
        precisions=row.precisions,
        task=row.task,
        recipe=row.recipe,
        note=row.note,
        options=tuple(row.options()),
        weights=tuple(weights.name for weights in row.weights),
    )


@cache
def read_index() -> dict[str, Listed]:
    """Returns the facts of the architectures of all families by name.

    >>> read_index()["resnet_uva"].params
    272378
    """
    return {row["name"]: _read(row) for row in json.loads(INDEX.read_text(encoding="utf-8"))}


def index_text(rows: Iterable[Architecture]) -> str:
    """Returns the content of the index for these architectures, a line for each."""
    lines = [json.dumps(asdict(listed(row)), ensure_ascii=False) for row in rows]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _read(row: dict[str, Any]) -> Listed:
    return Listed(
        **{
            **row,
            "paper": row["paper"] and Paper(**row["paper"]),
            "published": tuple(Published(**result) for result in row["published"]),
            "precisions": tuple(PublishedPrecision(**result) for result in row["precisions"]),
            "options": tuple(row["options"]),
            "weights": tuple(row["weights"]),
        }
    )
