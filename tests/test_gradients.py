"""Gradients and activations by depth: the numbers by hand, in every family, and on the command line."""

from __future__ import annotations

import copy
import dataclasses
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
from convatlas.cli.gradients import _table
from convatlas.complexity import complexity
from convatlas.data import DataSet, ResidentImages, load_data
from convatlas.errors import UsageError
from convatlas.insight.gradient_choices import Choice
from convatlas.insight.gradient_figure import draw_gradients, kinds_of
from convatlas.insight.gradients import (
    Batch,
    Layer,
    Signals,
    batch_for,
    initial_signals,
    measured,
    signals,
    trained_signals,
    without_norms,
)
from convatlas.layers import ConvNormAct, classifier, sequential
from convatlas.prediction import open_predictor
from convatlas.run import Run, Start
from convatlas.training import train_plan
from made_runs import made_run
from test_training import tiny_plan


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


def by_hand(
    network: nn.Module, batch: Batch, *, size: int = 8, channels: int = 1, whole: DataSet | None = None
) -> float:
    """The loss of a network in training on a batch, whose images are brought to a size and normalised here.

    The statistics are those of the training images of the batch's own data, or of `whole`.
    """
    train, all_images = batch.data.train, (whole or batch.data).train
    assert isinstance(train, ResidentImages)
    assert isinstance(all_images, ResidentImages)
    pixels = all_images.pixels.float().div(255)
    mean, std = pixels.mean(), pixels.std(correction=0)
    chosen = F.interpolate(
        train.pixels.float().div(255)[batch.places], size=(size, size), mode="bilinear", antialias=True
    )
    images = ((chosen - mean) / std).expand(-1, channels, -1, -1)
    assert isinstance(train.labels, torch.Tensor)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return F.cross_entropy(network.train()(images), train.labels[batch.places]).item()


def test_a_batch_is_drawn_by_its_seed() -> None:
    data = load_data("digits")
    drawn = Batch.draw(data, images=5, seed=7)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(7))
    assert (drawn.places.tolist(), drawn.seed) == (order[:5].tolist(), 7)
    assert drawn.places.tolist() != Batch.draw(data, images=5, seed=8).places.tolist()
    assert len(Batch.draw(data, images=10**6, seed=0).places) == len(data.train)


def test_new_weights_are_drawn_by_the_seed_of_the_batch() -> None:
    """For the classes, the channels and the size of the images, which are normalised."""
    batch = Batch.draw(load_data("digits?classes=1,2,7"), images=16, seed=3)
    torch.manual_seed(3)
    network = architecture("resnet_uva").build(num_classes=3, in_channels=1, depths=(1, 1, 1), widths=(4, 4, 8))
    options = {"depths": (1, 1, 1), "widths": (4, 4, 8)}
    assert initial_signals(architecture("resnet_uva"), batch, options=options).loss == pytest.approx(
        by_hand(network, batch), rel=1e-4
    )


def test_images_have_the_channels_and_the_size_that_a_network_takes(batch: Batch, tmp_path: Path) -> None:
    torch.manual_seed(3)
    lenet = architecture("lenet5").build(num_classes=10, in_channels=1)
    assert initial_signals(architecture("lenet5"), batch).loss == pytest.approx(
        by_hand(lenet, batch, size=32), rel=1e-4
    )
    file = tmp_path / "coloured.py"
    lines = (
        "from torch import nn\ndef net(*, num_classes=10):\n    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), "
    )
    file.write_text(
        lines + "nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes))\n"
    )
    row = architecture(f"{file}:net")
    torch.manual_seed(3)
    network = row.build(num_classes=10)
    expected = by_hand(network, batch, channels=3)
    assert initial_signals(row, batch).loss == pytest.approx(expected, rel=1e-4)
    train = batch.data.train
    assert isinstance(train, ResidentImages)
    colours = dataclasses.replace(train, pixels=train.pixels.expand(-1, 3, -1, -1).contiguous())
    spec = dataclasses.replace(batch.data.spec, channels=3)
    coloured = dataclasses.replace(batch, data=dataclasses.replace(batch.data, spec=spec, train=colours))
    assert initial_signals(row, coloured).loss == pytest.approx(expected, rel=1e-4)
    sizes = dataclasses.replace(batch.data.spec, image_size=None)
    many = dataclasses.replace(batch, data=dataclasses.replace(batch.data, spec=sizes))
    torch.manual_seed(3)
    small = {"depths": (1, 1, 1), "widths": (4, 4, 8)}
    residual = architecture("resnet_uva").build(num_classes=10, in_channels=1, **small)
    found = initial_signals(architecture("resnet_uva"), many, options=small)
    assert found.loss == pytest.approx(by_hand(residual, batch, size=32), rel=1e-4)  # the network's own size
    he = initial_signals(row, batch, initialisation="kaiming").layers[0]  # its own weights are PyTorch's
    assert he.weight_norm / math.sqrt(he.n) == pytest.approx(math.sqrt(2 / 27), rel=0.25)


