"""A plan says where its weights start: from its seed, or from a checkpoint of which parts are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from convatlas import create
from convatlas.architectures import architecture
from convatlas.errors import UsageError
from convatlas.run import Start, differences, read_run, study_of
from convatlas.training import Plan, starting_from, train_plan
from test_training import TINY, StopAt, assert_same, tiny_plan

pytestmark = pytest.mark.usefixtures("quick_runs")

STAGES = ("stem", "stage1", "stage2", "stage3")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A toy network for 7 classes in which every value is random."""
    return saved(tmp_path / "toy.pt", num_classes=7)


def saved(path: Path, **options: Any) -> Path:
    """A file with the state of a network of the shape that `tiny_plan` has; its values are from 0 to 1."""
    state = create("resnet_uva", **{"num_classes": 10, "in_channels": 1, **TINY, **options}).state_dict()
    generator = torch.Generator().manual_seed(1)
    random = {
        key: torch.rand(tensor.shape, generator=generator) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }
    torch.save(random, path)
    return path


def states(plan: Plan, checkpoint: Path) -> tuple[dict[str, torch.Tensor], ...]:
    """The tensors of the plan's network, of the checkpoint, and of the same plan's network from the seed alone."""
    seeded = tiny_plan(seed=plan.seed).build().state_dict()
    return plan.build().state_dict(), torch.load(checkpoint, weights_only=True), seeded


def test_the_head_is_zero_and_all_else_is_kept(checkpoint: Path) -> None:
    plan = starting_from(tiny_plan(seed=3), checkpoint)
    assert (plan.start.kept, plan.start.fresh) == (STAGES, ("head",))
    ours, theirs, _ = states(plan, checkpoint)
    for key, tensor in ours.items():
        assert torch.equal(tensor, torch.zeros_like(tensor) if key.startswith("head.") else theirs[key]), key
    assert plan.build().training


def test_a_head_of_convolutions_and_activations_is_drawn_from_the_seed(tmp_path: Path) -> None:
    """Its zeros could never be left: behind NiN's last convolution stands a ReLU, whose gradient at zero is zero."""
    path = tmp_path / "nin.pt"
    torch.save(create("nin_cifar", num_classes=7, in_channels=1).state_dict(), path)
    plan = starting_from(dataclasses.replace(tiny_plan(), architecture=architecture("nin_cifar"), options={}), path)
    network = plan.build()
    assert plan.start.fresh
    assert all(bool(tensor.any()) for key, tensor in network.named_parameters() if key.endswith("weight"))


def test_the_heads_of_all_branches_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "auxiliary.pt"
    torch.save(create("googlenet_aux", num_classes=7, in_channels=1).state_dict(), path)
    plan = starting_from(dataclasses.replace(tiny_plan(), architecture=architecture("googlenet_aux"), options={}), path)
    zero = [key for key, tensor in plan.build().named_parameters() if key.endswith(".weight") and not tensor.any()]
    assert len(zero) == 3


def test_parts_are_drawn_anew_where_the_plan_says_so(tmp_path: Path) -> None:
    path = saved(tmp_path / "ten.pt")
    assert starting_from(tiny_plan(), path).start.fresh == ()
    plan = starting_from(tiny_plan(), path, fresh=("stage2", "head.fc"))
    assert plan.start.fresh == ("stage2", "head")
    ours, theirs, seeded = states(plan, path)
    for key, tensor in ours.items():
        expected = (
            torch.zeros_like(tensor) if key.startswith("head.") else (seeded if "stage2." in key else theirs)[key]
        )
        assert torch.equal(tensor, expected), key
    with pytest.raises(UsageError, match=r"nothing of .* would be kept; leave a part out of"):
        starting_from(tiny_plan(), path, fresh=(*STAGES, "head"))
    with pytest.raises(UsageError, match="unknown part of resnet_uva 'stage5'; did you mean stage"):
        starting_from(tiny_plan(), path, fresh=("stage5",))


@pytest.mark.slow
def test_the_start_is_part_of_the_run_and_of_its_identity(checkpoint: Path, tmp_path: Path) -> None:
    """A run that started elsewhere is another run; a checkpoint that was moved is the same one."""
    plan = starting_from(tiny_plan(epochs=1), checkpoint)
    run = train_plan(plan, folder=tmp_path / "run")
    assert run.record.start == plan.start == read_run(run.path).record.start
    assert (plan.start.source, len(plan.start.sha256 or "")) == (str(checkpoint), 64)
    with pytest.raises(UsageError, match=r"holds another run \(start.fresh \[\] here, \['head'\] there; start.origin"):
        train_plan(tiny_plan(epochs=1), folder=run.path)
    with pytest.raises(UsageError, match=r"; start\.sha256 "):
        train_plan(starting_from(tiny_plan(epochs=1), saved(tmp_path / "ten.pt")), folder=run.path)
    moved = starting_from(tiny_plan(epochs=1), checkpoint.rename(tmp_path / "moved.pt"))
    assert train_plan(moved, folder=run.path).record == run.record


@pytest.mark.slow
def test_a_run_from_weights_is_resumed_bit_for_bit(checkpoint: Path, tmp_path: Path) -> None:
    plan = starting_from(tiny_plan(), checkpoint)
    whole = train_plan(plan, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=tmp_path / "parts", progress=StopAt(6))
    checkpoint.unlink()  # the last checkpoint of the run has every weight
    assert_same(train_plan(plan, folder=tmp_path / "parts", resume=True), whole)
    with pytest.raises(UsageError, match="no checkpoint at"):
        train_plan(plan, folder=tmp_path / "anew")


@pytest.mark.slow
def test_a_run_is_a_start_too(tmp_path: Path) -> None:
    """The checkpoint of a run says its options itself; a plan of other options is refused."""
    run = train_plan(tiny_plan(epochs=1, options={"activation": "gelu"}), folder=tmp_path / "run")
    plan = starting_from(tiny_plan(options={"activation": "gelu"}), run.best_checkpoint)
    assert plan.start.fresh == ()
    with pytest.raises(
        UsageError, match=r"is of resnet_uva\(.*activation=gelu\), the training of .*; give the same options"
    ):
        starting_from(tiny_plan(), run.best_checkpoint)


def test_what_cannot_be_the_start(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes images of 3 channels, the training has 1; give -o in_channels=3"):
        starting_from(tiny_plan(), saved(tmp_path / "colour.pt", in_channels=3))
    with pytest.raises(UsageError, match="is of another network than resnet_uva"):
        starting_from(tiny_plan(), saved(tmp_path / "deep.pt", depths=(2, 1, 1)))
    with pytest.raises(UsageError, match="no checkpoint at"):
        starting_from(tiny_plan(), tmp_path / "nowhere.pt")
    plan = starting_from(tiny_plan(), checkpoint)
    saved(checkpoint, num_classes=8)
    with pytest.raises(UsageError, match=r"toy.pt is not the checkpoint that the training starts from: its sha256 is"):
        plan.build()


def test_a_plan_starts_from_its_seed_unless_it_says_otherwise() -> None:
    assert tiny_plan().start == Start.from_seed() == Start(origin="seed")


def test_a_study_of_networks_that_start_elsewhere_is_another_study(checkpoint: Path) -> None:
    from_seed, from_weights = (
        study_of({"net": plan.record()}, seeds=(0,), device="cpu", command="convatlas compare")
        for plan in (tiny_plan(), starting_from(tiny_plan(), checkpoint))
    )
    assert not from_seed.extends(from_weights)
    assert any("start.origin" in line for line in differences(from_seed.identity(), from_weights.identity()))
