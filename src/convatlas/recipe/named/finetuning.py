"""The recipes that train a network on from published or own weights. Their images are prepared as the weights say."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe

SOURCE = "ours: for {}, starting from the weights of a larger data set"

RECIPES = (
    Recipe(
        name="head_only",
        source=SOURCE.format("the head alone"),
        expected="not known: it depends on the weights and the images",
        epochs=30,
        batch_size=128,
        optimizer="adamw",
        lr=3e-3,
        frozen=("all_but_head",),
        weight_decay=1e-2,
        weight_decay_on="weights",
        schedule="cosine",
        drop_last=False,
    ),
    Recipe(
        name="full",
        source=SOURCE.format("all parameters at a small rate"),
        expected="not known: it depends on the weights and the images",
        epochs=10,
        batch_size=32,
        optimizer="adamw",
        lr=2e-4,
        weight_decay=1e-2,
        weight_decay_on="weights",
        schedule="cosine",
        warmup_epochs=1.0,
        flip=0.5,
        crop="resized",
        crop_scale=(0.5, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
    ),
    Recipe(
        name="gradual",
        source=SOURCE.format("the head first, then all parameters at a rate that falls towards the stem"),
        expected="not known: it depends on the weights and the images",
        epochs=12,
        batch_size=32,
        optimizer="adamw",
        lr=5e-4,
        layer_decay=0.8,
        head_first_epochs=2,
        weight_decay=1e-2,
        weight_decay_on="weights",
        schedule="cosine",
        flip=0.5,
        crop="resized",
        crop_scale=(0.5, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
    ),
)
