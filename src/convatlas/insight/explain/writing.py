"""The folder of explanations: a picture for each map, and one page."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from convatlas.data.images.image_files import read_image
from convatlas.errors import UsageError, unknown
from convatlas.files import check_writable, write_bytes, write_text
from convatlas.insight.explain.curves import curves_of, draw_curves
from convatlas.insight.explain.features import chosen_stages, feature_maps, first_filters, spatial_stages, strongest
from convatlas.insight.explain.methods import METHODS, Attribution, Question
from convatlas.insight.explain.pictures import (
    data_address,
    filter_sheet,
    map_sheet,
    overlay,
    photograph,
    png,
    png_address,
)
from convatlas.insight.explain.sanity import ALIKE, check_sanity, draw_sanity
from convatlas.prediction import Predictor
from convatlas.progress.counting import counting
from convatlas.report.explain_page import render_explain
from convatlas.screen import Screen
from convatlas.words import file_name

CHANNELS = 16  # of a stage, whose maps are shown
TOP = 3  # classes that are named for an image


@dataclass(frozen=True)
class Wanted:
    """The images, the methods by name, the stages whose maps are shown, the class, and the checks of the methods.

    Without a class the predicted one is explained.
    """

    images: Sequence[str]
    methods: Sequence[str] = tuple(METHODS)
    stages: Sequence[str] = ()
    class_name: str | None = None
    checks: frozenset[str] = frozenset()  # of sanity and curves


@dataclass(frozen=True)
class Asked:
    """An image uint8 (1, C, H, W) from a file, the question about it, and its most probable classes."""

    path: str
    number: int  # of the image, from 1
    image: Tensor
    question: Question
    classes: tuple[tuple[str, float], ...]


def ask(predictor: Predictor, wanted: Wanted) -> list[Asked]:
    """Reads the images and answers them. Raises `UsageError` for one without explanation, before files are written.

    The network is a copy in float32 and eval mode, whose weights need no gradients.
    """
    target = None if wanted.class_name is None else class_index(predictor, wanted.class_name)
    network = copy.deepcopy(predictor.plain_network).requires_grad_(False)
    asked: list[Asked] = []
    for path in wanted.images:
        image = read_image(Path(path), channels=predictor.in_channels)
        inputs = predictor.inputs(image)
        if not asked:
            stage = spatial_stages(network, inputs)[-1]
            chosen_stages(network, inputs, list(wanted.stages))
        ordered = _ordered(predictor, path, network(inputs.clone()))
        question = Question(network, inputs, ordered[0][0] if target is None else target, stage)
        classes = tuple((class_title(predictor, index), probability) for index, probability in ordered[:TOP])
        asked.append(Asked(path, len(asked) + 1, image, question, classes))
    return asked


def _ordered(predictor: Predictor, path: str, logits: Tensor) -> list[tuple[int, float]]:
    """Returns the classes of logits (1, classes) with their probabilities, the most probable first."""
    if not bool(logits.isfinite().all()):
        raise UsageError(f"{predictor.source} gives {path} no finite logits; the network has diverged")
    ordered, order = logits[0].double().softmax(0).sort(descending=True, stable=True)
    return list(zip(order.tolist(), ordered.tolist(), strict=True))


def class_title(predictor: Predictor, index: int) -> str:
    """Returns the name of a class, `class 3` where the checkpoint names none."""
    return predictor.class_names[index] if predictor.class_names else f"class {index}"


def class_index(predictor: Predictor, text: str) -> int:
    """Returns the class of a name, or of a number. Raises `UsageError` for an unknown one, with the nearest names."""
    names = [name.lower() for name in predictor.class_names or ()]
    if text.lower() in names:
        return names.index(text.lower())
    if text.isdecimal() and int(text) < predictor.num_classes:
        return int(text)
    numbers = f"a number from 0 to {predictor.num_classes - 1}"
    if not predictor.class_names:
        raise UsageError(f"unknown class {text!r}; {predictor.source} names no classes: give {numbers}")
    raise unknown("class", text, predictor.class_names, hint=f" (or {numbers})")


def explain(predictor: Predictor, wanted: Wanted, folder: Path) -> dict[str, Any]:
    """Writes the pictures and `explain.html` into a folder and returns the content of the page without its pictures."""
    asked = ask(predictor, wanted)
    check_writable(folder)
    shelf, maps = Shelf(folder), _maps(asked, wanted)
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
    write_text(folder / "explain.html", render_explain(content, shelf.addresses))
    return {**content, "page": str(folder / "explain.html")}


class Shelf:
    """The pictures of a folder by the names of their files, and as addresses for the page."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.addresses: dict[str, str] = {}

    def put(self, name: str, picture: Image.Image) -> str:
        """Writes a picture and returns the name of its file."""
        write_bytes(self.folder / name, png(picture))
        self.addresses[name] = data_address(picture)
        return name


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
        "file": shelf.put(f"{start}.png", photograph(each.image[0], seen)),
        "classes": [{"class": name, "probability": probability} for name, probability in each.classes],
        "explained": class_title(predictor, each.question.target),
        "maps": maps,
        "features": features,
    }


def _curves(asked: Sequence[Asked], maps: Mapping[str, Sequence[Attribution]], shelf: Shelf) -> dict[str, Any]:
    """Writes the figure of the deletion and insertion curves."""
    values = {name: [each.values for each in found] for name, found in maps.items()}
    found = curves_of([each.question for each in asked], values)
    draw_curves(found, shelf.folder / "curves.png")
    shelf.addresses["curves.png"] = png_address((shelf.folder / "curves.png").read_bytes())
    titles = {name: METHODS[name].title if name in METHODS else "random order" for name in found.deletion}
    return {"images": found.images, "titles": titles, "areas": found.areas(), "file": "curves.png"}


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
    found = check_sanity([each.question for each in asked], list(wanted.methods))
    draw_sanity(found, shelf.folder / "sanity.png")
    shelf.addresses["sanity.png"] = png_address((shelf.folder / "sanity.png").read_bytes())
    return {
        "images": found.images,
        "layers": list(found.layers),
        "of": found.of,
        "alike": ALIKE,
        "correlations": {name: list(values) for name, values in found.correlations.items()},
        "failed": list(found.failed),
        "file": "sanity.png",
    }
