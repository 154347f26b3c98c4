"""The parts of the page beside the maps: excited pictures, nearest training images, the embedding of test images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from convatlas.data import class_labels
from convatlas.insight.explain.asking import Asked
from convatlas.insight.explain.embedding import IMAGES, PERPLEXITY, THUMB, draw_embedding, embed, picture_sheet
from convatlas.insight.explain.excite import RAISED, Ascent, Excited, Target, excite
from convatlas.insight.explain.material import Part, Subject
from convatlas.insight.explain.neighbours import nearest
from convatlas.insight.explain.pictures import TILE, image_sheet, smooth
from convatlas.insight.explain.shelf import Shelf
from convatlas.insight.explain.spectrum import IMAGENET, Palette
from convatlas.progress.counting import counting
from convatlas.screen import Screen
from convatlas.words import file_name

COLOURED = 1000  # training images whose colours are taken
LARGE = 1200  # pixels of the small images on the page
REAL = 256  # training images beside which an excited picture stands


def excited_section(
    subject: Subject, asked: Sequence[Asked], targets: Sequence[Target], shelf: Shelf, *, steps: int
) -> dict[str, Any]:
    """Makes the pictures that excite the targets, and returns the section about them."""
    predictor, data = subject.predictor, subject.data
    sample = None if data is None else Part.drawn(predictor, data.train, most=REAL)

    def real() -> Iterator[Tensor]:
        yield from (each.question.inputs for each in asked)
        yield from () if sample is None else sample.inputs()

    ascent = Ascent(subject.network, predictor.preprocessing, palette_of(subject), steps)
    with counting(Screen(stderr=True), "excite") as watch:
        found = excite(ascent, targets, real=real(), watch=watch)
    return {
        "steps": steps,
        "colours": ascent.palette.origin,
        "real_images": len(asked) + (0 if sample is None else len(sample)),
        "raised": RAISED,
        "pictures": [_excited(number, each, shelf) for number, each in enumerate(found, start=1)],
    }


def _excited(number: int, each: Excited, shelf: Shelf) -> dict[str, Any]:
    """Writes an excited picture and returns its entry."""
    file = shelf.put(f"excited-{number}-{file_name(each.target.title)}.png", smooth(each.picture))
    values = {"start": each.start, "end": each.end, "real": each.real, "times": each.times}
    return {"title": each.target.title, **values, "weak": (each.times or RAISED) < RAISED, "file": file}


def palette_of(subject: Subject) -> Palette:
    """Returns the colours of ImageNet for its networks, else those of the data's training images; says which."""
    predictor, channels = subject.predictor, subject.predictor.in_channels
    if channels == 1:
        return Palette(torch.eye(1), "grey")
    if subject.data is not None:
        part = Part.drawn(predictor, subject.data.train, most=COLOURED)
        pixels = torch.cat([batch[..., ::4, ::4].cpu() for batch in part.pixels()])
        return Palette.of_pixels(pixels, f"the colours of {len(part):,} training images of {subject.data.spec.name}")
    if predictor.data == "imagenet":
        return Palette.of(torch.tensor(IMAGENET), "the colours of ImageNet, as in lucid")
    return Palette(torch.eye(channels), "red, green and blue, each by itself; --data takes the colours of its images")


def neighbour_sections(subject: Subject, asked: Sequence[Asked], shelf: Shelf, *, count: int) -> list[dict[str, Any]]:
    """Draws the nearest training images of each image, and returns their sections."""
    data = subject.opened
    part = Part(subject.predictor, data.train, torch.arange(len(data.train)))
    with counting(Screen(stderr=True), "neighbours") as watch:
        found = nearest(subject.network, [each.question.inputs for each in asked], part, count=count, watch=watch)
    labels = class_labels(data.train, needed_by="--neighbours")
    sections = []
    for each, near in zip(asked, found, strict=True):
        images = data.train.thumbnails(torch.tensor([one.place for one in near]), size=TILE)
        names = [data.spec.class_names[int(labels[one.place])] for one in near]
        file = shelf.put(f"{each.number}-neighbours.png", image_sheet(images, names))
        places = [int(data.train.index[one.place]) for one in near]
        listed = [
            {"index": place, "class": name, "distance": one.distance}
            for place, name, one in zip(places, names, near, strict=True)
        ]
        sections.append({"data": data.spec.name, "of": len(part), "images": listed, "file": file})
    return sections


def embedding_section(subject: Subject, shelf: Shelf) -> dict[str, Any]:
    """Draws the embedding of test images, as points and as small images, and returns the section about it."""
    data = subject.opened
    part = Part.drawn(subject.predictor, data.test, most=IMAGES)
    with counting(Screen(stderr=True), "embedding") as watch:
        found = embed(subject.network, part, watch=watch)
    names = data.spec.class_names
    draw_embedding(found, names, shelf.folder / "embedding.png")
    small = data.test.thumbnails(found.places, size=THUMB)
    return {
        "data": data.spec.name,
        "images": len(part),
        "of": len(data.test),
        "perplexity": min(PERPLEXITY, (len(part) - 1) / 3),
        "variance": list(found.variance),
        "file": shelf.add("embedding.png"),
        "small_images": shelf.put("embedding-images.png", picture_sheet(found, small, names), most=LARGE),
    }
