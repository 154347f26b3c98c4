"""What the values of a recipe's fields may be, alone and beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.recipe.fields import Recipe

# field: what holds of a value that makes sense, in Python and in words. None passes where the type permits it.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (lambda v: 1 <= v <= 1_000_000, "at least 1 and at most 1,000,000"),
    "batch_size": (lambda v: v >= 1, "at least 1"),
    "lr": (lambda v: 0 < v < 100, "above 0 and below 100"),
    "momentum": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "rms_decay": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "epsilon": (lambda v: 0 < v <= 10, "above 0 and at most 10"),
    "weight_decay": (lambda v: 0 <= v < 10, "at least 0 and below 10"),
    "accumulate": (lambda v: v >= 1, "at least 1"),
    "clip_norm": (lambda v: v > 0, "above 0"),
    "ema": (lambda v: 0 < v < 1, "above 0 and below 1"),
    "gamma": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "decay_epochs": (lambda v: v > 0, "above 0"),
    "patience": (lambda v: v >= 1, "at least 1"),
    "warmup_epochs": (lambda v: v >= 0, "at least 0"),
    "warmup_lr": (lambda v: 0 <= v < 100, "at least 0 and below 100"),
    "image_size": (lambda v: 1 <= v <= 4096, "none or 1 to 4096 pixels"),
    "flip": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "crop_scale": (lambda v: len(v) == 2 and 0 < v[0] <= v[1] <= 1, "two positive, rising numbers, at most 1"),
    "crop_ratio": (lambda v: len(v) == 2 and 0 < v[0] <= v[1], "two positive, rising numbers"),
    "rand_augment": (lambda v: 0 <= v <= 14, "0 to 14 operations"),
    "rand_magnitude": (lambda v: 0 <= v <= 30, "0 to 30"),
    "cutout": (lambda v: 0 <= v <= 4096, "0 to 4096 pixels"),
    "label_smoothing": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "mixup": (lambda v: 0 <= v <= 100, "0 to 100"),
    "cutmix": (lambda v: 0 <= v <= 100, "0 to 100"),
    "dropout": (lambda v: 0 <= v < 1, "a probability below 1"),
    "stochastic_depth": (lambda v: 0 <= v < 1, "a probability below 1"),
    "auxiliary_weight": (lambda v: 0 <= v <= 100, "0 to 100"),
}
# field: the schedules that have it, and without which a schedule that needs it cannot be.
OF_SCHEDULES = {
    "milestones": ("multi_step",),
    "decay_epochs": ("step", "exponential"),
    "patience": ("plateau",),
}
# field: its default, which it must have where nothing uses it.
UNUSED = {"gamma": 0.1, "crop_scale": (0.8, 1.0), "crop_ratio": (0.9, 1.1)}
FALLING = ("multi_step", "step", "exponential", "plateau")
OF_OPTIMIZERS = {
    "momentum": ("sgd", "rmsprop", "muon"),
    "rms_decay": ("rmsprop",),
    "epsilon": ("adam", "adamw", "rmsprop", "muon"),
}


def check_recipe(recipe: Recipe) -> None:
    """Raises `UsageError` that names the field, its value and what is permitted."""
    for field, (holds, permitted) in RANGES.items():
        value = getattr(recipe, field)
        require(recipe, field, value is None or holds(value), permitted)
    _check_optimizer(recipe)
    _check_schedule(recipe)
    _check_warmup(recipe)
    _check_images(recipe)


def _check_optimizer(recipe: Recipe) -> None:
    for field, optimizers in OF_OPTIMIZERS.items():
        used = recipe.optimizer in optimizers
        nothing = 0 if field == "momentum" else "none"
        require(recipe, field, used or not getattr(recipe, field), f"{nothing} with optimizer={recipe.optimizer}")
    fits = recipe.optimizer in ("sgd", "muon") and recipe.momentum > 0
    require(recipe, "nesterov", fits or not recipe.nesterov, "false without the momentum of sgd or muon")
    moves = recipe.optimizer != "muon" or recipe.momentum > 0
    require(recipe, "momentum", moves, "above 0 with optimizer=muon, which orthogonalises it")
    decays = recipe.weight_decay > 0 or recipe.weight_decay_on == "all"
    require(recipe, "weight_decay_on", decays, "all without weight_decay")
    parts = recipe.batch_size % recipe.accumulate == 0
    require(recipe, "accumulate", parts, f"a divisor of batch_size={recipe.batch_size}")


def _check_schedule(recipe: Recipe) -> None:
    for field, schedules in OF_SCHEDULES.items():
        given, used = bool(getattr(recipe, field)), recipe.schedule in schedules
        nothing = "empty" if field == "milestones" else "none"
        require(recipe, field, used or not given, f"{nothing} with schedule={recipe.schedule}, which has none")
        require(recipe, field, given or not used, f"given with schedule={recipe.schedule}")
    falls = recipe.schedule in FALLING or recipe.gamma == UNUSED["gamma"]
    require(recipe, "gamma", falls, f"left out with schedule={recipe.schedule}, which does not use it")
    rising = all(a < b for a, b in zip(recipe.milestones, recipe.milestones[1:], strict=False))
    positive = all(milestone >= 1 for milestone in recipe.milestones)
    require(recipe, "milestones", rising and positive, "rising epochs of at least 1")
    within = not recipe.milestones or recipe.milestones[-1] <= recipe.epochs
    require(recipe, "milestones", within, f"at most {recipe.epochs}, the number of epochs")


def _check_warmup(recipe: Recipe) -> None:
    ramp = recipe.warmup_epochs > 0
    require(recipe, "warmup_lr", ramp or not recipe.warmup_lr, "0 without warmup_epochs")
    require(recipe, "warmup", ramp or recipe.warmup == "linear", "linear without warmup_epochs")
    own = recipe.schedule == "one_cycle"
    require(recipe, "warmup_epochs", not (ramp and own), "0 with schedule=one_cycle, which rises by itself")
    require(recipe, "warmup_epochs", recipe.warmup_epochs < recipe.epochs, f"below {recipe.epochs}, all epochs")
    constant = recipe.warmup == "constant"
    require(recipe, "warmup_lr", recipe.warmup_lr > 0 or not constant, "above 0 with warmup=constant")


def _check_images(recipe: Recipe) -> None:
    if (recipe.mean is None) != (recipe.std is None):
        raise UsageError(
            f"mean={recipe.mean} and std={recipe.std} of recipe {recipe.name} belong together: give both or none"
        )
    if recipe.mean is not None and recipe.std is not None:
        fits = len(recipe.mean) == len(recipe.std) > 0 and min(recipe.std) > 0
        require(recipe, "std", fits, "positive, one for each mean")
    for field in ("crop_scale", "crop_ratio"):
        used = recipe.crop == "resized" or getattr(recipe, field) == UNUSED[field]
        require(recipe, field, used, f"left out with crop={recipe.crop}, which does not use it")
    both = (recipe.rand_augment > 0) == (recipe.rand_magnitude is not None)
    if not both:
        raise UsageError(
            f"rand_augment={recipe.rand_augment} operations and rand_magnitude={short(recipe.rand_magnitude)} of "
            f"recipe {recipe.name} belong together: give both or neither"
        )
    small = recipe.image_size is None or recipe.cutout <= recipe.image_size
    require(recipe, "cutout", small, f"at most {recipe.image_size}, the image's size")


def require(recipe: Recipe, field: str, holds: bool, permitted: str) -> None:
    """Raises `UsageError` unless the rule holds."""
    if not holds:
        raise UsageError(f"{field}={short(getattr(recipe, field))} makes no sense; it must be {permitted}")


def short(value: Any) -> str:
    """A value as it stands in a recipe's name: `0.1`, `100+150`, `none`, `true`.

    >>> short((100, 150))
    '100+150'
    """
    if isinstance(value, tuple):
        return "+".join(map(short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
