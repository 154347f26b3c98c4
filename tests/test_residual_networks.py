"""The residual networks of ImageNet, wide, grouped and gated ones: counts, shapes, initial weights, options, parity
with a plain reference, which notices faults. Parity with torchvision and timm is tested elsewhere, at full size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.preact_resnet import wide as wide_cifar
from convatlas.architectures.resnet import imagenet, resnext, senet, teaching, wide
from convatlas.checks import check_architecture
from convatlas.errors import UsageError
from convatlas.layers import Residual, SqueezeExcite, ZeroPadShortcut
from convatlas.weights import load_strictly, translate_keys
from counted import Counted
from references import randomize, zero_channels

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, convolutions, norms; typed here a second time, so that a changed row is noticed.
COUNTS = {
    "resnet18": (11_689_512, 1_814_073_344, 20, 20),
    "resnet34": (21_797_672, 3_663_761_408, 36, 36),
    "resnet50": (25_557_032, 4_089_184_256, 53, 53),
    "resnet101": (44_549_160, 7_801_405_440, 104, 104),
    "resnet152": (60_192_808, 11_513_626_624, 155, 155),
    "resnet50_v1": (25_557_032, 3_857_973_248, 53, 53),
    "resnet101_v1": (44_549_160, 7_570_194_432, 104, 104),
    "resnet152_v1": (60_192_808, 11_282_415_616, 155, 155),
    "resnet18_a": (11_515_688, 1_794_805_760, 17, 17),
    "resnet34_a": (21_623_848, 3_644_493_824, 33, 33),
    "plain18": (11_515_688, 1_794_805_760, 17, 17),
    "plain34": (21_623_848, 3_644_493_824, 33, 33),
    "resnet18_cifar_stem": (11_173_962, 555_422_720, 20, 20),
    "resnet34_cifar_stem": (21_282_122, 1_159_402_496, 36, 36),
    "resnet50_cifar_stem": (23_520_842, 1_297_829_888, 53, 53),
    "resnet101_cifar_stem": (42_512_970, 2_509_983_744, 104, 104),
    "resnet152_cifar_stem": (58_156_618, 3_722_137_600, 155, 155),
    "resnet18_textbook": (11_184_650, 1_813_566_464, 20, 17),
    "resnet14_slides": (195_738, 28_754_560, 15, 15),
    "wide_resnet50_2": (68_883_240, 11_398_021_120, 53, 53),
    "wide_resnet28_10": (36_479_194, 5_243_328_768, 28, 25),
    "wide_resnet16_8": (10_961_370, 1_548_145_664, 16, 13),
    "wide_resnet40_4": (8_949_210, 1_298_582_016, 40, 37),
    "wide_resnet28_2": (1_467_610, 214_353_152, 28, 25),
    "wide_resnet40_10": (55_841_754, 8_074_483_968, 40, 37),
    "resnext50_32x4d": (25_028_904, 4_230_479_872, 53, 53),
    "resnext101_32x8d": (88_791_336, 16_414_015_488, 104, 104),
    "resnext29_32x4d_cifar": (4_774_218, 772_483_072, 31, 31),
    "seresnet50": (28_088_024, 4_091_699_200, 53 + 32, 53),  # two more convolutions in each block's gate
    "seresnet50_v1": (28_088_024, 3_860_488_192, 53 + 32, 53),
    "senet154": (115_088_984, 20_688_363_520, 157 + 100, 157),
    "senet154_original": (115_088_984, 20_688_363_520, 157 + 100, 157),
    "seresnet50_cifar_stem": (26_051_834, 1_300_344_832, 53 + 32, 53),
}


def _meta(name: str, **options: Any) -> nn.Module:
    """The network without memory."""
    with torch.device("meta"):
        return architecture(name).build(**options)


FILES = (imagenet, teaching, wide, resnext, senet, wide_cifar)
WIDE_CIFAR = [row.name for row in wide_cifar.ROWS]
SMALL_IMAGES = [name for name in COUNTS if "cifar" in name or "slides" in name or name in WIDE_CIFAR]


def test_every_row_stands_in_the_table() -> None:
    assert {row.name for file in FILES for row in file.ROWS} == set(COUNTS)
    for family in ("wide_resnet", "resnext", "senet"):
        names = {name for name in list_architectures() if architecture(name).family == family}
        assert names
        assert names <= set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    classes = 10 if name in SMALL_IMAGES or name == "resnet18_textbook" else 1000
    size = 32 if name in SMALL_IMAGES else 224
    assert (row.params, row.macs, row.image_size, row.num_classes) == (*COUNTS[name][:2], size, classes)
    network = counted(name)
    found = (network.parameters, network.modules["Conv2d"], network.modules["BatchNorm2d"])
    assert found == (COUNTS[name][0], *COUNTS[name][2:])


def _stages(stem: int, *widths: int, size: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"stage{n}": (width, size >> n - 1, size >> n - 1) for n, width in enumerate(widths, start=1)}
    return {"stem": (stem, size, size), **shapes}


BASIC = _stages(64, 64, 128, 256, 512, size=56)
BOTTLENECK = _stages(64, 256, 512, 1024, 2048, size=56)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        *((name, BASIC) for name in ("resnet18", "resnet34_a", "plain18", "resnet18_textbook")),
        *((name, BOTTLENECK) for name in ("resnet50", "resnet50_v1", "wide_resnet50_2", "seresnet50", "seresnet50_v1")),
        *((name, BOTTLENECK) for name in ("resnext50_32x4d", "resnet101")),
        *((name, {**BOTTLENECK, "stem": (128, 56, 56)}) for name in ("senet154", "senet154_original")),
        ("resnet18_cifar_stem", _stages(64, 64, 128, 256, 512, size=32)),
        ("seresnet50_cifar_stem", _stages(64, 256, 512, 1024, 2048, size=32)),
        ("resnext29_32x4d_cifar", _stages(64, 256, 512, 1024, size=32)),
        ("resnet14_slides", _stages(16, 16, 32, 64, size=32)),
        ("wide_resnet28_10", {**_stages(16, 160, 320, 640, size=32), "norm": (640, 8, 8)}),
        ("wide_resnet16_8", _stages(16, 128, 256, 512, size=32)),
        ("wide_resnet40_4", _stages(16, 64, 128, 256, size=32)),
        ("wide_resnet28_2", _stages(16, 32, 64, 128, size=32)),
        ("wide_resnet40_10", _stages(16, 160, 320, 640, size=32)),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes
    assert len([stage for stage in stages if stage.startswith("stage")]) == len(shapes) - 1 - ("norm" in shapes)


# torchvision's files, their accuracies in percent, and the side to which each recipe resizes.
TORCHVISION = {
    "resnet18": [("resnet18-f37072fd", 69.758)],
    "resnet34": [("resnet34-b627a593", 73.314)],
    "resnet50": [("resnet50-0676ba61", 76.130), ("resnet50-11ad3fa6", 80.858)],
    "resnet101": [("resnet101-63fe2227", 77.374), ("resnet101-cd907fc2", 81.886)],
    "resnet152": [("resnet152-394f9c45", 78.312), ("resnet152-f82ba261", 82.284)],
    "wide_resnet50_2": [("wide_resnet50_2-95faca4d", 78.468), ("wide_resnet50_2-9ba9bcbe", 81.602)],
    "resnext50_32x4d": [("resnext50_32x4d-7cdf4587", 77.618), ("resnext50_32x4d-1a0047aa", 81.198)],
    "resnext101_32x8d": [("resnext101_32x8d-8ba56ff5", 79.312), ("resnext101_32x8d-110c445d", 82.834)],
}
# Others' errors in percent.
ERRORS = {
    "resnet50_v1": [24.7],
    "resnet101_v1": [23.6],
    "resnet152_v1": [23.0],
    "resnet18_cifar_stem": [6.98],
    "resnet50_cifar_stem": [6.38],
    "resnet101_cifar_stem": [6.25],
    "resnet18_textbook": [18.37],
    "wide_resnet50_2": [21.9],
    "wide_resnet28_10": [4.0, 3.89, 19.25, 18.85],
    "wide_resnet40_10": [3.8, 18.3],
    "resnext50_32x4d": [22.2],
    "resnext29_32x4d_cifar": [5.27],
    "seresnet50_v1": [22.37],
    "senet154_original": [18.68],
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_accuracies_and_files(name: str) -> None:
    row, files = architecture(name), TORCHVISION.get(name, [])
    stated = [result.top1 for result in row.published if "torchvision" in result.source]
    others = [result.top1 for result in row.published if "torchvision" not in result.source]
    assert stated == pytest.approx([accuracy / 100 for _, accuracy in files], abs=1e-12)
    assert others == pytest.approx([1 - error / 100 for error in ERRORS.get(name, [])], abs=1e-12)
    assert [weights.name for weights in row.weights] == ["torchvision", "torchvision_v2"][: len(files)]
    for weights, (file, _), side in zip(row.weights, files, (256, 232)[: len(files)], strict=True):
        assert weights.url == f"https://download.pytorch.org/models/{file}.pth"
        assert (weights.sha256, weights.shorter_side, weights.image_size) == (file[-8:], side, 224)


# ---------------------------------------------------------------------------------------- a plain reference and parity


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


def pair(name: str) -> tuple[nn.Module, nn.Module, Keys]:
    """A randomised reference, our network with its weights, and the keys."""
    if name in WIDE_CASES:
        keys: Keys = wide_cifar.XTERNALZ_KEYS
        reference: nn.Module = ReferenceWide(2, WIDE["widths"], WIDE_CASES[name])
        options = {**WIDE, "dropout": WIDE_CASES[name]}
    else:
        form, keys, options = CASES[name]
        reference = Reference(form, options["depths"], options["widths"])
    randomize(reference)
    network = convatlas.create(name.removesuffix("_dropout"), num_classes=10, **options).double()
    load_strictly(network, translate_keys(reference.state_dict(), keys))
    return reference, network, keys


def images() -> Tensor:
    """Of a size that does not divide, so that the stages' sizes are odd on the way."""
    return torch.randn(4, 3, 21, 19, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def outputs(*networks: nn.Module, train: bool) -> list[Tensor]:
    """The logits; each network starts from the same random state, for the dropout."""
    found = []
    for network in networks:
        torch.manual_seed(5)
        found.append(network.train(train)(images()))
    return found


def same(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-9, atol=1e-12)


@pytest.mark.parity
@pytest.mark.parametrize("name", [*CASES, *WIDE_CASES])
def test_parity(name: str) -> None:
    """Logits in eval and train mode, running statistics and gradients after a step of training."""
    reference, network, keys = pair(name)
    with torch.no_grad():
        expected, logits = outputs(reference, network, train=False)
    assert expected.std() > 0.01
    assert same(expected, logits)
    expected, logits = outputs(reference, network, train=True)
    assert same(expected, logits)
    ours = network.state_dict()
    for key, value in translate_keys(reference.state_dict(), keys).items():
        assert same(value.double(), ours[key].double()), key
    for values in (expected, logits):
        values.square().sum().backward()
    gradients = translate_keys({key: p.grad for key, p in reference.named_parameters() if p.grad is not None}, keys)
    parameters = dict(network.named_parameters())
    assert gradients.keys() == parameters.keys()
    for key, gradient in gradients.items():
        ours_gradient = parameters[key].grad
        assert ours_gradient is not None
        assert torch.allclose(gradient, ours_gradient, rtol=1e-7, atol=1e-9 * float(gradient.abs().max() + 1)), key


# --------------------------------------------------------------------------------------- faults that parity must notice

Mutate = Callable[[nn.Module], None]


def put(path: str, make: Callable[[nn.Module], nn.Module]) -> Mutate:
    """Replaces the module at `path` by what `make` makes of it."""

    def mutate(network: nn.Module) -> None:
        holder, _, child = path.rpartition(".")
        setattr(network.get_submodule(holder), child, make(network.get_submodule(path)))

    return mutate


def away(path: str) -> Mutate:
    return put(path, lambda _: nn.Identity())


def swapped(parent: str, first: str, second: str) -> Mutate:
    def mutate(network: nn.Module) -> None:
        module = network.get_submodule(parent)
        one, other = module.get_submodule(first), module.get_submodule(second)
        put(f"{parent}.{first}", lambda _: other)(network)
        put(f"{parent}.{second}", lambda _: one)(network)

    return mutate


def strides(branch: str, *values: int) -> Mutate:
    def mutate(network: nn.Module) -> None:
        convs = [module for module in network.get_submodule(branch).modules() if isinstance(module, nn.Conv2d)]
        for conv, value in zip(convs, values, strict=False):
            conv.stride = (value, value)

    return mutate


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


def other_eps(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3


MUTATIONS: list[tuple[str, str, Mutate]] = [
    ("resnet50", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    ("resnet50", "activation before the sum", activation_before_the_sum),
    ("resnet50", "shortcut without norm", away("stage2.0.shortcut.norm")),
    ("resnet50", "norms swapped", swapped("stage1.1.branch", "conv1.norm", "conv2.norm")),
    ("resnet50", "blocks swapped", swapped("stage1", "1.branch.conv2", "0.branch.conv2")),
    ("resnet50", "last activation missing", away("stage2.1.act")),
    ("resnet50", "pooling that averages", put("stem.pool", lambda _: nn.AvgPool2d(3, 2, padding=1))),
    ("resnet50", "pooling without padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, ceil_mode=True))),
    ("resnet50", "another eps", other_eps),
    ("resnet50_v1", "stride on the 3x3", strides("stage2.0.branch", 1, 2)),
    ("resnet18", "stride on the second convolution", strides("stage2.0.branch", 1, 2)),
    ("resnet18", "activation before the sum", activation_before_the_sum),
    ("resnet18_a", "zeros behind only", zeros_behind),
    ("plain18", "last activation missing", away("stage2.1.conv2.act")),
    ("resnet18_cifar_stem", "stem without activation", away("stem.act")),
    ("resnet18_textbook", "projection without bias", biases_gone),
    ("resnet14_slides", "shortcut without norm", away("stage2.0.shortcut.norm")),
    ("resnet14_slides", "shortcut of 1x1", centre_only),
    ("wide_resnet50_2", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    ("resnext50_32x4d", "groups rotated", groups_rotated),
    ("resnext50_32x4d", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    ("resnext29_32x4d_cifar", "stem without norm", away("stem.norm")),
    ("seresnet50", "gate after the sum", gate_after_the_sum),
    ("seresnet50", "gate before the norm", gate_before_the_norm),
    ("seresnet50", "gate missing", away("stage2.0.branch.excite")),
    ("seresnet50", "gate without activation", away("stage2.0.branch.excite.act")),
    ("seresnet50", "another gate", put("stage2.0.branch.excite.gate", lambda _: nn.Hardsigmoid())),
    ("seresnet50", "squeeze by the largest", put("stage2.0.branch.excite.pool", lambda _: nn.AdaptiveMaxPool2d(1))),
    ("seresnet50_v1", "stride on the 3x3", strides("stage2.0.branch", 1, 2)),
    ("seresnet50_v1", "pooling with padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, padding=1))),
    ("seresnet50_v1", "pooling that rounds down", put("stem.pool", lambda _: nn.MaxPool2d(3, 2))),
    ("senet154_original", "pooling with padding", put("stem.pool", lambda _: nn.MaxPool2d(3, 2, padding=1))),
    ("senet154", "shortcut of 1x1", centre_only),
    ("senet154", "groups rotated", groups_rotated),
    ("senet154", "stem without activation", away("stem.conv2.act")),
    ("senet154", "stride on the first 1x1", strides("stage2.0.branch", 2, 1)),
    ("wide_resnet28_10", "raw shortcut", put("stage2.0", RawShortcut)),
    ("wide_resnet28_10", "norms swapped", swapped("stage1.1.branch", "conv1.norm", "conv2.norm")),
    ("wide_resnet28_10", "last norm missing", away("norm")),
    ("wide_resnet28_10", "stride on the second convolution", strides("stage2.0.paths.branch", 1, 2)),
]


@pytest.mark.parity
@pytest.mark.parametrize(("name", "fault", "mutate"), MUTATIONS, ids=[f"{n}-{f}" for n, f, _ in MUTATIONS])
def test_parity_notices(name: str, fault: str, mutate: Mutate) -> None:
    reference, network, _ = pair(name)
    mutate(network)
    with torch.no_grad():
        for train in (False, True):
            expected, logits = outputs(reference, network, train=train)
            assert not torch.allclose(expected, logits, rtol=1e-6, atol=1e-9), f"{fault} passes, train={train}"


@pytest.mark.parity
@pytest.mark.parametrize("children", [("dropout", "norm", "act", "conv"), ("norm", "act", "conv", "dropout")])
def test_parity_notices_dropout_elsewhere(children: tuple[str, ...]) -> None:
    reference, network, _ = pair("wide_resnet28_10_dropout")
    put("stage1.1.branch.conv2", lambda conv2: nn.Sequential(*map(conv2.get_submodule, children)))(network)
    with torch.no_grad():
        assert same(*outputs(reference, network, train=False))
        assert not torch.allclose(*outputs(reference, network, train=True), rtol=1e-6)


SWAPPED_NORMS = {
    "resnet50": {"layer{}.{}.bn1": "stage{}.{}.branch.conv2.norm", "layer{}.{}.bn2": "stage{}.{}.branch.conv1.norm"},
    "senet154": {"conv1.1": "stem.conv2.norm", "conv1.4": "stem.conv1.norm"},
    "wide_resnet28_10": {
        "block{}.layer.1.bn1": "stage{}.1.branch.conv2.norm",
        "block{}.layer.1.bn2": "stage{}.1.branch.conv1.norm",
    },
}


@pytest.mark.parity
@pytest.mark.parametrize("name", SWAPPED_NORMS)
def test_parity_notices_norms_swapped_by_the_key_table(name: str) -> None:
    """Same shapes, so that the strict load cannot notice."""
    reference, network, keys = pair(name)
    table = {**SWAPPED_NORMS[name], **{row: ours for row, ours in keys.items() if row not in SWAPPED_NORMS[name]}}
    if name == "wide_resnet28_10":  # of two units in a stage none is left to the general row
        table.pop("block{}.layer.{}.bn{}")
    load_strictly(network, translate_keys(reference.state_dict(), table))
    assert not same(*outputs(reference, network, train=False))


def test_key_tables_refuse_each_other() -> None:
    reference, _, _ = pair("seresnet50")
    with pytest.raises(UsageError, match=r"another network: 16 keys are unknown, such as 'layer1.0.se.fc1.weight'"):
        translate_keys(reference.state_dict(), TABLE)
    with pytest.raises(UsageError, match=r"conv1.0"):
        translate_keys(reference.state_dict(), senet.TIMM_SENET154_KEYS)


# What timm's legacy networks, ports of the authors', call the tensors of its later ones.
LEGACY_NAMES = {"se": "se_module", "fc": "last_linear"}
LEGACY_STEM = {
    "seresnet50_v1": {"conv1": "layer0.conv1", "bn1": "layer0.bn1"},
    "senet154_original": {
        **{f"conv1.{3 * n}": f"layer0.conv{n + 1}" for n in range(3)},
        **{"conv1.1": "layer0.bn1", "conv1.4": "layer0.bn2", "bn1": "layer0.bn3"},
    },
}


@pytest.mark.parametrize("name", LEGACY_STEM)
def test_timm_legacy_layout(name: str) -> None:
    """Each name of timm's legacy network is the tensor's that its later one has under another name."""
    reference, network, keys = pair(name)
    later, state = reference.state_dict(), {}
    for key, value in later.items():
        holder, _, kind = key.rpartition(".")
        in_stages = ".".join(LEGACY_NAMES.get(part, part) for part in holder.split("."))
        state[f"{LEGACY_STEM[name].get(holder, in_stages)}.{kind}"] = value
    assert any(key.startswith("layer0.bn") for key in state)
    assert "layer1.0.se_module.fc1.weight" in state
    translated = translate_keys(state, architecture(name).layouts["timm_legacy"])
    expected = translate_keys(later, keys)
    assert translated.keys() == expected.keys() == network.state_dict().keys()
    assert all(translated[key] is expected[key] for key in expected)
    with pytest.raises(UsageError, match="another network"):
        translate_keys(state, keys)


def test_input_is_left_alone() -> None:
    """In-place activations never reach what another path reads."""
    for name in (*CASES, *WIDE_CASES):
        _, network, _ = pair(name)
        batch = images()
        before = copy.deepcopy(batch)
        network.eval()(batch)
        assert torch.equal(batch, before)


# -------------------------------------------------------------------------------- where things stand in the networks


def all_strides(name: str) -> dict[str, tuple[int, ...]]:
    return {path: module.stride for path, module in _meta(name).named_modules() if isinstance(module, nn.Conv2d)}


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "seresnet50"])
def test_v1_differs_only_in_where_the_stride_is(name: str) -> None:
    new, old = all_strides(name), all_strides(f"{name}_v1")
    assert new.keys() == old.keys()
    moved = {path: (new[path], old[path]) for path in new if new[path] != old[path]}
    assert moved == {
        f"stage{stage}.0.branch.conv{index}.conv": strides
        for stage in (2, 3, 4)
        for index, strides in ((1, ((1, 1), (2, 2))), (2, ((2, 2), (1, 1))))
    }
    shapes = [{k: v.shape for k, v in _meta(f"{name}{v}").state_dict().items()} for v in ("", "_v1")]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("layers", [18, 34])
def test_option_a_has_the_parameters_of_the_plain_network(layers: int) -> None:
    option_a, plain = _meta(f"resnet{layers}_a"), _meta(f"plain{layers}")
    blocks = [module for module in option_a.modules() if isinstance(module, Residual)]
    assert len(blocks) == (layers - 2) // 2
    assert not [name for block in blocks for name, _ in block.shortcut.named_parameters()]
    assert sum(isinstance(block.shortcut, ZeroPadShortcut) for block in blocks) == 3
    assert not [module for module in plain.modules() if isinstance(module, Residual)]
    assert [p.shape for p in option_a.parameters()] == [p.shape for p in plain.parameters()]


GATED = ("seresnet50", "seresnet50_v1", "senet154", "senet154_original", "seresnet50_cifar_stem")


@pytest.mark.parametrize("name", GATED)
def test_the_gate_ends_the_branch(name: str) -> None:
    blocks = [module for module in _meta(name).modules() if isinstance(module, Residual)]
    assert len(blocks) == (50 if name.startswith("senet154") else 16)
    for block in blocks:
        assert [child for child, _ in block.branch.named_children()] == ["conv1", "conv2", "conv3", "excite"]
        assert [child for child, _ in block.branch.get_submodule("conv3").named_children()] == ["conv", "norm"]
        gate = block.branch.get_submodule("excite")
        assert isinstance(gate, SqueezeExcite)
        assert gate.expand.out_channels == 16 * gate.reduce.out_channels


def test_gate_by_hand() -> None:
    """Means 1 and 3: squeezed 3 - 1 + 0.5 = 2.5, then sigmoid(0.4 * 2.5) and sigmoid(-0.4 * 2.5 + 1)."""
    gate = SqueezeExcite(2, 1)
    with torch.no_grad():
        gate.reduce.weight.copy_(torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1))
        gate.reduce.bias.fill_(0.5)  # type: ignore[union-attr]
        gate.expand.weight.copy_(torch.tensor([0.4, -0.4]).view(2, 1, 1, 1))
        gate.expand.bias.copy_(torch.tensor([0.0, 1.0]))  # type: ignore[union-attr]
    features = torch.tensor([[[[0.0, 2.0]], [[6.0, 0.0]]]])
    weights = [1 / (1 + math.exp(-1)), 0.5]
    expected = torch.tensor([[[[0.0, 2 * weights[0]]], [[6 * weights[1], 0.0]]]])
    assert torch.allclose(gate(features), expected)
    swapped_means = features.flip(1)  # means 3 and 1: squeezed 1 - 3 + 0.5 < 0, so only the biases count
    assert torch.allclose(gate(swapped_means)[0, 1], swapped_means[0, 1] / (1 + math.exp(-1)))
    assert torch.allclose(gate(swapped_means)[0, 0], swapped_means[0, 0] / 2)


def test_senet154_is_half_as_wide_after_the_first_convolution() -> None:
    network = _meta("senet154", depths=(1, 1, 1, 1))
    block = network.get_submodule("stage2.0")
    shapes = [block.get_parameter(f"branch.conv{index}.conv.weight").shape for index in (1, 2, 3)]
    assert [tuple(shape) for shape in shapes] == [(256, 256, 1, 1), (512, 4, 3, 3), (512, 512, 1, 1)]
    assert block.get_parameter("shortcut.conv.weight").shape == (512, 256, 3, 3)
    assert network.get_parameter("stage1.0.shortcut.conv.weight").shape == (256, 128, 1, 1)


@pytest.mark.parametrize("name", ["senet154", "senet154_original"])
def test_senet154_drops_before_the_classifier(name: str) -> None:
    children = dict(_meta(name, depths=(1, 1, 1, 1)).get_submodule("head").named_children())
    assert [*children] == ["pool", "flatten", "dropout", "fc"]
    assert children["dropout"].p == 0.2
    assert "dropout" not in dict(_meta(name, dropout=0.0, depths=(1, 1, 1, 1)).get_submodule("head").named_children())


@pytest.mark.parametrize(("name", "units"), [("wide_resnet28_10", 12), ("wide_resnet40_4", 18), ("wide_resnet16_8", 6)])
def test_wide_dropout_stands_before_each_second_convolution(name: str, units: int) -> None:
    plain, dropped = _meta(name), _meta(name, dropout=0.3)
    assert not [module for module in plain.modules() if isinstance(module, nn.Dropout)]
    paths = [path for path, module in dropped.named_modules() if isinstance(module, nn.Dropout)]
    assert len(paths) == units
    for path in paths:
        second = dropped.get_submodule(path.removesuffix(".dropout"))
        assert path.endswith("branch.conv2.dropout")
        assert [child for child, _ in second.named_children()] == ["norm", "act", "dropout", "conv"]
        assert second.get_submodule("dropout").p == 0.3
    assert plain.state_dict().keys() == dropped.state_dict().keys()


def test_wide_unit_of_factor_1_behind_the_stem_is_like_the_others() -> None:
    network = convatlas.create("wide_resnet28_2", widths=(16, 32, 64), depths=(2, 1, 1))
    first, second = network.get_submodule("stage1.0"), network.get_submodule("stage1.1")
    assert [*dict(first.named_parameters())] == [*dict(second.named_parameters())]
    assert "paths.shortcut.weight" in dict(network.get_submodule("stage2.0").named_parameters())


# --------------------------------------------------------------------------------------------------- initial weights

FAN_IN = ("resnet50_v1", "resnet18_a", "plain18")
NO_KAIMING = ("resnet18_textbook", "resnet14_slides")
INITIAL: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, CASES[name][2]) for name in CASES if name not in NO_KAIMING},
    "wide_resnet28_10": ("wide_resnet28_10", WIDE),
    "resnet50_fan_in_grouped": ("resnet50", {**GROUPED, "groups": 32, "group_width": 4, "fan": "fan_in"}),
    "resnet18_cifar_stem_gelu": ("resnet18_cifar_stem", {**THIN, "activation": "gelu"}),
}


def convolutions(network: nn.Module) -> Iterator[tuple[nn.Conv2d, int, int]]:
    """Each convolution with its fan-in, of one group, and its fan-out, of all."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            area = module.kernel_size[0] * module.kernel_size[1]
            yield module, module.in_channels // module.groups * area, module.out_channels * area


@pytest.mark.parametrize("case", INITIAL)
def test_initial_convolutions(case: str) -> None:
    """Normal; each convolution's mean square weight is gain^2 / fan within 5 standard errors."""
    name, options = INITIAL[case]
    torch.manual_seed(0)
    network = convatlas.create(name, **options)
    by_fan_in = name in FAN_IN or options.get("fan") == "fan_in"
    gain = 1.5335304**2 if options.get("activation") == "gelu" else 2.0
    for module, fan_in, fan_out in convolutions(network):
        weight = module.weight.detach().double()
        ratio = weight.square().mean().item() * (fan_in if by_fan_in else fan_out) / gain
        assert abs(ratio - 1) < 5 * math.sqrt(2 / weight.numel())
        assert weight.abs().max() > 2.5 * weight.std()  # a uniform distribution ends at 1.73
        if module.bias is not None:  # a gate's
            assert module.bias.abs().max() <= 1 / math.sqrt(fan_in)
            assert module.bias.ne(0).all()


@pytest.mark.parametrize("case", INITIAL)
def test_initial_linear_layer_and_norms(case: str) -> None:
    """The linear layer at PyTorch's default, uniform within 1 / sqrt(fan-in); that of Wide ResNet has a bias of 0."""
    name, options = INITIAL[case]
    torch.manual_seed(0)
    network = convatlas.create(name, num_classes=200, **options)
    linear = network.get_submodule("head.fc")
    assert isinstance(linear, nn.Linear)
    check_uniform(linear.weight, 1 / math.sqrt(linear.in_features))
    assert bool(linear.bias.eq(0).all()) == (name == "wide_resnet28_10")
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


def check_uniform(weight: Tensor, bound: float) -> None:
    assert weight.abs().max() <= bound
    ratio = weight.detach().double().square().mean().item() * 3 / bound**2
    assert abs(ratio - 1) < 5 * math.sqrt(0.8 / weight.numel())


def test_initial_weights_of_the_textbook() -> None:
    """Xavier uniform: within sqrt(6 / (fan-in + fan-out)); biases at PyTorch's default."""
    torch.manual_seed(0)
    network = convatlas.create("resnet18_textbook", **THIN)
    for module, fan_in, fan_out in convolutions(network):
        check_uniform(module.weight, math.sqrt(6 / (fan_in + fan_out)))
        assert module.bias is not None
        assert 0 < module.bias.abs().max() <= 1 / math.sqrt(fan_in)
    linear = network.get_submodule("head.fc")
    assert isinstance(linear, nn.Linear)
    check_uniform(linear.weight, math.sqrt(6 / (linear.in_features + linear.out_features)))


def test_initial_weights_of_the_slides() -> None:
    """PyTorch's default: uniform within 1 / sqrt(fan-in)."""
    torch.manual_seed(0)
    network = convatlas.create("resnet14_slides")
    for module, fan_in, _ in convolutions(network):
        check_uniform(module.weight, 1 / math.sqrt(fan_in))
    check_uniform(network.get_parameter("head.fc.weight"), 1 / math.sqrt(64))


# ------------------------------------------------------------------------------------------------- contract, options


@pytest.mark.parametrize("name", [*CASES, *WIDE_CASES])
def test_contract_thinned(name: str) -> None:
    options = {**WIDE, "dropout": WIDE_CASES[name]} if name in WIDE_CASES else CASES[name][2]
    row = architecture(name.removesuffix("_dropout"))

    def build(*, num_classes: int = 10, in_channels: int = 3) -> nn.Module:
        return row.build(num_classes=num_classes, in_channels=in_channels, **options)

    check_architecture(Architecture("thinned", builder=build))


GATES_BY_8 = sum(
    depth * (2 * width * width // 8 + width // 8 + width)
    for depth, width in zip((3, 4, 6, 3), (256, 512, 1024, 2048), strict=True)
)


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("resnet50", {"group_width": 128}, 68_883_240),
        ("resnet50", {"groups": 32, "group_width": 4}, 25_028_904),
        ("resnet50", {"block": "bottleneck_v1"}, 25_557_032),
        ("resnet50_cifar_stem", {"groups": 32, "group_width": 4}, 23_520_842 + 25_028_904 - 25_557_032),
        ("resnet50_cifar_stem", {"in_channels": 1}, 23_520_842 - 2 * 64 * 9),
        ("wide_resnet50_2", {"group_width": 64}, 25_557_032),
        ("wide_resnet28_10", {"num_classes": 100}, 36_536_884),
        ("wide_resnet28_10", {"depths": (6, 6, 6)}, 55_841_754),
        ("wide_resnet28_10", {"dropout": 0.3}, 36_479_194),
        ("resnext29_32x4d_cifar", {"num_classes": 100}, 4_774_218 + 90 * 1025),
        ("seresnet50", {"reduction": 8}, 25_557_032 + GATES_BY_8),
        ("seresnet50_cifar_stem", {"reduction": 8}, 23_520_842 + GATES_BY_8),
    ],
)
def test_options(name: str, options: dict[str, Any], params: int) -> None:
    assert sum(p.numel() for p in _meta(name, **options).parameters()) == params


