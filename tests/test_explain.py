"""Explanations: maps against formulas, every method in every family, the sanity check, the page and bad input."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import convatlas
from convatlas import create
from convatlas.architecture import Architecture
from convatlas.architectures import families
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.preprocessing import Rectangle
from convatlas.errors import UsageError
from convatlas.files import read_json
from convatlas.insight.explain import METHODS, Wanted, asking
from convatlas.insight.explain.asking import ask
from convatlas.insight.explain.curves import CONTROL, Curves, curves_of, falling, probabilities, verdict
from convatlas.insight.explain.features import chosen_stages, feature_maps, spatial_stages, strongest
from convatlas.insight.explain.material import Part
from convatlas.insight.explain.methods import NO_EVIDENCE, Attribution, Effort, Method, Question
from convatlas.insight.explain.pictures import _laid, overlay
from convatlas.insight.explain.sanity import check_sanity, rank_correlation, shuffle
from convatlas.layers import ConvNormAct, classifier, sequential
from convatlas.prediction import Predictor, open_predictor

pytest.importorskip("captum")
QUICK = Effort(steps=2, most_steps=2, samples=2, windows=2)
NORMALISED = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]


def question_of(network: nn.Module, inputs: Tensor, target: int = 0, effort: Effort = QUICK) -> Question:
    """A question about the last features of a network."""
    network = network.eval().requires_grad_(False)
    return Question(network, inputs, target, spatial_stages(network, inputs)[-1], effort)


def small_network() -> nn.Module:
    """A tiny convolutional network with activations in place."""
    torch.manual_seed(0)
    stem = ConvNormAct(3, 6, 3, act=lambda: nn.ReLU(inplace=True))
    return sequential(stem=stem, stage1=ConvNormAct(6, 8, 3, stride=2), head=classifier(8, 5))


def test_grad_cam_is_the_closed_form() -> None:
    """With global average pooling the weights of the map are those of the linear layer, over the number of places."""
    network, inputs = small_network(), torch.randn(1, 3, 16, 16)
    question = question_of(network, inputs, target=2)
    features = feature_maps(network, inputs, [question.stage])[question.stage]
    weights = network.head.fc.weight[2] / features.shape[-2:].numel()  # type: ignore[union-attr]
    expected = (weights[:, None, None] * features).sum(0).relu()
    stretched = nn.functional.interpolate(expected[None, None], size=16, mode="bilinear")[0, 0]
    given = METHODS["grad_cam"].attribute(question)
    assert torch.allclose(given.values, stretched, atol=1e-7)
    assert given.remark == "8 x 8 values of stage1"


def test_grad_cam_plus_plus_is_the_formula() -> None:
    network, inputs = small_network(), torch.randn(1, 3, 16, 16)
    question = question_of(network, inputs, target=1)
    features = feature_maps(network, inputs, ["stage1"])["stage1"]
    gradient = (network.head.fc.weight[1] / 64)[:, None, None].expand_as(features)  # type: ignore[union-attr]
    alpha = gradient**2 / (2 * gradient**2 + features.sum((1, 2), keepdim=True) * gradient**3)
    weights = (alpha * gradient.relu()).sum((1, 2), keepdim=True)
    expected = (weights * features).sum(0).relu()[None, None]
    given = METHODS["grad_cam++"].attribute(question).values
    assert torch.allclose(given, nn.functional.interpolate(expected, size=16, mode="bilinear")[0, 0], rtol=1e-4)


def test_without_positive_evidence_the_map_is_zero_and_says_so() -> None:
    network = small_network()
    network.head.fc.weight.data.fill_(-1.0)  # type: ignore[union-attr]
    for name in ("grad_cam", "grad_cam++"):
        given = METHODS[name].attribute(question_of(network, torch.rand(1, 3, 16, 16)))
        assert not given.values.any()
        assert given.remark == NO_EVIDENCE


def test_integrated_gradients_add_up_to_the_difference_of_the_logits() -> None:
    network, inputs = small_network(), torch.randn(1, 3, 16, 16)
    question = question_of(network, inputs, target=3, effort=Effort(steps=4, most_steps=256))
    given = METHODS["integrated_gradients"].attribute(question)
    difference = (network(inputs) - network(torch.zeros_like(inputs)))[0, 3].item()
    assert given.values.sum().item() == pytest.approx(difference, rel=0.01)
    gap, steps = re.fullmatch(r"completeness gap (\S+) % after (\d+) steps", given.remark).groups()  # type: ignore[union-attr]
    assert float(gap) <= 1
    assert int(steps) % 4 == 0
    few = METHODS["integrated_gradients"].attribute(dataclasses.replace(question, effort=QUICK))
    actual = abs(few.values.sum().item() - difference) / abs(difference)
    assert float(few.remark.split()[2]) == pytest.approx(100 * actual, rel=0.1)


class Patch(nn.Module):
    """The sum of the values of a patch, as the logit 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)

    def forward(self, images: Tensor) -> Tensor:
        total = self.conv(images)[:, 0, 4:8, 8:12].sum((1, 2))
        return torch.stack([total, -total], 1)


