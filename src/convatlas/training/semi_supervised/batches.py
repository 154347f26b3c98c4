"""The batches of a training with few labels: labelled images, and unlabelled images in several views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from convatlas.data import Images, class_labels
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.batches.views import ViewBatches
from convatlas.data.epoch import epoch_seed
from convatlas.data.few_labels import labelled_places, without_labels
from convatlas.data.subset import at
from convatlas.recipe import OF_METHOD, Recipe, defaults
from convatlas.recipe.method_checks import STRONG_ALONE

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

View = Literal["weak", "strong"]
NOT_OF_VIEWS = {"label_smoothing": 0.0, "class_weights": "none", "sampling": "shuffled"}  # they are for labels


@dataclass(frozen=True)
class FewLabelsBatch:
    """Labelled images (N, C, H, W) and their targets, and views (M, C, H, W) of the same M unlabelled images.

    `progress` is the part of the training that is done before this batch.
    """

    images: Tensor
    targets: Tensor
    views: tuple[Tensor, ...]
    progress: float

    def __len__(self) -> int:
        return len(self.targets)


class FewLabelsBatches:
    """The batches of one epoch. The labelled images are the same as without unlabelled ones, drawn by (seed, epoch)."""

    def __init__(self, plan: Plan, epoch: int, *, labelled: Images, unlabelled: Images, views: Sequence[View]) -> None:
        self.recipe = plan.recipe
        self.epoch = epoch
        self.labelled = TrainingBatches(
            labelled,
            recipe=labelled_recipe(plan.recipe),
            preprocessing=plan.preprocessing,
            num_classes=plan.num_classes,
            seed=epoch_seed(plan.seed, epoch),
        )
        self.views = ViewBatches(
            unlabelled,
            recipes=[view_recipe(plan.recipe, view) for view in views],
            preprocessing=plan.preprocessing,
            seed=plan.seed,
            epoch=epoch,
        )

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[FewLabelsBatch]:
        first, total = self.epoch * len(self), self.recipe.total_steps(len(self))
        for number, ((images, targets), views) in enumerate(zip(self.labelled, self.views, strict=True)):
            yield FewLabelsBatch(images, targets, views, progress=(first + number) / total)


def labelled_images(plan: Plan) -> Images:
    """Returns the training images that keep their labels."""
    train, wanted = plan.data.train, plan.recipe.method.labels
    if wanted is None:
        return train
    places = labelled_places(class_labels(train), wanted, class_names=plan.data.spec.class_names, seed=plan.seed)
    return at(train, places).kept()


def unlabelled_images(plan: Plan) -> Images:
    """Returns the images without labels: all training images, the labelled ones too, as in FixMatch's code.

    They are those of another source where the plan has one.
    """
    return without_labels(plan.data.train if plan.unlabelled is None else plan.unlabelled.train)


def labelled_recipe(recipe: Recipe) -> Recipe:
    """Returns the recipe of the labelled images. Where there are views, the strong changes are for these alone."""
    plain = without_method(recipe)
    return plain if recipe.method.kind in ("supervised", "noisy_student") else plain.with_values(**STRONG_ALONE)


def view_recipe(recipe: Recipe, view: View) -> Recipe:
    """Returns the recipe of a view of the unlabelled images: flip and crop, and in the strong view all changes."""
    count = recipe.batch_size * recipe.method.unlabelled_ratio
    plain = without_method(recipe).with_values(**NOT_OF_VIEWS, batch_size=count)
    return plain if view == "strong" else plain.with_values(**STRONG_ALONE)


def without_method(recipe: Recipe) -> Recipe:
    """Returns the recipe as one of the usual training."""
    usual = defaults()
    return recipe.with_values(**{name: usual[name] for name in ("method", *OF_METHOD)})
