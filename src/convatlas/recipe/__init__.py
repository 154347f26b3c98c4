"""Recipes: how a network is trained, as frozen, validated data, and the learning rate of each step."""

from __future__ import annotations

from convatlas.recipe.fields import NETWORK_FIELDS, WORDS, Precision, Recipe, defaults, with_settings
from convatlas.recipe.named import FALLBACK_RECIPE, RECIPES, list_recipes, recipe
from convatlas.recipe.reading import read_recipe, write_recipe
from convatlas.recipe.schedule import rate_factor

__all__ = [
    "FALLBACK_RECIPE",
    "NETWORK_FIELDS",
    "RECIPES",
    "WORDS",
    "Precision",
    "Recipe",
    "defaults",
    "list_recipes",
    "rate_factor",
    "read_recipe",
    "recipe",
    "with_settings",
    "write_recipe",
]
