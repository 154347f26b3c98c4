"""Plain MobileNet-v2 and EfficientNet-B0 as kuangliu has them: layers by name, and what is done with them."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from changes import away, replace
from comparison import Mistake, Names, Row, by_table
from convatlas.architectures import architecture

# kuangliu's table: expansion, output channels, blocks, stride.
MOBILENET = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# kuangliu's table: expansion, output channels, blocks, kernel, stride.
EFFICIENTNET = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


class ReferenceMobileNet(nn.Module):
    """kuangliu's MobileNet-v2 as layers by name and what is done with them, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.strides: list[int] = []
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32)
        channels = 32
        for expansion, width, blocks, first in MOBILENET:
            for index in range(blocks):
                stride = first if index == 0 else 1
                layer = nn.ModuleDict()
                sizes = [(channels, channels * expansion, 1), (1, channels * expansion, 3)]
                sizes.append((channels * expansion, width, 1))
                for number, (inputs, outputs, kernel) in enumerate(sizes, start=1):
                    layer[f"conv{number}"] = nn.Conv2d(inputs, outputs, kernel, bias=False)
                    layer[f"bn{number}"] = nn.BatchNorm2d(outputs)
                if stride == 1 and width != channels:
                    layer["shortcut"] = nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width))
                self.layers[str(len(self.strides))] = layer
                self.strides.append(stride)
                channels = width
        self.conv2, self.bn2 = nn.Conv2d(channels, 1280, 1, bias=False), nn.BatchNorm2d(1280)
        self.linear = nn.Linear(1280, 10)

    def norm(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.bn1, F.conv2d(x, self.conv1.weight, padding=1)).clamp(min=0)
        for layer, stride in zip(self.layers.values(), self.strides, strict=True):
            y = self.norm(layer["bn1"], F.conv2d(x, layer["conv1"].weight)).clamp(min=0)
            weight = layer["conv2"].weight
            y = F.conv2d(y, weight, stride=stride, padding=1, groups=len(weight))
            y = self.norm(layer["bn2"], y).clamp(min=0)
            y = self.norm(layer["bn3"], F.conv2d(y, layer["conv3"].weight))
            if "shortcut" in layer:
                x = self.norm(layer["shortcut"][1], F.conv2d(x, layer["shortcut"][0].weight))
            x = x + y if stride == 1 else y
        x = self.norm(self.bn2, F.conv2d(x, self.conv2.weight)).clamp(min=0)
        return self.linear(x.mean((2, 3)))


class ReferenceEfficientNet(nn.Module):
    """kuangliu's EfficientNet-B0 as layers by name and what is done with them, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict()
        self.shapes: list[tuple[int, bool]] = []  # stride, whether there is a sum
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, bias=False), nn.BatchNorm2d(32)
        channels = 32
        for expansion, width, blocks, kernel, first in EFFICIENTNET:
            for index in range(blocks):
                stride, inner = (first if index == 0 else 1), channels * expansion
                layer = nn.ModuleDict()
                for number, (inputs, outputs, side) in enumerate(
                    [(channels, inner, 1), (1, inner, kernel), (inner, width, 1)], start=1
                ):
                    layer[f"conv{number}"] = nn.Conv2d(inputs, outputs, side, bias=False)
                    layer[f"bn{number}"] = nn.BatchNorm2d(outputs)
                squeezed = channels // 4
                layer["se"] = nn.ModuleDict(
                    {"se1": nn.Conv2d(inner, squeezed, 1), "se2": nn.Conv2d(squeezed, inner, 1)}
                )
                self.layers[str(len(self.shapes))] = layer
                self.shapes.append((stride, stride == 1 and width == channels))
                channels = width
        self.linear = nn.Linear(channels, 10)

    def norm(self, bn: nn.BatchNorm2d, x: Tensor) -> Tensor:
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, self.training, 0.1, 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        x = swish(self.norm(self.bn1, F.conv2d(x, self.conv1.weight, padding=1)))
        for index, (layer, (stride, sums)) in enumerate(zip(self.layers.values(), self.shapes, strict=True)):
            y = x
            if index:  # the first block's layers are there, but not used
                y = swish(self.norm(layer["bn1"], F.conv2d(y, layer["conv1"].weight)))
            weight = layer["conv2"].weight
            y = F.conv2d(y, weight, stride=stride, padding=weight.shape[-1] // 2, groups=len(weight))
            y = swish(self.norm(layer["bn2"], y))
            first, second = layer["se"]["se1"], layer["se"]["se2"]
            gate = swish(F.conv2d(y.mean((2, 3), keepdim=True), first.weight, first.bias))
            y = y * F.conv2d(gate, second.weight, second.bias).sigmoid()
            y = self.norm(layer["bn3"], F.conv2d(y, layer["conv3"].weight))
            x = x + y if sums else y
        return self.linear(F.dropout(x.mean((2, 3)), 0.2, self.training))


def swish(x: Tensor) -> Tensor:
    return x * x.sigmoid()


# ------------------------------------------------------------------------------------------------- rows and mistakes


def by_kuangliu(name: str) -> Names:
    """Returns our names by the row's table of kuangliu's."""
    return by_table(architecture(name).layouts["kuangliu"])


def _row(name: str, reference: type[nn.Module], *, pixels: int, scale: float) -> Row:
    return Row(name, reference, partial(convatlas.create, name), by_kuangliu(name), (3, pixels, pixels), scale=scale)


ROWS = (
    _row("mobilenet_v2_cifar", ReferenceMobileNet, pixels=21, scale=1.0),
    _row("efficientnet_b0_cifar", ReferenceEfficientNet, pixels=37, scale=10.0),
)


def no_shortcut(network: nn.Module) -> None:
    network.get_submodule("stage5")[0] = network.get_submodule("stage5.0.branch")


def no_first_expansion(network: nn.Module) -> None:
    del network.get_submodule("stage1.0.branch").expand


def sum_missing(network: nn.Module) -> None:
    network.get_submodule("stage6")[1] = network.get_submodule("stage6.1.branch")


MISTAKES = (
    Mistake("mobilenet_v2_cifar", "no shortcut", no_shortcut),
    Mistake("mobilenet_v2_cifar", "no first expansion", no_first_expansion),
    Mistake("mobilenet_v2_cifar", "bounded", replace("stage3.1.branch.expand.act", nn.ReLU6())),
    Mistake("mobilenet_v2_cifar", "maximum pooled", replace("head.pool", nn.AdaptiveMaxPool2d(1))),
    # As squeeze-and-excitation networks have it; the channels do not allow it, so that the gate is left out.
    Mistake("efficientnet_b0_cifar", "gate after the projection", away("stage3.1.branch.excite")),
    Mistake("efficientnet_b0_cifar", "no last activation", away("stage7.0.branch.depthwise.act")),
    Mistake("efficientnet_b0_cifar", "sum missing", sum_missing),
    Mistake("efficientnet_b0_cifar", "dropout missing", away("head.dropout"), seen_in=("train",)),
)
