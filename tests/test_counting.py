"""Multiply-adds of every kind of product, and what is said of operations that are not counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architecture import Architecture
from convatlas.cli import main
from convatlas.complexity import Complexity, complexity, count, macs_of
from convatlas.complexity.calculator import calculate
from convatlas.complexity.products import Products
from convatlas.complexity.step import step_cost
from convatlas.data import load_data
from convatlas.insight.diagram import diagram
from convatlas.measure.workload import make_workload
from convatlas.recipe import recipe
from convatlas.training import make_plan


def values(*shape: int) -> Tensor:
    return torch.empty(*shape, device="meta")


def products(function: Callable[[], object]) -> Products:
    """What is counted of a function on the meta device."""
    found = Products()
    with torch.device("meta"), torch.no_grad(), found:
        function()
    return found


def attention(*heads: int, **options: bool) -> object:
    """Of 10 places with 8 values each, by so many heads of queries and of keys."""
    query, key = (values(1, count, 10, 8) for count in heads)
    return F.scaled_dot_product_attention(query, key, key, **options)


IMAGE = values(1, 16, 32, 32)


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda: IMAGE.flatten(2).transpose(1, 2) @ values(16), 16 * 32 * 32),
        (lambda: values(16) @ IMAGE.flatten(2), 16 * 32 * 32),
        (lambda: values(3, 5) @ values(5), 15),
        (lambda: values(5) @ values(5), 5),
        (lambda: torch.dot(values(5), values(5)), 5),
        (lambda: torch.vdot(values(5), values(5)), 5),
        (lambda: torch.inner(values(3, 5), values(5)), 15),
        (lambda: torch.addmv(values(3), values(3, 5), values(5)), 15),
        (lambda: torch.addr(values(3, 5), values(3), values(5)), 15),
        (lambda: torch.addmm(values(4), values(3, 5), values(5, 4)), 60),
        (lambda: torch.addbmm(values(3, 4), values(2, 3, 5), values(2, 5, 4)), 120),
        (lambda: torch.baddbmm(values(2, 3, 4), values(2, 3, 5), values(2, 5, 4)), 120),
        (lambda: values(4).addmv_(values(4, 2), values(2)), 8),
        (lambda: F.linear(values(5), values(4, 5)), 20),
        (lambda: F.linear(values(2, 3, 5), values(4, 5), values(4)), 6 * 20),
        (lambda: torch.einsum("nchw,cd->ndhw", IMAGE, values(16, 3)), 16 * 3 * 32 * 32),
        (lambda: torch.einsum("nchw,c->nhw", IMAGE, values(16)), 16 * 32 * 32),
        (lambda: torch.einsum("i,i->", values(5), values(5)), 5),
        (lambda: torch.tensordot(values(3, 4, 5), values(4, 5, 2)), 120),
        (lambda: torch.linalg.multi_dot([values(3, 4), values(4, 5), values(5, 2)]), 4 * 5 * 2 + 3 * 4 * 2),
        (lambda: torch.matrix_power(values(3, 3), 3), 54),
        (lambda: torch._int_mm(values(32, 16).to(torch.int8), values(16, 8).to(torch.int8)), 32 * 16 * 8),
        (lambda: attention(2, 2), 2 * 2 * 10 * 10 * 8),
        (lambda: attention(4, 2, enable_gqa=True), 2 * 4 * 10 * 10 * 8),
        (lambda: attention(2, 2, is_causal=True), 2 * 2 * 10 * 10 * 8),
        (lambda: F.conv1d(values(1, 3, 9), values(4, 3, 3)), 7 * 36),
        (lambda: F.conv3d(values(1, 3, 9, 9, 9), values(4, 3, 3, 3, 3)), 7**3 * 4 * 81),
        (lambda: F.conv_transpose2d(IMAGE, values(16, 8, 2, 2)), 32 * 32 * 16 * 8 * 4),
        (lambda: torch.conv_tbc(values(5, 1, 3), values(3, 3, 4), values(4)), 3 * 36),
        (lambda: values(7, 32) @ IMAGE @ values(32, 7), 16 * (7 * 32 * 32 + 7 * 32 * 7)),  # interpolation by matrices
        (lambda: F.affine_grid(values(2, 2, 3), [2, 3, 5, 5], align_corners=False), 2 * 25 * 3 * 2),
        (lambda: nn.RNNCell(5, 4)(values(1, 5), values(1, 4)), 4 * (5 + 4)),
        (lambda: nn.MultiheadAttention(8, 2).eval()(*[values(5, 1, 8)] * 3), 4 * 5 * 8 * 8 + 2 * 5 * 5 * 8),
        (lambda: (values(3, 5) * values(3, 5)).sum(), 0),  # no matrix product
    ],
)
def test_multiply_adds_of_every_kind_of_product(function: Callable[[], object], macs: int) -> None:
    found = products(function)
    assert (found.macs, found.missed) == (macs, [])


def test_a_bilinear_layer_has_as_many_as_its_einsum() -> None:
    """A product with every weight, and one of what is left with the second input."""
    layer = products(lambda: F.bilinear(values(2, 3), values(2, 5), values(7, 3, 5), values(7)))
    einsum = products(lambda: torch.einsum("ni,kij,nj->nk", values(2, 3), values(7, 3, 5), values(2, 5)))
    assert layer.macs == einsum.macs == 2 * (7 * 3 * 5 + 7 * 5)
    with torch.device("meta"):
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    assert step_cost(network, in_channels=3, image_size=2, batch_size=4, name="x").flops == 2 * 2 * 12 * 3


def test_products_in_inference_mode_are_counted_too() -> None:
    found = Products()
    with torch.inference_mode(), found:
        F.linear(values(2, 3, 5), values(4, 5), values(4))
        F.conv2d(IMAGE, values(8, 16, 3, 3), padding="same")
    assert (found.macs, found.missed) == (6 * 20 + 32 * 32 * 16 * 8 * 9, [])


@torch.library.custom_op("counting::filtered", mutates_args=())
def filtered(images: Tensor) -> Tensor:
    return images.clone()


filtered.register_fake(torch.empty_like)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda: torch.fft.rfft2(IMAGE), "_fft_r2c"),
        (lambda: torch.linalg.inv(values(3, 3)), "linalg_inv_ex"),
        (lambda: torch.linalg.solve(values(3, 3), values(3)), "_linalg_solve_ex"),
        (lambda: torch.linalg.svd(values(3, 3)), "_linalg_svd"),
        (lambda: torch.matrix_exp(values(3, 3)), "linalg_matrix_exp"),
        (lambda: torch.cdist(values(3, 4), values(5, 4)), "_cdist_forward"),
        (lambda: F.interpolate(IMAGE, scale_factor=2, mode="bilinear"), "upsample_bilinear2d"),
        (lambda: F.interpolate(IMAGE, scale_factor=2, mode="bilinear", antialias=True), "_upsample_bilinear2d_aa"),
        (lambda: F.interpolate(IMAGE, scale_factor=2, mode="bicubic"), "upsample_bicubic2d"),
        (lambda: F.grid_sample(IMAGE, values(1, 5, 5, 2), align_corners=False), "grid_sampler_2d"),
        (lambda: filtered(IMAGE), "counting::filtered"),
    ],
)
def test_what_has_no_formula_is_named(function: Callable[[], object], name: str) -> None:
    found = products(function)
    assert (found.macs, found.missed) == (0, [name])


@pytest.mark.parametrize(
    "layer",
    [
        "AdaptiveAvgPool2d(3)", "AdaptiveMaxPool2d(3)", "AvgPool2d(2)", "MaxPool2d(2)", "LPPool2d(2, 2)", "ReLU()",
        "LeakyReLU()", "PReLU()", "RReLU()", "GELU()", "SiLU()", "Mish()", "ELU()", "CELU()", "GLU(1)", "Hardswish()",
        "Softmax(1)", "LogSoftmax(1)", "Softmax2d()", "Softplus()", "Softsign()", "Tanhshrink()", "LogSigmoid()",
        "BatchNorm2d(8)", "BatchNorm2d(8, track_running_stats=False)", "InstanceNorm2d(8)", "GroupNorm(2, 8)",
        "LayerNorm((6, 6))", "RMSNorm(6)", "LocalResponseNorm(3)", "Dropout(0.5)", "Dropout2d()", "AlphaDropout()",
        "ReflectionPad2d(2)", "ReplicationPad2d(2)", "ZeroPad2d(2)", "CircularPad2d(2)", "ConstantPad2d(1, 0.5)",
        "PixelShuffle(2)", "PixelUnshuffle(2)", "ChannelShuffle(2)", "Upsample(scale_factor=2)", "Flatten()",
        "Unfold(2)", "Unflatten(1, (2, 4))", "Identity()", "Threshold(0, 1)", "Hardtanh()", "Hardsigmoid()", "ReLU6()",
    ],
)  # fmt: skip
def test_layers_without_products_are_not_said_to_be_left_out(layer: str) -> None:
    found = calculate([layer], "8x6x6")
    assert (found.macs, found.notes) == (0, ())


@pytest.mark.parametrize(
    "function",
    [
        lambda: torch.roll(IMAGE, 1, 2).flip(3).cumsum(1).sort(1),
        lambda: IMAGE.topk(3, 1).values.gather(1, torch.zeros(1, 1, 32, 32, dtype=torch.int64)),
        lambda: IMAGE[:, [0, 2]].var(1).clamp_(0).add_(1).sqrt_().masked_fill_(IMAGE[:, 0] > 0, 1),
        lambda: torch.cat([IMAGE, torch.zeros_like(IMAGE)], 1).chunk(2, 1)[0].contiguous(),
        lambda: F.embedding(torch.zeros(3, dtype=torch.int64), values(4, 5)).tril().norm(),
        lambda: F.one_hot(torch.arange(3), 5).float().argmax(1),
        lambda: F.fold(F.unfold(IMAGE, 3), (32, 32), 3).new_zeros(3).bernoulli_().uniform_(),
        lambda: F.cosine_similarity(IMAGE, IMAGE).logsumexp(1).abs_(),
        lambda: F.max_unpool2d(*F.max_pool2d(IMAGE, 2, return_indices=True), 2),
    ],
)
def test_what_only_moves_or_gathers_values_is_not_said_to_be_left_out(function: Callable[[], object]) -> None:
    found = products(function)
    assert (found.macs, found.missed) == (0, [])


# ------------------------------------------------------------------------------------------------------ what is said


class Partly(nn.Module):
    """A layer that is counted, two that are not, of which one works twice, and a function of the module itself."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.grow = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
        self.again = nn.Upsample(scale_factor=2, mode="bilinear")
        self.fc = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.again(self.again(self.grow(images)))
        spectrum = torch.fft.rfft2(features.mean((2, 3), keepdim=True)).real
        classes: Tensor = self.fc(spectrum.flatten(1))
        return classes


