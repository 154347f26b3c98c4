"""Inception-v4 and Inception-ResNets: counts, shapes, initial weights, key tables, parity with plain references."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from collections.abc import Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

import convatlas
from convatlas.architecture import Architecture, KeyTable
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.inception.residual import block_a, factorized_block
from convatlas.architectures.meta import without_memory
from convatlas.checks import check_architecture
from convatlas.errors import UsageError
from convatlas.layers import Residual, Scale
from convatlas.weights import checkpoint_of, identify, translate_keys
from references.inception_resnet import FORMS

# ------------------------------------------------------------------------------------------------- counts and shapes

# name: parameters, MACs, pixels, classes, convolutions without and with bias; typed here a second time.
COUNTS = {
    "inception_v4": (42_679_816, 12_253_974_624, 299, 1000, 149, 0),
    "inception_resnet_v1": (22_756_328, 6_206_361_696, 299, 1000, 107, 20),
    "inception_resnet_v1_facenet": (23_995_624, 6_308_235_360, 299, 1000, 111, 21),
    "inception_resnet_v1_cifar_stem": (509_542, 88_415_616, 32, 10, 66, 12),
    "inception_resnet_v2": (55_843_464, 13_155_794_016, 299, 1000, 204, 40),
    "inception_resnet_v2_paper": (32_433_928, 9_257_953_632, 299, 1000, 112, 20),
}


@functools.cache
def meta_network(name: str) -> nn.Module:
    """The whole network without memory for its tensors; not to be changed."""
    return without_memory(architecture(name)).eval()


@functools.cache
def stage_shapes(name: str) -> dict[str, tuple[int, ...]]:
    features = torch.empty(1, 3, COUNTS[name][2], COUNTS[name][2], device="meta")
    shapes = {}
    for stage, module in meta_network(name).named_children():
        features = module(features)
        shapes[stage] = tuple(features.shape[1:])
    return shapes


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name: str) -> None:
    """Each convolution without bias has a batch norm after it, with the release's epsilon."""
    row, network = architecture(name), meta_network(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == COUNTS[name][:4]
    assert sum(p.numel() for p in network.parameters()) == COUNTS[name][0]
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    biased = sum(conv.bias is not None for conv in convolutions)
    assert (len(convolutions) - biased, biased) == COUNTS[name][4:]
    assert [norm.eps for norm in norms] == [1e-3] * COUNTS[name][4]


def test_every_inception_resnet_stands_in_the_table() -> None:
    rows = {name for name in list_architectures() if architecture(name).family == "inception_resnet"}
    assert rows == COUNTS.keys() - {"inception_v4"}


@pytest.mark.parametrize(
    ("name", "channels"),  # of the stages on 35, 35, 17, 17, 8 and 8 pixels
    [
        ("inception_v4", (384, 384, 1024, 1024, 1536, 1536)),
        ("inception_resnet_v1", (256, 256, 896, 896, 1792, 1792)),
        ("inception_resnet_v1_facenet", (256, 256, 896, 896, 1792, 1792)),
        ("inception_resnet_v2", (192, 320, 1088, 1088, 2080, 2080)),
        ("inception_resnet_v2_paper", (384, 384, 1152, 1152, 2144, 2144)),
        ("inception_resnet_v1_cifar_stem", (48, 48, 168, 168, 336, 336)),
    ],
)
def test_stage_shapes(name: str, channels: tuple[int, ...]) -> None:
    grids = (32, 15, 7) if name.endswith("cifar_stem") else (35, 17, 8)
    stages = stage_shapes(name)
    names = ("stem", "stage1", "reduction1", "stage2", "reduction2", "stage3")
    assert [stages[stage] for stage in names] == [
        (width, grid, grid) for width, grid in zip(channels, (g for g in grids for _ in range(2)), strict=True)
    ]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("inception_v4", {}, {"conv1": 149, "conv3": 147, "mixed1": 73, "mixed2": 71, "mixed3": 35}),
        ("inception_resnet_v1", {}, {"conv2": 147, "pool1": 73, "conv4": 73, "conv5": 71, "conv6": 35}),
        ("inception_resnet_v2", {"mixed": 320}, {"conv2": 147, "pool1": 73, "conv5": 71, "pool2": 35}),
    ],
)
def test_shapes_in_the_stem(name: str, before: dict[str, int], after: dict[str, int]) -> None:
    """The sizes that the figures 3 and 14 print; and the module that the release has before its blocks."""
    network, features = meta_network(name), torch.empty(1, 3, 299, 299, device="meta")
    for layer, module in network.get_submodule("stem").named_children():
        features = module(features)
        assert features.shape[-1] == after.get(layer, features.shape[-1]), layer
    assert {stage: stage_shapes(name)[stage] for stage in before} == {
        stage: (width, 35, 35) for stage, width in before.items()
    }


