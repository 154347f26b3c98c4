"""MobileNet-v2 and the inverted residual: counts, shapes, widths, initial weights, parity with a plain reference."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

import convatlas
from convatlas.architectures import architecture
from convatlas.errors import UsageError
from convatlas.layers import (
    ConvNormAct,
    InvertedRow,
    Residual,
    StochasticDepth,
    inverted_branch,
    inverted_residual,
    inverted_stages,
    scaled_width,
)
from counted import Counted
from references.mobile import ReferenceMobileNet

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, classes, convolutions, batch norms; typed here a second time.
COUNTS = {
    "mobilenet_v2": (3_504_872, 300_774_272, 224, 1000, 52, 52),
    "mobilenet_v2_cifar": (2_296_922, 91_154_944, 32, 10, 57, 57),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == COUNTS[name][:4]
    network = counted(name)
    found = (network.parameters, network.modules["Conv2d"], network.modules["BatchNorm2d"])
    assert found == (COUNTS[name][0], *COUNTS[name][4:])


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "mobilenet_v2",
            {
                "stem": (32, 112, 112),
                "stage1": (16, 112, 112),
                "stage2": (24, 56, 56),
                "stage3": (32, 28, 28),
                "stage4": (64, 14, 14),
                "stage5": (96, 14, 14),
                "stage6": (160, 7, 7),
                "stage7": (320, 7, 7),
                "conv": (1280, 7, 7),
                "head": (1000,),
            },
        ),
        (
            "mobilenet_v2_cifar",
            {"stem": (32, 32, 32), "stage2": (24, 32, 32), "stage3": (32, 16, 16), "stage7": (320, 4, 4)},
        ),
    ],
)
def test_stages_and_macs(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    found = counted(name).complexity
    stages = {stage.name: stage.shape for stage in found.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes
    assert found.macs == COUNTS[name][1]


# width: parameters of timm's mobilenetv2_035, _050, _075 and _140.
@pytest.mark.parametrize(
    ("width", "params"), [(0.35, 1_677_128), (0.5, 1_968_680), (0.75, 2_636_424), (1.4, 6_108_776)]
)
def test_width_multiplier(width: float, params: int) -> None:
    """Section 6.1: the last convolution keeps its 1280 channels in thinner networks."""
    with torch.device("meta"):
        network = architecture("mobilenet_v2").build(width=width)
    assert sum(parameter.numel() for parameter in network.parameters()) == params
    assert network.get_submodule("head.fc").in_features == max(1280, round(1280 * width))


def test_published_accuracies_and_weights() -> None:
    row = architecture("mobilenet_v2")
    assert [result.top1 for result in row.published] == [0.71878, 0.72154]
    found = [(w.name, w.url, w.sha256, w.image_size, w.shorter_side, w.interpolation) for w in row.weights]
    folder = "https://download.pytorch.org/models"
    assert found == [
        ("torchvision", f"{folder}/mobilenet_v2-b0353104.pth", "b0353104", 224, 256, "bilinear"),
        ("torchvision_v2", f"{folder}/mobilenet_v2-7ebf99e0.pth", "7ebf99e0", 224, 232, "bilinear"),
    ]
    assert [result.top1 for result in architecture("mobilenet_v2_cifar").published] == [0.9443]


# ------------------------------------------------------------------------------------------------------------- blocks


@pytest.mark.parametrize(
    ("channels", "factor", "width"),
    [
        (32, 1.0, 32),
        (32, 0.1, 8),  # never below 8
        (32, 0.35, 16),  # 11.2: 8 would be less than 90 %
        (24, 0.5, 16),  # 12: halves go up
        (16, 1.1, 16),  # 17.6: 16 is more than 90 %
        (40, 1.1, 48),  # 44
        (112, 1.8, 200),  # 201.6
        (1280, 1.4, 1792),
    ],
)
def test_scaled_width(channels: int, factor: float, width: int) -> None:
    assert scaled_width(channels, factor) == width


def test_scaled_widths_are_near_the_product() -> None:
    for channels in (16, 24, 40, 80, 112, 192, 320, 1280):
        for hundredths in range(30, 450, 7):
            product = channels * hundredths / 100
            width = scaled_width(channels, hundredths / 100)
            assert width % 8 == 0
            assert width >= 0.9 * product
            assert abs(width - product) <= 4 or width == 8 * math.ceil(product / 8)


@pytest.mark.parametrize(
    ("in_channels", "expansion", "stride", "width", "children", "sums"),
    [
        (8, 6, 1, 8, ["expand", "depthwise", "project"], True),
        (8, 1, 1, 8, ["depthwise", "project"], True),
        (8, 6, 2, 8, ["expand", "depthwise", "project"], False),
        (8, 6, 1, 16, ["expand", "depthwise", "project"], False),
    ],
)
def test_inverted_residual(
    in_channels: int, expansion: int, stride: int, width: int, children: list[str], *, sums: bool
) -> None:
    """Wide inside, one filter for each channel, no activation at the end, a sum only where the shape stays."""
    row = InvertedRow(expansion=expansion, kernel=5, stride=stride, width=width, depth=1)
    block = inverted_residual(in_channels, row, skipped=0.25)
    assert isinstance(block, Residual) == sums
    branch = dict(block.get_submodule("branch").named_children())
    assert list(branch) == children + (["drop"] if sums else [])
    depthwise = block.get_submodule("branch.depthwise.conv")
    inner = expansion * in_channels
    assert depthwise.weight.shape == (inner, 1, 5, 5)
    assert [name for name, _ in branch["project"].named_children()] == ["conv", "norm"]
    if sums:
        assert branch["drop"].probability == 0.25
    batch = torch.randn(2, in_channels, 9, 9)
    assert block(batch).shape == (2, width, math.ceil(9 / stride), math.ceil(9 / stride))
    branch_alone = block.eval().get_submodule("branch")(batch)
    assert torch.equal(block(batch), branch_alone + batch if sums else branch_alone)


def test_a_gate_is_given_both_channel_counts() -> None:
    given = []

    def gate(channels: int, in_channels: int) -> nn.Module:
        given.append((channels, in_channels))
        return nn.Identity()

    row = InvertedRow(expansion=6, kernel=3, stride=1, width=24, depth=1)
    branch = inverted_branch(16, row, conv=partial(ConvNormAct, act=nn.SiLU), gate=gate)
    assert given == [(96, 16)]
    assert [name for name, _ in branch.named_children()] == ["expand", "depthwise", "excite", "project"]
    assert isinstance(branch.get_submodule("depthwise.act"), nn.SiLU)


def test_stages() -> None:
    """Strides and widths of each stage's first block; rates of stochastic depth that grow over all blocks."""
    rows = [
        InvertedRow(expansion=1, kernel=3, stride=1, width=16, depth=2),
        InvertedRow(expansion=6, kernel=5, stride=2, width=24, depth=3),
    ]
    stages = inverted_stages(8, rows, skipped=0.5)
    assert list(stages) == ["stage1", "stage2"]
    convolutions = [m for stage in stages.values() for m in stage.modules() if isinstance(m, nn.Conv2d)]
    depthwise = [(m.in_channels, m.kernel_size[0], m.stride[0]) for m in convolutions if m.groups > 1]
    assert depthwise == [(8, 3, 1), (16, 3, 1), (96, 5, 2), (144, 5, 1), (144, 5, 1)]
    rates = {
        f"{name}.{path}": module.probability
        for name, stage in stages.items()
        for path, module in stage.named_modules()
        if isinstance(module, StochasticDepth)
    }
    assert rates == pytest.approx(
        {"stage1.1.branch.drop": 0.1, "stage2.1.branch.drop": 0.3, "stage2.2.branch.drop": 0.4}
    )


