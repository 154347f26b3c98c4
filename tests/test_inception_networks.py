"""Inception networks after GoogLeNet: counts, shapes, initial weights, auxiliary heads."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import convatlas
from comparison import randomize
from convatlas.architectures import architecture
from convatlas.architectures.inception import (
    double_3x3,
    expanded_filter_bank,
    factorized,
    grid_reduction,
    inception_double3x3,
    inception_expanded,
    inception_factorized,
)
from convatlas.architectures.inception.blocks import RELU
from convatlas.architectures.inception.v2 import table_stem
from convatlas.architectures.meta import without_memory
from convatlas.checks import check_architecture
from convatlas.complexity import complexity
from convatlas.errors import UsageError
from convatlas.layers import AuxiliaryLogits, Concat, ConvNormAct, InputTransform, total_loss
from convatlas.weights import translate_keys
from counted import Counted
from references.inception import ReferenceBNInception, auxiliary_logits

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, classes, convolutions, batch norms; typed here a second time.
COUNTS = {
    "bn_inception": (11_295_240, 2_032_600_064, 224, 1000, 69, 69),
    "inception_v2": (25_769_544, 6_299_294_304, 299, 1000, 104, 104),
    "inception_v2_aux": (29_095_344, 6_299_294_304, 299, 1000, 106, 104),
    "inception_v3": (23_834_568, 5_713_216_096, 299, 1000, 94, 94),
    "inception_v3_aux": (27_161_264, 5_713_216_096, 299, 1000, 96, 96),
    "inception_v3_cifar_stem": (469_316, 85_035_156, 32, 10, 64, 64),
}


@functools.cache
def on_meta(name: str) -> nn.Module:
    return without_memory(architecture(name))


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(counted: Callable[[str], Counted], name: str) -> None:
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == COUNTS[name][:4]
    assert (row.family, row.paper.year if row.paper else 0) == ("inception", 2015)
    kinds = counted(name).modules
    assert (kinds["Conv2d"], kinds["BatchNorm2d"]) == COUNTS[name][4:]


V3_GRIDS = {
    "stage1": (288, 35, 35),
    "reduction1": (768, 17, 17),
    "stage2": (768, 17, 17),
    "reduction2": (1280, 8, 8),
    "stage3": (2048, 8, 8),
    "head": (1000,),
}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "bn_inception",
            {
                "stem": (192, 28, 28),
                "inception3a": (256, 28, 28),
                "inception3b": (320, 28, 28),
                "inception3c": (576, 14, 14),
                "inception4b": (576, 14, 14),
                "inception4d": (608, 14, 14),
                "inception4e": (1056, 7, 7),
                "inception5b": (1024, 7, 7),
            },
        ),
        ("inception_v2", {"stem": (288, 35, 35), **V3_GRIDS}),
        ("inception_v2_aux", {"stem": (288, 35, 35), **V3_GRIDS}),
        ("inception_v3", {"stem": (192, 35, 35), **V3_GRIDS}),
        ("inception_v3_aux", {"stem": (192, 35, 35), **V3_GRIDS}),
        ("inception_v3_cifar_stem", {"stem": (36, 32, 32), "reduction1": (144, 15, 15), "stage3": (384, 7, 7)}),
    ],
)
def test_stage_shapes(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    stages = {stage.name: stage.shape for stage in counted(name).complexity.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "inception_v3",
            {
                "stem.conv1": (32, 149, 149),
                "stem.conv3": (64, 147, 147),
                "stem.conv4": (80, 73, 73),
                "stem.conv5": (192, 71, 71),
                "stage1.0": (256, 35, 35),
            },
        ),
        (
            "inception_v2",
            {
                "stem.conv2": (32, 147, 147),
                "stem.pool": (64, 73, 73),
                "stem.conv4": (80, 71, 71),
                "stem.conv5": (192, 35, 35),
                "stage1.0": (288, 35, 35),
            },
        ),
    ],
)
def test_layer_shapes(name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """The sizes on the way, which the paper's table 1 and torchvision's comments print."""
    network, found = on_meta(name).eval(), {}

    def note(layer: str) -> Callable[[nn.Module, tuple[Tensor], Tensor], None]:
        return lambda _module, _features, output: found.update({layer: tuple(output.shape[1:])})

    handles = [network.get_submodule(layer).register_forward_hook(note(layer)) for layer in shapes]
    network(torch.zeros(1, 3, 299, 299, device="meta"))
    for handle in handles:
        handle.remove()
    assert found == shapes


def test_stem_of_inception_v2(counted: Callable[[str], Counted]) -> None:
    """One 7x7 convolution, of stride 2 and not padded, instead of three 3x3 ones; the rest is the same network."""
    with torch.device("meta"):
        stems = [table_stem(3, form) for form in ("3x3", "7x7")]
    small, (first, *rest) = (list(stem.children()) for stem in stems)
    assert repr(rest) == repr(small[3:])
    conv = first.get_submodule("conv")
    assert isinstance(conv, nn.Conv2d)
    assert (conv.kernel_size, conv.stride, conv.padding, conv.out_channels) == ((7, 7), (2, 2), (0, 0), 64)
    assert repr(list(first.children())[1:]) == repr(list(small[2].children())[1:])
    factorised, large = counted("inception_v2").complexity, complexity(architecture("inception_v2"), stem="7x7")
    assert [stage.shape for stage in factorised.stages] == [stage.shape for stage in large.stages]
    three = 3 * 32 * 9 + 32 * 32 * 9 + 32 * 64 * 9 + 2 * (32 + 32 + 64)
    assert factorised.params - large.params == three - (3 * 64 * 49 + 2 * 64)
    three_macs = 3 * 32 * 9 * 149**2 + (32 * 32 + 32 * 64) * 9 * 147**2
    assert factorised.macs - large.macs == three_macs - 3 * 64 * 49 * 147**2


@pytest.mark.parametrize(
    ("norm", "params"),
    [("none", 768 * 128 + 128 + 3200 * 768 + 768), ("batch", 768 * 128 + 256 + 3200 * 768 + 2 * 768)],
)
def test_norm_of_the_auxiliary_head(norm: str, params: int) -> None:
    with torch.device("meta"):
        network = architecture("inception_v2_aux").build(auxiliary_norm=norm)
    head = network.get_submodule("auxiliary.stage2")
    assert sum(parameter.numel() for parameter in head.parameters()) == params + 768 * 1000 + 1000


# Accuracies as their sources print them: one crop each.
@pytest.mark.parametrize(
    ("name", "top1"),
    [
        ("bn_inception", (0.748,)),
        ("inception_v3", (0.77294, 0.788, 0.78)),
        ("inception_v3_aux", (0.77294, 0.788, 0.78)),
    ],
)
def test_published_accuracies(name: str, top1: tuple[float, ...]) -> None:
    published = architecture(name).published
    assert tuple(result.top1 for result in published) == top1
    assert {(result.split, result.dataset) for result in published} == {("validation", "imagenet")}
    assert all("one crop" in result.source for result in published)


# ------------------------------------------------------------------------------------------------------------ contract


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pixels"), [("bn_inception", 32), ("inception_v2", 75), ("inception_v3", 75)])
def test_contract_with_the_smallest_images(name: str, pixels: int) -> None:
    check_architecture(dataclasses.replace(architecture(name), image_size=pixels, macs=None))


# ---------------------------------------------------------------------------------------------------- published weights


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3_aux"])
def test_published_weights(name: str) -> None:
    """Normalised with 0.5 and 0.5; to the size that torchvision takes."""
    (weights,) = architecture(name).weights
    assert (weights.mean, weights.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (weights.shorter_side, weights.image_size, weights.interpolation) == (342, 299, "bilinear")
    assert weights.url == "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"
    assert weights.sha256 == "0cc3c7bd"


def test_key_tables_with_and_without_the_head() -> None:
    """The file with the head for both rows; the layout without it only for the row without."""
    whole, without = architecture("inception_v3_aux"), architecture("inception_v3")
    published = {key: torch.ones(1) for key in whole.weights[0].keys}  # type: ignore[union-attr]
    assert {"Conv2d_1a_3x3.bn", "Mixed_6c.branch7x7dbl_5.conv", "AuxLogits.fc", "fc"} <= published.keys()
    with_head = translate_keys(published, whole.weights[0].keys)
    alone = translate_keys(published, without.weights[0].keys)
    assert {key for key in with_head if not key.startswith("auxiliary.")} == set(alone)
    headless = {key: tensor for key, tensor in published.items() if not key.startswith("AuxLogits")}
    with pytest.raises(UsageError, match="1 expected ones are missing, such as 'AuxLogits'"):
        translate_keys(headless, without.weights[0].keys)
    assert translate_keys(headless, without.layouts["torchvision_without_heads"]).keys() == alone.keys()


def test_cadene_layout() -> None:
    """485 tensors; another network's do not pass."""
    keys = architecture("bn_inception").layouts["cadene"]
    state = {name: torch.zeros(()) for name in ReferenceBNInception().state_dict()}
    assert len(state) == len(translate_keys(state, keys)) == 485
    state["inception_3c_1x1.weight"] = torch.zeros(())
    with pytest.raises(UsageError, match="1 keys are unknown, such as 'inception_3c_1x1"):
        translate_keys(state, keys)


