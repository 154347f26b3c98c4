"""LeNet, AlexNet, VGG and NiN: counts, shapes, order of layers, initial weights, parity with plain references."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.alexnet import alexnet, alexnet_cifar_stem, response_norm
from convatlas.architectures.lenet import (
    RadialBasis,
    ScaledTanh,
    Subsampling,
    TableConvolution,
    lenet5_original,
)
from convatlas.architectures.nin import nin_cifar
from convatlas.architectures.vgg import vgg, vgg_cifar, vgg_textbook
from convatlas.checks import check_architecture
from convatlas.complexity import complexity
from convatlas.errors import UsageError
from convatlas.weights import load_strictly, translate_keys
from counted import Counted
from references.classic import TABLE_1, normalised_by_hand

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs; typed here a second time, so that a changed row is noticed.
COUNTS = {
    "lenet5": (61_706, 416_520),
    "lenet5_original": (60_000, 325_680),
    "lenet5_textbook": (61_706, 416_520),
    "lenet_cifar": (62_006, 651_720),
    "alexnet_original": (60_965_224, 724_406_816),
    "alexnet": (61_100_840, 714_188_480),
    "alexnet_textbook": (46_787_978, 1_005_890_688),
    "alexnet_cifar_stem": (5_868_362, 179_075_072),
    "vgg11": (132_863_336, 7_609_090_048),
    "vgg13": (133_047_848, 11_308_466_176),
    "vgg16": (138_357_544, 15_470_264_320),
    "vgg19": (143_667_240, 19_632_062_464),
    "vgg11_bn": (132_868_840, 7_609_090_048),
    "vgg13_bn": (133_053_736, 11_308_466_176),
    "vgg16_bn": (138_365_992, 15_470_264_320),
    "vgg19_bn": (143_678_248, 19_632_062_464),
    "vgg11_bn_cifar": (9_231_114, 152_769_536),
    "vgg13_bn_cifar": (9_416_010, 228_267_008),
    "vgg16_bn_cifar": (14_728_266, 313_201_664),
    "vgg19_bn_cifar": (20_040_522, 398_136_320),
    "vgg11_textbook": (128_807_306, 7_605_035_008),
    "vgg11_textbook_small": (43_093_610, 526_606_336),
    "nin_cifar": (966_986, 222_486_528),
    "nin_imagenet": (7_595_176, 1_100_188_800),
    "nin_textbook": (2_015_398, 830_041_864),
    "nin_textbook_mnist": (1_992_166, 762_297_352),
}
SIZES = {"lenet5_textbook": 28, "lenet5": 32, "lenet5_original": 32, "alexnet_original": 227, "nin_cifar": 32}
GRAY = ("lenet5", "lenet5_original", "lenet5_textbook", "nin_textbook_mnist")


def test_every_row_stands_in_the_table() -> None:
    families = {"lenet", "alexnet", "vgg", "nin"}
    assert {name for name in list_architectures() if architecture(name).family in families} == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    found = counted(name).complexity
    assert (row.params, row.macs) == (found.params, found.macs) == COUNTS[name]
    assert sum(stage.macs for stage in found.stages) == COUNTS[name][1]
    assert row.image_size == SIZES.get(name, 32 if "cifar" in name else 224)
    assert row.in_channels == (1 if name in GRAY else 3)
    assert row.num_classes == (1000 if row.dataset == "imagenet" else 10)
    assert bool(row.recipe) == ("textbook" in name and name != "lenet5_textbook")


def test_counts_of_the_paper_of_1998() -> None:
    """Section II-B, layer by layer."""
    network = lenet5_original()
    paper = {
        "stage1.conv": 156,
        "stage1.pool": 12,
        "stage2.conv": 1_516,
        "stage2.pool": 32,
        "stage3": 48_120,
        "head": 10_164,
    }
    assert {name: sum(p.numel() for p in network.get_submodule(name).parameters()) for name in paper} == paper


LENET = {"stage1.conv.conv": (6, 28, 28), "stage1": (6, 14, 14), "stage2": (16, 5, 5), "head": (10,)}
VGG = {
    "stage1": (64, 112, 112),
    "stage2": (128, 56, 56),
    "stage3": (256, 28, 28),
    "stage4": (512, 14, 14),
    "stage5": (512, 7, 7),
    "head": (1000,),
}
VGG_CIFAR = {
    "stage1": (64, 16, 16),
    "stage2": (128, 8, 8),
    "stage3": (256, 4, 4),
    "stage4": (512, 2, 2),
    "stage5": (512, 1, 1),
    "head": (10,),
}
SHAPES: dict[str, Mapping[str, tuple[int, ...]]] = {
    "lenet5": {**LENET, "stage2.conv.conv": (16, 10, 10), "head.fc1": (120,), "head.fc2": (84,)},
    "lenet5_original": {**LENET, "stage2.conv.conv.maps.0": (1, 10, 10), "stage3": (120, 1, 1), "head.fc1": (84,)},
    "lenet5_textbook": {**LENET, "stage2.conv.conv": (16, 10, 10), "head.fc1": (120,), "head.fc2": (84,)},
    "lenet_cifar": {**LENET, "stage2.conv.conv": (16, 10, 10), "head.fc1": (120,), "head.fc2": (84,)},
    "alexnet_original": {
        "stem.conv.conv": (96, 55, 55),
        "stem": (96, 27, 27),
        "stage1.conv.conv": (256, 27, 27),
        "stage1": (256, 13, 13),
        "stage2.conv1.conv": (384, 13, 13),
        "stage2.conv2.conv": (384, 13, 13),
        "stage2.conv3.conv": (256, 13, 13),
        "stage2": (256, 6, 6),
        "head.fc1": (4096,),
        "head.fc2": (4096,),
        "head": (1000,),
    },
    "alexnet": {
        "stem.conv.conv": (64, 55, 55),
        "stem": (64, 27, 27),
        "stage1.conv.conv": (192, 27, 27),
        "stage1": (192, 13, 13),
        "stage2.conv1.conv": (384, 13, 13),
        "stage2.conv2.conv": (256, 13, 13),
        "stage2.conv3.conv": (256, 13, 13),
        "stage2": (256, 6, 6),
        "head.fc1": (4096,),
        "head": (1000,),
    },
    "alexnet_textbook": {
        "stem.conv.conv": (96, 54, 54),
        "stem": (96, 26, 26),
        "stage1.conv.conv": (256, 26, 26),
        "stage1": (256, 12, 12),
        "stage2.conv1.conv": (384, 12, 12),
        "stage2.conv2.conv": (384, 12, 12),
        "stage2.conv3.conv": (256, 12, 12),
        "stage2": (256, 5, 5),
        "head.flatten": (6400,),
        "head": (10,),
    },
    "alexnet_cifar_stem": {
        "stem.conv.conv": (64, 32, 32),
        "stem": (64, 15, 15),
        "stage1": (192, 7, 7),
        "stage2": (256, 3, 3),
        "head.fc1": (1024,),
        "head": (10,),
    },
    **{f"vgg{layers}": VGG for layers in (11, 13, 16, 19)},
    **{f"vgg{layers}_bn": VGG for layers in (11, 13, 16, 19)},
    **{f"vgg{layers}_bn_cifar": VGG_CIFAR for layers in (11, 13, 16, 19)},
    "vgg11_textbook": {**VGG, "head": (10,)},
    "vgg11_textbook_small": {"stage1": (16, 112, 112), "stage3": (64, 28, 28), "stage5": (128, 7, 7), "head": (10,)},
    "nin_cifar": {
        "stage1.conv1.conv": (192, 32, 32),
        "stage1.conv2.conv": (160, 32, 32),
        "stage1.conv3.conv": (96, 32, 32),
        "stage1": (96, 16, 16),
        "stage2.conv3.conv": (192, 16, 16),
        "stage2": (192, 8, 8),
        "head.conv3.conv": (10, 8, 8),
        "head": (10,),
    },
    "nin_imagenet": {
        "stage1.conv3.conv": (96, 54, 54),
        "stage1": (96, 27, 27),
        "stage2.conv3.conv": (256, 27, 27),
        "stage2": (256, 13, 13),
        "stage3.conv3.conv": (384, 13, 13),
        "stage3": (384, 6, 6),
        "head.conv2.conv": (1024, 6, 6),
        "head.conv3.conv": (1000, 6, 6),
        "head": (1000,),
    },
    "nin_textbook": {
        "stage1.conv3.conv": (96, 54, 54),
        "stage1": (96, 26, 26),
        "stage2.conv3.conv": (256, 26, 26),
        "stage2": (256, 12, 12),
        "stage3.conv3.conv": (384, 12, 12),
        "stage3": (384, 5, 5),
        "head.conv3.conv": (10, 5, 5),
        "head": (10,),
    },
    "nin_textbook_mnist": {"stage1.conv1.conv": (96, 54, 54), "stage3": (384, 5, 5), "head": (10,)},
}


@pytest.mark.parametrize("name", COUNTS)
def test_shapes(counted: Callable[[str], Counted], name: str) -> None:
    found = {part.name: part.shape for part in (*counted(name).complexity.layers, *counted(name).complexity.stages)}
    assert {part: found.get(part) for part in SHAPES[name]} == SHAPES[name]


LETTERS = {
    "Conv2d": "C",
    "BatchNorm2d": "B",
    "LocalResponseNorm": "N",
    "ReLU": "R",
    "Sigmoid": "S",
    "ScaledTanh": "T",
    "MaxPool2d": "M",
    "AvgPool2d": "V",
    "AdaptiveAvgPool2d": "A",
    "Subsampling": "+",
    "Flatten": "F",
    "Linear": "L",
    "Dropout": "D",
    "RadialBasis": "E",
}
DENSE = "F LRD LRD L"
NIN = "CRCRCR"
# The layers in the order in which they work; C3 of the paper of 1998 has 16 convolutions.
SEQUENCES = {
    "lenet5": "CTV CTV F LT LT L",
    "lenet5_original": f"CT+T {'C' * 16}T+T CT F LT E",
    "lenet5_textbook": "CSV CSV F LS LS L",
    "lenet_cifar": "CRM CRM F LR LR L",
    "alexnet_original": f"CRNM CRNM CRCRCRM {DENSE}",
    "alexnet": "CRM CRM CRCRCRM AF DLR DLR L",
    "alexnet_textbook": f"CRM CRM CRCRCRM {DENSE}",
    "alexnet_cifar_stem": f"CRM CRM CRCRCRM A {DENSE}",
    "vgg11": f"CRM CRM CRCRM CRCRM CRCRM A {DENSE}",
    "vgg13": f"CRCRM CRCRM CRCRM CRCRM CRCRM A {DENSE}",
    "vgg16": f"CRCRM CRCRM CRCRCRM CRCRCRM CRCRCRM A {DENSE}",
    "vgg19": f"CRCRM CRCRM CRCRCRCRM CRCRCRCRM CRCRCRCRM A {DENSE}",
    "vgg11_textbook": f"CRM CRM CRCRM CRCRM CRCRM {DENSE}",
    "vgg11_textbook_small": f"CRM CRM CRCRM CRCRM CRCRM {DENSE}",
    "nin_cifar": f"{NIN}MD {NIN}VD {NIN}AF",
    "nin_imagenet": f"{NIN}M {NIN}M {NIN}MD {NIN}AF",
    "nin_textbook": f"{NIN}M {NIN}M {NIN}MD {NIN}AF",
    "nin_textbook_mnist": f"{NIN}M {NIN}M {NIN}MD {NIN}AF",
}
for _layers in (11, 13, 16, 19):
    _normed = SEQUENCES[f"vgg{_layers}"].replace("CR", "CBR")
    SEQUENCES[f"vgg{_layers}_bn"] = _normed
    SEQUENCES[f"vgg{_layers}_bn_cifar"] = _normed.replace(DENSE, "F L")


@pytest.mark.parametrize("name", COUNTS)
def test_order_of_the_layers(counted: Callable[[str], Counted], name: str) -> None:
    layers = counted(name).complexity.layers
    found = "".join(LETTERS[layer.operation] for layer in layers if layer.operation != "TableConvolution")
    assert found == SEQUENCES[name].replace(" ", "")


@pytest.mark.parametrize(
    ("name", "kernel", "stride", "ceil"),
    [
        ("lenet_cifar", 2, 2, False),
        ("alexnet_original", 3, 2, False),  # overlapping
        ("alexnet", 3, 2, False),
        ("alexnet_textbook", 3, 2, False),
        ("alexnet_cifar_stem", 3, 2, False),
        ("vgg16", 2, 2, False),
        ("vgg16_bn_cifar", 2, 2, False),
        ("nin_imagenet", 3, 2, True),
        ("nin_textbook", 3, 2, False),
    ],
)
def test_poolings(name: str, kernel: int, stride: int, ceil: bool) -> None:
    with torch.device("meta"):
        pools = [module for module in architecture(name).build().modules() if isinstance(module, nn.MaxPool2d)]
    assert {(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode) for pool in pools} == {
        (kernel, stride, 0, ceil)
    }


# name: kernel, stride and padding of the first convolution; the shapes alone leave the padding open.
STEMS = {
    "lenet5": (5, 1, 0),
    "lenet5_original": (5, 1, 0),
    "lenet5_textbook": (5, 1, 2),
    "lenet_cifar": (5, 1, 0),
    "alexnet_original": (11, 4, 0),
    "alexnet": (11, 4, 2),
    "alexnet_textbook": (11, 4, 1),
    "alexnet_cifar_stem": (3, 1, 1),
    "nin_cifar": (5, 1, 2),
    "nin_imagenet": (11, 4, 0),
    "nin_textbook": (11, 4, 0),
    "nin_textbook_mnist": (11, 4, 0),
}


@pytest.mark.parametrize("name", COUNTS)
def test_first_convolution(name: str) -> None:
    with torch.device("meta"):
        first = next(module for module in architecture(name).build().modules() if isinstance(module, nn.Conv2d))
    found = (first.kernel_size, first.stride, first.padding)
    kernel, stride, padding = STEMS.get(name, (3, 1, 1))
    assert found == ((kernel, kernel), (stride, stride), (padding, padding))


@pytest.mark.parametrize("name", ["alexnet_original", "alexnet", "alexnet_textbook", "vgg16", "vgg11_textbook"])
def test_dropout_is_a_half(name: str) -> None:
    with torch.device("meta"):
        found = [module.p for module in architecture(name).build().modules() if isinstance(module, nn.Dropout)]
    assert found == [0.5, 0.5]


# Accuracies that were read in the named source, in percent.
PUBLISHED = {
    "alexnet": [56.522],
    "alexnet_textbook": [77.68],
    "vgg11": [69.020],
    "vgg13": [69.928],
    "vgg16": [71.592],
    "vgg19": [72.376],
    "vgg11_bn": [70.370],
    "vgg13_bn": [71.586],
    "vgg16_bn": [73.360],
    "vgg19_bn": [74.218],
    "vgg16_bn_cifar": [92.64],
    "vgg11_textbook": [53.88],
    "vgg11_textbook_small": [49.49],
    "nin_cifar": [91.19, 64.32, 99.53],
    "nin_textbook": [50.00],
    "nin_textbook_mnist": [98.66],
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_accuracies(name: str) -> None:
    found = [round(100 * result.top1, 3) for result in architecture(name).published]
    assert found == PUBLISHED.get(name, [])


# ---------------------------------------------------------------------------------------------------- initial weights


def check_values(values: Tensor, kind: str, std: float) -> None:
    """The mean square is std^2 within 5 standard errors; uniform values keep within sqrt(3) std, normal ones do not."""
    values = values.detach().double()
    ratio = values.square().mean().item() / std**2
    spread = {"uniform": 0.8, "normal": 2.0}[kind]
    assert abs(ratio - 1) < 5 * math.sqrt(spread / values.numel()), (kind, ratio)
    within = values.abs().max().item() <= math.sqrt(3) * std * (1 + 1e-6)
    assert within == (kind == "uniform") or values.numel() < 300, (kind, "bound")


def fans(layer: nn.Module) -> tuple[int, int]:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    area = math.prod(layer.weight.shape[2:])
    return layer.weight.shape[1] * area, layer.weight.shape[0] * area


def layers_of(network: nn.Module) -> list[tuple[str, nn.Module]]:
    kinds = (nn.Conv2d, nn.Linear)
    found: list[tuple[str, nn.Module]] = [item for item in network.named_modules() if isinstance(item[1], kinds)]
    assert found
    return found


def pytorchs(fan_in: int) -> tuple[str, float]:
    """Uniform within 1 / sqrt(fan_in)."""
    return "uniform", 1 / math.sqrt(3 * fan_in)


@pytest.mark.parametrize("name", ["lenet5", "lenet5_original"])
def test_initial_weights_of_lenet(name: str) -> None:
    """Every value uniform within 2.4 / fan_in."""
    torch.manual_seed(0)
    network = convatlas.create(name)
    checked = 0
    for _, layer in layers_of(network):
        fan_in, _ = fans(layer)
        check_values(torch.cat([p.flatten() for p in layer.parameters()]), "uniform", 2.4 / fan_in / math.sqrt(3))
        assert layer.get_parameter("bias").abs().max() <= 2.4 / fan_in
        checked += sum(p.numel() for p in layer.parameters())
    subsampling = [module for module in network.modules() if isinstance(module, Subsampling)]
    pairs = [parameter.flatten() for module in subsampling for parameter in module.parameters()]
    if pairs:  # each unit has 4 inputs
        check_values(torch.cat(pairs), "uniform", 0.6 / math.sqrt(3))
        assert 0.5 < torch.cat(pairs).abs().max() <= 0.6
        checked += sum(len(pair) for pair in pairs)
    assert checked == COUNTS[name][0]


@pytest.mark.parametrize(
    "build",
    [
        partial(convatlas.create, "lenet5_textbook"),
        partial(convatlas.create, "alexnet_textbook"),
        partial(convatlas.create, "nin_textbook"),
        partial(vgg_textbook, blocks=((1, 16), (1, 16), (2, 16), (2, 16), (2, 8))),
    ],
    ids=["lenet5_textbook", "alexnet_textbook", "nin_textbook", "vgg_textbook"],
)
def test_initial_weights_of_the_textbook(build: Callable[[], nn.Module]) -> None:
    """Xavier uniform, biases PyTorch's."""
    torch.manual_seed(0)
    for _, layer in layers_of(build()):
        fan_in, fan_out = fans(layer)
        check_values(layer.get_parameter("weight"), "uniform", math.sqrt(2 / (fan_in + fan_out)))
        check_values(layer.get_parameter("bias"), *pytorchs(fan_in))


