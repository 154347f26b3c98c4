"""The checks of a recipe for few labels: the fields that its method needs, and those that contradict it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convatlas.recipe.checks import require

if TYPE_CHECKING:
    from convatlas.recipe.fields import Recipe

METHODS = ("supervised", "pseudo_label", "mean_teacher", "fixmatch", "uda", "meta_pseudo_labels", "noisy_student")
WITH_UNLABELLED = METHODS[1:]  # they learn from unlabelled images too
WITH_STRONG_VIEW = ("fixmatch", "uda", "meta_pseudo_labels")
NOISY = ("noisy_student",)
META = ("meta_pseudo_labels",)
# The changes of the images that belong to strong views, and their values where nothing is changed.
STRONG_ALONE: dict[str, Any] = {
    **{"jitter": 0.0, "hue": 0.0, "cutout": 0},
    **{"rand_augment": 0, "rand_magnitude": None, "rand_magnitudes": "fixed"},
}
# field: the methods that need it; the others must not have it.
NEEDED = {
    "unlabelled_ratio": WITH_UNLABELLED,
    "unlabelled_weight": WITH_UNLABELLED,
    "threshold": ("pseudo_label", *NOISY, *WITH_STRONG_VIEW),
    "temperature": ("uda", *META),
}
# field: the methods that may have it, and its value in the others.
PERMITTED = {
    "labels": (METHODS, "none"),
    "ramp_up": (WITH_UNLABELLED, "0"),
    "annealing": (("uda",), "none"),
    "pseudo_labels": (NOISY, "none"),
    "pseudo_per_class": (NOISY, "none"),
    "teacher_gradient": (META, "none"),
    "student_wait": (META, "0"),
    "finetune_part": (META, "0"),
    "finetune_lr": (META, "none"),
}


def check_method(recipe: Recipe) -> None:
    """Raises `UsageError` for a field that the method lacks, does not use, or cannot work with."""
    method, flat = recipe.method.kind, recipe.flat()
    said = f"with method={method}" if method else "without a method for few labels"
    for name, methods in NEEDED.items():
        counts = name not in ("threshold", "temperature")  # it has 0 where it is not used, others have none
        used = flat[name] != 0 if counts else flat[name] is not None
        require(recipe, name, used or method not in methods, f"{'above 0' if counts else 'given'} {said}")
        require(recipe, name, not used or method in methods, f"{'0' if counts else 'none'} {said}")
    for name, (methods, nothing) in PERMITTED.items():
        unused = flat[name] in (0, None, "none") or method in methods
        require(recipe, name, unused, f"{nothing} {said}")
    if method is None:
        return
    words = "given with a method for few labels: the steps after which the validation images are measured"
    require(recipe, "epoch_steps", recipe.epoch_steps is not None, words)
    if method in WITH_UNLABELLED:
        _check_with_unlabelled(recipe, said)
    given = recipe.method.pseudo_labels != "none" or method not in NOISY
    require(recipe, "pseudo_labels", given, f"soft or hard {said}")
    if method in META:
        _check_meta(recipe)
    if method in WITH_UNLABELLED and method not in (*WITH_STRONG_VIEW, *NOISY):
        for name, nothing in STRONG_ALONE.items():
            words = f"{'none' if nothing is None else nothing} {said}, whose images are flipped and cropped alone"
            require(recipe, name, flat[name] == nothing, words)
    if recipe.method.annealing != "none":
        require(recipe, "class_weights", recipe.loss.class_weights == "none", "none with annealing")
    drawn = recipe.images.rand_augment > 0 or method not in WITH_STRONG_VIEW
    require(recipe, "rand_augment", drawn, f"above 0 {said}: it makes the strong view")
    averaged = recipe.optimizer.ema is not None or method != "mean_teacher"
    require(recipe, "ema", averaged, f"given {said}: the average is the teacher")


def _check_with_unlabelled(recipe: Recipe, said: str) -> None:
    """Raises `UsageError` for fields of the usual training that methods with unlabelled images have no place for."""
    for name in ("mixup", "cutmix"):
        require(recipe, name, not getattr(recipe.loss, name), f"0 {said}, which mixes no images")
    require(recipe, "accumulate", recipe.optimizer.accumulate == 1, f"1 {said}: all views go through together")
    require(recipe, "crop", recipe.images.crop != "random", f"none, pad4 or resized {said}")


def _check_meta(recipe: Recipe) -> None:
    """Raises `UsageError` for fields that contradict each other in Meta Pseudo Labels."""
    fields = recipe.method
    both = (fields.finetune_part > 0) == (fields.finetune_lr is not None)
    require(recipe, "finetune_lr", both, "given with finetune_part, and none without it")
    rest = fields.student_wait + fields.finetune_part < 1
    require(recipe, "student_wait", rest, "so short that student_wait and finetune_part leave steps between them")
    counts = recipe.schedule.kind != "plateau" or not fields.student_wait
    require(
        recipe, "schedule", counts, "another one than plateau with student_wait: the student has a schedule of its own"
    )
    if fields.teacher_gradient == "exact":
        kind, clip = recipe.optimizer.kind, recipe.optimizer.clip_norm
        require(recipe, "optimizer", kind == "sgd", "sgd with teacher_gradient=exact, which goes through its step")
        require(recipe, "clip_norm", clip is None, "none with teacher_gradient=exact")
