"""Our own recipes."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe

RECIPES = (
    Recipe(
        name="quick",
        source="ours: a few epochs for small images on a laptop",
        expected="digits at 16 pixels: see the README's table",
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
        name="fast_cifar",
        source="ours: chosen by studies on the validation images of CIFAR-10",
        expected="CIFAR-10 in a JPEG copy, resnet_uva: see the page on fast CIFAR-10",
        epochs=10,
        batch_size=128,
        optimizer="muon",
        lr=0.02,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.05,
        schedule="one_cycle",
        image_size=32,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
        crop="resized",
        crop_scale=(0.8, 1.0),
        crop_ratio=(0.9, 1.1),
        flip=0.5,
    ),
)