def test_initial_weights_have_the_spread_of_their_formula(batch: Batch) -> None:
    """`weight_norm` / sqrt(n) is the deviation; layers are looked at whose two fans differ."""
    row, options = architecture("plain20"), {"activation": "tanh"}
    formulas = {
        "small": lambda inside, outside: 0.01,
        "kaiming": lambda inside, outside: 5 / 3 / math.sqrt(inside),
        "xavier": lambda inside, outside: math.sqrt(2 / (inside + outside)),
    }
    network = row.build(num_classes=10, in_channels=1, **options)
    weights = {name: module.weight for name, module in network.named_modules() if isinstance(module, nn.Conv2d)}
    for kind, formula in formulas.items():
        found = initial_signals(row, batch, initialisation=kind, options=options)  # type: ignore[arg-type]
        layers = {layer.name: layer for layer in found.layers if layer.name in weights}
        uneven = [name for name, weight in weights.items() if weight.shape[0] != weight.shape[1]]
        assert len(uneven) == 3
        for name in uneven:
            out_channels, in_channels, height, width = weights[name].shape
            expected = formula(in_channels * height * width, out_channels * height * width)
            spread = layers[name].weight_norm / math.sqrt(layers[name].n)
            assert spread == pytest.approx(expected, rel=0.1), (kind, name)


def test_every_kind_of_norm_is_left_out() -> None:
    kinds = (nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(4), nn.LocalResponseNorm(3))
    network = without_norms(nn.Sequential(*kinds, nn.Linear(4, 4)))
    assert [type(module) for module in network] == [*[nn.Identity] * 5, nn.Linear]


def test_first_to_last_where_gradients_are_0() -> None:
    def between(first: float, last: float) -> float:
        layers = tuple(Layer("a", norm, 1.0, 1.0, 1) for norm in (first, 5.0, last))
        return Signals("three", layers, 1.0).first_to_last

    assert (between(2.0, 8.0), between(0.0, 8.0), between(1.0, 0.0)) == (0.25, 0.0, math.inf)
    assert math.isnan(between(0.0, 0.0))


def test_the_network_is_measured_in_training_and_left_without_hooks() -> None:
    """Norms take the statistics of the batch, dropout is the same in each measurement, the first time counts."""
    torch.manual_seed(0)
    shared = nn.Linear(6, 6)
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(6), nn.Dropout(0.5), shared, shared, nn.Linear(6, 3))
    images, labels = 5 * torch.randn(8, 1, 2, 3) + 1, torch.arange(8) % 3
    received: list[torch.Tensor] = []
    hook = shared.register_forward_pre_hook(lambda _, values: received.append(values[0].detach()))
    first = signals(network, images, labels, name="dropping")
    hook.remove()
    assert first.layers[0].activation_std == pytest.approx(received[0].std().item())
    assert received[0].std().item() != pytest.approx(received[1].std().item(), rel=0.01)
    torch.manual_seed(99)
    assert signals(network, images, labels, name="dropping") == first
    assert network.training
    assert not any(module._forward_pre_hooks for module in network.modules())
    normed = F.batch_norm(images.flatten(1), None, None, training=True)
    zeros = received[0] == 0
    assert torch.allclose(received[0][~zeros], 2 * normed[~zeros], atol=1e-5)
    assert 0 < int(zeros.sum()) < zeros.numel()


