"""The plans of a study of transfer: every method on every draw of every number of shots."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convatlas.data_names import Shots, Subset, check_reference, subset_in
from convatlas.errors import UsageError
from convatlas.few_shot.methods import Method
from convatlas.recipe import Recipe
from convatlas.request import (
    Choice,
    Request,
    StartWords,
    check_arithmetic,
    check_words,
    choose,
    plan_choice,
    readable_data,
)
from convatlas.words import file_name

if TYPE_CHECKING:
    from convatlas.data import DataSet
    from convatlas.training import Plan

FIRST_SEED = 1_000  # far from the seed of a base, which may have drawn a head of convolutions with the same one


@dataclass(frozen=True)
class TransferRequest:
    """A request to compare methods over draws of few images, in the user's words; no name is looked up yet.

    `source` is the base: a run, a checkpoint file, or an architecture with `weights`. `draws` are the numbers of the
    draws of each number of shots. `settings` change the recipes of all methods.
    """

    source: str
    methods: tuple[Method, ...]
    draws: Mapping[Shots, tuple[int, ...]]
    data: str
    weights: str | None = None
    head: Literal["fresh", "kept"] = "fresh"
    data_dir: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    skip_unreadable: bool = False

    def of(self, method: Method) -> Request:
        """Returns the request of one method, as the other verbs know it."""
        own = method.kind == "seed" and method.architecture is not None
        return Request(
            entries=(method.entry(self.source),),
            data=self.data,
            data_dir=self.data_dir,
            settings={**self.settings, **method.settings},
            options={} if own else self.options,
            device=self.device,
            skip_unreadable=self.skip_unreadable,
            start=None if own else StartWords(self.weights, self.head),
        )


@dataclass(frozen=True)
class Member:
    """One run of the study: a method, a number of shots, the number of a draw, the plan, and the run's folder."""

    method: Method
    shots: Shots
    draw: int
    plan: Plan
    folder: Path

    @property
    def trained(self) -> bool:
        """Whether the method trains; the nearest mean does not."""
        return self.method.kind != "nearest_mean"


def transfer_folder(data: str) -> Path:
    """Returns the default folder of a study of transfer.

    >>> str(transfer_folder("digits?test_images=100"))
    'runs/transfer-digits_test_images=100'
    """
    return Path("runs") / file_name(f"transfer-{data}")


def check_transfer(request: TransferRequest) -> None:
    """Raises `UsageError` for an unknown or wrong word; the check needs neither PyTorch nor data."""
    check_reference(request.data)
    if subset_in(request.data)[1].shots is not None:
        raise UsageError(f"{request.data} has shots already; name the whole set, and the shots with --shots")
    for method in request.methods:
        check_words(request.of(method))


def plan_transfer(request: TransferRequest, *, out: Path) -> tuple[DataSet, list[Member]]:
    """Returns the data and the runs of a study: the fewest shots first, then method by method. Raises `UsageError`."""
    check_transfer(request)
    choices = [(method, _choice(method, request)) for method in request.methods]
    check_arithmetic([choice.recipe for _, choice in choices if isinstance(choice.recipe, Recipe)])

    from convatlas.device import resolve_device

    resolve_device(request.device)  # refuses a missing device before the data is read
    data = readable_data(request.of(request.methods[0]))
    members = []
    for shots, draws in request.draws.items():
        drawn = _drawn(data, shots, draws)
        for method, choice in choices:
            first = plan_choice(choice, request.of(method), data=drawn[draws[0]])
            first = dataclasses.replace(first, title=f"{method.name}, {shots} shot{'s' * (shots != 1)}")
            alike = shots == "all" and method.kind == "nearest_mean"  # every draw is the same
            for draw in draws[:1] if alike else draws:
                folder = out / method.folder / f"shots{shots}" / f"draw{draw}"
                members.append(Member(method, shots, draw, _of_draw(first, drawn[draw], draw), folder))
    check_arithmetic([member.plan.recipe for member in members])
    return data, members


def _choice(method: Method, request: TransferRequest) -> Choice:
    """Returns the network and the recipe of a method; a training from the seed has no base."""
    own = request.of(method)
    choice = choose(own.entries[0], own)
    return dataclasses.replace(choice, base=None) if method.kind == "seed" else choice


def _drawn(data: DataSet, shots: Shots, draws: Sequence[int]) -> dict[int, DataSet]:
    """Returns the data set of each draw."""
    from convatlas.data.subset import few_shot

    return {draw: few_shot(data, Subset(shots=shots, draw=draw)) for draw in draws}


def _of_draw(first: Plan, data: DataSet, draw: int) -> Plan:
    """Returns the plan of another draw: other images, and their normalisation where the recipe names none.

    The seed is `FIRST_SEED` and the number of the draw.
    """
    from convatlas.data.fitting import make_preprocessing

    seen = make_preprocessing(first.recipe, data=data, in_channels=first.in_channels)
    return dataclasses.replace(first.with_seed(FIRST_SEED + draw), data=data, preprocessing=seen)