# ----------------------------------------------------------------------------------------- blocks, heads and transform

PLAIN = partial(ConvNormAct, bias=True, norm=None, act=RELU)


def convolved(block: nn.Module, path: str, x: Tensor, **options: object) -> Tensor:
    conv = block.get_submodule(f"{path}.conv")
    return F.conv2d(x, conv.weight, conv.bias, **options).clamp(0)  # type: ignore[arg-type]


def features(channels: int, size: int = 9) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(2, channels, size, size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("first", ["row", "column"])
def test_factorized(first: str) -> None:
    """Both orders by hand, with an activation between the two."""
    block = factorized(5, (6, 7), 3, first=first, conv=PLAIN).double()  # type: ignore[arg-type]
    x = features(5)
    padding = {"row": (0, 1), "column": (1, 0)}
    second = "column" if first == "row" else "row"
    by_hand = convolved(block, second, convolved(block, first, x, padding=padding[first]), padding=padding[second])
    assert torch.allclose(block(x), by_hand, rtol=1e-12, atol=1e-12)
    assert by_hand.shape == (2, 7, 9, 9)
    shapes = {name: tuple(child.conv.weight.shape) for name, child in block.named_children()}  # type: ignore[union-attr]
    assert shapes[first][:2] == (6, 5)
    assert (shapes["row"][2:], shapes["column"][2:]) == ((1, 3), (3, 1))


def test_expanded_filter_bank() -> None:
    """Both convolutions see the input, and neither the other."""
    block = expanded_filter_bank(5, 6, conv=PLAIN).double()
    x = features(5)
    by_hand = [convolved(block, "row", x, padding=(0, 1)), convolved(block, "column", x, padding=(1, 0))]
    assert torch.allclose(block(x), torch.cat(by_hand, 1), rtol=1e-12, atol=1e-12)


def test_grid_reduction() -> None:
    """Convolutions and pooling with the same stride on the same input; the pooling is last."""
    block = grid_reduction(
        branch3x3=PLAIN(5, 6, 3, stride=2, padding=0),
        branch_double=double_3x3(5, (4, 4, 3), conv=PLAIN, stride=2, padding=0),
    ).double()
    x = features(5)
    double = convolved(block, "branch_double.conv1", convolved(block, "branch_double.reduce", x), padding=1)
    by_hand = [convolved(block, "branch3x3", x, stride=2), convolved(block, "branch_double.conv2", double, stride=2)]
    pooled = torch.stack([x[:, :, i : i + 7 : 2, j : j + 7 : 2] for i in range(3) for j in range(3)]).amax(0)
    assert torch.allclose(block(x), torch.cat([*by_hand, pooled], 1), rtol=1e-12, atol=1e-12)


def test_modules_are_usable_alone() -> None:
    """In a chain of one's own, with another convolution."""
    chain = nn.Sequential(
        inception_double3x3(8, (8, 4, 8, 4, 8, 8), conv=PLAIN),
        grid_reduction(branch3x3=PLAIN(32, 16, 3, stride=2, padding=0)),
        inception_factorized(48, 8, 12, n=5, conv=PLAIN),
        grid_reduction(branch3x3=PLAIN(48, 16, 3, stride=2, padding=0)),
        inception_expanded(64, (8, 4, 8, 4, 8, 8), conv=PLAIN),
    )
    assert chain(torch.zeros(1, 8, 33, 33)).shape == (1, 48, 7, 7)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in chain.modules())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(factorized, 8, (8, 8), 4), "odd n and first row or column, not widths=\\(8, 8\\), n=4"),
        (partial(factorized, 8, (8, 8), 3, first="both"), "first='both'"),
        (partial(factorized, 8, (8, 8, 8), 3), "has two widths"),
        (partial(factorized, 8, (8, 0), 3), "at least 1"),
        (partial(expanded_filter_bank, 8, 0), "at least 1"),
        (partial(double_3x3, 8, (8, 8, -1)), "at least 1"),
        (grid_reduction, "at least one branch"),
        (partial(inception_double3x3, 8, (8, 8, 8, 8, 8, 0)), "at least 1"),
        (partial(inception_factorized, 8, 0, 8), "at least 1"),
        (partial(inception_expanded, 0, (8, 8, 8, 8, 8, 8)), "at least 1"),
    ],
)
def test_bad_blocks(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "options", "norm"),
    [
        ("inception_v2_aux", {}, "none"),
        ("inception_v2_aux", {"auxiliary_norm": "batch"}, "batch"),
        ("inception_v3_aux", {}, "batch"),
    ],
)
def test_auxiliary_heads(name: str, options: dict[str, object], norm: str) -> None:
    """After the 17x17 grid: its logits by hand; in training beside the network's own, with weight 0.4; not in eval."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = architecture(name).build(num_classes=5, **options)
    for part in ("stem", "stage1", "reduction1", "stage2", "stage3"):  # what is not needed here
        setattr(network, part, nn.Identity())
    network.head.fc = nn.Linear(1280, 5)  # type: ignore[union-attr]
    randomize(network.to_empty(device="cpu")).double()
    x = features(768, 17)
    head = network.get_submodule("auxiliary.stage2")
    for train in (False, True):
        by_hand = auxiliary_logits(head.state_dict(), x, norm=norm, train=train)
        assert torch.allclose(head.train(train)(x), by_hand, rtol=1e-9, atol=1e-12)
    assert network.eval()(x).shape == (2, 5)
    output = network.train()(x)
    assert isinstance(output, AuxiliaryLogits)
    assert torch.allclose(output.auxiliary[0], by_hand, rtol=1e-9, atol=1e-12)
    assert (len(output.auxiliary), output.weight) == (1, 0.4)
    parts = [each.square().sum() for each in (output.logits, *output.auxiliary)]
    assert torch.allclose(total_loss(output, lambda each: each.square().sum()), parts[0] + 0.4 * parts[1])
    output.auxiliary[0].sum().backward()
    gradients = {key for key, parameter in network.named_parameters() if parameter.grad is not None}
    assert gradients == {f"auxiliary.stage2.{key}" for key, _ in head.named_parameters()}


def test_auxiliary_weight_is_an_option() -> None:
    for name in ("inception_v2_aux", "inception_v3_aux"):
        with torch.device("meta"):
            assert architecture(name).build(auxiliary_weight=0.3).weight == 0.3


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3_aux"])
def test_input_transform(name: str) -> None:
    with torch.device("meta"):
        transforming = architecture(name).build(transform_input=True)
    plain = on_meta(name)
    assert next(type(child) for child in transforming.children()) is InputTransform
    assert transforming.state_dict().keys() == plain.state_dict().keys()
    assert not any(isinstance(module, InputTransform) for module in plain.modules())


@pytest.mark.parametrize(
    ("name", "options", "dropouts"),
    [
        ("bn_inception", {}, []),
        ("bn_inception", {"dropout": 0.05}, [0.05]),
        ("inception_v2", {}, []),
        ("inception_v2_aux", {"dropout": 0.2}, [0.2]),
        ("inception_v3", {}, [0.5]),
        ("inception_v3_aux", {}, [0.5]),
        ("inception_v3_cifar_stem", {}, []),
    ],
)
def test_dropout(name: str, options: dict[str, float], dropouts: list[float]) -> None:
    """Before the last linear layer, and nowhere else."""
    with torch.device("meta"):
        network = architecture(name).build(**options) if options else on_meta(name)  # type: ignore[arg-type]
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == dropouts
    if dropouts:
        assert list(dict(network.get_submodule("head").named_children())) == ["pool", "flatten", "dropout", "fc"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bn_inception", {"dropout": 1.0}, "probability below 1"),
        ("inception_v2", {"stem": "5x5"}, "stem"),
        ("inception_v2", {"dropout": -0.1}, "probability below 1"),
        ("inception_v2_aux", {"auxiliary_norm": "layer"}, "norm"),
        ("inception_v2_aux", {"auxiliary_weight": -0.1}, "must not be negative"),
        ("inception_v3", {"transform_input": True, "in_channels": 1}, "for 3 input channels, not 1"),
        ("inception_v3_aux", {"auxiliary_weight": -1.0}, "must not be negative"),
        ("inception_v3_cifar_stem", {"depths": (4, 1, 1)}, "at most \\(3, 4, 2\\)"),
        ("inception_v3_cifar_stem", {"depths": (1, 0, 1)}, "at least 1"),
        ("inception_v3_cifar_stem", {"width": 0.0}, "positive multiple"),
        ("inception_v3_cifar_stem", {"dropout": 1.5}, "probability below 1"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)


def test_width_of_the_small_network() -> None:
    """At width 1 and full depth the release's filters behind another stem; however narrow, 8 filters stay."""
    with torch.device("meta"):
        full = architecture("inception_v3_cifar_stem").build(width=1.0, depths=(3, 4, 2)).state_dict()
        release = architecture("inception_v3").build(num_classes=10).state_dict()
        narrow = architecture("inception_v3_cifar_stem").build(width=0.01)
    shapes, published = (
        {key: tensor.shape for key, tensor in state.items() if not key.startswith("stem")} for state in (full, release)
    )
    assert shapes == published
    assert {module.out_channels for module in narrow.modules() if isinstance(module, nn.Conv2d)} == {8}


