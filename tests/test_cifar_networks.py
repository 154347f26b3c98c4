"""The papers' CIFAR networks: counts, shapes, option A, key tables, initial weights, options."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.densenet.cifar import densenet_cifar, densenet_slides
from convatlas.architectures.preact_resnet.cifar import preact_resnet
from convatlas.architectures.resnet.cifar import AKAMASTER_KEYS
from convatlas.checks import check_architecture
from convatlas.errors import UsageError
from convatlas.layers import ZeroPadShortcut
from convatlas.weights import translate_keys
from counted import Counted
from references.cifar import ReferenceResNet, zero_channels

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, convolutions, norms; typed here a second time, so that a changed row is noticed.
COUNTS = {
    "resnet20": (269_722, 40_551_040, 19, 19),
    "resnet32": (464_154, 68_862_592, 31, 31),
    "resnet44": (658_586, 97_174_144, 43, 43),
    "resnet56": (853_018, 125_485_696, 55, 55),
    "resnet110": (1_727_962, 252_887_680, 109, 109),
    "resnet1202": (19_421_274, 2_829_238_912, 1201, 1201),
    "resnet20_b": (272_474, 40_813_184, 21, 21),
    "resnet32_b": (466_906, 69_124_736, 33, 33),
    "resnet44_b": (661_338, 97_436_288, 45, 45),
    "resnet56_b": (855_770, 125_747_840, 57, 57),
    "resnet110_b": (1_730_714, 253_149_824, 111, 111),
    "resnet1202_b": (19_424_026, 2_829_501_056, 1203, 1203),
    "plain20": (269_722, 40_551_040, 19, 19),
    "plain32": (464_154, 68_862_592, 31, 31),
    "plain44": (658_586, 97_174_144, 43, 43),
    "plain56": (853_018, 125_485_696, 55, 55),
    "plain110": (1_727_962, 252_887_680, 109, 109),
    "preact_resnet110": (1_727_962, 252_887_680, 109, 109),
    "preact_resnet110_b": (1_730_522, 253_149_824, 111, 109),
    "preact_resnet164": (1_703_258, 244_500_992, 166, 163),
    "preact_resnet1001": (10_327_706, 1_487_849_984, 1003, 1000),
    "densenet_40_12": (1_019_722, 264_812_928, 39, 39),
    "densenet_bc_100_12": (769_162, 287_929_692, 99, 99),
    "densenet_bc_250_24": (15_324_406, 5_418_785_724, 249, 249),
    "densenet_bc_190_40": (25_624_430, 9_301_945_740, 189, 189),
    "densenet_bc_100_12_slides": (768_502, 287_929_692, 99, 98),
    "densenet_bc_250_24_slides": (15_320_986, 5_418_785_724, 249, 248),
    "densenet_bc_190_40_slides": (25_620_130, 9_301_945_740, 189, 188),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == (*COUNTS[name][:2], 32, 10)
    network = counted(name)
    found = (network.parameters, network.modules["Conv2d"], network.modules["BatchNorm2d"])
    assert found == (COUNTS[name][0], *COUNTS[name][2:])


def test_every_row_stands_in_the_table() -> None:
    tutorial = {"googlenet_uva", "resnet_uva", "preact_resnet_uva", "densenet_uva"}
    files = {f"convatlas.architectures.{family}.cifar" for family in ("resnet", "preact_resnet", "densenet")}
    elsewhere = {"densenet_40_12_init24", "densenet_100_12", "densenet_100_24", "densenet121_cifar"}
    rows = [architecture(name) for name in list_architectures() if architecture(name).family != "wide_resnet"]
    here = {row.name for row in rows if getattr(row.builder, "func", row.builder).__module__ in files}
    assert here - tutorial - elsewhere == set(COUNTS)


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("preact_resnet164", {"num_classes": 100}, 1_726_388),
        ("preact_resnet1001", {"num_classes": 100}, 10_350_836),
        ("densenet_bc_100_12", {"num_classes": 100}, 800_032),
        ("densenet_bc_250_24", {"num_classes": 100}, 15_480_556),
        ("densenet_bc_190_40", {"num_classes": 100}, 25_821_620),
        ("densenet_40_12", {"stem_channels": 24}, 1_059_298),  # as the authors' code has it
        ("resnet20", {"block": "option_b"}, 272_474),
        ("resnet20", {"depths": (5, 5, 5)}, 464_154),
        ("resnet20", {"in_channels": 1}, 269_434),
    ],
)
def test_other_counts(name: str, options: dict[str, object], params: int) -> None:
    with torch.device("meta"):
        network = architecture(name).build(**options)  # type: ignore[arg-type]
    assert sum(p.numel() for p in network.parameters()) == params


RESNET = {"stem": (16, 32, 32), "stage1": (16, 32, 32), "stage2": (32, 16, 16), "stage3": (64, 8, 8), "head": (10,)}
DENSE_100 = {"block1": (216, 32, 32), "transition1": (108, 16, 16), "block2": (300, 16, 16), "block3": (342, 8, 8)}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("resnet20", RESNET),
        ("resnet56_b", RESNET),
        ("plain32", RESNET),
        ("preact_resnet110", {**RESNET, "norm": (64, 8, 8)}),
        ("preact_resnet164", {"stem": (16, 32, 32), "stage1": (64, 32, 32), "stage2": (128, 16, 16)}),
        ("densenet_40_12", {"stem": (16, 32, 32), "block1": (160, 32, 32), "transition2": (304, 8, 8)}),
        ("densenet_bc_100_12", {"stem": (24, 32, 32), **DENSE_100, "norm": (342, 8, 8)}),
        ("densenet_bc_100_12_slides", {"stem": (24, 32, 32), **DENSE_100, "head": (10,)}),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes
    assert ("norm" in stages) == (name.startswith(("preact", "densenet")) and "slides" not in name)


# Error rates in percent as the papers' tables print them, CIFAR-10 with augmentation.
ERRORS = {
    "resnet20": 8.75,
    "resnet32": 7.51,
    "resnet44": 7.17,
    "resnet56": 6.97,
    "resnet110": 6.43,
    "resnet1202": 7.93,
    "preact_resnet164": 5.46,
    "preact_resnet1001": 4.92,
    "densenet_40_12": 5.24,
    "densenet_bc_100_12": 4.51,
    "densenet_bc_250_24": 3.62,
    "densenet_bc_190_40": 3.46,
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_errors(name: str) -> None:
    published = architecture(name).published
    assert bool(published) == (name in ERRORS)
    for result in published:
        assert result.split == "test"
        assert 0.7 < result.top1 < 0.97
    if published:
        assert round(100 * (1 - published[0].top1), 2) == ERRORS[name]
        assert published[0].dataset == "cifar10"


# ------------------------------------------------------------------------------------------------------------ option A


@pytest.mark.parametrize(("in_channels", "out_channels"), [(16, 32), (3, 8), (4, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(8, 8), (7, 5)])
def test_zero_pad_shortcut(in_channels: int, out_channels: int, stride: int, size: tuple[int, int]) -> None:
    features = torch.randn(2, in_channels, *size)
    shortcut = ZeroPadShortcut(in_channels, out_channels, stride=stride)
    assert torch.equal(shortcut(features), zero_channels(features, out_channels, stride))
    assert not list(shortcut.parameters())


def test_zeros_lie_half_before_and_half_after() -> None:
    padded = ZeroPadShortcut(16, 32, stride=2)(torch.ones(1, 16, 4, 4))
    assert padded.shape == (1, 32, 2, 2)
    assert padded.amax((0, 2, 3)).tolist() == [0] * 8 + [1] * 16 + [0] * 8


def test_zeros_cannot_take_channels_away() -> None:
    with pytest.raises(UsageError, match="cannot reduce 16 channels to 8"):
        ZeroPadShortcut(16, 8, stride=1)


# ---------------------------------------------------------------------------------------------------------- key tables


def test_option_a_keys_refuse_projections() -> None:
    with pytest.raises(UsageError, match=r"another network: 12 keys are unknown, such as 'layer2.0.shortcut.0.weight'"):
        translate_keys(ReferenceResNet(3, "B").state_dict(), AKAMASTER_KEYS)


def test_published_checkpoints_carry_the_beginning_of_their_hash() -> None:
    for layers in (20, 32, 44, 56, 110, 1202):
        (weights,) = architecture(f"resnet{layers}").weights
        assert weights.url.endswith(f"/resnet{layers}-{weights.sha256}.th")
        assert len(weights.sha256) == 8
        assert (weights.mean, weights.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


# -------------------------------------------------------------------------------- contract, initial weights, options

THINNED = {
    "preact_option_a": partial(preact_resnet, depths=(2, 1, 1)),
    "preact_option_b": partial(preact_resnet, depths=(2, 1, 1), unit="option_b"),
    "preact_bottleneck": partial(preact_resnet, depths=(2, 1, 1), unit="bottleneck", widths=(64, 128, 256)),
    "densenet_basic": partial(densenet_cifar, depths=(3, 2, 2), layer="basic", stem_channels=16, compression=1.0),
    "densenet_bc": partial(densenet_cifar, depths=(3, 2, 2), dropout=0.2),
    "densenet_slides": partial(densenet_slides, depths=(3, 2, 2)),
}


@pytest.mark.parametrize("name", THINNED)
def test_contract_thinned(name: str) -> None:
    check_architecture(Architecture(name, builder=THINNED[name]))


@pytest.mark.parametrize("name", [name for name in THINNED if name != "densenet_slides"])
def test_initial_convolutions_by_fan_out(name: str) -> None:
    """Each convolution's mean square weight is 2 / fan-out within 5 standard errors; the head's bias is 0."""
    torch.manual_seed(0)
    network = THINNED[name]()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.out_channels * module.kernel_size[0] ** 2
            ratio = module.weight.detach().double().square().mean().item() * fan / 2
            assert abs(ratio - 1) < 5 * math.sqrt(2 / module.weight.numel())
    check_linear(network.get_submodule("head.fc"))
    assert network.get_parameter("head.fc.bias").eq(0).all()


def check_linear(linear: nn.Module) -> None:
    """Uniform within 1 / sqrt(fan-in)."""
    assert isinstance(linear, nn.Linear)
    bound = 1 / math.sqrt(linear.in_features)
    assert linear.weight.abs().max() <= bound
    assert linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_initial_weights_of_the_slides_are_pytorchs() -> None:
    """Uniform within 1 / sqrt(fan-in), biases included."""
    torch.manual_seed(0)
    network = densenet_slides(depths=(3, 2, 2))
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            bound = 1 / math.sqrt(module.in_channels * module.kernel_size[0] ** 2)
            assert module.weight.abs().max() <= bound
            assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.15)
    assert network.get_parameter("head.fc.bias").ne(0).all()
    check_linear(network.get_submodule("head.fc"))


def test_initial_linear_layer_of_resnet20() -> None:
    torch.manual_seed(0)
    check_linear(convatlas.create("resnet20").get_submodule("head.fc"))


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("densenet_bc_100_12", {}, 0),
        ("densenet_bc_100_12", {"dropout": 0.2}, 98),  # after every convolution but the stem's
        ("densenet_40_12", {"dropout": 0.2}, 38),
        ("densenet_bc_100_12_slides", {}, 48),  # once a layer, none in the transitions
        ("densenet_bc_100_12_slides", {"dropout": 0.0}, 0),
    ],
)
def test_dropout(name: str, options: dict[str, float], count: int) -> None:
    network = convatlas.create(name, **options)
    found = [module for module in network.modules() if isinstance(module, nn.Dropout)]
    assert len(found) == count
    assert {module.p for module in found} <= {0.2}


def test_dropout_follows_the_convolution() -> None:
    layer = convatlas.create("densenet_bc_100_12", dropout=0.2, depths=(1, 1, 1)).get_submodule("block1.0.new")
    assert [name for name, _ in layer.get_submodule("conv1").named_children()] == ["norm", "act", "conv", "dropout"]
    slides = convatlas.create("densenet_bc_100_12_slides", depths=(1, 1, 1)).get_submodule("block1.0.new")
    assert [name for name, _ in slides.get_submodule("conv1").named_children()] == ["norm", "act", "conv"]
    assert [name for name, _ in slides.get_submodule("conv2").named_children()][-1] == "dropout"


@pytest.mark.parametrize("name", ["resnet20", "resnet20_b", "plain20", *THINNED])
def test_activation_option(name: str) -> None:
    build = partial(architecture(name).build) if name not in THINNED else THINNED[name]
    kinds = {type(module) for module in build(activation="gelu").modules()}
    assert nn.GELU in kinds
    assert nn.ReLU not in kinds


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet20", {"block": "bottleneck"}, "unknown block.*option_a"),
        ("resnet20", {"depths": (3, 3)}, "one entry for each stage"),
        ("resnet20", {"widths": (64, 32, 16)}, "cannot reduce 64 channels to 32"),
        ("preact_resnet110", {"unit": "basic"}, "unknown unit.*bottleneck"),
        ("preact_resnet164", {"widths": (64, 128, 254)}, "multiples of 4"),
        ("preact_resnet164", {"stem_channels": 0}, "at least 1"),
        ("preact_resnet164", {"depths": (3,)}, "one entry for each stage"),
        ("densenet_bc_100_12", {"dropout": 1.0}, "probability below 1"),
        ("densenet_bc_100_12", {"compression": 0.0}, "above 0"),
        ("densenet_bc_100_12", {"layer": "dense"}, "unknown layer.*bottleneck"),
        ("densenet_bc_100_12_slides", {"dropout": -0.1}, "probability"),
        ("densenet_bc_100_12_slides", {"growth_rate": 0}, "at least 1"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)
