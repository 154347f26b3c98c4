"""What our own checkpoints and runs say of their network, checked before anything uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from convatlas.architecture import Interpolation
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.recipe import Precision

LARGEST_IMAGE = 4096  # pixels along a side


def check_record(record: Mapping[str, Any], *, label: str) -> None:
    """Raises `UsageError` that names `label` where the architecture, the data or the recipe is not as we write it.

    What a network needs for its input is read by `preprocessing_said`, as the network alone can do without it.
    """
    described = record.get("architecture")
    if not (
        isinstance(described, Mapping)
        and isinstance(described.get("name"), str)
        and isinstance(described.get("reference"), str | None)
        and _options(described.get("options"))
        and all(name not in described or _count(described[name]) for name in ("num_classes", "in_channels"))
    ):
        raise UsageError(f"{label}: what it says of its architecture cannot be read")
    data = record.get("data")
    if data is not None and not _data(data, described.get("num_classes")):
        raise UsageError(f"{label}: what it says of its data cannot be read")
    recipe = record.get("recipe")
    if recipe is not None and not (
        isinstance(recipe, Mapping) and recipe.get("precision", "float32") in get_args(Precision)
    ):
        raise UsageError(f"{label}: what it says of its recipe cannot be read; precision is float32 or bf16")


def preprocessing_said(record: Mapping[str, Any], *, label: str) -> Preprocessing:
    """The size and normalisation stored in the record. Raises `UsageError` for others than a network can have."""
    stored: Any = record.get("preprocessing")
    try:
        mean, std = (tuple(map(float, stored[name])) for name in ("mean", "std"))
        size = stored["image_size"]
        shorter_side, interpolation = stored.get("shorter_side"), stored.get("interpolation", "bilinear")
        possible = _count(size) and size <= LARGEST_IMAGE and len(mean) == len(std) > 0
        cut = shorter_side is None or (_count(shorter_side) and size <= shorter_side <= LARGEST_IMAGE)
        if not possible or not cut or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
            raise ValueError("no such preprocessing")
        if interpolation not in get_args(Interpolation):
            raise ValueError("no such interpolation")
        return Preprocessing(size, mean, std, shorter_side, interpolation)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise UsageError(f"{label}: what it says of its preprocessing cannot be read") from error


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _options(options: object) -> bool:
    return options is None or (isinstance(options, Mapping) and all(isinstance(name, str) for name in options))


def _data(data: object, num_classes: object) -> bool:
    """Whether names are text, and the classes as many as the network has."""
    if not isinstance(data, Mapping) or not all(
        isinstance(data.get(key), str | None) for key in ("name", "split_hash")
    ):
        return False
    classes = data.get("classes")
    if classes is None:
        return True
    if not isinstance(classes, list | tuple) or not all(isinstance(name, str) for name in classes):
        return False
    return not classes or num_classes is None or len(classes) == num_classes
