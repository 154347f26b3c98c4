"""`data show` for images with boxes: the images that are chosen, and the words and the figure of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import boxed_files as made
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.boxes.truth import boxes_in
from convatlas.insight.boxed import choose_boxed, view_boxes
from convatlas.recipe import recipe


def test_every_class_is_chosen_the_rarest_first() -> None:
    labels = [[], [0], [0], [0, 1], [2, 0], [1]]
    boxes = [boxes_in([[0, 0, 1, 1]] * len(own), own, [0] * len(own), width=9, height=9) for own in labels]
    assert choose_boxed(boxes, count=3) == [4, 3, 1]
    assert sorted(choose_boxed(boxes, count=9)) == [0, 1, 2, 3, 4, 5]
    assert choose_boxed(boxes, count=9)[-1] == 0  # without boxes


def test_the_first_batch_is_that_of_a_training(tmp_path: Path) -> None:
    data = load_data(f"voc:{made.voc(tmp_path, made.pictures())}")
    shown = view_boxes(data, recipe("detect_small").replaced(image_size=32))
    assert shown.preprocessing.image_size == 32
    pixels, _ = shown.squares(5)
    assert shown.batch()["n"] == 5
    assert torch.allclose(torch.tensor(shown.batch()["mean"]), pixels.mean((0, 2, 3)), atol=1e-5)


def test_the_command_draws_a_figure_and_counts_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.insight.boxed.DPI", 50)
    reference, figure = f"voc:{made.voc(tmp_path / 'pets', made.pictures())}", tmp_path / "pets.png"
    assert main(["data", "show", reference, "--set", "image_size=32", "--out", str(figure), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["splits"]["train"] == {"n": 5, "per_class": {"cat": 5, "dog": 4}}
    assert content["preprocessing"]["image_size"] == 32
    with Image.open(figure) as image:
        colours = {colour for _, colour in image.convert("RGB").getcolors(2**24) or ()}
    assert {(0, 0x72, 0xB2), (0xD5, 0x5E, 0)} <= colours  # of the two classes
