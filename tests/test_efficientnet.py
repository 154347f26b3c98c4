"""EfficientNets: compound scaling, counts, padding, stochastic depth, initial weights, parity with a reference."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn

import convatlas
from comparison import randomize
from convatlas.architectures import architecture, list_architectures
from convatlas.architectures.efficientnet.blocks import TABLE_1, same_conv
from convatlas.architectures.efficientnet.keys import TIMM_KEYS
from convatlas.architectures.efficientnet.scaling import (
    RELEASED,
    compound_scaling,
    scaled_depth,
    scaled_rows,
    scaled_width,
)
from convatlas.architectures.meta import without_memory
from convatlas.errors import UsageError
from convatlas.layers import InvertedRow, Residual, SamePadding, StochasticDepth, inverted_residual
from convatlas.weights import checkpoint_of, identify, translate_keys
from counted import Counted
from references.mobile import ReferenceEfficientNet

# --------------------------------------------------------------------------------------------------- counts and scaling

# Parameters, MACs, pixels, dropout, and the factors of width and depth; typed here a second time.
PUBLISHED = {
    "b0": (5_288_548, 385_814_752, 224, 0.2, 1.0, 1.0),
    "b1": (7_794_184, 686_802_832, 240, 0.2, 1.0, 1.1),
    "b2": (9_109_994, 993_561_872, 260, 0.3, 1.1, 1.2),
    "b3": (12_233_232, 1_827_141_392, 300, 0.3, 1.2, 1.4),
    "b4": (19_341_616, 4_393_771_024, 380, 0.4, 1.4, 1.8),
    "b5": (30_389_784, 10_266_384_752, 456, 0.4, 1.6, 2.2),
    "b6": (43_040_704, 19_067_593_536, 528, 0.5, 1.8, 2.6),
    "b7": (66_347_960, 37_745_884_192, 600, 0.5, 2.0, 3.1),
    "l2": (480_309_308, 475_703_653_280, 800, 0.5, 4.3, 5.3),
}
PYTORCH = {f"efficientnet_{name}": name for name in PUBLISHED if name != "l2"}
TENSORFLOW = {f"tf_efficientnet_{name}": name for name in PUBLISHED}
ROWS = PYTORCH | TENSORFLOW
# Parameters, MACs, pixels, dropout, and the factors of width and depth of the Lite form.
LITE = {
    "lite0": (4_652_008, 385_187_552, 224, 0.2, 1.0, 1.0),
    "lite1": (5_416_680, 600_185_232, 240, 0.2, 1.0, 1.1),
    "lite2": (6_092_072, 859_736_272, 260, 0.3, 1.1, 1.2),
    "lite3": (8_197_096, 1_383_321_872, 280, 0.3, 1.2, 1.4),
    "lite4": (13_006_568, 2_553_034_336, 300, 0.3, 1.4, 1.8),
}
PYTORCH_NORM, TENSORFLOW_NORM = (1e-5, 0.1), (1e-3, 0.01)  # epsilon and momentum


def test_every_efficientnet_is_tested_here() -> None:
    rows = {name for name in list_architectures() if architecture(name).family == "efficientnet"}
    assert rows == {*ROWS, *(f"efficientnet_{name}" for name in LITE), "efficientnet_b0_cifar"}


def counts_by_hand(
    rows: tuple[InvertedRow, ...], *, stem: int, last: int, pixels: int, gates: bool = True
) -> tuple[int, int]:
    """Parameters and MACs of a table, added up layer by layer; no network is built."""
    size = math.ceil(pixels / 2)
    params, macs = 27 * stem + 2 * stem, 27 * stem * size**2
    channels = stem
    for row in rows:
        for block in range(row.depth):
            inner = row.expansion * channels
            squeezed = channels // 4
            if row.expansion > 1:
                params += channels * inner + 2 * inner
                macs += channels * inner * size**2
            size = math.ceil(size / row.stride) if block == 0 else size
            params += row.kernel**2 * inner + 2 * inner
            macs += row.kernel**2 * inner * size**2
            if gates:
                params += 2 * inner * squeezed + squeezed + inner
                macs += 2 * inner * squeezed
            params += inner * row.width + 2 * row.width
            macs += inner * row.width * size**2
            channels = row.width
    params += channels * last + 2 * last + last * 1000 + 1000
    macs += channels * last * size**2 + last * 1000
    return params, macs


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_baseline_scaled_gives_the_published_counts(name: str) -> None:
    """The released coefficients, applied to the table of B0."""
    params, macs, pixels, dropout, width, depth = PUBLISHED[name]
    assert RELEASED[name] == (width, depth, pixels, dropout)
    rows = scaled_rows(TABLE_1, width=width, depth=depth)
    stem, last = scaled_width(32, width), scaled_width(1280, width)
    assert counts_by_hand(rows, stem=stem, last=last, pixels=pixels) == (params, macs)


@pytest.mark.parametrize("name", LITE)
def test_lite_scales_neither_the_stem_nor_the_last_convolution(counted: Callable[[str], Counted], name: str) -> None:
    """The release's README gives 4.7, 5.4, 6.1, 8.2 and 13.0 million parameters."""
    params, macs, pixels, dropout, width, depth = LITE[name]
    rows = list(scaled_rows(TABLE_1, width=width, depth=depth))
    rows[0], rows[-1] = rows[0]._replace(depth=1), rows[-1]._replace(depth=1)
    assert counts_by_hand(tuple(rows), stem=32, last=1280, pixels=pixels, gates=False) == (params, macs)
    row = architecture(f"efficientnet_{name}")
    assert (row.params, row.macs, row.image_size, row.num_classes) == (params, macs, pixels, 1000)
    assert counted(row.name).parameters == params
    network = without_memory(row)
    assert network.get_submodule("head.dropout").p == dropout
    assert {(m.eps, m.momentum) for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {TENSORFLOW_NORM}
    assert not [m for m in network.modules() if isinstance(m, nn.SiLU | nn.ReLU)]


@pytest.mark.parametrize("name", ROWS)
def test_published_counts_and_norms(counted: Callable[[str], Counted], name: str) -> None:
    """The norms of torchvision's are PyTorch's up to B4; all others are TensorFlow's."""
    params, macs, pixels, dropout, width, _ = PUBLISHED[ROWS[name]]
    row = architecture(name)
    assert (row.params, row.macs, row.image_size, row.num_classes) == (params, macs, pixels, 1000)
    assert counted(name).parameters == params
    network = without_memory(row)
    assert network.get_submodule("head.dropout").p == dropout
    assert network.get_submodule("stem.conv").out_channels == scaled_width(32, width)
    norms = {(m.eps, m.momentum) for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms == {PYTORCH_NORM if name in PYTORCH and name[-1] in "01234" else TENSORFLOW_NORM}


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        (
            "efficientnet_b0",
            {
                "stem": (32, 112, 112),
                "stage1": (16, 112, 112),
                "stage2": (24, 56, 56),
                "stage3": (40, 28, 28),
                "stage4": (80, 14, 14),
                "stage5": (112, 14, 14),
                "stage6": (192, 7, 7),
                "stage7": (320, 7, 7),
                "conv": (1280, 7, 7),
            },
        ),
        ("tf_efficientnet_b2", {"stem": (32, 130, 130), "stage3": (48, 33, 33), "conv": (1408, 9, 9)}),
        ("efficientnet_b0_cifar", {"stem": (32, 32, 32), "stage2": (24, 16, 16), "stage7": (320, 2, 2)}),
    ],
)
def test_stages_and_macs(counted: Callable[[str], Counted], name: str, shapes: dict[str, tuple[int, ...]]) -> None:
    found = counted(name).complexity
    stages = {stage.name: stage.shape for stage in found.stages}
    assert {stage: stages[stage] for stage in shapes} == shapes
    assert found.macs == (PUBLISHED[ROWS[name]][1] if name in ROWS else 30_331_392)


