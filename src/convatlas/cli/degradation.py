"""`degradation`: the errors of shallow and deep networks side by side, with and without shortcuts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.program import FAILED, app, resumable
from convatlas.cli.studies import parse_seeds
from convatlas.errors import UsageError
from convatlas.screen import say

if TYPE_CHECKING:
    from rich.table import Table

    from convatlas.request import Request


@app.command()
def degradation(
    networks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCH...|RUN|DIR...]",
            help="Networks to train, at least two depths of a kind, or folders of runs and studies, which are only "
            "drawn; default: plain20 plain56 resnet20 resnet56.",
        ),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help=f"Data set: {options.DATA_HELP}; default: digits.")] = None,
    data_dir: options.DataDir = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Number of seeds, or a list such as 7,8,9; default: 1.")
    ] = None,
    recipe: options.RecipeName = None,
    epochs: options.Epochs = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to compute; default: auto.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder; default: runs/degradation-DATA, or the one that is drawn."),
    ] = None,
    resume: options.Resume = False,
    quiet: options.Quiet = False,
    option: options.Options = None,
    setting: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw the errors of shallow and deep networks, plain beside residual, as He et al. 2015 do; train them first.

    Example: convatlas degradation --data cifar10 --epochs 12 --out runs/depth

    Example: convatlas degradation runs/depth
    """
    from convatlas.request import Entry, Request, seeds_of, study_folder

    training = {
        **{"--data": data, "--data-dir": data_dir, "--seeds": seeds, "--recipe": recipe, "--epochs": epochs},
        **{"--device": device, "-o": option, "--set": setting, "--resume": resume or None},
    }
    if networks and any(Path(name).is_dir() or ("/" in name and ".py:" not in name) for name in networks):
        _draw([Path(name) for name in networks], training, out=out, as_json=as_json)
        return
    from convatlas.insight.degradation import NETWORKS

    request = Request(
        entries=tuple(Entry.parse(name, recipe=recipe) for name in networks or NETWORKS),
        data=data or "digits",
        data_dir=data_dir,
        seeds=seeds_of(1) if seeds is None else parse_seeds(seeds),
        settings=options.settings(setting, epochs=epochs),
        options=options.architecture_options(option),
        device=device or "auto",
    )
    folder = out or study_folder(request.data, protocol="degradation")
    failed = _train(request, folder, resume=resume, quiet=quiet)
    try:
        _draw([folder], {}, out=folder, as_json=as_json)
    except UsageError as error:
        if not failed:
            raise
        say(f"nothing is drawn: {error}")  # the words were right; too few trainings were
    if failed:
        raise typer.Exit(FAILED)


def _train(request: Request, folder: Path, *, resume: bool, quiet: bool) -> bool:
    """Trains the networks as a study and returns whether a run failed. Their kinds are checked before."""
    from convatlas.insight.degradation import check_networks
    from convatlas.request import check_words

    check_words(request)
    check_networks((entry.architecture, entry.recipe) for entry in request.entries)
    from convatlas.study import compare  # not sooner: it imports PyTorch, which takes seconds

    with resumable(folder):
        report = compare(request, out=folder, resume=resume, quiet=quiet)
    for failure in report.failed:
        say(f"failed {failure['path']}: {failure['error']}")
    return bool(report.failed)


def _draw(folders: list[Path], training: dict[str, Any], *, out: Path | None, as_json: bool) -> None:
    """Draws the runs of folders and prints their table. Raises `UsageError` for words that belong to a training."""
    given = [flag for flag, value in training.items() if value is not None]
    if given:
        raise UsageError(f"folders of runs are only drawn, nothing is trained; leave {', '.join(given)} out")
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"{folder} is no folder of runs; give folders, which are drawn, or names, which are trained"
            )
    from convatlas.insight.degradation import write_degradation

    content = write_degradation(folders, out)
    if as_json:
        options.print_json(content)
        return
    screen = options.console()
    screen.print(_table(content["networks"]))
    short = "" if content["short"] is None else f", {content['short']}: short runs"
    lines = [f"recipe {content['recipe']} on {content['data']}{short}", *map(_in_line, content["effects"])]
    lines += [f"note: {note}" for note in content["protocol"]["notes"]]
    lines += [content["verdict"], *(f"left out: {each}" for each in content["left_out"])]
    lines += [f"wrote {content['figure']}"]
    for line in lines:
        screen.print(line, highlight=False, soft_wrap=True, markup=False)


def _table(networks: list[dict[str, Any]]) -> Table:
    """Returns the table of the networks: layers, seeds, and the errors at the end of training."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("network", overflow="fold")
    for heading in ("layers", "n", "training error %", "validation error %", "test error %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for network in networks:
        errors = [_error(network[measure]) for measure in ("training", "validation", "test")]
        cells = [network["name"], str(network["layers"]), str(len(network["seeds"])), *errors]
        table.add_row(*map(Text, cells))
    return table


def _error(found: dict[str, Any]) -> str:
    """Returns a mean error in percent, with its deviation over the seeds where there is one."""
    if found["mean"] is None:
        return "-"
    return f"{100 * found['mean']:.2f}" + ("" if found["std"] is None else f" ± {100 * found['std']:.2f}")


def _in_line(effect: dict[str, Any]) -> str:
    """Returns a line: the errors of the deepest network of a kind minus those of its shallowest."""
    parts = []
    for measure in ("training", "validation", "test"):
        found = effect[measure]
        points = "unknown" if found["mean"] is None else f"{100 * found['mean']:+.2f}"
        ends = found["ci95"]
        parts.append(
            f"{measure} {points}" + ("" if ends is None else f" ({100 * ends[0]:+.2f} to {100 * ends[1]:+.2f})")
        )
    interval = "" if effect["training"]["ci95"] else f"; {effect['seeds']}: no interval"
    return f"{effect['deep']} minus {effect['shallow']}: {', '.join(parts)} points{interval}"
