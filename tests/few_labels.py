"""Small trainings with few labels, and one batch of them, for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from convatlas.recipe import recipe
from convatlas.training import Plan, make_plan
from convatlas.training.parallel import Group
from convatlas.training.semi_supervised.batches import FewLabelsBatch
from convatlas.training.semi_supervised.joint import joint_gradients
from convatlas.training.semi_supervised.meta import MetaPseudoLabels
from convatlas.training.semi_supervised.objective import SemiSupervised
from test_training import DIGITS, tiny_plan

LABELS = DIGITS.train.labels


def few(method: str, **changes: Any) -> Plan:
    """Three epochs of two steps of 8 labelled images at 8 pixels: half a second."""
    short = {"steps": 6, "epoch_steps": 2, "batch_size": 8, "image_size": 8, "labels": 40.0}
    chosen = recipe(f"{method}_quick").replaced(**{**short, **changes})
    plan = tiny_plan()
    return make_plan(plan.architecture, data=DIGITS, chosen=chosen, seed=0, options=plan.options)


class Passes(nn.Module):
    """A network without norms, which counts the images of each pass."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        return self.layers(images)  # type: ignore[no-any-return]


def objective_of(method: str, network: nn.Module, **changes: Any) -> SemiSupervised:
    chosen = few(method, **changes).recipe
    return SemiSupervised(network.double(), recipe=chosen, labels=LABELS, num_classes=10, device="cpu")


def batch_of(labelled: int = 4, views: int = 2, ratio: int = 3, progress: float = 0.2) -> FewLabelsBatch:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(labelled, 1, 8, 8, generator=generator, dtype=torch.float64)
    pairs = torch.randn(views, ratio * labelled, 1, 8, 8, generator=generator, dtype=torch.float64)
    return FewLabelsBatch(images, torch.arange(labelled), tuple(pairs.unbind()), progress)


PLAIN_SGD = {"optimizer": "sgd", "lr": 0.3, "weight_decay": 0.0, "weight_decay_on": "all", "schedule": "constant"}
NO_PARTS = {"student_wait": 0.0, "finetune_part": 0.0, "finetune_lr": None, "ramp_up": 0.0}


def meta(**changes: Any) -> MetaPseudoLabels:
    """A teacher and a student without norms, in float64."""
    chosen = few("meta_pseudo_labels", **{**PLAIN_SGD, **NO_PARTS, **changes}).recipe
    made = MetaPseudoLabels(Passes().double(), recipe=chosen, labels=LABELS, num_classes=10, device="cpu")
    teacher = Passes().double()
    for parameter in teacher.parameters():
        parameter.data = parameter.data.flip(0) * 3
    made.add_teacher(teacher)
    return made


def joint_gradients_of(*, group: Group) -> list[Tensor]:
    """The gradients of both losses by networks without norms, in float64, of an uneven batch."""
    plain = objective_of("fixmatch", Passes(), threshold=0.15)
    annealed = objective_of("uda", Passes(), annealing="linear", threshold=0.15)
    for objective in (plain, annealed):
        joint_gradients(objective, batch_of(labelled=5, progress=0.05), [], group=group)
    both = meta(threshold=0.3)
    both.step(batch_of(labelled=5), update=lambda optimizer: optimizer.step(), group=group)
    kept = [p.grad for each in (both.network, both.teacher) for p in each.parameters() if p.grad is not None]
    return kept + [p.grad for each in (plain, annealed) for p in each.network.parameters() if p.grad is not None]