@pytest.mark.parametrize("name", ["occlusion", "smooth_grad", "integrated_gradients"])
def test_a_planted_patch_is_found(name: str) -> None:
    inputs = torch.ones(1, 3, 16, 16)
    values = METHODS[name].attribute(Question(Patch(), inputs, 0, "conv", Effort(windows=8))).values
    assert values[4:8, 8:12].min() > 0
    around = 1 if name == "occlusion" else 0  # its windows of two pixels begin at every pixel
    values[4 - around : 8 + around, 8 - around : 12 + around] = 0
    assert values.abs().max() < 1e-5


@cache
def smallest(family: str) -> Architecture:
    """The row of a family with the fewest multiply-adds, of small images where it has one."""
    (rows,) = (each.rows for each in families.FAMILIES if each.name == family)
    return min(rows, key=lambda row: (row.image_size > 64, row.macs or 10**12, row.params or 10**12))


CLASSIFIERS = [family.name for family in families.FAMILIES if family.rows[0].task == "classification"]


@pytest.mark.parametrize("family", CLASSIFIERS)
def test_every_method_works_in_every_family(family: str) -> None:
    """Also where activations work in place and modules several times; the network stays as it was."""
    row = smallest(family)
    torch.manual_seed(0)
    network = row.build().eval().requires_grad_(False)
    inputs = torch.randn(1, row.in_channels, row.image_size, row.image_size)
    before = network(inputs.clone())
    question = question_of(network, inputs, target=1)
    assert feature_maps(network, inputs, chosen_stages(network, inputs, []))
    for method in METHODS.values():
        given = method.attribute(question).values
        assert given.shape == inputs.shape[-2:]
        assert bool(given.isfinite().all()), method.title
    assert torch.equal(network(inputs.clone()), before)
    assert not any(module._forward_hooks for module in network.modules())


def test_a_module_that_works_twice_counts_by_its_last_time() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)
            self.fc = nn.Linear(3, 2)

        def forward(self, images: Tensor) -> Tensor:
            return self.fc(self.act(self.conv(self.act(self.conv(images)))).mean((2, 3)))

    torch.manual_seed(2)
    network, inputs = Twice(), torch.randn(1, 3, 6, 6)
    question = question_of(network, inputs)
    assert question.stage == "act"
    features = network.act(network.conv(network.act(network.conv(inputs))))[0]
    expected = (network.fc.weight[0][:, None, None] / 36 * features).sum(0).relu()
    assert torch.allclose(METHODS["grad_cam"].attribute(question).values, expected, atol=1e-7)


