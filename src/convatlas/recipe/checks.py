"""The checks of a recipe: the range of each field, and the fields that must fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.recipe.fields import Recipe

ALL_BUT_HEAD = "all_but_head"  # the word in `frozen` for every part but the head

# field: the condition on its value, in Python and in words. None passes if the type permits it.
RANGES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "epochs": (lambda v: 1 <= v <= 1_000_000, "at least 1 and at most 1,000,000"),
    "steps": (lambda v: 1 <= v <= 1_000_000_000, "at least 1 and at most 1,000,000,000"),
    "epoch_steps": (lambda v: 1 <= v <= 1_000_000, "none, or at least 1 and at most 1,000,000"),
    "snapshots": (lambda v: v == 0 or 2 <= v <= 1000, "0, or from 2 to 1000"),
    "batch_size": (lambda v: v >= 1, "at least 1"),
    "lr": (lambda v: 0 < v < 100, "above 0 and below 100"),
    "layer_decay": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "head_first_epochs": (lambda v: v >= 0, "at least 0"),
    "momentum": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "rms_decay": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "epsilon": (lambda v: 0 < v <= 10, "above 0 and at most 10"),
    "weight_decay": (lambda v: 0 <= v < 10, "at least 0 and below 10"),
    "accumulate": (lambda v: v >= 1, "at least 1"),
    "clip_norm": (lambda v: v > 0, "above 0"),
    "ema": (lambda v: 0 < v < 1, "above 0 and below 1"),
    "gamma": (lambda v: 0 < v <= 1, "above 0 and at most 1"),
    "decay_epochs": (lambda v: v > 0, "above 0"),
    "decay_steps": (lambda v: v >= 1, "at least 1"),
    "patience": (lambda v: v >= 1, "at least 1"),
    "warmup_epochs": (lambda v: v >= 0, "at least 0"),
    "warmup_steps": (lambda v: v >= 0, "at least 0"),
    "warmup_lr": (lambda v: 0 <= v < 100, "at least 0 and below 100"),
    "image_size": (lambda v: 1 <= v <= 4096, "none or 1 to 4096 pixels"),
    "shorter_side": (lambda v: 1 <= v <= 4096, "none or 1 to 4096 pixels"),
    "flip": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "crop_scale": (lambda v: len(v) == 2 and 0 < v[0] <= v[1] <= 1, "two positive, rising numbers, at most 1"),
    "crop_ratio": (lambda v: len(v) == 2 and 0 < v[0] <= v[1], "two positive, rising numbers"),
    "jitter": (lambda v: 0 <= v <= 1, "0 to 1"),
    "hue": (lambda v: 0 <= v <= 0.5, "0 to 0.5, half of the circle of colours"),
    "rand_augment": (lambda v: 0 <= v <= 14, "0 to 14 operations"),
    "rand_magnitude": (lambda v: 0 <= v <= 30, "0 to 30"),
    "cutout": (lambda v: 0 <= v <= 4096, "0 to 4096 pixels"),
    "scale_jitter": (lambda v: len(v) == 2 and 0.01 <= v[0] <= v[1] <= 10, "two rising factors from 0.01 to 10"),
    "mosaic": (lambda v: 0 <= v <= 1, "a probability from 0 to 1"),
    "label_smoothing": (lambda v: 0 <= v < 1, "at least 0 and below 1"),
    "mixup": (lambda v: 0 <= v <= 100, "0 to 100"),
    "cutmix": (lambda v: 0 <= v <= 100, "0 to 100"),
    "dropout": (lambda v: 0 <= v < 1, "a probability below 1"),
    "labels": (lambda v: 0 < v < 1 or (v >= 2 and v == int(v)), "a whole number of at least 2, or a part below 1"),
    "unlabelled_ratio": (lambda v: 0 <= v <= 1000, "0 to 1000 images for each labelled one"),
    "unlabelled_weight": (lambda v: 0 <= v <= 10_000, "0 to 10,000"),
    "ramp_up": (lambda v: 0 <= v <= 1, "0 to 1, a part of the training"),
    "threshold": (lambda v: 0 <= v < 1, "a probability below 1"),
    "temperature": (lambda v: 0 < v <= 100, "above 0 and at most 100"),
    "pseudo_per_class": (lambda v: 1 <= v <= 1_000_000_000, "none, or at least 1 image of each class"),
    "student_wait": (lambda v: 0 <= v < 1, "at least 0 and below 1, a part of the training"),
    "finetune_part": (lambda v: 0 <= v < 1, "at least 0 and below 1, a part of the training"),
    "finetune_lr": (lambda v: 0 < v < 100, "above 0 and below 100"),
    "stochastic_depth": (lambda v: 0 <= v < 1, "a probability below 1"),
    "auxiliary_weight": (lambda v: 0 <= v <= 100, "0 to 100"),
}
# field: the schedules that need it; other schedules must not have it.
OF_SCHEDULES = {
    "milestones": ("multi_step",),
    "decay_epochs": ("step", "exponential"),
    "decay_steps": ("step", "exponential"),
    "patience": ("plateau",),
}
OTHER_DECAY = {"epochs": "decay_steps", "steps": "decay_epochs"}  # unit of a recipe: the decay of the other unit
# field: its default, which it must have if the recipe does not use the field.
UNUSED = {"gamma": 0.1, "crop_scale": (0.8, 1.0), "crop_ratio": (0.9, 1.1)}
FALLING = ("multi_step", "step", "exponential", "plateau")
OF_OPTIMIZERS = {
    "momentum": ("sgd", "rmsprop", "muon"),
    "rms_decay": ("rmsprop",),
    "epsilon": ("adam", "adamw", "rmsprop", "muon"),
}


def check_recipe(recipe: Recipe) -> None:
    """Raises `UsageError`, which names the field, its value and the permitted values.

    The fields of a method for few labels are checked by `check_method`.
    """
    flat = recipe.flat()
    for field, (holds, permitted) in RANGES.items():
        require(recipe, field, flat[field] is None or holds(flat[field]), permitted)
    _check_optimizer(recipe)
    _check_unit(recipe)
    _check_schedule(recipe)
    _check_warmup(recipe)
    _check_images(recipe)
    twice = recipe.sampling == "balanced" and recipe.loss.class_weights == "balanced"
    require(recipe, "class_weights", not twice, "none with sampling=balanced, which counts each class alike already")


def _check_optimizer(recipe: Recipe) -> None:
    fields = recipe.optimizer
    scaled = all(map(_is_scale, fields.lr_scales))
    require(recipe, "lr_scales", scaled, "NAME=FACTOR, of factors above 0 and at most 1000, such as stem=0.1,head=10")
    once = len({text.partition("=")[0] for text in fields.lr_scales}) == len(fields.lr_scales)
    require(recipe, "lr_scales", once, "NAME=FACTOR, each name once")
    first, frozen = fields.head_first_epochs, fields.frozen
    shorter = not first or (recipe.epochs is not None and first < recipe.epochs)
    below = "0 in a recipe that counts steps" if recipe.epochs is None else f"below {recipe.epochs}, all epochs"
    require(recipe, "head_first_epochs", shorter, below)
    named = len(set(frozen)) == len(frozen) and all(name == name.strip() != "" for name in frozen)
    require(recipe, "frozen", named, "names of parts, each once")
    for name, kinds in OF_OPTIMIZERS.items():
        nothing = 0 if name == "momentum" else "none"
        unused = fields.kind in kinds or not getattr(fields, name)
        require(recipe, name, unused, f"{nothing} with optimizer={fields.kind}")
    fits = fields.kind in ("sgd", "muon") and fields.momentum > 0
    require(recipe, "nesterov", fits or not fields.nesterov, "false without the momentum of sgd or muon")
    moves = fields.kind != "muon" or fields.momentum > 0
    require(recipe, "momentum", moves, "above 0 with optimizer=muon, which orthogonalises it")
    decays = fields.weight_decay > 0 or fields.weight_decay_on == "all"
    require(recipe, "weight_decay_on", decays, "all without weight_decay")
    parts = recipe.batch_size % fields.accumulate == 0
    require(recipe, "accumulate", parts, f"a divisor of batch_size={recipe.batch_size}")


def _is_scale(text: str) -> bool:
    """Returns whether a text is NAME=FACTOR: a part of the network and the factor on its learning rate."""
    name, _, factor = text.partition("=")
    try:
        return name == name.strip() != "" and 0 < float(factor) <= 1000
    except ValueError:
        return False


def _check_unit(recipe: Recipe) -> None:
    """Raises `UsageError` unless the recipe counts in epochs or in steps, and in nothing else."""
    if (recipe.epochs is None) == (recipe.steps is None):
        raise UsageError(
            f"epochs={short(recipe.epochs)} and steps={short(recipe.steps)} of recipe {recipe.name} do not go "
            "together: give one of them, and none for the other"
        )
    other = "steps" if recipe.unit == "epochs" else "epochs"
    for name, nothing in ((f"decay_{other}", "none"), (f"warmup_{other}", "0")):
        unused = not getattr(recipe.schedule, name)
        require(recipe, name, unused, f"{nothing} in a recipe that counts {recipe.unit}")
    counts = recipe.unit == "epochs" or recipe.schedule.kind != "plateau"
    require(recipe, "steps", counts, "none with schedule=plateau, which counts epochs")


def _check_schedule(recipe: Recipe) -> None:
    fields = recipe.schedule
    for name, kinds in OF_SCHEDULES.items():
        if name == OTHER_DECAY[recipe.unit]:
            continue
        given, used = bool(getattr(fields, name)), fields.kind in kinds
        nothing = "empty" if name == "milestones" else "none"
        require(recipe, name, used or not given, f"{nothing} with schedule={fields.kind}, which has none")
        require(recipe, name, given or not used, f"given with schedule={fields.kind}")
    falls = fields.kind in FALLING or fields.gamma == UNUSED["gamma"]
    require(recipe, "gamma", falls, f"left out with schedule={fields.kind}, which does not use it")
    rising = all(a < b for a, b in zip(fields.milestones, fields.milestones[1:], strict=False))
    positive = all(milestone >= 1 for milestone in fields.milestones)
    require(recipe, "milestones", rising and positive, f"rising {recipe.unit} of at least 1")
    within = not fields.milestones or fields.milestones[-1] <= recipe.length
    require(recipe, "milestones", within, f"at most {recipe.length}, the number of {recipe.unit}")


def _check_warmup(recipe: Recipe) -> None:
    fields = recipe.schedule
    ramp, name = recipe.warmup_length > 0, f"warmup_{recipe.unit}"
    require(recipe, "warmup_lr", ramp or not fields.warmup_lr, f"0 without {name}")
    require(recipe, "warmup", ramp or fields.warmup == "linear", f"linear without {name}")
    own = fields.kind == "one_cycle"
    require(recipe, name, not (ramp and own), "0 with schedule=one_cycle, which rises by itself")
    require(recipe, name, recipe.warmup_length < recipe.length, f"below {recipe.length}, all {recipe.unit}")
    constant = fields.warmup == "constant"
    require(recipe, "warmup_lr", fields.warmup_lr > 0 or not constant, "above 0 with warmup=constant")


def _check_images(recipe: Recipe) -> None:
    fields = recipe.images
    if (fields.mean is None) != (fields.std is None):
        raise UsageError(
            f"mean={fields.mean} and std={fields.std} of recipe {recipe.name} belong together: give both or none"
        )
    if fields.mean is not None and fields.std is not None:
        fits = len(fields.mean) == len(fields.std) > 0 and min(fields.std) > 0
        require(recipe, "std", fits, "positive, one for each mean")
    if fields.shorter_side is not None:
        least = fields.image_size or 4097
        permitted = "none without image_size" if fields.image_size is None else f"at least {least}, the image's size"
        require(recipe, "shorter_side", fields.shorter_side >= least, permitted)
    larger = fields.crop != "random" or fields.shorter_side is not None
    require(recipe, "crop", larger, "none, resized or pad4 without shorter_side, of which a random part is cut out")
    for name in ("crop_scale", "crop_ratio"):
        used = fields.crop == "resized" or getattr(fields, name) == UNUSED[name]
        require(recipe, name, used, f"left out with crop={fields.crop}, which does not use it")
    both = (fields.rand_augment > 0) == (fields.rand_magnitude is not None)
    if not both:
        raise UsageError(
            f"rand_augment={fields.rand_augment} operations and rand_magnitude={short(fields.rand_magnitude)} of "
            f"recipe {recipe.name} belong together: give both or neither"
        )
    drawn = fields.rand_augment > 0 or fields.rand_magnitudes == "fixed"
    require(recipe, "rand_magnitudes", drawn, "fixed without rand_augment")
    small = fields.image_size is None or fields.cutout <= fields.image_size
    require(recipe, "cutout", small, f"at most {fields.image_size}, the image's size")


def require(recipe: Recipe, field: str, holds: bool, permitted: str) -> None:
    """Raises `UsageError`, which names the flat field, unless `holds`."""
    if not holds:
        raise UsageError(f"{field}={short(recipe.flat()[field])} makes no sense; it must be {permitted}")


def short(value: Any) -> str:
    """Returns a value as a recipe's name shows it: `0.1`, `100+150`, `none`, `true`.

    >>> short((100, 150))
    '100+150'
    """
    if isinstance(value, tuple):
        return "+".join(map(short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def check_changes(recipe: Recipe, changes: Mapping[str, Any]) -> None:
    """Raises `UsageError` where other frozen parts would train the body in a recipe that trains the head alone."""
    frozen = changes.get("frozen")
    if frozen is not None and ALL_BUT_HEAD in recipe.optimizer.frozen and ALL_BUT_HEAD not in frozen:
        raise UsageError(
            f"{recipe.name} leaves every part but the head as it is; with frozen={','.join(frozen)} it would train the "
            "others: choose a recipe that trains them, such as full or gradual"
        )
