"""Degradation: do deeper networks of one kind have a higher error, on the training images too?

He, Zhang, Ren, Sun 2015, https://arxiv.org/abs/1512.03385, figures 4 and 6: without shortcuts they have, with shortcuts
they have not. The curves are those of runs: training error, and validation error in place of the test error, because
the test images are evaluated once a run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from convatlas.errors import UsageError
from convatlas.evaluation import difference_over_seeds, summarize
from convatlas.files import check_writable, write_json
from convatlas.insight.degradation_verdict import verdict
from convatlas.recipe import RECIPES
from convatlas.report.protocol import check_same_data, protocol
from convatlas.report.tables import study_rows
from convatlas.run import Run, differences, recipe_identity, runs_in
from convatlas.words import finite, label

MEASURES = ("training", "validation", "test")
NETWORKS = ("plain20", "plain56", "resnet20", "resnet56")


@dataclass(frozen=True)
class Errors:
    """The errors of one network, as fractions: for each seed those of its epochs, and the test error.

    `layers` are its convolutions and linear layers. The test error is that of the epoch that validation selects.
    """

    name: str
    kind: str
    layers: int
    seeds: tuple[int, ...]
    training: tuple[tuple[float, ...], ...]
    validation: tuple[tuple[float, ...], ...]
    test: tuple[float, ...]

    def last(self, measure: str) -> list[float]:
        """Returns the error of each seed: that of the last epoch, or the test error."""
        return list(self.test) if measure == "test" else [epochs[-1] for epochs in getattr(self, measure)]

    def content(self) -> dict[str, Any]:
        """Returns the errors as plain data."""
        curves = {"training": self.training, "validation": self.validation}
        found = {measure: _statistics(self.last(measure)) for measure in MEASURES}
        facts = {"name": self.name, "kind": self.kind, "layers": self.layers, "seeds": self.seeds}
        return dict(finite({**facts, **found, "curves": {**curves, "test": self.test}}))


def kind_of(name: str) -> str:
    """Returns the kind of an architecture: its name without the numbers. Networks of one kind differ in depth.

    Of a user's own network the file belongs to the kind.

    >>> kind_of("plain56"), kind_of("resnet20_b"), kind_of("densenet_40_12"), kind_of("nets/v2.py:net3")
    ('plain', 'resnet_b', 'densenet', 'v2.py:net')
    """
    file, colon, own = name.rpartition(":")
    return Path(file).name + colon + re.sub(r"_?\d+", "", own)


def check_kinds(names: Iterable[str]) -> None:
    """Raises `UsageError` for a network without another one of its kind: there is no depth to compare."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(kind_of(name), []).append(name)
    for kind, members in kinds.items():
        if len(members) < 2:
            raise UsageError(
                f"{members[0]} is the only network of its kind, {kind}; name another depth of it too, as "
                "plain20 beside plain56: names of one kind differ in their numbers only"
            )


def check_networks(entries: Iterable[tuple[str, str | None]]) -> None:
    """Raises `UsageError` for names and recipes of networks that degradation cannot compare."""
    names, recipes = zip(*entries, strict=True)
    check_kinds(names)
    if len(set(recipes)) > 1:
        named = " and ".join(sorted({recipe or "none" for recipe in recipes}))
        raise UsageError(f"degradation compares depths under one recipe, not {named}; name it once, with --recipe")


def degradation(folders: Sequence[Path]) -> dict[str, Any]:
    """Returns the errors of the runs in folders by network, what depth changes, and the verdict, as plain data.

    Unfinished and failed runs are left out and named. Raises `UsageError` where no two depths of a kind are there, and
    for runs that differ in more than the network and the seed: data, split, recipe, number of epochs.
    """
    runs = runs_in(folders)
    finished = [run for run in runs if run.finished]
    left_out = [f"{run.path} is {run.status}" for run in runs if not run.finished]
    if not finished:
        raise UsageError(
            f"no finished run in {', '.join(map(str, folders))}; train some: convatlas degradation --data D"
        )
    check_same_data(finished)
    networks = _networks(finished)
    check_kinds(network.name.partition("(")[0] for network in networks)
    record = finished[0].record
    effects = _effects(networks)
    length = published_length(record.recipe)
    return {
        "data": record.data.name,
        "images": {part: getattr(record.data, part) for part in ("train", "validation", "test")},
        "recipe": record.recipe["name"],
        "epochs": len(networks[0].training[0]),
        "short": length,
        "networks": [network.content() for network in networks],
        "effects": effects,
        "verdict": verdict(effects, short=length),
        "left_out": left_out,
        "protocol": protocol(finished),
    }


def published_length(recipe: Mapping[str, Any]) -> str | None:
    """Returns the words for a run that is shorter than its recipe, such as `12 of 182 epochs`; None for a whole one.

    >>> published_length({"name": "he_cifar[epochs=12]", "epochs": 12}), published_length({"name": "mine", "epochs": 3})
    ('12 of 182 epochs', None)
    """
    name = str(recipe["name"]).partition("[")[0]
    published = next((each for each in RECIPES if each.name == name), None)
    length = recipe.get(published.unit) if published is not None else None
    if published is None or length is None or length >= published.length:
        return None
    return f"{length} of {published.length} {published.unit}"