# ---------------------------------------------------------------------------------------------------- initial weights


def mean_square(weight: Tensor) -> float:
    return weight.detach().double().square().mean().item()


@pytest.mark.parametrize("name", ["inception_v3_aux", "inception_v3_cifar_stem"])
def test_initial_weights(name: str) -> None:
    """The release's: normal with 0.1, in the last two layers of the auxiliary head 0.01 and 0.001."""
    torch.manual_seed(0)
    network = convatlas.create(name)
    special = {"auxiliary.stage2.conv.conv": 0.01, "auxiliary.stage2.fc": 0.001}
    layers = {key: layer for key, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    assert special.keys() <= layers.keys() or name == "inception_v3_cifar_stem"
    for key, layer in layers.items():
        std = special.get(key, 0.1)
        ratio = mean_square(layer.weight) / std**2
        assert abs(ratio - 1) < 5 * math.sqrt(2 / layer.weight.numel()), key
        if layer.bias is not None:
            assert 0 < layer.bias.abs().max() <= 1 / math.sqrt(layer.weight[0].numel()), key


def test_initial_weights_of_inception_v2() -> None:
    """As the release's; the biases of the head without norm are PyTorch's."""
    torch.manual_seed(0)
    network = convatlas.create("inception_v2_aux", num_classes=10)
    for path, std in (("stem.conv1.conv", 0.1), ("auxiliary.stage2.reduce.conv", 0.1), ("head.fc", 0.1),
                      ("auxiliary.stage2.conv.conv", 0.01), ("auxiliary.stage2.fc", 0.001)):  # fmt: skip
        weight = network.get_parameter(f"{path}.weight")
        assert abs(mean_square(weight) / std**2 - 1) < 5 * math.sqrt(2 / weight.numel()), path
    assert 0 < network.get_parameter("auxiliary.stage2.conv.conv.bias").abs().max() <= 1 / math.sqrt(3200)


def test_initial_weights_of_bn_inception() -> None:
    """PyTorch's: uniform within 1 / sqrt(fan-in)."""
    torch.manual_seed(0)
    for name, layer in convatlas.create("bn_inception").named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            ratio = 3 * mean_square(layer.weight) / bound**2
            assert abs(ratio - 1) < 5 * math.sqrt(0.8 / layer.weight.numel()), name
            assert layer.bias is not None


def test_no_branch_is_shared() -> None:
    """Each branch has its own modules: a parameter has one place."""
    network = on_meta("inception_v3")
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    assert len(names) == len(list(network.parameters()))
    assert all(isinstance(stage, Concat) for stage in network.get_submodule("stage2").children())
