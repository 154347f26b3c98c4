"""Images in files with few labels, and unlabelled images of another source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.data.unlabelled import load_unlabelled
from convatlas.errors import UsageError
from convatlas.recipe import recipe
from convatlas.run import read_run
from convatlas.training import Plan, Sources, build_learner, make_plan, train_plan, training_rounds
from few_labels import few
from test_training import StopAt, assert_same

pytestmark = pytest.mark.usefixtures("quick_runs")

SHORT: dict[str, Any] = {"steps": 4, "epoch_steps": 2, "batch_size": 4, "image_size": 8, "threshold": 0.4}


def write_images(folder: Path, count: int, *, seed: int) -> None:
    """Small random photographs."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 10, 10, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 20 photographs each, and beside them others: flat, and of a third class."""
    root = tmp_path_factory.mktemp("few")
    write_images(root / "labelled" / "cats", 20, seed=0)
    write_images(root / "labelled" / "dogs", 20, seed=1)
    write_images(root / "flat", 9, seed=2)
    write_images(root / "more" / "dogs", 5, seed=3)
    write_images(root / "more" / "birds" / "deep", 6, seed=4)
    return root


def plan_on(photos: Path, **changes: Any) -> Plan:
    chosen = recipe("fixmatch_quick").replaced(**{**SHORT, **changes})
    options = {"depths": (1, 1, 1), "widths": (8, 8, 16)}
    data = load_data(f"folder:{photos / 'labelled'}")
    return make_plan(architecture("resnet_uva"), data=data, chosen=chosen, seed=0, options=options)


def test_images_in_files_are_read_once_for_both_views(photos: Path, tmp_path: Path) -> None:
    plan = plan_on(photos, labels=8.0, crop="none", rand_augment=1, rand_magnitude=0.0)
    objective: Any = build_learner(plan, device="cpu").objective
    assert objective.unlabelled.labels is None
    assert len(objective.labelled) == 8
    batch = next(iter(objective.batches(plan, 0)))
    assert [tuple(view.shape) for view in batch.views] == [(12, 3, 8, 8)] * 2
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(3))
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)


def test_unlabelled_images_of_another_folder_are_used_alone(photos: Path, tmp_path: Path) -> None:
    sources = Sources(unlabelled=f"folder:{photos / 'flat'}")
    ((plan, folder),) = training_rounds(plan_on(photos), tmp_path / "run", sources=sources, device="cpu")
    objective: Any = build_learner(plan, device="cpu").objective
    assert (len(objective.unlabelled), len(objective.labelled)) == (9, len(plan.data.train))
    run = train_plan(plan, folder=folder)
    found = read_run(run.path).record.unlabelled
    assert found is not None
    assert (found.count, found.name) == (9, f"folder:{photos / 'flat'}")
    with pytest.raises(UsageError, match="unlabelled only"):
        train_plan(plan_on(photos), folder=folder)
    assert any("9 images of folder:" in note for note in plan.notes)


def test_folders_of_any_depth_are_read_and_classes_without_labels_are_said(photos: Path, tmp_path: Path) -> None:
    data = load_unlabelled(f"folder:{photos / 'more'}")
    assert (len(data.train), data.spec.class_names) == (11, ("birds", "dogs"))
    sources = Sources(unlabelled=f"folder:{photos / 'more'}")
    ((plan, _),) = training_rounds(plan_on(photos), tmp_path, sources=sources, device="cpu")
    assert "some unlabelled images are of classes that have no labels and cannot be learned: birds" in plan.notes
    assert not any("used without labels too" in note for note in plan.notes), "these alone are the unlabelled ones"


def test_test_images_are_not_learned_without_labels(photos: Path, tmp_path: Path) -> None:
    """Also by another way to the same files."""
    plan = plan_on(photos)
    (tmp_path / "link").symlink_to(photos / "labelled")
    for place in (photos / "labelled", photos, tmp_path / "link"):
        count = len(plan.data.validation) + len(plan.data.test)
        with pytest.raises(UsageError, match=f"{count} of the images of folder:.* are validation or test images"):
            next(
                iter(
                    training_rounds(plan, tmp_path / "run", sources=Sources(unlabelled=f"folder:{place}"), device="cpu")
                )
            )


def test_a_named_data_set_gives_its_training_images() -> None:
    data = load_unlabelled("digits")
    assert len(data.train) == 1077
    labels = data.train.labels
    assert isinstance(labels, torch.Tensor)
    assert not labels.any()  # nothing of the classes is kept


@pytest.mark.parametrize(
    ("reference", "words"),
    [("folder:no/such", "there is no folder at"), ("nothing", "unknown data set"), ("digits", "have 1 channels")],
)
def test_sources_that_cannot_be_used_are_refused(reference: str, words: str, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        next(training_rounds(plan_on(photos), tmp_path, sources=Sources(unlabelled=reference), device="cpu"))


def test_labels_alone_use_no_unlabelled_images(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not used by method=supervised"):
        next(training_rounds(few("supervised"), tmp_path, sources=Sources(unlabelled="digits"), device="cpu"))


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match="holds no image"):
        load_unlabelled(f"folder:{tmp_path}")
