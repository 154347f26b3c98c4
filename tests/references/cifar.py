"""Plain references of the networks at CIFAR size, with the key names of published code.

They share nothing with the package: no blocks, no builders. Each is a module of named parameters and one `forward`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import Change, away, epsilon, exchange, replace, setting, strides
from comparison import Mistake, Row, by_table
from convatlas.architectures.resnet.cifar import AKAMASTER_KEYS, AKAMASTER_OPTION_B_KEYS
from convatlas.layers import Concat, ZeroPadShortcut


def zero_channels(features: Tensor, out_channels: int, stride: int) -> Tensor:
    """Option A, one element at a time: channel c of the input is channel c + (out - in) / 2 of the output."""
    count, in_channels, height, width = features.shape
    before = (out_channels - in_channels) // 2
    rows, columns = range(0, height, stride), range(0, width, stride)
    result = features.new_zeros(count, out_channels, len(rows), len(columns))
    for channel in range(in_channels):
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                result[:, before + channel, i, j] = features[:, channel, row, column]
    return result


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=(kernel - 1) // 2, bias=False)


class Block(nn.Module):
    """Post-activation basic block; `shortcut` is "A" or "B" where the size changes."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.out_channels, self.stride = out_channels, stride
        self.conv1 = _conv(in_channels, out_channels, 3, stride)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = _conv(out_channels, out_channels, 3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.kind = shortcut if stride != 1 or in_channels != out_channels else "identity"
        if self.kind == "B":
            self.shortcut = nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.kind == "A":
            x = zero_channels(x, self.out_channels, self.stride)
        elif self.kind == "B":
            x = self.shortcut(x)
        return F.relu(y + x)


class ReferenceResNet(nn.Module):
    """ResNet-(6n + 2) for CIFAR with the key names of akamaster/pytorch_resnet_cifar10."""

    def __init__(self, n: int, shortcut: str) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv(3, 16, 3), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*[Block(16, 16, 1, shortcut) for _ in range(n)])
        self.layer2 = nn.Sequential(Block(16, 32, 2, shortcut), *[Block(32, 32, 1, shortcut) for _ in range(n - 1)])
        self.layer3 = nn.Sequential(Block(32, 64, 2, shortcut), *[Block(64, 64, 1, shortcut) for _ in range(n - 1)])
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class PreactUnit(nn.Module):
    """Pre-activation unit of 3x3, 3x3 or of 1x1, 3x3, 1x1 convolutions; the stride is the first one's.

    `shortcut`: "identity" and "A" take the raw input, "shared" the activated one, "conv" convolves the activated one.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, kernels: list[int], shortcut: str) -> None:
        super().__init__()
        self.out_channels, self.stride, self.kind, self.steps = out_channels, stride, shortcut, len(kernels)
        inner = out_channels if len(kernels) == 2 else out_channels // 4
        widths = [in_channels] + [inner] * (len(kernels) - 1) + [out_channels]
        for i, kernel in enumerate(kernels):
            self.add_module(f"bn{i + 1}", nn.BatchNorm2d(widths[i]))
            self.add_module(f"conv{i + 1}", _conv(widths[i], widths[i + 1], kernel, stride if i == 0 else 1))
        if shortcut == "conv":
            self.shortcut = _conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        y = self.conv1(activated)
        for i in range(2, self.steps + 1):
            y = getattr(self, f"conv{i}")(F.relu(getattr(self, f"bn{i}")(y)))
        if self.kind == "conv":
            return y + self.shortcut(activated)
        if self.kind == "shared":
            return y + activated
        if self.kind == "A":
            return y + zero_channels(x, self.out_channels, self.stride)
        return y + x


class ReferencePreactResNet(nn.Module):
    """Identity mappings: `kind` is "option_a", "option_b" (3x3, 3x3) or "bottleneck"."""

    def __init__(self, n: int, kind: str) -> None:
        super().__init__()
        kernels = [1, 3, 1] if kind == "bottleneck" else [3, 3]
        widths = [64, 128, 256] if kind == "bottleneck" else [16, 32, 64]
        firsts = {"option_a": ["shared", "A", "A"], "option_b": ["shared", "conv", "conv"], "bottleneck": ["conv"] * 3}
        self.conv1 = _conv(3, 16, 3)
        channels = 16
        for stage, (width, first) in enumerate(zip(widths, firsts[kind], strict=True), start=1):
            units = [PreactUnit(channels, width, 1 if stage == 1 else 2, kernels, first)]
            units += [PreactUnit(width, width, 1, kernels, "identity") for _ in range(n - 1)]
            self.add_module(f"layer{stage}", nn.Sequential(*units))
            channels = width
        self.bn, self.linear = nn.BatchNorm2d(channels), nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(F.relu(self.bn(x)).mean((2, 3)))


class DenseLayer(nn.Module):
    """BN-ReLU-conv, once or as a bottleneck; the new features come last."""

    def __init__(self, in_channels: int, growth_rate: int, bottleneck: bool) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.bn1 = nn.BatchNorm2d(in_channels)
        if bottleneck:
            self.conv1 = _conv(in_channels, 4 * growth_rate, 1)
            self.bn2 = nn.BatchNorm2d(4 * growth_rate)
            self.conv2 = _conv(4 * growth_rate, growth_rate, 3)
        else:
            self.conv1 = _conv(in_channels, growth_rate, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.bn1(x)))
        if self.bottleneck:
            y = self.conv2(F.relu(self.bn2(y)))
        return torch.cat([x, y], 1)


class Transition(nn.Module):
    """BN-ReLU-conv 1x1, 2x2 average."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(in_channels), _conv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.conv1(F.relu(self.bn1(x))), 2)


