"""The named recipes, each one literal with its source and its expected result."""

from __future__ import annotations

from pathlib import Path

from convatlas.errors import unknown
from convatlas.recipe import Recipe, read_recipe

FALLBACK_RECIPE = "uva_adam"  # for a network that nobody published, on data without a recipe of its own

_UVA_SOURCE = (
    "University of Amsterdam deep learning tutorial 5 (Lippe 2020), "
    "https://uvadlc-notebooks.readthedocs.io/en/latest/tutorial_notebooks/tutorial5/Inception_ResNet_DenseNet.html"
)

RECIPES = (
    Recipe(
        name="quick",
        source="ours: a few epochs for small images on a laptop",
        expected="digits at 16 pixels: see results/demo",
        epochs=4,
        batch_size=32,
        optimizer="adamw",
        lr=5e-3,
        weight_decay=1e-2,
        schedule="one_cycle",
        image_size=16,
        crop="resized",
    ),
    Recipe(
        name="uva_sgd",
        source=_UVA_SOURCE,
        expected="CIFAR-10 test: resnet_uva 91.06 %, preact_resnet_uva 91.07 % (published, one seed)",
        epochs=180,
        batch_size=128,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(100, 150),
        gamma=0.1,
        image_size=32,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        crop="resized",
        crop_scale=(0.8, 1.0),
        crop_ratio=(0.9, 1.1),
        flip=0.5,
    ),
    Recipe(
        name="uva_adam",
        source=_UVA_SOURCE + "; its 'Adam' is AdamW",
        expected="CIFAR-10 test: googlenet_uva 89.70 %, densenet_uva 90.23 % (published, one seed)",
        epochs=180,
        batch_size=128,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=1e-4,
        schedule="multi_step",
        milestones=(100, 150),
        gamma=0.1,
        image_size=32,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        crop="resized",
        crop_scale=(0.8, 1.0),
        crop_ratio=(0.9, 1.1),
        flip=0.5,
    ),
)

_BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def list_recipes() -> list[str]:
    """The names of the recipes, sorted."""
    return sorted(_BY_NAME)


def recipe(name: str) -> Recipe:
    """The recipe called `name`, or the one in the file `name` when that ends in .yaml or .yml.

    >>> recipe("uva_sgd").lr
    0.1
    """
    if name.endswith((".yaml", ".yml")):
        return read_recipe(Path(name).expanduser())
    if name not in _BY_NAME:
        raise unknown("recipe", name, _BY_NAME, hint="; your own is a file ending in .yaml")
    return _BY_NAME[name]
