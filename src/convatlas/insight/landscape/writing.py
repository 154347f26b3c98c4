"""The folder of a landscape: the values of all points, a picture, and a page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data import DataSet
from convatlas.device import resolve_device
from convatlas.errors import UsageError
from convatlas.files import held, write_json, write_text
from convatlas.insight.landscape.directions import Directions
from convatlas.insight.landscape.measuring import Task, measure, one_thread, process_count, seconds_of_point, shared
from convatlas.insight.landscape.opening import (
    IMAGE_SEED,
    Opened,
    chosen_places,
    directions_of,
    open_runs,
    sample_of,
    surface_of,
    training_images,
)
from convatlas.insight.landscape.page import page
from convatlas.insight.landscape.pictures import draw
from convatlas.insight.landscape.points import FILE, Points, axis_over, even_axis
from convatlas.insight.landscape.scale import common_scale
from convatlas.insight.landscape.surface import Sample
from convatlas.insight.landscape.wanted import Wanted
from convatlas.progress.counting import counting
from convatlas.run import this_session
from convatlas.screen import Screen, say
from convatlas.weights import file_sha256
from convatlas.words import finite

PAGE = "landscape.html"
LONG = 3600.0  # seconds; a longer work needs a yes
FORMAT = 1


@dataclass(frozen=True)
class Place:
    """The folder of a landscape, and how it is filled: where the data lies, where and in how many processes to compute.

    `resume` goes on with the work that lies in the folder, `yes` agrees to a long work.
    """

    folder: Path
    data_dir: Path | None = None
    skip_unreadable: bool = False
    device: str = "auto"
    processes: int | None = None
    resume: bool = False
    yes: bool = False

    def __post_init__(self) -> None:
        if self.processes is not None and self.processes < 1:
            raise UsageError(f"--processes {self.processes} must be at least 1")
        if self.folder.exists() and not self.folder.is_dir():
            raise UsageError(f"--out {self.folder} is a file; name a folder")
        if (self.folder / FILE).exists() and not self.resume:
            raise UsageError(
                f"{self.folder} holds a landscape already; go on with --resume, or choose another folder with --out"
            )


@dataclass(frozen=True)
class Drawn:
    """One surface of a landscape before it is measured: its run, its directions with their seed, and its images."""

    opened: Opened
    seed: int
    directions: Directions
    sample: Sample
    seconds: float  # of a point, in one process

    def axes(self, wanted: Wanted) -> tuple[np.ndarray, np.ndarray]:
        """Returns the steps along the two directions; in one dimension there is one step of 0 along the second."""
        path = self.directions.path
        found = [
            even_axis(wanted.range, wanted.grid) if path is None else axis_over(path[:, place], wanted.grid)
            for place in range(wanted.dimensions)
        ]
        return found[0], found[1] if wanted.dimensions == 2 else np.zeros(1)


@dataclass(frozen=True)
class Landscape:
    """The facts about measured surfaces, as `--json` has them, and the values at all points."""

    content: dict[str, Any]
    points: Points


def landscape(sources: Sequence[str], wanted: Wanted, place: Place) -> Landscape:
    """Measures and draws the loss surfaces of some runs into a folder, and returns them.

    Nothing is written before all choices are checked. Raises `UsageError` for choices that do not go together, for
    runs that are not finished or lack what is needed, and for a work of more than an hour without a yes.
    """
    device = resolve_device(place.device)
    if device != "cpu" and (place.processes or 1) > 1:
        raise UsageError(f"--processes {place.processes} is for processors; on {device} one process does all the work")
    runs = open_runs(sources, device=device)
    data = training_images(runs[0].predictor, data_dir=place.data_dir, skip_unreadable=place.skip_unreadable)
    with one_thread():
        surfaces = list(_surfaces(runs, data, wanted))
    points = Points.empty(_facts(surfaces, data, wanted), [each.axes(wanted) for each in surfaces])
    if (place.folder / FILE).exists():
        points = points.filled_from(place.folder)
    processes = _agreed(points, surfaces, wanted, place, device=device)
    with held(place.folder):
        with _tasks(surfaces, wanted, place, device=device) as tasks, counting(Screen(stderr=True), "points") as watch:
            measure(points, tasks, folder=place.folder, processes=processes, watch=watch)
        return Landscape(_written(points, surfaces, place.folder), points)


def _written(points: Points, surfaces: Sequence[Drawn], folder: Path) -> dict[str, Any]:
    """Writes pictures, page and values, and returns the facts about the landscape and its surfaces."""
    scale = common_scale(points.loss)
    found = [_surface_content(points, number, each) for number, each in enumerate(surfaces)]
    content = {
        **points.facts,
        "scale": asdict(scale),
        "surfaces": found,
        "pictures": draw(points, found, scale, folder),
    }
    session = this_session()
    write_text(folder / PAGE, page(points, content, scale, command=session.command or "from Python"))
    values = [{**each, **points.values(number)} for number, each in enumerate(found)]
    write_json(folder / "landscape.json", finite({**content, "surfaces": values, "session": asdict(session)}))
    return {**content, "page": str(folder / PAGE)}


def _surfaces(runs: Sequence[Opened], data: DataSet, wanted: Wanted) -> Iterator[Drawn]:
    """Yields the surfaces of each run, one for each seed of directions."""
    places = chosen_places(data, images=wanted.images)
    for opened in runs:
        sample = sample_of(data, places, opened.predictor)
        directions = directions_of(opened.predictor, wanted, seed=0)
        seconds = seconds_of_point(surface_of(opened.predictor, directions, wanted), sample)
        path = replace(directions, vectors=())  # the vectors are as large as the network; tasks make their own
        yield from (Drawn(opened, seed, path, sample, seconds) for seed in range(wanted.seeds))


def _facts(surfaces: Sequence[Drawn], data: DataSet, wanted: Wanted) -> dict[str, Any]:
    """Returns the facts that the values depend on, as plain data."""
    return {
        "format": FORMAT,
        **asdict(wanted),
        "reach": wanted.range if wanted.directions == "random" else None,
        "images": len(surfaces[0].sample),
        "image_seed": IMAGE_SEED,
        "data": data.spec.name,
        "split_hash": data.split_hash,
        "weights": [file_sha256(each.opened.predictor.path)[:16] for each in surfaces if not each.seed],
    }


def _agreed(points: Points, surfaces: Sequence[Drawn], wanted: Wanted, place: Place, *, device: str) -> int:
    """Says how long the work takes, and returns the number of processes.

    Raises `UsageError` for a long work without a yes, with a smaller one.
    """
    left = points.left
    alone = sum(surfaces[surface].seconds for surface, _, _ in left)
    processes = place.processes or (1 if device != "cpu" else process_count(alone))
    seconds = alone / processes
    images = len(surfaces[0].sample)
    size = f"{len(left):,} points of {images:,} images take about {duration(seconds)}"
    if seconds > LONG and not place.yes:
        whole = sum(each.seconds for each in surfaces) * wanted.count / processes
        raise UsageError(f"{size}; add --yes, or ask for less, such as {smaller(wanted, images, whole)}")
    if left:
        speed = images * len(left) / max(seconds, 1e-9)
        how = "" if processes == 1 else f" in {processes} processes"
        say(f"convatlas: {size}{how}, {speed:,.0f} images a second")
    return processes


def smaller(wanted: Wanted, images: int, seconds: float) -> str:
    """Returns flags of a work that takes half of `LONG` at most, with its time; `seconds` are those of the whole.

    >>> smaller(Wanted(grid=51), 50_000, 80_000.0)
    '--grid 25 --images 2000 (about 13 minutes)'
    """
    choices = [
        (grid, few)
        for few in (2000, 1000, 500, 200)
        for grid in (25, 19, 15, 11)
        if grid <= wanted.grid and few <= max(images, 200)
    ] or [(wanted.grid, min(images, 200))]

    def taken(grid: int, few: int) -> float:
        return seconds * (grid / wanted.grid) ** wanted.dimensions * few / images

    chosen = next((each for each in choices if taken(*each) < LONG / 2), choices[-1])
    return f"--grid {chosen[0]} --images {chosen[1]} (about {duration(taken(*chosen))})"


def duration(seconds: float) -> str:
    """Returns a time in one unit.

    >>> duration(7.6), duration(60.0), duration(8000.0)
    ('8 seconds', '1 minute', '2.2 hours')
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"
    if seconds < 3600:
        return f"{round(seconds / 60)} minute{'s' if round(seconds / 60) > 1 else ''}"
    return f"{seconds / 3600:,.1f} hours"


