"""The verbs in Python: what a run holds is loaded, asked and kept without being named again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas
from convatlas.cli import main
from convatlas.data import ResidentImages, load_data
from convatlas.errors import UsageError
from convatlas.prediction import open_predictor
from convatlas.run import Run
from fixtures import fake_record, quick_runs, write_fake_study

SETTINGS = {"epochs": 1, "batch_size": 256, "image_size": 8}
OPTIONS = {"depths": (1, 1), "widths": (8, 16)}
OWN = "from torch import nn\ndef net(*, num_classes=10, in_channels=1, width=4):\n    return nn.Sequential(\n"
OWN += "        nn.Flatten(), nn.Linear(64 * in_channels, width), nn.ReLU(), nn.Linear(width, num_classes)\n    )\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("python") / "run"
    with quick_runs():
        return convatlas.train("resnet_uva", settings=SETTINGS, options=OPTIONS, out=folder, quiet=True)


def images() -> torch.Tensor:
    """The first images of digits as the run's network takes them, normalised by hand."""
    data = load_data("digits")
    assert isinstance(data.train, ResidentImages)
    assert isinstance(data.test, ResidentImages)
    pixels = data.train.pixels.double() / 255
    return ((data.test.pixels[:5] / 255 - pixels.mean()) / pixels.std(correction=0)).float()


def test_a_run_is_loaded_without_a_name(run: Run) -> None:
    expected = run.predictions()["test_logits"][:5]
    for source in (run, run.path, str(run.path), run.path / "checkpoints" / "best.ckpt"):
        network = convatlas.load(source)
        assert not network.training
        with torch.no_grad():
            np.testing.assert_allclose(network(images()).numpy(), expected, atol=1e-4)
    named = convatlas.load("resnet_uva", run)
    assert all(torch.equal(a, b) for a, b in zip(named.parameters(), network.parameters(), strict=True))


@pytest.mark.slow
def test_a_checkpoint_that_says_its_network_is_loaded_without_a_name(run: Run, tmp_path: Path) -> None:
    copied = tmp_path / "copied.ckpt"
    copied.write_bytes(run.best_checkpoint.read_bytes())
    expected = convatlas.load(run).state_dict()
    for source in (copied, torch.load(copied, weights_only=True)):
        loaded = convatlas.load(source).state_dict()
        assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    published = convatlas.create("resnet_uva").state_dict()
    assert convatlas.load(published).state_dict().keys() == published.keys()  # known by its keys and shapes


