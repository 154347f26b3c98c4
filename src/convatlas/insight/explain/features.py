"""The values inside a network: the outputs of its stages, and the filters of its first layer."""

from __future__ import annotations

from collections import deque
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

    Adaptive pooling is left out: it may repeat one value.
    """
    ended: dict[str, None] = {}

    def note(name: str, output: Any) -> None:
        if is_map(output) and not isinstance(network.get_submodule(name), nn.AdaptiveAvgPool2d):
            ended.pop(name, None)  # a module that works again ends later
            ended[name] = None

    with torch.no_grad(), watched(network, [name for name, _ in network.named_modules() if name], note):
        network(inputs.clone())
    return list(ended)


def chosen_stages(network: nn.Module, inputs: Tensor, wanted: list[str]) -> list[str]:
    """Returns the stages whose maps are shown: those that the user wants, else some of the network's own, if any.

    Raises `UsageError` for an unknown stage, with the names of the network's own.
    """
    ended = spatial_stages(network, inputs)
    for name in wanted:
        if name not in ended:
            raise unknown_stage(network, name, ended)
    own = _own(network, ended)
    step = max(1, (len(own) - 1)) / max(1, min(SHOWN, len(own)) - 1)
    return wanted or list(dict.fromkeys(own[round(index * step)] for index in range(min(SHOWN, len(own)))))


def unknown_stage(network: nn.Module, name: str, known: list[str]) -> UsageError:
    """Returns the error for a stage that is not among the known modules; it names the network's own stages."""
    if not known:
        return UsageError(f"unknown stage {name!r}; the network has no features with rows and columns")
    near = str(unknown("stage", name, known)).partition(" (all")[0]
    inner = f"; and modules in them, such as {known[len(known) // 2]}"
    return UsageError(f"{near} (stages: {', '.join(_own(network, known))}{inner})")


def _own(network: nn.Module, known: list[str]) -> list[str]:
    """Returns the network's own stages among known modules, all of these where it has no stages."""
    return [name for name, _ in network.named_children() if name in known] or known


def outputs_of(network: nn.Module, inputs: Tensor, stages: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the logits (N, classes) of inputs (N, C, size, size), and the output of each stage that gives a tensor.

    Outputs are copied, as what follows may work in place; of a stage that works several times, the last counts.
    """
    found: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim > 1:
            found[name] = output.clone()

    with watched(network, stages, note):
        logits: Tensor = network(inputs.clone())
    return logits, found


def feature_maps(network: nn.Module, inputs: Tensor, stages: list[str]) -> dict[str, Tensor]:
    """Returns the output (C, H, W) of each stage for one image (1, C, H, W)."""
    with torch.no_grad():
        return {name: output[0] for name, output in outputs_of(network, inputs, stages)[1].items()}


def before_last_layer(network: nn.Module, inputs: Tensor) -> Tensor:
    """Returns what the last convolution or linear layer receives: (N, C, size, size) -> (N, D), means over places.

    Raises `UsageError` for a network without such a layer, and for features that are not finite.
    """
    received: deque[Tensor] = deque(maxlen=1)  # of the layer that worked last
    _at_weighted_layers(network, inputs, lambda _layer, given: received.append(given))
    if not received:
        raise UsageError("the network has no convolution and no linear layer, so that it has no features to compare")
    features = received[-1].flatten(2).mean(2) if received[-1].ndim > 2 else received[-1]
    if not bool(features.isfinite().all()):
        raise UsageError("the features before the last layer are not finite; the network has diverged")
    return features


def weighted_layers(network: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """Returns the convolutions and linear layers in the order in which they work, of several times the last."""
    worked: dict[nn.Module, None] = {}

    def note(layer: nn.Module, _given: Tensor) -> None:
        worked.pop(layer, None)
        worked[layer] = None

    _at_weighted_layers(network, inputs, note)
    return list(worked)


def _at_weighted_layers(network: nn.Module, inputs: Tensor, note: Callable[[nn.Module, Tensor], None]) -> None:
    """Sends inputs through the network; calls `note` with each convolution and linear layer and what it receives."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(lambda layer, given: note(layer, given[0])) for layer in layers]
    try:
        with torch.no_grad():
            network(inputs.clone())
    finally:
        for hook in hooks:
            hook.remove()


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
