"""`RecipeRule`: a rule that makes a recipe from the facts of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from convatlas.recipe.checks import short
from convatlas.recipe.fields import Recipe


@dataclass(frozen=True)
class DataFacts:
    """The facts of a data set for a rule: number of training images, their height and width in pixels, classes.

    Height and width are None if the images have many sizes.
    """

    images: int
    height: int | None
    width: int | None
    classes: int


@dataclass(frozen=True)
class RecipeRule:
    """A rule that makes a recipe from the facts of a data set; it has a name among the named recipes.

    `values` returns the flat values of the recipe; `decides` names the fields that depend on the data. Afterwards the
    recipe is changed by `changes`.

    >>> from convatlas.recipe import recipe
    >>> rule = RecipeRule("by_size", "ours", "?", ("epochs",), lambda facts: {
    ...     **recipe("quick").flat(), "epochs": 1_000_000 // facts.images})
    >>> rule.recipe(DataFacts(images=50_000, height=32, width=32, classes=10)).name
    'by_size(epochs=20)'
    """

    name: str
    source: str
    expected: str
    decides: tuple[str, ...]
    values: Callable[[DataFacts], Mapping[str, Any]]
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def recipe(self, facts: DataFacts) -> Recipe:
        """Returns the recipe for a data set; its name shows the rule and the fields that the data decided."""
        words = {"name": self.name, "source": self.source, "expected": self.expected}
        made = Recipe(**{**self.values(facts), **words})
        decided = ",".join(f"{name}={short(made.flat()[name])}" for name in self.decides)
        return made.with_values(name=f"{self.name}({decided})").replaced(**self.changes)

    def replaced(self, **changes: Any) -> RecipeRule:
        """Returns a rule that afterwards changes its recipe, as `Recipe.replaced` does."""
        return dataclasses.replace(self, changes={**self.changes, **changes})

    def summary(self) -> str:
        """Returns the rule in one line."""
        return f"{self.name}: a rule, which decides {', '.join(self.decides)} by the data"

    def described(self) -> dict[str, Any]:
        """Returns the rule as plain data."""
        return {
            "name": self.name,
            "source": self.source,
            "expected": self.expected,
            "decides": list(self.decides),
            "changes": dict(self.changes),
        }