ROW = Architecture("partly", builder=Partly, image_size=4, reference="mine.py:partly")
PLAIN = 12 * 16 + 40


def counted() -> Complexity:
    return complexity(ROW)


@pytest.mark.parametrize("depth", [1, 2, None])
def test_rows_have_all_that_is_not_counted(depth: int | None) -> None:
    found = counted()
    missed = Counter({"upsample_bilinear2d": 3, "_fft_r2c": 1})
    assert Counter(found.network.not_counted) == missed
    assert sum((Counter(part.not_counted) for part in found.network.rows(depth)), Counter()) == missed
    assert found.macs == PLAIN == sum(part.macs for part in found.network.rows(depth))


def test_a_row_says_not_counted_and_a_sum_at_least() -> None:
    found = {part.name: macs_of(part, str) for part in counted().network.rows()}
    assert found == {
        "grow.0": "192",
        "grow.1": "not counted",
        "again": "not counted",
        "fc": "40",
        "": "not counted",
    }
    grow = next(part for part in counted().network.rows(1) if part.name == "grow")
    assert macs_of(grow, str) == "at least 192"


@pytest.fixture
def own_network(tmp_path: Path) -> str:
    """A user's file with such a network."""
    path = tmp_path / "mine.py"
    path.write_text(f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nfrom test_counting import ROW\n")
    return f"{path}:ROW"


def test_the_command_says_it(own_network: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", own_network]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert f"at least {PLAIN} multiply-adds an image" in lines["MACs"]
    assert "not counted" in lines["again"]
    assert f"at least {PLAIN}" in lines["total"]
    assert "the multiply-adds of _fft_r2c, upsample_bilinear2d are not counted" in " ".join(out.split())
    assert main(["show", own_network, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["macs_not_counted"] == ["_fft_r2c", "upsample_bilinear2d"]
    missed = [name for layer in content["layers"] for name in layer["not_counted"]]
    assert sorted(missed) == ["_fft_r2c"] + 3 * ["upsample_bilinear2d"]


def test_two_side_by_side_have_no_ratio_of_what_is_not_known(
    own_network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", own_network, "lenet5"]) == 0
    out = capsys.readouterr().out
    assert f"at least {PLAIN}" in out
    assert "are not counted" in " ".join(out.split())
    assert [line.split()[0] for line in out.splitlines() if " x " in line and "MACs" in line] == []


def test_layers_as_text_say_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--module", "Upsample(scale_factor=2, mode='bicubic')", "--input", "3x4x4"]) == 0
    out = capsys.readouterr().out
    assert "not counted" in out
    assert "at least 0 multiply-adds" in out


def test_drawings_plans_and_benches_say_it() -> None:
    assert f"at least {PLAIN} MACs" in diagram(ROW).svg
    plan = make_plan(ROW, data=load_data("digits"), chosen=recipe("quick"), seed=0)
    assert [note for note in plan.notes if "upsample_bilinear2d are not counted" in note]
    work = make_workload(ROW, options={}, device="cpu", batch_size=2)
    assert [note for note in work.notes if "upsample_bilinear2d are not counted" in note]


def test_a_network_that_is_counted_whole_has_no_such_words() -> None:
    with torch.device("meta"):
        found = count(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), values(1, 3, 8, 8), name="mine")
    assert (found.notes, found.network.at_least, macs_of(found.layers[1], str)) == ((), "", "")
