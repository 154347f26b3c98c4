"""`transfer`: words, plans, kept features, nearest means, a whole study, its report, and how it goes on."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas
import fixtures
from convatlas.cli import main
from convatlas.data import class_labels, load_data
from convatlas.data.subset import at
from convatlas.errors import UsageError
from convatlas.evaluation import paired_difference
from convatlas.few_shot.features import _facts
from convatlas.few_shot.methods import Method, methods_of, shots_and_draws
from convatlas.few_shot.planning import TransferRequest, plan_transfer
from convatlas.few_shot.study import transfer
from convatlas.files import write_bytes
from convatlas.recipe import DataFacts, recipe_for
from convatlas.report.transfer import write_transfer_report
from convatlas.report.transfer_figures import draw_shots
from convatlas.request import Entry, Request, StartWords, plan_request
from convatlas.run import Run, Start, read_run, read_transfer
from convatlas.training import train_plan
from convatlas.training.features import no_features, read_features
from convatlas.training.head_only import HeadOnly
from convatlas.training.nearest_mean import nearest_mean
from test_training import tiny_plan

METHODS = "head_only[steps=20],nearest_mean,full[steps=3,batch_size=8],scratch[steps=3,batch_size=8,image_size=8]"
FILES = {"results.json", "results.csv", "results.md", "transfer.png", "shots.png", "report.html"}


@pytest.fixture(scope="module")
def drawn_quickly() -> Iterator[None]:
    """Runs draw nothing; the figures of a study are drawn."""
    with fixtures.quick_runs():
        yield


@pytest.fixture(autouse=True)
def nothing_more_is_drawn(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the figures of the study that all tests share are drawn."""
    monkeypatch.setattr("convatlas.report.transfer_figures.save", lambda _figure, path: write_bytes(path, b"a picture"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, drawn_quickly: None) -> Run:
    return train_plan(tiny_plan(epochs=6), folder=tmp_path_factory.mktemp("base") / "run")


def request_of(
    base: Run, *, methods: str = METHODS, shots: str = "2,5", draws: int = 3, **changes: Any
) -> TransferRequest:
    words: dict[str, Any] = {"data": "digits?test_images=60", **changes}
    return TransferRequest(str(base.path), methods_of(methods), shots_and_draws(shots, tuple(range(draws))), **words)


@pytest.fixture(scope="module")
def study(base: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    transfer(request_of(base), out=out, quiet=True)
    return out


def content(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


# ------------------------------------------------------------------------------------------------------ the words


def test_methods_are_read() -> None:
    methods = methods_of("head_only, full@mine.yaml,scratch:resnet20@quick[lr=0.1,mean=0.5,0.5],nearest_mean")
    assert [method.name for method in methods][2] == "scratch:resnet20@quick[lr=0.1,mean=0.5,0.5]"
    assert [(each.kind, each.recipe, each.architecture) for each in methods] == [
        ("weights", "few_shot_head", None),
        ("weights", "mine.yaml", None),
        ("seed", "quick", "resnet20"),
        ("nearest_mean", "few_shot_head", None),
    ]
    assert methods[2].settings == {"lr": "0.1", "mean": "0.5,0.5"}
    assert methods[2].folder == "scratch_resnet20@quick_lr=0.1,mean=0.5,0.5"
    assert Method.parse("slow@full").recipe == "full"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linear", "unknown method 'linear'"),
        ("full[steps]", r"must be FIELD=VALUE"),
        ("full[", "is no method"),
        ("full,full", "is there twice"),
        (",", "names none"),
    ],
)
def test_bad_methods_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        methods_of(text)


def test_shots_and_draws_are_read() -> None:
    assert shots_and_draws("all:1, 5,1", (0, 1, 2)) == {1: (0, 1, 2), 5: (0, 1, 2), "all": (0,)}
    for text, said in {"5:4": "takes some of the 3 draws", "0": "at least 1", "5,5": "twice", "": "names none"}.items():
        with pytest.raises(UsageError, match=said):
            shots_and_draws(text, (0, 1, 2))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--shots 200", "shots=200: class 0 of digits has 106 training images; give at most 104, or all"),
        ("--methods linear", "unknown method 'linear'"),
        ("--methods full[lrr=1]", "unknown recipe field 'lrr'"),
        ("--methods full@quik", "unknown recipe 'quik'"),
        ("--methods scratch:resnet_uvx", "resnet_uvx"),
        ("--draws 0", "draws=0"),
        ("--data digits?shots=5", "has shots already"),
        ("--test-images 400", "test_images=400 takes 40 test images"),
        ("--methods full[frozen=stage9]", "stage9"),
    ],
)
def test_bad_words_end_with_2(
    words: str, said: str, base: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words if "--data" in words else f"{words} --data digits"
    assert main(["transfer", str(base.path), *given.split(), "--out", f"{tmp_path}/out", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------------------- the recipes


def test_trainings_on_few_images_count_steps() -> None:
    """Typed: 30 passes of 128, 10 of 32, 60 of 64 images, within their bounds."""
    lengths = {"few_shot_head": (1000, 1172), "few_shot_full": (100, 1562), "few_shot_scratch": (500, 4688)}
    for name, expected in lengths.items():
        made = [recipe_for(name, DataFacts(images, 32, 32, 10)) for images in (50, 5000)]
        assert tuple(recipe.steps for recipe in made) == expected
        assert {recipe.epoch_count(recipe.epoch_steps or 0) for recipe in made} == {10}
    full = recipe_for("few_shot_full", DataFacts(5000, 32, 32, 10))
    assert (full.schedule.warmup_steps, full.optimizer.lr, full.images.crop) == (156, 2e-4, "resized")


# ------------------------------------------------------------------------------------------------------- the plans


def test_every_method_has_the_same_draws(base: Run, tmp_path: Path) -> None:
    data, members = plan_transfer(request_of(base, shots="2,all:2"), out=tmp_path)
    assert len(members) == 4 * 3 + 3 * 2 + 1  # the nearest mean of all images is the same in every draw
    assert data.spec.name == "digits?test_images=60"
    groups: dict[Any, set[str]] = {}
    for member in members:
        groups.setdefault((member.shots, member.draw), set()).add(member.plan.data.split_hash)
        assert member.plan.data.spec.name == f"{data.spec.name}&shots={member.shots}&draw={member.draw}"
        assert member.plan.data.split_hash == load_data(member.plan.data.spec.name).split_hash
        assert member.plan.seed == 1000 + member.draw
        assert member.plan.data.test is data.test
    assert {len(hashes) for hashes in groups.values()} == {1}
    assert len({next(iter(groups[2, draw])) for draw in range(3)}) == 3
    origins = {member.method.name.partition("[")[0]: member.plan.start.origin for member in members}
    assert origins == {"head_only": "weights", "nearest_mean": "weights", "full": "weights", "scratch": "seed"}


def test_a_new_head_is_not_the_one_that_the_base_began_with(base: Run, tmp_path: Path) -> None:
    _, members = plan_transfer(request_of(base, methods="full", shots="2"), out=tmp_path)
    first = tiny_plan().build().state_dict()["head.fc.weight"]
    assert not any(torch.equal(member.plan.build().state_dict()["head.fc.weight"], first) for member in members)


# ---------------------------------------------------------------------------------------------- features and means


def test_kept_features_give_the_same_network_as_the_slow_path(study: Path, base: Run, tmp_path: Path) -> None:
    """The same training without the kept features, through `finetune`."""
    words = {"recipe": "few_shot_head", "settings": {"steps": "20"}, "seed": 1001}
    slow = convatlas.finetune(
        base, data="digits?test_images=60&shots=5&draw=1", out=tmp_path / "run", quiet=True, **words
    )
    kept = read_run(study / "head_only_steps=20" / "shots5" / "draw1")
    ours, theirs = (torch.load(run.best_checkpoint, weights_only=True)["state_dict"] for run in (slow, kept))
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(slow.predictions()["test_logits"], kept.predictions()["test_logits"], atol=1e-4)
    assert slow.results["test_top1"] == kept.results["test_top1"]
    assert convatlas.evaluate(kept).top1 == kept.results["test_top1"]  # from the images, not from the features


def test_the_features_are_kept_once_with_their_facts(study: Path, base: Run) -> None:
    (file,) = (study / "features").glob("*.npz")
    facts = json.loads(file.with_suffix(".json").read_text())
    union = {n for d in range(3) for n in load_data(f"digits?shots=5&draw={d}").train.index.tolist()}
    assert (facts["train_images"], facts["test_images"]) == (len(union), 60)
    assert facts["weights"] == read_transfer(study).start.sha256
    asked = {name: facts[name] for name in ("weights", "preprocessing")}
    found = read_features(file, facts=asked)
    assert found is not None
    assert set(found.numbers["train"].tolist()) == union
    assert read_features(file, facts={**asked, "weights": "other"}) is None
    with pytest.raises(UsageError, match="train images were not computed"):
        found.of("train", load_data("digits").train)


def test_draws_from_the_seed_do_not_share_features(base: Run, tmp_path: Path) -> None:
    """Each draw has a body of its own: its accuracy is that of its network on the images."""
    transfer(request_of(base, methods="scratch@few_shot_head[steps=20]", shots="2"), out=tmp_path / "out", quiet=True)
    for draw in range(3):
        run = read_run(tmp_path / f"out/scratch@few_shot_head_steps=20/shots2/draw{draw}")
        assert convatlas.evaluate(run).top1 == run.results["test_top1"]


def test_every_fact_decides_the_features(base: Run, tmp_path: Path) -> None:
    data, (member, *_) = plan_transfer(request_of(base, methods="head_only"), out=tmp_path)
    plan = member.plan
    others = {
        "weights": {"start": dataclasses.replace(plan.start, sha256="0" * 64)},
        "seed": {"start": Start.from_seed()},
        "precision": {"recipe": plan.recipe.with_values(precision="bf16")},
        "preprocessing": {"preprocessing": dataclasses.replace(plan.preprocessing, mean=(0.1,))},
    }
    same = _facts(member, data, device="cpu")
    for name, changes in others.items():
        other = dataclasses.replace(member, plan=dataclasses.replace(plan, **changes))
        assert _facts(other, data, device="cpu") != same, name
    assert _facts(member, load_data("digits?test_images=50"), device="cpu") != same
    assert _facts(member, data, device="cuda") != same


def test_features_of_another_file_are_not_taken(study: Path, tmp_path: Path) -> None:
    (file,) = (study / "features").glob("*.npz")
    with np.load(file) as arrays:
        np.savez(tmp_path / file.name, **{**arrays, "test_values": arrays["test_values"] + 1})
    shutil.copy(file.with_suffix(".json"), tmp_path)
    assert read_features(tmp_path / file.name, facts={}) is None


def test_features_of_further_images_join_those_that_are_kept() -> None:
    """A feature is the number of its image, so that a mistake in the order is seen."""
    images = load_data("digits").train
    numbers = images.index.numpy()
    kept = no_features((1,))
    for some in (numbers[200:300], numbers[:100], numbers[100:150]):
        kept = kept.with_more("train", kept.missing("train", some), kept.missing("train", some)[:, None].astype(float))
    asked = at(images, torch.tensor([120, 7, 250]))
    assert kept.of("train", asked).flatten().tolist() == asked.index.tolist()
    assert len(kept.missing("train", numbers)) == len(numbers) - 250


def test_damaged_features_are_computed_again(study: Path, base: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(study, out)
    before = content(out)["rows"]
    (file,) = (out / "features").glob("*.npz")
    file.write_bytes(file.read_bytes()[:-3])
    shutil.rmtree(out / "nearest_mean")
    transfer(request_of(base), out=out, resume=True, quiet=True)
    assert [row["test_top1_mean"] for row in content(out)["rows"]] == [row["test_top1_mean"] for row in before]
    assert file.stat().st_size == (study / "features" / file.name).stat().st_size


def test_the_nearest_mean_is_that_of_the_paper() -> None:
    """Against plain loops: features of length 1, their means, the Euclidean distance."""
    random = np.random.default_rng(0)
    train, asked, labels = random.normal(size=(12, 5)) * 7, random.normal(size=(9, 5)), np.arange(12) % 3
    means = [np.mean([x / np.linalg.norm(x) for x in train[labels == c]], axis=0) for c in range(3)]
    expected = [[-(np.linalg.norm(x / np.linalg.norm(x) - mean) ** 2) for mean in means] for x in asked]
    found = nearest_mean(*map(torch.from_numpy, (train, labels, asked)), classes=3)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_the_run_of_the_nearest_mean_is_one_on_the_features_of_its_draw(study: Path, base: Run) -> None:
    run = read_run(study / "nearest_mean" / "shots2" / "draw2")
    plan = plan_request(Request((Entry(str(base.path)),), "digits?test_images=60&shots=2&draw=2", start=StartWords()))[
        0
    ]
    objective = HeadOnly.of(plan, "cpu")
    train, test = (objective.features(plan, part) for part in ("train", "test"))
    expected = nearest_mean(train, class_labels(plan.data.train), test, classes=10)
    np.testing.assert_allclose(run.predictions()["test_logits"], expected.numpy(), atol=1e-4)
    assert (run.record.objective, run.record.seed, run.record.data.validation) == ("nearest_mean", None, 0)
    assert "SimpleShot" in run.record.recipe["source"]


# ------------------------------------------------------------------------------------------------------- the study


def test_the_report_has_every_method_and_number_of_shots(study: Path) -> None:
    assert {path.name for path in study.iterdir() if path.is_file()} >= FILES
    found = content(study)
    names = METHODS.replace("],", "] ").replace("nearest_mean,", "nearest_mean ").split()
    assert [(row["shots"], row["method"]) for row in found["rows"]] == [(k, name) for k in ("2", "5") for name in names]
    for row in found["rows"]:
        values = [draw["test_top1"] for draw in row["draws"]]
        assert row["test_top1_mean"] == pytest.approx(np.mean(values))
        assert row["test_top1_median"] == pytest.approx(np.median(values))
        assert row["test_top1_std"] == pytest.approx(np.std(values, ddof=1))
        assert (row["test_top1_min"], row["test_top1_max"]) == (min(values), max(values))
        half = 4.302652730 * np.std(values, ddof=1) / np.sqrt(3)  # Student's t, 2 degrees of freedom
        assert row["test_top1_ci95"][0] == pytest.approx(max(0, np.mean(values) - half))
        assert (row["n_draws"], row["test_images"], row["validation_images"]) == (3, 60, 0)
        assert row["train_images"] == 10 * int(row["shots"])
        assert [draw["seed"] for draw in row["draws"]] == (
            [None] * 3 if row["method"] == "nearest_mean" else [1000, 1001, 1002]
        )
    (command,), (hardware,) = (found["circumstances"][name] for name in ("command", "hardware"))
    assert command
    assert hardware["cores"] >= 1
    with (study / "results.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 8
    page = (study / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "60 test images" in page
    assert Image.open(study / "transfer.png").size[0] == 1800


def test_the_comparisons_are_paired_and_say_when_they_cannot_tell(study: Path) -> None:
    found = content(study)
    for comparison in found["comparisons"]:
        rows = {
            row["method"]: np.stack([correct(study / draw["path"]) for draw in row["draws"]])
            for row in found["rows"]
            if row["shots"] == comparison["shots"]
        }
        for other in comparison["others"]:
            expected = paired_difference(rows[other["method"]], rows[comparison["first"]])
            assert other["difference"] == pytest.approx(expected.mean)
            assert other["ci95"] == pytest.approx([expected.low, expected.high])
            told = "too close to tell" not in other["verdict"]
            assert told == expected.significant == (other["ci95"][0] > 0 or other["ci95"][1] < 0)


def correct(run: Path) -> np.ndarray:
    arrays = read_run(run).predictions()
    right: np.ndarray = arrays["test_logits"].argmax(1) == arrays["test_labels"]
    return right[np.argsort(arrays["test_index"])]


def test_a_difference_is_judged_over_draws_and_images() -> None:
    """Typed for three draws of four images; one image more of 50 in every draw is no verdict."""
    ours = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]], dtype=bool)
    theirs = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0]], dtype=bool)
    found = paired_difference(ours, theirs)
    by_draw, by_image = [0.5, 0.25, 0.5], [0, 1, 1 / 3, 1 / 3]
    half = 4.302652730 * np.sqrt(np.var(by_draw, ddof=1) / 3 + np.var(by_image, ddof=1) / 4)
    assert found.mean == pytest.approx(5 / 12)
    assert (found.low, found.high) == (pytest.approx(5 / 12 - half), pytest.approx(min(1, 5 / 12 + half)))
    one_more = np.zeros((3, 50), dtype=bool)
    one_more[:, 7] = True
    assert paired_difference(one_more, np.zeros((3, 50), dtype=bool)).significant is False
    assert paired_difference(ours[:2], theirs[:2]).significant is None