def _networks(runs: Sequence[Run]) -> list[Errors]:
    """Returns the errors by network: plain ones first, then in the order of the runs; the shallow before the deep."""
    study_rows(runs)  # refuses a seed that is there twice
    _check_one_recipe(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(label(run.record.architecture.name, run.record.architecture.options), []).append(run)
    networks = [_errors(name, sorted(group, key=lambda run: run.record.seed or 0)) for name, group in groups.items()]
    kinds = list(dict.fromkeys(network.kind for network in networks))
    places = {kind: (kind != "plain", place) for place, kind in enumerate(kinds)}
    networks.sort(key=lambda network: (places[network.kind], network.layers))
    for shallow, deep in pairwise(networks):
        if (shallow.kind, shallow.layers) == (deep.kind, deep.layers):
            raise UsageError(
                f"{shallow.name} and {deep.name} both have {deep.layers} layers; degradation compares networks of "
                "different depth"
            )
    return networks


def _check_one_recipe(runs: Sequence[Run]) -> None:
    """Raises `UsageError` where runs were trained by different recipes."""
    first = runs[0]
    for run in runs[1:]:
        different = differences(recipe_identity(first.record.recipe), recipe_identity(run.record.recipe))
        if different:
            raise UsageError(
                f"{first.path} and {run.path} have different recipes ({different[0]}); degradation compares depths "
                "under one recipe"
            )


def _errors(name: str, runs: Sequence[Run]) -> Errors:
    """Returns the errors of the runs of one network, which differ in their seeds."""
    curves: dict[str, list[tuple[float, ...]]] = {"train_top1": [], "val_top1": []}
    for run in runs:
        rows = run.metrics()
        for column, found in curves.items():
            if not rows or column not in rows[0] or "test_top1" not in run.results:
                raise UsageError(
                    f"{run.path} has no accuracy of its epochs and its test; degradation needs classifiers"
                )
            found.append(tuple(1 - row[column] for row in rows))
    if len({len(epochs) for epochs in curves["val_top1"]}) > 1:
        raise UsageError(
            f"the runs of {name} have different numbers of epochs; degradation compares runs of one length"
        )
    record = runs[0].record
    return Errors(
        name=name,
        kind=kind_of(record.architecture.name),
        layers=_layers(runs[0]),
        seeds=tuple(run.record.seed or 0 for run in runs),
        training=tuple(curves["train_top1"]),
        validation=tuple(curves["val_top1"]),
        test=tuple(1 - float(run.results["test_top1"]) for run in runs),
    )


def _layers(run: Run) -> int:
    """Returns the number of convolutions and linear layers of a run's network."""
    from torch import nn

    from convatlas import values
    from convatlas.complexity import meta_network
    from convatlas.prediction import architecture_of_run

    row, record = architecture_of_run(run), run.record.architecture
    hints = row.option_types()
    options = {name: values.from_plain(value, hints.get(name)) for name, value in record.options.items()}
    network = meta_network(row, num_classes=record.num_classes, in_channels=record.in_channels, **options)
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


def _effects(networks: Sequence[Errors]) -> list[dict[str, Any]]:
    """Returns for each kind the errors of its deepest network less those of its shallowest, with intervals."""
    found = []
    for kind in dict.fromkeys(network.kind for network in networks):
        members = [network for network in networks if network.kind == kind]
        shallow, deep = members[0], members[-1]
        effect: dict[str, Any] = {
            "kind": kind,
            "deep": deep.name,
            "shallow": shallow.name,
            "layers": [shallow.layers, deep.layers],
            "seeds": _seeds_said(shallow, deep),
        }
        for measure in MEASURES:
            difference = difference_over_seeds(deep.last(measure), shallow.last(measure))
            ends = None if difference.low is None else [difference.low, difference.high]
            effect[measure] = finite({"mean": difference.mean, "ci95": ends})
        found.append(effect)
    return found


def _seeds_said(*networks: Errors) -> str:
    """Returns the words for the number of seeds of two networks."""
    fewest = min(len(network.seeds) for network in networks)
    return "one seed" if fewest == 1 else f"{fewest} seeds"


def _statistics(values: Sequence[float]) -> dict[str, Any]:
    """Returns mean, standard deviation and 95 % interval over the seeds; None where a value is not a number."""
    if not all(map(math.isfinite, values)):
        return {"mean": None, "std": None, "ci95": None}
    mean, std, ci95 = summarize(values)
    return {"mean": mean, "std": std, "ci95": ci95}


def write_degradation(folders: Sequence[Path], out: Path | None = None) -> dict[str, Any]:
    """Writes `degradation.png` and `degradation.json` of the runs in folders and returns the content of the latter.

    They come into the folder `out`, by default into the only one. Raises `UsageError`.
    """
    from convatlas.insight.degradation_figure import draw_degradation

    if out is None and len(folders) != 1:
        raise UsageError(f"{len(folders)} folders in one figure need a folder to write to; name it with --out")
    out = out or folders[0]
    content = degradation(folders)
    check_writable(out)
    figure = out / "degradation.png"
    draw_degradation(content, figure)
    write_json(out / "degradation.json", content)
    return {**content, "figure": str(figure)}
