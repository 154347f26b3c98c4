"""ConvAtlas: train, compare and understand convolutional networks under one protocol.

>>> import convatlas
>>> network = convatlas.create("resnet_uva", num_classes=10)
>>> convatlas.list_architectures("densenet*uva")
['densenet_uva']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convatlas.api.answers import evaluate, predict, predictions
    from convatlas.api.detectors import detect, evaluate_detector
    from convatlas.api.few_shot import transfer
    from convatlas.api.insight import disagree, explain, gradients, landscape
    from convatlas.api.networks import create, load, preprocessing, show
    from convatlas.api.training import compare, degradation, finetune, semi, train
    from convatlas.architecture import Architecture, Paper, Published, Weights
    from convatlas.architectures import list_architectures, register
    from convatlas.checks import check_architecture
    from convatlas.data import class_names
    from convatlas.recipe import Recipe, list_recipes

# Names are imported at their first use: `import convatlas` is quick, and a verb imports only its own modules.
_HOMES = {
    "Architecture": "convatlas.architecture",
    "Paper": "convatlas.architecture",
    "Published": "convatlas.architecture",
    "Recipe": "convatlas.recipe",
    "Weights": "convatlas.architecture",
    "class_names": "convatlas.data",
    "check_architecture": "convatlas.checks",
    "compare": "convatlas.api.training",
    "create": "convatlas.api.networks",
    "degradation": "convatlas.api.training",
    "detect": "convatlas.api.detectors",
    "disagree": "convatlas.api.insight",
    "evaluate": "convatlas.api.answers",
    "evaluate_detector": "convatlas.api.detectors",
    "explain": "convatlas.api.insight",
    "finetune": "convatlas.api.training",
    "gradients": "convatlas.api.insight",
    "landscape": "convatlas.api.insight",
    "list_architectures": "convatlas.architectures",
    "list_recipes": "convatlas.recipe",
    "load": "convatlas.api.networks",
    "predict": "convatlas.api.answers",
    "predictions": "convatlas.api.answers",
    "preprocessing": "convatlas.api.networks",
    "register": "convatlas.architectures",
    "semi": "convatlas.api.training",
    "show": "convatlas.api.networks",
    "train": "convatlas.api.training",
    "transfer": "convatlas.api.few_shot",
}

__all__ = [
    "Architecture",
    "Paper",
    "Published",
    "Recipe",
    "Weights",
    "check_architecture",
    "class_names",
    "compare",
    "create",
    "degradation",
    "detect",
    "disagree",
    "evaluate",
    "evaluate_detector",
    "explain",
    "finetune",
    "gradients",
    "landscape",
    "list_architectures",
    "list_recipes",
    "load",
    "predict",
    "predictions",
    "preprocessing",
    "register",
    "semi",
    "show",
    "train",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'convatlas' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