def test_a_figure_shows_each_image_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one value each: the sheet has the value of every class and image, enlarged, with white between."""
    shown = []
    monkeypatch.setattr("matplotlib.axes.Axes.imshow", lambda _axes, sheet, **_: shown.append(sheet))
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1).repeat(4, 2).repeat(4, 3)
    draw_shots(pixels, tmp_path / "shots.png", classes=("a", "b"), draw=0)
    sheet = shown[0][..., 0]
    zoom = sheet.shape[0] // 10  # two images of 4 and a gap of 2
    assert sheet.shape == (10 * zoom, 16 * zoom)
    assert [[sheet[zoom * (6 * row + 1), zoom * (6 * column + 1)] for column in range(3)] for row in range(2)] == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    assert sheet[zoom * 4 + 1, 0] == 255


def test_the_picture_has_the_images_of_the_draw(study: Path) -> None:
    with np.load(study / "shots.npz") as arrays:
        pixels = arrays["pixels"]
    assert pixels.shape == (10, 5, 8, 8, 1)
    one = load_data("digits?shots=1&draw=0").train.pixels.permute(0, 2, 3, 1).numpy()  # type: ignore[attr-defined]
    assert {image.tobytes() for image in pixels[:, 0]} == {image.tobytes() for image in one}


def test_a_killed_study_goes_on_where_it_was(
    study: Path, base: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped between two runs; the finished run is not trained again, the others are those of a whole study."""
    calls = []

    def stopped(plan: Any, **words: Any) -> Run:
        calls.append(plan)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train_plan(plan, **words)

    out, request = tmp_path / "out", request_of(base, methods="head_only[steps=20]", shots="2", draws=2)
    with monkeypatch.context() as patch:
        patch.setattr("convatlas.few_shot.study.train_plan", stopped)
        with pytest.raises(KeyboardInterrupt):
            transfer(request, out=out, quiet=True)
    with pytest.raises(UsageError, match=r"is unfinished \(1 of 2 runs\); go on with --resume"):
        transfer(request, out=out, quiet=True)
    first = (out / "head_only_steps=20" / "shots2" / "draw0" / "run.json").read_bytes()
    transfer(request, out=out, resume=True, quiet=True)
    assert (out / "head_only_steps=20" / "shots2" / "draw0" / "run.json").read_bytes() == first
    (row,) = content(out)["rows"]
    assert row["draws"][0]["test_top1"] == content(study)["rows"][0]["draws"][0]["test_top1"]
    assert row["draws"][1]["test_top1"] == content(study)["rows"][0]["draws"][1]["test_top1"]


