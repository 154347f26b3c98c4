"""The residual networks of ImageNet, wide, grouped and gated: counts, shapes, key tables, initial weights, options."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.meta import without_memory
from convatlas.architectures.preact_resnet import wide as wide_cifar
from convatlas.architectures.preact_resnet import wide_released
from convatlas.architectures.resnet import imagenet, resnext, senet, teaching, wide
from convatlas.checks import check_architecture
from convatlas.errors import UsageError
from convatlas.layers import Residual, SqueezeExcite, ZeroPadShortcut
from convatlas.weights import translate_keys
from counted import Counted
from references.residual import CASES, GROUPED, ROWS, THIN, WIDE, WIDE_CASES

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
    "wide_resnet28_2_fixmatch": (1_469_642, 214_353_152, 28, 25),  # 2,032 biases more than wide_resnet28_2
    "wide_resnet28_2_mpl": (1_472_170, 218_989_824, 27, 25),
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
    return without_memory(architecture(name), **options)


FILES = (imagenet, teaching, wide, resnext, senet, wide_cifar, wide_released)
WIDE_CIFAR = [row.name for row in (*wide_cifar.ROWS, *wide_released.ROWS)]
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
        ("wide_resnet28_2_fixmatch", _stages(16, 32, 64, 128, size=32)),
        ("wide_resnet28_2_mpl", _stages(32, 32, 64, 128, size=32)),
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


# ---------------------------------------------------------------------------------------------------------- key tables


REFERENCES = {row.name: row for row in ROWS}


def test_key_tables_refuse_each_other() -> None:
    state = REFERENCES["seresnet50"].reference().state_dict()
    with pytest.raises(UsageError, match=r"another network: 16 keys are unknown, such as 'layer1.0.se.fc1.weight'"):
        translate_keys(state, imagenet.TORCHVISION_KEYS)
    with pytest.raises(UsageError, match=r"conv1.0"):
        translate_keys(state, senet.TIMM_SENET154_KEYS)


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
    _, keys, options = CASES[name]
    later, state = REFERENCES[name].reference().state_dict(), {}
    for key, value in later.items():
        holder, _, kind = key.rpartition(".")
        in_stages = ".".join(LEGACY_NAMES.get(part, part) for part in holder.split("."))
        state[f"{LEGACY_STEM[name].get(holder, in_stages)}.{kind}"] = value
    assert any(key.startswith("layer0.bn") for key in state)
    assert "layer1.0.se_module.fc1.weight" in state
    translated = translate_keys(state, architecture(name).layouts["timm_legacy"])
    expected = translate_keys(later, keys)
    assert translated.keys() == expected.keys() == _meta(name, num_classes=10, **options).state_dict().keys()
    assert all(translated[key] is expected[key] for key in expected)
    with pytest.raises(UsageError, match="another network"):
        translate_keys(state, keys)


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