class InPlace(nn.Module):
    """A network that changes the output of its convolution in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(torch.sigmoid_(self.conv(images)).mean((2, 3)))


def test_values_are_those_before_a_change_in_place() -> None:
    torch.manual_seed(0)
    network, inputs = InPlace(), torch.randn(1, 3, 6, 6)
    question = question_of(network, inputs)
    features = network.conv(inputs)[0]
    assert torch.equal(feature_maps(network, inputs, ["conv"])["conv"], features)
    slopes = torch.sigmoid(features) * (1 - torch.sigmoid(features)) * network.fc.weight[0][:, None, None] / 36
    expected = (slopes.mean((1, 2), keepdim=True) * features).sum(0).relu()
    assert torch.allclose(METHODS["grad_cam"].attribute(question).values, expected, atol=1e-7)


def test_the_strongest_channels_come_first() -> None:
    maps = torch.tensor([1.0, -3.0, 2.0])[:, None, None].expand(3, 2, 2)
    assert strongest(maps, count=2) == [1, 2]


def test_a_method_that_ignores_the_network_fails_the_sanity_check(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = Method("Edges", "", "", lambda question: Attribution(question.inputs[0].sum(0)))
    monkeypatch.setitem(METHODS, "edges", edges)
    questions = [question_of(small_network(), torch.randn(1, 3, 16, 16))]
    weights = questions[0].network.get_parameter("head.fc.weight").clone()
    found = check_sanity(questions, ["edges", "smooth_grad"])
    assert found.correlations["edges"] == pytest.approx([1.0] * len(found.layers))
    assert found.failed == ("edges",)
    assert found.layers[-1] == found.of == 3
    assert found.compared == {"edges": 1, "smooth_grad": 1}
    assert found.undecided == ()
    assert torch.equal(questions[0].network.get_parameter("head.fc.weight"), weights)


def test_maps_that_are_the_same_everywhere_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two images one has a map of zeros: it is left out. A method of zeros alone does not pass."""
    torch.manual_seed(3)
    inputs = [torch.randn(1, 3, 16, 16), torch.zeros(1, 3, 16, 16)]
    questions = [question_of(small_network(), each) for each in inputs]
    for name, values in {"edges": lambda given: given.sum(0), "zeros": lambda given: 0 * given[0]}.items():
        attribute = lambda question, values=values: Attribution(values(question.inputs[0]))  # noqa: E731
        monkeypatch.setitem(METHODS, name, Method(name, "", "", attribute))
    found = check_sanity(questions, ["edges", "zeros"])
    assert found.compared == {"edges": 1, "zeros": 0}
    assert found.correlations["edges"] == pytest.approx([1.0] * len(found.layers))
    assert np.isnan(found.correlations["zeros"]).all()
    assert (found.failed, found.undecided) == (("edges",), ("zeros",))


