"""Gradients and activations by depth: the numbers by hand, in every family, and on the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import convatlas
from convatlas.architectures import architecture, families
from convatlas.cli import main
from convatlas.complexity import complexity
from convatlas.data import load_data
from convatlas.errors import UsageError
from convatlas.insight.gradient_figure import draw_gradients, kinds_of
from convatlas.insight.gradients import Batch, Layer, Signals, initial_signals, signals, without_norms
from convatlas.layers import ConvNormAct, classifier, sequential


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Sixteen digits."""
    return Batch.draw(load_data("digits"), images=16, seed=3)


def test_the_numbers_are_those_of_the_formulas() -> None:
    """Of a linear network, whose gradients are written down: those of the last layer are errors times its inputs."""
    torch.manual_seed(0)
    network = sequential(flatten=nn.Flatten(), fc1=nn.Linear(12, 7), fc2=nn.Linear(7, 5))
    inputs, labels = torch.randn(9, 3, 2, 2), torch.arange(9) % 5
    found = signals(network, inputs, labels, name="linear")
    hidden = network.fc1(inputs.flatten(1))
    logits = network.fc2(hidden)
    errors = (logits.softmax(1) - F.one_hot(labels, 5)) / 9
    first, last = found.layers
    assert (first.name, last.name, first.n, last.n) == ("fc1", "fc2", 84, 35)
    assert last.gradient_norm == pytest.approx((errors.T @ hidden).norm().item(), rel=1e-5)
    expected = (errors @ network.fc2.weight).T @ inputs.flatten(1)
    assert first.gradient_norm == pytest.approx(expected.norm().item(), rel=1e-5)
    assert (first.activation_std, last.activation_std) == pytest.approx((inputs.std().item(), hidden.std().item()))
    assert last.weight_norm == pytest.approx(network.fc2.weight.norm().item())
    assert found.first_to_last == pytest.approx(first.gradient_norm / last.gradient_norm)
    assert found.loss == pytest.approx(F.cross_entropy(logits, labels).item())


def test_layers_come_in_the_order_of_their_work_and_reused_ones_once() -> None:
    shared = nn.Linear(4, 4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), shared, nn.ReLU(inplace=True), shared, nn.Linear(4, 3))
    found = signals(network, torch.randn(8, 1, 2, 2), torch.zeros(8, dtype=torch.int64), name="reused")
    assert [layer.name for layer in found.layers] == ["1", "2", "5"]
    assert all(layer.gradient_norm > 0 for layer in found.layers)


def test_plain_networks_without_norm_vanish_and_explode_as_their_weights_say(batch: Batch) -> None:
    """Small weights shrink each layer's values by the same factor, so that the spread falls with the depth."""
    row, options = architecture("plain20"), {"activation": "tanh"}
    small = initial_signals(row, batch, norm="none", initialisation="small", options=options)
    fitting = initial_signals(row, batch, norm="none", initialisation="xavier", options=options)
    assert small.name == "plain20(activation=tanh), without norm, small initialisation"
    assert small.layers[-1].activation_std < 1e-12 < 1e-4 < fitting.layers[-1].activation_std
    assert small.layers[0].gradient_norm < 1e-12 < 1e-4 < fitting.layers[0].gradient_norm
    with_norm = initial_signals(row, batch, initialisation="small", options=options)
    assert with_norm.layers[-1].activation_std > 0.1


def test_a_norm_that_is_left_out_leaves_nothing(batch: Batch) -> None:
    network = without_norms(sequential(stem=ConvNormAct(3, 4, 3), head=classifier(4, 5)))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    with pytest.raises(UsageError, match="lenet5 has no norm to leave out"):
        initial_signals(architecture("lenet5"), batch, norm="none")


