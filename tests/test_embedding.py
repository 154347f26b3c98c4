"""Nearest training images and the embedding of test images: against brute force, without overlap, on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.errors import UsageError
from convatlas.insight.explain import Wanted, material
from convatlas.insight.explain.embedding import (
    CELLS,
    CLASS_COLOURS,
    REACH,
    Embedding,
    embed,
    laid_out,
    looks,
    picture_sheet,
)
from convatlas.insight.explain.features import before_last_layer
from convatlas.insight.explain.material import Part
from convatlas.insight.explain.neighbours import nearest
from convatlas.prediction import Predictor, open_predictor
from convatlas.run import Run
from fixtures import fake_record, quick_runs

pytest.importorskip("captum")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of LeNet-5 for grey images."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("embedding") / "lenet5.pt"
    torch.save(convatlas.create("lenet5").state_dict(), path)
    return path


@pytest.fixture
def predictor(checkpoint: Path) -> Predictor:
    return open_predictor(checkpoint, arch="lenet5", normalisation=((0.3,), (0.4,))).to("cpu")


def test_the_nearest_are_those_of_brute_force(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batches of 16, over images of which two are the same."""
    monkeypatch.setattr(material, "BATCH_SIZE", 16)
    data, network = load_data("digits"), predictor.plain_network
    part = Part(predictor, data.train, torch.cat([torch.arange(5, 60), torch.tensor([7])]))
    sought = [next(Part(predictor, data.test, torch.tensor([place])).inputs()) for place in range(3)]
    sought.append(next(Part(predictor, data.train, torch.tensor([7])).inputs()))
    found = nearest(network, sought, part, count=4)
    features = torch.cat([before_last_layer(network, batch) for batch in part.inputs()]).double()
    for inputs, near in zip(sought, found, strict=True):
        own = before_last_layer(network, inputs).double()
        distances = 1 - torch.nn.functional.cosine_similarity(own, features)
        order = distances.sort(stable=True).indices[:4]
        assert [each.place for each in near] == part.places[order].tolist()
        assert [each.distance for each in near] == pytest.approx(distances[order].tolist(), abs=1e-6)
    assert [(each.place, round(each.distance, 6)) for each in found[3][:2]] == [(7, 0.0), (7, 0.0)]
    everything = nearest(network, sought[:1], part, count=99)
    assert len(everything[0]) == len(part)


def test_pca_holds_the_most_variance_and_all_is_repeated(predictor: Predictor) -> None:
    data, network = load_data("digits"), predictor.plain_network
    part = Part.drawn(predictor, data.test, most=60)
    assert len(part) == len(set(part.places.tolist())) == 60
    found = embed(network, part)
    features = torch.cat([before_last_layer(network, batch) for batch in part.inputs()]).double()
    centred = features - features.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    expected = (centred @ directions[:2].T).abs().numpy()
    assert np.abs(found.pca) == pytest.approx(expected, abs=1e-3 * expected.max())
    assert found.variance == pytest.approx((sizes**2 / (sizes**2).sum())[:2].tolist(), rel=1e-3)
    assert found.labels.tolist() == data.test.labels[part.places].tolist()  # type: ignore[index,call-overload]
    assert found.tsne.shape == (60, 2)
    again = embed(network, part)
    assert np.array_equal(found.tsne, again.tsne)
    with pytest.raises(UsageError, match="--embedding needs 8 images or more; there are 7"):
        embed(network, Part.drawn(predictor, data.test, most=7))


def test_small_images_do_not_lie_over_each_other() -> None:
    generator = np.random.default_rng(0)
    points = np.concatenate([generator.normal(size=(200, 2)), np.zeros((60, 2))])
    laid = laid_out(points)
    cells = np.array([*laid.values()])
    assert (
        len(laid) == len(set(map(tuple, cells.tolist()))) < len(points)
    )  # where 60 lie at one point, some are left out
    assert cells.min() >= 0
    assert cells.max() < CELLS
    scaled = (points - points.min(0)) / np.ptp(points, axis=0) * (CELLS - 1)
    wanted = np.stack([scaled[:, 0], CELLS - 1 - scaled[:, 1]], 1)[[*laid]]
    assert np.hypot(*(wanted - cells).T).max() <= REACH
    assert len(laid_out(np.zeros((3, 2)))) == 3


def test_classes_have_looks_of_their_own_as_far_as_there_are_some() -> None:
    labels = np.repeat(np.arange(20), np.arange(1, 21))
    look = looks(labels, [f"class {index}" for index in range(30)])
    assert sorted(look) == list(range(20 - len(CLASS_COLOURS), 20))
    assert len({colour for colour, _ in look.values()}) == len(CLASS_COLOURS), "small images have no marker"
    points = np.random.default_rng(0).normal(size=(len(labels), 2))
    embedding = Embedding(points, points, labels, torch.arange(len(labels)), (0.5, 0.2))
    sheet = np.asarray(picture_sheet(embedding, torch.zeros(len(labels), 1, 44, 44, dtype=torch.uint8), ["a"] * 20))
    assert (sheet == 0).all(-1).any()


