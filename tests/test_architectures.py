"""The registry's contract, options, initial weights, and users' own networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import convatlas
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures, register
from convatlas.checks import ContractError, check_architecture, check_counts, check_declared
from convatlas.complexity import complexity
from convatlas.errors import UsageError
from convatlas.layers import Concat, ConvNormAct, Residual, Scale, StochasticDepth, initialize_kaiming
from counted import Counted

ROWS = list_architectures()
SMALL = [name for name in ROWS if (architecture(name).params or 0) < 700_000]
# Of each family the smallest of those that take seconds; its other rows are the same blocks more often.
MEDIUM = {
    architecture(name).family: name
    for name in sorted(ROWS, key=lambda name: -(architecture(name).params or 0))
    if 700_000 <= (architecture(name).params or 0) < 2_000_000
}


@pytest.mark.parametrize("name", ROWS)
def test_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert row.params
    assert row.macs
    found = counted(name).complexity
    check_declared(row, found)
    for each in ("params", "weights", "macs", "activations"):  # the table of layers adds up
        assert sum(getattr(layer, each) for layer in found.layers) == getattr(found.network, each)


@pytest.mark.parametrize("name", SMALL)
def test_contract(name: str) -> None:
    check_architecture(architecture(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", MEDIUM.values())
def test_contract_of_the_deeper(name: str) -> None:
    check_architecture(architecture(name))


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("googlenet_uva", 260_650, 79_643_904),
        ("resnet_uva", 272_378, 40_813_184),
        ("preact_resnet_uva", 272_250, 40_813_184),
        ("densenet_uva", 239_146, 72_279_856),
    ],
)
def test_published_counts(counted: Callable[[str], Counted], name: str, params: int, macs: int) -> None:
    """As the tutorial's own code has them; typed here a second time, so that a changed row is noticed."""
    found = counted(name).complexity
    assert (found.params, found.macs) == (params, macs)
    assert sum(stage.params for stage in found.stages) == params
    assert sum(layer.macs for layer in found.layers) == macs


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("googlenet_uva", {"stem": (64, 32, 32), "inception3b": (96, 32, 32), "inception4d": (128, 16, 16)}),
        ("resnet_uva", {"stage1": (16, 32, 32), "stage2": (32, 16, 16), "stage3": (64, 8, 8)}),
        ("preact_resnet_uva", {"stem": (16, 32, 32), "stage3": (64, 8, 8)}),
        ("densenet_uva", {"block1": (128, 32, 32), "transition1": (64, 16, 16), "block4": (184, 4, 4)}),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes


def test_contract_notices_a_wrong_count() -> None:
    row = architecture("resnet_uva")
    wrong = Architecture("wrong", builder=row.builder, params=272_379)
    with pytest.raises(ContractError, match="declares 272379 params and has 272378"):
        check_counts(wrong)


def test_contract_notices_a_dead_parameter() -> None:
    class Dead(nn.Sequential):
        def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
            super().__init__(nn.Flatten(), nn.Linear(in_channels * 32 * 32, num_classes))
            self.unused = nn.Parameter(torch.zeros(1))

    with pytest.raises(ContractError, match="unused no gradient"):
        check_architecture(Architecture("dead", builder=Dead))


def test_contract_notices_a_network_that_mixes_images() -> None:
    class Mixing(nn.Sequential):
        def __init__(self, *, num_classes: int = 10, in_channels: int = 3) -> None:
            super().__init__(nn.Flatten(), nn.Linear(in_channels * 32 * 32, num_classes))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images - images.mean(0))

    with pytest.raises(ContractError, match="another batch"):
        check_architecture(Architecture("mixing", builder=Mixing))


# ---------------------------------------------------------------------------------------------------- initial weights

GAINS = {"relu": 2.0**0.5, "leakyrelu": (2 / 1.0001) ** 0.5, "tanh": 5 / 3, "gelu": 1.5335304, "silu": 1.6765325}
FAN_OUT = ("resnet_uva", "preact_resnet_uva")  # all other small ones by fan-in
KAIMING = [name for name in SMALL if "activation" in architecture(name).options() and not name.startswith("lenet")]


