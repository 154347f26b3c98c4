"""The registry: architectures by name, those of the families and those that a user registers.

Names and facts come from the index, so that PyTorch is imported only where a network is wanted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from convatlas.architecture import INPUT_OPTIONS, Architecture
from convatlas.architectures.index import Listed, listed, read_index
from convatlas.errors import UsageError, unknown
from convatlas.own_code import guarded

_REGISTRY: dict[str, Architecture] = {}  # what users register

Row = TypeVar("Row", Architecture, Listed)


def register(architecture: Architecture) -> Architecture:
    """Adds an architecture to the registry and returns it. Raises `UsageError` if the name is taken or unusable.

    >>> from torch import nn
    >>> from convatlas.architecture import Architecture
    >>> def linear(*, num_classes=10, in_channels=3):
    ...     return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * in_channels, num_classes))
    >>> register(Architecture("my_linear", builder=linear)).name
    'my_linear'
    """
    if not architecture.name.isidentifier():
        raise UsageError(
            f"an architecture's name is made of letters, digits and underscores, not {architecture.name!r}"
        )
    if architecture.name in _names():
        raise UsageError(f"an architecture {architecture.name!r} is registered already; choose another name")
    _REGISTRY[architecture.name] = architecture
    return architecture


def list_architectures(pattern: str = "*") -> list[str]:
    """Returns the names that match a shell pattern, sorted; a pattern without wildcards matches anywhere in the name.

    >>> list_architectures("*resnet_uva")
    ['preact_resnet_uva', 'resnet_uva']
    """
    return sorted(name for name in _names() if matches(name, pattern))


def list_facts(pattern: str = "*") -> list[Listed]:
    """Returns the facts of the architectures whose names match a shell pattern, sorted by name."""
    return [_facts(name) for name in list_architectures(pattern)]


def matches(name: str, pattern: str) -> bool:
    """Returns whether the name matches a shell pattern; one without wildcards matches anywhere in it."""
    return fnmatchcase(name, pattern if any(character in pattern for character in "*?[") else f"*{pattern}*")


def by_family(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Returns architectures by family, families and their members in the order of their years.

    >>> [row.name for row in by_family(list_facts("resnet*"))["resnet"]][:2]
    ['resnet20', 'resnet20_b']
    """
    ordered = sorted(rows, key=lambda row: (_year(row), row.params or 0, row.name))
    first: dict[str, int] = {}
    for fact in list_facts():
        first[fact.family] = min(_year(fact), first.get(fact.family, _year(fact)))
    families = sorted({row.family for row in ordered}, key=lambda family: (first[family], family))
    return {family: [row for row in ordered if row.family == family] for family in families}


def _year(row: Architecture | Listed) -> int:
    return row.paper.year if row.paper else 9999  # networks without a paper, such as the user's own, come last


def architecture(name: str) -> Architecture:
    """Returns the architecture called `name`, or the user's own network at `path/to/file.py:name`.

    Raises `UsageError` for an unknown name, with the nearest names, and for a file that cannot be used.
    """
    check_name(name)
    if ".py:" in name:
        return _from_file(name)
    return _REGISTRY[name] if name in _REGISTRY else _rows()[name]


def check_name(name: str, *, options: Iterable[str] = ()) -> None:
    """Raises `UsageError` for a name that no architecture has, or a file that is not there; PyTorch is not imported.

    So it does for `options` that a registered architecture does not have.
    """
    if ".py:" in name:
        path, _, _ = name.rpartition(":")
        if not Path(path).expanduser().is_file():
            raise UsageError(f"no file {path!r} for the network {name!r}")
        return
    if name.endswith(".py"):
        raise UsageError(f"{name} is a file; name the network in it, as {name}:my_network")
    if name not in _names():
        hint = "; `convatlas list` shows them, your own is path/to/file.py:name"
        raise unknown("architecture", name, _names(), hint=hint)
    permitted = (*_facts(name).options, *INPUT_OPTIONS)
    for option in options:
        if option not in permitted:
            raise unknown(f"option of {name}", option, permitted)


def check_classifier(name: str) -> None:
    """Raises `UsageError` for a registered detector, where only classifiers are taken; PyTorch is not imported."""
    if name in _names():
        require_classifier(_facts(name))


def is_detector(name: str) -> bool:
    """Returns whether a registered network finds boxes; PyTorch is not imported."""
    return name in _names() and _facts(name).task == "detection"


