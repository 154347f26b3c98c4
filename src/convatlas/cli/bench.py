"""`bench`: the speed of networks on this machine, beside the machine's own peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli.options import AsJson, Device, Options, architecture_options, check_computing, console, print_json
from convatlas.cli.program import app
from convatlas.screen import say
from convatlas.stopping import exit_code
from convatlas.values import parse

if TYPE_CHECKING:
    from rich.console import RenderableType

    from convatlas.measure.speed import Speed
    from convatlas.measure.workload import Workload
    from convatlas.recipe import Precision

    Measured = Sequence[tuple[Workload, Sequence[Speed]]]
    Peaks = Mapping[tuple[Precision, str], Speed]


@app.command()
def bench(
    architectures: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Names, or path/to/file.py:name.")],
    batch_size: Annotated[
        str | None,
        typer.Option("--batch-size", metavar="NUMBER", help="Images at a time; default: by image size and memory."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Pixels; default: as published.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[
        str | None,
        typer.Option("--precision", metavar="float32|bf16", help="Arithmetic; default: each that the device has."),
    ] = None,
    option: Options = None,
    as_json: AsJson = False,
) -> None:
    """Measure how fast networks answer and train on this machine: images a second, GFLOP/s and share of the peak.

    The peak is the speed of the fastest matrix product or convolution in the same arithmetic. FLOPs are twice the MACs.

    Example: convatlas bench resnet_uva densenet_uva
    """
    from convatlas.architectures import architecture, check_classifier, check_name
    from convatlas.recipe import Precision

    check_computing(device, precision)
    count = None if batch_size is None else parse(batch_size, int, name="batch_size")
    for name in architectures:
        check_name(name, options=architecture_options(option))
        check_classifier(name)

    from convatlas.device import resolve_device  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.measure.speed import choose_precisions
    from convatlas.measure.workload import make_workload

    place = resolve_device(device)
    wanted = None if precision is None else parse(precision, Precision, name="precision")
    precisions, notes = choose_precisions(wanted, device=place)
    rows = [architecture(name) for name in architectures]
    chosen = [row.parse_options(architecture_options(option)) for row in rows]
    workloads = [
        make_workload(row, options=options, device=place, image_size=image_size, batch_size=count)
        for row, options in zip(rows, chosen, strict=True)
    ]
    notes = (*_busy(), *notes, *(note for workload in workloads for note in workload.notes))
    measured = _measured(workloads, precisions)
    if as_json:
        print_json(_plain(measured, notes))
        return
    screen = console()
    screen.print(_costs(workloads), "", _speeds(measured), "", sep="\n")
    for line in _beside(measured, notes):
        screen.print(line, style="dim", markup=False, highlight=False)


def _measured(workloads: Sequence[Workload], precisions: Sequence[Precision]) -> Measured:
    """Measures each network in turn and names it on standard error."""
    from convatlas.measure.speed import measure

    measured = []
    try:
        for workload in workloads:
            say(f"measuring {workload.label} with {workload.batch_size} images at a time ...")
            measured.append((workload, measure(workload, precisions=precisions)))
    except KeyboardInterrupt as stop:
        say("stopped; nothing was written")
        raise typer.Exit(exit_code(stop)) from None
    return measured


def _busy() -> tuple[str, ...]:
    """Returns a note if the machine was busy before this measurement, with other work or an earlier bench."""
    import os

    from convatlas.run import hardware

    cores = hardware()["cores"]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = f"the machine was busy in the minute before (load {load:.1f} on {cores} cores): "
    return (f"{busy}if other work still runs, the true speeds are higher",) if load > cores / 2 else ()


def _costs(workloads: Sequence[Workload]) -> RenderableType:
    """Returns the table of the computations for one image."""
    from rich.table import Table
    from rich.text import Text

    from convatlas.words import quantity

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("an image", overflow="fold")
    for heading in ("pixels", "batch", "MACs", "FLOPs to answer", "FLOPs to train"):
        table.add_column(heading, justify="right", no_wrap=True)
    for workload in workloads:
        macs = workload.cost.macs
        counts = [quantity(count) for count in (macs, 2 * macs, workload.training.flops)]
        name = Text(workload.label, style="bold cyan")
        table.add_row(name, str(workload.cost.shape[1]), str(workload.batch_size), *counts)
    return table


def _speeds(measured: Measured) -> RenderableType:
    """Returns the table of speeds: a section for each network, and one for the machine."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("a second")
    for heading in ("n", "images", "range", "GFLOP/s", "of peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    best = _peaks(measured)
    for workload, speeds in measured:
        table.add_row(Text(workload.label, style="bold cyan"))
        for speed in speeds:
            if speed.images:
                each = [speed.images / taken for taken in speed.seconds]
                counts = [str(len(each)), _rate(speed.images_per_second), f"{_rate(min(each))} to {_rate(max(each))}"]
                share = f"{100 * speed.gflops / _peak(best, speed.precision):.0f} %"
                table.add_row(f"  {speed.work}, {speed.precision}", *counts, f"{speed.gflops:.1f}", share)
    table.add_row(Text("this machine's peak", style="bold cyan"))
    for (precision, kind), speed in best.items():
        share = f"{100 * speed.best / _peak(best, precision):.0f} %"
        table.add_row(f"  {kind}, {precision}", "", "", "", f"{speed.best:.1f}", share)
    return table


def _rate(value: float) -> str:
    """Returns a number with three digits, or with all digits before the point; at most two decimals.

    >>> _rate(1234.5), _rate(82.44), _rate(0.8)
    ('1,234', '82.4', '0.80')
    """
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _peaks(measured: Measured) -> Peaks:
    from convatlas.measure.speed import peaks

    return peaks(speed for _, speeds in measured for speed in speeds)


def _peak(best: Peaks, precision: Precision) -> float:
    """Returns the machine's highest GFLOP/s in this arithmetic, the measure for the networks."""
    return max(speed.best for (computed, _), speed in best.items() if computed == precision)


def _beside(measured: Measured, notes: Sequence[str]) -> list[str]:
    """Returns the lines below the tables: machine, arithmetic, the meaning of the columns, notes."""
    from convatlas.device import BATCH_SIZE, described
    from convatlas.run import hardware

    workload, speeds = measured[0]
    machine, best = hardware(), _peaks(measured)
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] > 1)}"
    place = f"{machine['cpu']}, {threads}" if workload.device == "cpu" else machine["gpu"]
    precisions = list(dict.fromkeys(speed.precision for speed in speeds))
    product = next(iter(best.values())).work
    return [
        f"measured on {place}",
        *(f"computed in {described(workload.device, precision)}" for precision in precisions),
        "FLOPs to answer: twice the MACs; FLOPs to train: forward and backward pass, counted",
        "n: the number of rounds, in which the measurements take turns, after a first round that does not count; "
        "images and GFLOP/s are medians over the rounds",
        f"evaluation: images in memory, at most {BATCH_SIZE} at a time; training: gradients and a step of "
        f"{workload.recipe.optimizer.kind} on a batch in memory, without augmentation",
        f"peak: the fastest round of a {product} and of three 3x3 convolutions",
        *(f"note: {note}" for note in notes),
    ]


