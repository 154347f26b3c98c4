"""Networks on the meta device: names and shapes without memory and without initial values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

from convatlas.architecture import Architecture
from convatlas.errors import UsageError

INITIAL = {Tensor.normal_, Tensor.uniform_, Tensor.fill_, Tensor.zero_}


def without_memory(row: Architecture, **arguments: Any) -> nn.Module:
    """Returns the network on the meta device, and raises `UsageError` as `Architecture.build` does."""
    with torch.device("meta"), _Uninitialised():
        return row.build(**arguments)


class _Uninitialised(TorchFunctionMode):
    """Leaves out initial values: no tensor on the meta device has any, and they take most of the time there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in INITIAL or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextlib.contextmanager
def at_most(modules: int) -> Iterator[None]:
    """Stops any network that is built meanwhile and has more modules: raises `UsageError`."""
    built = 0

    def count(*_: Any) -> None:
        nonlocal built
        built += 1
        if built > modules:
            raise UsageError(f"a network of more than {modules:,} modules")

    handle = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
