"""Plain residual networks of ImageNet, wide, grouped and gated ones, thinned, with the key names of published code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import Change, away, epsilon, exchange, put, strides
from comparison import Mistake, Row, by_table
from convatlas.architectures.preact_resnet import wide as wide_cifar
from convatlas.architectures.resnet import imagenet, senet
from convatlas.layers import ZeroPadShortcut
from references.cifar import zero_channels


@dataclass(frozen=True)
class Form:
    """What a reference is made of. `convs`: kernel, part of the block's output channels, and groups, one for each.

    `stride_at` says which of them subsamples. `shortcut`: "projection", "zeros" or "none", for a plain network. `stem`:
    kernel and stride of each convolution with its channels; `pool` follows, with padding or, `pool_ceil`, rounding up.
    """

    convs: tuple[tuple[int, float, int], ...]
    stride_at: int = 0
    shortcut: str = "projection"
    shortcut_kernel: int = 1
    shortcut_norm: bool = True
    reduction: int = 0
    bias: bool = False
    stem: tuple[tuple[int, int, int], ...] = ((7, 2, 64),)
    pool: bool = True
    pool_ceil: bool = False


class ReferenceBlock(nn.Module):
    """One residual block, written out, with torchvision's names and timm's `se`."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, form: Form) -> None:
        super().__init__()
        self.form, self.stride, self.out_channels = form, stride, out_channels
        channels = in_channels
        for i, (kernel, part, groups) in enumerate(form.convs):
            width, step = int(out_channels * part), stride if i == form.stride_at else 1
            self.add_module(f"conv{i + 1}", nn.Conv2d(channels, width, kernel, step, kernel // 2, 1, groups, form.bias))
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(width))
            channels = width
        if form.reduction:
            squeezed = out_channels // form.reduction
            self.se = nn.ModuleDict(
                {"fc1": nn.Conv2d(out_channels, squeezed, 1), "fc2": nn.Conv2d(squeezed, out_channels, 1)}
            )
        self.changes = stride != 1 or in_channels != out_channels
        if self.changes and form.shortcut == "projection":
            kernel = form.shortcut_kernel if stride > 1 else 1
            conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=form.bias)
            self.downsample = nn.Sequential(*[conv, nn.BatchNorm2d(out_channels)][: 1 + form.shortcut_norm])

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, len(self.form.convs) + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(F.relu(y) if i > 1 else y))
        if self.form.reduction:
            fc1, fc2 = self.se["fc1"], self.se["fc2"]
            squeezed = F.relu(y.mean((2, 3)) @ fc1.weight[:, :, 0, 0].T + fc1.bias)
            y = y * torch.sigmoid(squeezed @ fc2.weight[:, :, 0, 0].T + fc2.bias)[:, :, None, None]
        if self.form.shortcut == "none":
            return F.relu(y)
        if self.changes and self.form.shortcut == "zeros":
            x = zero_channels(x, self.out_channels, self.stride)
        elif self.changes:
            x = self.downsample(x)
        return F.relu(x + y)


class Reference(nn.Module):
    """A residual network of two or more stages; with several convolutions in the stem their names are timm's."""

    def __init__(self, form: Form, depths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        channels, layers = 3, []
        for kernel, stride, width in form.stem:
            layers.append(nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=form.bias))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        self.conv1 = layers[0] if len(form.stem) == 1 else nn.Sequential(*layers[:-2])
        self.bn1, self.form = layers[-2], form
        self.stages = []
        for index, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
            blocks = [ReferenceBlock(channels, width, 1 if index == 1 else 2, form)]
            blocks += [ReferenceBlock(width, width, 1, form) for _ in range(depth - 1)]
            self.add_module(f"layer{index}", nn.Sequential(*blocks))
            self.stages.append(f"layer{index}")
            channels = width
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        if self.form.pool and self.form.pool_ceil:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        elif self.form.pool:
            x = F.max_pool2d(x, 3, 2, padding=1)
        for stage in self.stages:
            x = self.get_submodule(stage)(x)
        return self.fc(x.mean((2, 3)))