def test_frozen_and_unused_layers() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.side, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
            self.frozen.weight.requires_grad_(False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            hidden: torch.Tensor = self.frozen(images.flatten(1))
            self.side(hidden)
            answer: torch.Tensor = self.head(hidden)
            return answer

    found = signals(Unused(), torch.randn(5, 1, 2, 2), torch.zeros(5, dtype=torch.int64), name="unused")
    assert [(layer.name, layer.gradient_norm > 0) for layer in found.layers] == [("side", False), ("head", True)]


def test_what_has_no_gradients_is_refused() -> None:
    images, labels = torch.randn(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(UsageError, match="bare has no convolution and no linear layer"):
        signals(nn.Flatten(), images, labels, name="bare")
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(UsageError, match="the loss of wild is nan on this batch"):
        signals(network, images * math.nan, labels, name="wild")


def test_a_run_is_measured_before_and_after_its_training(batch: Batch, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    before, after = measured(Choice(str(run.path)), batch)
    name = "resnet_uva(depths=1,1,1, widths=4,4,8)"
    assert (before.name, after.name) == (f"{name}, at initialisation", f"{name}, trained")
    torch.manual_seed(0)
    first = architecture("resnet_uva").build(num_classes=10, in_channels=1, depths=(1, 1, 1), widths=(4, 4, 8))
    assert before.loss == pytest.approx(by_hand(first, batch), rel=1e-4)
    predictor = open_predictor(run.path)
    state = copy.deepcopy(predictor.network.state_dict())
    assert after.loss == pytest.approx(by_hand(copy.deepcopy(predictor.network), batch), rel=1e-4)
    trained_signals(predictor, batch)
    assert all(torch.equal(tensor, state[key]) for key, tensor in predictor.network.state_dict().items())
    start = Start.from_weights("best.ckpt", sha256="0f1e", kept=("stem",))
    tuned = dataclasses.replace(run.record, start=start)
    (alone,) = trained_signals(dataclasses.replace(predictor, run=Run(run.path, tuned)), batch)
    assert alone == after


@pytest.mark.usefixtures("quick_runs")
def test_the_first_weights_are_those_from_which_the_run_was_trained(tmp_path: Path) -> None:
    run = train_plan(tiny_plan(epochs=2, snapshots=2), folder=tmp_path / "run")
    kept = torch.load(run.snapshots[0], weights_only=True)["state_dict"]
    predictor = open_predictor(run.path)
    network = predictor.architecture.build(num_classes=10, in_channels=1, **predictor.options)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in kept.items()})
    own = batch_for([Choice(str(run.path))], data=None, images=16, seed=0)
    before, after = measured(Choice(str(run.path)), own)
    images, labels = own.inputs(predictor.preprocessing)
    expected = F.cross_entropy(network.train()(images), labels)
    assert before.loss == pytest.approx(expected.item(), rel=1e-4)
    assert after.loss < before.loss


def test_a_run_is_measured_on_its_own_images_where_none_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else a network of other digits would be measured on these, without a word."""
    made_run(tmp_path / "all")
    made_run(tmp_path / "some", data="digits?classes=3,5")
    words = ["gradients", str(tmp_path / "some"), "--images", "4", "--out", str(tmp_path / "g.png")]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"] == "digits?classes=3,5"
    assert main([*words, str(tmp_path / "all")]) == 2
    assert "digits?classes=3,5 and on digits; name one data set for all with --data" in capsys.readouterr().err
    assert batch_for([Choice("plain20")], data=None, images=4, seed=0).data.spec.name == "digits"


def test_a_gradient_that_is_not_finite_has_no_number() -> None:
    layer = {"gradient_norm": None, "activation_std": 1.5}
    network = {"name": "wild", "layers": [layer], "loss": 2.3, "first_to_last": None}
    cells = [next(iter(column.cells)) for column in _table([network]).columns]
    assert list(map(str, cells)) == ["wild", "1", "2.3", "-", "-", "-", "-", "1.5", "1.5", "1.5"]


def test_a_run_is_measured_with_its_own_classes(tmp_path: Path) -> None:
    """The data's are found among them by name; with other classes, or other channels, there is nothing to measure."""
    run = made_run(tmp_path / "run")
    few = Batch.draw(load_data("digits?classes=5,7"), images=16, seed=0)
    network = open_predictor(run.path).network
    assert isinstance(few.data.train, ResidentImages)
    labels = torch.tensor([5, 7])[few.data.train.labels]
    as_ours = dataclasses.replace(few.data, train=dataclasses.replace(few.data.train, labels=labels))
    expected = by_hand(network, dataclasses.replace(few, data=as_ours), whole=load_data("digits"))
    assert measured(Choice(str(run.path)), few)[1].loss == pytest.approx(expected, rel=1e-4)
    strange = dataclasses.replace(few.data.spec, class_names=("five", "7"))
    with pytest.raises(UsageError, match="has the class five"):
        measured(Choice(str(run.path)), dataclasses.replace(few, data=dataclasses.replace(few.data, spec=strange)))


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
        (["lenet5", "--norm", "none"], "lenet5 has no norm to leave out"),
    ],
)
def test_bad_words(words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = [] if "--out" in words else ["--out", str(tmp_path / "made/g.png")]
    assert main(["gradients", *words, *out]) == 2
    said = capsys.readouterr().err
    assert line in said
    assert said.count("\n") == 1
    assert not (tmp_path / "made").exists()


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
