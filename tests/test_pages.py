"""Every page in a browser, wide and light, narrow and dark: nothing hangs over, complains or asks for a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from answering_runs import write_run
from convatlas.cli import main
from convatlas.recipe import recipe
from convatlas.report import write_report
from fixtures import quick_runs, write_fake_run
from made_runs import made_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium")
WINDOWS = {"wide": (1280, "light"), "phone": (390, "dark")}
# A name without a place to break, as `--set` makes it.
LONG = "fixmatch[steps=8000,rand_magnitude=5,rand_magnitudes=drawn,cutout=8,epoch_steps=1000,unlabelled_ratio=2]"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def report(folder: Path) -> Path:
    for name in ("resnet_uva", "densenet_uva"):
        for seed in range(3):
            fields = {**recipe("fixmatch").flat(), "name": LONG}
            write_fake_run(folder / "runs" / name / f"seed{seed}", name, seed=seed, wrong=5 + seed, recipe=fields)
    write_report(folder / "runs")
    return folder / "runs/report.html"


def disagree(folder: Path) -> Path:
    for name in ("resnet20", "plain20"):
        write_run(folder / "runs" / name, name, recipe={**recipe("quick").flat(), "name": LONG})
    assert main(["disagree", str(folder / "runs"), "--out", str(folder / "out")]) == 0
    return folder / "out/disagree.html"


def landscape(folder: Path) -> Path:
    run = made_run(folder / "run")
    words = ["--grid", "5", "--images", "8", "--processes", "1", "--out", str(folder / "out")]
    assert main(["landscape", str(run.path), *words]) == 0
    return folder / "out/landscape.html"


def explain(folder: Path) -> Path:
    run = made_run(folder / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"{'a_long_name' * 8}.png")
    words = ["--method", "grad_cam", "--curve-images", "4", "--sanity", "--neighbours", "2"]
    assert main(["explain", str(run.path), *map(str, folder.glob("*.png")), *words, "--out", str(folder / "out")]) == 0
    return folder / "out/explain.html"


def transfer(folder: Path) -> Path:
    run = made_run(folder / "run")
    methods = "head_only[steps=3,batch_size=8,lr=0.001,weight_decay=0.0001],nearest_mean"
    words = ["--data", "digits?test_images=60", "--methods", methods, "--shots", "1", "--draws", "2", "--quiet"]
    with quick_runs():
        assert main(["transfer", str(run.path), *words, "--out", str(folder / "out")]) == 0
    return folder / "out/report.html"


def check(folder: Path) -> Path:
    for place, shade in enumerate((10, 10, 200, 220)):
        path = folder / "photos" / ("cats", "dogs")[place % 2] / f"{'a_long_name' * 8}{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (shade, 0, 0)).save(path)
    main(["data", "check", f"folder:{folder / 'photos'}", "--out", str(folder / "check.html")])
    return folder / "check.html"


def opened(browser: Browser, path: Path, *, width: int, scheme: Any) -> tuple[Page, list[str]]:
    """A page in a window, and what it says and asks for."""
    page, said = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    return page, [line for line in said if line != path.as_uri() and not line.startswith("data:")]


@pytest.mark.parametrize("made", [report, disagree, landscape, explain, transfer, check])
def test_a_page_fits_its_window_and_needs_nothing(
    made: Callable[[Path], Path], browser: Browser, tmp_path: Path
) -> None:
    path = made(tmp_path)
    for width, scheme in WINDOWS.values():
        page, said = opened(browser, path, width=width, scheme=scheme)
        assert said == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path.name} hangs over {width} pixels"
        page.close()
