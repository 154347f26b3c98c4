"""The values inside a network: the outputs of its stages, and the filters of its first layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from convatlas.errors import UsageError, unknown

SHOWN = 4  # stages whose maps are shown, where the user names none


@contextmanager
def watched(network: nn.Module, names: list[str], note: Callable[[str, Any], Any]) -> Iterator[None]:
    """Calls `note` with the name and the output of each module while the network works.

    A value that `note` returns takes the output's place.
    """
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: note(name, output)
        )
        for name in names
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def is_map(output: object) -> bool:
    """Returns whether an output has several rows and columns: (N, C, H, W)."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[-2:].numel() > 1


def spatial_stages(network: nn.Module, inputs: Tensor) -> list[str]:
    """Returns the names of all modules whose output has several rows and columns, in the order in which they end.

    Adaptive pooling is left out: it may repeat one value. Raises `UsageError` for a network that has no such module.
    """
    ended: dict[str, None] = {}

    def note(name: str, output: Any) -> None:
        if is_map(output) and not isinstance(network.get_submodule(name), nn.AdaptiveAvgPool2d):
            ended.pop(name, None)  # a module that works again ends later
            ended[name] = None

    with torch.no_grad(), watched(network, [name for name, _ in network.named_modules() if name], note):
        network(inputs.clone())
    if not ended:
        raise UsageError(
            "the network has no features with rows and columns, which every map needs; show another network"
        )
    return list(ended)


def chosen_stages(network: nn.Module, inputs: Tensor, wanted: list[str]) -> list[str]:
    """Returns the stages whose maps are shown: those that the user wants, else some of the network's own stages.

    Raises `UsageError` for an unknown stage, with the names of the network's own.
    """
    ended = spatial_stages(network, inputs)
    own = [name for name, _ in network.named_children() if name in ended] or ended
    for name in wanted:
        if name not in ended:
            known = ", ".join(own)
            near = str(unknown("stage", name, ended)).partition(" (all")[0]
            raise UsageError(f"{near} (stages: {known}; and modules in them, such as {ended[len(ended) // 2]})")
    step = max(1, (len(own) - 1)) / max(1, min(SHOWN, len(own)) - 1)
    return wanted or list(dict.fromkeys(own[round(index * step)] for index in range(min(SHOWN, len(own)))))


def feature_maps(network: nn.Module, inputs: Tensor, stages: list[str]) -> dict[str, Tensor]:
    """Returns the output (C, H, W) of each stage for one image (1, C, H, W)."""
    found: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        found[name] = output[0].clone()  # what follows may work in place

    with torch.no_grad(), watched(network, stages, note):
        network(inputs.clone())
    return found


def strongest(maps: Tensor, *, count: int) -> list[int]:
    """Returns the channels of maps (C, H, W) with the largest mean absolute value, the strongest first."""
    strength = maps.abs().mean((1, 2))
    return strength.sort(descending=True, stable=True).indices[:count].tolist()


def first_filters(network: nn.Module) -> tuple[str, Tensor] | None:
    """Returns the name and the weights (out, in, rows, columns) of the first convolution; None without one."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module.weight.detach()
    return None
