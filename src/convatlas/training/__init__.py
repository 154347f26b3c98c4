"""Training: a plan becomes a run on disk. Only this folder imports Lightning."""

from __future__ import annotations

from convatlas.training.callbacks import TrainingError
from convatlas.training.plan import Plan, choose_recipe, make_plan
from convatlas.training.train import open_folder, train_plan

__all__ = ["Plan", "TrainingError", "choose_recipe", "make_plan", "open_folder", "train_plan"]
