"""The recipes for few labels. `labels` is left open: --labels says how many images keep theirs."""

from __future__ import annotations

from typing import Any

from convatlas.data_names import recipe_of_data
from convatlas.errors import UsageError, unknown
from convatlas.recipe.fields import OF_METHOD, Recipe, defaults
from convatlas.values import fields_in_brackets, listed

Settings = tuple[tuple[str, Any], ...]

_FIXMATCH_CODE = (
    "FixMatch (Sohn et al. 2020), https://arxiv.org/abs/2001.07685, section 4 and table 4, and the authors' code, "
    "https://github.com/google-research/fixmatch"
)
_EXPECTED = (
    "CIFAR-10 test, wide_resnet28_2_fixmatch, 2^20 steps, mean ± deviation of 5 draws of the labels "
    "(FixMatch's table 2, all by one code): "
)
# The set-up that FixMatch's authors give to every method of their table: 1024 epochs of 1024 steps.
_SHARED: dict[str, Any] = {
    "steps": 2**20,
    "epoch_steps": 1024,
    "batch_size": 64,
    "optimizer": "sgd",
    "lr": 0.03,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "weight_decay_on": "weights",
    "ema": 0.999,
    "schedule": "cosine_7_16",
    "image_size": 32,
    "mean": (0.49139968, 0.48215841, 0.44653091),
    "std": (0.24703223, 0.24348513, 0.26158784),
    "crop": "pad4",
    "flip": 0.5,
    "select": "last",
}
_STRONG: dict[str, Any] = {"rand_augment": 2, "rand_magnitude": 10.0, "rand_magnitudes": "drawn", "cutout": 16}
_METHODS: dict[str, dict[str, Any]] = {
    "supervised": {},
    "pseudo_label": {"unlabelled_ratio": 1, "unlabelled_weight": 1.0, "ramp_up": 0.4, "threshold": 0.95},
    "mean_teacher": {"unlabelled_ratio": 1, "unlabelled_weight": 50.0, "ramp_up": 0.4},
    "fixmatch": {"unlabelled_ratio": 7, "unlabelled_weight": 1.0, "threshold": 0.95, **_STRONG},
    "uda": {"unlabelled_ratio": 7, "unlabelled_weight": 1.0, "threshold": 0.8, "temperature": 0.4, **_STRONG},
    "meta_pseudo_labels": {
        **{"steps": 305_000, "epoch_steps": 1000, "batch_size": 128, "lr": 0.05, "ema": 0.995},
        **{"schedule": "cosine", "warmup_steps": 5000, "label_smoothing": 0.15},
        **{"unlabelled_ratio": 7, "unlabelled_weight": 8.0, "ramp_up": 5000 / 305_000, "threshold": 0.6},
        **{"temperature": 0.7, "teacher_gradient": "first_order", "student_wait": 3000 / 305_000},
        **{"finetune_part": 5000 / 305_000, "finetune_lr": 3e-5},
        **{"rand_augment": 2, "rand_magnitude": 16.0, "cutout": 16},
    },
    "noisy_student": {
        **{"unlabelled_ratio": 3, "unlabelled_weight": 1.0, "threshold": 0.3, "pseudo_labels": "soft"},
        **{"label_smoothing": 0.1, "rand_augment": 2, "rand_magnitude": 10.0, "cutout": 16},
    },
}
_SOURCES = {
    "supervised": f"ours: the set-up of {_FIXMATCH_CODE}, from the labelled images alone",
    "pseudo_label": "Pseudo-Label (Lee 2013, ICML workshop), with threshold, ramp-up and the rest of the set-up of "
    + _FIXMATCH_CODE,
    "mean_teacher": "Mean Teacher (Tarvainen, Valpola 2017), https://arxiv.org/abs/1703.01780, with the set-up of "
    + _FIXMATCH_CODE,
    "fixmatch": _FIXMATCH_CODE,
    "uda": "UDA (Xie et al. 2019), https://arxiv.org/abs/1904.12848, with threshold, temperature and ratio of its "
    "code for few labels of CIFAR-10 on a GPU, https://github.com/google-research/uda, and the set-up of "
    + _FIXMATCH_CODE,
    "noisy_student": "Noisy Student (Xie et al. 2019), https://arxiv.org/abs/1911.04252: threshold, balance, soft "
    "labels, ratio, label smoothing and RandAugment's 2 operations are the paper's for ImageNet, the rest is that of "
    + _FIXMATCH_CODE,
    "meta_pseudo_labels": "Meta Pseudo Labels (Pham et al. 2020), https://arxiv.org/abs/2003.10580, with the values of "
    "https://github.com/google-research/google-research/tree/master/meta_pseudo_labels for CIFAR-10 with 4,000 labels; "
    "finetuning for 5,000 steps as in https://github.com/kekmodel/MPL-pytorch, in batches of 128",
}
# USB's table: results/classic_cv.csv of https://github.com/microsoft/Semi-supervised-learning, Wide ResNet 28-2.
_USB = (
    "not known for this set-up; CIFAR-10 test, Wide ResNet 28-2, by USB's values, its best epoch on test, mean ± "
    "deviation of 3 seeds: "
)
_RESULTS = {
    "supervised": _USB + "44.04 ± 1.95 % with 250 labels, 84.49 ± 0.18 % with 4,000 (published)",
    "pseudo_label": _USB + "51.72 ± 2.10 % with 250 labels, 85.10 ± 0.20 % with 4,000 (published)",
    "mean_teacher": _USB + "43.94 ± 2.03 % with 250 labels, 84.53 ± 0.43 % with 4,000 (published)",
    "fixmatch": _EXPECTED + "86.19 ± 3.37 % with 40 labels, 94.93 ± 0.65 % with 250, 95.74 ± 0.05 % with 4,000 "
    "(published)",
    "uda": _EXPECTED + "70.95 ± 5.93 % with 40 labels, 91.18 ± 1.08 % with 250, 95.12 ± 0.18 % with 4,000 "
    "(published, by that code's values of UDA)",
    "noisy_student": "not known for CIFAR-10; ImageNet, one crop: EfficientNet-B0 78.8 % (published)",
    "meta_pseudo_labels": "CIFAR-10 test, wide_resnet28_2_mpl, 4,000 labels: 96.11 ± 0.07 % (published)",
}
# A minute for small images on a laptop, by the same method.
_QUICK: dict[str, Any] = {
    **{"steps": 300, "epoch_steps": 50, "batch_size": 16, "optimizer": "adamw", "lr": 3e-3, "weight_decay": 1e-2},
    **{"momentum": 0.0, "nesterov": False, "ema": 0.95, "schedule": "cosine_7_16", "warmup_steps": 0},
    **{"label_smoothing": 0.0, "image_size": 16, "mean": None, "std": None},
}
# What else a method has in its quick form, where it has the field.
_QUICK_VALUES = {
    **{"unlabelled_ratio": 3, "cutout": 4, "rand_magnitude": 5.0},
    **{"student_wait": 0.1, "finetune_part": 0.1, "finetune_lr": 1e-3},
}


