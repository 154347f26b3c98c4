"""Training: a plan becomes a run on disk. Only this folder imports Lightning."""

from __future__ import annotations

import importlib.util

try:
    import lightning.pytorch  # noqa: F401
except Exception as error:
    if importlib.util.find_spec("torchvision") is None:
        raise
    raise ImportError(
        f"PyTorch Lightning cannot be imported ({error}); a torchvision that does not fit this torch is the usual "
        "reason, and ConvAtlas needs none: pip uninstall torchvision"
    ) from error

from convatlas.training.classifier import TrainingError
from convatlas.training.plan import Plan, choose_recipe, make_plan
from convatlas.training.published import published_run
from convatlas.training.train import open_folder, train_plan

__all__ = [
    "Plan",
    "TrainingError",
    "choose_recipe",
    "make_plan",
    "open_folder",
    "published_run",
    "train_plan",
]
