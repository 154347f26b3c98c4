"""A training that is asked for: words are checked first, data is read last and once, and all verbs plan the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import convatlas
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.recipe import RecipeRule, named, recipe, write_recipe
from convatlas.request import MOST_SEEDS, Entry, Request, check_words, plan_request
from convatlas.training import Plan

FAST = {"epochs": 1, "batch_size": 256, "image_size": 8}
OPTIONS = {"depths": (1, 1, 1), "widths": (8, 16, 16)}
WORDS = ["--epochs", "1", "--batch-size", "256", "--set", "image_size=8", "-o", "depths=1,1,1", "-o", "widths=8,16,16"]


def asked(*entries: str, **changes: Any) -> Request:
    """A small network with one seed, unless other things are asked for."""
    return Request(
        tuple(Entry.parse(entry) for entry in entries or ("resnet_uva",)),
        **{"settings": FAST, "options": OPTIONS, **changes},
    )


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that must not be read."""
    monkeypatch.setattr("convatlas.data.load_data", lambda *_, **__: pytest.fail("the data was read"))


WRONG_WORDS = [
    ({"entries": ()}, "at least one architecture"),
    ({"seeds": ()}, "one or more different"),
    ({"seeds": (3, 3)}, "one or more different"),
    ({"seeds": (0, -1)}, "seed=-1 must be a whole number from 0"),
    ({"seeds": (2**31,)}, "seed=2147483648 must be"),
    ({"seeds": (True,)}, "seed=True must be"),
    ({"device": "gpu"}, "unknown device 'gpu'"),
    ({"settings": {"lrr": "1"}}, "did you mean lr"),
    ({"settings": {"lr": "fast"}}, "lr='fast' must be a number"),
    ({"settings": {"precision": "fp4"}}, "unknown precision 'fp4'"),
    ({"entries": (Entry("resnet_uva", "quik"),)}, "did you mean quick"),
    ({"entries": (Entry("resnet_uva", "quick"),), "settings": {"flip": "2"}}, "flip=2"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG_WORDS, ids=[message for _, message in WRONG_WORDS])
def test_words_are_checked_before_anything_is_looked_up(
    changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convatlas.request.choose", lambda *_: pytest.fail("a network was looked up"))
    request = Request(**{"entries": (Entry("resnet_uva"),), **changes})
    with pytest.raises(UsageError, match=message):
        plan_request(request)


def test_words_are_checked_without_pytorch() -> None:
    code = (
        "import sys\n"
        "from convatlas.request import Entry, Request, check_words\n"
        "check_words(Request((Entry('resnet_uva', 'quick'),), settings={'lr': '0.1'}))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(
    ("entries", "changes", "message"),
    [
        (["resnet_uvx"], {}, "did you mean resnet_uva"),
        (["resnet_uva"], {"data": "digts"}, "did you mean digits"),
        (["resnet_uva"], {"options": {"depth": "3"}}, "did you mean depths"),
        (["resnet_uva"], {"options": {"depths": "a"}}, "whole number"),
        (["resnet_uva"], {"settings": {"epochs": 0}}, "epochs=0"),
        (["resnet_uva", "preact_resnet_uva", "resnet_uva"], {}, r"resnet_uva.*@quick.* is there 2 times"),
        (["resnet_uva@quick", "resnet_uva"], {}, "is there 2 times"),
    ],
)
def test_names_are_looked_up_before_the_data_is_read(entries: list[str], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        plan_request(asked(*entries, **changes))


@pytest.mark.usefixtures("unread")
def test_two_arithmetics_are_refused_before_the_data_is_read(tmp_path: Path) -> None:
    rounded = tmp_path / "rounded.yaml"
    rounded.write_text(write_recipe(recipe("quick").replaced(precision="bf16")))
    with pytest.raises(UsageError, match="a study has one arithmetic"):
        plan_request(asked("resnet_uva@quick", f"preact_resnet_uva@{rounded}"))


def test_the_arithmetic_of_a_rule_is_known_with_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {**recipe("quick").flat(), "precision": "bf16"}
    rule = RecipeRule("rounded", "this test", "?", ("epochs",), lambda facts: {**values, "epochs": facts.classes})
    monkeypatch.setitem(named._BY_NAME, "rounded", rule)
    (plan,) = plan_request(asked("resnet_uva@rounded", settings={}))
    assert (plan.recipe.name, plan.recipe.precision) == ("rounded(epochs=10)", "bf16")
    with pytest.raises(UsageError, match=r"quick in float32 and rounded\(epochs=10\) in bf16"):
        plan_request(asked("resnet_uva@quick", "resnet_uva@rounded", settings={}))


@pytest.mark.usefixtures("unread")
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused_before_the_data_is_read() -> None:
    check_words(asked(device="cuda"))
    with pytest.raises(UsageError, match="PyTorch finds no CUDA device"):
        plan_request(asked(device="cuda"))


def test_the_data_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from convatlas.data import load_data

    read: list[object] = []

    def reading(name: str, *, folder: Path | None = None) -> object:
        read.append((name, folder))
        return load_data(name, folder=folder)

    monkeypatch.setattr("convatlas.data.load_data", reading)
    plans = plan_request(asked("resnet_uva", "preact_resnet_uva@uva_adam", seeds=(4, 2), data_dir=Path("some/folder")))
    assert read == [("digits", Path("some/folder"))]
    assert [(plan.architecture.name, plan.seed) for plan in plans] == [
        ("resnet_uva", 4),
        ("resnet_uva", 2),
        ("preact_resnet_uva", 4),
        ("preact_resnet_uva", 2),
    ]
    assert len({id(plan.data) for plan in plans}) == 1
    assert [plan.recipe.name.partition("[")[0] for plan in plans] == ["quick", "quick", "uva_adam", "uva_adam"]


def test_the_recipe_of_an_entry() -> None:
    assert Entry.parse("lenet5", recipe="quick") == Entry("lenet5", "quick")
    assert Entry.parse("lenet5@uva_adam", recipe="quick") == Entry("lenet5", "uva_adam")
    for wrong in ("lenet5@", "@quick", "@"):
        with pytest.raises(UsageError, match="is not ARCH@RECIPE"):
            Entry.parse(wrong)


class _StopError(Exception):
    """Stands in the place of a training."""


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Plan, Path]]:
    """Plans and folders that would be trained; nothing is, below an empty folder."""
    found: list[tuple[Plan, Path]] = []

    def keep(plan: Plan, *, folder: Path, **_: object) -> None:
        found.append((plan, folder))
        raise _StopError

    monkeypatch.chdir(tmp_path)
    # The study first: it is imported here, and would take what stands in the place of the other for good.
    for place in ("convatlas.study.train_plan", "convatlas.training.train_plan"):
        monkeypatch.setattr(place, keep)
    return found


def test_every_verb_makes_the_same_plan(planned: list[tuple[Plan, Path]]) -> None:
    """Of one request on the command line and in Python, alone and in a study; the folders are those of the verbs."""
    main(["train", "resnet_uva", *WORDS, "--seed", "5", "--quiet"])
    with pytest.raises(_StopError):
        convatlas.train("resnet_uva", seed=5, settings=FAST, options=OPTIONS, quiet=True)
    main(["compare", "resnet_uva", *WORDS, "--seeds", "5,", "--quiet"])
    with pytest.raises(RuntimeError, match="all 1 runs failed"):
        convatlas.compare(["resnet_uva"], seeds=[5], settings=FAST, options=OPTIONS, quiet=True, resume=True)
    identities = [plan.record().identity() for plan, _ in planned]
    assert len(identities) == 4
    assert all(identity == identities[0] for identity in identities)
    assert identities[0]["seed"] == 5
    assert identities[0]["recipe"]["image_size"] == 8
    network = "resnet_uva_depths=1,1,1,_widths=8,16,16_@quick_epochs=1,batch_size=256,image_size=8"
    alone, in_study = Path("runs/digits") / network / "seed5", Path("runs/compare-digits") / network / "seed5"
    assert [folder for _, folder in planned] == [alone, alone, in_study, in_study]


@pytest.mark.parametrize("seeds", ["1000000000", "4294967296", str(MOST_SEEDS + 1)])
def test_too_many_seeds_are_one_line(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "resnet_uva", "--seeds", seeds]) == 2
    assert capsys.readouterr().err == f"convatlas: {seeds} seeds are too many; a study has at most 10,000\n"


@pytest.mark.parametrize("words", [["--recipe", "quik"], ["--device", "gpu"], ["--set", "lrr=1"], ["--seed", "-1"]])
def test_a_wrong_word_of_train_is_refused_before_pytorch_is_imported(words: list[str]) -> None:
    code = (
        "import sys\n"
        "from convatlas.cli import main\n"
        f"print(main(['train', 'lenet5', *{words}]), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"], done.stderr


SEEDS = (10_001, 10**9, 2**32, 2**63, 2**100, range(10**12), range(2**70), -1, 0, [], [-1], [2**31], [1, 1])


@pytest.mark.parametrize("seeds", SEEDS)
def test_seeds_in_python_have_the_same_limits(seeds: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="seed"):
        convatlas.compare(["lenet5"], seeds=seeds, out=tmp_path / "study")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", ["-1", str(2**31), str(2**63), str(10**30), "9" * 5000, "1.5", "x"])
def test_a_seed_out_of_range_is_one_line(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["train", "lenet5", "--seed", seed], ["compare", "lenet5", "--seeds", f"{seed},0"]):
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("convatlas: ")
        assert "seed" in line
        assert "Python" not in line
