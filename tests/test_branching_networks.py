"""GoogLeNets and ImageNet-size DenseNets: counts, shapes, initial weights, auxiliary heads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from comparison import randomize, run
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.densenet.cifar import densenet_cifar
from convatlas.architectures.densenet.imagenet import densenet
from convatlas.architectures.densenet.teaching import densenet_textbook
from convatlas.architectures.googlenet.blocks import naive_inception
from convatlas.checks import check_architecture
from convatlas.complexity import complexity
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryHeads, AuxiliaryLogits, InputTransform, total_loss
from convatlas.weights import load_strictly, translate_keys
from counted import Counted

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, classes, convolutions, batch norms; typed here a second time.
COUNTS = {
    "googlenet_original": (6_998_552, 1_582_671_872, 224, 1000, 57, 0),
    "googlenet_original_aux": (13_378_280, 1_582_671_872, 224, 1000, 59, 0),
    "googlenet": (6_624_904, 1_498_376_192, 224, 1000, 57, 57),
    "googlenet_aux": (13_004_888, 1_498_376_192, 224, 1000, 59, 59),
    "googlenet_textbook": (5_983_802, 290_516_992, 96, 10, 57, 0),
    "googlenet_cifar": (6_166_250, 1_521_756_160, 32, 10, 64, 64),
    "densenet121": (7_978_856, 2_834_161_664, 224, 1000, 120, 121),
    "densenet161": (28_681_000, 7_727_907_072, 224, 1000, 160, 161),
    "densenet169": (14_149_480, 3_359_843_328, 224, 1000, 168, 169),
    "densenet201": (20_013_928, 4_291_365_888, 224, 1000, 200, 201),
    "densenet264": (33_337_704, 5_751_653_376, 224, 1000, 264, 265),
    "densenet_100_12": (6_979_642, 1_769_516_448, 32, 10, 99, 99),
    "densenet_100_24": (27_249_082, 6_889_347_744, 32, 10, 99, 99),
    "densenet_40_12_init24": (1_059_298, 282_917_328, 32, 10, 39, 39),
    "densenet_textbook": (764_498, 781_418_416, 224, 10, 20, 21),
    "densenet121_cifar": (6_956_298, 888_350_720, 32, 10, 120, 120),
}


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == COUNTS[name][:4]
    network = counted(name)
    found = (network.parameters, network.modules["Conv2d"], network.modules["BatchNorm2d"])
    assert found == (COUNTS[name][0], *COUNTS[name][4:])


def test_every_googlenet_stands_in_the_table() -> None:
    rows = {name for name in list_architectures() if architecture(name).family == "googlenet"}
    assert rows - {"googlenet_uva"} == {name for name in COUNTS if name.startswith("googlenet")}


GOOGLENET = {
    "stem": (192, 28, 28),
    "inception3a": (256, 28, 28),
    "inception3b": (480, 28, 28),
    "inception4a": (512, 14, 14),
    "inception4d": (528, 14, 14),
    "inception4e": (832, 14, 14),
    "pool4": (832, 7, 7),
    "inception5b": (1024, 7, 7),
    "head": (1000,),
}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("googlenet_original", GOOGLENET),
        ("googlenet_original_aux", GOOGLENET),
        ("googlenet", GOOGLENET),
        ("googlenet_aux", GOOGLENET),
        (
            "googlenet_textbook",
            {"stem": (192, 12, 12), "inception3b": (480, 12, 12), "pool3": (480, 6, 6), "pool4": (832, 3, 3)},
        ),
        (
            "googlenet_cifar",
            {"stem": (192, 32, 32), "inception3b": (480, 32, 32), "pool3": (480, 16, 16), "inception5b": (1024, 8, 8)},
        ),
        (
            "densenet121",
            {"stem": (64, 56, 56), "block1": (256, 56, 56), "transition1": (128, 28, 28), "block4": (1024, 7, 7)},
        ),
        ("densenet161", {"stem": (96, 56, 56), "block3": (2112, 14, 14), "norm": (2208, 7, 7)}),
        ("densenet169", {"block3": (1280, 14, 14), "transition3": (640, 7, 7), "block4": (1664, 7, 7)}),
        ("densenet201", {"block3": (1792, 14, 14), "transition3": (896, 7, 7), "block4": (1920, 7, 7)}),
        ("densenet264", {"block3": (2304, 14, 14), "transition3": (1152, 7, 7), "block4": (2688, 7, 7)}),
        ("densenet_100_12", {"block1": (400, 32, 32), "transition2": (784, 8, 8), "block3": (1168, 8, 8)}),
        ("densenet_100_24", {"block1": (784, 32, 32), "transition2": (1552, 8, 8), "block3": (2320, 8, 8)}),
        ("densenet_40_12_init24", {"stem": (24, 32, 32), "block1": (168, 32, 32), "block3": (456, 8, 8)}),
        (
            "densenet_textbook",
            {"stem": (64, 56, 56), "block1": (192, 56, 56), "transition1": (96, 28, 28), "block4": (248, 7, 7)},
        ),
        (
            "densenet121_cifar",
            {"stem": (64, 32, 32), "block1": (256, 32, 32), "block3": (1024, 8, 8), "block4": (1024, 4, 4)},
        ),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes


# Accuracies as their sources print them.
@pytest.mark.parametrize(
    ("name", "dataset", "top1"),
    [
        ("googlenet", "imagenet", (0.69778,)),
        ("googlenet_aux", "imagenet", (0.69778,)),
        ("googlenet_textbook", "cifar10", (0.6863,)),
        ("densenet121", "imagenet", (0.75, 0.74434)),
        ("densenet161", "imagenet", (0.778, 0.77138)),
        ("densenet169", "imagenet", (0.764, 0.756)),
        ("densenet201", "imagenet", (0.775, 0.76896)),
        ("densenet264", "imagenet", (0.779,)),
        ("densenet_100_12", "cifar10", (0.959,)),
        ("densenet_100_12", "cifar100", (0.798,)),
        ("densenet_100_24", "cifar10", (0.9626,)),
        ("densenet_100_24", "cifar100", (0.8075,)),
        ("densenet_textbook", "cifar10", (0.7458,)),
        ("densenet121_cifar", "cifar10", (0.9504,)),
    ],
)
def test_published_accuracies(name: str, dataset: str, top1: tuple[float, ...]) -> None:
    assert tuple(result.top1 for result in architecture(name).published if result.dataset == dataset) == top1


# ------------------------------------------------------------------------------------------------------------ contract

SMALLER = {
    "googlenet_original": dataclasses.replace(architecture("googlenet_original"), image_size=64, macs=None),
    "googlenet_aux": dataclasses.replace(architecture("googlenet_aux"), image_size=64, macs=None),
    "googlenet_textbook": dataclasses.replace(architecture("googlenet_textbook"), image_size=48, macs=None),
    "googlenet_cifar": dataclasses.replace(architecture("googlenet_cifar"), image_size=16, macs=None),
    "densenet": Architecture("densenet_thin", builder=partial(densenet, num_classes=10, depths=(2, 1), dropout=0.2)),
    "densenet_textbook": Architecture("densenet_thin_textbook", builder=partial(densenet_textbook, depths=(2, 1, 1))),
    "densenet_new_first": Architecture(
        "densenet_thin_new_first", builder=partial(densenet_cifar, depths=(2, 2), layer="bottleneck_new_first")
    ),
}


@pytest.mark.parametrize("name", SMALLER)
def test_contract_with_smaller_images(name: str) -> None:
    check_architecture(SMALLER[name])


@pytest.mark.slow
def test_contract_of_the_original_with_heads() -> None:
    check_architecture(architecture("googlenet_original_aux"))


# ---------------------------------------------------------------------------------------------------- published weights


def test_googlenet_without_the_heads_of_the_published_file() -> None:
    """Both rows read the published file; the logits are the same, and the layout without heads is another."""
    whole, without = architecture("googlenet_aux"), architecture("googlenet")
    network = randomize(whole.build(num_classes=10)).double()
    places = {place: key for key, place in whole.weights[0].keys.items() if place}  # type: ignore[union-attr]

    def theirs(key: str) -> str:
        place = next(place for place in places if key.startswith(place + "."))
        return places[place] + key.removeprefix(place)

    published = {theirs(key): tensor for key, tensor in network.state_dict().items()}
    assert {"conv1.conv.weight", "inception4e.branch2.1.bn.bias", "aux2.fc2.bias", "fc.weight"} <= published.keys()
    alone = without.build(num_classes=10).double()
    load_strictly(alone, translate_keys(published, without.weights[0].keys))
    batch = torch.randn(2, 3, 80, 80, dtype=torch.float64)
    assert torch.equal(run(network, batch, train=False)[0], run(alone, batch, train=False)[0])
    headless = {key: tensor for key, tensor in published.items() if not key.startswith("aux")}
    with pytest.raises(UsageError, match="2 expected ones are missing, such as 'aux1'"):
        translate_keys(headless, without.weights[0].keys)
    load_strictly(alone, translate_keys(headless, without.layouts["torchvision_without_heads"]))


@pytest.mark.parametrize("name", ["googlenet", "googlenet_aux"])
def test_published_googlenet_is_normalised_with_a_half(name: str) -> None:
    (weights,) = architecture(name).weights
    assert (weights.mean, weights.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert weights.url.endswith("/googlenet-1378be20.pth")
    assert weights.sha256 == "1378be20"


@pytest.mark.parametrize("dot", [".", ""], ids=["file", "code"])
def test_densenet_key_tables(dot: str) -> None:
    """The names of the published files, `norm.1`, and those of torchvision's and timm's code, `norm1`."""
    row = architecture("densenet121")
    with torch.device("meta"):
        network = row.build()
    published = {
        "features.conv0.weight": network.get_parameter("stem.conv.conv.weight"),
        "features.norm0.weight": network.get_parameter("stem.conv.norm.weight"),
        f"features.denseblock2.denselayer12.norm{dot}1.weight": network.get_parameter(
            "block2.11.new.conv1.norm.weight"
        ),
        f"features.denseblock2.denselayer12.conv{dot}2.weight": network.get_parameter(
            "block2.11.new.conv2.conv.weight"
        ),
        "features.transition3.norm.bias": network.get_parameter("transition3.conv.norm.bias"),
        "features.transition3.conv.weight": network.get_parameter("transition3.conv.conv.weight"),
        "features.norm5.bias": network.get_parameter("norm.bias"),
        "classifier.bias": network.get_parameter("head.fc.bias"),
    }
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    right, wrong = (row.weights[0].keys, row.layouts["torchvision"])[:: 1 if dot else -1]
    for key, parameter in translate_keys(published, right).items():
        assert names[id(parameter)] == key
    with pytest.raises(UsageError, match="2 keys are unknown"):
        translate_keys(published, wrong)


# ----------------------------------------------------------------------------------------- blocks, heads and transform


def test_naive_inception() -> None:
    """Figure 2 (a): the branches side by side, the pooled input unchanged in number of channels behind them."""
    block = naive_inception(6, (2, 3, 4)).double()
    batch = torch.randn(2, 6, 7, 7, dtype=torch.float64)
    convolved = [
        F.relu(
            F.conv2d(
                batch, block.get_parameter(f"{name}.conv.weight"), block.get_parameter(f"{name}.conv.bias"), 1, around
            )
        )
        for name, around in (("branch1x1", 0), ("branch3x3", 1), ("branch5x5", 2))
    ]
    padded = F.pad(batch, (1, 1, 1, 1), value=-math.inf)
    pooled = torch.stack([padded[:, :, i : i + 7, j : j + 7] for i in range(3) for j in range(3)]).amax(0)
    assert torch.allclose(block(batch), torch.cat([*convolved, pooled], 1), rtol=1e-12, atol=1e-12)
    assert block(batch).shape == (2, 2 + 3 + 4 + 6, 7, 7)
    assert [child.weight.shape[2:] for child in block.modules() if isinstance(child, nn.Conv2d)] == [
        (1, 1),
        (3, 3),
        (5, 5),
    ]


def test_naive_inception_grows_in_a_chain() -> None:
    chain = nn.Sequential(naive_inception(8, (4, 4, 4)), naive_inception(20, (4, 4, 4)))
    assert chain(torch.zeros(1, 8, 5, 5)).shape == (1, 32, 5, 5)
    with pytest.raises(UsageError, match="widths=\\(4, 0, 4\\) must be made of whole numbers"):
        naive_inception(8, (4, 0, 4))


@pytest.mark.parametrize(("name", "pixels"), [("googlenet_aux", 48), ("googlenet_original_aux", 224)])
def test_auxiliary_heads(name: str, pixels: int) -> None:
    """Extra logits with a weight of 0.3 in training; their losses reach the heads and the layers below, not above."""
    network = convatlas.create(name, num_classes=5)
    batch = torch.randn(2, 3, pixels, pixels)
    plain = network.eval()(batch)
    assert isinstance(plain, Tensor)
    assert plain.shape == (2, 5)
    output = network.train()(batch)
    assert isinstance(output, AuxiliaryLogits)
    assert output.weight == 0.3
    assert [each.shape for each in (output.logits, *output.auxiliary)] == [(2, 5)] * 3
    parts = [each.square().sum() for each in (output.logits, *output.auxiliary)]
    total = total_loss(output, lambda logits: logits.square().sum())
    assert torch.allclose(total, parts[0] + 0.3 * parts[1] + 0.3 * parts[2])
    total_loss(output._replace(logits=plain.detach()), lambda logits: logits.square().sum()).backward()
    gradients = {key: parameter.grad is not None for key, parameter in network.named_parameters()}
    after = ("inception4e", "inception5a", "inception5b", "head")
    assert {key for key, found in gradients.items() if not found} == {key for key in gradients if key.startswith(after)}
    assert network.get_parameter("auxiliary.inception4d.fc.bias").grad.abs().max() > 0


@pytest.mark.slow
def test_auxiliary_weight_is_an_option() -> None:
    assert convatlas.create("googlenet_aux", auxiliary_weight=0.1).weight == 0.1


def test_a_head_needs_its_stage() -> None:
    with pytest.raises(UsageError, match="unknown stage with an auxiliary head 'stem2'; did you mean stem"):
        AuxiliaryHeads({"stem": nn.Identity()}, heads={"stem2": nn.Identity()}, weight=0.3)


@pytest.mark.parametrize("name", ["googlenet", "googlenet_aux"])
def test_input_transform(name: str) -> None:
    """From ImageNet's normalisation to that with 0.5, by hand: undo the one, apply the other."""
    network = randomize(convatlas.create(name, num_classes=10)).double()
    transforming = convatlas.create(name, num_classes=10, transform_input=True).double()
    transforming.load_state_dict(network.state_dict(), strict=True)
    assert next(type(child) for child in transforming.children()) is InputTransform
    pixels = torch.rand(2, 3, 48, 48, dtype=torch.float64)
    mean, std = torch.tensor([(0.485, 0.456, 0.406), (0.229, 0.224, 0.225)], dtype=torch.float64)[:, :, None, None]
    by_hand, found = (
        run(each, batch, train=False)[0]
        for each, batch in ((network, (pixels - 0.5) / 0.5), (transforming, (pixels - mean) / std))
    )
    assert torch.allclose(by_hand, found, rtol=1e-9, atol=1e-12)


