"""Training that goes on from the weights of somebody's network, on other images: the head is new, the rest is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.complexity import meta_network
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction import Normalisation, Predictor, open_network
from convatlas.prediction.classes import some_names
from convatlas.recipe import DataFacts, Recipe, RecipeRule, defaults
from convatlas.run import is_run
from convatlas.training.detection.backbone import open_backbone, with_backbone
from convatlas.training.freezing import check_fresh
from convatlas.training.start import class_tensors, starting_from
from convatlas.weights import is_file_of, open_checkpoint

if TYPE_CHECKING:
    from convatlas.training.plan import Plan

HEADS = ("head.boxes.", "box_net.", "model.box_net.")  # the beginnings of names that only a detector's tensors have


def open_base(
    source: str, *, weights: str | None, options: Mapping[str, str], normalisation: Normalisation | None = None
) -> Predictor:
    """Opens the network to start from: a run, a checkpoint file, or an architecture with `weights`.

    `weights` is the name of published ones or a file. `normalisation` is for a file that does not say its own. Raises
    `UsageError`. The weights of a detector may be those of its backbone.
    """
    row = None if weights is None else architecture(source)
    if row is not None and weights is not None and row.task == "detection" and not _is_detector(weights, row):
        return open_backbone(row, weights, row.parse_options(options))
    if weights is None:
        path = Path(source)
        own = path.is_dir() or is_run(path.parent.parent)
        try:
            return open_network(source, options=options, normalisation=None if own else normalisation)
        except UsageError as error:
            if own or "--arch" not in str(error):
                raise
            raise UsageError(f"{error} (of finetune: convatlas finetune ARCH --weights {source})") from error
    file = Path(weights)
    if not file.exists():
        return open_network(source, weights=weights, options=options)
    if not is_run(file.parent.parent) and not file.is_dir():
        return open_network(file, arch=source, options=options, normalisation=normalisation)
    base, row = open_network(file, options=options), architecture(source)
    if (row.name, row.reference) != (base.architecture.name, base.architecture.reference):
        raise UsageError(f"{file} is of {base.architecture.name}, not of {source}; leave {source} and --weights out")
    return base


def _is_detector(weights: str, row: Architecture) -> bool:
    """Returns whether weights are a file of a whole detector: of this one, or one that says itself that it is one."""
    path = Path(weights)
    if not path.exists():
        return False
    try:
        return open_network(path).architecture.task == "detection"
    except UsageError:  # it does not say itself what it is
        file = path if path.is_file() else path / "checkpoints" / "best.ckpt"
        return any(key.startswith(HEADS) for key in open_checkpoint(file).state)


def prepared(chosen: Recipe | RecipeRule, row: Architecture, base: Predictor) -> Recipe | RecipeRule:
    """Returns the recipe with the preprocessing of the base; a detector takes of its backbone the normalisation."""
    if row.task == base.architecture.task:
        return with_preprocessing(chosen, base.preprocessing)
    normalised = {"mean": base.preprocessing.mean, "std": base.preprocessing.std}
    return chosen.with_values(**normalised) if isinstance(chosen, Recipe) else chosen.replaced(**normalised)


def with_preprocessing(chosen: Recipe | RecipeRule, preprocessing: Preprocessing) -> Recipe | RecipeRule:
    """Returns the recipe with the size and the normalisation that belong to weights, where it names none itself."""
    if isinstance(chosen, Recipe):
        return chosen.with_values(**_belonging(chosen.flat(), preprocessing))
    values = chosen.values

    def prepared(facts: DataFacts) -> dict[str, Any]:
        made = {name: value for name, value in values(facts).items() if value is not None}
        return {**_belonging({**defaults(), **made}, preprocessing), **made}

    return dataclasses.replace(chosen, values=prepared)


def _belonging(flat: Mapping[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """Returns the fields of the preprocessing that a recipe leaves open, by their flat names."""
    found: dict[str, Any] = {}
    if flat["image_size"] is None:
        found |= {"image_size": preprocessing.image_size, "shorter_side": preprocessing.shorter_side}
    if flat["mean"] is None:
        found |= {"mean": preprocessing.mean, "std": preprocessing.std}
    for name in ("interpolation", "fit"):
        if flat[name] == defaults()[name]:
            found[name] = getattr(preprocessing, name)
    return found


def with_new_head(plan: Plan, base: Predictor) -> Plan:
    """Returns the plan with the base's weights as its start; the head, for the classes of the data, is new.

    Of a detector on the weights of its backbone all but the backbone is new.
    """
    if plan.architecture.task != base.architecture.task:
        return with_backbone(plan, base)
    return _started(plan, base, fresh=class_tensors(plan))


def with_kept_head(plan: Plan, base: Predictor) -> Plan:
    """Returns the plan with all weights of the base as its start.

    Where the base has the classes of the data in another order, the rows of its head are brought into that of the data,
    and a note says so. Raises `UsageError` where its classes are others.
    """
    if plan.architecture.task != base.architecture.task:
        raise UsageError(f"{base.source} has no head of a detector; leave --keep-head out, and the head is new")
    data, classes, known = plan.data.spec.name, plan.data.spec.class_names, base.class_names
    advice = "leave --keep-head out, and the head is new"
    if known is None and base.num_classes == len(classes):
        raise UsageError(f"{base.source} does not say the names of its classes; {advice}")
    if base.num_classes != len(classes) or set(known or ()) != set(classes):
        counts = f"{base.source} knows {base.num_classes:,} classes, {data} has {len(classes):,}"
        raise UsageError(f"{counts}{_differences(known or (), classes)}; {advice}")
    started = _started(plan, base, fresh=())
    if known is None or known == classes:
        return started
    order = tuple(known.index(name) for name in classes)
    note = (
        f"the head's classes are brought into the order of {data}: {some_names(classes)} (before: {some_names(known)})"
    )
    start = dataclasses.replace(started.start, order=order)
    return dataclasses.replace(started, start=start, notes=(*started.notes, note))


def _differences(known: Sequence[str], classes: Sequence[str]) -> str:
    """Returns the classes that the network alone knows, and those that the data alone has, in words."""
    alone = {
        "only the network knows": [name for name in known if name not in set(classes)],
        "only the data has": [name for name in classes if name not in set(known)] if known else [],
    }
    return "".join(f"; {words} {some_names(names)}" for words, names in alone.items() if names)


def _started(plan: Plan, base: Predictor, *, fresh: tuple[str, ...]) -> Plan:
    network = meta_network(plan.architecture, **plan.counts, **plan.network_options)
    check_fresh(network, plan.recipe, fresh=fresh, name=plan.label)
    started = starting_from(plan, base.path, fresh=fresh)
    start = started.start
    if base.weights is not None and is_file_of(base.path, base.weights):
        start = dataclasses.replace(start, published=base.weights.name, url=base.weights.url)
    return dataclasses.replace(started, start=start, notes=(*started.notes, *base.notes))
