"""Dual path networks: counts, shapes, both paths by hand, parity with plain references, initial weights, options."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import convatlas
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.dpn.blocks import DualPath
from convatlas.checks import check_architecture
from convatlas.errors import UsageError
from convatlas.weights import translate_keys
from counted import Counted
from references.dual_path import OPTIONS

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, classes, convolutions, batch norms; typed here a second time.
COUNTS = {
    "dpn68": (12_611_602, 2_326_163_456, 224, 1000, 71, 72),
    "dpn92": (37_668_392, 6_501_684_224, 224, 1000, 95, 96),
    "dpn98": (61_570_728, 11_671_217_152, 224, 1000, 101, 102),
    "dpn131": (79_254_504, 16_013_648_896, 224, 1000, 134, 135),
    "dpn26_cifar": (11_574_842, 665_050_880, 32, 10, 29, 29),
    "dpn92_cifar": (34_236_634, 2_042_422_272, 32, 10, 95, 95),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == COUNTS[name][:4]
    network = counted(name)
    found = (network.parameters, network.modules["Conv2d"], network.modules["BatchNorm2d"])
    assert found == (COUNTS[name][0], *COUNTS[name][4:])


def test_every_network_stands_in_the_table() -> None:
    assert {name for name in list_architectures() if architecture(name).family == "dpn"} == COUNTS.keys()


# Each block adds a growth rate; the first of a stage begins with two projected ones at ImageNet size, with one else.
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("dpn68", {"stem": (10, 56, 56), "stage1": (144, 56, 56), "stage3": (704, 14, 14), "act": (832, 7, 7)}),
        ("dpn92", {"stem": (64, 56, 56), "stage1": (336, 56, 56), "stage2": (704, 28, 28), "act": (2688, 7, 7)}),
        ("dpn98", {"stem": (96, 56, 56), "stage1": (336, 56, 56), "stage3": (1728, 14, 14), "act": (2688, 7, 7)}),
        ("dpn131", {"stem": (128, 56, 56), "stage1": (352, 56, 56), "stage3": (1984, 14, 14), "act": (2688, 7, 7)}),
        (
            "dpn26_cifar",
            {"stage1": (304, 32, 32), "stage2": (608, 16, 16), "stage3": (1096, 8, 8), "stage4": (2432, 4, 4)},
        ),
        (
            "dpn92_cifar",
            {"stage1": (320, 32, 32), "stage2": (672, 16, 16), "stage3": (1528, 8, 8), "stage4": (2560, 4, 4)},
        ),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes


# Errors in percent as the sources print them: at 224 and at 320 pixels; kuangliu's accuracy.
@pytest.mark.parametrize(
    ("name", "percent"),
    [("dpn68", (23.57, 22.15)), ("dpn92", (20.73, 19.34)), ("dpn98", (20.15, 18.94)), ("dpn131", (19.93, 18.62))],
)
def test_published_errors(name: str, percent: tuple[float, float]) -> None:
    published = architecture(name).published
    assert [round(100 * (1 - result.top1), 6) for result in published] == list(percent)
    assert [int(result.source.split()[-2]) for result in published] == [224, 320]
    assert {(result.split, result.dataset) for result in published} == {("validation", "imagenet")}


def test_published_accuracy_at_cifar_size() -> None:
    assert not architecture("dpn26_cifar").published
    (result,) = architecture("dpn92_cifar").published
    assert (result.top1, result.split, result.dataset) == (0.9516, "test", "cifar10")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpn92", "dpn26_cifar"])
def test_contract_of_a_thin_network(name: str) -> None:
    row = architecture(name)
    size = 40 if name == "dpn92" else 16
    thin = dataclasses.replace(row, builder=partial(row.builder, **OPTIONS), image_size=size, params=None, macs=None)
    check_architecture(thin)


# --------------------------------------------------------------------------------------------------------- both paths


def test_both_paths_by_hand() -> None:
    """The first two channels are added, the others joined: those that were there, then the new ones."""
    block = DualPath(nn.Conv2d(5, 4, 1, bias=False), width=2)
    with torch.no_grad():
        block.branch.weight.copy_(torch.eye(5)[1:].reshape(4, 5, 1, 1))  # channels 1 to 4 of the input
    features = torch.tensor([10.0, 20.0, -30.0, 40.0, -50.0]).reshape(1, 5, 1, 1)
    joined = block(features)
    assert joined.flatten().tolist() == [10.0 + 20.0, 20.0 - 30.0, -30.0, 40.0, -50.0, 40.0, -50.0]
    assert block(joined[:, :5]).shape == (1, 7, 1, 1)
    block.shortcut, block.act = nn.Conv2d(5, 3, 1, bias=False), nn.ReLU()
    with torch.no_grad():
        block.shortcut.weight.copy_(torch.eye(5)[2:].reshape(3, 5, 1, 1))
    assert block(features).flatten().tolist() == [0.0, 40.0 - 30.0, 0.0, 40.0, 0.0]


def test_the_dense_path_keeps_what_was_learned() -> None:
    """Nothing stands on the way through a stage: each block passes on the dense channels that it was given."""
    network = convatlas.create("dpn92", **OPTIONS)
    seen: list[Tensor] = []
    for block in network.get_submodule("stage1").children():
        block.register_forward_hook(lambda _block, _inputs, output: seen.append(output))
    with torch.no_grad():
        network.eval()(torch.randn(1, 3, 40, 40))
    width, growth = OPTIONS["widths"][0], OPTIONS["growth_rates"][0]
    assert [each.shape[1] for each in seen] == [width + n * growth for n in (3, 4, 5)]
    for before, after in itertools.pairwise(seen):
        assert torch.equal(before[:, width:], after[:, width : before.shape[1]])
        assert not torch.equal(before[:, :width], after[:, :width])


# ------------------------------------------------------------------------------------------------------------ layouts


def timm_name(key: str) -> str:
    """Of one of our keys that in timm's code."""
    path, _, tensor = key.rpartition(".")
    if path in ("head.fc", "norm"):
        return f"classifier.{tensor}" if path == "head.fc" else f"features.conv5_bn_ac.bn.{tensor}"
    stage, block, *rest = path.split(".")
    kind = "conv" if path.endswith("conv") else "bn"
    if stage == "stem":
        return f"features.conv1_1.{kind}.{tensor}"
    number = int(stage.removeprefix("stage")) + 1
    roles = {"conv1": "c1x1_a", "conv2": "c3x3_b", "conv3": "c1x1_c"}
    role = roles[rest[1]] if rest[0] == "branch" else f"c1x1_w_s{min(number - 1, 2)}"
    return f"features.conv{number}_{int(block) + 1}.{role}.{kind}.{tensor}"


