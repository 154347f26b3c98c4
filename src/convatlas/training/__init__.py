"""Training: a plan becomes a run on disk. A learner in plain torch trains; Lightning, in `engine`, drives it."""

from __future__ import annotations

from convatlas.training.choice import choose_recipe
from convatlas.training.evaluated import evaluated_run
from convatlas.training.learner import Learner, build_learner
from convatlas.training.objective import Objective, TrainingError
from convatlas.training.parts import as_begun, as_recorded, in_parts
from convatlas.training.plan import Plan, make_plan
from convatlas.training.rounds import Sources, training_rounds
from convatlas.training.start import starting_from
from convatlas.training.train import open_folder, train_plan

__all__ = [
    "Learner",
    "Objective",
    "Plan",
    "Sources",
    "TrainingError",
    "as_begun",
    "as_recorded",
    "build_learner",
    "choose_recipe",
    "evaluated_run",
    "in_parts",
    "make_plan",
    "open_folder",
    "starting_from",
    "train_plan",
    "training_rounds",
]
