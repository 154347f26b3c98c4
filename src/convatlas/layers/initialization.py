"""Initial weights under the papers' names, and the activations whose gains they use."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

from convatlas.errors import unknown

Activation = Literal["relu", "leakyrelu", "gelu", "silu", "tanh"]
Layer = Callable[..., nn.Module]  # a constructor: nn.BatchNorm2d, nn.ReLU ...

# They work in place, because every activation here follows a norm, a sum, a convolution or a linear layer, and nothing
# else reads the output of that layer.
_ACTIVATIONS: dict[str, Layer] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leakyrelu": partial(nn.LeakyReLU, negative_slope=0.01, inplace=True),
    "gelu": nn.GELU,
    "silu": partial(nn.SiLU, inplace=True),
    "tanh": nn.Tanh,
}

# Kaiming gains, 1 / sqrt(E[f(z)^2]) for z ~ N(0, 1); the gain of silu has no closed form. PyTorch's `calculate_gain`
# spells `leaky_relu` and has neither `gelu` nor `silu`. Its 5/3 for tanh is a customary value; the formula would give
# 1.59.
_GAINS: dict[str, float] = {
    "relu": math.sqrt(2.0),
    "leakyrelu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "gelu": 1.0 / math.sqrt(1.0 / 3.0 + 1.0 / (2.0 * math.sqrt(3.0) * math.pi)),
    "silu": 1.6765324703,
    "tanh": 5.0 / 3.0,
}


def activation_layer(name: str) -> Layer:
    """Returns the constructor of the activation called `name`. Raises `UsageError` for an unknown name.

    >>> activation_layer("gelu")()
    GELU(approximate='none')
    """
    if name not in _ACTIVATIONS:
        raise unknown("activation", name, _ACTIVATIONS)
    return _ACTIVATIONS[name]


def initialize_kaiming(network: nn.Module, *, activation: str, fan: Literal["fan_in", "fan_out"]) -> None:
    """Initialises every convolution as He et al.: normal with standard deviation gain(activation) / sqrt(fan).

    `fan_in` keeps the variance of the activations, `fan_out` the variance of the gradients. In a grouped convolution,
    `fan_in` counts the channels of one group and `fan_out` counts all channels, as PyTorch does. Norms start at (1, 0);
    linear layers and biases keep PyTorch's default. https://arxiv.org/abs/1502.01852, section 2.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            out_channels, in_channels, height, width = module.weight.shape
            connections = (in_channels if fan == "fan_in" else out_channels) * height * width
            nn.init.normal_(module.weight, std=_GAINS[activation] / math.sqrt(connections))


def initialize_xavier(network: nn.Module) -> None:
    """Initialises every convolution and linear layer as Glorot and Bengio; biases keep PyTorch's default.

    The weights are uniform within sqrt(6 / (fan_in + fan_out)); their standard deviation is
    sqrt(2 / (fan_in + fan_out)). https://proceedings.mlr.press/v9/glorot10a.html, equation 16.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def initialize_normal(network: nn.Module, *, std: float, kinds: tuple[type[nn.Module], ...]) -> None:
    """Initialises every layer of these kinds: weights normal with standard deviation `std`, biases 0."""
    for module in network.modules():
        if isinstance(module, kinds):
            nn.init.normal_(module.get_parameter("weight"), std=std)
            if module.bias is not None:
                nn.init.zeros_(module.get_parameter("bias"))
