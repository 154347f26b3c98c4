"""The folder of explanations: a picture for each map, and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from convatlas.files import check_writable, write_text
from convatlas.insight.explain.asking import Asked, Wanted, ask, class_title
from convatlas.insight.explain.curves import curves_of, draw_curves
from convatlas.insight.explain.features import chosen_stages, feature_maps, first_filters, strongest
from convatlas.insight.explain.methods import METHODS, Attribution
from convatlas.insight.explain.pictures import filter_sheet, map_sheet, overlay, photograph
from convatlas.insight.explain.sanity import ALIKE, check_sanity, draw_sanity
from convatlas.insight.explain.shelf import Shelf
from convatlas.prediction import Predictor
from convatlas.progress.counting import counting
from convatlas.report.explain_page import render_explain
from convatlas.screen import Screen
from convatlas.words import file_name

CHANNELS = 16  # of a stage, whose maps are shown


@dataclass(frozen=True)
class Explanation:
    """A page, its content as plain data, and by method a map (size, size) of the network's input for each image."""

    page: Path
    content: Mapping[str, Any]
    maps: Mapping[str, tuple[np.ndarray, ...]]


def explain(predictor: Predictor, wanted: Wanted, folder: Path) -> Explanation:
    """Writes the pictures and `explain.html` into a folder."""
    asked = ask(predictor, wanted)
    check_writable(folder)
    shelf, maps = Shelf(folder), _maps(asked, wanted)
    page = folder / "explain.html"
    content: dict[str, Any] = {
        "source": predictor.source,
        "architecture": predictor.architecture.name,
        "stage": asked[0].question.stage,
        "filters": _filters(asked[0].question.network, shelf),
        "images": [
            _explained(predictor, each, wanted, shelf, {name: found[place] for name, found in maps.items()})
            for place, each in enumerate(asked)
        ],
        "methods": [
            {"name": name, "title": METHODS[name].title, "seen": METHODS[name].seen, "caution": METHODS[name].caution}
            for name in wanted.methods
        ],
        "sanity": _sanity(asked, wanted, shelf) if "sanity" in wanted.checks else None,
        "curves": _curves(asked, maps, shelf) if "curves" in wanted.checks else None,
        "notes": list(predictor.notes),
    }
    write_text(page, render_explain(content, shelf.addresses))
    arrays = {name: tuple(each.values.cpu().numpy() for each in found) for name, found in maps.items()}
    return Explanation(page, {**content, "page": str(page)}, arrays)


def _maps(asked: Sequence[Asked], wanted: Wanted) -> dict[str, list[Attribution]]:
    """Returns the maps of all images by method."""
    found: dict[str, list[Attribution]] = {name: [] for name in wanted.methods}
    with counting(Screen(stderr=True), "maps") as watch:
        for number, each in enumerate(asked):
            for place, (name, maps) in enumerate(found.items()):
                watch(number * len(found) + place, len(asked) * len(found))
                maps.append(METHODS[name].attribute(each.question))
    return found


def _explained(
    predictor: Predictor, each: Asked, wanted: Wanted, shelf: Shelf, given: Mapping[str, Attribution]
) -> dict[str, Any]:
    """Writes the pictures of one image with its maps."""
    seen, start = predictor.rectangle(each.image), f"{each.number}-{file_name(Path(each.path).stem) or 'image'}"
    maps = []
    for name, found in given.items():
        file = shelf.put(f"{start}-{file_name(name)}.png", overlay(each.image[0], found.values, seen))
        maps.append({"method": name, "title": METHODS[name].title, "remark": found.remark, "file": file})
    stages = chosen_stages(each.question.network, each.question.inputs, list(wanted.stages))
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


def _curves(asked: Sequence[Asked], maps: Mapping[str, Sequence[Attribution]], shelf: Shelf) -> dict[str, Any]:
    """Writes the figure of the deletion and insertion curves."""
    values = {name: [each.values for each in found] for name, found in maps.items()}
    with counting(Screen(stderr=True), "curves") as watch:
        found = curves_of([each.question for each in asked], values, watch=watch)
    draw_curves(found, shelf.folder / "curves.png")
    titles = {name: METHODS[name].title if name in METHODS else "random order" for name in found.deletion}
    return {"images": found.images, "titles": titles, "areas": found.areas(), "file": shelf.add("curves.png")}


def _filters(network: nn.Module, shelf: Shelf) -> dict[str, Any] | None:
    """Writes the picture of the first layer's filters."""
    found = first_filters(network)
    if found is None:
        return None
    name, weights = found
    shape = {"of": len(weights), "rows": weights.shape[2], "columns": weights.shape[3], "channels": weights.shape[1]}
    return {"layer": name, **shape, "file": shelf.put("filters.png", filter_sheet(weights))}


def _sanity(asked: Sequence[Asked], wanted: Wanted, shelf: Shelf) -> dict[str, Any]:
    """Writes the figure of the sanity check."""
    with counting(Screen(stderr=True), "sanity check") as watch:
        found = check_sanity([each.question for each in asked], list(wanted.methods), watch=watch)
    draw_sanity(found, shelf.folder / "sanity.png")
    return {
        "images": found.images,
        "layers": list(found.layers),
        "of": found.of,
        "alike": ALIKE,
        "correlations": {name: list(values) for name, values in found.correlations.items()},
        "failed": list(found.failed),
        "file": shelf.add("sanity.png"),
    }
