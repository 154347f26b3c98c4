"""Disagreement: kappa, phi, selection and bootstrap against slow references, the page, and bad input."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

import convatlas
from answering_runs import DIGITS, NETWORKS, answers_of, write_run
from convatlas.cli import main
from convatlas.data import class_labels
from convatlas.errors import UsageError
from convatlas.evaluation import image_bootstrap
from convatlas.insight.disagreement.averaging import averaged, choose
from convatlas.insight.disagreement.findings import findings
from convatlas.insight.disagreement.members import read_members
from convatlas.insight.disagreement.statistics import disputes, pairs_of, probabilities
from convatlas.run import Run
from convatlas.training.records import data_record
from fixtures import fake_record, write_arrays


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Two networks with two seeds each."""
    for name, seed in itertools.product(NETWORKS, (0, 1)):
        write_run(tmp_path / "study" / name / f"seed{seed}", name, seed=seed)
    return tmp_path / "study"


def test_kappa_and_phi_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 4, 300)
    answers = np.stack([np.where(generator.random(300) < share, labels, 3) for share in (0.9, 0.7, 0.2)])
    for pair in pairs_of(answers, labels):
        a, b = answers[pair.first], answers[pair.second]
        assert pair.kappa == pytest.approx(cohen_kappa_score(a, b))
        assert pair.phi == pytest.approx(matthews_corrcoef(a != labels, b != labels))
        assert pair.same == np.mean(a == b)
        assert pair.both_wrong == sum((x != y) and (z != y) for x, y, z in zip(a, labels, b, strict=True))
        assert pair.same_mistake == sum(x == z != y for x, y, z in zip(a, labels, b, strict=True))


def test_kappa_and_phi_are_not_defined_without_variety() -> None:
    labels = np.zeros(6, dtype=np.int64)
    (pair,) = pairs_of(np.zeros((2, 6), dtype=np.int64), labels)
    assert (pair.kappa, pair.phi, pair.same) == (None, None, 1.0)


def test_disputes_are_ordered_by_entropy_then_by_certainty() -> None:
    answers = np.array([[0, 0, 0, 1], [0, 1, 1, 1], [0, 2, 0, 0]])
    certainty = np.array([[1.0, 0.5, 0.6, 0.9]] * 3)
    assert disputes(answers, certainty).tolist() == [1, 3, 2]  # all agree on the first image


def test_the_image_bootstrap_is_that_of_drawn_images() -> None:
    """Against a slow one that draws the images themselves; its quantiles differ by about an image."""
    generator = np.random.default_rng(1)
    a, b = generator.random(200) < 0.8, generator.random(200) < 0.7
    found = image_bootstrap(a, b)
    drawn = generator.integers(0, 200, (10_000, 200))
    slow = np.quantile((a[drawn].astype(int) - b[drawn].astype(int)).mean(axis=1), (0.025, 0.975))
    assert found.mean == pytest.approx((a.sum() - b.sum()) / 200)
    assert [found.low, found.high] == pytest.approx(slow, abs=0.006)
    same = image_bootstrap(a, a)
    assert (same.mean, same.low, same.high, same.significant) == (0.0, 0.0, 0.0, False)
    with pytest.raises(ValueError, match="the same images"):
        image_bootstrap(a, b[:-1])


def test_validation_chooses_greedily() -> None:
    """Each choice has the best accuracy of all that were possible, and stops where none is better."""
    labels = np.random.default_rng(5).integers(0, 5, 400)
    networks = []
    for seed in range(5):
        generator = np.random.default_rng(seed)
        logits = generator.normal(size=(400, 5))
        logits[np.arange(400), labels] += 0.8 + 0.1 * seed
        networks.append(probabilities(logits))

    def accuracy(members: tuple[int, ...]) -> float:
        return float((sum(networks[member] for member in members).argmax(axis=1) == labels).mean())  # type: ignore[union-attr]

    chosen = choose(networks, labels)
    assert len(chosen.members) > 1
    for count in range(1, len(chosen.members) + 1):
        taken, rest = chosen.members[:count], set(range(5)) - set(chosen.members[: count - 1])
        assert chosen.accuracies[count - 1] == accuracy(taken)
        assert accuracy(taken) == max(accuracy((*taken[:-1], other)) for other in rest)
    more = set(range(5)) - set(chosen.members)
    assert all(accuracy((*chosen.members, other)) <= chosen.accuracies[-1] for other in more)
    tested = averaged(networks, labels, chosen.members, best=chosen.members[0])
    assert tested.accuracy == accuracy(chosen.members)
    assert tested.gain.mean == pytest.approx(tested.accuracy - accuracy(chosen.members[:1]))