def check_task(name: str, *, boxes: bool, data: str) -> None:
    """Raises `UsageError` for a registered network that images with `boxes`, or without, are not for."""
    if name not in _names():
        return
    detects = is_detector(name)
    if detects and not boxes:
        raise UsageError(
            f"{name} is a detector, and the images of {data} have no boxes; name data with boxes, such as --data "
            "voc:PATH, or a classifier, such as efficientnet_lite0"
        )
    if boxes and not detects:
        raise UsageError(
            f"{name} is a classifier, and the images of {data} have boxes; name a detector, such as efficientdet_tiny"
        )


def require_classifier(row: Architecture | Listed) -> None:
    """Raises `UsageError` for a detector, where only classifiers are taken."""
    if row.task == "detection":
        raise UsageError(
            f"{row.name} is a detector, and this takes classifiers of images only, as efficientnet_b0; convatlas show, "
            "train, finetune, evaluate, predict, compare and report take detectors, and in Python "
            "convatlas.evaluate_detector and convatlas.detect"
        )


def recipe_of(name: str) -> str | None:
    """Returns the recipe that a registered architecture was published with."""
    return _facts(name).recipe if name in _names() else None


def check_weights(name: str, weights: str) -> None:
    """Raises `UsageError` for published weights of an architecture that are not known; PyTorch is not imported."""
    check_name(name)
    known = _facts(name).weights if name in _names() else ()
    if not known:
        raise UsageError(f"no published weights are known for {name}")
    if weights not in known:
        raise unknown(f"weights of {name}", weights, known)


def nothing_at(source: str) -> UsageError:
    """Returns what is wrong with a source of weights that is no file and no folder, with the next step."""
    if source in _names():
        names = _facts(source).weights
        have = f"; add --weights {' or '.join(names)}" if names else ", and nobody's weights of it are known here"
        if is_detector(source):
            have = "; add --weights with a file of them, or with weights of its backbone, as pypi of EfficientNet-Lite0"
        return UsageError(f"{source} is an architecture, which has no weights of its own{have}")
    near = str(unknown("architecture", source, _names())).partition(";")[2].partition(" (all")[0]
    guess = f";{near}" if near.startswith(" did you mean") else ""
    return UsageError(
        f"no run at {source}, no checkpoint and no architecture of this name{guess}; a run is the folder that "
        "`convatlas train` or `compare` wrote"
    )


def _names() -> set[str]:
    return {*read_index(), *_REGISTRY}


def _facts(name: str) -> Listed:
    """Returns the facts of a registered architecture."""
    return listed(_REGISTRY[name]) if name in _REGISTRY else read_index()[name]


@cache
def _rows() -> dict[str, Architecture]:
    """Returns the rows of all families by name; that imports PyTorch."""
    from convatlas.architectures.families import FAMILIES

    return {row.name: row for family in FAMILIES for row in family.rows}


def _from_file(reference: str) -> Architecture:
    """Returns the `Architecture` called `name` in the user's file, or makes one of the builder of that name."""
    path_text, _, name = reference.rpartition(":")
    path = Path(path_text).expanduser()
    full, source_hash = f"{path.resolve()}:{name}", hashlib.sha256(path.read_bytes()).hexdigest()
    with guarded(str(path), f"{path} cannot be imported"):
        module = _execute(path)
        if not hasattr(module, name):
            candidates = [n for n, value in vars(module).items() if _usable(value, module)]
            raise unknown(f"network in {path_text}", name, candidates)
        value = getattr(module, name)
        if isinstance(value, Architecture):
            return dataclasses.replace(value, reference=full, source_hash=source_hash)
        if not callable(value):
            raise UsageError(f"{reference!r} is no Architecture, and no function or class that builds a network")
        row = Architecture(name, builder=value, note=f"from {path_text}", reference=full, source_hash=source_hash)
        row.option_types()  # refuses what has no keywords, and types that cannot be found
        return row


def _execute(path: Path) -> ModuleType:
    """Returns the user's file as a module."""
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]  # two files may have the same name
    spec = importlib.util.spec_from_file_location(f"convatlas_user_{path.stem}_{place}", path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(module.__name__, None)
        raise
    return module


def _usable(value: object, module: ModuleType) -> bool:
    """Returns whether `value` can be a network: an architecture, or a function or class of the user's own file."""
    if isinstance(value, Architecture):
        return True
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module.__name__
