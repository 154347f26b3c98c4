"""The bidirectional feature pyramid of EfficientDet: levels that exchange their features downward and upward.

Tan, Pang, Le 2019, https://arxiv.org/abs/1911.09070, section 3.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architectures.backbones import Levels
from convatlas.errors import unknown
from convatlas.layers import ConvNormAct, activation_layer, sequential

FusionKind = Literal["fast", "softmax", "sum"]
Padding = Literal["same", "equal"]
FUSIONS: tuple[FusionKind, ...] = ("fast", "softmax", "sum")
PADDINGS: tuple[Padding, ...] = ("same", "equal")
FIRST_LEVEL = 3  # a level l has a 2^l-th of the image's size
EPSILON = 1e-4  # of fast normalised fusion

norm_layer = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)


def separable(in_channels: int, out_channels: int, *, bias: bool) -> nn.Sequential:
    """Builds a depthwise 3x3 convolution and a 1x1 convolution: (N, in_channels, H, W) -> (N, out_channels, H, W)."""
    return sequential(
        depthwise=nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        pointwise=nn.Conv2d(in_channels, out_channels, 1, bias=bias),
    )


class HalvingPool(nn.Module):
    """The maximum over 3x3 windows, two pixels apart: (N, C, H, W) -> (N, C, ceil(H / 2), ceil(W / 2)).

    `padding` is TensorFlow's ("same") or the same on all sides ("equal"). They differ at even sizes, where the windows
    of the first lie one pixel further right and down.
    """

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        if padding not in PADDINGS:
            raise unknown("padding", padding, PADDINGS)
        self.padding = padding

    def forward(self, features: Tensor) -> Tensor:
        if self.padding == "equal":
            return F.max_pool2d(features, 3, 2, 1)
        rows, columns = (size % 2 for size in features.shape[-2:])
        return F.max_pool2d(features, 3, 2, (rows, columns), ceil_mode=True)  # the last window may reach over the end

    def extra_repr(self) -> str:
        return "3 x 3, stride 2" if self.padding == "same" else "3 x 3, stride 2, padded on all sides"


class Fusion(nn.Module):
    """A weighted sum of features of one shape: several (N, C, H, W) -> (N, C, H, W).

    `fast` divides the weights, which are kept above 0, by their sum; `softmax` takes their softmax; `sum` adds without
    weights. Section 3.3. Raises `UsageError` for another kind.
    """

    def __init__(self, inputs: int, kind: FusionKind) -> None:
        super().__init__()
        if kind not in FUSIONS:
            raise unknown("fusion", kind, FUSIONS)
        self.kind = kind
        if kind != "sum":
            self.weight = nn.Parameter(torch.ones(inputs))

    def forward(self, *features: Tensor) -> Tensor:
        if self.kind == "sum":
            total, *others = features
            for each in others:
                total = total + each
            return total
        weights = self.shares().unbind()
        total = features[0] * weights[0]
        for each, weight in zip(features[1:], weights[1:], strict=True):
            total = torch.addcmul(total, each, weight)
        return total

    def shares(self) -> Tensor:
        """Returns the normalised weights, one for each input."""
        if self.kind == "softmax":
            return self.weight.softmax(0)
        positive = self.weight.relu()
        return positive / (positive.sum() + EPSILON)

    def extra_repr(self) -> str:
        return self.kind


class PyramidForm(NamedTuple):
    """The form of a pyramid: its channels, its fusion, its padding, and whether convolutions before norms have biases.

    The released networks have such redundant biases.
    """

    width: int
    fusion: FusionKind = "fast"
    padding: Padding = "same"
    redundant_bias: bool = True


class FusionNode(nn.Module):
    """A node of the pyramid: the features of a level and of its neighbour, fused, activated and convolved.

    (N, in_channels, H, W), the level's own features; perhaps (N, width, H, W), its features so far; and (N, width, H',
    W'), the neighbour's -> (N, width, H, W). Where the own features have other channels than the pyramid, a 1x1
    convolution comes before. A finer neighbour is brought to the level's size by the `pool`; a coarser one is doubled.
    """

    def __init__(self, in_channels: int, form: PyramidForm, *, inputs: int, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.pool = pool
        self.lateral = lateral(in_channels, form) if in_channels != form.width else nn.Identity()
        self.fusion = Fusion(inputs, form.fusion)
        self.act = activation_layer("silu")()
        self.conv = separable(form.width, form.width, bias=form.redundant_bias)
        self.conv.add_module("norm", norm_layer(form.width))

    def forward(self, level: Tensor, *others: Tensor) -> Tensor:
        *so_far, neighbour = others
        if self.pool is not None:
            neighbour = self.pool(neighbour)
        else:
            neighbour = F.interpolate(neighbour, size=level.shape[-2:], mode="nearest")
        fused: Tensor = self.conv(self.act(self.fusion(self.lateral(level), *so_far, neighbour)))
        return fused


class BiFPNCell(nn.Module):
    """A cell of the pyramid: `Levels` -> `Levels` of `width` channels. Figure 2 (d).

    First each level but the coarsest gets the level above it, doubled (`topdown6` ... `topdown3`). Then each level but
    the finest gets the level below it, pooled, beside its own input and its value on the way down (`bottomup4` ...
    `bottomup7`).
    """

    def __init__(self, channels: tuple[int, ...], form: PyramidForm) -> None:
        super().__init__()
        last = FIRST_LEVEL + len(channels) - 1
        for level in range(last - 1, FIRST_LEVEL - 1, -1):
            self.add_module(f"topdown{level}", FusionNode(channels[level - FIRST_LEVEL], form, inputs=2))
        for level in range(FIRST_LEVEL + 1, last + 1):
            inputs, pool = 2 if level == last else 3, HalvingPool(form.padding)
            self.add_module(
                f"bottomup{level}", FusionNode(channels[level - FIRST_LEVEL], form, inputs=inputs, pool=pool)
            )

    def forward(self, features: Levels) -> Levels:
        nodes = dict(self.named_children())
        last = FIRST_LEVEL + len(features) - 1
        own = dict(enumerate(features, start=FIRST_LEVEL))
        middle = {last: own[last]}
        for level in range(last - 1, FIRST_LEVEL - 1, -1):
            middle[level] = nodes[f"topdown{level}"](own[level], middle[level + 1])
        outputs = [middle[FIRST_LEVEL]]
        for level in range(FIRST_LEVEL + 1, last + 1):
            so_far = () if level == last else (middle[level],)
            outputs.append(nodes[f"bottomup{level}"](own[level], *so_far, outputs[-1]))
        return tuple(outputs)


class CoarserLevels(nn.Module):
    """Adds `count` levels of half the size each to the backbone's: `Levels` -> `Levels`.

    Where the backbone's last level has other channels than the pyramid, a 1x1 convolution comes before the first pool.
    """

    def __init__(self, in_channels: int, form: PyramidForm, *, count: int) -> None:
        super().__init__()
        self.lateral = lateral(in_channels, form) if in_channels != form.width else nn.Identity()
        self.pool = HalvingPool(form.padding)
        self.count = count

    def forward(self, features: Levels) -> Levels:
        added = [self.lateral(features[-1])]
        for _ in range(self.count):
            added.append(self.pool(added[-1]))
        return (*features, *added[1:])


def lateral(in_channels: int, form: PyramidForm) -> nn.Module:
    """Builds the 1x1 convolution that gives a level the pyramid's channels."""
    return ConvNormAct(in_channels, form.width, 1, bias=form.redundant_bias, norm=norm_layer, act=None)


def pyramid_cells(channels: tuple[int, ...], form: PyramidForm, *, cells: int) -> dict[str, nn.Module]:
    """Builds the cells of a pyramid by name: cell1 is given levels of these channels, the others of its own width."""
    same = (form.width,) * len(channels)
    return {f"cell{number}": BiFPNCell(same if number > 1 else channels, form) for number in range(1, cells + 1)}
