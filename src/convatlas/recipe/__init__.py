"""Recipes: the values by which a network is trained, as frozen, validated data, and the learning rate of each step."""

from __future__ import annotations

from convatlas.recipe.checks import ALL_BUT_HEAD
from convatlas.recipe.fields import (
    NETWORK_FIELDS,
    OF_METHOD,
    WORDS,
    Precision,
    Recipe,
    defaults,
)
from convatlas.recipe.groups import Fit
from convatlas.recipe.named import (
    FALLBACK_RECIPE,
    RECIPES,
    default_recipe,
    list_recipes,
    recipe,
    recipe_for,
    recipe_or_rule,
    recipe_with_method,
    resolved,
)
from convatlas.recipe.named.semi import methods_with_labels, recipe_of_teacher
from convatlas.recipe.reading import read_recipe, write_recipe
from convatlas.recipe.rule import DataFacts, RecipeRule
from convatlas.recipe.schedule import rate_factor
from convatlas.recipe.settings import parsed_settings, with_settings

__all__ = [
    "ALL_BUT_HEAD",
    "FALLBACK_RECIPE",
    "NETWORK_FIELDS",
    "OF_METHOD",
    "RECIPES",
    "WORDS",
    "DataFacts",
    "Fit",
    "Precision",
    "Recipe",
    "RecipeRule",
    "default_recipe",
    "defaults",
    "list_recipes",
    "methods_with_labels",
    "parsed_settings",
    "rate_factor",
    "read_recipe",
    "recipe",
    "recipe_for",
    "recipe_of_teacher",
    "recipe_or_rule",
    "recipe_with_method",
    "resolved",
    "with_settings",
    "write_recipe",
]
