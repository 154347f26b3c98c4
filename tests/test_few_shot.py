"""Few labelled images: the words of a reference, draws that are balanced and disjoint, runs without validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.cli import main
from convatlas.data import DataSet, class_labels, class_names, load_data, open_source
from convatlas.data_names import Subset, check_reference, draws_of, in_subset, recipe_of_data, subset_in
from convatlas.errors import UsageError
from convatlas.request import Entry, Request, plan_request, run_folder
from convatlas.run import Run, read_run
from convatlas.training import Plan, train_plan
from test_training import TINY, StopAt, weights

pytestmark = pytest.mark.usefixtures("quick_runs")


def numbers(data: DataSet, part: str) -> set[int]:
    """The places in the source of the images of a part."""
    return set(data.parts[part].index.tolist())


def counts(data: DataSet, part: str) -> list[int]:
    """The images of each class in a part."""
    return class_labels(data.parts[part]).bincount(minlength=len(data.spec.class_names)).tolist()


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command is refused."""
    assert main([*words.split(), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


# ----------------------------------------------------------------------------------------------------- the draws


@pytest.mark.parametrize("shots", [1, 5, 50])
def test_draws_are_balanced_and_disjoint_from_validation_and_test(shots: int) -> None:
    whole = load_data("digits")
    drawn = [load_data(f"digits?shots={shots}&draw={draw}") for draw in range(3)]
    for data in drawn:
        assert counts(data, "train") == [shots] * 10
        assert len(data.validation) == 0
        assert data.test.content_hash() == whole.test.content_hash()
        assert numbers(data, "train") < numbers(whole, "train")
        assert not numbers(data, "train") & (numbers(whole, "validation") | numbers(whole, "test"))
    assert len({data.split_hash for data in (whole, *drawn)}) == 4
    assert len({frozenset(numbers(data, "train")) for data in drawn}) == 3


def test_a_draw_is_the_same_on_every_machine() -> None:
    """Typed from a run; another value means that old draws cannot be made again."""
    typed = {208, 459, 469, 577, 612, 717, 833, 1250, 1421, 1764}
    assert numbers(load_data("digits?shots=1&draw=2"), "train") == typed


def test_unknown_words_behind_a_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match=r"unknown word behind folder:.*photos\? 'class'; did you mean classes\?"):
        check_reference(f"folder:{tmp_path}/photos?class=cat")
    (tmp_path / "photos?class=cat").mkdir()
    check_reference(f"folder:{tmp_path}/photos?class=cat")


def test_images_and_labels_stay_together() -> None:
    whole, few = load_data("digits"), load_data("digits?shots=3&draw=1")
    places = {number: place for place, number in enumerate(whole.train.index.tolist())}
    for place, number in enumerate(few.train.index.tolist()):
        assert torch.equal(few.train.pixels[place], whole.train.pixels[places[number]])  # type: ignore[attr-defined]
        assert class_labels(few.train)[place] == class_labels(whole.train)[places[number]]


def test_a_draw_of_more_shots_has_the_images_of_one_of_fewer() -> None:
    few, more = load_data("digits?shots=2&draw=4"), load_data("digits?shots=9&draw=4")
    assert numbers(few, "train") < numbers(more, "train")


def test_fewer_test_images_are_balanced_and_always_the_same() -> None:
    one, other = load_data("digits?test_images=105"), load_data("digits?test_images=105&shots=5&draw=3")
    assert counts(one, "test") == [11] * 5 + [10] * 5
    assert numbers(one, "test") == numbers(other, "test") < numbers(load_data("digits"), "test")
    assert counts(load_data("digits?shots=5&draw=3"), "train") == counts(other, "train")
    assert numbers(load_data("digits?shots=5&draw=3"), "train") == numbers(other, "train")


def test_some_classes_are_a_data_set_of_their_own() -> None:
    whole, some = load_data("digits"), load_data("digits?classes=7,3")
    assert (some.spec.name, some.spec.class_names) == ("digits?classes=3,7", ("3", "7"))
    assert counts(some, "train") == [counts(whole, "train")[label] for label in (3, 7)]
    assert numbers(some, "validation") < numbers(whole, "validation")
    few = load_data("digits?classes=7,3&shots=4")
    assert few.subset == Subset(("3", "7"), None, 4, 0)
    assert (counts(few, "train"), len(few.test)) == ([4, 4], len(some.test))
    assert class_names("digits?classes=7,3") == ("3", "7")
    assert recipe_of_data("digits?classes=7,3") == "quick"


def test_images_in_files_are_drawn_alike(tmp_path: Path) -> None:
    for place in range(24):
        file = tmp_path / "photos" / ("a, b", "c")[place % 2] / f"{place}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((9, 12, 3), 10 * place, np.uint8)).save(file)
    data = load_data(f"folder:{tmp_path}/photos?shots=2&draw=1")
    assert (counts(data, "train"), len(data.validation)) == ([2, 2], 0)
    assert data.spec.label == "folder-photos-shots2-draw1"
    named = load_data(f"folder:{tmp_path}/photos?classes=a%2C b,c")
    assert named.spec.class_names == ("a, b", "c")
    assert open_source(named.spec.name).spec.name == named.spec.name


# ----------------------------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("shots=107", "shots=107: class 0 of digits has 106 training images; give at most 104, or all"),
        ("shots=0", "shots='0' must be a whole number of at least 1, or all"),
        ("shots=five", "must be a whole number of at least 1, or all"),
        ("shots=5&draw=-1", "draw='-1' must be a whole number"),
        ("shots=5&draw=1000", "draw=1000 must be 0 to 999"),
        ("draw=1", "draw=1 of digits draws nothing; name the shots too"),
        ("test_images=361", "has 3"),
        ("classes=3", "must be two or more, each once"),
        ("classes=3,3,4", "must be two or more, each once"),
        ("classes=3,ten", "unknown class of digits 'ten'"),
        ("shot=5", "unknown word behind digits? 'shot'; did you mean shots?"),
    ],
)
def test_bad_words_are_refused_in_a_line(words: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        load_data(f"digits?{words}")
    assert said in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_references_are_read_and_written_alike() -> None:
    assert subset_in("digits") == ("digits", Subset())
    assert subset_in("folder:strange?name") == ("folder:strange?name", Subset())
    assert in_subset("cifar10?classes=cat,dog", Subset(shots="all")) == "cifar10?classes=cat,dog&shots=all&draw=0"
    with pytest.raises(UsageError, match="shots is given twice"):
        in_subset("digits?shots=5", Subset(shots=3))
    check_reference("digits?shots=5")
    assert draws_of(2) == draws_of("0,1") == (0, 1)
    for wrong in ("0", "", "1,1", "x"):
        with pytest.raises(UsageError, match="draws="):
            draws_of(wrong)


# ------------------------------------------------------------------------------------------------------ the runs


def plan_of(data: str, **settings: object) -> Plan:
    """Four epochs of two steps of a tiny network."""
    settings = {"epochs": 4, "batch_size": 25, "image_size": 8, **settings}
    return plan_request(Request((Entry("resnet_uva", "quick"),), data, settings=settings, options=TINY))[0]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_plan(plan_of("digits?shots=5&draw=1"), folder=tmp_path_factory.mktemp("few") / "run")


def test_a_few_shot_run_keeps_the_last_epoch_and_no_validation_images(few: Run) -> None:
    record = read_run(few.path).record
    assert (record.data.name, record.data.train, record.data.validation) == ("digits?shots=5&draw=1", 50, 0)
    assert record.selection == "the last epoch: no validation images are used"
    assert few.results["best_epoch"] == 4
    assert not [name for name in few.results if name.startswith("val")]
    assert not [name for name in few.metrics()[0] if name.startswith("val")]
    assert "val_logits" not in few.predictions()
    best, last = (
        torch.load(path, weights_only=True)["state_dict"] for path in (few.best_checkpoint, few.last_checkpoint)
    )
    assert all(torch.equal(best[name], last[name]) for name in last)


def test_a_stopped_few_shot_run_goes_on_bit_for_bit(few: Run, tmp_path: Path) -> None:
    plan = plan_of("digits?shots=5&draw=1")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "run", progress=StopAt(5))
    run = train_plan(plan, folder=tmp_path / "run", resume=True)
    ours, theirs = weights(run), weights(few)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert np.array_equal(run.predictions()["test_logits"], few.predictions()["test_logits"])