def test_the_test_images_choose_nothing(study: Path) -> None:
    """With other answers to the test images, the same members are chosen."""
    before = findings(read_members([study]))["average"]
    for path in study.rglob("predictions.npz"):
        with np.load(path) as arrays:
            changed = dict(arrays)
        changed["test_logits"] = changed["test_logits"][:, ::-1].copy()
        write_arrays(path, **changed)
    after = findings(read_members([study]))["average"]
    assert before["best"]["member"] == after["best"]["member"]
    assert before["chosen"]["members"] == after["chosen"]["members"]
    assert before["validation"] == after["validation"]
    assert before["chosen"]["accuracy"] > 0.8 > 0.3 > after["chosen"]["accuracy"]


def test_the_findings_are_those_of_the_answers(study: Path) -> None:
    content = findings(read_members([study]))
    names = ["plain20 seed 0", "plain20 seed 1", "resnet20 seed 0", "resnet20 seed 1"]
    assert [member["name"] for member in content["members"]] == names
    labels = class_labels(DIGITS.test).numpy()
    given = [answers_of(name.split()[0], int(name[-1]), "test").argmax(1) for name in names]
    assert [member["test"] for member in content["members"]] == pytest.approx(
        [(each == labels).mean() for each in given]
    )
    wrong = [place for place in range(360) if all(each[place] != labels[place] for each in given)]
    assert content["all_wrong"]["count"] == len(wrong)
    assert sorted(content["all_wrong"]["index"]) == DIGITS.test.index[wrong].tolist()
    differ = [place for place in range(360) if len({int(each[place]) for each in given}) > 1]
    assert sorted(content["differ"]["index"]) == DIGITS.test.index[differ].tolist()
    shown = content["differ"]["shown"][0]
    for answer in shown["answers"]:
        for number in answer["members"]:
            assert str(given[number - 1][shown["place"]]) == answer["class"]
    assert [(group["pairs"], group["n"]) for group in content["groups"]] == [
        ("one network, two seeds", 2),
        ("two networks", 4),
    ]