def test_a_study_grows_and_refuses_another(study: Path, base: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(study, out)
    grown = transfer(
        request_of(base, methods="nearest_mean,head_only[steps=9]", shots="1", draws=1),
        out=out,
        resume=True,
        quiet=True,
    )
    assert {row["shots"] for row in grown.rows} == {"1", "2", "5"}
    assert {row["method"] for row in grown.rows if row["shots"] == "1"} == {"nearest_mean", "head_only[steps=9]"}
    with pytest.raises(UsageError, match="holds another study"):
        transfer(request_of(base, data="digits?test_images=50"), out=out, resume=True, quiet=True)
    changed = request_of(base, settings={"lr": "0.5"})
    with pytest.raises(UsageError, match="holds another run"):
        transfer(changed, out=out, resume=True, quiet=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    with pytest.raises(UsageError, match="holds no study of transfer"):
        transfer(request_of(base), out=tmp_path / "other", quiet=True)


def test_a_failed_run_does_not_stop_the_others(base: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        f"--data digits?test_images=30 --methods full[steps=2],nearest_mean --shots 1 --draws 1 --out {tmp_path}/out"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convatlas.training.classification.gradients", _broken)
        assert main(["transfer", str(base.path), *words.split(), "--quiet"]) == 1
    printed = capsys.readouterr().out
    assert "nearest_mean" in printed
    assert "failed full_steps=2/shots1/draw0: RuntimeError: broken on purpose" in printed
    assert main(["transfer", str(base.path), *words.split(), "--resume", "--quiet"]) == 0
    assert not content(tmp_path / "out")["failed"]


def _broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("broken on purpose")


# ------------------------------------------------------------------------------------------- the commands, from disk


def test_report_rebuilds_the_study_from_disk(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "moved"
    shutil.copytree(study, out)
    for name in FILES:
        (out / name).unlink()
    assert main(["report", str(out)]) == 0
    assert "beside head_only[steps=20] on the same draws" in capsys.readouterr().out
    assert content(out) == content(study)
    assert main(["report", str(out), "--out", str(tmp_path / "x")]) == 2
    capsys.readouterr()
    assert main(["report", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == content(study)


def test_finetune_over_draws_is_a_study_of_one_method(
    base: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"finetune {base.path} --data digits --shots 2 --draws 3 --test-images 30 --epochs 2 --out {tmp_path}/out"
    assert main([*words.split(), "--quiet"]) == 0
    (row,) = content(tmp_path / "out")["rows"]
    assert (row["method"], row["recipe"], row["n_draws"]) == ("head_only@head_only", "head_only[epochs=2]", 3)
    assert main([*words.split(), "--quiet", "--seed", "3"]) == 2
    assert main(["finetune", str(base.path), "--data", "digits", "--draws", "3"]) == 2
    capsys.readouterr()


def test_python_has_the_same_study(study: Path, base: Run) -> None:
    report = convatlas.transfer(
        base, data="digits", methods=METHODS, shots=[2, 5], draws=3, test_images=60, out=study, quiet=True
    )
    assert [row["n_draws"] for row in report.rows] == [3] * 8
    assert dataclasses.asdict(report)["content"] == write_transfer_report(study).content