def kuangliu_name(key: str) -> str:
    """Of one of our keys that in kuangliu's code."""
    path, _, tensor = key.rpartition(".")
    stage, block, *rest = path.split(".")
    if stage == "head":
        return f"linear.{tensor}"
    kind = "conv" if path.endswith("conv") else "bn"
    if stage == "stem":
        return f"{kind}1.{tensor}"
    layer = stage.replace("stage", "layer")
    if rest[0] == "shortcut":
        return f"{layer}.{block}.shortcut.{('conv', 'bn').index(kind)}.{tensor}"
    return f"{layer}.{block}.{kind}{rest[1].removeprefix('conv')}.{tensor}"


@pytest.mark.parametrize(
    ("name", "published_name"), [("dpn131", timm_name), ("dpn92_cifar", kuangliu_name)], ids=["timm", "kuangliu"]
)
def test_layout_of_a_whole_network(name: str, published_name: Callable[[str], str]) -> None:
    """Every name of a large network, written by the rules of the publisher's code."""
    row = architecture(name)
    with torch.device("meta"):
        state = row.build().state_dict()
    published = {published_name(key): tensor for key, tensor in state.items()}
    assert len(published) == len(state)
    (table,) = row.layouts.values()
    translated = translate_keys(published, table)
    assert translated.keys() == state.keys()
    assert all(translated[key] is state[key] for key in state)


# ---------------------------------------------------------------------------------------------------- initial weights


def check_mean_square(weight: Tensor, variance: float, *, kurtosis: float) -> None:
    """Within 5 standard errors."""
    values = weight.detach().double()
    ratio = values.square().mean().item() / variance
    assert abs(ratio - 1) < 5 * math.sqrt((kurtosis - 1) / values.numel())