class ReferenceDenseNet(nn.Module):
    """Three dense blocks with the key names of andreasveit/densenet-pytorch; `slides` as hoya012/pytorch-densenet."""

    def __init__(self, n: int, growth_rate: int, kind: str) -> None:
        super().__init__()
        self.slides = kind == "slides"
        channels = 16 if kind == "basic" else 2 * growth_rate
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=self.slides)
        for block in (1, 2, 3):
            layers = [DenseLayer(channels + i * growth_rate, growth_rate, kind != "basic") for i in range(n)]
            self.add_module(f"block{block}", nn.ModuleDict({"layer": nn.Sequential(*layers)}))
            channels += n * growth_rate
            if block < 3:
                kept = channels if kind == "basic" else channels // 2
                self.add_module(f"trans{block}", Transition(channels, kept))
                channels = kept
        if not self.slides:
            self.bn1 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.trans1(self.block1["layer"](self.conv1(x)))
        x = self.block3["layer"](self.trans2(self.block2["layer"](x)))
        if not self.slides:
            x = F.relu(self.bn1(x))
        return self.fc(x.mean((2, 3)))


# ------------------------------------------------------------------------------------------------- rows and mistakes

Keys = Mapping[str, str | None]
_UNITS = {
    "layer{}.{}.bn{}": "stage{}.{}.branch.conv{}.norm",
    "layer{}.{}.conv{}": "stage{}.{}.branch.conv{}.conv",
    "bn": "norm",
    "linear": "head.fc",
}


def preact_keys(shared: str) -> Keys:
    """Rows for a reference whose first unit of stage `shared` ("{}" for all) activates before the paths part."""
    first, ours = f"layer{shared}.0", f"stage{shared}.0"
    return {
        "conv1": "stem.conv",
        f"{first}.bn1": f"{ours}.norm",
        f"{first}.conv1": f"{ours}.paths.branch.conv1",
        f"{first}.bn{{}}": f"{ours}.paths.branch.conv{{}}.norm",
        f"{first}.conv{{}}": f"{ours}.paths.branch.conv{{}}.conv",
        **_UNITS,
    }


PROJECTIONS: Keys = {"layer{}.0.shortcut": "stage{}.0.paths.shortcut"}
DENSE_KEYS: Keys = {
    "conv1": "stem.conv",
    "block{}.layer.{}.bn{}": "block{}.{}.new.conv{}.norm",
    "block{}.layer.{}.conv{}": "block{}.{}.new.conv{}.conv",
    "trans{}.bn1": "transition{}.conv.norm",
    "trans{}.conv1": "transition{}.conv.conv",
    "fc": "head.fc",
}
THIN = {"depths": (2, 2, 2)}
# name: the reference, its keys, and the options of ours that match it (thinned, to save time)
CASES: dict[str, tuple[Callable[[], nn.Module], Keys, dict[str, object]]] = {
    "resnet20": (lambda: ReferenceResNet(3, "A"), AKAMASTER_KEYS, {}),
    "resnet20_b": (lambda: ReferenceResNet(3, "B"), AKAMASTER_OPTION_B_KEYS, {}),
    "preact_resnet110": (lambda: ReferencePreactResNet(2, "option_a"), preact_keys("1"), THIN),
    "preact_resnet110_b": (lambda: ReferencePreactResNet(2, "option_b"), {**preact_keys("{}"), **PROJECTIONS}, THIN),
    "preact_resnet164": (lambda: ReferencePreactResNet(2, "bottleneck"), {**preact_keys("{}"), **PROJECTIONS}, THIN),
    "densenet_40_12": (lambda: ReferenceDenseNet(2, 12, "basic"), {**DENSE_KEYS, "bn1": "norm"}, THIN),
    "densenet_bc_100_12": (lambda: ReferenceDenseNet(2, 12, "bc"), {**DENSE_KEYS, "bn1": "norm"}, THIN),
    "densenet_bc_100_12_slides": (
        lambda: ReferenceDenseNet(2, 12, "slides"),
        DENSE_KEYS,
        {**THIN, "dropout": 0.0},
    ),
}
ROWS = tuple(
    Row(name, reference, partial(convatlas.create, name, **options), by_table(keys), (3, 16, 16), batch=4)
    for name, (reference, keys, options) in CASES.items()
)


