"""Degradation: errors, effects and verdicts by hand, the figure, and the verb on tiny trainings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import convatlas
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.insight.degradation import check_kinds, degradation, write_degradation
from convatlas.insight.degradation_figure import _limits
from convatlas.insight.degradation_verdict import verdict
from convatlas.run import Run, write_metrics
from fixtures import fake_record

NETWORKS = {"resnet20": 0.10, "resnet32": 0.07, "plain20": 0.12, "plain32": 0.20}  # training error of seed 0 at the end
RECIPE = {"name": "he_cifar[epochs=3]", "epochs": 3, "batch_size": 128, "optimizer": "sgd", "lr": 0.1}
ROOT = Path(__file__).resolve().parent.parent


def write_run(folder: Path, name: str, *, seed: int = 0, error: float, **changes: Any) -> Run:
    """A finished run of three epochs: its training error falls to `error`, validation is 2 points above, test 3."""
    rows = [
        {"epoch": epoch, "train_loss": 1.0, "train_top1": 1 - value, "val_loss": 1.0, "val_top1": 1 - value - 0.02,
         "lr": 0.1, "seconds": 1.0, "images_per_second": 1.0}
        for epoch, value in enumerate((error + 0.3, error + 0.1, error), start=1)
    ]  # fmt: skip
    write_metrics(folder / "metrics.csv", rows)
    results = {"best_epoch": 3, "val_top1": rows[-1]["val_top1"], "test_top1": 1 - error - 0.03}
    return Run(folder, fake_record(name, seed=seed, **{"recipe": RECIPE, "results": results, **changes})).write()


def write_study(folder: Path, *, seeds: int = 1, step: float = 0.01) -> Path:
    """Runs of four networks; each seed has `step` more error than the one before."""
    for name, error in NETWORKS.items():
        for seed in range(seeds):
            write_run(folder / name / f"seed{seed}", name, seed=seed, error=error + step * seed)
    return folder


def change_of(kind: str, mean: float, *, ends: Sequence[float] | None = None) -> dict[str, Any]:
    """The change of a training error with the depth."""
    return {"kind": kind, "layers": [20, 32], "seeds": "one seed", "training": {"mean": mean, "ci95": ends}}


def test_errors_and_effects_of_one_seed(tmp_path: Path) -> None:
    content = degradation([write_study(tmp_path)])
    assert [(each["name"], each["kind"], each["layers"]) for each in content["networks"]] == [
        ("plain20", "plain", 20),
        ("plain32", "plain", 32),
        ("resnet20", "resnet", 20),
        ("resnet32", "resnet", 32),
    ]
    first = content["networks"][0]
    ends = {measure: first[measure]["mean"] for measure in ("training", "validation", "test")}
    assert ends == pytest.approx({"training": 0.12, "validation": 0.14, "test": 0.15})
    assert first["training"]["ci95"] is first["training"]["std"] is None
    assert first["curves"]["training"][0] == pytest.approx([0.42, 0.22, 0.12])
    assert [each["training"]["mean"] for each in content["effects"]] == pytest.approx([0.08, -0.03])
    assert content["effects"][0]["training"]["ci95"] is None
    assert content["short"] == "3 of 182 epochs"
    assert "plain (20 to 32) rises by 8.00 points (one seed: no interval)" in content["verdict"]
    assert "He et al. 2015 report the same direction; with so few seeds it may be chance" in content["verdict"]
    assert "short runs, 3 of 182 epochs" in content["verdict"]


def test_intervals_over_seeds_are_welchs(tmp_path: Path) -> None:
    """Three seeds 1 point apart: deviations of 1 point, 4 degrees of freedom, t = 2.776."""
    effect = degradation([write_study(tmp_path, seeds=3)])["effects"][0]
    half = 2.7764451 * 0.01 * (2 / 3) ** 0.5
    for measure in ("training", "validation", "test"):
        assert effect[measure]["mean"] == pytest.approx(0.08)
        assert effect[measure]["ci95"] == pytest.approx([0.08 - half, 0.08 + half])


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        (
            [change_of("plain", 0.03), change_of("resnet", -0.01)],
            "report the same direction; with so few seeds it may be",
        ),
        ([change_of("plain", 0.03, ends=(0.02, 0.04))], "He et al. 2015 report the same direction."),
        ([change_of("plain", -0.03)], "differs from He et al. 2015, where the training error of plain rises"),
        (
            [change_of("plain", -0.03, ends=(-0.04, -0.02))],
            "contradicts He et al. 2015, where the training error of pl",
        ),
        ([change_of("resnet", 0.03, ends=(0.02, 0.04))], "contradicts He et al. 2015, where the training error of res"),
        ([change_of("plain", 0.01, ends=(-0.01, 0.03))], "no more than chance). This neither confirms nor contradicts"),
        ([change_of("plain", 0.0)], "stays (one seed: no interval). This differs"),
    ],
)
def test_the_verdict_says_what_the_data_show(effects: list[dict[str, Any]], said: str) -> None:
    assert said in verdict(effects, short=None)


def test_other_kinds_are_not_held_against_the_paper() -> None:
    assert "He et al." not in verdict([change_of("vgg", 0.03)], short=None)


def test_a_short_run_does_not_contradict_the_paper() -> None:
    said = verdict([change_of("resnet", 0.03, ends=(0.02, 0.04))], short="3 of 182 epochs")
    assert "In He et al. 2015, after the full training, that of resnet falls with the depth. These are short" in said
    assert "contradicts" not in said
    said = verdict([change_of("resnet", 0.03)], short="3 of 182 epochs")
    assert "that of resnet falls with the depth; with so few seeds the difference may be chance. These are" in said


def test_the_figure_is_drawn_and_long_runs_may_leave_the_view(tmp_path: Path) -> None:
    content = write_degradation([write_study(tmp_path, seeds=3)], tmp_path / "out")
    assert json.loads((tmp_path / "out/degradation.json").read_text())["verdict"] == content["verdict"]
    with Image.open(content["figure"]) as picture:
        assert picture.width == 1800
    falling = [1.0] * 5 + [0.2] * 35
    networks = [{"curves": {"training": [falling], "validation": [falling], "test": [0.1]}}]
    assert _limits(networks) == (0.0, pytest.approx(100.0))
    networks[0]["curves"]["training"] = networks[0]["curves"]["validation"] = [[1.0] * 4 + [0.2] * 36]
    assert _limits(networks) == (0.0, pytest.approx(21.0))


def test_diverged_runs_leave_gaps(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    rows = (folder / "plain32/seed0/metrics.csv").read_text().splitlines()
    lost = rows[-1].split(",")
    lost[2] = lost[4] = "nan"
    (folder / "plain32/seed0/metrics.csv").write_text("\n".join([*rows[:-1], ",".join(lost)]) + "\n")
    content = write_degradation([folder], folder)
    assert content["effects"][0]["training"]["mean"] is None
    assert "is not known, because a run diverged" in content["verdict"]


def test_unfinished_runs_are_left_out_and_named(tmp_path: Path) -> None:
    folder = write_study(tmp_path)
    Run(folder / "plain44/seed0", fake_record("plain44", status="unfinished")).write()
    content = degradation([folder])
    assert content["left_out"] == [f"{folder}/plain44/seed0 is unfinished"]
    assert len(content["networks"]) == 4


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "a")
    with pytest.raises(UsageError, match="no folder"):
        degradation([tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no finished run"):
        degradation([tmp_path / "empty"])
    with pytest.raises(UsageError, match="plain20 is the only network of its kind"):
        degradation([folder / "plain20"])
    write_run(tmp_path / "b", "plain56", error=0.3, recipe={**RECIPE, "lr": 0.2})
    with pytest.raises(UsageError, match="different recipes"):
        degradation([folder, tmp_path / "b"])
    write_run(tmp_path / "c", "plain20", error=0.3)
    with pytest.raises(UsageError, match="a run counts only once"):
        degradation([folder, tmp_path / "c"])


def test_networks_without_a_partner_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_kinds(["vgg11", "vgg19", "own.py:net_2", "own.py:net_4"])
    out = tmp_path / "out"
    assert main(["degradation", "plain20", "plain56", "resnet20", "--out", str(out)]) == 2
    assert "resnet20 is the only network of its kind" in capsys.readouterr().err
    assert not out.exists()
    assert main(["degradation", "plain20@quick", "plain56@he_cifar", "--out", str(out)]) == 2
    assert "under one recipe, not he_cifar and quick" in capsys.readouterr().err
    assert not out.exists()
    folder = write_study(tmp_path / "a")
    for other in ("plain20", "runs/none"):
        assert main(["degradation", str(folder), other]) == 2
        assert f"{other} is no folder of runs" in capsys.readouterr().err
    assert main(["degradation", str(folder), "--epochs", "3"]) == 2
    assert "leave --epochs out" in capsys.readouterr().err
    assert main(["degradation", str(folder), str(folder)]) == 2
    assert "name it with --out" in capsys.readouterr().err
    with pytest.raises(UsageError, match="nothing is trained; leave device out"):
        convatlas.degradation([folder], device="cpu")


@pytest.mark.usefixtures("quick_runs")
def test_names_are_trained_as_one_study_and_folders_only_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one's own networks of two depths, first by the command line, then in Python, where they are loaded."""
    own = tmp_path / "own.py"
    own.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'examples')!r})\n"
        "from my_network import my_network\n"
        "def net_2(*, num_classes=10, in_channels=3):\n"
        "    return my_network(num_classes=num_classes, in_channels=in_channels, widths=(4, 8))\n"
        "def net_4(*, num_classes=10, in_channels=3):\n"
        "    return my_network(num_classes=num_classes, in_channels=in_channels, widths=(4, 8, 8, 8))\n"
    )
    names, out = [f"{own}:net_2", f"{own}:net_4"], tmp_path / "study"
    training = ["--epochs", "1", "--set", "batch_size=256", "--set", "image_size=8", "--device", "cpu"]
    assert main(["degradation", *names, *training, "--out", str(out), "--quiet", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["layers"]) for each in content["networks"]] == [("net_2", 6), ("net_4", 14)]
    assert (out / "study.json").is_file()
    assert (out / "degradation.png").is_file()
    settings = {"epochs": 1, "batch_size": 256, "image_size": 8}
    again = convatlas.degradation(names, data="digits", out=out, settings=settings, device="cpu", quiet=True)
    assert again == content
    assert convatlas.degradation([out]) == content
    assert main(["degradation", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "net_4 minus net_2: training" in printed
    assert "1 of 4 epochs: short runs" in printed


def test_a_training_that_fails_is_no_wrong_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its partner is left alone, and nothing can be drawn: exit code 1."""

    def train(_request: Any, folder: Path, **_words: Any) -> bool:
        write_run(folder / "plain20", "plain20", error=0.1)
        return True

    monkeypatch.setattr("convatlas.cli.degradation._train", train)
    assert main(["degradation", "plain20", "plain32", "--out", str(tmp_path / "out")]) == 1
    assert "nothing is drawn: plain20 is the only network of its kind" in capsys.readouterr().err


def test_several_recipes_are_refused_from_python_too() -> None:
    with pytest.raises(UsageError, match="under one recipe, not he_cifar and quick"):
        convatlas.degradation(["plain20@quick", "plain32@he_cifar"], data="digits")