@contextlib.contextmanager
def _tasks(surfaces: Sequence[Drawn], wanted: Wanted, place: Place, *, device: str) -> Iterator[list[Task]]:
    """Gives the surfaces as tasks, with their images in files until the end of the block."""
    files: dict[str, tuple[Path, Path]] = {}
    try:
        for number, each in enumerate(surfaces):
            source = each.opened.predictor.source
            if source not in files:
                files[source] = shared(each.sample, place.folder, number=number)
        yield [
            Task(source, each.seed, wanted, device, *files[source])
            for each, source in ((each, each.opened.predictor.source) for each in surfaces)
        ]
    finally:
        for path in (path for paths in files.values() for path in paths):
            path.unlink(missing_ok=True)


def _surface_content(points: Points, number: int, drawn: Drawn) -> dict[str, Any]:
    """Returns the facts about one surface."""
    x, y, loss, error = (getattr(points, name)[number] for name in ("x", "y", "loss", "error"))
    row, column = (int(np.abs(axis).argmin()) for axis in (y, x))
    lowest = np.unravel_index(int(loss.argmin()), loss.shape)
    path = drawn.directions.path
    return {
        "name": drawn.opened.name,
        "run": str(drawn.opened.run.path),
        "seed": drawn.seed,
        "centre": {"loss": float(loss[row, column]), "error": float(error[row, column])},
        "lowest": {"loss": float(loss[lowest]), "x": float(x[lowest[1]]), "y": float(y[lowest[0]])},
        "highest": float(loss.max()),
        "explained": list(drawn.directions.explained),
        "path": None if path is None else path.tolist(),
        "epochs": list(drawn.directions.epochs),
    }