class ReferenceUnit(nn.Module):
    """The unit of a Wide ResNet with the key names of xternalz/WideResNet-pytorch."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        if in_channels != out_channels:
            self.convShortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        y = F.relu(self.bn2(self.conv1(activated)))
        y = self.conv2(F.dropout(y, self.dropout, self.training))
        return y + (self.convShortcut(activated) if hasattr(self, "convShortcut") else x)


class ReferenceWide(nn.Module):
    """Wide ResNet of `n` units a stage."""

    def __init__(self, n: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        channels = 16
        for stage, width in enumerate(widths, start=1):
            units = [ReferenceUnit(channels, width, 1 if stage == 1 else 2, dropout)]
            units += [ReferenceUnit(width, width, 1, dropout) for _ in range(n - 1)]
            self.add_module(f"block{stage}", nn.ModuleDict({"layer": nn.Sequential(*units)}))
            channels = width
        self.bn1, self.fc = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        for stage in (1, 2, 3):
            x = self.get_submodule(f"block{stage}.layer")(x)
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


Keys = Mapping[str, str | None]
SMALL_STEM: Keys = {"conv1": "stem.conv", "bn1": "stem.norm"}


def without(keys: Keys, *rows: str) -> Keys:
    return {row: ours for row, ours in keys.items() if not row.startswith(rows)}


TABLE = imagenet.TORCHVISION_KEYS
PLAIN_KEYS = {row: (ours or "").replace("branch.", "") for row, ours in without(TABLE, "layer{}.{}.downsample").items()}
BASIC_FORM = Form(convs=((3, 1, 1), (3, 1, 1)))
BOTTLENECK_FORM = Form(convs=((1, 0.25, 1), (3, 0.25, 1), (1, 1, 1)), stride_at=1)
RESNEXT_FORM = replace(BOTTLENECK_FORM, convs=((1, 0.5, 1), (3, 0.5, 32), (1, 1, 1)))
SENET_FORM = Form(
    convs=((1, 0.5, 1), (3, 1, 64), (1, 1, 1)),
    stride_at=1,
    shortcut_kernel=3,
    reduction=16,
    stem=((3, 2, 64), (3, 1, 64), (3, 1, 128)),
)
CIFAR_STEM: dict[str, Any] = {"stem": ((3, 1, 64),), "pool": False}
THIN: dict[str, Any] = {"depths": (2, 2), "widths": (64, 128)}
GROUPED: dict[str, Any] = {"depths": (2, 2), "widths": (128, 256)}
WIDE: dict[str, Any] = {"depths": (2, 2, 2), "widths": (32, 64, 128)}

# name of the row: the reference's form, its keys, and the depths and widths of both
CASES: dict[str, tuple[Form, Keys, dict[str, Any]]] = {
    "resnet18": (BASIC_FORM, TABLE, THIN),
    "resnet50": (BOTTLENECK_FORM, TABLE, THIN),
    "resnet50_v1": (replace(BOTTLENECK_FORM, stride_at=0), TABLE, THIN),
    "resnet18_a": (replace(BASIC_FORM, shortcut="zeros"), without(TABLE, "layer{}.{}.downsample"), THIN),
    "plain18": (replace(BASIC_FORM, shortcut="none"), PLAIN_KEYS, THIN),
    "resnet18_cifar_stem": (replace(BASIC_FORM, **CIFAR_STEM), {**TABLE, **SMALL_STEM}, THIN),
    "resnet50_cifar_stem": (replace(BOTTLENECK_FORM, **CIFAR_STEM), {**TABLE, **SMALL_STEM}, THIN),
    "resnet18_textbook": (
        replace(BASIC_FORM, bias=True, shortcut_norm=False),
        {"layer{}.{}.downsample.0": "stage{}.{}.shortcut", **without(TABLE, "layer{}.{}.downsample")},
        THIN,
    ),
    "resnet14_slides": (
        replace(BASIC_FORM, stem=((3, 1, 16),), pool=False, shortcut_kernel=3),
        {**TABLE, **SMALL_STEM},
        {"depths": (2, 2), "widths": (16, 32)},
    ),
    "wide_resnet50_2": (replace(RESNEXT_FORM, convs=((1, 0.5, 1), (3, 0.5, 1), (1, 1, 1))), TABLE, THIN),
    "resnext50_32x4d": (RESNEXT_FORM, TABLE, GROUPED),
    "resnext101_32x8d": (replace(RESNEXT_FORM, convs=((1, 1, 1), (3, 1, 32), (1, 1, 1))), TABLE, GROUPED),
    "resnext29_32x4d_cifar": (
        replace(RESNEXT_FORM, stem=((1, 1, 64),), pool=False),
        {**TABLE, **SMALL_STEM},
        GROUPED,
    ),
    "seresnet50": (replace(BOTTLENECK_FORM, reduction=16), senet.TIMM_KEYS, THIN),
    "seresnet50_cifar_stem": (
        replace(BOTTLENECK_FORM, reduction=16, **CIFAR_STEM),
        {**senet.TIMM_KEYS, **SMALL_STEM},
        THIN,
    ),
    "seresnet50_v1": (
        replace(BOTTLENECK_FORM, reduction=16, stride_at=0, pool_ceil=True),
        senet.TIMM_KEYS,
        THIN,
    ),
    "senet154": (SENET_FORM, senet.TIMM_SENET154_KEYS, {**GROUPED, "dropout": 0.0}),
    "senet154_original": (
        replace(SENET_FORM, pool_ceil=True),
        senet.TIMM_SENET154_KEYS,
        {**GROUPED, "dropout": 0.0},
    ),
}
WIDE_CASES = {"wide_resnet28_10": 0.0, "wide_resnet28_10_dropout": 0.3}


def _row(name: str) -> Row:
    """The size does not divide, so that the stages' sizes are odd on the way."""
    form, keys, options = CASES[name]
    reference = partial(Reference, form, options["depths"], options["widths"])
    ours = partial(convatlas.create, name, num_classes=10, **options)
    return Row(name, reference, ours, by_table(keys), (3, 21, 19), batch=4)