@pytest.mark.parametrize(
    "build",
    [partial(convatlas.create, "lenet_cifar"), partial(alexnet, num_classes=10, hidden=256)],
    ids=["lenet_cifar", "alexnet"],
)
def test_initial_weights_that_are_pytorchs(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    for _, layer in layers_of(build()):
        for parameter in layer.parameters():
            check_values(parameter, *pytorchs(fans(layer)[0]))


@pytest.mark.slow
def test_initial_weights_of_alexnet_original() -> None:
    """N(0, 0.01); biases 1 in the second, fourth and fifth convolution and the hidden linear layers, else 0."""
    torch.manual_seed(0)
    biases = {}
    for name, layer in layers_of(convatlas.create("alexnet_original")):
        check_values(layer.get_parameter("weight"), "normal", 0.01)
        (biases[name],) = set(layer.get_parameter("bias").tolist())
    assert biases == {
        "stem.conv.conv": 0,
        "stage1.conv.conv": 1,
        "stage2.conv1.conv": 0,
        "stage2.conv2.conv": 1,
        "stage2.conv3.conv": 1,
        "head.fc1": 1,
        "head.fc2": 1,
        "head.fc": 0,
    }


def test_initial_weights_of_alexnet_cifar_stem() -> None:
    torch.manual_seed(0)
    for _, layer in layers_of(alexnet_cifar_stem(hidden=256)):
        fan_in, _ = fans(layer)
        rule = ("normal", math.sqrt(2 / fan_in)) if isinstance(layer, nn.Conv2d) else pytorchs(fan_in)
        check_values(layer.get_parameter("weight"), *rule)
        check_values(layer.get_parameter("bias"), *pytorchs(fan_in))


@pytest.mark.parametrize(
    "build",
    [
        partial(vgg, hidden=64, num_classes=10),
        partial(vgg, hidden=64, num_classes=10, norm="batch", depths=(1, 1, 2, 2, 2)),
        partial(vgg_cifar, depths=(1, 1, 2, 2, 2)),
    ],
    ids=["vgg16", "vgg11_bn", "vgg11_bn_cifar"],
)
def test_initial_weights_of_vgg(build: Callable[[], nn.Module]) -> None:
    """Convolutions Kaiming normal by fan-out, linear layers N(0, 0.01), biases 0, norms the identity."""
    torch.manual_seed(0)
    network = build()
    for _, layer in layers_of(network):
        std = math.sqrt(2 / fans(layer)[1]) if isinstance(layer, nn.Conv2d) else 0.01
        check_values(layer.get_parameter("weight"), "normal", std)
        assert layer.get_parameter("bias").eq(0).all()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


@pytest.mark.parametrize("name", ["nin_cifar", "nin_imagenet"])
def test_initial_weights_of_nin(name: str) -> None:
    """N(0, 0.05), in three layers of the ImageNet network N(0, 0.01), biases 0."""
    smaller = {"stage1.conv1.conv", "stage3.conv1.conv", "head.conv3.conv"} if name == "nin_imagenet" else set()
    torch.manual_seed(0)
    layers = layers_of(convatlas.create(name))
    assert smaller <= {path for path, _ in layers}
    for path, layer in layers:
        check_values(layer.get_parameter("weight"), "normal", 0.01 if path in smaller else 0.05)
        assert layer.get_parameter("bias").eq(0).all()


# ------------------------------------------------------------------------------------------------------ LeNet's parts


def test_connections_of_c3() -> None:
    """Zeroing the maps that a map does not see changes nothing in it; zeroing any that it sees does."""
    torch.manual_seed(0)
    c3 = lenet5_original().get_submodule("stage2.conv.conv").double()
    assert isinstance(c3, TableConvolution)
    features = torch.randn(2, 6, 14, 14, dtype=torch.float64)
    with torch.no_grad():
        whole = c3(features)
        assert whole.shape == (2, 16, 10, 10)
        for source, row in enumerate(TABLE_1):
            without = features.clone()
            without[:, source] = 0
            changed = (c3(without) != whole).flatten(2).any(2).all(0)
            assert changed.tolist() == [mark == "X" for mark in row]


def test_subsampling_by_hand() -> None:
    layer = Subsampling(2)
    with torch.no_grad():
        layer.coefficient.copy_(torch.tensor([0.5, -1.0]))
        layer.bias.copy_(torch.tensor([1.0, 2.0]))
    maps = torch.tensor([[[1.0, 2.0, 0.0, 0.0], [3.0, 4.0, 0.0, 8.0]]] * 2)[None]
    assert layer(maps).tolist() == [[[[0.5 * 10 + 1, 0.5 * 8 + 1]], [[-10 + 2, -8 + 2]]]]


def test_squashing_function() -> None:
    """Appendix A: f(x) = A tanh(S x) with A = 1.7159 and S = 2/3, so that f(1) = 1 and f(-1) = -1."""
    points = torch.tensor([-1.0, 0.0, 0.3, 1.0, 100.0], dtype=torch.float64)
    values = ScaledTanh()(points).tolist()
    assert values == pytest.approx([1.7159 * math.tanh(2 / 3 * x) for x in points.tolist()], rel=1e-12)
    assert values[:2] == pytest.approx([-1, 0], abs=1e-4)
    assert values[3:] == pytest.approx([1, 1.7159], abs=1e-4)


def test_radial_basis_by_hand() -> None:
    units = RadialBasis(84, 10)
    codes = units.codes.tolist()
    point = [math.sin(index) for index in range(84)]
    by_hand = [-sum((x - c) ** 2 for x, c in zip(point, code, strict=True)) for code in codes]
    assert units(torch.tensor([point]))[0].tolist() == pytest.approx(by_hand, rel=1e-5)
    own = units(units.codes)
    assert own.diagonal().eq(0).all()
    assert own.argmax(1).tolist() == list(range(10))
    assert -own[0, 1].item() == 4 * sum(a != b for a, b in zip(codes[0], codes[1], strict=True))


def test_codes_are_fixed() -> None:
    """+1 and -1 alike often, the same whatever the seed, not learned, kept with the network."""
    torch.manual_seed(0)
    first = lenet5_original()
    torch.manual_seed(1)
    second = lenet5_original()
    codes = first.get_buffer("head.rbf.codes")
    assert codes.shape == (10, 84)
    assert codes.abs().eq(1).all()
    assert abs(codes.mean().item()) < 0.1
    assert codes.equal(second.get_buffer("head.rbf.codes"))
    assert len({tuple(code) for code in codes.tolist()}) == 10
    assert "head.rbf.codes" in first.state_dict()
    assert not list(first.get_submodule("head.rbf").parameters())
    with torch.device("meta"):
        assert lenet5_original(num_classes=26).get_buffer("head.rbf.codes").shape == (26, 84)


def test_kuangliu_layout() -> None:
    shapes = {"conv1": (6, 3, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 400), "fc2": (84, 120), "fc3": (10, 84)}
    weights = {f"{name}.weight": torch.randn(shape) for name, shape in shapes.items()}
    biases = {f"{name}.bias": torch.randn(shape[0]) for name, shape in shapes.items()}
    row = architecture("lenet_cifar")
    network = row.build()
    load_strictly(network, translate_keys({**weights, **biases}, row.layouts["kuangliu"]))
    assert network.get_parameter("head.fc.weight").equal(weights["fc3.weight"])
    assert network.get_parameter("stage2.conv.conv.bias").equal(biases["conv2.bias"])


# --------------------------------------------------------------------------------------------- response normalisation


def test_response_norm_is_the_papers() -> None:
    features = 50 * torch.randn(2, 7, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = response_norm()(features)
    assert torch.allclose(found, normalised_by_hand(features), rtol=1e-12, atol=0)
    assert not torch.allclose(found, normalised_by_hand(features, alpha=1e-4 / 5), rtol=0.01)
    assert not torch.allclose(found, normalised_by_hand(features, size=3), rtol=0.01)


# ----------------------------------------------------------------------------------------------- contract and options

THIN = (8, 16, 16, 16, 16)
THINNED = {
    "alexnet": Architecture("alexnet_thin", partial(alexnet, widths=THIN, hidden=32), image_size=64, num_classes=1000),
    "alexnet_cifar_stem": Architecture("alexnet_cifar_stem_thin", partial(alexnet_cifar_stem, widths=THIN, hidden=32)),
    "vgg": Architecture("vgg_thin", partial(vgg, depths=(1, 1, 2, 1, 1), widths=THIN, hidden=32), num_classes=1000),
    "vgg_cifar": Architecture("vgg_cifar_thin", partial(vgg_cifar, depths=(1, 1, 2, 1, 1), widths=THIN)),
    "nin_cifar": Architecture("nin_thin", partial(nin_cifar, width=16, narrow=12, narrowest=8)),
}


@pytest.mark.parametrize("name", THINNED)
def test_contract_thinned(name: str) -> None:
    check_architecture(THINNED[name])


@pytest.mark.parametrize(
    ("name", "options", "kinds"),
    [
        ("lenet5", {"activation": "relu"}, {nn.ReLU, nn.AvgPool2d}),
        ("lenet5", {"pooling": "max"}, {ScaledTanh, nn.MaxPool2d}),
        ("lenet_cifar", {"activation": "sigmoid"}, {nn.Sigmoid, nn.MaxPool2d}),
    ],
)
def test_options_of_lenet(name: str, options: dict[str, object], kinds: set[type]) -> None:
    found = {type(module) for module in architecture(name).build(**options).modules()}  # type: ignore[arg-type]
    assert found & {nn.ReLU, nn.Sigmoid, ScaledTanh, nn.AvgPool2d, nn.MaxPool2d} == kinds


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("lenet5", (1, 28, 28)),
        ("lenet5_original", (1, 28, 28)),
        ("lenet5_original", (1, 40, 40)),
        ("lenet5_textbook", (1, 32, 32)),
        ("alexnet_original", (3, 224, 224)),
    ],
)
def test_images_of_another_size(name: str, image: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError, match=f"{name} cannot take an image of {image[0]} x {image[1]} x {image[2]}"):
        complexity(architecture(name), image_size=image[1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet5", {"activation": "swish"}, "unknown activation.*scaled_tanh"),
        ("lenet5", {"pooling": "mean"}, "unknown pooling.*average"),
        ("lenet5", {"initial": "zero"}, "unknown initial.*lecun"),
        ("lenet5", {"padding": 1}, "padding=1 must be 0, for images of 32 pixels, or 2"),
        ("lenet5_original", {"num_classes": 0}, "at least 1"),
        ("alexnet_original", {"dropout": 1.0}, "probability below 1"),
        ("alexnet", {"widths": (64, 192, 384, 256)}, "five numbers of channels"),
        ("alexnet", {"hidden": 0}, "at least 1"),
        ("alexnet", {"dropout": -0.1}, "probability"),
        ("alexnet_textbook", {"dropout": 1.5}, "probability"),
        ("alexnet_cifar_stem", {"widths": (64, 0, 384, 256, 256)}, "at least 1"),
        ("alexnet_cifar_stem", {"hidden": 0}, "at least 1"),
        ("vgg16", {"norm": "layer"}, "unknown norm.*batch"),
        ("vgg16", {"depths": (1, 1)}, "one entry for each stage"),
        ("vgg16", {"hidden": 0}, "at least 1"),
        ("vgg16", {"dropout": 1.0}, "probability"),
        ("vgg16_bn_cifar", {"widths": (0, 1, 1, 1, 1)}, "at least 1"),
        ("vgg11_textbook", {"blocks": ((1, 64),)}, "five pairs"),
        ("vgg11_textbook", {"blocks": ((1, 64),) * 4 + ((0, 64),)}, "at least 1"),
        ("nin_cifar", {"width": 0}, "at least 1"),
        ("nin_cifar", {"dropout": 1.0}, "probability"),
        ("nin_imagenet", {"dropout": 1.0}, "probability"),
        ("nin_textbook", {"dropout": 1.0}, "probability"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message), torch.device("meta"):
        architecture(name).build(**options)  # type: ignore[arg-type]