def test_options_and_classes_of_a_run_may_be_others(run: Run) -> None:
    with pytest.warns(UserWarning, match="the head for 10 classes is replaced by an untrained one for 3"):
        network = convatlas.load(run, num_classes=3, activation="gelu")
    assert network(images()).shape == (5, 3)
    assert any(isinstance(layer, torch.nn.GELU) for layer in network.modules())


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_an_own_network_of_a_run_is_loaded_without_a_name(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    run = convatlas.train(f"{path}:net", settings=SETTINGS, options={"width": 3}, out=tmp_path / "run", quiet=True)
    assert convatlas.load(run)[1].out_features == 3
    path.write_text(OWN + "# changed\n")
    with pytest.raises(UsageError, match="is not what it was when the run"):
        convatlas.load(run)


def test_what_cannot_be_loaded_without_a_name(tmp_path: Path) -> None:
    Run(tmp_path, fake_record("resnet_uva", status="unfinished")).write()
    for source, message in (
        ("resnet_uva", "is an architecture, which has no weights of its own; name a run or a checkpoint too"),
        ("resnet_uvx", "no run at resnet_uvx, no checkpoint and no architecture .* did you mean"),
        (tmp_path, "is unfinished"),
        (7, "a checkpoint is a file, a run's folder or a state dict, not int"),
    ):
        with pytest.raises(UsageError, match=message):
            convatlas.load(source)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the name of a network is text, not PosixPath"):
        convatlas.load(tmp_path, tmp_path)


def test_an_evaluation_has_its_logits_and_labels(run: Run) -> None:
    kept = run.predictions()
    for split, name in (("test", "test"), ("validation", "val")):
        found = convatlas.evaluate(run, split=split)
        assert np.array_equal(found.logits, kept[f"{name}_logits"])
        assert np.array_equal(found.labels, kept[f"{name}_labels"])
        assert found.correct == (found.logits.argmax(1) == found.labels).sum()
        assert "logits" not in repr(found)
        assert json.dumps(found.scores())
        assert found.scores()["top1"] == run.results[f"{name}_top1"]


def test_predict_answers_as_the_command_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(3)]
    test = load_data("digits").test
    assert isinstance(test, ResidentImages)
    for index, path in enumerate(paths):
        Image.fromarray(test.pixels[index, 0].numpy()).save(path)
    answers = convatlas.predict(run, paths, top=2)
    assert main(["predict", str(run.path), *map(str, paths), "--top", "2", "--json"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [str(given.path) for given in answers] == [image["image"] for image in printed]
    for given, image in zip(answers, printed, strict=True):
        assert [list(pair) for pair in given.classes] == [[p["class"], p["probability"]] for p in image["predictions"]]
    alone = convatlas.predict(run.path, str(paths[0]), top=1)[0].classes[0]  # alone, the last digits may differ
    assert alone == (answers[0].classes[0][0], pytest.approx(answers[0].classes[0][1], abs=1e-6))
    with pytest.raises(UsageError, match=r"no image at nothing\.png"):
        convatlas.predict(run, "nothing.png")
    with pytest.raises(UsageError, match="top=0 must be at least 1"):
        convatlas.predict(run, paths, top=0)


@pytest.mark.slow
def test_a_checkpoint_without_normalisation_is_asked_with_one(tmp_path: Path) -> None:
    torch.save(convatlas.create("resnet_uva", in_channels=1).state_dict(), tmp_path / "grey.pt")
    Image.new("L", (9, 9), 128).save(tmp_path / "grey.png")
    normalisation = ((0.3,), (0.4,))
    with pytest.raises(UsageError, match="normalisation"):
        convatlas.predict(tmp_path / "grey.pt", tmp_path / "grey.png", arch="resnet_uva")
    (given,) = convatlas.predict(
        tmp_path / "grey.pt", tmp_path / "grey.png", arch="resnet_uva", normalisation=normalisation
    )
    assert len(given.classes) == 5
    found = convatlas.evaluate(tmp_path / "grey.pt", arch="resnet_uva", data="digits", normalisation=normalisation)
    predictor = open_predictor(tmp_path / "grey.pt", arch="resnet_uva", normalisation=normalisation)
    assert np.array_equal(found.logits, predictor.to("cpu").logits(load_data("digits").test).numpy())


def test_show_counts_as_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    counted = convatlas.show("densenet_uva", image_size=48, growth_rate=8, num_classes=5)
    words = ["--image-size", "48", "-o", "growth_rate=8", "-o", "num_classes=5", "--json"]
    assert main(["show", "densenet_uva", *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (counted.params, counted.macs, counted.shape) == (printed["params"], printed["macs"], (3, 48, 48))
    assert len(counted.layers) == len(list(counted.network.rows()))
    for wrong, message in (({"image_size": 0}, "image_size=0"), ({"growth": 3}, "did you mean growth_rate")):
        with pytest.raises(UsageError, match=message):
            convatlas.show("densenet_uva", **wrong)


def test_the_predictions_of_a_study(tmp_path: Path) -> None:
    study = write_fake_study(tmp_path / "study", networks=["resnet_uva"], seeds=2)
    found = convatlas.predictions(study)
    assert list(found) == ["resnet_uva/seed0", "resnet_uva/seed1"]  # neither the failed nor the unfinished run
    first = found["resnet_uva/seed0"]
    assert first["test_logits"].shape == (360, 10)
    assert (first["test_logits"].argmax(1) != first["test_labels"]).sum() == 9
    assert list(convatlas.predictions(study / "resnet_uva" / "seed1")) == ["."]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no finished run in"):
        convatlas.predictions(tmp_path / "empty")


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_a_report_gives_the_predictions_of_its_study(tmp_path: Path) -> None:
    report = convatlas.compare(
        ["resnet_uva"], seeds=2, settings=SETTINGS, options=OPTIONS, out=tmp_path / "study", quiet=True
    )
    found = convatlas.predictions(report)
    assert [place.rpartition("/")[2] for place in found] == ["seed0", "seed1"]
    accuracies = [run["test_top1"] for run in report.rows[0]["runs"]]
    assert [(kept["test_logits"].argmax(1) == kept["test_labels"]).mean() for kept in found.values()] == accuracies


def test_every_name_is_there() -> None:
    for name in convatlas.__all__:
        assert callable(getattr(convatlas, name))


@pytest.mark.parametrize("call", ["train('lenet5', recipe='quik')", "compare(['lenet5'], settings={'lrr': 1})"])
def test_a_wrong_word_of_python_is_refused_before_pytorch_is_imported(call: str) -> None:
    code = (
        "import sys, convatlas\n"
        f"try:\n    convatlas.{call}\n"
        "except ValueError as error:\n    print('did you mean' in str(error), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
