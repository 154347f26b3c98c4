"""What a person is told before streamed images are read: how many stay in memory, and how much a crop leaves out."""

from __future__ import annotations

import statistics

from convatlas.bounds import GIB
from convatlas.data.augmentation.draws import before_crop
from convatlas.data.images.kept import room
from convatlas.data.images.parts import is_reduced
from convatlas.data.images.protocol import Images
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.images.workers import worker_count
from convatlas.data.preprocessing import Preprocessing
from convatlas.recipe import Recipe

SAMPLE = 200  # images whose headers are read
MUCH = 0.25  # of an image's area: a 4:3 photograph loses as much
MOST, MANY = 0.5, 0.1  # a part of an image's area, and a part of the images that lose more than it


def crop_notes(images: Images, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Returns a note where the centre crop leaves out more than a quarter of the images, or more than half of many."""
    if preprocessing.fit != "crop" or not isinstance(images, StreamedImages):
        return ()
    sizes = [(header.height, header.width) for header in images.headers(SAMPLE)]
    lost = [1 - min(sides) / max(sides) for sides in sizes]
    mean, many = statistics.mean(lost), statistics.mean(share > MOST for share in lost)
    if mean <= MUCH and many <= MANY:
        return ()
    found = (
        f"{mean:.0%} of the images' area" if mean > MUCH else f"more than half of the area of {many:.0%} of the images"
    )
    return (f"fit=crop leaves out {found} (of {len(lost)} looked at); --fit pad or --fit squash keeps all of it",)


def reading_line(images: Images, *, recipe: Recipe, preprocessing: Preprocessing) -> str | None:
    """Returns how the training images are read in an epoch, in one line; None where they are in memory from the start.

    How many fit into memory is estimated from the headers of some.
    """
    if not isinstance(images, StreamedImages):
        return None
    size, count = before_crop(preprocessing, recipe).image_size, len(images)
    each = [3 * size * size]
    if recipe.images.crop == "resized":
        headers = images.headers(SAMPLE)
        each = [0 if is_reduced(header, size=size) else 3 * header.height * header.width for header in headers]
    free, wanted = (0.0 if images.memory is None else room()), count * statistics.mean(each)
    kept = round(count * min(1, free / max(wanted, 1)) * statistics.mean(bytes_ > 0 for bytes_ in each))
    threads = worker_count(images.workers)
    again = f"decoded in each epoch by {threads} thread{'' if threads == 1 else 's'}"
    memory = f"kept in memory ({min(wanted, free) / GIB:.1f} GiB, of {free / GIB:.1f} that may be used)"
    if kept == count:
        return f"{count:,} training images, decoded once and {memory}"
    if kept == 0:
        return f"{count:,} training images, {again}"
    return f"{count:,} training images: about {kept:,} {memory}, the others {again}"