def activation_before_the_sum(network: nn.Module) -> None:
    block = network.get_submodule("stage2.1")
    block.act = nn.Identity()
    block.get_submodule("branch").append(nn.ReLU())  # type: ignore[operator]


def zeros_behind(network: nn.Module) -> None:
    shortcut = network.get_submodule("stage2.0.shortcut")
    assert isinstance(shortcut, ZeroPadShortcut)
    shortcut.before, shortcut.after = 0, shortcut.before + shortcut.after


def new_features_first(network: nn.Module) -> None:
    layer = network.get_submodule("block2.0")
    replace("block2.0", Concat(new=layer.get_submodule("new"), old=nn.Identity()))(network)


def raw_shortcut(unit: str) -> Change:
    """The shortcut sees the input, not what norm and activation make of it."""

    class Raw(nn.Module):
        def __init__(self, chain: nn.Module) -> None:
            super().__init__()
            self.chain = chain

        def forward(self, features: Tensor) -> Tensor:
            activated = self.chain.get_submodule("act")(self.chain.get_submodule("norm")(features))
            paths = self.chain.get_submodule("paths")
            return paths.get_submodule("branch")(activated) + paths.get_submodule("shortcut")(features)

    def mutate(network: nn.Module) -> None:
        replace(unit, Raw(network.get_submodule(unit)))(network)

    return mutate


def no_gradient_through_the_shortcut(network: nn.Module) -> None:
    network.get_submodule("stage2.1.shortcut").register_forward_hook(lambda _layer, _input, output: output.detach())


SWAPPED_NORMS = {
    "layer{}.{}.bn1": "stage{}.{}.branch.conv2.norm",
    "layer{}.{}.bn2": "stage{}.{}.branch.conv1.norm",
    **{row: ours for row, ours in AKAMASTER_KEYS.items() if row != "layer{}.{}.bn{}"},
}
MISTAKES = (
    Mistake("resnet20", "norms swapped", exchange("stage1.1.branch", "conv1.norm", "conv2.norm")),
    Mistake("resnet20", "blocks swapped", exchange("stage2", "1", "2")),
    Mistake("resnet20", "activation before the sum", activation_before_the_sum),
    Mistake("resnet20", "no activation after the sum", away("stage3.2.act")),
    Mistake("resnet20", "zeros only behind", zeros_behind),
    Mistake("resnet20", "stride on the second convolution", strides("stage2.0.branch", 1, 2)),
    Mistake("resnet20", "another eps", epsilon(1e-3)),
    Mistake("resnet20_b", "no norm after the projection", away("stage3.0.shortcut.norm")),
    Mistake("preact_resnet110", "zeros only behind", zeros_behind),
    Mistake("preact_resnet110", "final norm missing", away("norm")),
    Mistake("preact_resnet110", "final activation missing", away("act")),
    Mistake("preact_resnet110", "first unit's shortcut raw", raw_shortcut("stage1.0")),
    Mistake("preact_resnet110_b", "raw shortcut", raw_shortcut("stage2.0")),
    Mistake("preact_resnet164", "raw shortcut", raw_shortcut("stage1.0")),
    Mistake("preact_resnet164", "stride on the 3x3", strides("stage2.0.paths.branch", 1, 2)),
    Mistake("preact_resnet164", "norms swapped", exchange("stage3.1.branch", "conv2.norm", "conv3.norm")),
    Mistake("densenet_bc_100_12", "new features first", new_features_first),
    Mistake("densenet_bc_100_12", "final norm missing", away("norm")),
    Mistake("densenet_bc_100_12", "final activation missing", away("act")),
    Mistake("densenet_bc_100_12", "maximum for average", replace("transition1.pool", nn.MaxPool2d(2))),
    Mistake("densenet_40_12", "new features first", new_features_first),
    Mistake("densenet_bc_100_12_slides", "new features first", new_features_first),
    Mistake("densenet_bc_100_12_slides", "layers swapped", exchange("block1", "0.new.conv2", "1.new.conv2")),
    Mistake("resnet20", "another momentum", setting(nn.BatchNorm2d, "momentum", 0.01), seen_in=("statistics",)),
    Mistake("resnet20", "rows of the key table swapped", names=by_table(SWAPPED_NORMS), seen_in=("eval",)),
    Mistake(
        "resnet20",
        "no gradient through a shortcut",
        no_gradient_through_the_shortcut,
        seen_in=("gradients",),
        passes_in=("eval", "train", "statistics"),
    ),
)
