"""The names of recipes in a report: those of one name also show their differences."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from convatlas.recipe import defaults
from convatlas.run import Run
from convatlas.words import canonical, label


def recipe_labels(recipes: Iterable[Mapping[str, Any]], *, hidden: Collection[str] = ()) -> dict[str, str]:
    """Returns a label for each recipe, by its canonical JSON; recipes of the same name also show their differences.

    A missing field has its default. Fields that are `hidden` make no difference.

    >>> list(recipe_labels([{"name": "quick", "lr": 0.1}, {"name": "quick", "lr": 0.2}]).values())
    ['quick(lr=0.1)', 'quick(lr=0.2)']
    """
    distinct = {canonical(recipe): {**defaults(), **recipe} for recipe in recipes}
    labels = {}
    for key, recipe in distinct.items():
        same = [other for other in distinct.values() if other.get("name") == recipe.get("name")]
        differing = {
            field: value
            for field, value in recipe.items()
            if field not in hidden and any(other.get(field) != value for other in same)
        }
        labels[key] = label(str(recipe.get("name")), differing)
    return labels


def said_by_start(runs: Sequence[Run]) -> tuple[str, ...]:
    """Returns the fields of recipes that need no words: the weights of the start, which are named, decide them."""
    found: dict[str | None, set[str]] = {}
    for run in runs:
        recipe = run.record.recipe
        found.setdefault(run.record.start.sha256, set()).add(canonical([recipe.get("mean"), recipe.get("std")]))
    decided = len(found) > 1 and all(len(own) == 1 for own in found.values())
    return ("mean", "std") if decided else ()