@pytest.mark.parametrize("skipped", [-0.1, 1.0])
def test_bad_rate_of_stochastic_depth(skipped: float) -> None:
    with pytest.raises(UsageError, match="of skipped branches must be at least 0 and below 1"):
        inverted_stages(8, [InvertedRow(expansion=1, kernel=3, stride=1, width=8, depth=1)], skipped=skipped)


def test_parameters_of_the_cifar_form() -> None:
    reference = ReferenceMobileNet()
    assert sum(p.numel() for p in reference.parameters()) == COUNTS["mobilenet_v2_cifar"][0]


# --------------------------------------------------------------------------------------- training, initial weights


def test_dropout_before_the_classifier() -> None:
    network = convatlas.create("mobilenet_v2", num_classes=10, width=0.35)
    assert [name for name, _ in network.get_submodule("head").named_children()] == ["pool", "flatten", "dropout", "fc"]
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.2]
    assert not [m for m in convatlas.create("mobilenet_v2_cifar").modules() if isinstance(m, nn.Dropout)]


def test_activations() -> None:
    """ReLU6 after every convolution but the projections: 17 blocks, the first without an expansion."""
    with torch.device("meta"):
        networks = {name: architecture(name).build() for name in COUNTS}
    found = {
        name: [type(m) for m in network.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
        for name, network in networks.items()
    }
    assert found["mobilenet_v2"] == [nn.ReLU6] * (2 * 17 - 1 + 2)
    assert found["mobilenet_v2_cifar"] == [nn.ReLU] * (2 * 17 + 2)


def test_initial_weights() -> None:
    """torchvision's: normal by fan-out, where a depthwise convolution's counts all channels; the classifier 0.01."""
    torch.manual_seed(0)
    network = convatlas.create("mobilenet_v2")
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None
            std = math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size)))
        elif isinstance(layer, nn.Linear):
            assert layer.bias.eq(0).all()
            std = 0.01
        else:
            continue
        ratio = layer.weight.detach().double().square().mean().item() / std**2
        assert abs(ratio - 1) < 5 * math.sqrt(2 / layer.weight.numel()), name


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "the factor 0.0 of widths must be above 0"),
        ({"width": -1.0}, "must be above 0"),
        ({"width": math.inf}, "must be a finite number"),
        ({"dropout": 1.0}, "probability below 1"),
        ({"depth": 2.0}, "unknown option"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)
