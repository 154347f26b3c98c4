"""`train`: one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convatlas.cli import options
from convatlas.cli.finders import search
from convatlas.cli.program import app, resumable
from convatlas.errors import UsageError
from convatlas.scores import BESIDE
from convatlas.screen import say
from convatlas.values import parse
from convatlas.words import percent

if TYPE_CHECKING:
    from convatlas.run import Run
    from convatlas.training import Plan


@app.command()
def train(
    architecture: Annotated[str, typer.Argument(metavar="ARCH", help="A name, or path/to/file.py:name.")],
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    skip_unreadable: options.SkipUnreadable = False,
    recipe: options.RecipeName = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    lr: options.LearningRate = None,
    fit: options.Fit = None,
    seed: Annotated[
        str, typer.Option("--seed", metavar="NUMBER", help="Seed of initial weights, order and augmentation.")
    ] = "0",
    device: options.Device = "auto",
    precision: options.Precision = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; default: below runs/.")] = None,
    resume: options.Resume = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Suggest a learning rate, with a plot; nothing is trained or changed.")
    ] = False,
    find_batch_size: Annotated[
        bool,
        typer.Option("--find-batch-size", help="Suggest a batch size, with a plot; nothing is trained or changed."),
    ] = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Train a network, keep its best epoch by validation accuracy and evaluate this epoch once on the test set.

    Example: convatlas train resnet_uva --data digits --epochs 3
    """
    from convatlas.request import Entry, Request, plan_request, run_folder

    wanted = [field for field, asked in (("lr", find_lr), ("batch_size", find_batch_size)) if asked]
    if wanted and resume:
        raise UsageError("--resume continues a run, but --find-lr and --find-batch-size start none; leave --resume out")
    request = Request(
        entries=(Entry(architecture, recipe),),
        data=data,
        data_dir=data_dir,
        seeds=(parse(seed, int, name="seed"),),
        settings=options.settings(setting, epochs=epochs, batch_size=batch_size, lr=lr, fit=fit, precision=precision),
        options=options.architecture_options(option),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    (plan,) = plan_request(request)
    folder = out or run_folder(plan)

    from convatlas.device import resolve_device  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.training import open_folder

    device = resolve_device(device)
    if wanted:
        search(plan, folder, device=device, wanted=wanted, as_json=as_json)
        return
    existing = open_folder(plan, folder, resume=resume)
    if resume and existing is None and not quiet:
        say(f"note: there is no run in {folder}; the training begins anew")
    run = trained(plan, folder, device=device, resume=resume, quiet=quiet)
    print_run(run, loaded=existing is not None and existing.finished, as_json=as_json)


def print_run(run: Run, *, loaded: bool, as_json: bool) -> None:
    """Prints the result of a run, in words or as JSON; a run that is only `loaded` says so."""
    if as_json:
        content = run.record.content()
        names = ("architecture", "seed", *(("start",) if run.record.fine_tuned else ()), "results")
        options.print_json({"run": str(run.path), **{key: content[key] for key in names}})
    else:
        _print_run(run, note=", loaded: nothing was trained" if loaded else "")


def trained(plan: Plan, folder: Path, *, device: str, resume: bool, quiet: bool) -> Run:
    """Trains the plan and returns the run; progress is shown on standard error unless `quiet`."""
    from convatlas.device import described
    from convatlas.progress import choose
    from convatlas.screen import Screen
    from convatlas.training import as_begun, train_plan

    plan = as_begun(plan, folder)
    screen = Screen(stderr=True)
    if not quiet:
        arithmetic = f"computed in {described(device, plan.recipe.precision)}"
        notes = (f"note: {note}" for note in plan.notes)
        for line in (f"recipe {plan.recipe.summary()}", arithmetic, *plan.starting, *plan.reading, *notes):
            screen.print(line, soft_wrap=True, markup=False, highlight=False)
    with resumable(folder), choose(screen, [plan.job], quiet=quiet) as progress:
        return train_plan(plan, folder=folder, resume=resume, device=device, progress=progress)


def _print_run(run: Run, *, note: str) -> None:
    """Prints the result of a run with a note, and the places of its files."""
    from convatlas.report.classes import ALIKE, imbalanced

    record, results, score = run.record, run.results, run.record.score
    seconds = results.get("train_seconds")
    took = "-" if seconds is None else f"{seconds:.1f}"
    scores = (f", {word} {percent(results.get(name))} %" for name, word in ALIKE.items())
    alike = "".join(scores) if imbalanced([results]) else ""
    beside = BESIDE.get(score.measure)
    beside = beside if beside and beside.test_column in results else None
    tested = f"{score.word} {score.shown(results.get(score.test_column))}{score.sign}"
    tested += f", {beside.word} {beside.shown(results.get(beside.test_column))}{beside.sign}" if beside else ""
    reached = f"validation {score.shown(results.get(score.column))}{score.sign} in"
    if record.recipe.get("method"):  # labelled images beside few labels: a reader wants to know how many
        use = "only watched" if record.recipe.get("select") == "last" else "which select"
        shown = f"{score.shown(results.get(score.column))}{score.sign}"
        reached = f"validation {shown} ({record.data.validation:,} labelled images, {use}) in"
    if not record.data.validation:
        reached = "no validation images, so the last"
    screen = options.console()
    screen.print(
        f"{record.architecture.name}: test {tested} "
        f"({record.data.test} images of {record.data.name}), {reached} "
        f"epoch {results.get('best_epoch')} of {len(run.metrics())}, {took} s{alike}{note}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    screen.print(f"curves {run.path / 'curves.png'}", markup=False, highlight=False, soft_wrap=True)
    screen.print(f"logs   tensorboard --logdir {run.path}", markup=False, highlight=False, soft_wrap=True)
