"""The building blocks of the networks.

A network is an `nn.Sequential` of named stages; a block has a `forward` of its own only where the data flow branches.
Children are named by their role: `conv`, `norm`, `act`, `branch`, `shortcut`, `fc`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.errors import UsageError
from convatlas.layers.initialization import Layer


def check_counts(**counts: int | tuple[int, ...]) -> None:
    """Raises `UsageError` unless every value is a whole number of at least 1, or a tuple of such numbers.

    >>> check_counts(growth_rate=16, depths=(6, 6))
    """
    for name, value in counts.items():
        numbers = value if isinstance(value, tuple | list) else (value,)
        if not numbers or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in numbers):
            raise UsageError(f"{name}={value!r} must be made of whole numbers of at least 1")


def check_stages(*, depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
    """Raises `UsageError` unless depths and widths are counts, with one depth and one width for each stage."""
    check_counts(depths=depths, widths=widths)
    if len(depths) != len(widths):
        raise UsageError(f"depths={depths} and widths={widths} must have one entry for each stage")


def check_dropout(dropout: float) -> None:
    """Raises `UsageError` unless 0 <= dropout < 1."""
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout={dropout} must be a probability below 1")


def sequential(**children: nn.Module) -> nn.Sequential:
    """Returns a chain of named modules, in the order given.

    >>> list(dict(sequential(conv=nn.Conv2d(3, 8, 3), act=nn.ReLU()).named_children()))
    ['conv', 'act']
    """
    return nn.Sequential(OrderedDict(children))


class ConvNormAct(nn.Sequential):
    """Convolution, norm, activation: (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride).

    `kernel` and `padding` are one number for both sides, or (rows, columns). By default the padding keeps the size at
    stride 1. `norm=None` and `act=None` leave out the norm and the activation. A bias before a norm is redundant, yet
    some published networks have one. The channels are split into `groups` that do not see each other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] | None = None,
        groups: int = 1,
        bias: bool = False,
        norm: Layer | None = nn.BatchNorm2d,
        act: Layer | None = nn.ReLU,
    ) -> None:
        super().__init__()
        rows, columns = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        around = (rows // 2, columns // 2) if padding is None else padding
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, around, groups=groups, bias=bias)
        if norm is not None:
            self.norm = norm(out_channels)
        if act is not None:
            self.act = act()


class NormActConv(nn.Sequential):
    """Norm, activation, convolution, the pre-activation order: (N, in, H, W) -> (N, out, H / stride, W / stride).

    The channels are split into `groups` that do not see each other. He et al. 2016, https://arxiv.org/abs/1603.05027,
    figure 1 (b).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        norm: Layer = nn.BatchNorm2d,
        act: Layer = nn.ReLU,
        conv: Layer = nn.Conv2d,
    ) -> None:
        super().__init__()
        self.norm = norm(in_channels)
        self.act = act()
        self.conv = conv(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)


class Concat(nn.Module):
    """Branches in parallel on the same input, concatenated on channels in the order given.

    (N, C, H, W) -> (N, sum of the branches' channels, H', W').
    """

    def __init__(self, **branches: nn.Module) -> None:
        super().__init__()
        for name, branch in branches.items():
            self.add_module(name, branch)

    def forward(self, features: Tensor) -> Tensor:
        parts = [branch(features) for branch in self.children()]
        for part in parts:
            if part is not features and _slow_in_slices(part):
                part.register_hook(_together)
        return torch.cat(parts, dim=1)


def _slow_in_slices(features: Tensor) -> bool:
    """Returns whether PyTorch handles a gradient that is a slice of channels element by element: for bf16 on a CPU."""
    return features.requires_grad and features.dtype == torch.bfloat16 and features.device.type == "cpu"


def _together(gradient: Tensor) -> Tensor:
    """Returns the gradient without gaps in memory."""
    return gradient.contiguous(memory_format=torch.channels_last)


class Residual(nn.Module):
    """act(branch(x) + shortcut(x)); without a given shortcut or activation, the identity takes its place.

    (N, C, H, W) -> (N, C', H', W'), the shape on which branch and shortcut agree. He et al. 2015,
    https://arxiv.org/abs/1512.03385, equations 1 and 2.
    """

    def __init__(self, branch: nn.Module, *, shortcut: nn.Module | None = None, act: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut if shortcut is not None else nn.Identity()
        self.act = act if act is not None else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.act(self.branch(features) + self.shortcut(features))
        return total


class Scale(nn.Module):
    """Multiplication of all values by a fixed factor: (N, C, H, W) -> (N, C, H, W). It has no parameters.

    It stands at the end of a scaled residual branch: Szegedy et al. 2016, https://arxiv.org/abs/1602.07261, section
    3.3.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: Tensor) -> Tensor:
        return features * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:g}"