def test_another_draw_is_another_run(few: Run) -> None:
    for data in ("digits?shots=5&draw=0", "digits?shots=4&draw=1", "digits", "digits?shots=5&draw=1&test_images=90"):
        with pytest.raises(UsageError, match="holds another run"):
            train_plan(plan_of(data), folder=few.path, resume=True)
    assert str(run_folder(plan_of("digits?shots=5&draw=1"))).startswith("runs/digits-shots5-draw1/")


def test_a_batch_may_be_larger_than_the_set(tmp_path: Path) -> None:
    plan = plan_of("digits?shots=1&draw=0", batch_size=64, epochs=1)
    assert train_plan(plan, folder=tmp_path / "run").results["best_epoch"] == 1
    assert any("an epoch is one step" in note for note in plan.notes)
    drawn = plan_of("digits?shots=1&draw=0", batch_size=64, epochs=1, epoch_steps=3)
    assert any("drawn with replacement" in note for note in drawn.notes)


def test_a_schedule_that_waits_for_validation_images_is_refused() -> None:
    with pytest.raises(UsageError, match="schedule=plateau waits for validation images"):
        plan_of("digits?shots=5", schedule="plateau", patience=2)


def test_the_command_line_evaluates_a_few_shot_run_on_its_own_test_images(
    tmp_path: Path, few: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"finetune {few.path} --data digits --shots 2 --draw 3 --test-images 50 --epochs 1 --out {tmp_path}/run"
    assert main([*words.split(), "--quiet"]) == 0
    assert "no validation images, so the last epoch 1 of 1" in capsys.readouterr().out
    assert read_run(tmp_path / "run").record.data.name == "digits?test_images=50&shots=2&draw=3"
    assert main(["evaluate", f"{tmp_path}/run"]) == 0
    assert "of 50)" in capsys.readouterr().out
    assert main(["evaluate", f"{tmp_path}/run", "--data", "digits"]) == 0
    assert "of 360)" in capsys.readouterr().out
    assert "digits has 106 training images; give at most 104" in refused(
        f"finetune {few.path} --data digits --shots 200", capsys
    )
    assert "--draw 3 draws nothing" in refused(f"finetune {few.path} --data digits --draw 3", capsys)
