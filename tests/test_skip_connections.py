"""docs/write_skip_connections.py: the page comes from results alone; what is missing or of this machine is refused."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from convatlas.files import write_json
from convatlas.insight.degradation import degradation
from test_degradation import write_study

DOCS = Path(__file__).resolve().parent.parent / "docs"
SESSION = {
    "versions": {"convatlas": "0.1.0"},
    "git_commit": "0123abc",
    "hardware": {"cpu": "a test's imagination"},
    "command": "convatlas landscape /runs/resnet56/seed0 --data-dir /data --out /there --grid 3",
}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which draws nothing here."""
    if str(DOCS) not in sys.path:
        sys.path.insert(0, str(DOCS))
    module = importlib.import_module("write_skip_connections")
    monkeypatch.setattr(module, "draw", lambda _contents, folder: folder.mkdir(exist_ok=True))
    return module


def gradients_of(script: ModuleType, norm: str) -> dict[str, Any]:
    """Gradients of all networks: those of the first layer of plain networks are 3 times those of the last but one."""
    networks = []
    for name in script.NETWORKS:
        first = 3.0 if name.startswith("plain") else 1.0
        spread = 4.0 if norm == "own" else 50.0
        layers = [
            {"name": str(place), "gradient_norm": value, "activation_std": spread, "weight_norm": 1.0, "n": 1}
            for place, value in enumerate((first, 2.0, 20.0))
        ]
        networks.append({"name": name if norm == "own" else f"{name}, without norm", "layers": layers, "loss": 2.5})
    return {"data": "cifar10", "notes": [], "images": 128, "seed": 0, "networks": networks, "session": SESSION}


def surfaces() -> dict[str, Any]:
    """A surface of 3 x 3 points; one is not finite."""
    loss: list[list[float | None]] = [[1.0, 2.0, 9.0], [1.0, 0.5, 9.0], [2.0, 9.0, None]]
    surface = {
        "name": "resnet56", "run": "/runs/resnet56/seed0", "seed": 0, "centre": {"loss": 0.5, "error": 0.1},
        "lowest": {"loss": 0.5, "x": 0.0, "y": 0.0}, "highest": None, "explained": [], "path": None, "epochs": [],
        "x": [-1.0, 0.0, 1.0], "y": [-1.0, 0.0, 1.0], "loss": loss, "error": [[0.1] * 3] * 3,
    }  # fmt: skip
    return {
        "directions": "random", "dimensions": 2, "seeds": 1, "ignore": "biasbn", "statistics": "fixed", "images": 100,
        "data": "cifar10", "pictures": ["landscape.png"], "session": SESSION, "surfaces": [surface],
        "scale": {"low": 0.5, "high": 10.0, "log": True, "levels": [0.5, 1.0], "clipped": True},
    }  # fmt: skip


@pytest.fixture
def made(script: ModuleType, tmp_path: Path) -> Path:
    """A folder of results that the verbs wrote, and a checkout that has the gradients."""
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    for norm in script.NORMS:
        write_json(root / f"results/skip_connections/gradients_{norm}.json", gradients_of(script, norm))
    made = tmp_path / "made"
    write_json(made / "degradation.json", {**degradation([write_study(tmp_path / "study")]), "figure": "x.png"})
    write_json(made / "landscape.json", surfaces())
    return made


def test_the_page_has_the_numbers_of_the_results(script: ModuleType, made: Path) -> None:
    root = made.parent / "root"
    assert script.main(["--from", str(made)], root=root) == 0
    page = (root / "docs/skip_connections.md").read_text(encoding="utf-8")
    assert "| 3 | 1.5 | 0.5 | 3 | 1 |" in page  # of gradients: not those of the classifier
    assert "of up to 50; with batch norm of up to 4." in " ".join(page.split())
    assert "Valleys of the loss around the trained weights, on a grid in two directions: `resnet56` 1." in page
    assert "plain, 32 against 20 layers, +8.00 points" in " ".join(page.split())
    assert "| `plain32` | 32 | 1 | 20.00 | 22.00 | 23.00 |" in page
    assert "| plain: what depth adds, in points | 20 to 32 | one seed | +8.00 | +8.00 | +8.00 |" in page
    assert "These are short runs, 3 of 182 epochs" in " ".join(page.split())
    assert "| `resnet56` | 0.5000 | 10.00 | 1 | - | not finite |" in page
    assert "`convatlas landscape resnet56/seed0 --grid 3`" in page
    assert script.main(["--check"], root=root) == 0
    (root / "docs/skip_connections.md").write_text(page.replace("0.5000", "0.6000"), encoding="utf-8")
    assert script.main(["--check"], root=root) == 1


def test_missing_results_are_refused(script: ModuleType, made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = made.parent / "root"
    (made / "landscape.json").unlink()
    assert script.main(["--from", str(made)], root=root) == 2
    assert "results/skip_connections/landscape.json is missing" in capsys.readouterr().err
    assert not (root / "docs/skip_connections.md").exists()
    assert script.main(["--from", str(root)], root=root) == 2
    assert "holds neither degradation.json nor landscape.json" in capsys.readouterr().err


def test_places_of_a_machine_and_left_out_runs_are_refused(
    script: ModuleType, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((made / "degradation.json").read_text())
    write_json(made / "degradation.json", {**content, "left_out": ["plain56/seed0 is unfinished"]})
    assert script.main(["--from", str(made)], root=made.parent / "root") == 2
    assert "leaves runs out: plain56/seed0 is unfinished" in capsys.readouterr().err
    content["protocol"]["command"] = ["convatlas train net=/home/ann/net.py:net"]
    write_json(made / "degradation.json", content)
    assert script.main(["--from", str(made)], root=made.parent / "root") == 2
    assert "holds a path of this machine" in capsys.readouterr().err


def test_valleys_are_lower_than_all_their_neighbours(script: ModuleType) -> None:
    loss = np.array([[1.0, 2.0, 0.5], [3.0, 3.0, 3.0], [2.0, 2.0, np.inf]])  # of two equal neighbours none is lower
    text = importlib.import_module("skip_connections_page")
    assert text.valleys(loss) == 2
    assert text.valleys(np.zeros((3, 3))) == 0


def test_the_other_valleys_have_their_losses(script: ModuleType) -> None:
    content = surfaces()
    content["surfaces"][0]["loss"] = [[1.25, 2.0, 1.0], [2.0, 0.5, 2.0], [9.0, 2.0, 3.0]]  # corners touch the centre
    text = importlib.import_module("skip_connections_page")
    assert "| `resnet56` | 0.5000 | 10.00 | 1 | - |" in text.landscape(content)
    for field in ("x", "y"):
        content["surfaces"][0][field] = [-1.0, -0.5, 0.0, 0.5, 1.0]
    content["surfaces"][0]["loss"] = [[1.25, 3, 3, 3, 1.5], [3] * 5, [3, 3, 0.5, 3, 3], [3] * 5, [3] * 5]
    content["surfaces"][0]["error"] = [[0.1] * 5] * 5
    assert "| `resnet56` | 0.5000 | 10.00 | 3 | 1.25 to 1.50 |" in text.landscape(content)


def test_surfaces_come_back_from_json(script: ModuleType) -> None:
    points, facts, scale = script.surfaces_of(surfaces())
    assert points.loss.shape == (1, 3, 3)
    assert np.isposinf(points.loss[0, 2, 2])
    assert (facts[0]["name"], scale.levels) == ("resnet56", (0.5, 1.0))
