"""docs/insight.md says of the ten photographs what results/insight/efficientnet_lite0.json holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from convatlas.files import read_json
from convatlas.words import percent

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def page() -> str:
    return " ".join((ROOT / "docs/insight.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    content: dict[str, Any] = read_json(ROOT / "results/insight/efficientnet_lite0.json")
    return content


def test_the_table_of_the_methods(page: str, found: dict[str, Any]) -> None:
    assert len(found["areas"]) == 6, "five methods and the control"
    for method, area in found["areas"].items():
        cells = [method]
        for kind in ("deletion", "insertion"):
            low, high = area[kind]["ci95"]
            cells.append(f"{area[kind]['mean']:.3f} ({low:.3f} to {high:.3f})")
        cells.append(f"{found['sanity'][method]['rank_correlation']:.2f}" if method in found["sanity"] else "-")
        assert f"| {' | '.join(cells)} |" in page


def test_what_the_words_conclude(page: str, found: dict[str, Any]) -> None:
    areas = {name: {kind: area[kind] for kind in ("deletion", "insertion")} for name, area in found["areas"].items()}
    chance = areas.pop("random order")
    assert all(area["deletion"]["mean"] < chance["deletion"]["mean"] for area in areas.values())
    assert all(area["insertion"]["mean"] > chance["insertion"]["mean"] for area in areas.values())
    for kind in ("deletion", "insertion"):
        ends = [area[kind]["ci95"] for area in [*areas.values(), chance]]
        assert max(low for low, _ in ends) < min(high for _, high in ends), f"all intervals of {kind} overlap"
    assert max(areas, key=lambda name: areas[name]["deletion"]["mean"]) == "Occlusion"
    assert min(areas, key=lambda name: areas[name]["insertion"]["mean"]) == "Occlusion"
    assert all(method["passes"] for method in found["sanity"].values())
    gaps, steps = ([image[key] for image in found["images"]] for key in ("completeness_gap", "steps"))
    assert f"{percent(min(gaps))} to {percent(max(gaps))} %" in page
    assert f"after {min(steps)} to {max(steps)} steps" in page
    wrong = [image for image in found["images"] if image["answer"].replace(" ", "_") not in image["file"]]
    assert len(found["images"]) - len(wrong) == 8
    assert all(f"*{image['answer']}* ({100 * image['probability']:.1f} %)" in page for image in wrong)
