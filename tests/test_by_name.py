"""Images of one's own evaluated by a network that was not trained on them: classes by name, and which images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction import Chosen, Predictor, choose_data, choose_images, evaluate_split
from convatlas.report import write_report
from convatlas.run import read_run
from convatlas.training import evaluated_run
from test_folder import CLASSES, flat, parted, put

KNOWN = ("class 10", "class 1", "class 9")  # the network's order; `CLASSES` is the folders'


class Brightest(nn.Module):
    """Answers with the class whose channel is the brightest."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(10 * torch.eye(3)[list(channels)])

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) @ self.weight.T


def network(*, names: tuple[str, ...] | None = KNOWN, order: tuple[str, ...] = KNOWN) -> Predictor:
    return Predictor(
        "mine", Path("mine.pt"), Brightest(tuple(map(CLASSES.index, order))), architecture("lenet5"), options={},
        num_classes=3, in_channels=3, preprocessing=Preprocessing(32, (0.5,) * 3, (0.25,) * 3), class_names=names,
    )  # fmt: skip


def top1(chosen: Chosen, predictor: Predictor) -> float:
    return evaluate_split(predictor, chosen.data, split=chosen.part).top1


def test_labels_are_matched_by_name_and_absent_classes_said(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos", each=4)
    predictor = network()
    chosen = choose_images(predictor, name=f"folder:{root}")
    assert (chosen.split, len(chosen.data.test), chosen.data.spec.class_names) == ("all", 12, KNOWN)
    assert top1(chosen, predictor) == 1.0
    assert any("has no test part, and mine was not trained on it: all its images" in note for note in chosen.data.notes)
    shutil.rmtree(root / "class 1")
    chosen = choose_images(predictor, name=f"folder:{root}")
    result = evaluate_split(predictor, chosen.data, split=chosen.part)
    assert (result.top1, result.per_class["class 1"], result.per_class_n["class 10"]) == (1.0, None, 4)
    assert f"folder:{root} has no image of class 1: 1 of 3" in chosen.data.notes


def test_a_class_that_the_network_does_not_know_is_refused_with_the_nearest(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos", each=1)
    (root / "class 9").rename(root / "clas 9")
    with pytest.raises(
        UsageError, match=r"has the class clas 9 \(did you mean class 9\?\), which mine does not know"
    ) as e:
        choose_images(network(), name=f"folder:{root}")
    assert "it knows 3: class 10, class 1, class 9; only" in str(e.value)
    assert "\n" not in str(e.value)


def test_a_checkpoint_that_does_not_name_its_classes_is_matched_by_position(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos", each=2)
    predictor = network(names=None, order=CLASSES)
    chosen = choose_images(predictor, name=f"folder:{root}")
    assert top1(chosen, predictor) == 1.0
    assert "mine does not name its classes: they are taken to be those" in chosen.data.notes[-1]
    put(root / "class 11", 1)
    with pytest.raises(UsageError, match=r"mine tells 3 classes apart, whose names it does not say; folder:.* has 4: "):
        choose_images(predictor, name=f"folder:{root}")


def test_parts_of_their_own_are_taken_as_they_are(tmp_path: Path) -> None:
    """Few images are enough, and nothing is drawn: a part without a class, one image of a class."""
    root = parted(tmp_path / "photos", "train", "val", "test", each=1)
    shutil.rmtree(root / "val" / "class 9")
    name, predictor = f"folder:{root}", network()
    for split, count, said in (
        (None, 3, "test"),
        ("validation", 2, "validation"),
        ("train", 3, "train"),
        ("all", 8, "all"),
    ):
        chosen = choose_images(predictor, name=name, split=split)
        assert (len(chosen.data.test), chosen.split, len(chosen.data.train)) == (count, said, 0)
        assert top1(chosen, predictor) == 1.0
    shutil.rmtree(root / "test")
    with pytest.raises(
        UsageError, match=r"has the parts train and validation; say which .* --split validation, or --split all"
    ):
        choose_images(predictor, name=name)
    shutil.rmtree(root / "train")
    assert choose_images(predictor, name=name).split == "all"


def test_a_split_that_is_named_is_drawn_as_for_a_training(tmp_path: Path) -> None:
    chosen = choose_images(network(), name=f"folder:{flat(tmp_path)}", split="test")
    assert (chosen.split, chosen.part, len(chosen.data.test), len(chosen.data.train)) == ("test", "test", 6, 18)


def test_the_networks_own_images_are_never_all_evaluated(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos")
    data = choose_data(network(), name=f"folder:{root}")
    own = replace(network(names=CLASSES, order=CLASSES), data=f"folder:{root}", split_hash="wrong")
    with pytest.raises(UsageError, match="would mix training and test images"):
        choose_images(own)
    plain = choose_data(network(names=CLASSES, order=CLASSES), name=f"folder:{root}")
    own = replace(own, split_hash=plain.split_hash, images_hash=plain.images_hash)
    assert choose_images(own).split == "test"
    moved = f"folder:{shutil.copytree(root, tmp_path / 'moved')}"
    assert choose_images(own, name=moved).split == "test"
    for name in (None, moved):
        with pytest.raises(
            UsageError, match=r"--split all is for images of your own that mine was not trained on; of .* it would mix"
        ):
            choose_images(own, name=name, split="all")
    with pytest.raises(UsageError, match="of digits it would mix"):
        choose_images(own, name="digits", split="all")
    assert data.split_hash != plain.split_hash, "the labels of other classes are other labels"


def test_an_evaluation_of_all_images_is_kept_as_a_run(tmp_path: Path) -> None:
    root = flat(tmp_path / "photos", each=2)
    predictor = replace(network(), path=tmp_path / "mine.pt")
    predictor.path.write_bytes(b"weights")
    chosen = choose_images(predictor, name=f"folder:{root}")
    run, result = evaluated_run(predictor, chosen.data, folder=tmp_path / "runs" / "mine")
    record = read_run(run.path).record
    assert (record.data.train, record.data.validation, record.data.test, result.n) == (0, 0, 6, 6)
    assert record.data.classes == KNOWN
    assert any("all its images are evaluated" in note for note in record.notes)
    (row,) = write_report(tmp_path / "runs", out=tmp_path / "report").rows
    assert row["test_top1_mean"] == 1.0


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_evaluate_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, photos, others = tmp_path / "own.py", flat(tmp_path / "photos", each=5), flat(tmp_path / "others", each=1)
    own.write_text(
        "from torch import nn\ndef net(*, num_classes=10, in_channels=3):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))\n"
    )
    fast = ["--recipe", "quick", "--epochs", "1", "--batch-size", "8", "--set", "image_size=8", "--quiet"]
    assert main(["train", f"{own}:net", "--data", f"folder:{photos}", *fast, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--data", f"folder:{others}", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["n"], list(found["per_class"])) == ("all", 3, list(CLASSES))
    assert main(["evaluate", str(tmp_path / "run"), "--split", "all"]) == 2
    assert "would mix training and test images" in capsys.readouterr().err