def test_compound_scaling() -> None:
    """Equation 3: each step of phi doubles the arithmetic, nearly; phi = 0 is the baseline."""
    assert compound_scaling(0) == (1.0, 1.0, 224)
    assert compound_scaling(1) == pytest.approx((1.1, 1.2, 258))
    assert compound_scaling(2.0) == pytest.approx((1.21, 1.44, 296))
    assert compound_scaling(3, resolution=100) == pytest.approx((1.331, 1.728, 152))
    assert compound_scaling(1, alpha=2, beta=3, gamma=1) == (3, 2, 224)
    factor = 1.2 * 1.1**2 * 1.15**2
    assert factor == pytest.approx(2, rel=0.05)
    width, depth, resolution = compound_scaling(4, resolution=10_000)
    assert depth * width**2 * (resolution / 10_000) ** 2 == pytest.approx(factor**4, rel=1e-3)


def test_where_the_released_coefficients_depart_from_the_formula() -> None:
    """As the docstring of `compound_scaling` says."""
    phis = {"b2": 1, "b3": 2, "b4": 3.5, "b5": 5, "b6": 6, "b7": 7}
    for name, phi in phis.items():
        formula, released = compound_scaling(phi), RELEASED[name]
        assert released.width == pytest.approx(formula.width, abs=0.06)
        assert 1 < released.resolution / formula.resolution < 1.042
        assert (released.depth < formula.depth - 0.01) == (name != "b2")
    assert (RELEASED["b7"].depth, round(compound_scaling(7).depth, 1)) == (3.1, 3.6)
    assert RELEASED["b1"].width == RELEASED["b0"].width
    half = compound_scaling(0.5)
    assert (round(half.depth, 1), half.resolution) == (1.1, 240)
    exponents = [round(math.log(value, base)) for value, base in ((4.3, 1.1), (5.3, 1.2), (800 / 224, 1.15))]
    assert exponents == [15, 9, 9]


