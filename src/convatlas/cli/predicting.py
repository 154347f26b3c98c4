"""`predict`: the answers of a network on image files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convatlas.cli import options
from convatlas.cli.answer_forms import MANY, Form, csv_form, json_line, screen_form
from convatlas.cli.answers import Arch, Mean, Std, check_source, normalisation, say_notes
from convatlas.cli.detecting import check_flags, predict_detector, suppression_of
from convatlas.cli.program import DONE, FAILED, app
from convatlas.errors import UsageError
from convatlas.files import check_writable
from convatlas.screen import Screen, say
from convatlas.values import parse

if TYPE_CHECKING:
    from convatlas.prediction import Answer, Averaging, Predictor

LONG = 200  # images, from which a bar shows the progress


@app.command()
def predict(
    source: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT|ARCH", help="A run, a checkpoint, or a name with --weights.")
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Image files, folders, patterns such as 'photos/*.jpg', or - for names on stdin."
        ),
    ],
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="How many classes to show; default: 5, of many images 1.")
    ] = None,
    tta: Annotated[
        str, typer.Option("--tta", metavar="none|flip|ten-crop", help="Average over an image's mirror image or crops.")
    ] = "none",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a table with a row for each image.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Of a detector: write pictures with boxes and COCO's results there."),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option("--score", min=0, max=1, help="Of a detector: show boxes from this score on; default: 0.3."),
    ] = None,
    suppression: options.SuppressionName = None,
    weights: options.WeightsName = None,
    arch: Arch = None,
    option: options.Options = None,
    mean: Mean = None,
    std: Std = None,
    device: options.Device = "auto",
    precision: options.AnswerPrecision = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line for each image.")] = False,
) -> int:
    """Say what is in image files: the most probable classes of each.

    Each image is turned as its EXIF data says, and its transparent pixels become white. It is resized by its
    shorter side, and the square in its centre is cut out: to 256 and 224 pixels for most published weights.
    A run that was trained with --fit squash or pad shows the network the whole image.

    Images that cannot be read are named at the end, and the exit code is then 1.

    Example: convatlas predict runs/digits/resnet_uva@quick/seed0 three.png --top 3

    A detector sees the whole image, and shows the boxes that it finds: class, score and corners (left, top,
    right, bottom) in pixels.

    Example: convatlas predict resnet18 --weights torchvision photos --csv answers.csv

    Example: convatlas predict runs/voc-cells/efficientdet_tiny@detect_small/seed0 photos --out boxes
    """
    chosen = options.architecture_options(option)
    check_source(source, arch=arch, weights=weights, options=chosen)
    options.check_computing(device, precision)
    kind = suppression_of(suppression)
    if csv_file is not None and as_json:
        raise UsageError("--csv and --json do not go together; leave one of them out")

    from convatlas.prediction import Averaging, check_averaging, names_in, open_network, pictures_of

    averaging: Averaging = parse(tta, Averaging, name="--tta")
    if csv_file is not None and csv_file.is_dir():
        raise UsageError(f"--csv {csv_file} is a folder; name a file")
    if csv_file is not None:
        check_writable(csv_file.parent)
    found = pictures_of(images, names=names_in(sys.stdin))
    paths = found.paths
    predictor = open_network(
        source, arch=arch, weights=weights, options=chosen, normalisation=normalisation(mean, std)
    ).to(device, precision=precision)
    of_detector = {"--out": out, "--score": score, "--suppression": kind}
    check_flags(predictor, of_detector, {"--csv": csv_file, "--top": top, "--tta": averaging})
    say_notes((*predictor.notes, *found.notes), source=predictor.source)
    if predictor.architecture.task == "detection":
        faults = predict_detector(predictor, paths, out=out, score=score, suppression=kind, as_json=as_json)
        return _ended(faults, len(paths))
    check_averaging(predictor, averaging)
    shown = top or (1 if len(paths) > MANY and not as_json else 5)
    wanted = Wanted(paths, shown, averaging)
    if csv_file is not None:
        with csv_form(csv_file, top=shown) as form:
            faults = _answer(predictor, wanted, form)
        options.console().print(f"wrote {csv_file}", highlight=False, soft_wrap=True, markup=False)
    else:
        faults = _answer(predictor, wanted, json_line if as_json else screen_form(len(paths)))
    if not as_json:
        options.console().print(f"computed in {predictor.arithmetic}", style="dim", highlight=False, soft_wrap=True)
    return _ended(faults, len(paths))


@dataclass(frozen=True)
class Wanted:
    """The image files to be answered, the number of classes of each answer, and the squares that are averaged."""

    paths: Sequence[str]
    top: int
    averaging: Averaging


def _answer(predictor: Predictor, wanted: Wanted, form: Form) -> list[str]:
    """Gives all answers in a form, and returns the errors."""
    from convatlas.prediction import answers

    given = answers(predictor, wanted.paths, top=wanted.top, averaging=wanted.averaging)
    faults = []
    for each in _with_bar(given, len(wanted.paths)):
        form(each)
        if each.error is not None:
            faults.append(each.error)
    return faults


def _with_bar(given: Iterator[Answer], count: int) -> Iterator[Answer]:
    """Yields the answers; of many, a bar on standard error counts them where the answers go elsewhere."""
    if count < LONG or not sys.stderr.isatty() or sys.stdout.isatty():
        yield from given
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Screen(stderr=True), transient=True) as progress:
        task = progress.add_task("images", total=count)
        for each in given:
            yield each
            progress.advance(task)


def _ended(faults: Sequence[str], count: int) -> int:
    """Says on standard error which images cannot be read; returns the exit code."""
    if not faults:
        return DONE
    for fault in faults:
        say(f"convatlas: {fault}")
    say(f"convatlas: {len(faults):,} of {count:,} images cannot be read")
    return FAILED
