"""The learning rate of every step, as one function of the recipe: what it plots is what trains."""

from __future__ import annotations

import math

from convatlas.recipe.fields import Recipe

# `torch.optim.lr_scheduler.OneCycleLR`, with cosine annealing: the part of the steps that rise, and the factors by
# which the first rate is below the highest and the last below the first. Smith and Topin 2017, arXiv 1708.07120.
RISING, FIRST, LAST = 0.3, 25.0, 1e4


def rate_factor(recipe: Recipe, step: int, *, steps_per_epoch: int) -> float:
    """What `lr` is multiplied by at optimizer step `step`, counted from 0 over all epochs.

    Milestones and `decay_epochs` count from the start of training, warm-up included, as the papers' iterations do;
    cosine falls over what the warm-up leaves. `plateau` is 1 here after its warm-up: it depends on what is measured.

    >>> from convatlas.recipe import recipe
    >>> rate_factor(recipe("uva_sgd"), 100 * 351, steps_per_epoch=351)
    0.1
    """
    fields = recipe.schedule
    warmup = round(fields.warmup_epochs * steps_per_epoch)
    if step < warmup:
        start = fields.warmup_lr / recipe.optimizer.lr
        return start if fields.warmup == "constant" else start + (1 - start) * step / warmup
    epoch = step / steps_per_epoch
    if fields.kind == "multi_step":
        passed = sum(step >= milestone * steps_per_epoch for milestone in fields.milestones)
        return float(fields.gamma**passed)
    if fields.kind in ("step", "exponential"):
        assert fields.decay_epochs is not None
        decays = epoch / fields.decay_epochs
        return float(fields.gamma ** (math.floor(decays + 1e-9) if fields.kind == "step" else decays))
    total = recipe.epochs * steps_per_epoch
    if fields.kind == "cosine":
        return _annealed(1.0, 0.0, (step - warmup) / max(total - warmup, 1))
    if fields.kind == "one_cycle":
        return _one_cycle(step, max(total, 2))
    return 1.0


def _one_cycle(step: int, total: int) -> float:
    peak, end = RISING * total - 1, total - 1
    if step <= peak:
        return _annealed(1 / FIRST, 1.0, step / peak)
    return _annealed(1.0, 1 / FIRST / LAST, (step - peak) / (end - peak))


def _annealed(start: float, end: float, part: float) -> float:
    """From `start` to `end` by half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))