class StochasticDepth(nn.Module):
    """Drops images in training with `probability`, and divides the others by (1 - probability) to keep the mean.

    (N, C, H, W) -> (N, C, H, W). In eval mode it is the identity. It stands at the end of a residual branch, which is
    then skipped as a whole. Huang et al. 2016, https://arxiv.org/abs/1603.09382, section 3. Raises `UsageError` unless
    0 <= probability < 1.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise UsageError(f"the probability {probability} of skipping a branch must be at least 0 and below 1")
        self.probability = probability

    def forward(self, features: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return features
        kept = 1 - self.probability
        mask = features.new_empty(len(features), *[1] * (features.ndim - 1)).bernoulli_(kept)
        return features * mask / kept

    def extra_repr(self) -> str:
        return f"{self.probability:g}"


class ZeroPadShortcut(nn.Module):
    """A shortcut of every `stride`-th row and column, with zero channels before and after; it has no parameters.

    (N, in_channels, H, W) -> (N, out_channels, ceil(H / stride), ceil(W / stride)). Half of the zero channels come
    before the image's channels and half after; of an odd number, one more comes after. This is option A of He et al.
    2015, https://arxiv.org/abs/1512.03385, sections 3.3 and 4.2. The paper does not say where the zeros stand; here
    they stand as in the published checkpoints.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise UsageError(f"zero channels cannot reduce {in_channels} channels to {out_channels}")
        self.stride = stride
        self.before = (out_channels - in_channels) // 2
        self.after = out_channels - in_channels - self.before

    def forward(self, features: Tensor) -> Tensor:
        subsampled = features[:, :, :: self.stride, :: self.stride]
        return F.pad(subsampled, (0, 0, 0, 0, self.before, self.after))


class InputTransform(nn.Module):
    """The change from ImageNet's mean and deviation to a mean and deviation of 0.5, for normalised images.

    (N, 3, H, W) -> (N, 3, H, W), without parameters. This is torchvision's `transform_input`, for weights that were
    trained with 0.5 and 0.5, such as those of GoogLeNet and Inception-v3.
    """

    MEAN = (0.485, 0.456, 0.406)
    STD = (0.229, 0.224, 0.225)

    def forward(self, images: Tensor) -> Tensor:
        channels = [
            images[:, index : index + 1] * (std / 0.5) + (mean - 0.5) / 0.5
            for index, (mean, std) in enumerate(zip(self.MEAN, self.STD, strict=True))
        ]
        return torch.cat(channels, 1)


def classifier(in_channels: int, num_classes: int, *, dropout: float = 0.0) -> nn.Sequential:
    """Builds global average pooling, an optional dropout and a linear layer: (N, in_channels, H, W) -> (N, classes).

    >>> classifier(64, 10).fc
    Linear(in_features=64, out_features=10, bias=True)
    """
    check_dropout(dropout)
    drop = {"dropout": nn.Dropout(dropout)} if dropout else {}
    return sequential(
        pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), **drop, fc=nn.Linear(in_channels, num_classes)
    )


def dense_layers(features: int, *, hidden: int, num_classes: int, dropout: float) -> dict[str, nn.Module]:
    """Builds two hidden linear layers with ReLU and dropout, and the classifier: (N, features) -> (N, classes).

    They are the end of a head, by name. Krizhevsky, Sutskever, Hinton 2012, sections 3.5 and 4.2.

    >>> sequential(flatten=nn.Flatten(), **dense_layers(64, hidden=32, num_classes=10, dropout=0.5)).fc
    Linear(in_features=32, out_features=10, bias=True)
    """
    check_counts(features=features, hidden=hidden, num_classes=num_classes)
    check_dropout(dropout)
    return {
        "fc1": nn.Linear(features, hidden),
        "act1": nn.ReLU(inplace=True),
        "dropout1": nn.Dropout(dropout),
        "fc2": nn.Linear(hidden, hidden),
        "act2": nn.ReLU(inplace=True),
        "dropout2": nn.Dropout(dropout),
        "fc": nn.Linear(hidden, num_classes),
    }