NORMAL, UNIFORM = 3.0, 1.8  # E[x^4] / E[x^2]^2


@pytest.mark.parametrize(("name", "kernel"), [("dpn68", 3), ("dpn92", 7)])
def test_initial_weights(name: str, kernel: int) -> None:
    """Kaiming normal by fan-in, of a group's channels; the linear layer uniform within 1 / sqrt(fan-in)."""
    torch.manual_seed(0)
    network = convatlas.create(name, depths=(1, 1, 1, 1))
    assert network.get_submodule("stem.conv.conv").kernel_size == (kernel, kernel)
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert {conv.groups for conv in convs} == {1, 32}
    for conv in convs:
        check_mean_square(conv.weight, 2 / conv.weight[0].numel(), kurtosis=NORMAL)
        assert conv.bias is None
    largest = max(convs, key=lambda conv: conv.weight.numel()).weight
    assert largest.abs().max() > 4 * largest.std()  # not uniform
    fc = network.get_submodule("head.fc")
    check_mean_square(fc.weight, 1 / (3 * fc.in_features), kurtosis=UNIFORM)
    assert 0 < fc.bias.abs().max() <= 1 / math.sqrt(fc.in_features)
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-3}


def test_initial_weights_at_cifar_size() -> None:
    """PyTorch's default, uniform within 1 / sqrt(fan-in), for convolutions too."""
    torch.manual_seed(0)
    network = convatlas.create("dpn26_cifar", depths=(1, 1, 1, 1))
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) == 1 + 4 * 4 + 1
    for layer in layers:
        fan_in = layer.weight[0].numel()
        check_mean_square(layer.weight, 1 / (3 * fan_in), kurtosis=UNIFORM)
        assert layer.weight.abs().max() <= 1 / math.sqrt(fan_in)
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-5}


# ------------------------------------------------------------------------------------------------------------ options


def test_the_activation_is_an_option_everywhere() -> None:
    for name, count in (("dpn92", 1 + 3 * 8 + 4 + 1), ("dpn26_cifar", 1 + 2 * 8 + 8)):
        network = convatlas.create(name, **OPTIONS, activation="silu")
        kinds = [type(module) for module in network.modules()]
        assert (kinds.count(nn.SiLU), kinds.count(nn.ReLU)) == (count, 0)


def test_other_numbers_of_stages() -> None:
    two = {"depths": (2, 1), "widths": (16, 24), "inner_widths": (8, 16), "growth_rates": (4, 8), "groups": 2}
    for name, channels in (("dpn92", 24 + 3 * 8), ("dpn26_cifar", 24 + 2 * 8)):
        network = convatlas.create(name, num_classes=3, in_channels=1, **two)
        assert network.get_submodule("head.fc").weight.shape == (3, channels)
        assert network.eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dpn92", {"depths": (3, 4, 20)}, "must have one entry for each stage"),
        ("dpn92", {"depths": (3, 4, 20, 0)}, "at least 1"),
        ("dpn92", {"widths": (256, 512, 1024, -1)}, "at least 1"),
        ("dpn92", {"inner_widths": (96, 192, 384)}, "inner_widths=.* must have one entry for each stage"),
        ("dpn92", {"growth_rates": (16, 32, 24, 128, 8)}, "growth_rates=.* must have one entry for each stage"),
        ("dpn92", {"growth_rates": (16, 32, 24, 0)}, "at least 1"),
        ("dpn92", {"groups": 40}, r"inner_widths=\(96, 192, 384, 768\) must be multiples of groups=40"),
        ("dpn92", {"groups": 0}, "at least 1"),
        ("dpn92", {"stem_channels": 0}, "at least 1"),
        ("dpn92", {"stem_kernel": 4}, "stem_kernel=4 must be odd"),
        ("dpn92", {"activation": "swish"}, "unknown activation"),
        ("dpn26_cifar", {"stem_channels": 0}, "at least 1"),
        ("dpn26_cifar", {"stem_kernel": 3}, "unknown option"),
        ("dpn26_cifar", {"inner_widths": (100, 200, 400, 800)}, "must be multiples of groups=32"),
        ("dpn26_cifar", {"widths": (256, 512)}, "must have one entry for each stage"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)
