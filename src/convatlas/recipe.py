"""`Recipe`: how a network is trained, as frozen, validated data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from convatlas import values
from convatlas.errors import UsageError, unknown

Optimizer = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "multi_step", "cosine", "one_cycle"]
Crop = Literal["none", "resized", "pad4"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: every value literal, with the source it comes from and the result it gave.

    `milestones` count epochs, at which multi_step multiplies the learning rate by `gamma`. `momentum` is of sgd, and
    `nesterov` makes it Nesterov's. `crop="resized"` takes, per image, a random part of `crop_scale` of the area and of
    aspect ratio `crop_ratio` and resizes it to the image's size. `flip` is the probability of mirroring left to right.
    `image_size` is in pixels, None for the data's own. `mean` and `std` are per channel, of values in [0, 1]; None for
    the training images' own. `drop_last` leaves out the last, smaller batch of an epoch. Raises `UsageError` for a
    value that makes no sense.
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
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: Crop = "none"  # pad4: a random part, of the image's size, of the image with 4 black pixels around it
    crop_scale: tuple[float, ...] = (0.8, 1.0)
    crop_ratio: tuple[float, ...] = (0.9, 1.1)
    flip: float = 0.0
    drop_last: bool = True
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for field, hint in get_type_hints(type(self)).items():
            values.check(getattr(self, field), hint, name=field)
        for field in ("epochs", "batch_size"):
            _require(self, field, getattr(self, field) >= 1, "at least 1")
        _require(self, "epochs", self.epochs <= 1_000_000, "at most 1,000,000")
        _require(self, "lr", 0 < self.lr < 100, "above 0 and below 100")
        _require(self, "gamma", 0 < self.gamma <= 1, "above 0 and at most 1")
        _require(self, "weight_decay", 0 <= self.weight_decay < 10, "at least 0 and below 10")
        _require(self, "momentum", 0 <= self.momentum < 1, "at least 0 and below 1")
        _require(self, "flip", 0 <= self.flip <= 1, "a probability from 0 to 1")
        _require(
            self, "image_size", self.image_size is None or 1 <= self.image_size <= 4096, "none or 1 to 4096 pixels"
        )
        self._check_schedule()
        self._check_images()

    def _check_schedule(self) -> None:
        rising = all(a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        positive = all(m >= 1 for m in self.milestones)
        _require(self, "milestones", rising and positive, "rising epochs of at least 1")
        within = not self.milestones or self.milestones[-1] <= self.epochs
        _require(self, "milestones", within, f"at most {self.epochs}, the number of epochs")
        used = self.schedule == "multi_step"
        _require(
            self, "milestones", used or not self.milestones, f"empty with schedule={self.schedule}, which has none"
        )
        _require(self, "milestones", bool(self.milestones) or not used, "given with schedule=multi_step")
        _require(self, "momentum", self.optimizer == "sgd" or not self.momentum, f"0 with optimizer={self.optimizer}")
        _require(self, "nesterov", self.momentum > 0 or not self.nesterov, "false without momentum")

    def _check_images(self) -> None:
        for field in ("crop_scale", "crop_ratio"):
            pair = getattr(self, field)
            _require(self, field, len(pair) == 2 and 0 < pair[0] <= pair[1], "two positive, rising numbers")
        _require(self, "crop_scale", self.crop_scale[1] <= 1, "at most 1, the whole image")
        if (self.mean is None) != (self.std is None):
            raise UsageError(
                f"mean={self.mean} and std={self.std} of recipe {self.name} belong together: give both or none"
            )
        if self.mean is not None and self.std is not None:
            _require(self, "std", len(self.mean) == len(self.std) and min(self.std) > 0, "positive, one for each mean")

    def summary(self) -> str:
        """The recipe in one line, as it is printed before training.

        >>> from convatlas.recipes import recipe
        >>> recipe("uva_sgd").summary()
        'uva_sgd: 180 epochs of batches of 128, sgd at 0.1, multi_step at 100, 150, float32'
        """
        milestones = f" at {', '.join(map(str, self.milestones))}" if self.milestones else ""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs} epochs"
        return (
            f"{self.name}: {epochs} of batches of {self.batch_size}, {self.optimizer} at {self.lr:g}, "
            f"{self.schedule}{milestones}, {self.precision}"
        )

    def replaced(self, **changes: Any) -> Recipe:
        """This recipe with other values; other `epochs` scale the milestones, and a change is shown in the name.

        >>> from convatlas.recipes import recipe
        >>> short = recipe("uva_sgd").replaced(epochs=18)
        >>> short.name, short.milestones
        ('uva_sgd[epochs=18]', (10, 15))
        """
        fields = {field.name for field in dataclasses.fields(self)} - {"name", "source", "expected"}
        for name in changes:
            if name not in fields:
                raise unknown("recipe field", name, fields)
        ordered = [field.name for field in dataclasses.fields(self) if field.name in changes]
        changes = {name: changes[name] for name in ordered if changes[name] != getattr(self, name)}
        if not changes:
            return self
        shown = ",".join(f"{name}={_short(value)}" for name, value in changes.items())
        expected = f"not known: {self.name} changed"
        if "epochs" in changes and self.milestones and "milestones" not in changes:
            changes["milestones"] = self._scaled_milestones(changes["epochs"])
            before, after = (", ".join(map(str, steps)) for steps in (self.milestones, changes["milestones"]))
            expected += f"; milestones {before} of {self.epochs} epochs became {after} of {changes['epochs']}"
        return dataclasses.replace(self, **changes, name=f"{self.name}[{shown}]", expected=expected)

    def _scaled_milestones(self, epochs: int) -> tuple[int, ...]:
        """The milestones at the same fractions of another number of epochs, rounded; two that meet become one."""
        if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
            raise UsageError(f"epochs={epochs!r} must be a whole number of at least 1")
        return tuple(sorted({max(1, round(m * epochs / self.epochs)) for m in self.milestones}))


def with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """`recipe` with fields set from values, or from text as `--set NAME=VALUE` gives them.

    >>> from convatlas.recipes import recipe
    >>> with_settings(recipe("quick"), {"lr": "0.02"}).lr
    0.02
    """
    hints = {name: hint for name, hint in get_type_hints(Recipe).items() if name not in ("name", "source", "expected")}
    changes = {}
    for name, value in settings.items():
        if name not in hints:
            raise unknown("recipe field", name, hints)
        changes[name] = values.parse(value, hints[name], name=name) if isinstance(value, str) else value
    return recipe.replaced(**changes)


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file of fields by name. Raises `UsageError` for what it lacks and for what no recipe has."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the recipe {path} cannot be read: {reason}") from error
    if not isinstance(content, dict):
        raise UsageError(f"the recipe {path} must be a mapping, with a line NAME: VALUE for each field")
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for name in content:
        if name not in fields:
            raise unknown(f"recipe field in {path}", str(name), fields)
    content = {"name": path.stem, "source": str(path), "expected": "not known", **content}
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in content]
    if missing:
        raise UsageError(f"the recipe {path} lacks {', '.join(missing)}")
    hints = get_type_hints(Recipe)
    try:
        return Recipe(**{name: values.from_plain(value, hints[name]) for name, value in content.items()})
    except UsageError as error:
        raise UsageError(f"the recipe {path}: {error}") from error


def _require(recipe: Recipe, field: str, holds: bool, permitted: str) -> None:
    if not holds:
        raise UsageError(f"{field}={_short(getattr(recipe, field))} makes no sense; it must be {permitted}")


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(map(_short, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