class HeadFirst(nn.Module):
    """A network that names its last layer first."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.conv = nn.Linear(4, 2), nn.Conv2d(3, 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.conv(images).mean((2, 3)))


def test_the_sanity_check_shuffles_in_the_order_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    question = question_of(HeadFirst(), torch.randn(1, 3, 8, 8))
    trained = question.network.get_parameter("fc.weight").clone()
    changed = []

    def look(asked: Question) -> Attribution:
        changed.append(not torch.equal(asked.network.get_parameter("fc.weight"), trained))
        return Attribution(asked.inputs[0].sum(0))

    monkeypatch.setitem(METHODS, "look", Method("Look", "", "", look))
    check_sanity([question], ["look"])
    assert changed == [False, True, True]


def test_the_sanity_check_shuffles_every_layer_from_the_answer_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """After each step the layers nearest to the answer differ, and no others; at the end each convolution does."""
    torch.manual_seed(1)
    question = question_of(small_network(), torch.randn(1, 3, 16, 16))
    names = ["head.fc", "stage1.conv", "stem.conv"]
    trained = {name: question.network.get_submodule(name).get_parameter("weight").clone() for name in names}
    differ = []

    def look(asked: Question) -> Attribution:
        weights = {name: asked.network.get_submodule(name).get_parameter("weight") for name in names}
        differ.append([name for name in names if not torch.equal(weights[name], trained[name])])
        return Attribution(asked.inputs[0].sum(0))

    monkeypatch.setitem(METHODS, "look", Method("Look", "", "", look))
    found = check_sanity([question], ["look"])
    assert differ == [names[:count] for count in (0, *found.layers)]
    biased = nn.Linear(4, 3)
    before = biased.bias.clone()
    shuffle(biased, torch.Generator().manual_seed(3))
    assert not torch.equal(biased.bias, before)
    assert torch.equal(biased.bias.sort().values, before.sort().values)


class Bright(nn.Module):
    """The mean of the channel 0, ten times, as the logit 0 beside a 0."""

    def forward(self, images: Tensor) -> Tensor:
        total = 10 * images[:, 0].mean((1, 2))
        return torch.stack([total, torch.zeros_like(total)], 1)


def test_curves_follow_the_formula() -> None:
    """A quarter of the pixels has all of the brightness: a map that names them deletes it in five of twenty steps."""
    inputs = torch.zeros(1, 3, 8, 8)
    inputs[:, 0, :4, :4] = 4.0
    question = Question(Bright(), inputs, 0, "")
    values = inputs[0, 0] + 0.001 * torch.arange(64).view(8, 8)
    left = np.clip(1 - np.round(64 * np.arange(21) / 20) / 16, 0, 1)
    expected = 1 / (1 + np.exp(-10 * left))
    deleted = probabilities(question, inputs, torch.zeros_like(inputs), by=values)
    assert deleted == pytest.approx(expected)
    inserted = probabilities(question, torch.zeros_like(inputs), inputs, by=values)
    assert inserted == pytest.approx(1 / (1 + np.exp(-10 * (1 - left))))
    found = curves_of([(question, {"good": values, "bad": -values})] * 3, count=3)
    mean = pytest.approx(((expected[1:] + expected[:-1]) / 2).mean())
    assert found.summary("deletion")["areas"]["good"] == {"mean": mean, "ci95": [mean] * 2, "each": [mean] * 3}
    for kind, order in {"deletion": ("good", CONTROL, "bad"), "insertion": ("bad", CONTROL, "good")}.items():
        means = [found.summary(kind)["areas"][name]["mean"] for name in order]
        assert means == sorted(means)
        assert len({*means}) == 3


def test_methods_are_compared_image_by_image() -> None:
    """The areas of three images lie far apart, the differences on each do not: only they tell the methods apart."""
    areas = np.array([0.1, 0.3, 0.6])
    shifts = {"a": 0.0, "b": 0.05, "c": 0.05 * np.array([1, -1, 0.1]), CONTROL: 0.3}
    flat = {name: np.repeat((areas + shift)[:, None], 21, axis=1) for name, shift in shifts.items()}
    found = Curves(flat, {name: 1 - each for name, each in flat.items()})
    titles = {"a": "A", "b": "B", "c": "C", CONTROL: "random order"}
    for kind, sign, size in (("deletion", 1, "smallest"), ("insertion", -1, "largest")):
        summary = found.summary(kind)
        assert summary["best"] == "a"
        low, high = summary["areas"]["b"]["ci95"]
        assert low < 0.1 < 0.6 < high
        assert summary["less_best"]["b"]["mean"] == pytest.approx(sign * 0.05)
        assert summary["less_best"]["b"]["ci95"] == pytest.approx([sign * 0.05] * 2)
        assert summary["less_random"]["a"]["ci95"] == pytest.approx([sign * -0.3] * 2)
        expected = (
            f"{kind}: A has the {size} mean area; clearly worse: B; no clear difference from it: C; "
            "not clearly better than a random order: none"
        )
        assert verdict(kind, summary, titles) == expected
    alone = Curves(*({name: each[:1] for name, each in kind.items()} for kind in (found.deletion, found.insertion)))
    assert verdict("deletion", alone.summary("deletion"), titles).endswith("one image tells no method from another")
    chance = Curves({**flat, CONTROL: flat["a"]}, flat)
    assert verdict("deletion", chance.summary("deletion"), titles).endswith("a random order: A, B, C")


def test_equal_values_stand_in_a_random_order() -> None:
    values = torch.zeros(8, 8)
    values[3, 4], values[5, 1] = 1.0, 2.0
    order = falling(values)
    assert order[:2].tolist() == [41, 28]
    assert sorted(order.tolist()) == list(range(64))
    assert order[2:].tolist() != sorted(order[2:].tolist())
    assert torch.equal(order, falling(values))


def test_rank_correlation_is_spearmans() -> None:
    from scipy.stats import spearmanr

    first, second = torch.randn(2, 9, 9).round(decimals=1)
    expected = spearmanr(first.abs().flatten(), second.abs().flatten()).statistic
    assert rank_correlation(Attribution(first), Attribution(second)) == pytest.approx(expected)
    assert np.isnan(rank_correlation(Attribution(first), Attribution(torch.ones(9, 9))))


def test_a_map_lies_over_the_part_that_was_seen() -> None:
    image = torch.full((3, 300, 400), 128, dtype=torch.uint8)
    pixels = np.asarray(overlay(image, torch.ones(8, 8), Rectangle(50, 100, 200, 200))).astype(int)
    orange = pixels[..., 0] > pixels[..., 2] + 50
    expected = np.zeros((300, 400), bool)
    expected[50:250, 100:300] = True
    assert (orange == expected).all()
    assert overlay(image, torch.ones(8, 8), Rectangle(-50, 0, 400, 400)).size == (400, 300)


def test_a_map_that_is_finer_than_the_image_is_averaged() -> None:
    """Half of the values in each pixel of a smaller image are 1, but none in its middle."""
    values = torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(8).expand(32, -1)
    laid, _ = _laid(values, Rectangle(0, 0, 8, 8), 8, 8)
    assert laid == pytest.approx(np.full((8, 8), 0.5), abs=0.2)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a small network."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("explain") / "small.pt"
    torch.save(create("resnet_uva", depths=(1, 1, 1), widths=(8, 8, 8)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture that is not square."""
    path = tmp_path_factory.mktemp("photos") / "a <photo>.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def words_of(checkpoint: Path, *words: str | Path) -> list[str]:
    """The command line that explains images by the small network."""
    own = ["--arch", "resnet_uva", "-o", "depths=1,1,1", "-o", "widths=8,8,8", *NORMALISED]
    return ["explain", str(checkpoint), *map(str, words), *own]