def _plain(measured: Measured, notes: Sequence[str]) -> dict[str, Any]:
    """Returns all measurements as plain data, with their circumstances."""
    from convatlas.run import circumstances

    best = _peaks(measured)
    peak: dict[str, Any] = {}
    for (precision, kind), speed in best.items():
        found = {"work": speed.work, "gflops_per_second": speed.best, "n": len(speed.seconds)}
        peak.setdefault(precision, {})[kind.replace(" ", "_")] = found
    return {
        "device": measured[0][0].device,
        "notes": list(notes),
        "peak": peak,
        "networks": [_network(workload, speeds, best) for workload, speeds in measured],
        **circumstances(),
    }


def _network(workload: Workload, speeds: Sequence[Speed], best: Peaks) -> dict[str, Any]:
    """Returns one network's counts and speeds as plain data; shares of the peak are fractions."""
    return {
        "architecture": workload.architecture.name,
        "options": dict(workload.options),
        "shape": workload.cost.shape,
        "batch_size": workload.batch_size,
        "optimizer": workload.recipe.optimizer.kind,
        "params": workload.cost.params,
        "macs": workload.cost.macs,
        "flops": 2 * workload.cost.macs,
        "flops_training": workload.training.flops,
        "speeds": [
            {
                "work": speed.work,
                "precision": speed.precision,
                "n": len(speed.seconds),
                "images_per_second": speed.images_per_second,
                "gflops_per_second": speed.gflops,
                "share_of_peak": speed.gflops / _peak(best, speed.precision),
                "seconds": speed.seconds,
            }
            for speed in speeds
            if speed.images
        ],
    }