def test_densenet_b() -> None:
    """Bottlenecks without compression: transitions keep all channels; the count by hand."""
    row = architecture("densenet_100_12")
    options = {"layer": "bottleneck", "depths": (16, 16, 16)}
    counted = complexity(row, **options)
    shapes = {stage.name: stage.shape for stage in counted.stages}
    assert (shapes["block1"], shapes["transition1"]) == ((208, 32, 32), (208, 16, 16))
    assert (shapes["block2"], shapes["transition2"], shapes["block3"]) == ((400, 16, 16), (400, 8, 8), (592, 8, 8))
    layers = sum(2 * c + 48 * c + 2 * 48 + 9 * 48 * 12 for c in range(16, 592, 12))
    transitions = sum(2 * c + c * c for c in (208, 400))
    assert counted.params == 27 * 16 + layers + transitions + 2 * 592 + 592 * 10 + 10
    check_architecture(Architecture("densenet_b", builder=partial(densenet_cifar, depths=(2, 2), compression=1.0)))


@pytest.mark.parametrize(
    ("name", "options", "count"),
    [
        ("densenet121", {}, 0),
        ("densenet121", {"dropout": 0.2}, 2 * 58 + 3),  # after every convolution but the stem's
        ("densenet121_cifar", {"dropout": 0.2}, 2 * 58 + 3),
        ("googlenet_original", {}, 1),
        ("googlenet_aux", {}, 3),
        ("googlenet_textbook", {}, 0),
        ("googlenet_cifar", {}, 0),
    ],
)
def test_dropout(name: str, options: dict[str, float], count: int) -> None:
    with torch.device("meta"):
        network = architecture(name).build(**options)  # type: ignore[arg-type]
    assert sum(isinstance(module, nn.Dropout) for module in network.modules()) == count


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("googlenet", {"transform_input": True, "in_channels": 1}, "for 3 input channels, not 1"),
        ("googlenet", {"dropout": 1.0}, "probability below 1"),
        ("googlenet_aux", {"auxiliary_weight": -0.1}, "must not be negative"),
        ("googlenet_original_aux", {"auxiliary_dropout": 1.5}, "probability below 1"),
        ("densenet121", {"dropout": -0.1}, "probability below 1"),
        ("densenet121", {"compression": 1.1}, "at most 1"),
        ("densenet121", {"depths": ()}, "at least 1"),
        ("densenet121", {"activation": "swish"}, "unknown activation"),
        ("densenet_textbook", {"growth_rate": 0}, "at least 1"),
        ("densenet121_cifar", {"layer": "new_first"}, "unknown layer.*bottleneck_new_first"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)


