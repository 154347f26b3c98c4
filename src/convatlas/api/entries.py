"""The entries of a study: networks with their recipes, or with methods for few labels."""

from __future__ import annotations

from collections.abc import Sequence

from convatlas.errors import UsageError
from convatlas.recipe import methods_with_labels
from convatlas.request import Entry


def study_entries(
    names: Sequence[str],
    *,
    recipe: str | None,
    methods: str | Sequence[str] | None,
    labels: str | Sequence[float] | None,
    data: str,
) -> tuple[Entry, ...]:
    """Returns the entries of a study: each network with its recipe, or with each method and number of labels.

    Raises `UsageError` for a method beside a recipe, and for labels without a method.
    """
    if methods is None:
        if labels is not None:
            raise UsageError(f"--labels {_listed(labels)} goes with --methods, such as --methods supervised,fixmatch")
        return tuple(Entry.parse(name, recipe=recipe) for name in names)
    entries = [Entry.parse(name, recipe=recipe) for name in names]
    for entry in entries:
        if entry.recipe is not None:
            raise UsageError(f"--methods names the recipes itself; leave {entry.recipe} out")
    counts = None if labels is None else _listed(labels)
    chosen = methods_with_labels(_listed(methods), counts, data=data)
    return tuple(Entry(entry.architecture, name, settings) for entry in entries for name, settings in chosen)


def _listed(items: str | Sequence[str] | Sequence[float]) -> str:
    """Returns items with commas between them, as on the command line."""
    return items if isinstance(items, str) else ",".join(str(item) for item in items)