def _wide_row(name: str, dropout: float) -> Row:
    reference = partial(ReferenceWide, 2, WIDE["widths"], dropout)
    ours = partial(convatlas.create, name.removesuffix("_dropout"), **WIDE, dropout=dropout)
    return Row(name, reference, ours, by_table(wide_cifar.XTERNALZ_KEYS), (3, 21, 19), batch=4)


ROWS = (*map(_row, CASES), *(_wide_row(name, dropout) for name, dropout in WIDE_CASES.items()))


def activation_before_the_sum(network: nn.Module) -> None:
    block = network.get_submodule("stage2.1")
    block.act = nn.Identity()
    block.get_submodule("branch").add_module("act", nn.ReLU())


def zeros_behind(network: nn.Module) -> None:
    shortcut = network.get_submodule("stage2.0.shortcut")
    assert isinstance(shortcut, ZeroPadShortcut)
    shortcut.before, shortcut.after = 0, shortcut.before + shortcut.after


def gate_after_the_sum(network: nn.Module) -> None:
    block = network.get_submodule("stage1.1")
    gate = block.get_submodule("branch.excite")
    away("stage1.1.branch.excite")(network)
    block.act = nn.Sequential(gate, nn.ReLU())


def gate_before_the_norm(network: nn.Module) -> None:
    gate = network.get_submodule("stage1.0.branch.excite")
    away("stage1.0.branch.excite")(network)
    put("stage1.0.branch.conv3.conv", lambda conv: nn.Sequential(conv, gate))(network)


def centre_only(network: nn.Module) -> None:
    """The 3x3 shortcut as if it were 1x1."""
    weight = network.get_parameter("stage2.0.shortcut.conv.weight")
    with torch.no_grad():
        weight.mul_(F.pad(torch.ones(1, 1), (1, 1, 1, 1)).to(weight))


def groups_rotated(network: nn.Module) -> None:
    """Each group's filters see the channels of the next group."""
    conv = network.get_submodule("stage2.1.branch.conv2.conv")
    assert isinstance(conv, nn.Conv2d)
    width = conv.in_channels // conv.groups
    put("stage2.1.branch.conv2.conv", lambda _: nn.Sequential(Rolled(width), conv))(network)


class Rolled(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        return features.roll(self.channels, dims=1)


class RawShortcut(nn.Module):
    """A unit whose shortcut sees the input, not what norm and activation make of it."""

    def __init__(self, unit: nn.Module) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, features: Tensor) -> Tensor:
        activated = self.unit.get_submodule("act")(self.unit.get_submodule("norm")(features))
        branch, shortcut = (self.unit.get_submodule(f"paths.{name}") for name in ("branch", "shortcut"))
        return branch(activated) + shortcut(features)


def biases_gone(network: nn.Module) -> None:
    nn.init.zeros_(network.get_parameter("stage2.0.shortcut.bias"))


SWAPPED_NORMS = {
    "resnet50": {"layer{}.{}.bn1": "stage{}.{}.branch.conv2.norm", "layer{}.{}.bn2": "stage{}.{}.branch.conv1.norm"},
    "senet154": {"conv1.1": "stem.conv2.norm", "conv1.4": "stem.conv1.norm"},
    "wide_resnet28_10": {
        "block{}.layer.1.bn1": "stage{}.1.branch.conv2.norm",
        "block{}.layer.1.bn2": "stage{}.1.branch.conv1.norm",
    },
}


