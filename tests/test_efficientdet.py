"""EfficientDets: compound scaling, counts, backbones, pyramid, heads, initial weights, and what refuses a detector.

Parity with effdet is in `test_parity.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

import convatlas
from comparison import randomize
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures, list_facts
from convatlas.architectures.backbones import build_backbone, tapped_stages
from convatlas.architectures.efficientdet.keys import effdet_keys
from convatlas.architectures.efficientdet.network import efficientdet
from convatlas.architectures.efficientdet.pyramid import BiFPNCell, Fusion, HalvingPool, Padding, PyramidForm
from convatlas.architectures.efficientdet.scaling import RELEASED, compound_scaling
from convatlas.architectures.meta import without_memory
from convatlas.checks import ContractError, check_architecture
from convatlas.errors import UsageError
from convatlas.insight.gradient_choices import choices
from convatlas.layers import DetectorOutput, folded
from convatlas.request import Entry, Request, check_words
from convatlas.weights import checkpoint_of, identify
from counted import Counted

# Parameters of TensorFlow's form, parameters without its redundant biases, MACs, pixels; typed here a second time.
PUBLISHED = {
    "d0": (3_880_067, 3_877_763, 2_492_331_520, 512),
    "d1": (6_625_898, 6_622_026, 6_003_416_880, 640),
    "d2": (8_097_039, 8_091_215, 10_832_466_688, 768),
    "d3": (12_032_296, 12_022_376, 24_568_753_664, 896),
    "d4": (20_723_675, 20_707_995, 54_583_712_096, 1024),
    "d5": (33_653_315, 33_633_155, 134_133_865_152, 1280),
    "d6": (51_871_782, 51_841_062, 224_121_477_984, 1280),
    "d7": (51_871_782, 51_841_062, 322_731_636_576, 1536),
    "d7x": (77_147_166, 77_110_302, 407_628_345_344, 1536),
}
# The paper's table: millions of parameters, and billions of MACs.
ROUNDED = {
    "d0": (3.9, 2.54),
    "d1": (6.6, 6.10),
    "d2": (8.1, 11.0),
    "d3": (12.0, 24.9),
    "d4": (20.7, 55.2),
    "d5": (33.7, 130),
    "d6": (51.9, 226),
    "d7": (51.9, 325),
    "d7x": (77.0, 410),
}
THIN: dict[str, Any] = {"width": 8, "cells": 1, "head_layers": 1}
FORM = PyramidForm(8)

# ------------------------------------------------------------------------------------------------------ counts, scaling


def test_every_detector_is_tested_here() -> None:
    rows = {name for name in list_architectures() if architecture(name).task == "detection"}
    assert rows == {f"efficientdet_{name}" for name in (*PUBLISHED, "tiny")}
    assert {row.name for row in list_facts() if row.task == "detection"} == rows


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts(counted: Callable[[str], Counted], name: str) -> None:
    params, without, macs, pixels = PUBLISHED[name]
    found = counted(f"efficientdet_{name}")
    row = architecture(f"efficientdet_{name}")
    assert (row.image_size, row.num_classes) == (pixels, 90)
    assert (found.complexity.params, found.complexity.macs) == (params, macs)
    redundant = {key: shape for key, shape in found.tensors.items() if is_redundant(key)}
    assert sum(map(math.prod, redundant.values())) == params - without
    millions, billions = ROUNDED[name]
    assert params / 1e6 == pytest.approx(millions, abs=0.2)
    assert macs / 1e9 == pytest.approx(billions, rel=0.035)


def is_redundant(key: str) -> bool:
    """Whether a tensor is the bias of a convolution before a norm."""
    return key.endswith(("pointwise.bias", "lateral.conv.bias")) and ".predict." not in key


def test_without_redundant_biases() -> None:
    network = without_memory(architecture("efficientdet_d0"), redundant_bias=False)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED["d0"][1]
    assert not [key for key in network.state_dict() if is_redundant(key)]


@pytest.mark.parametrize(("name", "levels"), [("d0", (64, 32, 16, 8, 4)), ("d7x", (192, 96, 48, 24, 12, 6))])
def test_levels(counted: Callable[[str], Counted], name: str, levels: tuple[int, ...]) -> None:
    stages = {stage.name: stage.shapes for stage in counted(f"efficientdet_{name}").complexity.stages}
    width = RELEASED[name].width
    assert [shape[1:] for shape in stages["backbone"]] == [(side, side) for side in levels[:3]]
    cells = [shapes for stage, shapes in stages.items() if stage.startswith("cell")]
    assert cells == [tuple((width, side, side) for side in levels)] * RELEASED[name].cells
    both = [(channels, side, side) for channels in (9 * 90, 9 * 4) for side in levels]
    assert list(stages["head"]) == both


# phi: the released network, its width, cells and head layers, its pixels; what the formula gives beside it.
@pytest.mark.parametrize(
    ("phi", "released", "formula"),
    [
        (0, (64, 3, 3, 512), (64, 3, 3, 512)),
        (1, (88, 4, 3, 640), (86.4, 4, 3, 640)),
        (2, (112, 5, 3, 768), (116.64, 5, 3, 768)),
        (3, (160, 6, 4, 896), (157.464, 6, 4, 896)),
        (4, (224, 7, 4, 1024), (212.576, 7, 4, 1024)),
        (5, (288, 7, 4, 1280), (286.978, 8, 4, 1152)),
        (6, (384, 8, 5, 1280), (387.42, 9, 5, 1280)),
        (7, (384, 8, 5, 1536), (523.018, 10, 5, 1408)),
    ],
)
def test_scaling(phi: int, released: tuple[int, ...], formula: tuple[float, ...]) -> None:
    assert RELEASED[f"d{phi}"][1:5] == released
    assert RELEASED[f"d{phi}"].backbone == f"tf_efficientnet_b{min(phi, 6)}"
    assert compound_scaling(phi) == formula


def test_scaling_begins_at_zero() -> None:
    with pytest.raises(UsageError, match="phi=-1 must be at least 0"):
        compound_scaling(-1)


# ------------------------------------------------------------------------------------------------------------ backbones


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("tf_efficientnet_b0", {"stage3": 40, "stage5": 112, "stage7": 320}),
        ("efficientnet_lite0", {"stage3": 40, "stage5": 112, "stage7": 320}),
        ("mobilenet_v2", {"stage3": 32, "stage5": 96, "stage7": 320}),
        ("resnet50", {"stage2": 512, "stage3": 1024, "stage4": 2048}),
        ("seresnet50", {"stage2": 512, "stage3": 1024, "stage4": 2048}),
        ("densenet121", {"block2": 512, "block3": 1024, "block4": 1024}),
    ],
)
def test_features_come_from_named_stages(name: str, stages: dict[str, int]) -> None:
    assert tapped_stages(name) == stages


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet_uva", "resnet_uva cannot be a backbone: it has no stages at an 8th, a 16th and a 32nd"),
        ("efficientdet_d0", "efficientdet_d0 cannot be a backbone: it is no chain of stages"),
        ("googlenet_aux", "googlenet_aux cannot be a backbone: it is no chain of stages"),
        ("resnet5", "did you mean .*resnet50"),
    ],
)
def test_other_backbones_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create("efficientdet_tiny", backbone=name)


def test_a_backbone_gives_the_features_of_its_network() -> None:
    """The stages are those of the network, under its names, so that its published weights fit."""
    whole = convatlas.create("efficientnet_lite0").eval()
    backbone = build_backbone("efficientnet_lite0", in_channels=3).eval()
    kept = {key: tensor for key, tensor in whole.state_dict().items() if key.partition(".")[0] not in ("conv", "head")}
    backbone.load_state_dict(kept, strict=True)
    images = torch.randn(2, 3, 64, 64)
    seen: list[Tensor] = []
    for stage in ("stage3", "stage5", "stage7"):
        whole.get_submodule(stage).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.no_grad():
        whole(images)
        levels = backbone(images)
    assert [level.shape[1:] for level in levels] == [(40, 8, 8), (112, 4, 4), (320, 2, 2)]
    assert all(map(torch.equal, levels, seen))


# ---------------------------------------------------------------------------------------------------- pyramid and heads


@pytest.mark.parametrize("padding", ["same", "equal"])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 8), (8, 9), (6, 6)])
def test_pooling_to_half_the_size(padding: Padding, size: tuple[int, int]) -> None:
    """Against the maximum over each window; TensorFlow's windows begin half of all missing pixels before the image."""
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    found = HalvingPool(padding)(image)[0, 0]
    assert found.shape == tuple(math.ceil(n / 2) for n in size)
    before = [((math.ceil(n / 2) - 1) * 2 + 3 - n) // 2 if padding == "same" else 1 for n in size]
    for i, row in enumerate(found):
        for j, value in enumerate(row):
            top, left = 2 * i - before[0], 2 * j - before[1]
            window = image[0, 0, max(0, top) : top + 3, max(0, left) : left + 3]
            assert value == window.max()


def test_fast_normalised_fusion() -> None:
    """Weights below 0 count as 0; the others are divided by their sum plus 1e-4."""
    first, second, third = torch.randn(3, 2, 4, 3, 3)
    fusion = Fusion(3, "fast")
    assert torch.allclose(fusion(first, second, third), (first + second + third) / 3.0001)
    with torch.no_grad():
        fusion.weight.copy_(torch.tensor([0.5, -2.0, 1.5]))
    assert torch.allclose(fusion(first, second, third), (0.5 * first + 1.5 * third) / 2.0001, atol=1e-6)


def test_other_fusions() -> None:
    first, second = torch.randn(2, 2, 4, 3, 3)
    softmax = Fusion(2, "softmax")
    with torch.no_grad():
        softmax.weight.copy_(torch.tensor([0.0, math.log(3.0)]))
    assert torch.allclose(softmax(first, second), 0.25 * first + 0.75 * second)
    total = Fusion(2, "sum")
    assert not list(total.parameters())
    assert torch.equal(total(first, second), first + second)


def test_a_cell_by_its_figure() -> None:
    """Figure 2 (d) of the paper, written out for four levels of odd sizes."""
    torch.manual_seed(0)
    cell = BiFPNCell((6, 8, 8, 8), FORM).double().eval()
    p3, p4, p5, p6 = (torch.randn(1, 6 if side == 13 else 8, side, side).double() for side in (13, 7, 4, 2))

    def node(name: str, *inputs: Tensor) -> Tensor:
        module = cell.get_submodule(name)
        lateral = module.get_submodule("lateral")
        total = sum(each / (len(inputs) + 1e-4) for each in (lateral(inputs[0]), *inputs[1:]))
        assert isinstance(total, Tensor)
        return module.get_submodule("conv")(F.silu(total))  # type: ignore[no-any-return]

    def up(features: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(features, size=like.shape[-2:], mode="nearest")

    pool = HalvingPool("same")
    m5 = node("topdown5", p5, up(p6, p5))
    m4 = node("topdown4", p4, up(m5, p4))
    q3 = node("topdown3", p3, up(m4, p3))
    q4 = node("bottomup4", p4, m4, pool(q3))
    q5 = node("bottomup5", p5, m5, pool(q4))
    q6 = node("bottomup6", p6, pool(q5))
    found = cell((p3, p4, p5, p6))
    assert all(torch.allclose(ours, theirs, rtol=1e-12) for ours, theirs in zip(found, (q3, q4, q5, q6), strict=True))


def test_heads_share_convolutions_and_have_norms_of_their_own() -> None:
    network = without_memory(architecture("efficientdet_d0"))
    for head, channels in (("boxes", 36), ("classes", 810)):
        names = [name for name, _ in network.get_submodule(f"head.{head}").named_parameters()]
        assert sum("depthwise" in name for name in names) == 3 + 1
        norms = {name.rpartition(".")[0] for name in names if name.startswith("norm")}
        assert norms == {f"norm{layer}.level{level}" for layer in (1, 2, 3) for level in range(3, 8)}
        predict = network.get_submodule(f"head.{head}.predict.pointwise")
        assert isinstance(predict, nn.Conv2d)
        assert predict.out_channels == channels


def test_folded_norms_of_the_heads() -> None:
    """Each level has a convolution of its own then; the answers stay, and no norm is left outside the backbone."""
    network = randomize(efficientdet(backbone="mobilenet_v2", num_classes=2, last_level=6, **THIN)).double().eval()
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    quick = folded(network)
    with torch.no_grad():
        ours, theirs = tree_leaves(quick(images)), tree_leaves(network(images))
    assert all(torch.allclose(a, b, rtol=1e-9) for a, b in zip(ours, theirs, strict=True))
    assert not [path for path, module in quick.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert isinstance(network.get_submodule("head.boxes.norm1.level3"), nn.BatchNorm2d)


def test_norms_have_tensorflows_values() -> None:
    network = without_memory(architecture("efficientdet_d0"))
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_initial_weights() -> None:
    """Classes begin with a probability of 0.01; all other biases are 0, and the fusion's weights 1."""
    torch.manual_seed(0)
    network = efficientdet(backbone="mobilenet_v2", width=64, cells=2)
    for name, parameter in network.named_parameters():
        if name == "head.classes.predict.pointwise.bias":
            assert torch.allclose(parameter.sigmoid(), torch.tensor(0.01))
        elif name.endswith("fusion.weight"):
            assert parameter.eq(1).all()
        elif name.endswith("bias") and not name.startswith("backbone."):
            assert parameter.eq(0).all(), name
        elif parameter.ndim == 4 and name.startswith("head."):
            ratio = parameter.double().square().mean().item() * parameter[0].numel()
            assert abs(ratio - 1) < 5 * math.sqrt(2 / parameter.numel()), name
        elif parameter.ndim == 4 and name.startswith("cell2."):
            bound = math.sqrt(6 / 18) if "depthwise" in name else math.sqrt(6 / 128)
            assert 0.95 * bound < parameter.abs().max() <= bound, name


# ------------------------------------------------------------------------------------------------------------- contract


def thin(**changes: Any) -> Architecture:
    row = Architecture("thin", builder=partial(efficientdet, **{**THIN, "backbone": "mobilenet_v2"}))
    settings: dict[str, Any] = {"image_size": 64, "num_classes": 3, "task": "detection"}
    return Architecture(**{**vars(row), **settings, **changes})


def test_contract() -> None:
    check_architecture(thin())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "classification"}, r"ends in an output of shape \(\), not \(3,\)"),
        ({"builder": architecture("mobilenet_v2").builder}, "ends in 0 outputs, not in class logits and box offsets"),
        ({"builder": partial(efficientdet, num_classes=4, backbone="mobilenet_v2", **THIN)}, "for 3 classes"),
    ],
)
def test_contract_notices(changes: dict[str, Any], message: str) -> None:
    row = thin(**changes)
    if "classes" in message and "builder" in changes:
        inner = changes["builder"]
        row = thin(builder=lambda *, num_classes=3, in_channels=3: inner(in_channels=in_channels))
    with pytest.raises(ContractError, match=message):
        check_architecture(row)


