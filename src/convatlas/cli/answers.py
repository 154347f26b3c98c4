"""`evaluate`: the answers of a network on labelled data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas import values
from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.errors import UsageError
from convatlas.screen import say
from convatlas.values import SplitName, parse

if TYPE_CHECKING:
    from convatlas.architecture import Architecture
    from convatlas.evaluation import Evaluation
    from convatlas.prediction import Normalisation, Predictor

Arch = Annotated[
    str | None, typer.Option("--arch", metavar="NAME", help="The network, if the checkpoint does not name it.")
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean", metavar="M,M,M", help="Mean of each channel in [0, 1], if the checkpoint has no normalisation."
    ),
]
Std = Annotated[
    str | None, typer.Option("--std", metavar="S,S,S", help="Standard deviation of each channel, with --mean.")
]


@app.command()
def evaluate(
    source: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT|ARCH", help="A run, a checkpoint, or a name with --weights.")
    ],
    data: Annotated[
        str | None, typer.Option("--data", help="Data set; default: that of the run or of the weights.")
    ] = None,
    data_dir: options.DataDir = None,
    skip_unreadable: options.SkipUnreadable = False,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            help="train, validation or test; all for images of your own that the network was not trained on. Default: "
            "test; all for such images without parts.",
        ),
    ] = None,
    weights: options.WeightsName = None,
    arch: Arch = None,
    option: options.Options = None,
    mean: Mean = None,
    std: Std = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep a checkpoint's evaluation as a run, for `convatlas report`.")
    ] = None,
    suppression: options.SuppressionName = None,
    device: options.Device = "auto",
    precision: options.AnswerPrecision = None,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a run's best epoch, a checkpoint, or published weights on a split of a data set.

    The images are normalised as the checkpoint says, not as the data set says. Of a detector, these are COCO's
    numbers and the precision of each class.

    Example: convatlas evaluate runs/digits/resnet_uva@quick/seed0

    Example: convatlas evaluate resnet_uva --weights uva --data cifar10 --out runs/published/resnet_uva
    """
    from convatlas.cli.detecting import check_flags, print_detector, suppression_of
    from convatlas.data_names import check_reference

    if split is not None:
        parse(split, SplitName, name="split")
    if out is not None and split not in (None, "test", "all"):
        raise UsageError(f"--out keeps an evaluation on the test images, not on {split}")
    chosen = options.architecture_options(option)
    check_source(source, arch=arch, weights=weights, options=chosen)
    options.check_computing(device, precision)
    kind = suppression_of(suppression)
    if data is not None:
        check_reference(data)

    from convatlas.prediction import choose_images, evaluate_split, open_network

    predictor = open_network(
        source, arch=arch, weights=weights, options=chosen, normalisation=normalisation(mean, std)
    ).to(device, precision=precision)
    chosen_images = choose_images(predictor, name=data, folder=data_dir, split=split, skip_unreadable=skip_unreadable)
    loaded = chosen_images.data
    check_flags(predictor, {"--suppression": kind}, {"--out": out})
    if predictor.architecture.task == "detection":
        print_detector(predictor, chosen_images, suppression=kind, as_json=as_json)
        return
    if out is None:
        result = evaluate_split(predictor, loaded, split=chosen_images.part)
    else:
        from convatlas.training import evaluated_run

        _, result = evaluated_run(predictor, loaded, folder=out)
    # On the screen the notes of the data follow the numbers.
    say_notes((*predictor.notes, *(loaded.notes if as_json else ())), source=predictor.source)
    content = {
        "architecture": predictor.architecture.name,
        "data": loaded.spec.name,
        "split": chosen_images.split,
        "precision": predictor.precision,
        **result.scores(),
        "published": _published(predictor.architecture, data=loaded.spec.name, split=chosen_images.split),
        **_start_of(predictor),
        "notes": [*predictor.notes, *loaded.notes],
    }
    if as_json:
        options.print_json(content)
    else:
        _print_evaluation(content, result, beside=(*loaded.notes, f"computed in {predictor.arithmetic}"))


def check_source(source: str, *, arch: str | None, weights: str | None, options: Mapping[str, str]) -> None:
    """Raises `UsageError` for unknown names, as far as they are seen without PyTorch."""
    from convatlas.architectures import check_name, check_weights, nothing_at

    there = Path(source).exists()
    if weights is not None and not there:
        check_weights(source, weights)
    elif not there:
        raise nothing_at(source)
    if arch is not None:
        check_name(arch, options=options)


def normalisation(mean: str | None, std: str | None) -> Normalisation | None:
    """Returns mean and standard deviation from texts, or None without both. Raises `UsageError` for one alone.

    >>> normalisation("0.5,0.5,0.5", "0.25,0.25,0.25")
    ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    """
    if (mean is None) != (std is None):
        raise UsageError("--mean and --std go together: a number for each channel, separated by commas")
    if mean is None or std is None:
        return None
    kind = tuple[float, ...]
    return parse(mean, kind, name="--mean"), parse(std, kind, name="--std")


def say_notes(notes: Sequence[str], *, source: str) -> None:
    """Prints the notes on standard error: assumptions, and differences from the published files."""
    for note in notes:
        say(f"convatlas: {source}: {note}")


def _start_of(predictor: Predictor) -> dict[str, Any]:
    """Returns the base weights of a fine-tuned run as the entry `start`; nothing of other networks."""
    if predictor.run is None or not predictor.run.record.fine_tuned:
        return {}
    start = predictor.run.record.start
    return {"start": {"base": start.base, **values.plain(vars(start))}}


def _published(row: Architecture, *, data: str, split: str) -> list[dict[str, Any]]:
    """Returns the accuracies that somebody published for this network on these images."""
    return [vars(result) for result in row.published if (result.dataset, result.split) == (data, split)]


def _print_evaluation(content: dict[str, Any], result: Evaluation, *, beside: Sequence[str]) -> None:
    """Prints the scores, the published accuracies and the lines `beside` them, and the counts of each class."""
    from rich.table import Table
    from rich.text import Text

    screen = options.console()
    top5 = "" if result.top5 is None else f", top-5 {100 * result.top5:.2f} %"
    screen.print(
        f"{content['architecture']} on {content['data']} {content['split']}: {100 * result.top1:.2f} % "
        f"({result.correct} of {result.n}){top5}, balanced accuracy {100 * result.balanced_accuracy:.2f} %, macro F1 "
        f"{100 * result.macro_f1:.2f} %, loss {result.loss:.4f}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    published = [f"published: {100 * each['top1']:.2f} % ({each['source']})" for each in content["published"]]
    based = [f"fine-tuned from {content['start']['base']}"] if "start" in content else []
    for line in (*published, *based, *beside):
        screen.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("class", no_wrap=True)
    for heading in ("images", "correct", "accuracy"):
        table.add_column(heading, justify="right")
    for name, accuracy in result.per_class.items():
        counts = (f"{number[name]:,}" for number in (result.per_class_n, result.per_class_correct))
        table.add_row(Text(name), *counts, "-" if accuracy is None else f"{100 * accuracy:.2f} %")
    screen.print(table)
