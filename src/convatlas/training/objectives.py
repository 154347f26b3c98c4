"""The objective that a network and a recipe ask for."""

from __future__ import annotations

from convatlas.architecture import Architecture
from convatlas.recipe import Recipe
from convatlas.training.detection import Detection
from convatlas.training.head_only import objective_of
from convatlas.training.objective import Objective
from convatlas.training.semi_supervised import OBJECTIVES


def objective_for(architecture: Architecture, recipe: Recipe) -> type[Objective]:
    """Returns the objective: of a detector, of a method for few labels, of a head alone, or the usual one."""
    if architecture.task == "detection":
        return Detection
    return OBJECTIVES.get(recipe.method.kind) or objective_of(recipe)