@pytest.mark.parametrize("name", COUNTS)
def test_the_smallest_images(name: str) -> None:
    """As the docstrings say."""
    smallest = 7 if name.endswith("cifar_stem") else 75
    with torch.device("meta"):
        network = architecture(name).build(depths=(1, 1, 1)).eval()
        assert network(torch.empty(1, 3, smallest, smallest)).shape == (1, architecture(name).num_classes)
        with pytest.raises(RuntimeError):
            network(torch.empty(1, 3, smallest - 1, smallest - 1))


def test_published_accuracies() -> None:
    """The single-crop values that TF-slim gives; nobody published the others."""
    published = {name: [result.top1 for result in architecture(name).published] for name in COUNTS}
    assert {name: top1 for name, top1 in published.items() if top1} == {
        "inception_v4": [0.801],
        "inception_resnet_v2": [0.804],
    }


# ------------------------------------------------------------------------------------------------------------ contract


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception_v4", "inception_resnet_v1_facenet"])
def test_contract_of_thinned_networks(name: str) -> None:
    row = architecture(name)
    builder = partial(row.builder, num_classes=10, depths=(1, 1, 1))
    check_architecture(Architecture(f"{name}_thin", builder=builder, image_size=75))


# ---------------------------------------------------------------------------------------------------------- key tables

# The beginning of the sha256 of the names and shapes of each publisher's network with 1,000 classes, sorted, a line
# `name [shape]` each; taken from a network that the publisher's own code built.
LAYOUTS = {
    ("inception_v4", "timm"): "7b98e6d07af66cc7",
    ("inception_v4", "zhulf"): "3d7c49f07aa3e810",
    ("inception_resnet_v2", "timm"): "f9ddd9eadfba7b6b",
    ("inception_resnet_v2", "zhulf"): "766701e51d442ba6",
    ("inception_resnet_v1_facenet", "facenet"): "347970866e16e010",
}


def backwards(state: Mapping[str, Tensor], table: KeyTable) -> dict[str, Tensor]:
    """The keys of which the table makes these; rows without numbers first, as they are exceptions on our side."""
    rows = sorted(((ours or "", theirs) for theirs, ours in table.items()), key=lambda row: "{" in row[0])
    result = {}
    for key, tensor in state.items():
        for place, theirs in rows:
            shift = 1 if "{+1}" in place else 0
            pattern = re.escape(place.replace("{+1}", "{}")).replace(r"\{\}", r"(\d+)")
            if match := re.match(rf"{pattern}(?=\.|$)", key):
                numbers = [int(number) - shift for number in match.groups()]
                result[theirs.format(*numbers) + key[match.end() :]] = tensor
                break
    assert len(result) == len(state)
    return result


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_key_tables(name: str, layout: str) -> None:
    """Read backwards, they give the publisher's names and shapes, all of them; read forwards, ours again."""
    ours = meta_network(name).state_dict()
    tables = architecture(name).layouts[layout]
    assert isinstance(tables, tuple)
    theirs: Mapping[str, Tensor] = ours
    for table in reversed(tables):
        theirs = backwards(theirs, table)
    lines = sorted(f"{key} {list(tensor.shape)}" for key, tensor in theirs.items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == LAYOUTS[name, layout]
    translated = translate_keys(theirs, tables)
    assert all(translated[key] is tensor for key, tensor in ours.items())
    assert translated.keys() == ours.keys()


@pytest.mark.slow
def test_a_file_of_facenet_pytorch() -> None:
    """It is read for as many people as it tells apart; here with fewer blocks."""
    options = {"depths": (1, 1, 6)}
    row = architecture("inception_resnet_v1_facenet")
    network = row.build(num_classes=7, **options)
    tables = row.layouts["facenet"]
    assert isinstance(tables, tuple)
    theirs: Mapping[str, Tensor] = network.state_dict()
    for table in reversed(tables):
        theirs = backwards(theirs, table)
    assert {"repeat_1.0.branch2.2.bn.weight", "block8.conv2d.bias", "last_bn.running_var"} <= theirs.keys()
    found = identify(checkpoint_of(theirs), arch=row.name, options=options)
    assert found.state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in found.state.items())
    assert found.build().get_parameter("head.fc.weight").shape == (7, 512)


