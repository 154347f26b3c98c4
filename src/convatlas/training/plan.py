"""`Plan`: everything that decides the result of one training run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from convatlas import values
from convatlas.architecture import Architecture
from convatlas.checks import check_own
from convatlas.complexity import Complexity, check_training, meta_network, network_complexity, smallest_size
from convatlas.data import DataSet
from convatlas.data.boxes.truth import any_box_counts, has_boxes
from convatlas.data.epoch import smallest_part, steps_per_epoch
from convatlas.data.fitting import check_fit, image_size_of, make_preprocessing
from convatlas.data.preprocessing import Preprocessing
from convatlas.data.reading import crop_notes, reading_line
from convatlas.errors import UsageError
from convatlas.progress import Job
from convatlas.recipe import NETWORK_FIELDS, Recipe, RecipeRule
from convatlas.run import NetworkRecord, PreprocessingRecord, RunRecord, Start
from convatlas.training.classification import Classification
from convatlas.training.detection import fit_to_network
from convatlas.training.features import KeptFeatures
from convatlas.training.freezing import check_frozen, freeze
from convatlas.training.head_only import HeadOnly, features_line
from convatlas.training.objective import Objective
from convatlas.training.objectives import objective_for
from convatlas.training.optimizers import check_optimizer
from convatlas.training.records import architecture_record, data_record, last_epoch, selection
from convatlas.training.semi_supervised import TeacherLabels, label_notes, labelled_record, unlabelled_record
from convatlas.training.start import started_network
from convatlas.words import file_name, label


@dataclass(frozen=True)
class Plan:
    """A network, a recipe that fits the data, and a seed. `notes` name the changes to the recipe and the data's faults.

    `options` are the network's options that were chosen for it; the recipe may set others (`network_options`).
    `start` says where the first weights come from (`starting_from` takes those of a checkpoint). `objective` makes the
    goal of the training, its networks on a device. `title` is the name on the screen, if the label is not enough.
    `by_machine` names the fields of the recipe that the memory of this machine decided.
    `features` are those of the images, where they were computed before. `teacher` has the labels that a student learns,
    `unlabelled` the images that are used without labels, where they are not the training images.
    """

    architecture: Architecture
    options: Mapping[str, Any]
    num_classes: int
    in_channels: int
    recipe: Recipe
    data: DataSet
    preprocessing: Preprocessing
    cost: Complexity
    seed: int
    notes: tuple[str, ...]
    start: Start = field(default_factory=Start.from_seed)
    objective: type[Objective] = Classification
    title: str | None = None
    by_machine: tuple[str, ...] = ()
    features: KeptFeatures | None = field(default=None, repr=False, compare=False)
    teacher: TeacherLabels | None = field(default=None, repr=False, compare=False)
    unlabelled: DataSet | None = field(default=None, repr=False, compare=False)

    @property
    def counts(self) -> dict[str, int]:
        """The counts that the network is built with, beside its options."""
        return {"num_classes": self.num_classes, "in_channels": self.in_channels}

    @property
    def label(self) -> str:
        """The architecture with the options that were chosen: `resnet_uva`, `resnet_uva(depths=2,2,2)`."""
        return label(self.architecture.name, self.options)

    @property
    def job(self) -> Job:
        """The plan as displays know it."""
        return Job(self.title or self.label, self.seed, self.epochs, self.objective.score)

    @property
    def reading(self) -> tuple[str, ...]:
        """How images in files are read, in one line; none for images in memory."""
        line = reading_line(self.data.train, recipe=self.recipe, preprocessing=self.preprocessing)
        return () if line is None else (line,)

    @property
    def starting(self) -> tuple[str, ...]:
        """The base weights and the parts that keep them, in a line; and a line where the features are kept."""
        lines = () if self.start.origin == "seed" else (f"weights {self.start.base}", self.start.parts)
        return lines if self.objective is not HeadOnly else (*lines, features_line(self.data))

    @property
    def epochs(self) -> int:
        """The number of epochs, the last of which may be cut short."""
        return self.recipe.epoch_count(steps_per_epoch(len(self.data.train), self.recipe))

    def build(self) -> nn.Module:
        """Returns the network with the weights of the plan's start, which are drawn from the seed or read.

        The parts that the recipe freezes are held.
        """
        if self.start.origin == "weights":
            network = started_network(self)
        else:
            torch.manual_seed(self.seed)
            network = self.architecture.build(**self.counts, **self.network_options)
        return freeze(network, self.recipe.optimizer.frozen)

    @property
    def validates(self) -> bool:
        """Whether validation images, one of them with a box that counts where there are boxes, can be measured."""
        validation = self.data.validation
        return any_box_counts(validation) if has_boxes(validation) else len(validation) > 0

    @property
    def selects(self) -> bool:
        """Whether the validation images select the epoch that is kept; else it is the last one."""
        return self.validates and self.recipe.select == "best"

    @property
    def selected_by(self) -> str:
        """The rule by which the epoch is selected, in words."""
        if self.selects:
            return selection(self.objective.score)
        return last_epoch(len(self.data.validation), watched=self.validates)

    @property
    def network_options(self) -> dict[str, Any]:
        """The options that the network is built with, those of the recipe among them."""
        return network_options(self.architecture, self.recipe, self.options)

    @property
    def folder_name(self) -> str:
        """`resnet_uva@quick`, with other weights than the seed's `resnet_uva@full-uva`, for shells and file systems."""
        return file_name(f"{self.label}@{self.recipe.name}") + self.start.suffix

    def with_seed(self, seed: int) -> Plan:
        """Returns the same plan with another seed."""
        return dataclasses.replace(self, seed=values.check_seed(seed))

    def with_any_weights(self) -> Plan:
        """Returns the same plan for a network whose weights are loaded later: no file is read for the first ones."""
        return dataclasses.replace(self, start=Start.from_seed())

    def on(self, device: str) -> Plan:
        """Returns the same plan with its images and labels on a device."""
        unlabelled = None if self.unlabelled is None else self.unlabelled.to(device)
        return dataclasses.replace(self, data=self.data.to(device), unlabelled=unlabelled)

    def record(self) -> RunRecord:
        """Returns the record of the run before its training."""
        return RunRecord(
            status="unfinished",
            architecture=architecture_record(
                self.architecture, self.options, num_classes=self.num_classes, in_channels=self.in_channels
            ),
            start=self.start,
            recipe=values.plain(self.recipe.flat()),
            seed=self.seed,
            data=data_record(self.data),
            preprocessing=PreprocessingRecord(**dataclasses.asdict(self.preprocessing)),
            network=NetworkRecord(params=self.cost.params, macs=self.cost.macs, shape=self.cost.shape),
            published=self.architecture.published,
            labelled=labelled_record(self.recipe, self.data, seed=self.seed),
            teacher=None if self.teacher is None else self.teacher.record,
            unlabelled=unlabelled_record(self.unlabelled),
            selection=self.selected_by,
            notes=self.notes,
            objective=self.objective.name,
            score=self.objective.score,
        )


