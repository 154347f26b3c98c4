"""The named recipes, with literal values, sources and expected results, and the rules that make recipes."""

from __future__ import annotations

from pathlib import Path

from convatlas.data_names import recipe_of_data
from convatlas.errors import UsageError, unknown
from convatlas.recipe.fields import Recipe
from convatlas.recipe.named import detection, few_shot, finetuning, hyperrule, own, papers, photographs, semi, teaching
from convatlas.recipe.reading import read_recipe
from convatlas.recipe.rule import DataFacts, RecipeRule

FALLBACK_RECIPE = "uva_adam"  # for a network without a published recipe, on data without its own recipe
RECIPES = (
    *own.RECIPES,
    *teaching.RECIPES,
    *papers.RECIPES,
    *photographs.RECIPES,
    *finetuning.RECIPES,
    *semi.RECIPES,
    *detection.RECIPES,
)

RULES: tuple[RecipeRule, ...] = (*hyperrule.RULES, *few_shot.RULES)

_ROWS: tuple[Recipe | RecipeRule, ...] = (*RECIPES, *RULES)
_BY_NAME = {row.name: row for row in _ROWS}


def list_recipes() -> list[str]:
    """Returns the names of the recipes and rules, sorted."""
    return sorted(_BY_NAME)


def default_recipe(data: str, published: str | None = None) -> str:
    """Returns the name of the recipe that is taken if the user names none.

    It is that of the data, else the `published` one of the network, else the fallback.

    >>> default_recipe("digits", "uva_sgd"), default_recipe("cifar10", "uva_sgd"), default_recipe("cifar10")
    ('quick', 'uva_sgd', 'uva_adam')
    """
    return recipe_of_data(data) or published or FALLBACK_RECIPE


def recipe_or_rule(name: str) -> Recipe | RecipeRule:
    """Returns the recipe or the rule called `name`, or the recipe in the file `name` that ends in .yaml or .yml."""
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name).expanduser())
    if name not in _BY_NAME:
        raise unknown("recipe", name, _BY_NAME, hint="; your own is a file ending in .yaml")
    return _BY_NAME[name]


def recipe_with_method(method: str | None, name: str | None, *, data: str) -> str:
    """Returns the name of a recipe for few labels: that of the method, or `name`, whose recipe has a method.

    Raises `UsageError` unless exactly one of them is given, and for a recipe without a method.

    >>> recipe_with_method("fixmatch", None, data="cifar10")
    'fixmatch'
    """
    if (method is None) == (name is None):
        raise UsageError("name a method, such as --method fixmatch, or a recipe with one by --recipe; one of both")
    if name is None:
        return semi.recipe_of_method(str(method), data)
    found = recipe_or_rule(name)
    if isinstance(found, RecipeRule) or found.method.kind is None:
        raise UsageError(f"recipe {name} has no method for few labels; train with it, or write method: fixmatch in it")
    return name


def recipe(name: str) -> Recipe:
    """Returns the recipe called `name`, or the recipe in the file `name`. Raises `UsageError` for a rule.

    >>> recipe("uva_sgd").optimizer.lr
    0.1
    """
    found = recipe_or_rule(name)
    if isinstance(found, RecipeRule):
        raise UsageError(
            f"{name} is a rule, which makes a recipe from a data set; give the facts of a data set to recipe_for"
        )
    return found


def recipe_for(name: str, facts: DataFacts) -> Recipe:
    """Returns the recipe called `name`, or the recipe that the rule `name` makes for a data set.

    >>> recipe_for("uva_sgd", DataFacts(images=45_000, height=32, width=32, classes=10)) is recipe("uva_sgd")
    True
    """
    return resolved(recipe_or_rule(name), facts)


def resolved(chosen: Recipe | RecipeRule, facts: DataFacts) -> Recipe:
    """Returns the recipe itself, or the recipe that the rule makes for a data set."""
    return chosen.recipe(facts) if isinstance(chosen, RecipeRule) else chosen
