"""The networks whose gradients are measured, and what is changed about each of them. PyTorch is not imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from convatlas.architectures import check_classifier, check_name, nothing_at
from convatlas.errors import UsageError, unknown
from convatlas.values import assignments

Norm = Literal["own", "none"]
Initialisation = Literal["own", "small", "xavier", "kaiming"]


@dataclass(frozen=True)
class Choice:
    """An architecture with changed norms, initial weights and options, or the folder of a run, as it was trained."""

    name: str
    norm: Norm = "own"
    initialisation: Initialisation = "own"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_run(self) -> bool:
        """Returns whether the name is a folder."""
        return Path(self.name).is_dir()


def choices(
    networks: Sequence[str], *, norms: Sequence[str], initialisations: Sequence[str], options: Mapping[str, Any]
) -> list[Choice]:
    """Returns each combination of a network, a norm and initial weights, once. Raises `UsageError` for wrong words."""
    for kind, words, permitted in (("--norm", norms, Norm), ("--init", initialisations, Initialisation)):
        for word in words:
            if word not in get_args(permitted):
                raise unknown(kind, word, get_args(permitted))
        if not words:
            raise UsageError(f"{kind} needs a value: {', '.join(get_args(permitted))}")
    if not networks:
        raise UsageError("no network is named; name architectures, or folders of runs")
    found: list[Choice] = []
    for name in dict.fromkeys(networks):
        if Path(name).is_dir():
            if options or {*norms, *initialisations} != {"own"}:
                raise UsageError(f"{name} is a run, which is measured as it was trained; leave -o, --norm, --init out")
            found.append(Choice(name))
            continue
        if "/" in name and ".py:" not in name:
            raise nothing_at(name)
        architecture, own = with_options(name)
        check_name(architecture, options={**options, **own})
        check_classifier(architecture)
        found += [
            Choice(architecture, cast(Norm, norm), cast(Initialisation, weights), {**options, **own})
            for norm in dict.fromkeys(norms)
            for weights in dict.fromkeys(initialisations)
        ]
    return found


def with_options(text: str) -> tuple[str, dict[str, str]]:
    """Returns the architecture and the options of a name as figures and tables print it. Raises `UsageError`.

    >>> with_options("plain20(depths=1,1,1, activation=gelu)")
    ('plain20', {'depths': '1,1,1', 'activation': 'gelu'})
    """
    name, bracket, inside = text.partition("(")
    if not bracket or not inside.endswith(")"):
        return text, {}
    return name, assignments(inside.removesuffix(")").split(", "), flag=name)
