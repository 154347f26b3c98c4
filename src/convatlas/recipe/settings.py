"""Recipes with other values in some fields, given as text or as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas import values
from convatlas.errors import unknown
from convatlas.recipe.fields import FIELDS, WORDS, Recipe


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Returns `recipe` with other values in some fields; a text is parsed as in `--set NAME=VALUE`.

    >>> from convatlas.recipe import recipe
    >>> with_settings(recipe("quick"), {"lr": "0.02"}).optimizer.lr
    0.02
    """
    return recipe.replaced(**parsed_settings(settings))


def parsed_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings with every text parsed as its field's type. Raises `UsageError` for an unknown name.

    >>> parsed_settings({"lr": "0.02", "milestones": "5,7", "flip": 0.5})
    {'lr': 0.02, 'milestones': (5, 7), 'flip': 0.5}
    """
    settable = {name: field for name, field in FIELDS.items() if name not in WORDS}
    changes = {}
    for name, value in settings.items():
        if name not in settable:
            raise unknown("recipe field", name, settable)
        parsed = values.parse(value, settable[name].annotation, name=name) if isinstance(value, str) else value
        changes[name] = parsed
    return changes