def test_the_random_state_stays(batch: Batch) -> None:
    before = torch.get_rng_state()
    first = initial_signals(architecture("resnet_uva"), batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert initial_signals(architecture("resnet_uva"), batch) == first


SMALLEST = {
    family.name: min(
        (row for row in family.rows if row.image_size <= 64 and row.macs), key=lambda row: row.macs or 0, default=None
    )
    for family in families.FAMILIES
}


@pytest.mark.parametrize("family", [name for name, row in SMALLEST.items() if row is not None])
def test_every_family_is_measured(family: str, batch: Batch) -> None:
    """Each convolution and linear layer of the family's smallest network of small images has finite values."""
    row = SMALLEST[family]
    assert row is not None
    found = initial_signals(row, Batch(batch.data, batch.places[:4], 0))
    assert len(found.layers) >= 3
    assert all(math.isfinite(layer.gradient_norm) and layer.activation_std >= 0 for layer in found.layers)
    assert sum(layer.n for layer in found.layers) <= complexity(row, in_channels=row.in_channels).params * 2


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["gradients", "plain20", "resnet20", "--norm", "own,none", "--images", "4", "--out", f"{tmp_path}/g.png"]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [network["name"] for network in content["networks"]] == [
        "plain20", "plain20, without norm", "resnet20", "resnet20, without norm",
    ]  # fmt: skip
    assert {len(network["layers"]) for network in content["networks"]} == {20}
    assert (content["data"], content["images"]) == ("digits", 4)
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")


def test_from_python(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    figure = tmp_path / "g.png"
    found = convatlas.gradients("plain20", norms=["own", "none"], options={"depths": (1, 1, 1)}, images=4, out=figure)
    words = ["gradients", "plain20", "-o", "depths=1,1,1", "--norm", "own,none", "--images", "4", "--json"]
    assert main([*words, "--out", str(tmp_path / "again.png")]) == 0
    printed = json.loads(capsys.readouterr().out)["networks"]
    assert [each.name for each in found] == [each["name"] for each in printed]
    assert [each.loss for each in found] == [each["loss"] for each in printed]
    assert figure.read_bytes() == (tmp_path / "again.png").read_bytes()
    for wrong, line in (({"norms": []}, "--norm needs a value"), ({"images": 1}, "images=1 must be at least 2")):
        with pytest.raises(UsageError, match=line):
            convatlas.gradients("plain20", **wrong)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["plain2"], "did you mean plain32 or plain20"),
        (["plain20", "--norm", "batch"], "unknown --norm 'batch' (all: none, own)"),
        (["plain20", "--init", "he"], "unknown --init 'he' (all: kaiming, own, small, xavier)"),
        (["plain20", "-o", "depth=3"], "unknown option of plain20 'depth'; did you mean depths?"),
        (["plain20", "--data", "digit"], "did you mean digits?"),
        (["plain20", "--out", "figure.pdf"], "--out figure.pdf must be the name of a .png file"),
        (["runs/none"], "no run at runs/none"),
        (["tests", "--norm", "none"], "tests is a run, which is measured as it was trained"),
    ],
)
def test_bad_words(words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["gradients", *words]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1


def signals_of(name: str, layers: int) -> Signals:
    """Signals of so many layers."""
    return Signals(name, tuple(Layer(str(place), 1.0, 1.0, 1.0, 1) for place in range(layers)), 2.3)


def test_many_networks_are_drawn_by_depth(tmp_path: Path) -> None:
    names = {"plain20(depths=1,1,1)": 8, "plain20": 20, "plain32": 32, "plain44": 44}
    both = names | {name.replace("plain", "resnet"): layers for name, layers in names.items()}
    found = [signals_of(name, layers) for name, layers in both.items()]
    kinds = kinds_of(found)
    assert kinds is not None
    assert {kind: [len(each.layers) for each in members] for kind, members in kinds.items()} == {
        "plain": [8, 20, 32, 44],
        "resnet": [8, 20, 32, 44],
    }
    assert kinds_of(found[:7]) is None  # few enough for a colour each
    assert kinds_of([*found, signals_of("plain20(activation=tanh)", 20)]) is None  # two of one depth
    assert kinds_of([*found, signals_of("vgg11", 11)]) is None  # one alone
    draw_gradients(found, tmp_path / "figure.png", data="digits", images=16)
    assert (tmp_path / "figure.png").is_file()


def test_a_name_may_have_its_options() -> None:
    (shallow,) = convatlas.gradients(["plain20(depths=1,1,1)"], images=4, options={"activation": "tanh"})
    assert (shallow.name, len(shallow.layers)) == ("plain20(activation=tanh, depths=1,1,1)", 8)
    with pytest.raises(UsageError, match="unknown option of plain20 'depth'"):
        convatlas.gradients(["plain20(depth=1)"], images=4)