def open_small(checkpoint: Path) -> Predictor:
    """The small network as `words_of` opens it."""
    options = {"depths": "1,1,1", "widths": "8,8,8"}
    return open_predictor(checkpoint, arch="resnet_uva", options=options, normalisation=((0.5,) * 3, (0.25,) * 3))


def test_the_page_is_whole(checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = words_of(checkpoint, photo, "--stage", "stage2.0.branch", "--class", "3", "--sanity", "--curves", "--json")
    assert main([*words, "--method", "grad_cam", "--method", "smooth_grad", "--out", str(out)]) == 0
    content = json.loads(capsys.readouterr().out)
    (image,) = content["images"]
    assert image["explained"] == "class 3"
    assert [each["method"] for each in image["maps"]] == ["grad_cam", "smooth_grad"]
    assert [each["stage"] for each in image["features"]] == ["stage2.0.branch"]
    files = [image["file"], content["filters"]["file"], "sanity.png", "curves.png"]
    files += [each["file"] for each in image["maps"] + image["features"]]
    assert {path.name for path in out.iterdir()} == {*files, "explain.html", "explain.json"}
    kept = read_json(out / "explain.json")
    assert {"versions", "hardware", "command"} < kept.pop("session").keys()
    assert {**kept, "page": str(out / "explain.html")} == content
    assert content["curves"]["titles"] == {
        "grad_cam": "Grad-CAM",
        "smooth_grad": "SmoothGrad",
        "random": "random order",
    }
    page = (out / "explain.html").read_text(encoding="utf-8")
    assert "a &lt;photo&gt;.png" in page
    assert page.count('src="data:') == page.count("src=") == len(files)
    assert not re.findall(r'(?:href|src)="(?!data:)', page)
    with Image.open(out / image["maps"][0]["file"]) as picture:
        assert picture.size == (4 * 64 + 0 * 40, 160)  # enlarged by a whole factor


def test_the_curves_of_test_images_need_no_files(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*words_of(checkpoint), "--data", "digits", "--curve-images", "12", "--method", "grad_cam"]
    assert main([*words, "--json", "--out", str(tmp_path / "out")]) == 0
    content = json.loads(capsys.readouterr().out)
    curves = content["curves"]
    assert (curves["images"], curves["source"]) == (12, "test images of digits, drawn by a fixed seed")
    assert content["images"] == content["methods"] == []
    files = {"curves.png", "explain.html", "explain.json", "filters.png"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files
    page = (tmp_path / "out/explain.html").read_text(encoding="utf-8")
    assert "the lines are means over 12 test images of digits, drawn by a fixed seed (Petsiuk" in page
    assert all(f"{line[0].upper()}{line[1:]}." in page for line in curves["verdicts"])

    predictor = open_small(checkpoint)
    network = asking.plain_copy(predictor)
    inputs = torch.cat([*Part.drawn(predictor, load_data("digits").test, most=12).inputs()])
    questions = [question_of(network, each, int(network(each).argmax())) for each in inputs.split(1)]
    expected = curves_of(
        [(each, {"grad_cam": METHODS["grad_cam"].attribute(each).values}) for each in questions], count=12
    )
    for kind, found in curves["kinds"].items():
        areas = expected.summary(kind)["areas"]
        assert len({*found["areas"]["grad_cam"]["each"]}) > 6, "the images differ"
        for method, area in found["areas"].items():
            assert area["each"] == pytest.approx(areas[method]["each"], abs=1e-3)
    assert main([*words, "--class", "3", "--json", "--out", str(tmp_path / "three")]) == 0
    three = json.loads(capsys.readouterr().out)["curves"]["kinds"]["deletion"]["areas"]["grad_cam"]["each"]
    assert three != pytest.approx(curves["kinds"]["deletion"]["areas"]["grad_cam"]["each"], abs=1e-3)


def test_bf16_answers_are_explained_in_float32(checkpoint: Path, photo: Path) -> None:
    predictor, maps = open_small(checkpoint), []
    for precision in ("float32", "bf16"):
        (asked,) = ask(predictor.to("cpu", precision=precision), Wanted([str(photo)]))
        maps.append(METHODS["grad_cam"].attribute(asked.question).values)
    assert torch.equal(*maps)
    assert all(parameter.requires_grad for parameter in predictor.network.parameters())


@pytest.mark.parametrize("class_name", [None, "3"])
def test_answers_of_several_images_have_the_features_of_each(
    class_name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two images are answered at a time; each map is that of the image alone. Another network is asked anew."""
    torch.manual_seed(0)
    torch.save(create("lenet5").state_dict(), tmp_path / "lenet5.pt")
    generator = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    for path in paths:
        Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(path)
    predictor = open_predictor(tmp_path / "lenet5.pt", arch="lenet5", normalisation=((0.5,), (0.5,)))
    monkeypatch.setattr(asking, "PIXELS", 2 * 32**2)
    asked = ask(predictor, Wanted(paths, class_name=class_name))
    for each in asked:
        alone = METHODS["grad_cam"].attribute(dataclasses.replace(each.question, features=None)).values
        assert torch.allclose(METHODS["grad_cam"].attribute(each.question).values, alone, atol=1e-6)
    assert class_name is None or {each.question.target for each in asked} == {3}
    other = create("lenet5").eval().requires_grad_(False)
    moved = METHODS["grad_cam"].attribute(asked[0].question.of(other)).values
    assert not torch.allclose(moved, METHODS["grad_cam"].attribute(asked[0].question).values)


def test_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    torch.save(create("lenet5").state_dict(), tmp_path / "lenet5.pt")
    Image.fromarray((np.arange(48 * 96 * 4) % 256).astype(np.uint8).reshape(48, 96, 4), "RGBA").save(tmp_path / "a.png")
    own = {"arch": "lenet5", "normalisation": ((0.5,), (0.5,))}
    methods = ["grad_cam", "smooth_grad"]
    place, image, out = tmp_path / "lenet5.pt", tmp_path / "a.png", tmp_path / "out"
    found = convatlas.explain(place, image, out=out, class_name=3, methods=methods, **own)
    assert [each.shape for name in methods for each in found.maps[name]] == [(32, 32)] * 2
    assert found.page == tmp_path / "out" / "explain.html"
    assert found.content["images"][0]["explained"] == "class 3"
    reading = "96 x 48 pixels, RGBA, converted to L; the network sees 48 x 48 of them, as 32 x 32"
    assert found.content["images"][0]["reading"] == reading
    assert reading in found.page.read_text(encoding="utf-8")
    words = ["explain", str(place), str(image), "--arch", "lenet5", "--class", "3"]
    words += [word for name in methods for word in ("--method", name)]
    assert main([*words, "--mean", "0.5", "--std", "0.5", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found.content
    for wrong, line in (({"methods": ["cam"]}, "unknown method"), ({"checks": ["sane"]}, "did you mean sanity")):
        with pytest.raises(UsageError, match=line):
            convatlas.explain(place, image, out=tmp_path / "no", **wrong)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--stage", "stage9"], "unknown stage 'stage9'; did you mean stage"),
        (["--class", "12"], "names no classes: give a number from 0 to 9"),
        (["--method", "gradcam"], "unknown --method 'gradcam'; did you mean grad_cam"),
        (["--out", __file__], "is a file; name a folder"),
        (["none.png"], "no image at none.png"),
        ([__file__], "no image file that can be read"),
    ],
)
def test_bad_words(
    words: list[str], line: str, checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")] if "--out" not in words else []
    assert main([*words_of(checkpoint, photo, *words), *out]) == 2
    said = [each for each in capsys.readouterr().err.splitlines() if "weights and normalisation" not in each]
    assert line in said[-1]
    assert not (tmp_path / "out").exists()


def test_a_network_without_features_and_one_that_diverged(
    checkpoint: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, inputs = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.randn(1, 3, 2, 2)
    with pytest.raises(UsageError, match=r"Grad-CAM needs features with rows and columns.* --method occlusion"):
        asking.last_stage(network, inputs, ["smooth_grad", "grad_cam"])
    assert asking.last_stage(network, inputs, ["smooth_grad"]) == ""
    assert chosen_stages(network, inputs, []) == []
    with pytest.raises(UsageError, match="unknown stage 'conv'; the network has no features"):
        chosen_stages(network, inputs, ["conv"])
    state = torch.load(checkpoint, weights_only=True)
    state["head.fc.weight"][0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    assert main([*words_of(tmp_path / "nan.pt", photo), "--out", str(tmp_path / "out")]) == 2
    assert "holds NaN or infinity" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


LINEAR = """
from torch import nn

def linear(num_classes=10, in_channels=3, image_size=32):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 32**2, num_classes))
"""


def test_a_network_of_linear_layers_is_explained_by_the_methods_that_need_no_features(
    photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "linear.py").write_text(LINEAR)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32**2, 10)).state_dict(), tmp_path / "linear.pt")
    words = ["explain", str(tmp_path / "linear.pt"), str(photo), "--arch", f"{tmp_path}/linear.py:linear", *NORMALISED]
    assert main([*words, "--out", str(tmp_path / "no")]) == 2
    assert "Grad-CAM needs features with rows and columns" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main([*words, "--method", "occlusion", "--sanity", "--json", "--out", str(tmp_path / "out")]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["stage"], content["filters"], content["images"][0]["features"]) == ("", None, [])
    assert content["sanity"]["of"] == 1


def test_captum_is_asked_for_by_its_methods_alone(
    checkpoint: Path,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("convatlas.insight.explain.methods.find_spec", lambda _name: None)
    words = [*words_of(checkpoint, photo), "--out", str(tmp_path / "out")]
    assert main(words) == 2
    said = "convatlas: the method integrated_gradients needs the package captum: pip install 'convatlas[explain]'\n"
    assert capsys.readouterr().err == said
    assert main([*words, "--method", "grad_cam"]) == 0
