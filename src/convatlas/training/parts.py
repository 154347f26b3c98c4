"""The parts in which a large batch goes through the network where memory is short; a run that goes on keeps its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convatlas.complexity import meta_network
from convatlas.complexity.step import step_cost
from convatlas.recipe import Recipe, RecipeRule
from convatlas.run import is_run, read_run
from convatlas.training.freezing import freeze
from convatlas.training.plan import Plan

HELD = 3  # whole batches of images beside the step: one, its copy while it is changed, and the next one
FIELD = "accumulate"


def in_parts(plan: Plan, chosen: Recipe | RecipeRule, *, free: float) -> Plan:
    """Returns the plan with as few parts of a batch as let a step fit into `free` bytes, and a note where it has some.

    Only a rule, which sets one batch size for every machine, gets parts; a number that the user names is kept. The
    memory is that of a step in float32, counted without arithmetic.
    """
    if isinstance(chosen, Recipe) or FIELD in chosen.changes:
        return plan
    size = plan.recipe.batch_size
    divisors = [parts for parts in range(1, size // 2 + 1) if size % parts == 0]  # a norm may need two images
    network = meta_network(plan.architecture, **plan.counts, **plan.network_options)
    freeze(network, plan.recipe.optimizer.frozen)
    side = plan.preprocessing.image_size
    held = HELD * 4 * size * plan.in_channels * max(side, plan.preprocessing.shorter_side or 0) ** 2

    def needed(parts: int) -> int:
        step = step_cost(
            network, in_channels=plan.in_channels, image_size=side, batch_size=size // parts, name=plan.label
        )
        return step.memory + held

    parts = next((parts for parts in divisors if needed(parts) <= free), divisors[-1])
    if parts == 1:
        return dataclasses.replace(plan, by_machine=(FIELD,))
    note = (
        f"each batch of {size} images goes through the network in {parts} parts: at once it needs about "
        f"{needed(1) / 1e9:,.1f} GB, and {max(free, 0) / 1e9:,.1f} GB are free for it"
    )
    return _with_parts(plan, parts, notes=(*plan.notes, note))


def as_begun(plan: Plan, folder: Path) -> Plan:
    """Returns the plan with the parts of the run that was begun in a folder, where a machine chose the plan's."""
    return as_recorded(plan, read_run(folder).record.recipe) if plan.by_machine and is_run(folder) else plan


def as_recorded(plan: Plan, recipe: Mapping[str, Any]) -> Plan:
    """Returns the plan with the parts of a recorded recipe, where a machine chose those of the plan.

    Memory differs between machines and from day to day, but a run goes on as it began.
    """
    parts = recipe.get(FIELD, 1)
    size = recipe.get("batch_size")
    if not plan.by_machine or size != plan.recipe.batch_size or parts == plan.recipe.optimizer.accumulate:
        return plan
    notes = tuple(note for note in plan.notes if not note.startswith("each batch of "))
    if parts > 1:
        notes += (f"each batch of {size} images goes through the network in {parts} parts, as the run began",)
    return _with_parts(plan, parts, notes=notes)


def _with_parts(plan: Plan, parts: int, *, notes: tuple[str, ...]) -> Plan:
    recipe = plan.recipe.with_values(accumulate=parts)
    return dataclasses.replace(plan, recipe=recipe, by_machine=(FIELD,), notes=notes)