# ----------------------------------------------------------------------------------------------------- blocks, options


@pytest.mark.parametrize(
    "block",
    [block_a(16, (8, (8, 12), (8, 8, 4)), scale=0.25), factorized_block(16, (4, (8, 8, 12)), n=7, scale=0.25)],
    ids=["a", "factorized"],
)
def test_scaled_residual(block: Residual) -> None:
    """Section 3.3: the rectified sum of the input and the scaled branch, which ends without norm and activation."""
    torch.manual_seed(0)
    features = torch.randn(2, 16, 5, 5)
    unscaled = block.branch[:-1](features)  # type: ignore[index]
    assert unscaled.min() < 0
    assert torch.allclose(block(features), (features + 0.25 * unscaled).relu(), atol=1e-6)
    block.branch.append(Scale(0.0))  # type: ignore[operator]
    assert torch.equal(block(features), features.relu())


@pytest.mark.parametrize("name", FORMS)
def test_scales_are_options(name: str) -> None:
    with torch.device("meta"):
        network = architecture(name).build(depths=(1, 1, 2), scales=(0.1, 0.2, 0.3))
    factors = [module.factor for module in network.modules() if isinstance(module, Scale)]
    assert factors == [0.1, 0.2, 0.3, 1.0 if name.endswith("facenet") else 0.3]


@pytest.mark.parametrize("name", COUNTS)
def test_dropout(name: str) -> None:
    """Once, before the classifier; the paper keeps 0.8, facenet-pytorch 0.4."""
    probabilities = [(path, m.p) for path, m in meta_network(name).named_modules() if isinstance(m, nn.Dropout)]
    assert probabilities == [("head.dropout", 0.6 if name.endswith("facenet") else 0.2)]


BAD = [
    ({"depths": (1, 1)}, "depths=\\(1, 1\\) must be three"),
    ({"depths": (1, 0, 1)}, "at least 1"),
    ({"dropout": 1.0}, "probability below 1"),
    ({"scales": (0.1, 0.1)}, "scales=\\(0.1, 0.1\\) must be three positive numbers"),
    ({"scales": (0.1, 0.0, 0.1)}, "must be three positive numbers"),
    ({"scales": (0.1, -0.2, 0.1)}, "must be three positive numbers"),
]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    if name == "inception_v4" and "scales" in options:
        message = "unknown option of inception_v4 'scales'"
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)


def test_bad_embedding() -> None:
    with pytest.raises(UsageError, match="embedding=0 must be made of whole numbers"):
        convatlas.create("inception_resnet_v1_facenet", embedding=0)


# ---------------------------------------------------------------------------------------------------- initial weights


def mean_square(weight: Tensor) -> float:
    return weight.detach().double().square().mean().item()


def fans(weight: Tensor) -> tuple[int, int]:
    around = weight[0, 0].numel() if weight.ndim == 4 else 1
    return weight.shape[1] * around, weight.shape[0] * around


@pytest.mark.parametrize("name", COUNTS)
def test_initial_weights(name: str) -> None:
    """TF-slim's: Kaiming normal by fan-in in Inception-v4's convolutions, else Xavier uniform; biases 0.

    The mean square of each layer within 5 standard errors, and the largest weight.
    """
    torch.manual_seed(0)
    network = convatlas.create(name, depths=(1, 1, 1), num_classes=100)
    for path, layer in network.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        fan_in, fan_out = fans(layer.weight)
        if name == "inception_v4" and isinstance(layer, nn.Conv2d):
            variance, excess = 2 / fan_in, 2.0
            assert layer.weight.abs().max() > 2.5 * math.sqrt(variance), path  # not uniform
        else:
            variance, excess = 2 / (fan_in + fan_out), 0.8
            assert layer.weight.abs().max() <= math.sqrt(3 * variance) * (1 + 1e-6), path
        error = math.sqrt(excess / layer.weight.numel())
        assert abs(mean_square(layer.weight) / variance - 1) < 5 * error, path
        assert layer.bias is None or layer.bias.eq(0).all(), path
