"""The named recipes, each one literal with its source and its expected result."""

from __future__ import annotations

from pathlib import Path

from convatlas.errors import unknown
from convatlas.recipe.fields import Recipe
from convatlas.recipe.named import own, papers, teaching
from convatlas.recipe.reading import read_recipe

FALLBACK_RECIPE = "uva_adam"  # for a network that nobody published, on data without a recipe of its own
RECIPES = (*own.RECIPES, *teaching.RECIPES, *papers.RECIPES)

_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def list_recipes() -> list[str]:
    """The names of the recipes, sorted."""
    return sorted(_BY_NAME)


def recipe(name: str) -> Recipe:
    """The recipe called `name`, or the one in the file `name` when that ends in .yaml or .yml.

    >>> recipe("uva_sgd").optimizer.lr
    0.1
    """
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name).expanduser())
    if name not in _BY_NAME:
        raise unknown("recipe", name, _BY_NAME, hint="; your own is a file ending in .yaml")
    return _BY_NAME[name]
