"""The checks of the maps, as sections of the page: the sanity check, and the deletion and insertion curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from convatlas.insight.explain.asking import Asked, Wanted, answers_of, class_index, last_stage, ordered_classes
from convatlas.insight.explain.curves import CONTROL, GOOD, curves_of, draw_curves, verdict
from convatlas.insight.explain.material import Part, Subject
from convatlas.insight.explain.methods import METHODS, Attribution, Question
from convatlas.insight.explain.sanity import ALIKE, check_sanity, draw_sanity
from convatlas.insight.explain.shelf import Shelf
from convatlas.progress.counting import counting
from convatlas.screen import Screen
from convatlas.words import finite


def sanity_section(asked: Sequence[Asked], wanted: Wanted, shelf: Shelf) -> dict[str, Any]:
    """Writes the figure of the sanity check, and returns the section about it."""
    with counting(Screen(stderr=True), "sanity check") as watch:
        found = check_sanity([each.question for each in asked], list(wanted.methods), watch=watch)
    draw_sanity(found, shelf.folder / "sanity.png")
    return {
        "images": found.images,
        "layers": list(found.layers),
        "of": found.of,
        "alike": ALIKE,
        "correlations": finite(found.correlations),
        "compared": dict(found.compared),
        "failed": list(found.failed),
        "undecided": list(found.undecided),
        "file": shelf.add("sanity.png"),
    }


def curve_section(
    subject: Subject, wanted: Wanted, asked: Sequence[Asked], maps: Mapping[str, Sequence[Attribution]], shelf: Shelf
) -> dict[str, Any]:
    """Writes the figure of the deletion and insertion curves, and returns the section about them.

    They are those of test images where these are wanted, else of the named images.
    """
    explained: Iterator[tuple[Question, Mapping[str, Tensor]]]
    if wanted.curve_images:
        part = Part.drawn(subject.predictor, subject.opened.test, most=wanted.curve_images)
        count, source = len(part), f"test images of {subject.opened.spec.name}, drawn by a fixed seed"
        explained = _of_test_images(subject, wanted, part)
    else:
        count, source = len(asked), ""
        named = ((each.question, place) for place, each in enumerate(asked))
        explained = ((each, {name: found[place].values for name, found in maps.items()}) for each, place in named)
    with counting(Screen(stderr=True), "curves") as watch:
        found = curves_of(explained, count=count, watch=watch)
    draw_curves(found, shelf.folder / "curves.png")
    titles = {name: METHODS[name].title for name in wanted.methods} | {CONTROL: "random order"}
    kinds = {kind: found.summary(kind) for kind in GOOD}
    return {
        "images": found.images,
        "source": source,
        "titles": titles,
        "kinds": kinds,
        "verdicts": [verdict(kind, summary, titles) for kind, summary in kinds.items()],
        "file": shelf.add("curves.png"),
    }


def _of_test_images(subject: Subject, wanted: Wanted, part: Part) -> Iterator[tuple[Question, Mapping[str, Tensor]]]:
    """Yields a question about each image of a part, with its maps by method."""
    predictor, network, stage = subject.predictor, subject.network, None
    target = None if wanted.class_name is None else class_index(predictor, wanted.class_name)
    for batch in part.inputs():
        inputs: Sequence[Tensor] = torch.split(batch, 1)
        stage = last_stage(network, inputs[0], wanted.methods) if stage is None else stage
        for given, (row, features) in zip(inputs, answers_of(network, inputs, stage, target), strict=True):
            best = ordered_classes(predictor, "a test image", row)[0][0]
            question = Question(network, given, best if target is None else target, stage, features=features)
            yield question, {name: METHODS[name].attribute(question).values for name in wanted.methods}