def test_the_page_has_neighbours_and_the_embedding(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.insight.explain.sections.IMAGES", 40)
    data = load_data("digits")
    pixels = data.train.thumbnails(torch.tensor([3]), size=32)[0, 0].numpy()
    Image.fromarray(pixels).save(tmp_path / "three.png")
    words = [
        "explain",
        str(checkpoint),
        str(tmp_path / "three.png"),
        "--arch",
        "lenet5",
        "--mean",
        "0.3",
        "--std",
        "0.4",
    ]
    words += ["--method", "grad_cam", "--neighbours", "5", "--embedding", "--data", "digits", "--json"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    content = json.loads(capsys.readouterr().out)
    near = content["images"][0]["neighbours"]
    assert [len(near["images"]), near["of"]] == [5, len(data.train)]
    assert near["images"][0]["index"] == int(data.train.index[3])
    assert near["images"][0]["distance"] == pytest.approx(0, abs=1e-3)
    assert content["embedding"]["images"] == 40
    assert content["embedding"]["of"] == len(data.test)
    page = (tmp_path / "out" / "explain.html").read_text(encoding="utf-8")
    assert "Nearest training images" in page
    assert "40 drawn from 360 test images of digits" in page
    assert not re.findall(r'(?:href|src)="(?!data:)', page)
    files = {near["file"], content["embedding"]["file"], content["embedding"]["small_images"]}
    assert files <= {path.name for path in (tmp_path / "out").iterdir()}


def test_images_in_files_are_seen_as_the_command_sees_them(tmp_path: Path) -> None:
    torch.save(convatlas.create("resnet20").state_dict(), tmp_path / "resnet20.pt")
    predictor = open_predictor(tmp_path / "resnet20.pt", arch="resnet20", normalisation=((0.3,) * 3, (0.4,) * 3))
    expected = []
    for number in range(12):
        path = tmp_path / "images" / f"class {number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        expected.append(predictor.inputs(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
    part = Part.drawn(predictor, load_data(f"folder:{tmp_path / 'images'}").train, most=5)
    for seen in torch.cat([*part.inputs()]):
        assert min((seen - each).abs().max().item() for each in expected) < 0.02  # whole levels of 255


def test_images_of_other_channels_are_refused(predictor: Predictor, tmp_path: Path) -> None:
    for number in range(12):
        folder = tmp_path / f"class {number % 2}"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (20 * number, 0, 0)).save(folder / f"{number}.png")
    wanted = Wanted(checks=frozenset({"embedding"}))
    with pytest.raises(UsageError, match=r"takes images of 1 channels; those of folder:.* have 3"):
        material.material_for(predictor, wanted, name=f"folder:{tmp_path}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in bf16 with a moving average of its weights."""
    settings = {"epochs": 1, "batch_size": 256, "image_size": 32, "precision": "bf16", "ema": 0.9}
    with quick_runs():
        return convatlas.train("lenet5", settings=settings, out=tmp_path_factory.mktemp("run") / "run", quiet=True)


@pytest.mark.filterwarnings("ignore:.*the averaged one .* is taken")
def test_a_run_brings_its_data_and_its_average_in_float32(run: Run, tmp_path: Path) -> None:
    pixels = load_data("digits").test.thumbnails(torch.tensor([0]), size=8)[0, 0].numpy()
    Image.fromarray(pixels).save(tmp_path / "digit.png")
    wishes: dict[str, Any] = {"methods": ["grad_cam"], "neighbours": 3, "excite": ["2"], "steps": 3, "device": "cpu"}
    found = convatlas.explain(run, tmp_path / "digit.png", out=tmp_path / "out", **wishes)
    network = convatlas.load(run)  # which has the average
    kept = torch.load(run.best_checkpoint, weights_only=True)["state_dict"]
    name = "head.fc2.bias"
    assert torch.equal(network.get_parameter(name), kept[f"ema_network.module.{name}"])
    assert not torch.equal(network.get_parameter(name), kept[f"network.{name}"])
    inputs = open_predictor(run.path).inputs(torch.from_numpy(pixels)[None, None])
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    probabilities = network(inputs)[0].double().softmax(0)
    (image,) = found.content["images"]
    assert image["classes"][0]["probability"] == pytest.approx(probabilities.max().item(), abs=1e-6)
    assert image["neighbours"]["of"] == 1077
    (excited,) = found.content["excited"]["pictures"]
    assert excited["real"] >= network(inputs)[0, 2].item() - 1e-4  # training images stand beside it too


def test_images_that_are_too_few_leave_no_folder(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explain", str(run.path), "--embedding", "--data", "digits?classes=2,3&test_images=6"]
    assert main([*words, "--out", str(tmp_path / "made/out")]) == 2
    assert "--embedding needs 8 images or more; there are 6" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_an_unfinished_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Run(tmp_path / "run", fake_record("lenet5", status="unfinished")).write()
    assert main(["explain", str(tmp_path / "run"), "--embedding", "--out", str(tmp_path / "out")]) == 2
    assert "is unfinished" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()
