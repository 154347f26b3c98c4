"""The recipe `fast_cifar`: its studies, and the page that shows them."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from convatlas.data import load_data
from convatlas.files import read_json
from convatlas.recipe import defaults, recipe
from convatlas.values import plain
from data_files import cifar10

pytestmark = pytest.mark.usefixtures("quick_runs")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script that writes the page."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("write_fast_cifar")


@pytest.fixture
def studies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script of the studies, writing below the test's folder, with a study of two small runs."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    module = importlib.import_module("recipe_studies")
    monkeypatch.chdir(tmp_path)
    variants = {"as it is": {}, "faster": {"lr": 0.2}}
    small = module.Study("Does it run?", variants, {"batch_size": 32}, images=64, epochs=1)
    monkeypatch.setitem(module.STUDIES, "small", small)
    return module


def rows(*accuracies: tuple[float, ...]) -> list[dict[str, Any]]:
    """Rows of a study whose runs have these validation accuracies."""
    same = ("val_top1", "last_top1", "train_top1")
    return [
        {"variant": f"v{index}", "runs": [{"seed": seed, **dict.fromkeys(same, top1)} for seed, top1 in enumerate(row)]}
        for index, row in enumerate(accuracies)
    ]


def test_the_test_images_are_never_seen(studies: ModuleType, tmp_path: Path) -> None:
    data = load_data("cifar10", folder=cifar10(tmp_path, each=40))
    seen = studies.without_test(data, images=64)
    assert torch.equal(seen.train.pixels, data.train.pixels[:64])
    assert torch.equal(seen.train.labels, data.train.labels[:64])
    assert torch.equal(seen.train.index, data.train.index[:64])
    assert seen.validation is data.validation
    assert seen.test is data.validation
    judged = studies.without_test(data, images=64, unused=32)
    assert torch.equal(judged.test.pixels, data.train.pixels[64:96])
    assert torch.equal(judged.test.index, data.train.index[64:96])


@pytest.mark.slow
def test_a_variant_is_trained_once(studies: ModuleType, tmp_path: Path) -> None:
    wanted = argparse.Namespace(data_dir=cifar10(tmp_path, each=40), precision="float32")
    run = studies.one("small", "faster", 1, wanted)
    assert (run.record.recipe["lr"], run.record.recipe["batch_size"], run.record.seed) == (0.2, 32, 1)
    assert run.record.data.train == 64
    kept = studies.outcome(run, unused=0)
    assert kept["val_top1"] == kept["last_top1"] == run.metrics()[-1]["val_top1"]
    assert studies.one("small", "faster", 1, wanted).record == run.record


@pytest.mark.slow
def test_what_a_study_keeps(studies: ModuleType, tmp_path: Path) -> None:
    """The results are those of the runs, judged as the study says."""
    study = dataclasses.replace(studies.STUDIES["small"], unused=32)
    studies.STUDIES["small"] = study
    wanted = argparse.Namespace(data_dir=cifar10(tmp_path, each=40), precision="float32", processes=1)
    jobs = [(variant, seed) for seed in study.seeds for variant in study.variants]
    studies.keep("small", {job: studies.one("small", *job, wanted) for job in jobs}, wanted)
    content = read_json(studies.RESULTS / "small.json")
    assert [row["variant"] for row in content["rows"]] == list(study.variants)
    assert [[run["seed"] for run in row["runs"]] for row in content["rows"]] == [[0, 1], [0, 1]]
    run = studies.one("small", "faster", 1, wanted)
    assert content["rows"][1]["runs"][1] == studies.outcome(run, unused=32)
    assert content["rows"][1]["runs"][1]["unused_top1"] == run.results["test_top1"]
    assert (content["images"], content["unused"], content["data"]["train"]) == (64, 32, 64)
    assert content["git_commit"] == [run.record.latest.git_commit]


def test_a_row_beside_is_of_the_same_data(studies: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies, "RESULTS", ROOT / "results/fast_cifar")
    muon = studies.STUDIES["muon"]
    assert studies.row_beside(muon, "bf16")["variant"] == muon.beside[1]
    with pytest.raises(SystemExit, match="schedule has epochs 6, not 7"):
        studies.row_beside(dataclasses.replace(muon, epochs=7), "bf16")
    with pytest.raises(SystemExit, match="schedule has precision bf16, not float32"):
        studies.row_beside(muon, "float32")


@pytest.mark.slow
def test_every_study_is_a_plan(studies: ModuleType, tmp_path: Path) -> None:
    """Each variant differs from the others, and its recipe makes sense."""
    folder = cifar10(tmp_path, each=40)
    for name, study in studies.STUDIES.items():
        plans = [studies.make(study, variant, 0, data_dir=folder, precision="float32") for variant in study.variants]
        assert len({plan.recipe for plan in plans}) == len(study.variants), name
        if study.beside:
            studied, variant = study.beside
            assert variant in studies.STUDIES[studied].variants


def test_differences_have_the_interval_of_the_pooled_deviation(page: ModuleType) -> None:
    """By hand: variances 2e-4 and 8e-4 over two runs each, so s = 5e-4 ** 0.5 with 2 degrees, t = 4.3027."""
    study = rows((0.50, 0.52), (0.60, 0.64))
    half = 4.302652730 * (5e-4 * (1 / 2 + 1 / 2)) ** 0.5
    assert page.half_width(2, 2, [[0.50, 0.52], [0.60, 0.64]]) == pytest.approx(half)
    low, high = 100 * (0.11 - half), 100 * (0.11 + half)
    assert page.against(study[1], study[0], study) == [f"+11.00 ({low:+.2f} to {high:+.2f})", "better"]


@pytest.mark.parametrize(("top1", "verdict"), [(0.51, "not told apart"), (0.3, "worse"), (0.9, "better")])
def test_verdicts(page: ModuleType, top1: float, verdict: str) -> None:
    study = rows((0.50, 0.52), (top1, top1 + 0.01), (0.2, 0.2))
    assert page.against(study[1], study[0], study)[1] == verdict


def test_a_studys_table(page: ModuleType) -> None:
    """Typed by hand: the second row has other accuracies in each column."""
    first, second = rows((0.50, 0.52), (0.60, 0.64))
    for run, last, train in zip(second["runs"], (0.58, 0.60), (0.70, 0.72), strict=True):
        run.update(last_top1=last, train_top1=train)
    assert page.study({"rows": [first, second], "unused": 0}).splitlines()[2:] == [
        "| v0 | 51.00 ± 1.41, 2 | 51.00 | 51.00 |  |  |",
        "| v1 | 62.00 ± 2.83, 2 | 59.00 | 71.00 | +11.00 (+1.38 to +20.62) | better |",
    ]


def test_unused_images_judge(page: ModuleType) -> None:
    """Validation says that both are equal, the images that no run has seen that the second is better."""
    first, second = rows((0.50, 0.52), (0.50, 0.52))
    for row, accuracies in ((first, (0.40, 0.41)), (second, (0.60, 0.61))):
        for run, top1 in zip(row["runs"], accuracies, strict=True):
            run["unused_top1"] = top1
    *_, line = page.study({"rows": [first, second], "unused": 100}).splitlines()
    assert line == ("| v1 | 51.00 ± 1.41, 2 | 60.50 ± 0.71 | 51.00 | 51.00 | +20.00 (+16.96 to +23.04) | better |")


def test_pairs_of_one_seed(page: ModuleType) -> None:
    """By hand: differences 0.01, 0.02 and 0.03, so 0.02 +- 4.3027 * 0.01 / 3 ** 0.5."""
    first, second = rows((0.5,) * 3, (0.5,) * 3)
    for run, other, top1 in zip(first["runs"], second["runs"], (0.1, 0.5, 0.9), strict=True):
        run["unused_top1"], other["unused_top1"] = top1, top1 + 0.01 * (1 + run["seed"])
    second["runs"].reverse()
    line = page.paired(second, first)
    assert line.endswith("in points: +2.00 (-0.48 to +4.48), 3 pairs; the lower end is above -0.5")
    assert page.paired(first, second).endswith("-2.00 (-4.48 to +0.48), 3 pairs; the lower end is not above -0.5")


def test_one_run_each_is_not_judged(page: ModuleType) -> None:
    first, second = rows((0.50,), (0.60,))
    assert page.against(second, first, [first, second]) == ["+10.00", "not judged: one run each"]


def test_fast_cifar_less_the_others(page: ModuleType) -> None:
    tutorial, own, other = rows((0.50, 0.52), (0.60, 0.64), (0.1, 0.2))
    for row, name in ((tutorial, "uva_sgd"), (own, "fast_cifar"), (other, "uva_sgd")):
        row.update(architecture="net" if row is not other else "another", recipe=name)
        for run in row["runs"]:
            run["test_top1"] = run["val_top1"] / 2
    (line,) = page.ahead([tutorial, own, other])
    assert line.startswith("- `net`: `fast_cifar` less `uva_sgd` on validation, in points: +11.00 (+1.38 to +20.62)")
    assert line.endswith("; on test: +5.50 (+0.69 to +10.31).")


def test_commands_without_what_differs_between_runs(page: ModuleType) -> None:
    command = "convatlas train net --seed 1 --quiet --epochs 10 --out a/b --resume"
    shorter = page.without(command, valued=("--seed", "--out"), flags=("--quiet", "--resume"))
    assert shorter == "convatlas train net --epochs 10"


def test_the_page_is_what_the_results_say(page: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_noticed(page: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(page, "TARGET", tmp_path / "page.md")
    assert page.main(["--check"]) == 1
    assert page.main([]) == 0
    assert page.main(["--check"]) == 0
    page.TARGET.write_text(page.TARGET.read_text() + "more\n")
    assert page.main(["--check"]) == 1


def test_checking_takes_nothing_over(page: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        page.main(["--check", "--from", str(tmp_path)])
    assert stopped.value.code == 2


def test_a_folder_without_results(page: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page.main(["--from", str(tmp_path)]) == 2
    assert "results.json" in capsys.readouterr().err


def test_the_compared_recipe_is_the_one_that_is_shipped(page: ModuleType) -> None:
    """The numbers on the page belong to the recipe as it is now, and to the tutorial's scaled to its epochs."""
    compared = read_json(page.RESULTS / "comparison/results.json")["protocol"]["recipes"]
    shipped = plain(recipe("fast_cifar").flat())
    (own,) = [values for name, values in compared.items() if name.startswith("fast_cifar")]
    free = ("name", "source", "expected", "precision")
    complete = {**defaults(), **own}  # a field that did not exist yet was not used
    assert {k: complete[k] for k in complete if k not in free} == {k: shipped[k] for k in shipped if k not in free}
    (tutorial,) = [values for name, values in compared.items() if "uva_sgd[epochs=10" in name]
    assert tutorial["milestones"] == [6, 8]
