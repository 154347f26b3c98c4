"""Plain references for the parity tests: networks written out step by step, with the key names of published code.

They share nothing with the package: no blocks, no builders. Each is a module of named parameters and one `forward`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def randomize(network: nn.Module, *, seed: int = 0) -> nn.Module:
    """Random values for every parameter and running statistic, in float64, so that no layer is the identity."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
                module.num_batches_tracked.fill_(7)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, (1.5 / module.weight[0].numel()) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.3, generator=generator)
    return network


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
