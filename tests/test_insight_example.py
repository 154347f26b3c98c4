"""The measured parts of docs/insight.md are what results/insight says, and so are the words beside them."""

from __future__ import annotations

import importlib
import json
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from convatlas.files import read_json
from convatlas.words import percent

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("write_insight")


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join((ROOT / "docs/insight.md").read_text(encoding="utf-8").split())


def results(name: str) -> dict[str, Any]:
    return read_json(ROOT / f"results/insight/{name}.json")


def test_the_committed_page_is_what_the_results_say(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--check"]) == 0, capsys.readouterr().err


def test_an_explanation_is_taken_over_without_its_places(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A number that changes in the results changes on the page."""
    for folder in ("docs/insight", "results/insight"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copyfile(ROOT / "docs/insight.md", tmp_path / "docs/insight.md")
    made = tmp_path / "made"
    made.mkdir()
    content = results("resnet_uva")
    content["curves"]["kinds"]["deletion"]["areas"]["grad_cam"]["mean"] = 0.987
    content["session"]["command"] += " --data-dir /home/me/data --out /home/me/out"
    content |= {"images": [{"name": "a.png", "path": "/home/me/a.png", "classes": [], "maps": [], "reading": ""}]}
    (made / "explain.json").write_text(json.dumps(content))
    (made / "curves.png").write_bytes(b"figure")
    assert script.main(["--check"], root=tmp_path) == 0
    assert script.main(["--from", str(made)], root=tmp_path) == 0
    text = (tmp_path / "docs/insight.md").read_text(encoding="utf-8")
    assert "| Grad-CAM | 0.987 (" in text
    assert "--curve-images 200`" in text
    assert (tmp_path / "docs/insight/resnet_uva-curves.png").read_bytes() == b"figure"
    assert "/home" not in (tmp_path / "results/insight/resnet_uva.json").read_text()
    (made / "explain.json").write_text(json.dumps({**content, "curves": None}))
    assert script.main(["--from", str(made)], root=tmp_path) == 2
    assert "has no curves" in capsys.readouterr().err


def test_what_the_words_say_of_ten_photographs(page: str) -> None:
    found = results("efficientnet_lite0")
    kinds, sanity = found["curves"]["kinds"], found["sanity"]
    for kind, told in {"deletion": 4, "insertion": 1}.items():
        ends = [each["ci95"] for each in kinds[kind]["less_random"].values()]
        assert sum(low > 0 or high < 0 for low, high in ends) == told
        assert all(low <= 0 <= high for low, high in (each["ci95"] for each in kinds[kind]["less_best"].values()))
        assert (
            kinds[kind]["less_random"]["occlusion"]["ci95"][0] < 0 < kinds[kind]["less_random"]["occlusion"]["ci95"][1]
        )
    assert (kinds["insertion"]["best"], sanity["failed"], sanity["undecided"]) == ("smooth_grad", [], [])
    assert f"a correlation of {sanity['correlations']['grad_cam++'][-1]:.2f} with all {sanity['of']} layers" in page
    assert (sanity["compared"]["grad_cam"], sanity["images"]) == (2, 4)
    remarks = [image["remarks"]["integrated_gradients"] for image in found["images"]]
    numbers = [re.fullmatch(r"completeness gap (\S+) % after (\d+) steps", each) for each in remarks]
    gaps, steps = ([float(each[place]) for each in numbers if each] for place in (1, 2))
    assert f"{percent(min(gaps) / 100)} to {percent(max(gaps) / 100)} %" in page
    assert f"after {min(steps):.0f} to {max(steps):.0f} steps" in page
    answers = {image["name"]: image["classes"][0] for image in found["images"]}
    wrong = [each for name, each in answers.items() if each["class"].replace(" ", "_") not in name]
    assert (len(answers), len(wrong)) == (10, 2)
    assert all(f"*{each['class']}* ({100 * each['probability']:.1f} %)" in page for each in wrong)


def test_what_the_words_say_of_200_test_images() -> None:
    kinds = results("resnet_uva")["curves"]["kinds"]
    assert kinds["deletion"]["best"] == "integrated_gradients"
    assert all(each["ci95"][0] > 0 for each in kinds["deletion"]["less_best"].values())
    assert kinds["insertion"]["best"] in ("grad_cam", "grad_cam++")
    for name in ("grad_cam", "grad_cam++"):
        low, high = kinds["deletion"]["less_random"][name]["ci95"]
        assert low < 0 < high
        assert kinds["insertion"]["less_random"][name]["ci95"][0] > 0


def test_what_the_words_say_of_speed(page: str) -> None:
    cam = read_json(ROOT / "results/bench/grad_cam.json")
    assert f"{cam['grad_cam, times answers']['median']:.2f} times the seconds of answering them" in page
    assert cam["grad_cam, times answers"]["median"] <= cam["aim"]
    surfaces = read_json(ROOT / "results/bench/landscape.json")["results"]
    ratios = [way["ratio"]["median"] for network in surfaces.values() for way in network.values()]
    assert f"It handles {min(ratios):.2f} to {max(ratios):.2f} times as many images a second" in page
    assert min(ratios) >= 0.9
