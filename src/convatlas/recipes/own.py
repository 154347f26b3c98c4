"""Our own recipes."""

from __future__ import annotations

from convatlas.recipe import Recipe

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
)
