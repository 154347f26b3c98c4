"""The recipe that a network is trained with on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas.architecture import Architecture
from convatlas.recipe import Recipe, RecipeRule, default_recipe, parsed_settings, recipe_or_rule


def choose_recipe(
    architecture: Architecture, *, data: str, name: str | None = None, settings: Mapping[str, Any] | None = None
) -> Recipe | RecipeRule:
    """Returns the recipe or the rule called `name`, with fields set from text.

    Without a name it is the data set's or the architecture's own.
    """
    chosen = recipe_or_rule(default_recipe(data, architecture.recipe) if name is None else name)
    return chosen.replaced(**parsed_settings(settings or {}))