def test_scaled_depth_rounds_up() -> None:
    assert [scaled_depth(blocks, 3.1) for blocks in (1, 2, 3, 4)] == [4, 7, 10, 13]
    assert [scaled_depth(4, factor) for factor in (0.01, 0.25, 0.26, 1.0)] == [1, 1, 2, 4]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compound_scaling(-1), "phi=-1 must be at least 0"),
        (lambda: compound_scaling(math.nan), "phi=nan must be at least 0"),
        (lambda: compound_scaling(1, alpha=0.9), "must be at least 1"),
        (lambda: scaled_depth(3, 0.0), "the factor 0.0 of depths must be above 0"),
        (lambda: scaled_width(3, math.nan), "the factor nan of widths must be above 0"),
    ],
)
def test_bad_scalings(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


# ------------------------------------------------------------------------------------- published accuracies and weights

TORCHVISION = {  # accuracy, the end of the file's name, pixels, shorter side
    "b0": (0.77692, "rwightman-7f5810bc", 224, 256),
    "b1": (0.78642, "rwightman-bac287d4", 240, 256),
    "b2": (0.80608, "rwightman-c35c1473", 288, 288),
    "b3": (0.82008, "rwightman-b3899882", 300, 320),
    "b4": (0.83384, "rwightman-23ab8bcd", 380, 384),
    "b5": (0.83444, "lukemelas-1a07897c", 456, 456),
    "b6": (0.84008, "lukemelas-24a108a5", 528, 528),
    "b7": (0.84122, "lukemelas-c5b4e57e", 600, 600),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_weights(name: str) -> None:
    row = architecture(f"efficientnet_{name}")
    top1, end, pixels, shorter_side = TORCHVISION[name]
    weights = row.weights[0]
    assert row.published[0].top1 == top1
    assert f"one crop of {pixels} pixels" in row.published[0].source
    assert weights.url == f"https://download.pytorch.org/models/efficientnet_{name}_{end}.pth"
    found = (weights.sha256, weights.image_size, weights.shorter_side, weights.interpolation)
    assert found == (end.rpartition("-")[2], pixels, shorter_side, "bicubic")
    assert len(row.weights) == len(row.published) == (2 if name == "b1" else 1)


def test_second_weights_of_b1() -> None:
    row = architecture("efficientnet_b1")
    weights = row.weights[1]
    assert (weights.name, weights.sha256, row.published[1].top1) == ("torchvision_v2", "c27df63c", 0.79838)
    assert (weights.image_size, weights.shorter_side, weights.interpolation) == (240, 255, "bilinear")


@pytest.mark.parametrize(
    ("name", "top1"),
    [
        ("b0", (0.771, 0.767, 0.788)),
        ("b1", (0.791, 0.787, 0.815)),
        ("b2", (0.801, 0.798, 0.824)),
        ("b3", (0.816, 0.811, 0.841)),
        ("b4", (0.829, 0.825, 0.853)),
        ("b5", (0.836, 0.831, 0.837, 0.861)),
        ("b6", (0.840, 0.864)),
        ("b7", (0.843, 0.847, 0.869)),
        ("l2", (0.884, 0.882)),
    ],
)
def test_accuracies_of_the_release(name: str, top1: tuple[float, ...]) -> None:
    results = architecture(f"tf_efficientnet_{name}").published
    assert tuple(result.top1 for result in results) == top1
    noisy = [result.top1 for result in results if "Noisy Student" in result.source]
    assert noisy == list(top1[-1:] if name != "l2" else top1)


# ------------------------------------------------------------------------------------------------ norms, gates, padding


def test_gates_squeeze_the_channels_of_the_input() -> None:
    """A quarter of what the block is given, not of what it expands to; SiLU inside, and everywhere else."""
    with torch.device("meta"):
        network = architecture("efficientnet_b0").build()
    gates = {path: m for path, m in network.named_modules() if path.endswith("excite")}
    squeezed = [gate.get_submodule("reduce").out_channels for gate in gates.values()]
    given = [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192]
    assert squeezed == [channels // 4 for channels in given]
    assert all(isinstance(gate.get_submodule("act"), nn.SiLU) for gate in gates.values())
    assert all(isinstance(gate.get_submodule("gate"), nn.Sigmoid) for gate in gates.values())
    activations = [m for path, m in network.named_modules() if path.endswith(("expand.act", "depthwise.act"))]
    activations += [network.get_submodule(f"{path}.act") for path in ("stem", "conv")]
    assert len(activations) == 2 * 16 - 1 + 2
    assert {type(activation) for activation in activations} == {nn.SiLU}
    assert not [path for path, _ in network.named_modules() if path.endswith("project.act")]


# size, kernel, stride: zeros before and after, as TensorFlow's documentation computes them.
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [
        (8, 3, 2, 0, 1),
        (7, 3, 2, 1, 1),
        (8, 5, 2, 1, 2),
        (7, 5, 2, 2, 2),
        (1, 3, 2, 1, 1),
        (2, 5, 2, 1, 2),
        (6, 3, 1, 1, 1),
        (9, 1, 2, 0, 0),
        (8, 1, 2, 0, 0),
    ],
)
def test_same_padding(size: int, kernel: int, stride: int, before: int, after: int) -> None:
    line = torch.arange(1.0, size + 1)
    padded = SamePadding(kernel, stride)(line.expand(1, 1, 3, size))[0, 0]
    row = padded[padded.abs().sum(1) > 0][0]
    assert row.tolist() == [0.0] * before + line.tolist() + [0.0] * after
    column = SamePadding(kernel, stride)(line[:, None].expand(1, 1, size, 3))[0, 0]
    assert column[:, column.abs().sum(0) > 0][:, 0].tolist() == row.tolist()
    assert (len(row) - kernel) // stride + 1 == math.ceil(size / stride)


@pytest.mark.parametrize("size", [6, 7])
def test_a_convolution_with_same_padding(size: int) -> None:
    """Against the sum over each window, which begins at the place minus half of all zeros, rounded down."""
    layer = same_conv(1, 1, 5, stride=2, act=None).double().eval()
    weight = layer.get_parameter("conv.weight").detach()[0, 0]
    image = torch.randn(size, size + 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = layer(image[None, None])[0, 0] * math.sqrt(1 + 1e-5)
    starts = [(max(0, (math.ceil(n / 2) - 1) * 2 + 5 - n)) // 2 for n in image.shape]
    assert found.shape == tuple(math.ceil(n / 2) for n in image.shape)
    for (i, j), value in ((place, found[place]) for place in ((0, 0), (0, 2), (2, 1), (2, 3))):
        total = 0.0
        for a in range(5):
            for b in range(5):
                row, column = 2 * i - starts[0] + a, 2 * j - starts[1] + b
                if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                    total += (weight[a, b] * image[row, column]).item()
        assert value.item() == pytest.approx(total)


def test_the_two_paddings_differ_at_even_sizes_only() -> None:
    networks = {name: randomize(convatlas.create(name, width=0.25, depth=0.1)).double() for name in PADDED}
    networks["tf_efficientnet_b0"].load_state_dict(networks["efficientnet_b0"].state_dict())
    for network in networks.values():
        for module in network.eval().modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3
    for pixels, same in ((65, True), (64, False)):
        batch = torch.randn(1, 3, pixels, pixels, dtype=torch.float64)
        first, second = (network(batch) for network in networks.values())
        assert torch.allclose(first, second, rtol=1e-12) == same


PADDED = ("efficientnet_b0", "tf_efficientnet_b0")


# ----------------------------------------------------------------------------------------------------- stochastic depth


@pytest.mark.parametrize(("name", "blocks"), [("efficientnet_b0", 16), ("tf_efficientnet_b1", 23)])
def test_rates_of_stochastic_depth(name: str, blocks: int) -> None:
    """0.2 * index / blocks, in the blocks that add their input."""
    with torch.device("meta"):
        network = architecture(name).build()
    stages = [stage for path, stage in network.named_children() if path.startswith("stage")]
    found = dict(enumerate(block for stage in stages for block in stage))
    assert len(found) == blocks
    for index, block in found.items():
        drop = [module for module in block.modules() if isinstance(module, StochasticDepth)]
        if isinstance(block, Residual) and index:
            assert [module.probability for module in drop] == [pytest.approx(0.2 * index / blocks)]
            assert list(dict(block.branch.named_children()))[-1] == "drop"
        else:
            assert drop == []
    sums = sum(isinstance(block, Residual) for block in found.values())
    assert sums == blocks - 7  # each first block has a stride or other channels


def test_a_skipped_branch() -> None:
    """Each image's branch is left out or made larger; the mean of many draws is what eval mode computes."""
    torch.manual_seed(0)
    row = InvertedRow(expansion=2, kernel=3, stride=1, width=8, depth=1)
    block = inverted_residual(8, row, skipped=0.2).double().eval()
    image = torch.randn(1, 8, 4, 4, dtype=torch.float64)
    expected = block(image)
    block.get_submodule("branch.drop").train()  # the norms stay as they are
    count = 4000
    drawn = block(image.expand(count, -1, -1, -1))
    kept = ((drawn - image).abs().amax((1, 2, 3)) > 0).double()
    assert abs(kept.mean().item() - 0.8) < 5 * math.sqrt(0.8 * 0.2 / count)
    larger = image + (expected - image) / 0.8
    assert torch.allclose(drawn, torch.where(kept[:, None, None, None] > 0, larger, image))
    error = (expected - image).abs() * math.sqrt(0.2 / 0.8 / count)
    assert bool(((drawn.mean(0, keepdim=True) - expected).abs() <= 5 * error + 1e-12).all())


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_b0", "efficientnet_b0_cifar"])
def test_randomness_in_training_only(name: str) -> None:
    """Dropout acts on the pooled values, in front of the linear layer; branches are skipped where asked for."""
    network = convatlas.create(name, width=0.25, depth=0.5, stochastic_depth=0.6, num_classes=3)
    head = dict(network.get_submodule("head").named_children())
    assert list(head) == ["pool", "flatten", "dropout", "fc"]
    batch = torch.randn(4, 3, 40, 40)
    assert torch.equal(network.eval()(batch), network(batch))
    seen: list[Tensor] = []
    head["fc"].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network.train()(batch)
    assert seen[0].ndim == 2
    assert 0.1 < seen[0].eq(0).double().mean().item() < 0.3
    still = convatlas.create(name, width=0.25, depth=0.5, stochastic_depth=0.0, dropout=0.0)
    assert not [m for m in still.modules() if isinstance(m, StochasticDepth | nn.Dropout)]
    assert torch.equal(still.train()(batch), still(batch))


def test_the_cifar_form_skips_nothing_unless_asked() -> None:
    """As kuangliu's code in effect, which never counts its blocks."""
    network = convatlas.create("efficientnet_b0_cifar")
    assert not [m for m in network.modules() if isinstance(m, StochasticDepth)]
    assert network.get_submodule("head.dropout").p == 0.2


def test_the_unused_layer_of_the_cifar_form() -> None:
    """kuangliu's file has 1,088 parameters more; they are dropped on reading, and nothing else is."""
    row = architecture("efficientnet_b0_cifar")
    assert row.params == 3_598_598
    reference = ReferenceEfficientNet()
    assert sum(p.numel() for p in reference.parameters()) == 3_599_686
    kept = translate_keys(reference.state_dict(), row.layouts["kuangliu"])
    dropped = reference.state_dict().keys() - {f"layers.0.{part}" for part in ("conv1.weight", *NORM)}
    assert len(kept) == len(dropped) == len(reference.state_dict()) - 6


NORM = [f"bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]


# ----------------------------------------------------------------------------------------------------------- key tables


def backwards(keys: Mapping[str, str | None]) -> dict[str, str | None]:
    """The table that makes published names of ours."""
    return {str(ours).replace("{+1}", "{}"): theirs.replace("{}", "{-1}", 1) if "{+1}" in str(ours) else theirs
            for theirs, ours in keys.items()}  # fmt: skip


def test_a_file_of_timm_may_be_of_either_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names and shapes are the same, so that the user must say which padding and epsilon the weights are for."""
    few = ["efficientnet_b0", "efficientnet_b1", "mobilenet_v2", "tf_efficientnet_b0"]
    monkeypatch.setattr("convatlas.weights.fitting.list_architectures", lambda: few)
    published = translate_keys(convatlas.create("efficientnet_b0").state_dict(), backwards(TIMM_KEYS))
    assert {"conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.6.0.se.conv_reduce.bias"} <= published.keys()
    with pytest.raises(UsageError, match="fits efficientnet_b0, tf_efficientnet_b0 alike; say which"):
        identify(checkpoint_of(published))
    for name in PADDED:
        assert identify(checkpoint_of(published), arch=name).architecture.name == name


# ------------------------------------------------------------------------------------------------------ initial weights


@pytest.mark.parametrize("name", PADDED)
def test_initial_weights(name: str) -> None:
    """Convolutions normal with 2 / fan-out; of a depthwise one PyTorch counts all channels, TensorFlow one."""
    torch.manual_seed(0)
    for path, layer in convatlas.create(name).named_modules():
        if isinstance(layer, nn.Conv2d):
            outputs = layer.out_channels
            if name.startswith("tf") and layer.groups > 1:
                outputs = 1
            std = math.sqrt(2 / (outputs * math.prod(layer.kernel_size)))
            ratio = layer.weight.detach().double().square().mean().item() / std**2
            assert abs(ratio - 1) < 5 * math.sqrt(2 / layer.weight.numel()), path
        elif isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(1000)
            assert 0.999 * bound < layer.weight.abs().max() <= bound * (1 + 1e-6)
            ratio = layer.weight.detach().double().square().mean().item() * 3 / bound**2
            assert abs(ratio - 1) < 5 * math.sqrt(0.8 / layer.weight.numel())
        else:
            continue
        assert layer.bias is None or layer.bias.eq(0).all(), path


def test_initial_weights_of_the_cifar_form() -> None:
    """PyTorch's default: uniform within 1 / sqrt(fan-in)."""
    torch.manual_seed(0)
    for path, layer in convatlas.create("efficientnet_b0_cifar").named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            ratio = layer.weight.detach().double().square().mean().item() * 3 / bound**2
            assert abs(ratio - 1) < 5 * math.sqrt(0.8 / layer.weight.numel()), path


# --------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("name", [*PADDED, "efficientnet_b0_cifar"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "the factor 0.0 of widths must be above 0"),
        ({"depth": -0.5}, "the factor -0.5 of depths must be above 0"),
        ({"depth": math.nan}, "must be a finite number"),
        ({"dropout": 1.0}, "probability below 1"),
        ({"stochastic_depth": 1.0}, "of skipped branches must be at least 0 and below 1"),
        ({"stochastic_depth": -0.1}, "of skipped branches must be at least 0 and below 1"),
        ({"resolution": 300}, "unknown option"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon": 0.0}, "epsilon=0.0 of the norms must be above 0"),
        ({"momentum": 0.0}, "momentum=0.0 of the norms must be above 0 and at most 1"),
        ({"momentum": 1.5}, "momentum=1.5 of the norms must be above 0 and at most 1"),
    ],
)
def test_bad_norms(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        convatlas.create(name, **options)
