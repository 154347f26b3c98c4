"""The recipes for photographs: that of ImageNet, and a gentle one for small sets."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

_IMAGENET_SOURCE = (
    "Gross, Wilber 2016, https://github.com/facebookarchive/fb.resnet.torch, for every value: opts.lua (rate, "
    "momentum, weight decay, epochs), train.lua (Nesterov's momentum, a tenth of the rate every 30 epochs), README "
    "(batches of 256), datasets/imagenet.lua and transforms.lua (crop of 0.08 to 1 of the area, of Szegedy et al. "
    "2014; jitter, of Howard 2013; mean and std; shorter side of 256). Left out: Krizhevsky's shift of the colours by "
    "their principal components. Other than theirs: resized bilinearly, where the code is bicubic"
)

RECIPES = (
    Recipe(
        name="imagenet",
        source=_IMAGENET_SOURCE,
        expected="ImageNet validation, one crop: resnet18 69.59 %, resnet34 73.27 %, resnet50 75.99 %, resnet101 "
        "77.56 % (published by the source; not trained here)",
        epochs=90,
        batch_size=256,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="step",
        gamma=0.1,
        decay_epochs=30.0,
        image_size=224,
        shorter_side=256,
        mean=MEAN,
        std=STD,
        flip=0.5,
        crop="resized",
        crop_scale=(0.08, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        jitter=0.4,
    ),
    Recipe(
        name="photographs",
        source="ours: for a few hundred or thousand photographs. Mean, std and shorter side are those of ImageNet",
        expected="not known: it depends on the photographs",
        epochs=30,
        batch_size=32,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        weight_decay_on="weights",
        schedule="cosine",
        warmup_epochs=3.0,
        image_size=224,
        shorter_side=256,
        mean=MEAN,
        std=STD,
        flip=0.5,
        crop="resized",
        crop_scale=(0.5, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        jitter=0.2,
        label_smoothing=0.1,
    ),
)
