"""Insight in Python: explanations of answers, gradients by depth, loss surfaces, the disagreement of networks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convatlas.errors import UsageError, escaped, unknown
from convatlas.files import as_path, check_writable
from convatlas.insight.disagreement import write_disagreement
from convatlas.insight.explain import METHODS, Explanation, Wanted, check_captum, material_for
from convatlas.insight.explain import explain as explained
from convatlas.insight.gradient_choices import choices
from convatlas.insight.gradient_figure import draw_gradients
from convatlas.insight.gradients import Signals, batch_for, measured
from convatlas.insight.landscape import Ignored, Kind, Landscape, Place, Statistics
from convatlas.insight.landscape import Wanted as WantedLandscape
from convatlas.insight.landscape import landscape as measured_landscape
from convatlas.prediction import Normalisation, Pictures, open_predictor, pictures_of
from convatlas.report import Report
from convatlas.run import Run

CHECKS = ("sanity", "curves", "embedding")


def explain(
    source: str | Path | Run,
    images: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path = "runs/explain",
    class_name: str | int | None = None,
    stages: Sequence[str] = (),
    methods: Sequence[str] = tuple(METHODS),
    checks: Sequence[str] = (),
    excite: Sequence[str] = (),
    steps: int = 192,
    neighbours: int = 0,
    curve_images: int = 0,
    data: str | None = None,
    data_dir: str | Path | None = None,
    arch: str | None = None,
    weights: str | None = None,
    normalisation: Normalisation | None = None,
    device: str = "auto",
) -> Explanation:
    """Writes pictures and `explain.html` into the folder `out` and returns the page, its content and the maps.

    `source` and `images` are as in `predict`. The maps of `methods` are for the class `class_name`, a name or a number,
    without one for the network's answer. `stages` are those whose feature maps are shown. `checks` may have `sanity`,
    `curves` and `embedding`. `excite` has classes and channels, such as `stage2:5`, for each of which a picture is made
    in some `steps`. `neighbours` is a number of training images for each image. With `curve_images` the curves are
    those of so many test images. `data` names the data set of both, by default that of the run or of the weights.
    Methods other than CAM need captum. Raises `UsageError` as `convatlas explain` does.
    """
    title, methods = None if class_name is None else str(class_name), tuple(dict.fromkeys(methods))
    excite = [excite] if isinstance(excite, str) else excite
    named = [str(path) for path in ([images] if isinstance(images, str | Path) else images)]
    wanted = Wanted(named, methods, stages, title, frozenset(checks), excite, steps, neighbours, curve_images)
    _check_wanted(wanted, Path(out))
    found, place = pictures_of(named) if named else Pictures(), source.path if isinstance(source, Run) else source
    predictor = open_predictor(place, arch=arch, weights=weights, normalisation=normalisation).to(device)
    for note in (*predictor.notes, *found.notes):
        warnings.warn(escaped(f"{predictor.source}: {note}"), stacklevel=2)
    shown = material_for(predictor, wanted, name=data, folder=as_path(data_dir))
    return explained(predictor, replace(wanted, images=found.paths), Path(out), data=shown)


def _check_wanted(wanted: Wanted, folder: Path) -> None:
    """Raises `UsageError` for unknown words, numbers that are too small, a file as the folder, and without captum."""
    for kind, words, permitted in (("method", wanted.methods, tuple(METHODS)), ("check", wanted.checks, CHECKS)):
        for word in words:
            if word not in permitted:
                raise unknown(kind, word, permitted)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder")
    if wanted.steps < 1 or min(wanted.neighbours, wanted.curve_images) < 0:
        raise UsageError(
            f"steps={wanted.steps} must be at least 1, neighbours={wanted.neighbours} and "
            f"curve_images={wanted.curve_images} at least 0"
        )
    check_captum(wanted.methods if wanted.images or wanted.curve_images else ())


def gradients(
    networks: str | Path | Run | Sequence[str | Path | Run],
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    norms: Sequence[str] = ("own",),
    initialisations: Sequence[str] = ("own",),
    options: Mapping[str, Any] | None = None,
    images: int = 128,
    seed: int = 0,
    out: str | Path | None = None,
) -> list[Signals]:
    """Returns the gradients' norms and the activations' spread of each layer of networks, which see the same images.

    `networks` are architectures, or runs, which are measured with their first weights and with their trained ones.
    `norms` may have `own` and `none`, `initialisations` may have `own`, `small`, `xavier` and `kaiming`; each
    combination is measured. Without `data` the images are those of the runs, else the digits.
    With `out` the figure is written there. Raises `UsageError` as `convatlas gradients` does.

    >>> plain, residual = gradients(["plain20", "resnet20"], images=8)
    >>> residual.name, residual.layers[0].name, residual.first_to_last < plain.first_to_last
    ('resnet20', 'stem.conv', True)
    """
    each_given = [networks] if isinstance(networks, str | Path | Run) else networks
    names = [str(each.path if isinstance(each, Run) else each) for each in each_given]
    wanted = choices(names, norms=norms, initialisations=initialisations, options=options or {})
    if images < 2:
        raise UsageError(f"images={images} must be at least 2")
    figure = None if out is None else Path(out)
    if figure is not None:
        if figure.suffix.lower() != ".png" or figure.is_dir():
            raise UsageError(f"out={out} must be the name of a .png file")
        check_writable(figure.parent)
    batch = batch_for(wanted, data=data, folder=as_path(data_dir), images=images, seed=seed)
    found = [signals for each in wanted for signals in measured(each, batch)]
    if figure is not None:
        draw_gradients(found, figure, data=batch.data.spec.name, images=len(batch.places))
    return found


def disagree(
    folders: str | Path | Report | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Writes the page of the images on which networks differ and returns its content as plain data.

    `folders` are those of studies and runs, or the report of a study. The default of `out` is the folder `disagree` in
    that of the study; several folders need it. Raises `UsageError` as `convatlas disagree` does.
    """
    if isinstance(folders, Report):
        folders = folders.folder
    places = [Path(each) for each in ([folders] if isinstance(folders, str | Path) else folders)]
    if out is None and len(places) != 1:
        raise UsageError(f"{len(places)} folders on one page need a folder to write to; name it with out")
    folder = as_path(out) or places[0] / "disagree"
    return write_disagreement(places, folder, data_dir=as_path(data_dir), device=device)


def landscape(
    runs: str | Path | Run | Sequence[str | Path | Run],
    *,
    out: str | Path = "runs/landscape",
    directions: Kind = "random",
    dimensions: int = 2,
    grid: int = 25,
    reach: float | None = None,
    images: int = 2000,
    seeds: int = 1,
    bn: Statistics = "fixed",
    ignore: Ignored = "biasbn",
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    processes: int | None = 1,
    resume: bool = False,
    yes: bool = False,
) -> Landscape:
    """Writes the loss surfaces of runs into the folder `out` and returns their facts and the values at all points.

    The arguments are those of `convatlas landscape`; `reach` is its `--range`. With more than one of `processes` a
    script needs `if __name__ == "__main__":` around its work. Raises `UsageError` as the verb does.
    """
    given = [runs] if isinstance(runs, str | Path | Run) else runs
    sources = [str(each.path if isinstance(each, Run) else each) for each in given]
    wanted = WantedLandscape(directions, dimensions, grid, reach, images, seeds, bn, ignore)
    place = Place(
        Path(out),
        data_dir=as_path(data_dir),
        skip_unreadable=skip_unreadable,
        device=device,
        processes=processes,
        resume=resume,
        yes=yes,
    )
    return measured_landscape(sources, wanted, place)
