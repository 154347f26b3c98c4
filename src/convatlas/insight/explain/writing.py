"""The folder of explanations: a picture for each map, and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch import nn

from convatlas.data import DataSet
from convatlas.errors import UsageError
from convatlas.files import check_writable, write_json, write_text
from convatlas.insight.explain.asking import Asked, Wanted, ask, class_title, plain_copy
from convatlas.insight.explain.checks import curve_section, sanity_section
from convatlas.insight.explain.excite import Target, targets_of
from convatlas.insight.explain.features import chosen_stages, feature_maps, first_filters, strongest
from convatlas.insight.explain.material import Subject
from convatlas.insight.explain.methods import METHODS, Attribution
from convatlas.insight.explain.pictures import filter_sheet, map_sheet, overlay, photograph
from convatlas.insight.explain.sections import embedding_section, excited_section, neighbour_sections
from convatlas.insight.explain.shelf import Shelf
from convatlas.prediction import Predictor
from convatlas.progress.counting import counting
from convatlas.report.explain_page import render_explain
from convatlas.run import this_session
from convatlas.screen import Screen
from convatlas.words import file_name, finite

CHANNELS = 16  # of a stage, whose maps are shown


@dataclass(frozen=True)
class Explanation:
    """A page, its content as plain data, and by method a map (size, size) of the network's input for each image."""

    page: Path
    content: Mapping[str, Any]
    maps: Mapping[str, tuple[np.ndarray, ...]]


def explain(predictor: Predictor, wanted: Wanted, folder: Path, *, data: DataSet | None = None) -> Explanation:
    """Writes the pictures, `explain.html` and `explain.json` into a folder, when all of them are made.

    `data` are the images whose neighbours, embedding and colours are shown. Raises `UsageError` for wrong wishes.
    """
    _check(predictor, wanted)
    subject = Subject(predictor, plain_copy(predictor), data)
    targets = targets_of(predictor, subject.network, wanted.excite)
    asked = ask(predictor, wanted, subject.network)
    check_writable(folder)
    maps, page = _maps(asked, wanted), folder / "explain.html"
    session = this_session()
    with TemporaryDirectory() as place:
        shelf = Shelf(Path(place))
        content = _content(Work(subject, wanted, asked, maps, targets), shelf)
        text = render_explain(content, shelf.addresses, command=session.command or "from Python")
        shelf.move(folder)
    write_json(folder / "explain.json", finite({**content, "session": asdict(session)}))
    write_text(page, text)
    arrays = {name: tuple(each.values.cpu().numpy() for each in found) for name, found in maps.items()}
    return Explanation(page, {**content, "page": str(page)}, arrays)


def _check(predictor: Predictor, wanted: Wanted) -> None:
    """Raises `UsageError` for wishes that need images where there are none, and where nothing is wished."""
    if wanted.images:
        return
    needing = ["--sanity"] if "sanity" in wanted.checks else []
    needing += ["--neighbours"] if wanted.neighbours else []
    needing += ["--stage"] if wanted.stages else []
    if not wanted.curve_images:
        needing += ["--curves"] if wanted.measures else []
        needing += ["--class"] if wanted.class_name is not None else []
        needing += ["--method"] if tuple(wanted.methods) != tuple(METHODS) else []
    if needing or not (wanted.excite or wanted.curve_images or "embedding" in wanted.checks):
        what = f"{needing[0]} needs" if needing else "explain needs"
        raise UsageError(f"{what} images: name image files, folders or patterns after {predictor.source}")


@dataclass(frozen=True)
class Work:
    """All that a page shows before it is drawn: the questions, their maps by method, and the targets of pictures."""

    subject: Subject
    wanted: Wanted
    asked: Sequence[Asked]
    maps: Mapping[str, Sequence[Attribution]]
    targets: Sequence[Target]


def _content(work: Work, shelf: Shelf) -> dict[str, Any]:
    """Makes all pictures, and returns the content of the page."""
    subject, wanted, asked = work.subject, work.wanted, work.asked
    near = neighbour_sections(subject, asked, shelf, count=wanted.neighbours) if wanted.neighbours else []
    methods = wanted.methods if asked else ()
    return {
        "source": subject.predictor.source,
        "architecture": subject.predictor.architecture.name,
        "stage": asked[0].question.stage if asked else None,
        "images": [
            {**_explained(work, each, shelf), "neighbours": near[place] if near else None}
            for place, each in enumerate(asked)
        ],
        "methods": [
            {"name": name, "title": METHODS[name].title, "seen": METHODS[name].seen, "caution": METHODS[name].caution}
            for name in methods
        ],
        "sanity": sanity_section(asked, wanted, shelf) if "sanity" in wanted.checks else None,
        "curves": curve_section(subject, wanted, asked, work.maps, shelf) if wanted.measures else None,
        "excited": excited_section(subject, asked, work.targets, shelf, steps=wanted.steps) if work.targets else None,
        "embedding": embedding_section(subject, shelf) if "embedding" in wanted.checks else None,
        "filters": _filters(subject.network, shelf),
        "notes": [*subject.predictor.notes, *(subject.data.notes if subject.data else ())],
    }


def _maps(asked: Sequence[Asked], wanted: Wanted) -> dict[str, list[Attribution]]:
    """Returns the maps of all images by method."""
    found: dict[str, list[Attribution]] = {name: [] for name in wanted.methods}
    with counting(Screen(stderr=True), "maps") as watch:
        for number, each in enumerate(asked):
            for place, (name, maps) in enumerate(found.items()):
                watch(number * len(found) + place, len(asked) * len(found))
                maps.append(METHODS[name].attribute(each.question))
    return found


def _explained(work: Work, each: Asked, shelf: Shelf) -> dict[str, Any]:
    """Makes the pictures of one image with its maps."""
    predictor, stages = work.subject.predictor, list(work.wanted.stages)
    seen, start = predictor.rectangle(each.image), f"{each.number}-{file_name(Path(each.path).stem) or 'image'}"
    maps = []
    for name, found in ((name, values[each.number - 1]) for name, values in work.maps.items()):
        file = shelf.put(f"{start}-{file_name(name)}.png", overlay(each.image[0], found.values, seen))
        maps.append({"method": name, "title": METHODS[name].title, "remark": found.remark, "file": file})
    stages = chosen_stages(each.question.network, each.question.inputs, stages)
    features = []
    for stage, values in feature_maps(each.question.network, each.question.inputs, stages).items():
        channels = strongest(values, count=CHANNELS)
        file = shelf.put(f"{start}-{file_name(stage)}.png", map_sheet(values, channels))
        shape = {"rows": values.shape[1], "columns": values.shape[2], "of": len(values)}
        features.append({"stage": stage, "channels": channels, **shape, "file": file})
    return {
        "path": each.path,
        "name": Path(each.path).name,
        "reading": each.reading,
        "file": shelf.put(f"{start}.png", photograph(each.image[0], seen)),
        "classes": [{"class": name, "probability": probability} for name, probability in each.classes],
        "explained": class_title(predictor, each.question.target),
        "maps": maps,
        "features": features,
    }


def _filters(network: nn.Module, shelf: Shelf) -> dict[str, Any] | None:
    """Writes the picture of the first layer's filters."""
    found = first_filters(network)
    if found is None:
        return None
    name, weights = found
    shape = {"of": len(weights), "rows": weights.shape[2], "columns": weights.shape[3], "channels": weights.shape[1]}
    return {"layer": name, **shape, "file": shelf.put("filters.png", filter_sheet(weights))}
