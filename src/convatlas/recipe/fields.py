"""`Recipe`: the values by which a network is trained, as frozen, validated data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_type_hints

from convatlas import values
from convatlas.errors import UsageError, unknown
from convatlas.recipe.checks import check_changes, check_recipe, short
from convatlas.recipe.groups import (
    BoxFields,
    ImageFields,
    LossFields,
    MethodFields,
    NetworkFields,
    OptimizerFields,
    Sampling,
    ScheduleFields,
)
from convatlas.recipe.method_checks import check_method
from convatlas.recipe.schedule import scaled_schedule, schedule_in_other_unit

Precision = Literal["float32", "bf16"]
Selected = Literal["best", "last"]
WORDS = ("name", "source", "expected")  # fields that describe a recipe and do not change the training
NETWORK_FIELDS = tuple(field.name for field in dataclasses.fields(NetworkFields))
OF_BOXES = tuple(field.name for field in dataclasses.fields(BoxFields))
OF_METHOD = tuple(field.name for field in dataclasses.fields(MethodFields) if field.name != "kind")
BESIDE = (  # fields that the summary shows if the recipe uses them
    *("frozen", "head_first_epochs", "layer_decay", "accumulate", "clip_norm", "ema"),
    *("label_smoothing", "mixup", "cutmix", "class_weights"),
    *("sampling", "epoch_steps", "snapshots", "jitter", "hue", "rand_augment", "cutout", *OF_BOXES, *NETWORK_FIELDS),
    *("method", *OF_METHOD, "select"),
)


@dataclass(frozen=True, init=False, kw_only=True)
class Recipe:
    """The values by which a network is trained, all literal, with their source and the result that they gave.

    A recipe is made from flat values by name, as in `--set` and YAML; code reads them by group. Its length is a number
    of `epochs` or of optimizer `steps`, and the schedule counts in the same unit. `drop_last` leaves out the last,
    smaller batch of an epoch. `sampling="balanced"` shows each class equally often in an epoch of the usual length: it
    repeats images of rare classes and leaves out some of frequent ones. With `epoch_steps` an epoch, after which the
    validation images are measured, is that many steps: images come again as often as need be, and with replacement
    where a batch is larger than the set. `snapshots` is the number of evenly spaced epochs whose weights the run
    keeps, the first weights and the last epoch's among them; a shorter run keeps each epoch. `select` is the epoch that
    is kept: the best by the validation images, or the last. Raises `UsageError` for a value that makes no sense, and
    for fields that contradict each other.

    >>> mine = Recipe(name="mine", source="ours", expected="?", epochs=3, batch_size=16, optimizer="adam", lr=0.1)
    >>> mine.optimizer.kind, mine.optimizer.lr, mine.schedule.kind
    ('adam', 0.1, 'constant')
    """

    name: str
    source: str
    expected: str
    epochs: int | None = None
    steps: int | None = None
    batch_size: int
    optimizer: OptimizerFields
    schedule: ScheduleFields
    images: ImageFields
    drop_last: bool = True
    sampling: Sampling = "shuffled"
    epoch_steps: int | None = None
    snapshots: int = 0
    select: Selected = "best"
    boxes: BoxFields
    loss: LossFields
    network: NetworkFields
    method: MethodFields
    precision: Precision = "float32"

    def __init__(self, **flat: Any) -> None:
        for name in flat:
            if name not in FIELDS:
                raise unknown("recipe field", name, FIELDS)
        lacking = [name for name, field in FIELDS.items() if field.required and name not in flat]
        if lacking:
            raise UsageError(f"the recipe lacks {', '.join(lacking)}")
        complete = {name: flat.get(name, field.default) for name, field in FIELDS.items()}
        for name, field in FIELDS.items():
            values.check(complete[name], field.annotation, name=name)
        for name, value in _grouped(complete).items():
            object.__setattr__(self, name, value)
        check_recipe(self)
        check_method(self)

    @classmethod
    def of(cls, **flat: Any) -> Recipe:
        """Returns the recipe from flat values as JSON has them; lists become tuples.

        >>> from convatlas.recipe import recipe
        >>> Recipe.of(**values.plain(recipe("uva_sgd").flat())) == recipe("uva_sgd")
        True
        """
        known = {
            name: values.from_plain(value, FIELDS[name].annotation) for name, value in flat.items() if name in FIELDS
        }
        return cls(**{**flat, **known})

    def flat(self) -> dict[str, Any]:
        """Returns every value by its flat name."""
        return {name: field.of(self) for name, field in FIELDS.items()}

    def summary(self) -> str:
        """Returns the line about the recipe that is printed before training.

        >>> from convatlas.recipe import recipe
        >>> recipe("uva_sgd").summary()
        'uva_sgd: 180 epochs of batches of 128, sgd at 0.1, multi_step at 100, 150, float32'
        """
        schedule, flat = self.schedule, self.flat()
        milestones = f" at {', '.join(map(str, schedule.milestones))}" if schedule.milestones else ""
        warmup = f" after {self.warmup_length:g} of warm-up" if self.warmup_length else ""
        length = f"1 {self.unit[:-1]}" if self.length == 1 else f"{self.length} {self.unit}"
        beside = [
            f"{name.replace('_', ' ')} {short(flat[name])}" for name in BESIDE if flat[name] != FIELDS[name].default
        ]
        return (
            f"{self.name}: {length} of batches of {self.batch_size}, {self.optimizer.kind} at {self.optimizer.lr:g}, "
            f"{', '.join([f'{schedule.kind}{milestones}{warmup}', *beside, self.precision])}"
        )

    def with_values(self, **changes: Any) -> Recipe:
        """Returns this recipe with other values, given by flat name; the recipe's name stays."""
        return Recipe(**{**self.flat(), **changes})

    def replaced(self, **changes: Any) -> Recipe:
        """Returns this recipe with other values, given by flat name; the recipe's name shows each change.

        Other `epochs` scale the milestones, `decay_epochs` and `warmup_epochs`. In a recipe that counts steps, other
        `steps` scale the fields that count steps. Where the unit changes, the warm-up stays the same part. Another
        `image_size` scales `shorter_side`. Raises `UsageError` if the unit changes and the milestones do not.

        >>> from convatlas.recipe import recipe
        >>> short = recipe("uva_sgd").replaced(epochs=18)
        >>> short.name, short.schedule.milestones
        ('uva_sgd[epochs=18]', (10, 15))
        """
        flat, settable = self.flat(), [name for name in FIELDS if name not in WORDS]
        check_changes(self, changes)
        for name in changes:
            if name not in settable:
                raise unknown("recipe field", name, settable)
        given = set(changes)
        changes = {name: changes[name] for name in settable if name in given and changes[name] != flat[name]}
        if not changes:
            return self
        shown = ",".join(f"{name}={short(value)}" for name, value in changes.items())
        expected = f"not known: {self.name} changed"
        if changes.get(self.unit) is not None:
            length = changes[self.unit]
            scaled = {name: value for name, value in scaled_schedule(self, length).items() if name not in given}
            for name, value in scaled.items():
                before, after = (_listed(each) for each in (flat[name], value))
                words = name.replace("_", " ")
                expected += f"; {words} {before} of {self.length} {self.unit} became {after} of {length}"
            changes |= scaled
        elif self.unit in changes:
            changes |= schedule_in_other_unit(self, changes, given)
        if "image_size" in changes and self.images.shorter_side and "shorter_side" not in given:
            changes["shorter_side"] = self._scaled_side(changes["image_size"])
            expected += f"; shorter side {self.images.shorter_side} became {short(changes['shorter_side'])}"
        return self.with_values(**changes, name=f"{self.name}[{shown}]", expected=expected)

    def _scaled_side(self, image_size: int | None) -> int | None:
        """Returns the shorter side for another image size: the centre stays the same part of the image."""
        fields = self.images
        if image_size is None or fields.shorter_side is None or fields.image_size is None:
            return None
        return round(fields.shorter_side * image_size / fields.image_size)

    @property
    def unit(self) -> Literal["epochs", "steps"]:
        """The unit in which the recipe counts."""
        return "steps" if self.epochs is None else "epochs"

    @property
    def length(self) -> int:
        """The number of epochs or steps."""
        length = self.steps if self.epochs is None else self.epochs
        assert length is not None
        return length

    @property
    def warmup_length(self) -> float:
        """The number of epochs or steps of warm-up."""
        return self.schedule.warmup_epochs or self.schedule.warmup_steps

    def steps_per_unit(self, steps_per_epoch: int) -> int:
        """Returns the optimizer steps of one unit: of an epoch, or 1 in a recipe that counts steps."""
        return steps_per_epoch if self.unit == "epochs" else 1

    def total_steps(self, steps_per_epoch: int) -> int:
        """Returns the number of optimizer steps of the whole training."""
        return self.length * self.steps_per_unit(steps_per_epoch)

    def epoch_count(self, steps_per_epoch: int) -> int:
        """Returns the number of epochs of the whole training; the last epoch may be cut short.

        >>> from convatlas.recipe import recipe
        >>> recipe("quick").replaced(epochs=None, steps=25).epoch_count(10)
        3
        """
        return -(-self.total_steps(steps_per_epoch) // steps_per_epoch)

    def steps_in_epoch(self, epoch: int, steps_per_epoch: int) -> int:
        """Returns the number of optimizer steps in an epoch, counted from 0; the last epoch may have fewer.

        >>> from convatlas.recipe import recipe
        >>> [recipe("quick").replaced(epochs=None, steps=25).steps_in_epoch(epoch, 10) for epoch in range(4)]
        [10, 10, 5, 0]
        """
        left = self.total_steps(steps_per_epoch) - epoch * steps_per_epoch
        return max(0, min(steps_per_epoch, left))


@dataclass(frozen=True)
class Field:
    """A flat field of a recipe: its group, None for the recipe itself, and its name in the group."""

    group: str | None
    inner: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    def of(self, recipe: Recipe) -> Any:
        """Returns the field's value in a recipe."""
        return getattr(recipe if self.group is None else getattr(recipe, self.group), self.inner)


def _fields() -> dict[str, Field]:
    """Returns every flat field by its name, in the order of the recipe and its groups."""
    flat = {}
    hints = get_type_hints(Recipe)
    for outer in dataclasses.fields(Recipe):
        group = hints[outer.name]
        if not dataclasses.is_dataclass(group):
            flat[outer.name] = Field(None, outer.name, group, outer.default)
            continue
        inner_hints = get_type_hints(group)
        for inner in dataclasses.fields(group):
            name = outer.name if inner.name == "kind" else inner.name
            flat[name] = Field(outer.name, inner.name, inner_hints[inner.name], inner.default)
    return flat


FIELDS = _fields()


def _grouped(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recipe's own fields and its groups by name, from all flat values."""
    result: dict[str, Any] = {name: flat[name] for name, field in FIELDS.items() if field.group is None}
    for group, kind in get_type_hints(Recipe).items():
        if group not in result:
            result[group] = kind(**{field.inner: flat[name] for name, field in FIELDS.items() if field.group == group})
    return result


def defaults() -> dict[str, Any]:
    """Returns the default of each flat field that has one, as plain data."""
    return {name: values.plain(field.default) for name, field in FIELDS.items() if not field.required}


def _listed(value: Any) -> str:
    return ", ".join(map(short, value)) if isinstance(value, tuple) else short(value)