# Of a short training: with the weight of 8 its teacher soon gives all images one class.
_QUICK_ALONE: dict[str, dict[str, Any]] = {"meta_pseudo_labels": {"unlabelled_weight": 1.0, "steps": 600}}


def _named(name: str) -> Recipe:
    return Recipe(
        name=name, source=_SOURCES[name], expected=_RESULTS[name], method=name, **{**_SHARED, **_METHODS[name]}
    )


def _quick(name: str) -> Recipe:
    own = {field: value for field, value in _QUICK_VALUES.items() if field in _METHODS[name]}
    return Recipe(
        name=f"{name}_quick",
        source=f"ours: {name} in a minute for small images on a laptop",
        expected="not known: it depends on the images and the labels",
        method=name,
        **{**_SHARED, **_METHODS[name], **_QUICK, **own, **_QUICK_ALONE.get(name, {})},
    )


RECIPES = (*map(_named, _METHODS), *map(_quick, _METHODS))


def recipe_of_method(method: str, data: str) -> str:
    """Returns the name of a method's recipe for a data set. Raises `UsageError` for an unknown method.

    >>> recipe_of_method("fixmatch", "cifar10"), recipe_of_method("fixmatch", "digits")
    ('fixmatch', 'fixmatch_quick')
    """
    if method not in _METHODS:
        raise unknown("method", method, _METHODS)
    return f"{method}_quick" if recipe_of_data(data) == "quick" else method


def methods_with_labels(methods: str, labels: str | None, *, data: str) -> tuple[tuple[str, Settings], ...]:
    """Returns the recipe of each method in a list, with each number of labels in another list, as recipe fields.

    A method may bring fields of its own in square brackets. Raises `UsageError` for an unknown method, for one that is
    named twice, and for brackets without fields.

    >>> methods_with_labels("supervised,uda", "250,4000", data="cifar10")[1:3]
    (('supervised', (('labels', '4000'),)), ('uda', (('labels', '250'),)))
    >>> methods_with_labels("fixmatch[lr=0.1,cutout=8]", None, data="cifar10")
    (('fixmatch', (('lr', '0.1'), ('cutout', '8'))),)
    """
    texts = listed(methods)
    counts = [None] if labels is None else listed(labels)
    for what, found in (("--methods", texts), ("--labels", counts)):
        if not found or len(set(found)) < len(found):
            raise UsageError(f"{what} must name one or more, each once, with commas between them")
    chosen = []
    for text in texts:
        name, bracket, rest = text.partition("[")
        if bracket and not (rest.endswith("]") and rest[:-1]):
            raise UsageError(f"{text!r} is no method; write METHOD or METHOD[FIELD=VALUE,...]")
        if name == "noisy_student":
            raise UsageError(
                "noisy_student trains a teacher first: train it with convatlas semi --rounds; then convatlas report "
                "RUN... --out DIR puts all runs into one table"
            )
        fields = fields_in_brackets(rest.removesuffix("]"), text)
        chosen.append((recipe_of_method(name, data), tuple(fields.items())))
    return tuple(
        (name, (*fields, *(() if count is None else (("labels", count),))))
        for name, fields in chosen
        for count in counts
    )


def recipe_of_teacher(student: Recipe) -> Recipe:
    """Returns the recipe of Noisy Student's first teacher: the labelled images alone, with the student's noise."""
    usual = defaults()
    plain = {name: usual[name] for name in OF_METHOD if name != "labels"}
    return student.with_values(
        method="supervised", **plain, name=student.name.replace("noisy_student", "noisy_teacher", 1)
    )
