"""Recipes: how a network is trained, as frozen, validated data, and the learning rate of each step."""

from __future__ import annotations

from convatlas.recipe.fields import NETWORK_FIELDS, WORDS, Precision, Recipe, defaults, with_settings
from convatlas.recipe.reading import read_recipe, write_recipe
from convatlas.recipe.schedule import rate_factor

__all__ = [
    "NETWORK_FIELDS",
    "WORDS",
    "Precision",
    "Recipe",
    "defaults",
    "rate_factor",
    "read_recipe",
    "with_settings",
    "write_recipe",
]