@pytest.mark.parametrize(("size", "fusion"), [((96, 128), "fast"), ((100, 72), "softmax"), ((64, 64), "sum")])
def test_images_of_any_size(size: tuple[int, int], fusion: str) -> None:
    network = efficientdet(backbone="mobilenet_v2", num_classes=2, fusion=fusion, last_level=6, **THIN).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        output = network(torch.randn(1, 3, *size))
    assert isinstance(output, DetectorOutput)
    sides = [tuple(math.ceil(n / 2**level) for n in size) for level in (3, 4, 5, 6)]
    assert [level.shape for level in output.logits] == [(1, 18, *side) for side in sides]
    assert [level.shape for level in output.offsets] == [(1, 36, *side) for side in sides]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "width=0 must be made of whole numbers"),
        ({"cells": 0}, "cells=0"),
        ({"last_level": 5}, "last_level=5 must be 6, 7, 8 or 9"),
        ({"fusion": "slow"}, "fusion"),
        ({"padding": "valid"}, "padding"),
        ({"levels": 5}, "unknown option"),
        ({"anchors": 3}, "unknown option"),  # boxes are made of nine
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        architecture("efficientdet_tiny").build(**options)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def test_checkpoints_are_known_by_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and effdet's, with another number of classes than the published one."""
    few = ["efficientdet_d0", "efficientdet_tiny", "efficientnet_lite0", "mobilenet_v2"]
    monkeypatch.setattr("convatlas.weights.fitting.list_architectures", lambda: few)
    state = convatlas.create("efficientdet_d0", num_classes=3).state_dict()
    found = identify(checkpoint_of(state))
    assert (found.architecture.name, found.num_classes, found.in_channels) == ("efficientdet_d0", 3, 3)
    with pytest.raises(UsageError, match="is of another network than efficientdet_d1"):
        identify(checkpoint_of(state), arch="efficientdet_d1")


def test_key_tables_differ_by_fusion_and_levels() -> None:
    fast, plain = effdet_keys(), effdet_keys(fusion="sum")
    assert len(fast) - len(plain) == 8
    assert fast["fpn.cell.{}.fnode.4.combine.edge_weights"] == "cell{+1}.bottomup4.fusion.weight"
    assert effdet_keys(last_level=8)["fpn.cell.{}.fnode.4.after_combine.conv.bn"] == "cell{+1}.topdown3.conv.norm"
    tables = {name: architecture(f"efficientdet_{name}").layouts["effdet"] for name in RELEASED}
    assert [name for name, table in tables.items() if table == fast] == ["d0", "d1", "d2", "d3", "d4", "d5"]


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "ask",
    [
        lambda: check_words(Request((Entry("efficientdet_d0"),))),
        lambda: choices(["efficientdet_d0"], norms=["own"], initialisations=["own"], options={}),
    ],
)
def test_a_detector_is_refused_where_classifiers_are_taken(ask: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match="efficientdet_d0 is a detector, and"):
        ask()