def test_the_folder_has_table_pictures_and_a_page_without_requests(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Run(study / "lenet5/seed0", fake_record("lenet5", status="unfinished", data=data_record(DIGITS))).write()
    assert main(["disagree", str(study)]) == 0
    printed = capsys.readouterr().out
    assert "average of 4 networks (all): test" in printed
    assert f"left out: {study}/lenet5/seed0 is unfinished" in printed
    out = study / "disagree"
    content = json.loads((out / "disagree.json").read_text())
    for file in content["files"]:
        with Image.open(out / file) as picture:
            assert picture.width == 1800
    page = (out / "disagree.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:)|url\(|<script", page)
    assert content["verdict"] in page
    assert page.count("<figcaption><b>label") == len(content["differ"]["shown"]) + len(content["all_wrong"]["shown"])
    monkeypatch.setattr("convatlas.insight.disagreement.figures.save", lambda _figure, path: path.write_bytes(b""))
    assert convatlas.disagree(study)["verdict"] == content["verdict"]
    assert main(["disagree", str(study), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["average"] == content["average"]


def test_one_network_alone_says_so(study: Path) -> None:
    content = findings(read_members([study / "plain20"]))
    assert content["notes"] == ["all members are plain20: only the chance of their training tells them apart"]
    assert [group["pairs"] for group in content["groups"]] == ["one network, two seeds"]


def test_equal_members_are_not_averaged(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"seed{seed}", "plain20", seed=seed)
    (tmp_path / "seed1/predictions.npz").write_bytes((tmp_path / "seed0/predictions.npz").read_bytes())
    content = findings(read_members([tmp_path]))
    assert content["differ"] == {"count": 0, "index": [], "shown": []}
    assert content["pairs"][0]["kappa"] == 1.0
    assert content["average"]["chosen"]["members"] == [1]
    assert "No second network raises the validation accuracy of plain20 seed 0" in content["verdict"]


def without_answers(folder: Path) -> None:
    (folder / "plain20/seed0/predictions.npz").unlink()


def with_other_labels(folder: Path) -> None:
    path = folder / "plain20/seed1/predictions.npz"
    with np.load(path) as arrays:
        changed = dict(arrays)
    write_arrays(path, **{**changed, "test_index": changed["test_index"][::-1].copy()})


def with_other_classes(folder: Path) -> None:
    data = replace(data_record(DIGITS), classes=tuple("ABCDEFGHIJ"))
    write_run(folder / "plain20/seed1", "plain20", seed=1, data=data)


def with_another_split(folder: Path) -> None:
    write_run(folder / "plain20/seed1", "plain20", seed=1, data=replace(data_record(DIGITS), split_hash="0123"))


def with_another_copy(folder: Path) -> None:
    for name, seed in itertools.product(NETWORKS, (0, 1)):
        data = replace(data_record(DIGITS), images_hash="4567")
        write_run(folder / name / f"seed{seed}", name, seed=seed, data=data)


def with_one_run(folder: Path) -> None:
    for name, seed in (("plain20", 0), ("plain20", 1), ("resnet20", 1)):
        record = fake_record(name, seed=seed, status="failed", data=data_record(DIGITS))
        Run(folder / name / f"seed{seed}", record).write()


def without_validation(folder: Path) -> None:
    data = replace(data_record(DIGITS), validation=0)
    for name, seed in itertools.product(NETWORKS, (0, 1)):
        write_run(folder / name / f"seed{seed}", name, seed=seed, parts=("test",), data=data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_answers, "has no predictions.npz"),
        (with_other_labels, "answered different images or classes"),
        (with_other_classes, "have different classes"),
        (with_another_split, "with split 0123"),
        (with_another_copy, "the images of digits at hand are not those of"),
        (with_one_run, "seed0 is a finished run in"),
        (without_validation, "has no validation images, by which members could be chosen"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    study: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], None], said: str
) -> None:
    change(study)
    assert main(["disagree", str(study)]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert not (study / "disagree").exists()


def test_diverged_members_are_left_out(study: Path) -> None:
    path = study / "plain20/seed0/predictions.npz"
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["val_logits"][0, 0] = np.nan
    write_arrays(path, **changed)
    members = read_members([study])
    assert len(members.all) == 3
    assert members.left_out == (f"{study}/plain20/seed0 has logits that are not finite",)


def test_places_that_hold_nothing_are_refused(tmp_path: Path, study: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        read_members([tmp_path / "none"])
    with pytest.raises(UsageError, match="name it with out"):
        convatlas.disagree([study, study / "plain20"])


@pytest.mark.usefixtures("quick_runs")
def test_missing_answers_come_from_the_checkpoint(tmp_path: Path) -> None:
    """A run of one's own network; without its validation answers, its checkpoint gives the same ones again."""
    own = Path(__file__).resolve().parent.parent / "examples/my_network.py"
    settings = {"epochs": 1, "batch_size": 256, "image_size": 8}
    study = tmp_path / "study"
    report = convatlas.compare(
        [f"{own}:my_network"], out=study, seeds=2, settings=settings, options={"widths": (4, 8)}, quiet=True
    )
    assert not report.failed
    before = findings(read_members([study]))
    path = next(study.rglob("seed1/predictions.npz"))
    with np.load(path) as arrays:
        kept = {name: array for name, array in arrays.items() if not name.startswith("val_")}
    write_arrays(path, **kept)
    after = findings(read_members([study]))
    assert after["average"] == before["average"]
    assert after["members"] == before["members"]
    assert "its checkpoint was asked" in after["notes"][0]