def make_plan(
    architecture: Architecture,
    *,
    data: DataSet,
    chosen: Recipe | RecipeRule,
    seed: int,
    options: Mapping[str, Any] | None = None,
) -> Plan:
    """Fits recipe, data and network together and checks that the network can be built and takes the images.

    `options` may hold `num_classes` and `in_channels` too; else the data decides them. Raises `UsageError`.
    """
    builder_options = dict(options or {})
    num_classes, in_channels = _take_shape(builder_options, architecture, data=data)
    fitted, notes = fit_to_network(architecture, chosen, data=data, in_channels=in_channels)
    notes += label_notes(fitted, data, seed=seed)
    # On the meta device: an option or an image size that does not fit is found here.
    all_options = network_options(architecture, fitted, builder_options)
    network = meta_network(architecture, num_classes=num_classes, in_channels=in_channels, **all_options)
    check_optimizer(network, fitted, name=architecture.name)
    check_frozen(network, fitted, name=architecture.name)
    with architecture.guard("cannot take the images"):
        size, cost, resized = _fitting_size(architecture, network, fitted, data=data, in_channels=in_channels)
    check_own(architecture, num_classes=num_classes, in_channels=in_channels, image_size=size, **all_options)
    fitted = fitted.with_values(image_size=size) if resized else fitted
    preprocessing = make_preprocessing(fitted, data=data, in_channels=in_channels)
    check_fit(fitted, image_size=size, in_channels=in_channels)
    return Plan(
        architecture=architecture,
        options=builder_options,
        num_classes=num_classes,
        in_channels=in_channels,
        recipe=fitted,
        data=data,
        preprocessing=preprocessing,
        cost=cost,
        seed=values.check_seed(seed),
        notes=(*data.notes, *notes, *crop_notes(data.train, preprocessing), *resized, *cost.notes),
        objective=objective_for(architecture, fitted),
    )


