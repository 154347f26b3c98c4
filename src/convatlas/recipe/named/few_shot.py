"""Rules for trainings on few images: they count in steps, because an epoch of ten images is one step.

With many images each is as long as the recipe that it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from convatlas.recipe.fields import Recipe, defaults
from convatlas.recipe.named import finetuning
from convatlas.recipe.rule import DataFacts, RecipeRule

EPOCHS = 10  # after each of which a checkpoint is written


@dataclass(frozen=True)
class Length:
    """The length of a training: so many passes over the images, but at least and at most so many steps."""

    passes: int
    least: int
    most: int

    def steps(self, images: int, *, batch_size: int) -> int:
        """Returns the number of steps for a number of training images.

        >>> Length(passes=10, least=100, most=10_000).steps(50, batch_size=32)
        100
        """
        return min(self.most, max(self.least, round(self.passes * images / batch_size)))


def in_steps(facts: DataFacts, *, recipe: Recipe, length: Length) -> Mapping[str, Any]:
    """Returns the flat values of a recipe that counts epochs, in steps."""
    flat = {name: value for name, value in recipe.flat().items() if value != defaults().get(name)}
    steps = length.steps(facts.images, batch_size=recipe.batch_size)
    warmup = round(steps * flat.pop("warmup_epochs", 0) / flat.pop("epochs"))
    return {**flat, "steps": steps, "epoch_steps": -(-steps // EPOCHS), **({"warmup_steps": warmup} if warmup else {})}


HEAD = Recipe(
    name="few_shot_head",
    source="ours: a linear probe with weight decay",
    expected="not known: it depends on the weights and the images",
    epochs=30,
    batch_size=128,
    optimizer="sgd",
    lr=1e-2,
    momentum=0.9,
    frozen=("all_but_head",),
    weight_decay=0.1,
    weight_decay_on="weights",
    schedule="cosine",
    drop_last=False,
)
SCRATCH = Recipe(
    name="few_shot_scratch",
    source="ours: all parameters from the seed, for a few images of each class",
    expected="not known: it depends on the images",
    epochs=60,
    batch_size=64,
    optimizer="adamw",
    lr=1e-3,
    weight_decay=5e-2,
    weight_decay_on="weights",
    schedule="cosine",
    warmup_epochs=3.0,
    flip=0.5,
    crop="resized",
    crop_scale=(0.5, 1.0),
    crop_ratio=(3 / 4, 4 / 3),
)
_OF = {recipe.name: recipe for recipe in finetuning.RECIPES}


def _rule(name: str, recipe: Recipe, length: Length, source: str) -> RecipeRule:
    made: Callable[[DataFacts], Mapping[str, Any]] = partial(in_steps, recipe=recipe, length=length)
    words = f"{length.passes} passes over the images, at least {length.least:,} and at most {length.most:,} steps"
    return RecipeRule(name, f"{source}: {words}", recipe.expected, ("steps",), made)


RULES = (
    _rule("few_shot_head", HEAD, Length(30, 1000, 20_000), HEAD.source),
    _rule("few_shot_full", _OF["full"], Length(10, 100, 20_000), "ours: full, counted in steps"),
    _rule("few_shot_scratch", SCRATCH, Length(60, 500, 10_000), "ours: all parameters from the seed"),
)
