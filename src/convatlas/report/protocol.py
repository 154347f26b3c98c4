"""The protocol of a report: data, split, selection, recipes, versions, hardware of its runs, as JSON and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convatlas.errors import UsageError
from convatlas.recipe import defaults
from convatlas.report.recipe_names import recipe_labels
from convatlas.report.scored import described, with_direction
from convatlas.run import Run, StudyRecord, other_pixels
from convatlas.scores import TOP1, Score, distinct_scores
from convatlas.words import canonical, finite

INTERVALS = (
    "mean ± sample standard deviation over the seeds; the 95 % interval is that of Student's t over the seeds, {cut}"
    "and is not given for one seed"
)
COSTS = "MACs are the multiply-adds of convolutions and matrix products for one image; FLOPs are twice as many"


@dataclass(frozen=True)
class Term:
    """A term of the protocol, its text, and details that a page folds away with the words `folded_as`."""

    name: str
    text: str
    folded: str = ""
    folded_as: str = ""


def protocol(runs: Sequence[Run], *, study: StudyRecord | None = None) -> dict[str, Any]:
    """Returns the protocol of finished runs. A fact that may differ between runs is a list of its distinct values.

    Keys: `data`, `seeds`, `recipes` (name -> literal values), and the lists `selection`, `image_shape` (C, H, W),
    `preprocessing`, `versions`, `hardware`, `git_commit`, `command` (the study's command, if it is known), `notes`.
    Where a score is not accuracy, `scores` has all of them; where runs are fine-tuned, `base_weights` has their starts.
    Raises `UsageError` if the runs saw different data or another split.
    """
    check_same_data(runs)
    records = [run.record for run in runs]
    recipes = {canonical(record.recipe): record.recipe for record in records}
    labels = recipe_labels(recipes.values())
    commands = [study.command] if study and study.command else [record.latest.command for record in records]
    shared: dict[str, Any] = finite(
        {
            "data": asdict(records[0].data),
            "selection": distinct(record.selection for record in records),
            "seeds": sorted({record.seed for record in records if record.seed is not None}),
            "recipes": {labels[key]: recipes[key] for key in sorted(recipes, key=labels.__getitem__)},
            "image_shape": distinct(record.network.shape for record in records),
            "preprocessing": distinct(asdict(record.preprocessing) for record in records),
            "versions": distinct(record.latest.versions or None for record in records),
            "hardware": distinct(record.latest.hardware or None for record in records),
            "git_commit": distinct(record.latest.git_commit for record in records),
            "command": distinct(commands),
            "notes": distinct(note for record in records for note in record.notes),
        }
    )
    starts = distinct(f"{record.start.base}; {record.start.parts}" for record in records if record.fine_tuned)
    shared |= {"base_weights": starts} if starts else {}
    scores = distinct_scores(record.score for record in records)
    return shared if scores == [TOP1] else shared | {"scores": [described(score) for score in scores]}


def check_same_data(runs: Sequence[Run]) -> None:
    """Raises `UsageError` unless all runs saw the same data in the same split, as far as their records say."""
    first = runs[0].record.data
    hashed = next((run for run in runs if run.record.data.images_hash is not None), runs[0])
    for run in runs:
        data = run.record.data
        if (data.name, data.split_hash) != (first.name, first.split_hash):
            raise UsageError(
                f"{runs[0].path} is on {first.name} with split {first.split_hash}, {run.path} on {data.name} "
                f"with split {data.split_hash}; a report needs the same data and split: make a report for each"
            )
        if other_pixels(hashed.record.data.images_hash, data.images_hash):
            raise UsageError(
                f"{hashed.path} and {run.path} are on different copies of {data.name}: their images' hashes are "
                f"{hashed.record.data.images_hash} and {data.images_hash}; make a report for each"
            )


def distinct(values: Iterable[Any]) -> list[Any]:
    """Returns the different values in the order of their first appearance, without `None`.

    >>> distinct([[1, 2], None, [1, 2], [3]])
    [[1, 2], [3]]
    """
    return list({canonical(value): value for value in values if value is not None}.values())


def in_words(content: Mapping[str, Any]) -> list[Term]:
    """Returns the terms of the protocol."""
    seeds, scores = content["seeds"], [Score(**score) for score in content.get("scores", ())]
    cut = "" if any(score.unit == "number" for score in scores) else "cut at 100 %, "
    pairs = [
        ("Data", _data(content["data"])),
        ("Selection", "; ".join(content["selection"])),
        ("Base weights", "; or ".join(content.get("base_weights", ()))),
        ("Seeds", f"{', '.join(map(str, seeds)) or 'not known'} (n of a row = its seeds)"),
        ("Scores", "; ".join(map(with_direction, scores))),
        ("Intervals", INTERVALS.format(cut=cut)),
        (
            "Images",
            "; ".join(" x ".join(map(str, shape)) for shape in content["image_shape"]) + " (channels, height, width)",
        ),
        ("Preprocessing", _records(content["preprocessing"])),
        ("Costs", COSTS),
        ("Versions", _records(content["versions"])),
        ("Hardware", _records(content["hardware"])),
        ("Git commit", "; ".join(content["git_commit"])),
        ("Command", "; ".join(content["command"])),
        ("Notes", "; ".join(map(str, content["notes"]))),
    ]
    terms = [Term(name, text) for name, text in pairs if text]
    place = [term.name for term in terms].index("Costs")
    terms[place:place] = [_recipe(name, recipe) for name, recipe in content["recipes"].items()]
    return terms


def _recipe(name: str, recipe: Mapping[str, Any]) -> Term:
    """Returns the term of a recipe: its source and the fields that differ from their defaults; the others are folded.

    The accuracy that its author expects is no part of a protocol.
    """
    usual = defaults()
    known = {key: value for key, value in recipe.items() if key != "expected"}
    same = {key: value for key, value in known.items() if key in usual and canonical(value) == canonical(usual[key])}
    differing = {key: value for key, value in known.items() if key not in same}
    fields = "1 field has its default" if len(same) == 1 else f"{len(same)} other fields have their defaults"
    return Term(f"Recipe {name}", values(differing), values(same), fields if same else "")


def values(record: Mapping[str, Any]) -> str:
    """Returns the fields of a record as text, without its name.

    >>> values({"name": "quick", "batch_size": 64, "mean": [0.3, 0.4], "gpu": None})
    'batch size 64, mean 0.3/0.4, gpu none'
    """
    return ", ".join(f"{key.replace('_', ' ')} {_shown(value)}" for key, value in record.items() if key != "name")


def _data(data: Mapping[str, Any]) -> str:
    sizes = ", ".join(f"{data[part]:,} {word}" for part, word in (("train", "training"), ("validation", "validation")))
    source = f" ({data['source']})" if data.get("source") else ""
    left_out = f"; {data['unreadable']:,} that cannot be read were left out" if data.get("unreadable") else ""
    seed = f", seed {data['split_seed']}" if data.get("split_seed") is not None else ""
    return (
        f"{data['name']}{source}: {sizes} and {data['test']:,} test images of {len(data['classes'])} classes; "
        f"split {data['split_hash']}{seed}{left_out}"
    )


def _records(records: Sequence[Mapping[str, Any]]) -> str:
    return "; or ".join(values(record) for record in records)


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return "(" + ", ".join(f"{key} {_shown(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list | tuple):
        return "/".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
