"""The loss surface: directions by the formulas, the values at the centre and around it, and the work on it."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.architectures.bit.blocks import StandardizedConv2d
from convatlas.data import class_labels, load_data
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.evaluation import evaluate_logits
from convatlas.files import read_arrays
from convatlas.insight.landscape import Place, Wanted, landscape, measuring
from convatlas.insight.landscape.directions import (
    Directions,
    filter_normalised,
    principal_directions,
    random_directions,
)
from convatlas.insight.landscape.opening import chosen_places, names_of, open_network, sample_of, surface_of
from convatlas.insight.landscape.points import FILE, Points, axis_over
from convatlas.insight.landscape.surface import Sample, Surface, centre_of
from convatlas.prediction import open_predictor
from convatlas.run import Run
from made_runs import made_run

LAYERS = {
    "convolution": partial(nn.Conv2d, 6, 4, 3),
    "strided": partial(nn.Conv2d, 6, 4, (3, 5), stride=2, bias=False),
    "depthwise": partial(nn.Conv2d, 6, 12, 3, groups=6),
    "grouped": partial(nn.Conv2d, 6, 4, 1, groups=2),
    "standardised": partial(StandardizedConv2d, 6, 4, 3),
    "linear": partial(nn.Linear, 6, 5),
    "batch norm": partial(nn.BatchNorm2d, 6),
    "group norm": partial(nn.GroupNorm, 2, 6),
}


def by_loops(direction: Tensor, weight: Tensor) -> Tensor:
    """The formula of the authors' code, filter by filter and value by value."""
    if weight.ndim <= 1:
        return weight
    result = torch.empty_like(weight)
    for filter_ in range(len(weight)):
        own = math.sqrt(sum(value**2 for value in weight[filter_].flatten().tolist()))
        drawn = math.sqrt(sum(value**2 for value in direction[filter_].flatten().tolist()))
        for place in np.ndindex(*weight.shape[1:]):
            result[(filter_, *place)] = direction[(filter_, *place)] * (own / (drawn + 1e-10))
    return result


@pytest.mark.parametrize("kind", LAYERS)
def test_filter_normalisation_is_the_formula(kind: str) -> None:
    torch.manual_seed(0)
    layer = LAYERS[kind]().double()
    for weight in layer.parameters():
        with torch.no_grad():
            weight.copy_(torch.randn_like(weight))
        direction = torch.randn_like(weight)
        torch.testing.assert_close(
            filter_normalised(direction, weight), by_loops(direction, weight), rtol=1e-12, atol=1e-14
        )


def test_a_filter_of_zeros_does_not_move() -> None:
    weight = torch.zeros(2, 3, 1, 1)
    assert torch.equal(filter_normalised(torch.randn(2, 3, 1, 1), weight), weight)


def test_biases_and_norms_stay_or_become_their_own_direction() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    weights = centre_of(network)
    ignored = random_directions(weights, seed=3, ignore="biasbn", count=2)
    assert [sorted(vector) for vector in ignored.vectors] == [["0.weight", "3.weight"]] * 2
    with_all = random_directions(weights, seed=3, ignore="none", count=2)
    for own, other in zip(ignored.vectors, with_all.vectors, strict=True):
        assert set(other) == set(weights)
        assert torch.equal(other["1.weight"], weights["1.weight"])
        assert torch.equal(other["0.weight"], own["0.weight"])  # what is ignored is drawn too
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(4, 3, 3, 3, generator=generator)
    assert torch.equal(ignored.vectors[0]["0.weight"], filter_normalised(first, weights["0.weight"]))
    assert not torch.equal(ignored.vectors[0]["0.weight"], ignored.vectors[1]["0.weight"])


def test_principal_directions_are_those_of_scikit_learn() -> None:
    from sklearn.decomposition import PCA

    torch.manual_seed(0)
    shapes = {"conv.weight": (4, 3, 2, 2), "norm.weight": (4,), "fc.weight": (2, 5)}
    centre = {name: torch.randn(shape) for name, shape in shapes.items()}
    snapshots = {epoch: {name: torch.randn(shape) for name, shape in shapes.items()} for epoch in (0, 3, 5, 8, 9)}
    found = principal_directions(centre, snapshots, ignore="biasbn", count=2)
    moving = [name for name in shapes if name != "norm.weight"]
    rows = np.stack(
        [
            torch.cat([(each[name] - centre[name]).double().flatten() for name in moving]).numpy()
            for each in snapshots.values()
        ]
    )
    pca = PCA(n_components=2).fit(rows)
    assert found.explained == pytest.approx(pca.explained_variance_ratio_)
    assert found.epochs == (0, 3, 5, 8, 9)
    assert found.path is not None
    for place, expected in enumerate(pca.components_):
        assert set(found.vectors[place]) == set(moving)
        vector = torch.cat([found.vectors[place][name].flatten() for name in moving]).double().numpy()
        sign = np.sign(vector @ expected)
        assert vector == pytest.approx(sign * expected, abs=1e-6)
        assert found.path[:, place] == pytest.approx(rows @ (sign * expected), abs=1e-6)  # the authors' projection
        assert found.path[0, place] <= 0


