"""`landscape`: the loss surfaces of runs around their weights, as values, pictures and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.errors import UsageError
from convatlas.values import parse


@app.command()
def landscape(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Folders of finished runs on the same images.")],
    directions: Annotated[
        str,
        typer.Option(
            "--directions",
            metavar="random|pca",
            help="Random ones, normalised by filter; or those of the training's path, for runs with snapshots.",
        ),
    ] = "random",
    dimensions: Annotated[int, typer.Option("--dimensions", metavar="1|2", help="A curve or a surface.")] = 2,
    grid: Annotated[int, typer.Option("--grid", help="Points along each direction, an odd number.")] = 25,
    reach: Annotated[
        float | None,
        typer.Option(
            "--range", metavar="NUMBER", help="Reach; at 1 each filter has moved by its own norm. Default: 1."
        ),
    ] = None,
    images: Annotated[int, typer.Option("--images", help="Training images, chosen by a fixed seed.")] = 2000,
    seeds: Annotated[int, typer.Option("--seeds", metavar="NUMBER", help="Draws of the random directions.")] = 1,
    bn: Annotated[
        str,
        typer.Option(
            "--bn", metavar="fixed|recompute", help="Batch norms keep the statistics of the centre, or measure anew."
        ),
    ] = "fixed",
    ignore: Annotated[
        str,
        typer.Option("--ignore", metavar="biasbn|none", help="Biases and norms stay as they are, or move too."),
    ] = "biasbn",
    data_dir: options.DataDir = None,
    skip_unreadable: options.SkipUnreadable = False,
    device: options.Device = "auto",
    processes: Annotated[
        int | None,
        typer.Option("--processes", metavar="NUMBER", help="Each of one thread; default: one a core, at most 8."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to a work of more than an hour.")] = False,
    resume: options.Resume = False,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of values, pictures and page.")] = Path(
        "runs/landscape"
    ),
    as_json: options.AsJson = False,
) -> None:
    """Draw the loss around the weights of trained networks, after Li et al. 2018. Writes values, a picture, a page.

    The time is estimated before the work; after a stop it goes on with --resume.

    Example: convatlas landscape runs/digits/resnet_uva@quick/seed0 --grid 11 --images 500

    Example: convatlas landscape runs/a runs/b --directions pca --processes 2 --out runs/paths
    """
    options.check_computing(device, None)
    for run in runs:
        if not Path(run).exists():
            raise UsageError(f"no run at {run}; name the folder of a finished run")

    from convatlas.insight.landscape import Ignored, Kind, Place, Statistics, Wanted
    from convatlas.insight.landscape import landscape as drawn

    wanted = Wanted(
        directions=parse(directions, Kind, name="--directions"),
        dimensions=dimensions,
        grid=grid,
        reach=reach,
        images=images,
        seeds=seeds,
        statistics=parse(bn, Statistics, name="--bn"),
        ignore=parse(ignore, Ignored, name="--ignore"),
    )
    place = Place(
        out,
        data_dir=data_dir,
        skip_unreadable=skip_unreadable,
        device=device,
        processes=processes,
        resume=resume,
        yes=yes,
    )
    content = drawn(runs, wanted, place).content
    if as_json:
        options.print_json(content)
    else:
        _print(content, out)


def _print(content: dict[str, Any], out: Path) -> None:
    """Prints the loss of each surface at the centre and over the grid, and the files."""
    for surface in content["surfaces"]:
        centre, lowest = surface["centre"], surface["lowest"]
        seed = f", directions of seed {surface['seed']}" if content["seeds"] > 1 else ""
        _say(
            f"{surface['name']}{seed}: training loss {centre['loss']:.4g}, error {100 * centre['error']:.2f} % at the "
            f"centre; on the grid {lowest['loss']:.4g} to {surface['highest']:.4g}"
        )
        if surface["explained"]:
            parts = " and ".join(f"{100 * part:.1f} %" for part in surface["explained"])
            _say(f"  the principal directions have {parts} of the variance of {len(surface['epochs'])} snapshots")
    for name in (*content["pictures"], "landscape.html", "landscape.json", "landscape.npz"):
        _say(f"wrote {out / name}")


def _say(line: str) -> None:
    options.console().print(line, highlight=False, soft_wrap=True, markup=False)