@pytest.mark.parametrize("activation", sorted(GAINS))
@pytest.mark.parametrize("name", KAIMING)
def test_initial_convolutions(name: str, activation: str) -> None:
    """Each convolution's mean square weight is gain^2 / fan within 5 standard errors, all together within 1.5 %."""
    torch.manual_seed(0)
    network = convatlas.create(name, activation=activation)
    ratios, sizes = [], []
    for module in network.modules():
        if not isinstance(module, nn.Conv2d):
            continue
        fan = module.kernel_size[0] ** 2 * (module.out_channels if name in FAN_OUT else module.in_channels)
        weight = module.weight.detach().double()
        ratio = weight.square().mean().item() / (GAINS[activation] ** 2 / fan)
        assert abs(ratio - 1) < 5 * math.sqrt(2 / weight.numel())
        ratios.append(ratio)
        sizes.append(weight.numel())
    assert np.average(ratios, weights=sizes) == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize(("activation", "function"), [("gelu", nn.functional.gelu), ("silu", nn.functional.silu)])
def test_gain_is_the_integral(activation: str, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """1 / sqrt(E[f(z)^2]) for z ~ N(0, 1), by the trapezoidal rule."""
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    second_moment = torch.trapezoid(function(z).square() * density, z).item()
    conv = nn.Conv2d(1, 400, 10, bias=False)
    torch.manual_seed(0)
    initialize_kaiming(conv, activation=activation, fan="fan_in")
    assert conv.weight.std().item() * 10 == pytest.approx(1 / math.sqrt(second_moment), rel=0.01)
    assert GAINS[activation] == pytest.approx(1 / math.sqrt(second_moment), rel=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_norms_start_as_the_identity(name: str) -> None:
    for module in convatlas.create(name).modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.eq(1).all()
            assert module.bias.eq(0).all()


@pytest.mark.parametrize(
    ("activation", "kind"),
    [("relu", nn.ReLU), ("leakyrelu", nn.LeakyReLU), ("gelu", nn.GELU), ("silu", nn.SiLU), ("tanh", nn.Tanh)],
)
@pytest.mark.parametrize("name", KAIMING)
def test_activation_option(name: str, activation: str, kind: type[nn.Module]) -> None:
    found = {type(m) for m in convatlas.create(name, activation=activation).modules()}
    assert found & {nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Tanh} == {kind}


# ------------------------------------------------------------------------------------------------------------- blocks


def test_concat_keeps_the_order() -> None:
    images = torch.randn(2, 3, 4, 4)
    joined = Concat(first=nn.Identity(), second=nn.Tanh())(images)
    assert torch.equal(joined, torch.cat([images, images.tanh()], 1))


def test_residual_adds_before_the_activation() -> None:
    images = torch.full((1, 1, 1, 1), -1.0)
    block = Residual(nn.Identity(), shortcut=nn.Identity(), act=nn.ReLU())
    assert block(images).item() == 0
    assert Residual(nn.Identity())(images).item() == -2


def test_a_kernel_of_rows_and_columns_keeps_the_size() -> None:
    conv = ConvNormAct(3, 4, (1, 7)).conv
    assert conv.weight.shape == (4, 3, 1, 7)
    assert conv(torch.zeros(1, 3, 9, 9)).shape == (1, 4, 9, 9)


def test_scale() -> None:
    images = torch.randn(2, 3, 4, 4)
    assert torch.equal(Scale(0.25)(images), images / 4)


def test_stochastic_depth_skips_whole_images_and_keeps_the_mean() -> None:
    """Of 20,000 images a fifth is zeroed as a whole, the others grow by 1 / 0.8; in eval mode nothing happens."""
    torch.manual_seed(0)
    images = torch.rand(20_000, 2, 2, 1) + 1
    block = StochasticDepth(0.2)
    ratios = (block(images) / images).flatten(1)
    assert ratios.std(1).max() < 1e-6
    assert set(ratios[:, 0].round(decimals=4).tolist()) == {0.0, 1.25}
    assert (ratios[:, 0] == 0).double().mean().item() == pytest.approx(0.2, abs=5 * 0.4 / 20_000**0.5)
    assert ratios.mean().item() == pytest.approx(1, abs=5 * 0.5 / 20_000**0.5)
    assert block.eval()(images) is images


@pytest.mark.parametrize("probability", [-0.1, 1.0, float("nan")])
def test_stochastic_depth_takes_a_probability(probability: float) -> None:
    with pytest.raises(UsageError, match="probability"):
        StochasticDepth(probability)


# ------------------------------------------------------------------------------------------------------------ options


def test_class_count_and_channels() -> None:
    network = convatlas.create("densenet_uva", num_classes=100, in_channels=1)
    assert network(torch.randn(2, 1, 32, 32)).shape == (2, 100)


@pytest.mark.parametrize(
    ("name", "options", "params"),
    [
        ("resnet_uva", {"depths": (1, 1, 1), "widths": (8, 16, 32)}, None),
        ("resnet_uva", {"block": "preactivation"}, 272_250),
        ("preact_resnet_uva", {"block": "basic"}, 272_378),
        ("densenet_uva", {"depths": (2, 2), "growth_rate": 8, "bottleneck": 4}, None),
    ],
)
def test_options_change_the_network(name: str, options: dict[str, object], params: int | None) -> None:
    network = convatlas.create(name, **options)
    count = sum(p.numel() for p in network.parameters())
    assert count == params if params else count < 100_000
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet_uva", {"widhts": (16, 32, 64)}, "widths"),
        ("resnet_uva", {"activation": "swish"}, "unknown activation 'swish'.*relu"),
        ("resnet_uva", {"block": "bottleneck"}, "unknown block.*basic"),
        ("resnet_uva", {"depths": (3, 3)}, "one entry for each stage"),
        ("resnet_uva", {"depths": (3, 0, 3)}, "at least 1"),
        ("resnet_uva", {"depths": "3,3,3"}, "must be a tuple"),
        ("densenet_uva", {"growth_rate": 0}, "at least 1"),
        ("densenet_uva", {"growth_rate": 2.5}, "whole number"),
        ("densenet_uva", {"num_classes": 0}, "at least 1"),
        ("densenet_uva", {"in_channels": True}, "at least 1"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)


def test_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean resnet_uva"):
        convatlas.create("resnet_uvaa")


def test_image_too_small() -> None:
    with pytest.raises(UsageError, match="densenet_uva cannot take an image of 3 x 4 x 4"):
        complexity(architecture("densenet_uva"), image_size=4)


# -------------------------------------------------------------------------------------------------- one's own network

OWN = """
from torch import nn

def tiny(*, num_classes=10, in_channels=3, width: int = 8):
    return nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(width, num_classes))

fixed = nn.Linear
notanetwork = 3
"""


def test_own_file(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    row = architecture(f"{path}:tiny")
    check_architecture(row)
    assert row.parse_options({"width": "16"}) == {"width": 16}
    assert row.name == "tiny"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (OWN, "tiyn", "did you mean tiny"),
        (OWN, "notanetwork", "is no Architecture"),
        ("import nothing_of_this_name", "net", "cannot be imported: ModuleNotFoundError"),
        ("def net(:", "net", "cannot be imported: SyntaxError"),
    ],
)
def test_own_file_unusable(tmp_path: Path, content: str, name: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        architecture(f"{path}:{name}")


ODD = """
from __future__ import annotations
from dataclasses import dataclass
from functools import partial
import torch
from torch import nn
from convatlas.architectures.resnet.uva import resnet_uva

@dataclass
class Size:
    width: int = 4

def computed(*, num_classes=10, in_channels=3):
    rates = [x.item() for x in torch.linspace(0, 0.5, 3)]
    return nn.Sequential(nn.Conv2d(in_channels, Size().width, 3), nn.Dropout(rates[1]), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(Size().width, num_classes))

small = partial(resnet_uva, depths=(1, 1, 1))

def forgot(*, num_classes=10, in_channels=3):
    nn.Linear(3, num_classes)

def odd(*, num_classes=10, in_channels=3):
    raise ValueError("width must be even")
"""


@pytest.mark.parametrize("name", ["computed", "small", "resnet_uva"])
def test_own_file_of_every_kind(tmp_path: Path, name: str) -> None:
    """A dataclass with postponed annotations, numbers out of tensors, a partial, an imported builder."""
    path = tmp_path / "own.py"
    path.write_text(ODD)
    check_architecture(architecture(f"{path}:{name}"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("forgot", "own.py:forgot builds a NoneType, not a torch.nn.Module"),
        ("odd", "cannot be built: ValueError: width"),
    ],
)
def test_own_builder_that_fails(tmp_path: Path, name: str, message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(ODD)
    with pytest.raises(UsageError, match=message):
        complexity(architecture(f"{path}:{name}"))


def test_own_file_missing() -> None:
    with pytest.raises(UsageError, match="no file"):
        architecture("nowhere.py:net")


def test_builder_without_class_count(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text("from torch import nn\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n")
    row = architecture(f"{path}:net")
    assert isinstance(row.build(num_classes=10, in_channels=3), nn.Module)
    with pytest.raises(UsageError, match="has no option num_classes: it takes 10, not 7"):
        row.build(num_classes=7)


def test_register_refuses_a_taken_name() -> None:
    with pytest.raises(UsageError, match="registered already"):
        register(architecture("resnet_uva"))


def test_register_refuses_an_unusable_name() -> None:
    with pytest.raises(UsageError, match="letters, digits and underscores"):
        register(Architecture("../evil", builder=nn.Linear))
