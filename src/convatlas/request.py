"""Requests for training, in the user's words, and the plans made from them: every verb that trains goes this way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convatlas import values
from convatlas.architectures import check_name, check_task, check_weights, is_detector, nothing_at, recipe_of
from convatlas.data_names import check_reference, has_boxes, recipe_of_data
from convatlas.errors import UsageError, unknown
from convatlas.recipe import Recipe, RecipeRule, default_recipe, parsed_settings, recipe_or_rule
from convatlas.values import check_seed
from convatlas.words import file_name, label

if TYPE_CHECKING:
    from convatlas.architecture import Architecture
    from convatlas.data import DataSet
    from convatlas.prediction import Predictor
    from convatlas.training import Plan

MOST_SEEDS = 10_000
FINE_TUNING = "head_only"  # the recipe of a training from weights if the user names none

# The comparisons that `--protocol` names: published by others, as entries of ours.
PROTOCOLS = {
    "uva": ("googlenet_uva@uva_adam", "resnet_uva@uva_sgd", "preact_resnet_uva@uva_sgd", "densenet_uva@uva_adam"),
}


@dataclass(frozen=True)
class Entry:
    """A network in a request: a name or `path/to/file.py:name`, the name of its recipe, and its own recipe fields.

    Without a name, the recipe is the data set's, else the network's published one, else the fallback.
    """

    architecture: str
    recipe: str | None = None
    settings: tuple[tuple[str, Any], ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str, *, recipe: str | None = None) -> Entry:
        """Returns the entry of `ARCH` or `ARCH@RECIPE`; an @ inside a path is part of the path.

        `recipe` is the recipe of an entry that names none. Raises `UsageError`.

        >>> Entry.parse("resnet_uva@uva_adam")
        Entry(architecture='resnet_uva', recipe='uva_adam')
        >>> Entry.parse("/home/me@work/net.py:net", recipe="quick")
        Entry(architecture='/home/me@work/net.py:net', recipe='quick')
        """
        name, at, own = text.rpartition("@")
        if not at or ".py:" in own:
            return cls(text, recipe)
        if not name or not own:
            raise UsageError(f"{text!r} is not ARCH@RECIPE; both names are needed, or ARCH alone")
        return cls(name, own)


@dataclass(frozen=True)
class StartWords:
    """The user's words for weights to start from: then an entry names an architecture, a checkpoint file or a run.

    `weights` belong to the name of an architecture: the name of published ones, or a file. `head` says whether the head
    is new or kept with its classes.
    """

    weights: str | None = None
    head: Literal["fresh", "kept"] = "fresh"


@dataclass(frozen=True)
class Request:
    """A request to train every entry with every seed on one data set; no name is looked up yet.

    `settings` change fields of the recipes, `options` belong to the architectures; both are texts or values. `device`
    is `auto`, `cpu` or `cuda`. Images that cannot be read are refused, or left out with `skip_unreadable`. Without
    `start` the first weights are drawn from the seed.
    """

    entries: tuple[Entry, ...]
    data: str = "digits"
    data_dir: Path | None = None
    seeds: tuple[int, ...] = (0,)
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    skip_unreadable: bool = False
    start: StartWords | None = None


@dataclass(frozen=True)
class Choice:
    """An entry after the look-up: the architecture, its options, and the changed recipe or the rule that makes it.

    `base` is the network with the weights to start from.
    """

    architecture: Architecture
    recipe: Recipe | RecipeRule
    options: Mapping[str, Any]
    base: Predictor | None = None

    @property
    def name(self) -> str:
        """The name of the network and its recipe, as in the folders of a study."""
        return file_name(f"{label(self.architecture.name, self.options)}@{self.recipe.name}")


def plan_request(request: Request) -> tuple[Plan, ...]:
    """Returns the plans of a request: the first entry with each seed, then the next. The data is read once.

    Words are checked first, then the networks and recipes that they name; the data is read last. Raises `UsageError`
    for a request that cannot be trained.

    >>> request = Request((Entry("lenet5"),), seeds=(0, 1), settings={"epochs": 1, "image_size": 32})
    >>> [(plan.label, plan.recipe.name, plan.seed) for plan in plan_request(request)]
    [('lenet5', 'quick[epochs=1,image_size=32]', 0), ('lenet5', 'quick[epochs=1,image_size=32]', 1)]
    """
    check_words(request)
    choices = [choose(entry, request) for entry in request.entries]
    check_different([choice.name for choice in choices])
    check_arithmetic([choice.recipe for choice in choices if isinstance(choice.recipe, Recipe)])

    from convatlas.device import resolve_device

    resolve_device(request.device)  # refuses a missing device before the data is read
    data = readable_data(request).kept()
    plans = [plan_choice(choice, request, data=data) for choice in choices]
    check_different([plan.folder_name for plan in plans])  # again, now that rules have made their recipes
    check_arithmetic([plan.recipe for plan in plans])
    return tuple(plan.with_seed(seed) for plan in plans for seed in request.seeds)


def readable_data(request: Request) -> DataSet:
    """Reads the data of a request, of which every image can be read. Raises `UsageError`."""
    from convatlas.data import load_data
    from convatlas.data.readability import require_readable, without_unreadable

    data = load_data(request.data, folder=request.data_dir)
    if request.skip_unreadable:
        return without_unreadable(data)
    require_readable(data)
    return data


def check_words(request: Request) -> None:
    """Raises `UsageError` for an unknown or wrong word; the check needs neither PyTorch nor data."""
    if not request.entries:
        raise UsageError("there is no network to train; name at least one architecture, `convatlas list` shows them")
    if not request.seeds or len(set(request.seeds)) != len(request.seeds):
        raise UsageError(f"seeds {request.seeds} must be one or more different numbers")
    for seed in request.seeds:
        check_seed(seed)
    values.parse(request.device, values.Device, name="device")
    check_reference(request.data)
    for entry in request.entries:
        if request.start is None:
            check_name(entry.architecture, options=request.options)
            check_task(entry.architecture, boxes=has_boxes(request.data), data=request.data)
        else:
            _check_base(entry.architecture, request.start.weights)
    parsed_settings(request.settings)
    for name, own in dict.fromkeys((_recipe_name(entry, request), entry.settings) for entry in request.entries):
        if name is not None:
            recipe_or_rule(name).replaced(**parsed_settings({**request.settings, **dict(own)}))


def check_arithmetic(recipes: Sequence[Recipe]) -> None:
    """Raises `UsageError` for recipes that compute in different arithmetic."""
    precisions = {recipe.precision: recipe.name for recipe in recipes}
    if len(precisions) > 1:
        named = " and ".join(f"{name} in {precision}" for precision, name in precisions.items())
        raise UsageError(f"a study has one arithmetic, but {named} compute differently; choose with --precision")


def check_different(names: Sequence[str]) -> None:
    """Raises `UsageError` for a network that occurs twice with the same recipe."""
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is there {names.count(name)} times; name each network with its recipe once")


def protocol_entries(name: str | None, entries: Sequence[str]) -> tuple[str, ...]:
    """Returns the entries of a published comparison, or the given entries. Raises `UsageError` for both together.

    >>> protocol_entries("uva", [])[1]
    'resnet_uva@uva_sgd'
    """
    if name is None:
        return tuple(entries)
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    if entries:
        raise UsageError(f"--protocol {name} names its own networks; leave out {', '.join(entries)}")
    return PROTOCOLS[name]


def seeds_of(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the seeds 0 to n - 1 for a number n, and a list of seeds unchanged. Raises `UsageError` for too many.

    >>> seeds_of(3), seeds_of([7, 8])
    ((0, 1, 2), (7, 8))
    """
    try:
        count = seeds if isinstance(seeds, int) else len(seeds)
    except OverflowError as error:  # of a range
        raise UsageError(f"these are too many seeds; a study has at most {MOST_SEEDS:,}") from error
    if count > MOST_SEEDS:
        raise UsageError(f"{count} seeds are too many; a study has at most {MOST_SEEDS:,}")
    return tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)


