"""A recipe fitted to a detector, and the checks that network, recipe and data belong together."""

from __future__ import annotations

from convatlas.architecture import Architecture
from convatlas.data import DataSet
from convatlas.data.boxes.truth import has_boxes
from convatlas.data.fitting import fit_recipe
from convatlas.detection.precision import require_package
from convatlas.errors import UsageError
from convatlas.recipe import Recipe, RecipeRule
from convatlas.recipe.checks import require
from convatlas.recipe.fields import FIELDS, OF_BOXES

# field: the value that it has in the recipe of a detector, where boxes have no place in it
WITHOUT_BOXES = {
    **{"crop": "none", "jitter": 0.0, "hue": 0.0, "rand_augment": 0, "cutout": 0},
    **{"label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "class_weights": "none", "sampling": "shuffled"},
}


def check_detection(architecture: Architecture, data: DataSet) -> None:
    """Raises `UsageError` where a detector is given images without boxes, or a classifier images with boxes."""
    boxed, detects = has_boxes(data.train), architecture.task == "detection"
    if detects and not boxed:
        raise UsageError(
            f"{architecture.name} is a detector, and the images of {data.spec.name} have no boxes; name data with "
            "boxes, such as --data voc:PATH, or a classifier, such as efficientnet_lite0"
        )
    if boxed and not detects:
        raise UsageError(
            f"{architecture.name} is a classifier, and the images of {data.spec.name} have boxes; name a detector, "
            "such as efficientdet_tiny"
        )


def fit_to_network(
    architecture: Architecture, chosen: Recipe | RecipeRule, *, data: DataSet, in_channels: int
) -> tuple[Recipe, tuple[str, ...]]:
    """Returns the recipe fitted to the data and to the task of the network, and a note for each change.

    A detector's has the image size of the network where it names none. Raises `UsageError` as `check_detection` does,
    and for a field that the task has no use for.
    """
    check_detection(architecture, data)
    fitted, notes = fit_recipe(chosen, data=data, in_channels=in_channels)
    if architecture.task != "detection":
        for name in OF_BOXES:
            require(fitted, name, fitted.flat()[name] == FIELDS[name].default, "left out: it is for detectors")
        return fitted, notes
    require_package()
    if fitted.method.kind is not None:
        raise UsageError(f"method={fitted.method.kind} of recipe {fitted.name} is for classifiers; choose another")
    for name, nothing in WITHOUT_BOXES.items():
        require(fitted, name, fitted.flat()[name] == nothing, f"{str(nothing).lower()} for a detector")
    require(fitted, "fit", fitted.images.fit == "pad", "pad for a detector, which sees whole images")
    return fitted if fitted.images.image_size else fitted.with_values(image_size=architecture.image_size), notes