def swapped(name: str) -> Keys:
    """Returns a key table with two norms in each other's place: same shapes, so that the strict load cannot notice."""
    keys = wide_cifar.XTERNALZ_KEYS if name == "wide_resnet28_10" else CASES[name][1]
    table = {**SWAPPED_NORMS[name], **{row: ours for row, ours in keys.items() if row not in SWAPPED_NORMS[name]}}
    if name == "wide_resnet28_10":  # of two units in a stage none is left to the general row
        table.pop("block{}.layer.{}.bn{}")
    return table


DROPOUTS = {
    "dropout before the norm": ("dropout", "norm", "act", "conv"),
    "dropout after the convolution": ("norm", "act", "conv", "dropout"),
}


def dropout_at(children: tuple[str, ...]) -> Change:
    return put("stage1.1.branch.conv2", lambda conv2: nn.Sequential(*map(conv2.get_submodule, children)))


MISTAKES = (
    Mistake("resnet50", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("resnet50", "activation before the sum", activation_before_the_sum),
    Mistake("resnet50", "shortcut without norm", away("stage2.0.shortcut.norm")),
    Mistake("resnet50", "norms swapped", exchange("stage1.1.branch", "conv1.norm", "conv2.norm")),
    Mistake("resnet50", "blocks swapped", exchange("stage1", "1.branch.conv2", "0.branch.conv2")),
    Mistake("resnet50", "last activation missing", away("stage2.1.act")),
    Mistake("resnet50", "pooling that averages", put("stem.pool", lambda _: nn.AvgPool2d(3, 2, padding=1))),
    Mistake("resnet50", "pooling without padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, ceil_mode=True))),
    Mistake("resnet50", "another eps", epsilon(1e-3)),
    Mistake("resnet50_v1", "stride on the 3x3", strides("stage2.0.branch", 1, 2)),
    Mistake("resnet18", "stride on the second convolution", strides("stage2.0.branch", 1, 2)),
    Mistake("resnet18", "activation before the sum", activation_before_the_sum),
    Mistake("resnet18_a", "zeros behind only", zeros_behind),
    Mistake("plain18", "last activation missing", away("stage2.1.conv2.act")),
    Mistake("resnet18_cifar_stem", "stem without activation", away("stem.act")),
    Mistake("resnet18_textbook", "projection without bias", biases_gone),
    Mistake("resnet14_slides", "shortcut without norm", away("stage2.0.shortcut.norm")),
    Mistake("resnet14_slides", "shortcut of 1x1", centre_only),
    Mistake("wide_resnet50_2", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("resnext50_32x4d", "groups rotated", groups_rotated),
    Mistake("resnext50_32x4d", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("resnext29_32x4d_cifar", "stem without norm", away("stem.norm")),
    Mistake("seresnet50", "gate after the sum", gate_after_the_sum),
    Mistake("seresnet50", "gate before the norm", gate_before_the_norm),
    Mistake("seresnet50", "gate missing", away("stage2.0.branch.excite")),
    Mistake("seresnet50", "gate without activation", away("stage2.0.branch.excite.act")),
    Mistake("seresnet50", "another gate", put("stage2.0.branch.excite.gate", lambda _: nn.Hardsigmoid())),
    Mistake(
        "seresnet50", "squeeze by the largest", put("stage2.0.branch.excite.pool", lambda _: nn.AdaptiveMaxPool2d(1))
    ),
    Mistake("seresnet50_v1", "stride on the 3x3", strides("stage2.0.branch", 1, 2)),
    Mistake("seresnet50_v1", "pooling with padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, padding=1))),
    Mistake("seresnet50_v1", "pooling that rounds down", put("stem.pool", lambda _: nn.MaxPool2d(3, 2))),
    Mistake("senet154_original", "pooling with padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, padding=1))),
    Mistake("senet154", "shortcut of 1x1", centre_only),
    Mistake("senet154", "groups rotated", groups_rotated),
    Mistake("senet154", "stem without activation", away("stem.conv2.act")),
    Mistake("senet154", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    Mistake("wide_resnet28_10", "raw shortcut", put("stage2.0", RawShortcut)),
    Mistake("wide_resnet28_10", "norms swapped", exchange("stage1.1.branch", "conv1.norm", "conv2.norm")),
    Mistake("wide_resnet28_10", "last norm missing", away("norm")),
    Mistake("wide_resnet28_10", "stride on the second convolution", strides("stage2.0.paths.branch", 1, 2)),
    *(
        Mistake("wide_resnet28_10_dropout", said, dropout_at(order), seen_in=("train",), passes_in=("eval",))
        for said, order in DROPOUTS.items()
    ),
    *(
        Mistake(name, "norms swapped by the key table", names=by_table(swapped(name)), seen_in=("eval",))
        for name in SWAPPED_NORMS
    ),
)