def run_folder(plan: Plan) -> Path:
    """Returns the default folder of a run, such as `runs/digits/resnet_uva@quick/seed0`."""
    return Path("runs") / plan.data.spec.label / plan.folder_name / f"seed{plan.seed}"


def study_folder(data: str, *, protocol: str | None = None) -> Path:
    """Returns the default folder of a study.

    >>> str(study_folder("digits")), str(study_folder("cifar10", protocol="uva"))
    ('runs/compare-digits', 'runs/uva-cifar10')
    """
    return Path("runs") / file_name(f"{protocol or 'compare'}-{data}")


def _recipe_name(entry: Entry, request: Request) -> str | None:
    """Returns the name of an entry's recipe; None if the user's own file or a detector decides it, not read yet."""
    if entry.recipe is not None:
        return entry.recipe
    if request.start is not None:
        return None if has_boxes(request.data) else FINE_TUNING
    if ".py:" in entry.architecture:
        return recipe_of_data(request.data)
    return default_recipe(request.data, recipe_of(entry.architecture))


def _check_base(source: str, weights: str | None) -> None:
    """Raises `UsageError` for a source of weights that names nothing, as far as that is seen without PyTorch."""
    there = Path(source).exists()
    if weights is None:
        if not there:
            raise nothing_at(source)
    elif there:
        raise UsageError(f"{source} brings its weights itself; --weights goes with the name of an architecture")
    elif Path(weights).suffix and not Path(weights).exists():
        raise UsageError(f"there is no file {weights} for --weights; name another, or published weights")
    elif Path(weights).exists() or is_detector(source):  # the weights of its backbone are looked up later
        check_name(source)
    else:
        check_weights(source, weights)