def test_a_path_of_too_few_directions_is_refused() -> None:
    centre = {"weight": torch.zeros(2, 3)}
    line = {epoch: {"weight": epoch * torch.ones(2, 3)} for epoch in range(4)}
    found = principal_directions(centre, line, ignore="biasbn", count=1)
    assert found.explained == pytest.approx((1.0,))
    for snapshots, count in ((line, 2), ({0: centre, 1: centre, 2: centre}, 1), ({0: centre}, 2)):
        with pytest.raises(UsageError, match="fewer than"):
            principal_directions(centre, snapshots, ignore="biasbn", count=count)
    line[1] = {"weight": torch.full((2, 3), float("nan"))}
    with pytest.raises(UsageError, match="NaN"):
        principal_directions(centre, line, ignore="biasbn", count=1)


def small_network() -> nn.Sequential:
    """A convolution with batch norm and a linear layer, with random values everywhere."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.rand(value.shape) - 0.3 * (value.ndim > 1))
    return network


PLAIN = Preprocessing(8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25))


def images(count: int) -> Sample:
    return Sample(torch.rand(count, 3, 8, 8), torch.arange(count) % 3)


@pytest.mark.parametrize("ignore", ["biasbn", "none"])
def test_a_point_is_the_loss_of_the_moved_weights(ignore: str) -> None:
    network, sample = small_network(), images(70)
    directions = random_directions(centre_of(network), seed=1, ignore=ignore, count=2)
    expected = []
    places = [(0.5, -0.25), (0.0, 0.0), (1.0, 1.0), (0.5, -0.25)]
    for x, y in places:
        moved = small_network().eval()
        for name, parameter in moved.named_parameters():
            if name in directions.vectors[0]:
                parameter.data += x * directions.vectors[0][name] + y * directions.vectors[1][name]
        logits = moved(PLAIN(sample.pixels))
        wrong = int((logits.argmax(1) != sample.labels).sum())
        expected.append((F.cross_entropy(logits, sample.labels).item(), wrong / 70))
    surface = Surface(network, directions, preprocessing=PLAIN, statistics="fixed")
    found = [surface.measure(sample, *place) for place in places]
    assert found == [pytest.approx(each, rel=1e-5) for each in expected]
    assert found[0] == found[3]  # whichever points came between


def test_recomputed_statistics_are_those_of_the_images() -> None:
    network, sample = small_network(), images(64)
    directions = random_directions(centre_of(network), seed=1, ignore="biasbn", count=1)
    surface = Surface(network, directions, preprocessing=PLAIN, statistics="recompute")
    moved = small_network().train()
    for name, vector in directions.vectors[0].items():
        moved.get_parameter(name).data += 0.5 * vector
    moved[1].momentum = 1.0
    moved(PLAIN(sample.pixels))
    expected = F.cross_entropy(moved.eval()(PLAIN(sample.pixels)), sample.labels).item()
    for _ in range(2):  # nothing is left of the point before
        surface.measure(sample, -1.0)
        assert surface.measure(sample, 0.5)[0] == pytest.approx(expected, rel=1e-5)
    assert not network[1].training


def test_a_loss_without_a_number_is_infinite_and_its_images_are_wrong() -> None:
    network, sample = small_network(), images(6)
    vector = {"4.weight": torch.full((3, 144), 1e38)}
    surface = Surface(network, Directions((vector,)), preprocessing=PLAIN, statistics="fixed")
    assert surface.measure(sample, 1e3) == (math.inf, 1.0)


RUNS = {
    "batch norm": {"name": "resnet_uva"},
    "batch norm, moving average": {"name": "resnet_uva", "ema": 0.9},
    "batch norm, bf16": {"name": "resnet_uva", "precision": "bf16"},
    "pre-activation": {"name": "preact_resnet_uva", "options": {"depths": (1, 1), "widths": (4, 8)}},
    "group norm": {"name": "bit_resnet26_cifar", "options": {"depths": (1, 1), "widths": (16, 16), "groups": 4}},
    "one's own": {"name": f"{Path(__file__).parent.parent}/examples/my_network.py:my_network"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("runs")
    return {kind: made_run(folder / str(place), **fields) for place, (kind, fields) in enumerate(RUNS.items())}


@pytest.mark.parametrize("kind", RUNS)
def test_the_centre_is_the_runs_own_loss_in_float32(kind: str, runs: dict[str, Run], tmp_path: Path) -> None:
    wanted = Wanted(dimensions=1, grid=5, images=100)
    content = landscape([str(runs[kind].path)], wanted, Place(tmp_path / "out", processes=1)).content
    (surface,) = content["surfaces"]
    predictor = open_predictor(runs[kind].path).to("cpu", precision="float32")
    data = load_data("digits")
    places = chosen_places(data, images=100)
    whole = predictor.logits(data.train)[places].numpy()
    own = evaluate_logits(whole, class_labels(data.train)[places].numpy(), data.spec.class_names)
    kept = torch.load(runs[kind].best_checkpoint, weights_only=True)["state_dict"]
    evaluated = "ema_network.module." if "moving average" in kind else "network."
    for name, parameter in predictor.plain_network.named_parameters():
        assert torch.equal(parameter, kept[evaluated + name].float()), "of the weights that the run evaluated"
    assert surface["centre"] == {"loss": pytest.approx(own.loss, rel=1e-6), "error": pytest.approx(1 - own.top1)}
    points = read_arrays(tmp_path / "out" / FILE)
    assert points["loss"].shape == (1, 1, 5)
    assert points["loss"][0, 0, 2] == surface["centre"]["loss"]
    assert len(set(points["loss"].flatten())) == 5
    assert points["x"].tolist() == [[-1.0, -0.5, 0.0, 0.5, 1.0]]


def test_the_images_are_training_images_that_a_seed_chose() -> None:
    data = load_data("digits")
    places = chosen_places(data, images=50)
    assert places.tolist() == sorted(set(places.tolist()))
    assert torch.equal(places, chosen_places(data, images=50))
    assert len(places) == 50
    assert len(chosen_places(data, images=10**6)) == len(data.train)


def test_a_stopped_work_goes_on_and_gives_the_same(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources, wanted = [str(runs[kind].path) for kind in ("batch norm", "pre-activation")], Wanted(grid=5, images=70)
    whole = landscape(sources, wanted, Place(tmp_path / "whole", processes=1)).content
    measured, counted = measuring._measured, []

    def stopped(*arguments: object) -> tuple[float, float]:
        counted.append(arguments)
        if len(counted) == 30:
            raise KeyboardInterrupt
        return measured(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(measuring, "_measured", stopped)
        with pytest.raises(KeyboardInterrupt):
            landscape(sources, wanted, Place(tmp_path / "part", processes=1))
    assert sorted(path.name for path in (tmp_path / "part").iterdir() if path.name[0] != ".") == [FILE]
    assert not list((tmp_path / "part").glob(".writing*"))
    assert int(np.isnan(read_arrays(tmp_path / "part" / FILE)["loss"]).sum()) == 21
    with pytest.raises(UsageError, match="holds a landscape already; go on with --resume"):
        Place(tmp_path / "part")
    with pytest.raises(UsageError, match=r"holds another landscape \(grid 5 there, 7 here\)"):
        landscape(sources, Wanted(grid=7, images=70), Place(tmp_path / "part", processes=1, resume=True))
    counted.clear()
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "_measured", lambda *given: (counted.append(given), measured(*given))[1])
        again = landscape(sources, wanted, Place(tmp_path / "part", processes=1, resume=True)).content
    assert {**again, "page": whole["page"]} == whole
    assert len(counted) == 21
    for name, values in read_arrays(tmp_path / "whole" / FILE).items():
        assert np.array_equal(values, read_arrays(tmp_path / "part" / FILE)[name])
    stored = json.loads((tmp_path / "part" / "landscape.json").read_text())
    assert stored["surfaces"][1]["centre"] == whole["surfaces"][1]["centre"]


@pytest.mark.slow
def test_two_processes_give_the_values_of_one(runs: dict[str, Run], tmp_path: Path) -> None:
    sources, wanted = [str(runs[kind].path) for kind in ("group norm", "one's own")], Wanted(grid=5, images=300)
    for processes in (1, 2):
        landscape(sources, wanted, Place(tmp_path / str(processes), processes=processes))
    one, two = (read_arrays(tmp_path / name / FILE)["loss"] for name in ("1", "2"))
    assert np.array_equal(one, two)


def test_seeds_draw_other_directions_from_the_same_centre(runs: dict[str, Run], tmp_path: Path) -> None:
    wanted = Wanted(grid=5, images=20, seeds=2, dimensions=1)
    content = landscape([str(runs["batch norm"].path)], wanted, Place(tmp_path / "out", processes=1)).content
    first, second = content["surfaces"]
    assert (first["seed"], second["seed"]) == (0, 1)
    assert first["centre"] == second["centre"]
    loss = read_arrays(tmp_path / "out" / FILE)["loss"]
    assert not np.allclose(loss[0, 0, [0, 1, 3, 4]], loss[1, 0, [0, 1, 3, 4]])


def test_along_the_path_of_a_training(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", snapshots=4)
    wanted = Wanted(directions="pca", grid=5, images=20)
    content = landscape([str(run.path)], wanted, Place(tmp_path / "out", processes=1)).content
    (surface,) = content["surfaces"]
    assert surface["epochs"] == [0, 1, 2, 3]
    assert len(surface["path"]) == 4
    assert sum(surface["explained"]) <= 1
    arrays = read_arrays(tmp_path / "out" / FILE)
    for place, name in enumerate("xy"):
        steps, path = arrays[name][0], np.array(surface["path"])[:, place]
        assert steps[0] <= path.min()
        assert path.max() <= steps[-1]
        assert 0 in steps
        assert np.diff(steps) == pytest.approx(np.diff(steps)[0])


@pytest.mark.parametrize("values", [[-9.0, -4.0], [3.0, 5.0], [-1.0, 1.0], [1e-6, 2e-6]])
def test_an_axis_over_a_path_holds_it_and_the_centre(values: list[float]) -> None:
    for grid in (5, 7, 25):
        steps = axis_over(np.array(values), grid)
        assert steps[0] <= min(values)
        assert max(values) <= steps[-1]
        assert 0 in steps
        assert len(steps) == grid


def test_names_are_as_short_as_keeps_them_apart(tmp_path: Path) -> None:
    first = made_run(tmp_path / "a", options={"depths": (1, 1, 1), "widths": (4, 4, 4)})
    other = made_run(tmp_path / "b", "lenet5", image_size=32)
    changed = made_run(tmp_path / "c", "lenet5", image_size=32, lr=0.5)
    assert names_of([first, other], ["a", "b"]) == ["resnet_uva(depths=1,1,1, widths=4,4,4)", "lenet5"]
    assert names_of([other, other], ["b", "b/last"]) == ["b", "b/last"]
    assert names_of([other, changed], ["b", "c"])[1].startswith("lenet5 @ quick[")


def test_points_of_another_file_are_refused(tmp_path: Path) -> None:
    points = Points.empty({"grid": 5}, [(np.zeros(5), np.zeros(1))])
    (tmp_path / FILE).write_bytes(b"no arrays")
    with pytest.raises(UsageError, match="cut off or damaged"):
        points.filled_from(tmp_path)
    np.savez(tmp_path / FILE, loss=np.zeros(3))
    with pytest.raises(UsageError, match="it is no file of a landscape"):
        points.filled_from(tmp_path)
    Points.empty({"grid": 5}, [(np.zeros(7), np.zeros(1))]).write(tmp_path)
    with pytest.raises(UsageError, match="other shapes"):
        points.filled_from(tmp_path)


def test_a_network_is_opened_as_evaluation_sees_its_images(runs: dict[str, Run]) -> None:
    """Also where images are cut out of larger ones: the same pixels, once."""
    predictor = open_network(str(runs["batch norm"].path), device="cpu")
    data = load_data("digits")
    places = chosen_places(data, images=9)
    sample = sample_of(data, places, predictor)
    surface = surface_of(predictor, Directions(({},)), Wanted(dimensions=1))
    assert sample.pixels.shape == (9, 1, 8, 8)
    logits = predictor.logits(data.train)[places]
    expected = F.cross_entropy(logits.double(), sample.labels).item()
    assert surface.measure(sample)[0] == pytest.approx(expected, rel=1e-6)