@pytest.mark.parametrize("name", [name for name in [*CASES, "wide_resnet28_10"] if name not in NO_KAIMING])
def test_activation_option(name: str) -> None:
    kinds = {type(module) for module in _meta(name, activation="gelu").modules()}
    assert nn.GELU in kinds
    assert nn.ReLU not in kinds


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet50", {"block": "se"}, "unknown block 'se'.*bottleneck_v1"),
        ("resnet50", {"widths": (64, 128, 256, 510)}, r"widths=\(64, 128, 256, 510\) of bottlenecks .* multiples of 4"),
        ("resnet50_v1", {"widths": (64, 128, 256, 510)}, "multiples of 4"),
        ("resnet50_cifar_stem", {"widths": (64, 128, 256, 510)}, "multiples of 4"),
        ("resnet50", {"depths": (3, 4)}, "one entry for each stage"),
        ("resnet50", {"groups": 0}, "groups=0 .*at least 1"),
        ("resnet50", {"group_width": -4}, "group_width=-4 .*at least 1"),
        ("resnet18", {"groups": 32}, "groups=32 .*for block='bottleneck', not 'basic'"),
        ("resnet18_cifar_stem", {"group_width": 128}, "group_width=128 .*not 'basic'"),
        ("resnet50_v1", {"group_width": 128}, "not 'bottleneck_v1'"),
        ("resnet18_cifar_stem", {"stem_channels": 0}, "stem_channels=0 .*at least 1"),
        ("resnet18_a", {"widths": (64, 32, 256, 512)}, "cannot reduce 64 channels to 32"),
        ("resnet50", {"activation": "swish"}, "unknown activation"),
        ("resnet18_textbook", {"depths": (2, 2)}, "one entry for each stage"),
        ("resnet14_slides", {"widths": (16, 0, 64)}, "at least 1"),
        ("wide_resnet50_2", {"widths": (255, 512, 1024, 2048)}, "group_width=128 must be multiples of 2"),
        ("resnext50_32x4d", {"widths": (96, 512, 1024, 2048)}, "group_width=4 must be multiples of 64"),
        ("resnext29_32x4d_cifar", {"group_width": 14, "widths": (64, 128, 256)}, "group_width=14 .*multiples of 128"),
        ("resnext29_32x4d_cifar", {"groups": 0}, "groups=0 .*at least 1"),
        ("wide_resnet28_10", {"dropout": 1.0}, "probability below 1"),
        ("wide_resnet28_10", {"depths": (4, 4)}, "one entry for each stage"),
        ("wide_resnet28_10", {"stem_channels": 0}, "at least 1"),
        ("wide_resnet28_10", {"activation": "swish"}, "unknown activation"),
        ("seresnet50", {"reduction": 0}, "reduction=0 .*at least 1"),
        ("seresnet50", {"reduction": 512}, "must be multiples of reduction=512"),
        ("seresnet50_cifar_stem", {"reduction": 3}, "must be multiples of reduction=3"),
        ("seresnet50", {"depths": (3, 4)}, "one entry for each stage"),
        ("seresnet50", {"block": "basic"}, "unknown block 'basic'.*bottleneck_v1"),
        ("seresnet50_cifar_stem", {"block": "v1"}, "unknown block 'v1'.*bottleneck_v1"),
        ("seresnet50_v1", {"widths": (64, 128, 256, 510), "reduction": 2}, "multiples of 4"),
        ("seresnet50_v1", {"pool_padding": "ceil"}, "unknown pool_padding 'ceil'.*around"),
        ("senet154_original", {"pool_padding": "start"}, "unknown pool_padding 'start'.*around"),
        ("senet154", {"widths": (64, 128, 256, 512)}, "64 groups must be multiples of 128"),
        ("senet154", {"reduction": 512}, "must be multiples of reduction=512"),
        ("senet154", {"dropout": -0.1}, "probability"),
        ("senet154", {"depths": (3,)}, "one entry for each stage"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _meta(name, **options)
