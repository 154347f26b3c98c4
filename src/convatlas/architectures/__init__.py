"""The registry: the families, each defined in its own file as `FAMILY`, and a dictionary of all their rows by name."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

from convatlas.architecture import Architecture, Family
from convatlas.architectures import (
    alexnet,
    bit,
    densenet,
    dpn,
    efficientnet,
    googlenet,
    inception,
    lenet,
    mobilenet,
    nin,
    preact_resnet,
    resnet,
    vgg,
    wide_resnet,
)
from convatlas.architectures.inception import inception_resnet
from convatlas.architectures.resnet import resnext, senet
from convatlas.errors import UsageError, unknown

FAMILIES: tuple[Family, ...] = (  # in the order of their papers
    lenet.FAMILY,
    alexnet.FAMILY,
    nin.FAMILY,
    vgg.FAMILY,
    googlenet.FAMILY,
    inception.FAMILY,
    resnet.FAMILY,
    preact_resnet.FAMILY,
    inception_resnet.FAMILY,
    wide_resnet.FAMILY,
    resnext.FAMILY,
    densenet.FAMILY,
    senet.FAMILY,
    dpn.FAMILY,
    mobilenet.FAMILY,
    bit.FAMILY,
    efficientnet.FAMILY,
)
_REGISTRY: dict[str, Architecture] = {}


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
    if architecture.name in _REGISTRY:
        raise UsageError(f"an architecture {architecture.name!r} is registered already; choose another name")
    _REGISTRY[architecture.name] = architecture
    return architecture


def list_architectures(pattern: str = "*") -> list[str]:
    """Returns the sorted names that match a shell pattern. Without wildcards it matches any part of the name.

    >>> list_architectures("*resnet_uva")
    ['preact_resnet_uva', 'resnet_uva']
    """
    return sorted(name for name in _REGISTRY if matches(name, pattern))


def matches(name: str, pattern: str) -> bool:
    """Returns whether the name matches a shell pattern. Without wildcards it matches any part of the name."""
    return fnmatchcase(name, pattern if any(character in pattern for character in "*?[") else f"*{pattern}*")


def by_family(names: Iterable[str]) -> dict[str, list[Architecture]]:
    """Returns the architectures of these names by family; families and their members are in the order of their years.

    >>> [row.name for row in by_family(["resnet_uva", "resnet20", "lenet5"])["resnet"]]
    ['resnet20', 'resnet_uva']
    """
    rows = sorted((_REGISTRY[name] for name in names), key=lambda row: (_year(row), row.params or 0, row.name))
    first = {row.family: min(_year(r) for r in _REGISTRY.values() if r.family == row.family) for row in rows}
    families = sorted(first, key=lambda family: (first[family], family))
    return {family: [row for row in rows if row.family == family] for family in families}


def _year(row: Architecture) -> int:
    return row.paper.year if row.paper else 9999  # networks without a paper, such as the user's own, come last


def architecture(name: str) -> Architecture:
    """Returns the architecture called `name`, or the user's own network at `path/to/file.py:name`.

    Raises `UsageError` for an unknown name, with the nearest names, and for a file that cannot be used.
    """
    if ".py:" in name:
        return _from_file(name)
    if name.endswith(".py"):
        raise UsageError(f"{name} is a file; name the network in it, as {name}:my_network")
    if name not in _REGISTRY:
        raise unknown(
            "architecture", name, _REGISTRY, hint="; `convatlas list` shows them, your own is path/to/file.py:name"
        )
    return _REGISTRY[name]


def _from_file(reference: str) -> Architecture:
    """Returns the `Architecture` called `name` in the user's file, or makes one of the builder of that name."""
    path_text, _, name = reference.rpartition(":")
    path = Path(path_text).expanduser()
    if not path.is_file():
        raise UsageError(f"no file {path_text!r} for the network {reference!r}")
    module = _execute(path)
    if not hasattr(module, name):
        candidates = [n for n, value in vars(module).items() if _usable(value, module)]
        raise unknown(f"network in {path_text}", name, candidates)
    value = getattr(module, name)
    full, source_hash = f"{path.resolve()}:{name}", hashlib.sha256(path.read_bytes()).hexdigest()
    if isinstance(value, Architecture):
        return dataclasses.replace(value, reference=full, source_hash=source_hash)
    if not callable(value):
        raise UsageError(f"{reference!r} is no Architecture, and no function or class that builds a network")
    return Architecture(name, builder=value, note=f"from {path_text}", reference=full, source_hash=source_hash)


def _execute(path: Path) -> ModuleType:
    """Returns the user's file as a module. An error in the file becomes one line that names the file."""
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]  # two files may have the same name
    spec = importlib.util.spec_from_file_location(f"convatlas_user_{path.stem}_{place}", path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module.__name__]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _usable(value: object, module: ModuleType) -> bool:
    """Returns whether `value` can be a network: an architecture, or a function or class of the user's own file."""
    if isinstance(value, Architecture):
        return True
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module.__name__


for _family in FAMILIES:
    for _row in _family.rows:
        register(_row)
