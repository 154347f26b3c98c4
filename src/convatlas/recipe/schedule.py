"""The learning rate of every step as a function of the recipe, and schedules scaled to another length."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.recipe.fields import Recipe

# As in `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing (Smith and Topin 2017, arXiv 1708.07120): the rate
# rises during this part of the steps; the highest rate is FIRST times the first, the first rate is LAST times the last.
RISING, FIRST, LAST = 0.3, 25.0, 1e4


def rate_factor(recipe: Recipe, step: int, *, steps_per_epoch: int, after: int = 0) -> float:
    """Returns the factor on `lr` at optimizer step `step`, counted from 0 over all epochs.

    Milestones and decays count from the start of training, with the warm-up, as the papers' iterations do. Cosine falls
    over the steps after the warm-up. For `plateau` the factor is 1 after the warm-up, because its decays depend on the
    validation images. With `after` the factor is 0 for so many steps, and the schedule has the steps that are left.

    >>> from convatlas.recipe import recipe
    >>> rate_factor(recipe("uva_sgd"), 100 * 351, steps_per_epoch=351)
    0.1
    """
    if step < after:
        return 0.0
    fields, step = recipe.schedule, step - after
    unit = recipe.steps_per_unit(steps_per_epoch)
    warmup = round(recipe.warmup_length * unit)
    if step < warmup:
        start = fields.warmup_lr / recipe.optimizer.lr
        return start if fields.warmup == "constant" else start + (1 - start) * step / warmup
    if fields.kind == "multi_step":
        passed = sum(step >= milestone * unit for milestone in fields.milestones)
        return float(fields.gamma**passed)
    if fields.kind in ("step", "exponential"):
        every = fields.decay_epochs or fields.decay_steps
        assert every is not None
        decays = step / unit / every
        return float(fields.gamma ** (math.floor(decays + 1e-9) if fields.kind == "step" else decays))
    total = recipe.total_steps(steps_per_epoch) - after
    if fields.kind == "cosine":
        return _annealed(1.0, 0.0, (step - warmup) / max(total - warmup, 1))
    if fields.kind == "cosine_7_16":  # Sohn et al. 2020, section 2.4
        return math.cos(7 * math.pi / 16 * (step - warmup) / max(total - warmup, 1))
    if fields.kind == "one_cycle":
        return _one_cycle(step, max(total, 2))
    return 1.0


def scaled_schedule(recipe: Recipe, length: int) -> dict[str, Any]:
    """Returns the fields that count in the recipe's unit, scaled to another length.

    Two milestones that become equal are one.
    """
    unit, before = recipe.unit, recipe.length
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise UsageError(f"{unit}={length!r} must be a whole number of at least 1")
    scaled: dict[str, Any] = {}
    if milestones := recipe.schedule.milestones:
        scaled["milestones"] = tuple(sorted({max(1, round(m * length / before)) for m in milestones}))
    for name in (f"decay_{unit}", f"warmup_{unit}"):
        if value := getattr(recipe.schedule, name):
            scaled[name] = value * length / before if unit == "epochs" else max(1, round(value * length / before))
    return scaled


def schedule_in_other_unit(recipe: Recipe, changes: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Returns the fields of the warm-up where `changes` give the length in the other unit: the same part of it.

    Raises `UsageError` for milestones that are not among the `given` fields.
    """
    unit, other = ("epochs", "steps") if recipe.unit == "epochs" else ("steps", "epochs")
    if recipe.schedule.milestones and "milestones" not in given:
        kept = "+".join(map(str, recipe.schedule.milestones))
        raise UsageError(f"milestones={kept} of recipe {recipe.name} count {unit}; give them in the new unit too")
    length = changes.get(other)
    if not recipe.warmup_length or not isinstance(length, int):
        return {}
    warmup = recipe.warmup_length * length / recipe.length
    found = {f"warmup_{unit}": 0, f"warmup_{other}": warmup if other == "epochs" else max(1, round(warmup))}
    return {name: value for name, value in found.items() if name not in given}


def _one_cycle(step: int, total: int) -> float:
    peak, end = RISING * total - 1, total - 1
    if step <= peak:
        return _annealed(1 / FIRST, 1.0, step / peak)
    return _annealed(1.0, 1 / FIRST / LAST, (step - peak) / (end - peak))


def _annealed(start: float, end: float, part: float) -> float:
    """Returns the value at the fraction `part` of the way from `start` to `end`, along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
