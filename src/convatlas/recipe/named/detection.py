"""The recipes for detectors: that of EfficientDet, and one of ours for small sets of images with boxes."""

from __future__ import annotations

from convatlas.recipe.fields import Recipe
from convatlas.recipe.named.photographs import MEAN, STD

_EFFICIENTDET_SOURCE = (
    "Tan, Pang, Le 2019, https://arxiv.org/abs/1911.09070, and the authors' code, "
    "https://github.com/google/automl/tree/master/efficientdet, hparams_config.py and det_model_fn.py: 0.08 for 64 "
    "images (they train with 128), warm-up of one epoch from a tenth, cosine, momentum, weight decay on kernels, "
    "clipping at 10, moving average, flip, scale jitter. The size of the images is the network's. D7 and D7x have 600 "
    "epochs. Here norms see one process"
)

RECIPES = (
    Recipe(
        name="efficientdet",
        source=_EFFICIENTDET_SOURCE,
        expected="COCO validation: efficientdet_d0 34.3 % average precision (published; not trained here)",
        epochs=300,
        batch_size=64,
        optimizer="sgd",
        lr=0.08,
        momentum=0.9,
        weight_decay=4e-5,
        weight_decay_on="weights",
        clip_norm=10.0,
        ema=0.9998,
        schedule="cosine",
        warmup_epochs=1.0,
        warmup_lr=0.008,
        fit="pad",
        mean=MEAN,
        std=STD,
        flip=0.5,
        scale_jitter=(0.1, 2.0),
    ),
    Recipe(
        name="detect_small",
        source="ours: for a few hundred images with boxes, from the weights of a classifier, whose mean and std it "
        "takes; the size of the images is the network's",
        expected="not known: it depends on the images",
        epochs=60,
        batch_size=8,
        optimizer="adamw",
        lr=1e-3,
        weight_decay=0.05,
        weight_decay_on="weights",
        clip_norm=10.0,
        ema=0.998,
        schedule="cosine",
        warmup_epochs=2.0,
        fit="pad",
        flip=0.5,
        scale_jitter=(0.7, 1.5),
    ),
)
