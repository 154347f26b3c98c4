"""`compare` and `report`: many runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convatlas.cli import options
from convatlas.cli.program import FAILED, app, resumable
from convatlas.cli.semi_supervised import length
from convatlas.cli.transferring import print_transfer
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from convatlas.report import Report


@app.command()
def compare(
    architectures: Annotated[
        list[str] | None,
        typer.Argument(metavar="ARCH[@RECIPE]...", help="Names or path/to/file.py:name, each with a recipe."),
    ] = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    skip_unreadable: options.SkipUnreadable = False,
    protocol_name: Annotated[
        str | None,
        typer.Option("--protocol", metavar="uva", help="A published comparison, with its networks and recipes."),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", help="Number of seeds (0, 1, 2 ...), or a list such as 7,8,9.")
    ] = "3",
    recipe: options.RecipeName = None,
    methods: Annotated[
        str | None,
        typer.Option(
            "--methods",
            metavar="NAME,...",
            help="Compare methods for few labels: each network with each of them. A method may have fields of its own, "
            "as in 'supervised,fixmatch[threshold=0.9]'.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="NUMBER,...",
            help="With --methods: numbers of labels, such as 250,4000, or parts, such as 0.1.",
        ),
    ] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    fit: options.Fit = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    out: Annotated[Path | None, typer.Option("--out", help="The study's folder; default: runs/compare-DATA.")] = None,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Train several networks over several seeds under one protocol and compare them.

    Example: convatlas compare resnet_uva densenet_uva@uva_adam --data digits --seeds 3 --out runs/first

    Example: convatlas compare resnet_uva --methods supervised,fixmatch --labels 40,200 --seeds 3 --out runs/few-digits
    """
    from convatlas.api.entries import study_entries
    from convatlas.request import Request, check_words, protocol_entries, study_folder

    names = protocol_entries(protocol_name, architectures or [])
    flags = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "fit": fit, "precision": precision}
    flags |= length(steps=None, epochs=epochs) if methods else {}
    request = Request(
        entries=study_entries(names, recipe=recipe, methods=methods, labels=labels, data=data),
        data=data,
        data_dir=data_dir,
        seeds=parse_seeds(seeds),
        settings=options.settings(setting, **flags),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    check_words(request)
    from convatlas.study import compare as run_study  # not sooner: it imports PyTorch, which takes seconds

    folder = out or study_folder(data, protocol=protocol_name)
    with resumable(folder):
        report = run_study(request, out=folder, resume=resume, quiet=quiet)
    _print_report(report, as_json=as_json)
    if report.failed:
        raise typer.Exit(FAILED)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN|DIR...", help="Folders of runs or studies.")],
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; needed for several folders.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Rebuild tables, figures and the page from the runs on disk.

    Example: convatlas report runs/demo
    """
    from convatlas.report import write_report
    from convatlas.report.transfer import write_transfer_report
    from convatlas.run import is_transfer

    if any(is_transfer(folder) for folder in folders):
        if len(folders) > 1 or out is not None:
            raise UsageError("a study of transfer has its report in its own folder; name it alone, without --out")
        print_transfer(write_transfer_report(folders[0]), as_json=as_json)
        return
    _print_report(write_report(folders, out=out), as_json=as_json)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Returns the seeds of a text: 0, 1, 2 for `3`, and 7, 8, 9 for `7,8,9`. Raises `UsageError`.

    >>> parse_seeds("3"), parse_seeds("7,8")
    ((0, 1, 2), (7, 8))
    """
    from convatlas.request import seeds_of

    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"--seeds {text!r} must be a number, or numbers separated by commas") from error
    seeds = seeds_of(numbers[0] if len(numbers) == 1 and "," not in text else numbers)
    if not seeds:
        raise UsageError(f"--seeds {text!r} leaves nothing to train; give 1 or more")
    return seeds


def _print_report(report: Report, *, as_json: bool) -> None:
    """Prints the table, the comparisons of the best two, the failed and unfinished runs, and the paths of the files."""
    from convatlas.report import published, tables

    if as_json:
        options.print_json(report.content())
        return
    screen = options.console()
    screen.print(tables.terminal_table(report.rows, width=screen.width))
    for finding in report.findings:
        screen.print(finding, markup=False, highlight=False)
    for line in published.in_lines(report.published):
        screen.print(line, markup=False, highlight=False, soft_wrap=True)
    for failure in report.failed:
        screen.print(f"failed {failure['path']}: {failure['error']}", markup=False, highlight=False)
    for path in report.unfinished:
        screen.print(f"unfinished {path}", markup=False, highlight=False)
    for file in report.files:
        screen.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