# ---------------------------------------------------------------------------------------------------- initial weights


def layers_of(network: nn.Module) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def check_uniform(weight: Tensor, bound: float) -> None:
    """Within the bound, near it, and with its mean square within 5 standard errors."""
    values = weight.detach().double()
    assert values.abs().max() <= bound * (1 + 1e-6)
    ratio = values.square().mean().item() * 3 / bound**2
    assert abs(ratio - 1) < 5 * math.sqrt(0.8 / values.numel())  # E[u^4] / E[u^2]^2 - 1 = 0.8


def check_normal(weight: Tensor, std: float) -> None:
    values = weight.detach().double()
    ratio = values.square().mean().item() / std**2
    assert abs(ratio - 1) < 5 * math.sqrt(2 / values.numel())
    assert values.abs().max() > 2.5 * std  # not uniform


def fans(weight: Tensor) -> tuple[int, int]:
    around = weight[0, 0].numel() if weight.ndim == 4 else 1
    return weight.shape[1] * around, weight.shape[0] * around


def test_initial_weights_of_the_original() -> None:
    """Caffe's: uniform within sqrt(3 / fan-in), biases 0.2, the classifiers' 0."""
    torch.manual_seed(0)
    network = convatlas.create("googlenet_original_aux")
    for name, layer in layers_of(network):
        check_uniform(layer.weight, math.sqrt(3 / fans(layer.weight)[0]))
        classifies = layer.weight.shape[0] == 1000
        assert layer.bias is not None
        assert layer.bias.eq(torch.tensor(0.0 if classifies else 0.2)).all(), name


