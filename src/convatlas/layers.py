"""The building blocks of the networks.

A network is an `nn.Sequential` of named stages; a block has a `forward` of its own only where the data flow branches.
Children are named by their role: `conv`, `norm`, `act`, `branch`, `shortcut`, `fc`.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import UsageError, unknown

Activation = Literal["relu", "leakyrelu", "gelu", "tanh"]
Layer = Callable[..., nn.Module]  # a constructor: nn.BatchNorm2d, nn.ReLU ...

# In place: every activation here follows a norm or a sum, whose output nothing else reads.
_ACTIVATIONS: dict[str, Layer] = {
    "relu": partial(nn.ReLU, inplace=True),
    "leakyrelu": partial(nn.LeakyReLU, negative_slope=0.01, inplace=True),
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
}

# Kaiming gains, 1 / sqrt(E[f(z)^2]) for z ~ N(0, 1). PyTorch's `calculate_gain` spells `leaky_relu` and has no `gelu`;
# its 5/3 for tanh is a customary value and not this expectation (which would give 1.59).
_GAINS: dict[str, float] = {
    "relu": math.sqrt(2.0),
    "leakyrelu": math.sqrt(2.0 / (1.0 + 0.01**2)),
    "gelu": 1.0 / math.sqrt(1.0 / 3.0 + 1.0 / (2.0 * math.sqrt(3.0) * math.pi)),
    "tanh": 5.0 / 3.0,
}


def activation_layer(name: str) -> Layer:
    """The constructor of the non-linearity called `name`. Raises `UsageError` for an unknown one.

    >>> activation_layer("gelu")()
    GELU(approximate='none')
    """
    if name not in _ACTIVATIONS:
        raise unknown("activation", name, _ACTIVATIONS)
    return _ACTIVATIONS[name]


def check_counts(**counts: int | tuple[int, ...]) -> None:
    """Raises `UsageError` unless every value is a whole number of at least 1, or a tuple of such.

    >>> check_counts(growth_rate=16, depths=(6, 6))
    """
    for name, value in counts.items():
        numbers = value if isinstance(value, tuple | list) else (value,)
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise UsageError(f"{name}={value!r} must be made of whole numbers of at least 1")


def initialize_kaiming(network: nn.Module, *, activation: str, fan: Literal["fan_in", "fan_out"]) -> None:
    """He et al.'s initialisation of every convolution: normal, standard deviation gain(activation) / sqrt(fan).

    `fan_in` keeps the variance of the activations, `fan_out` that of the gradients. Norms start at (1, 0) and linear
    layers and biases at PyTorch's default. https://arxiv.org/abs/1502.01852, section 2.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            out_channels, in_channels, height, width = module.weight.shape
            connections = (in_channels if fan == "fan_in" else out_channels) * height * width
            nn.init.normal_(module.weight, std=_GAINS[activation] / math.sqrt(connections))


def sequential(**children: nn.Module) -> nn.Sequential:
    """A chain of named modules, in order.

    >>> list(dict(sequential(conv=nn.Conv2d(3, 8, 3), act=nn.ReLU()).named_children()))
    ['conv', 'act']
    """
    return nn.Sequential(OrderedDict(children))


class ConvNormAct(nn.Sequential):
    """Convolution, norm, activation: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    Padding keeps the size at stride 1; `act=None` leaves the activation out. A bias before a norm is redundant, yet
    some published networks have it.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        bias: bool = False,
        norm: Layer = nn.BatchNorm2d,
        act: Layer | None = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=bias)
        self.norm = norm(out_channels)
        if act is not None:
            self.act = act()


class NormActConv(nn.Sequential):
    """Norm, activation, convolution, the pre-activation order: (N, in, H, W) -> (N, out, H / stride, W / stride).

    He et al. 2016, https://arxiv.org/abs/1603.05027, figure 1 (b).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        norm: Layer = nn.BatchNorm2d,
        act: Layer = nn.ReLU,
    ) -> None:
        super().__init__()
        self.norm = norm(in_channels)
        self.act = act()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


class Concat(nn.Module):
    """Branches in parallel on the same input, concatenated on channels in the order given.

    (N, C, H, W) -> (N, sum of the branches' channels, H', W').
    """

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([branch(features) for branch in self.children()], dim=1)


class Residual(nn.Module):
    """act(branch(x) + shortcut(x)); the shortcut is the identity where none is given, and so is the activation.

    (N, C, H, W) -> (N, C', H', W') as branch and shortcut agree.
    He et al. 2015, https://arxiv.org/abs/1512.03385, equations 1 and 2.
    """

    def __init__(self, branch: nn.Module, *, shortcut: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.act = act if act is not None else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.act(self.branch(features) + self.shortcut(features))
        return total


class ZeroPadShortcut(nn.Module):
    """Every `stride`-th row and column and zero channels, half before and half after; it has no parameters.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)); of an odd number of new channels
    one more comes after. Option A of He et al. 2015, https://arxiv.org/abs/1512.03385, sections 3.3 and 4.2, which
    leave the zeros' place open: it is that of the published checkpoints.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise UsageError(f"zero channels cannot make {out_channels} channels of {in_channels}")
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, features: Tensor) -> Tensor:
        subsampled = features[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled, (0, 0, 0, 0, self.before, self.after))


def classifier(in_channels: int, num_classes: int) -> nn.Sequential:
    """Global average pooling and one linear layer: (N, in_channels, H, W) -> (N, num_classes) logits.

    >>> classifier(64, 10).fc
    Linear(in_features=64, out_features=10, bias=True)
    """
    return sequential(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(in_channels, num_classes))