def choose(entry: Entry, request: Request) -> Choice:
    """Looks up the network and the recipe of an entry, parses its options and returns the choice."""
    if request.start is not None:
        return choose_base(entry, request, weights=request.start.weights)
    from convatlas.architectures import architecture
    from convatlas.training import choose_recipe

    row, settings = architecture(entry.architecture), {**request.settings, **dict(entry.settings)}
    chosen = choose_recipe(row, data=request.data, name=entry.recipe, settings=settings)
    return Choice(row, chosen, row.parse_options(request.options))


def choose_base(entry: Entry, request: Request, *, weights: str | None) -> Choice:
    """Opens the weights of an entry and returns the choice of their network, its options and its preprocessing."""
    from convatlas.architectures import architecture
    from convatlas.training.finetuning import open_base, prepared

    settings = parsed_settings({**request.settings, **dict(entry.settings)})
    mean, std = settings.get("mean"), settings.get("std")
    normalisation = None if mean is None or std is None else (mean, std)
    base = open_base(entry.architecture, weights=weights, options=request.options, normalisation=normalisation)
    row, options = base.architecture, {**base.options, "in_channels": base.in_channels}
    if weights is not None and (named := architecture(entry.architecture)).task != row.task:  # of its backbone
        row, options = named, named.parse_options(request.options)
    name = entry.recipe or (row.recipe if row.task == "detection" else None) or FINE_TUNING
    chosen = prepared(recipe_or_rule(name), row, base).replaced(**settings)
    return Choice(row, chosen, options, base)


def plan_choice(choice: Choice, request: Request, *, data: DataSet) -> Plan:
    """Returns the plan of a choice with the first seed, from the weights of its base if it has one."""
    from convatlas.device import resolve_device
    from convatlas.measure.workload import usable_memory
    from convatlas.training import in_parts, make_plan
    from convatlas.training.finetuning import with_kept_head, with_new_head

    seed = request.seeds[0]
    plan = make_plan(choice.architecture, data=data, chosen=choice.recipe, seed=seed, options=choice.options)
    plan = in_parts(plan, choice.recipe, free=usable_memory(resolve_device(request.device)))
    if choice.base is None or request.start is None:
        return plan
    return with_kept_head(plan, choice.base) if request.start.head == "kept" else with_new_head(plan, choice.base)