def test_initial_weights_of_the_published_form() -> None:
    """torchvision's: normal with 0.01, linear biases PyTorch's."""
    torch.manual_seed(0)
    network = convatlas.create("googlenet_aux")
    for name, layer in layers_of(network):
        check_normal(layer.weight, 0.01)
        if isinstance(layer, nn.Linear):
            assert 0 < layer.bias.abs().max() <= 1 / math.sqrt(layer.in_features), name
    assert all(m.eps == 1e-3 for m in network.modules() if isinstance(m, nn.BatchNorm2d))


@pytest.mark.parametrize("name", ["googlenet_textbook", "densenet_textbook"])
def test_initial_weights_of_the_textbook(name: str) -> None:
    """Xavier uniform, biases PyTorch's."""
    torch.manual_seed(0)
    for layer_name, layer in layers_of(convatlas.create(name)):
        fan_in, fan_out = fans(layer.weight)
        check_uniform(layer.weight, math.sqrt(6 / (fan_in + fan_out)))
        assert layer.bias is not None
        assert 0 < layer.bias.abs().max() <= 1 / math.sqrt(fan_in), layer_name


def test_initial_weights_of_googlenet_cifar() -> None:
    torch.manual_seed(0)
    for _, layer in layers_of(convatlas.create("googlenet_cifar")):
        check_uniform(layer.weight, 1 / math.sqrt(fans(layer.weight)[0]))


@pytest.mark.parametrize("name", ["densenet121", "densenet121_cifar"])
def test_initial_weights_of_densenet(name: str) -> None:
    """The authors': Kaiming normal by fan-out; the linear layer uniform, its bias 0."""
    torch.manual_seed(0)
    network = convatlas.create(name)
    for layer_name, layer in layers_of(network):
        if isinstance(layer, nn.Conv2d):
            check_normal(layer.weight, math.sqrt(2 / fans(layer.weight)[1]))
            assert layer.bias is None
        else:
            check_uniform(layer.weight, 1 / math.sqrt(layer.in_features))
            assert layer.bias.eq(0).all(), layer_name
