"""`semi`: one run with few labels and many unlabelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.cli.runs import print_run, trained
from convatlas.errors import UsageError
from convatlas.values import parse

METHODS = "supervised, pseudo_label, mean_teacher, fixmatch, uda, meta_pseudo_labels or noisy_student"


@app.command()
def semi(
    architecture: Annotated[str, typer.Argument(metavar="ARCH", help="A name, or path/to/file.py:name.")],
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help=f"The method, with its recipe: {METHODS}.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="NUMBER|PART",
            help="How many training images keep their labels, of each class equally many, such as 250; or the part of "
            "each class, such as 0.1; default: all.",
        ),
    ] = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    skip_unreadable: options.SkipUnreadable = False,
    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe with a method, by name or from a YAML file, instead of --method."),
    ] = None,
    unlabelled: Annotated[
        str | None,
        typer.Option(
            "--unlabelled",
            metavar="DATA",
            help="Unlabelled images of another source, such as folder:PATH of any depth; default: the training images.",
        ),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option("--teacher", metavar="RUN", help="For noisy_student: the finished run whose labels are learned."),
    ] = None,
    rounds: Annotated[
        str | None,
        typer.Option(
            "--rounds", metavar="NUMBER", help="For noisy_student: the students after the first teacher; default: 1."
        ),
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(
            "--steps", metavar="NUMBER", help="Optimizer steps in all; default: the recipe's, 2^20 for FixMatch."
        ),
    ] = None,
    epochs: Annotated[
        str | None,
        typer.Option("--epochs", metavar="NUMBER", help="The length in epochs, each of epoch_steps steps."),
    ] = None,
    batch_size: Annotated[
        str | None, typer.Option("--batch-size", metavar="NUMBER", help="Labelled images in an optimizer step.")
    ] = None,
    lr: options.LearningRate = None,
    seed: Annotated[
        str, typer.Option("--seed", metavar="NUMBER", help="Seed of the labelled images, the weights and the order.")
    ] = "0",
    device: options.Device = "auto",
    precision: options.Precision = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; default: below runs/.")] = None,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Train with few labels and many unlabelled images.

    Methods with unlabelled images use all training images without their labels, the labelled ones too. The validation
    images have labels, so they select nothing: the last epoch is tested once. docs/semi_supervised.md has the methods.

    Example: convatlas semi resnet_uva --method fixmatch --data digits --labels 40

    Example: convatlas semi wide_resnet28_2_fixmatch --method fixmatch --data cifar10 --labels 250 --steps 20000
    """
    from convatlas.recipe import recipe_with_method
    from convatlas.request import Entry, Request, plan_request, run_folder

    fields = {"batch_size": batch_size, "lr": lr, "precision": precision, "labels": labels}
    request = Request(
        entries=(Entry(architecture, recipe_with_method(method, recipe, data=data)),),
        data=data,
        data_dir=data_dir,
        seeds=(parse(seed, int, name="seed"),),
        settings=options.settings(setting, **fields, **length(steps=steps, epochs=epochs)),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    (plan,) = plan_request(request)

    from convatlas.device import resolve_device  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.training import Sources, open_folder, training_rounds

    count = None if rounds is None else parse(rounds, int, name="rounds")
    sources, device = Sources(unlabelled, data_dir, teacher, count), resolve_device(device)
    for each, folder in training_rounds(plan, out or run_folder(plan), sources=sources, device=device):
        existing = open_folder(each, folder, resume=resume)
        run = trained(each, folder, device=device, resume=resume, quiet=quiet)
        print_run(run, loaded=existing is not None and existing.finished, as_json=as_json)


def length(*, steps: str | None, epochs: str | None) -> dict[str, str | None]:
    """Returns the fields of a recipe's length, in steps or in epochs. Raises `UsageError` for both.

    >>> length(steps=None, epochs="3")
    {'epochs': '3', 'steps': 'none'}
    """
    if epochs is None:
        return {"steps": steps}
    if steps is not None:
        raise UsageError(f"--steps {steps} and --epochs {epochs} both say the length; leave one of them out")
    return {"epochs": epochs, "steps": "none"}
