"""`Recipe`: how a network is trained, as frozen, validated data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from convatlas import values
from convatlas.errors import UsageError, unknown
from convatlas.recipe.rules import check_recipe, short

Optimizer = Literal["sgd", "adam", "adamw", "rmsprop", "muon"]
Schedule = Literal["constant", "multi_step", "step", "exponential", "cosine", "one_cycle", "plateau"]
Warmup = Literal["linear", "constant"]
Crop = Literal["none", "resized", "pad4"]
Precision = Literal["float32", "bf16"]
WORDS = ("name", "source", "expected")  # fields that say what a recipe is and change nothing
NETWORK_FIELDS = ("dropout", "stochastic_depth", "auxiliary_weight")  # options of the network that a recipe may set


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: every value literal, with the source it comes from and the result it gave.

    What a recipe does not use is None, 0 or empty. Raises `UsageError` for a value that makes no sense, and for fields
    that contradict each other.

    The optimizer. `momentum` is of sgd, rmsprop and muon, `nesterov` makes sgd's and muon's Nesterov's. `rms_decay` is
    of rmsprop (0.9 where it is None), `epsilon` of all but sgd. `weight_decay_on="weights"` spares norms and biases.
    `accumulate` computes a batch in so many parts. `clip_norm` bounds the norm of all gradients together. `ema` is the
    decay of the moving average of the weights that is evaluated in their place.

    The learning rate. Multiplied by `gamma` at the epochs `milestones` (multi_step), every `decay_epochs` (step, and
    smoothly exponential), or where the validation accuracy has not risen for `patience` epochs (plateau). Before that,
    `warmup_epochs` rising from `warmup_lr` (linear), or at `warmup_lr` (constant).

    The images. `image_size` in pixels, None for the data's own; `mean` and `std` per channel, of values in [0, 1], None
    for the training images' own. `flip` is the probability of mirroring left to right. `crop="resized"` takes a random
    part of `crop_scale` of the area and of aspect ratio `crop_ratio` and resizes it, `pad4` a part, of the image's
    size, of the image with 4 black pixels around it. `rand_augment` operations of `rand_magnitude` (0 to 30), and a
    square of `cutout` pixels at the mean colour. `drop_last` leaves out the last, smaller batch of an epoch.

    The loss. `label_smoothing` is the part of the label that all classes share; `mixup` and `cutmix` are the alpha of
    their Beta distribution, and where both are given each batch has one of them. `class_weights="balanced"` weighs an
    image by the rarity of its class.

    The network's own options, by their names, where it has them: `dropout`, `stochastic_depth`, `auxiliary_weight`.
    """

    name: str
    source: str
    expected: str
    epochs: int
    batch_size: int
    optimizer: Optimizer
    lr: float
    momentum: float = 0.0
    nesterov: bool = False
    rms_decay: float | None = None
    epsilon: float | None = None
    weight_decay: float = 0.0
    weight_decay_on: Literal["all", "weights"] = "all"
    accumulate: int = 1
    clip_norm: float | None = None
    ema: float | None = None
    schedule: Schedule = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    decay_epochs: float | None = None
    patience: int | None = None
    warmup_epochs: float = 0.0
    warmup: Warmup = "linear"
    warmup_lr: float = 0.0
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    flip: float = 0.0
    crop: Crop = "none"
    crop_scale: tuple[float, ...] = (0.8, 1.0)
    crop_ratio: tuple[float, ...] = (0.9, 1.1)
    rand_augment: int = 0
    rand_magnitude: float | None = None
    cutout: int = 0
    drop_last: bool = True
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    dropout: float | None = None
    stochastic_depth: float | None = None
    auxiliary_weight: float | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for field, hint in get_type_hints(type(self)).items():
            values.check(getattr(self, field), hint, name=field)
        check_recipe(self)

    def summary(self) -> str:
        """The recipe in one line, as it is printed before training.

        >>> from convatlas.recipe import recipe
        >>> recipe("uva_sgd").summary()
        'uva_sgd: 180 epochs of batches of 128, sgd at 0.1, multi_step at 100, 150, float32'
        """
        milestones = f" at {', '.join(map(str, self.milestones))}" if self.milestones else ""
        warmup = f" after {self.warmup_epochs:g} of warm-up" if self.warmup_epochs else ""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        beside = [
            f"{name.replace('_', ' ')} {short(getattr(self, name))}"
            for name in (
                "accumulate",
                "clip_norm",
                "ema",
                "label_smoothing",
                "mixup",
                "cutmix",
                "class_weights",
                "rand_augment",
                "cutout",
                *NETWORK_FIELDS,
            )
            if getattr(self, name) and getattr(self, name) not in (1, "none")
        ]
        return (
            f"{self.name}: {epochs} of batches of {self.batch_size}, {self.optimizer} at {self.lr:g}, "
            f"{', '.join([f'{self.schedule}{milestones}{warmup}', *beside, self.precision])}"
        )

    def replaced(self, **changes: Any) -> Recipe:
        """This recipe with other values, and a change is shown in the name.

        Other `epochs` scale the milestones, `decay_epochs` and `warmup_epochs`.

        >>> from convatlas.recipe import recipe
        >>> short = recipe("uva_sgd").replaced(epochs=18)
        >>> short.name, short.milestones
        ('uva_sgd[epochs=18]', (10, 15))
        """
        fields = {field.name for field in dataclasses.fields(self)} - set(WORDS)
        for name in changes:
            if name not in fields:
                raise unknown("recipe field", name, fields)
        ordered = [field.name for field in dataclasses.fields(self) if field.name in changes]
        changes = {name: changes[name] for name in ordered if changes[name] != getattr(self, name)}
        if not changes:
            return self
        shown = ",".join(f"{name}={short(value)}" for name, value in changes.items())
        expected = f"not known: {self.name} changed"
        if "epochs" in changes:
            scaled = {name: value for name, value in self._scaled(changes["epochs"]).items() if name not in changes}
            for name, value in scaled.items():
                before, after = (_listed(each) for each in (getattr(self, name), value))
                expected += (
                    f"; {name.replace('_', ' ')} {before} of {self.epochs} epochs became {after} of {changes['epochs']}"
                )
            changes |= scaled
        return dataclasses.replace(self, **changes, name=f"{self.name}[{shown}]", expected=expected)

    def _scaled(self, epochs: int) -> dict[str, Any]:
        """What counts epochs, at the same fractions of another number of them; two milestones that meet become one."""
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise UsageError(f"epochs={epochs!r} must be a whole number of at least 1")
        scaled: dict[str, Any] = {}
        if self.milestones:
            scaled["milestones"] = tuple(sorted({max(1, round(m * epochs / self.epochs)) for m in self.milestones}))
        for name in ("decay_epochs", "warmup_epochs"):
            if value := getattr(self, name):
                scaled[name] = value * epochs / self.epochs
        return scaled


def defaults() -> dict[str, Any]:
    """The fields that a recipe need not give, with their values, as plain data."""
    fields = dataclasses.fields(Recipe)
    return {field.name: values.plain(field.default) for field in fields if field.default is not dataclasses.MISSING}


def _listed(value: Any) -> str:
    return ", ".join(map(short, value)) if isinstance(value, tuple) else short(value)


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """`recipe` with fields set from values, or from text as `--set NAME=VALUE` gives them.

    >>> from convatlas.recipe import recipe
    >>> with_settings(recipe("quick"), {"lr": "0.02"}).lr
    0.02
    """
    hints = {name: hint for name, hint in get_type_hints(Recipe).items() if name not in WORDS}
    changes = {}
    for name, value in settings.items():
        if name not in hints:
            raise unknown("recipe field", name, hints)
        changes[name] = values.parse(value, hints[name], name=name) if isinstance(value, str) else value
    return recipe.replaced(**changes)
