"""The methods of a study of transfer, from the user's words; no name is looked up yet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from convatlas.data_names import Shots, shots_of
from convatlas.errors import UsageError, unknown
from convatlas.request import Entry
from convatlas.values import fields_in_brackets, listed
from convatlas.words import file_name

Kind = Literal["weights", "seed", "nearest_mean"]
NEAREST_MEAN, SCRATCH = "nearest_mean", "scratch"
RECIPES = {  # the recipe of a method that names none
    "head_only": "few_shot_head",
    "full": "few_shot_full",
    SCRATCH: "few_shot_scratch",
    NEAREST_MEAN: "few_shot_head",  # of its preprocessing; nothing is trained
    "gradual": "gradual",
    "bit_hyperrule": "bit_hyperrule",
    "bit_hyperrule_paper": "bit_hyperrule_paper",
}
METHODS = "head_only,nearest_mean,full,scratch"
SHOTS = "1,5,10,50,100,all"
_METHOD = re.compile(r"(?P<name>[^@\[\]]+)(@(?P<recipe>[^\[\]]+))?(\[(?P<settings>[^\[\]]+)\])?")


@dataclass(frozen=True)
class Method:
    """A way to use few images: from the weights of the base, from the seed, or the nearest class mean.

    `name` is the user's text, the name in tables. `architecture` is that of a training from the seed, if it is not the
    base's. `settings` change fields of the recipe.
    """

    name: str
    kind: Kind
    recipe: str
    architecture: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> str:
        """The name of the method's folder."""
        return file_name(self.name)

    @classmethod
    def parse(cls, text: str) -> Method:
        """Returns the method of `NAME`, `NAME@RECIPE` or `NAME[FIELD=VALUE,...]`. Raises `UsageError`.

        >>> Method.parse("full[image_size=96,steps=50]").settings
        {'image_size': '96', 'steps': '50'}
        >>> Method.parse("scratch:resnet_uva@fast_cifar").architecture
        'resnet_uva'
        """
        found = _METHOD.fullmatch(text)
        if found is None:
            raise UsageError(f"{text!r} is no method; write NAME, NAME@RECIPE or NAME[FIELD=VALUE,...]")
        name, recipe = found["name"], found["recipe"]
        kind: Kind = "weights"
        architecture = None
        if name == NEAREST_MEAN:
            kind = "nearest_mean"
        elif name == SCRATCH or name.startswith(f"{SCRATCH}:"):
            kind, architecture = "seed", name.partition(":")[2] or None
            name = SCRATCH
        if recipe is None and name not in RECIPES:
            raise unknown("method", name, RECIPES, hint="; another way is NAME@RECIPE, with a recipe of your own")
        return cls(text, kind, recipe or RECIPES[name], architecture, fields_in_brackets(found["settings"] or "", text))

    def entry(self, source: str) -> Entry:
        """Returns the entry of the method in a request; `source` is the base."""
        return Entry(self.architecture or source, self.recipe)


def methods_of(text: str | Sequence[str]) -> tuple[Method, ...]:
    """Returns the methods of a list with commas, or of a sequence. Raises `UsageError`.

    >>> [method.name for method in methods_of("full[steps=5,lr=0.1],scratch")]
    ['full[steps=5,lr=0.1]', 'scratch']
    """
    texts = listed(text) if isinstance(text, str) else list(text)
    methods = tuple(Method.parse(part.strip()) for part in texts if part.strip())
    folders = [method.folder for method in methods]
    if not methods:
        raise UsageError(f"--methods names none; such as {METHODS}")
    for method in methods:
        if folders.count(method.folder) > 1:
            raise UsageError(f"the method {method.name} is there twice; name each once")
    return methods


def shots_and_draws(text: str | Sequence[Shots | str], draws: tuple[int, ...]) -> dict[Shots, tuple[int, ...]]:
    """Returns the draws of each number of shots; `K:N` takes the first N draws only. Raises `UsageError`.

    >>> shots_and_draws("5,all:1", (0, 1, 2))
    {5: (0, 1, 2), 'all': (0,)}
    """
    parts = text.split(",") if isinstance(text, str) else [str(part) for part in text]
    found: dict[Shots, tuple[int, ...]] = {}
    for part in filter(None, map(str.strip, parts)):
        shots, colon, most = part.partition(":")
        if colon and not (most.isdecimal() and 1 <= int(most) <= len(draws)):
            raise UsageError(f"{part!r} takes some of the {len(draws)} draws; write {shots}:1 to {shots}:{len(draws)}")
        if (number := shots_of(shots)) in found:
            raise UsageError(f"shots={number} is there twice; name each number once")
        found[number] = draws[: int(most)] if colon else draws
    if not found:
        raise UsageError(f"--shots names none; such as {SHOTS}")
    return dict(sorted(found.items(), key=lambda item: float("inf") if item[0] == "all" else item[0]))