def _fitting_size(
    architecture: Architecture, network: nn.Module, fitted: Recipe, *, data: DataSet, in_channels: int
) -> tuple[int, Complexity, tuple[str, ...]]:
    """Returns the image size, the costs of the network at it, and a note where the images are made larger for it.

    They are made larger where the recipe names no size and the network takes none as small as those of the data.
    Raises `UsageError` where the network cannot be trained on the size that is named.
    """
    size = image_size_of(fitted, data=data)
    try:
        return size, _trained_cost(architecture, network, fitted, data=data, inputs=(in_channels, size)), ()
    except UsageError as error:
        larger = smallest_size(network.train(), in_channels, size=size, own=architecture.image_size)
        if larger is None:
            raise
        if fitted.images.image_size is not None or larger < size:
            raise UsageError(f"{error}; train it with --set image_size={larger}") from error
    cost = _trained_cost(architecture, network.eval(), fitted, data=data, inputs=(in_channels, larger))
    note = f"the images are resized from {size} x {size} to {larger} x {larger} pixels, the smallest that "
    return larger, cost, (f"{note}{architecture.name} takes",)


def _trained_cost(
    architecture: Architecture, network: nn.Module, fitted: Recipe, *, data: DataSet, inputs: tuple[int, int]
) -> Complexity:
    """Returns the costs of a network on the meta device, for `inputs`: channels and size. Raises `UsageError`."""
    in_channels, size = inputs
    cost = network_complexity(architecture, network, in_channels=in_channels, image_size=size)
    images = smallest_part(len(data.train), fitted)
    check_training(architecture, network, in_channels=in_channels, image_size=size, images=images)
    return cost


def _take_shape(options: dict[str, Any], architecture: Architecture, *, data: DataSet) -> tuple[int, int]:
    """Takes `num_classes` and `in_channels` out of the options, or from the data. Raises `UsageError`."""
    classes = len(data.spec.class_names)
    num_classes = options.pop("num_classes", classes)
    own_channels = data.spec.channels if architecture.takes("in_channels") else architecture.in_channels
    in_channels = options.pop("in_channels", own_channels)
    if num_classes != classes:
        raise UsageError(f"num_classes={num_classes} does not fit {data.spec.name}, which has {classes} classes")
    if in_channels != data.spec.channels and data.spec.channels != 1:
        raise UsageError(
            f"in_channels={in_channels} does not fit {data.spec.name}, whose images have {data.spec.channels}; choose "
            "a network, or weights, for as many channels"
        )
    return num_classes, in_channels


def network_options(architecture: Architecture, recipe: Recipe, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the chosen options and those that the recipe sets.

    Raises `UsageError` for a field of the recipe that the network has no option for, and for one that is set twice.
    """
    merged = dict(options)
    for name in NETWORK_FIELDS:
        value = getattr(recipe.network, name)
        if value is None:
            continue
        if not architecture.takes(name):
            raise UsageError(
                f"{name}={value:g} of recipe {recipe.name} cannot be used: {architecture.name} has no such option; "
                f"leave it out with --set {name}=none"
            )
        if name in options and options[name] != value:
            raise UsageError(
                f"{name} is {options[name]} as an option of {architecture.name} and {value:g} in recipe {recipe.name}; "
                f"leave one of them out"
            )
        merged[name] = value
    return merged
