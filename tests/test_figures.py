"""Each figure of insight, of as many values as the worked examples have, is drawn in less than three seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from convatlas.files import read_json
from convatlas.insight.degradation import degradation
from convatlas.insight.degradation_figure import draw_degradation
from convatlas.insight.disagreement.figures import PANELS, draw_agreement
from convatlas.insight.explain.curves import CONTROL, STEPS, Curves, draw_curves
from convatlas.insight.explain.embedding import IMAGES, THUMB, Embedding, draw_embedding, picture_sheet
from convatlas.insight.explain.methods import METHODS
from convatlas.insight.explain.pictures import png
from convatlas.insight.explain.sanity import Sanity, draw_sanity
from convatlas.insight.gradient_figure import draw_gradients
from convatlas.insight.gradients import Layer, Signals
from convatlas.insight.landscape.pictures import draw as draw_landscape
from convatlas.insight.landscape.points import Points
from convatlas.insight.landscape.scale import common_scale
from test_degradation import write_run

MOST = 3.0  # seconds of the processor
RESULTS = Path(__file__).resolve().parent.parent / "results/skip_connections"
NAMES = [f"class {number}" for number in range(10)]


def gradients(folder: Path) -> None:
    """The fourteen networks of the page about skip connections, from the results that are kept."""
    content = read_json(RESULTS / "gradients_own.json")
    found = [
        Signals(each["name"], tuple(Layer(**layer) for layer in each["layers"]), each["loss"])
        for each in content["networks"]
    ]
    draw_gradients(found, folder / "figure.png", data=content["data"], images=content["images"])


def curves(folder: Path) -> None:
    values = np.random.default_rng(0).random((200, STEPS + 1))
    named = dict.fromkeys((*METHODS, CONTROL), values)
    draw_curves(Curves(named, named), folder / "figure.png")


def sanity(folder: Path) -> None:
    correlations = {name: tuple(np.linspace(1, 0, 6)) for name in METHODS}
    found = Sanity(tuple(range(10, 70, 10)), 60, 4, correlations, dict.fromkeys(METHODS, 4))
    draw_sanity(found, folder / "figure.png")


def embedding(folder: Path) -> None:
    generator = np.random.default_rng(0)
    points, labels = generator.normal(size=(IMAGES, 2)), generator.integers(0, 10, IMAGES)
    found = Embedding(points, points, labels, torch.arange(IMAGES), (0.4, 0.2))
    draw_embedding(found, NAMES, folder / "figure.png")
    thumbnails = torch.zeros(IMAGES, 3, THUMB, THUMB, dtype=torch.uint8)
    (folder / "images.png").write_bytes(png(picture_sheet(found, thumbnails, NAMES)))


def errors_by_depth(folder: Path) -> None:
    for name in ("plain20", "plain56", "resnet20", "resnet56"):
        for seed in range(3):
            write_run(folder / name / f"seed{seed}", name, seed=seed, error=0.1)
    content = degradation([folder])
    for network in content["networks"]:
        for measure in ("training", "validation"):
            network["curves"][measure] = [[0.9 * 0.97**epoch for epoch in range(180)]] * 3
    draw_degradation(content, folder / "figure.png")


def landscape(folder: Path) -> None:
    """Two surfaces of 25 x 25 points, as contours and views."""
    x = np.linspace(-1, 1, 25)
    loss = 0.5 + np.add.outer(x**2, x**2) * np.array([3.0, 30.0])[:, None, None]
    axes = np.tile(x, (2, 1))
    facts: list[dict[str, Any]] = [
        {"name": name, "seed": 0, "centre": {"loss": 0.5, "error": 0.1}, "path": None, "epochs": [], "explained": []}
        for name in ("resnet56", "plain56")
    ]
    content = {"directions": "random", "dimensions": 2, "seeds": 1, "surfaces": facts}
    points = Points(content, loss=loss, error=loss / 100, x=axes, y=axes)
    draw_landscape(points, facts, common_scale(loss), folder)


def disagreement(folder: Path) -> None:
    """Twenty networks."""
    numbers = range(1, 21)
    members = [{"number": number, "name": f"network{number}"} for number in numbers]
    values = {value: 0.5 for value, _ in PANELS}
    pairs = [{"first": first, "second": second, **values} for first in numbers for second in numbers if first < second]
    content = {"members": members, "pairs": pairs, "images": {"test": 10_000}, "data": "cifar10"}
    draw_agreement(content, folder / "figure.png")


DRAWN: list[Callable[[Path], None]] = [gradients, curves, sanity, embedding, errors_by_depth, landscape, disagreement]


@pytest.mark.parametrize("draw", DRAWN, ids=lambda each: each.__name__)
def test_no_figure_takes_three_seconds(draw: Callable[[Path], None], tmp_path: Path) -> None:
    sanity(tmp_path)  # the first figure of a process loads fonts
    begun = time.process_time()
    draw(tmp_path)
    assert time.process_time() - begun < MOST
    assert list(tmp_path.rglob("*.png"))
