"""`gradients`: the gradients and activations of networks by depth, as one figure and a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from convatlas.insight.gradients import Batch, Signals

LARGEST = 100_000  # images
PLACES = ("first", "middle", "last")  # layers in the table


@app.command()
def gradients(
    networks: Annotated[
        list[str],
        typer.Argument(
            metavar="ARCH|RUN...",
            help="Architectures, also with options as 'plain20(depths=1,1,1)', or folders of runs.",
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data", help=f"Data set of the batch: {options.DATA_HELP}; default: that of the runs, else digits."
        ),
    ] = None,
    data_dir: options.DataDir = None,
    option: options.Options = None,
    norm: Annotated[
        str, typer.Option("--norm", metavar="own|none|own,none", help="Norms as they are, left out, or both in turn.")
    ] = "own",
    initialisation: Annotated[
        str,
        typer.Option(
            "--init", metavar="own,small,xavier,kaiming", help="Initial weights: the network's own or others, in turn."
        ),
    ] = "own",
    images: Annotated[int, typer.Option("--images", min=2, max=LARGEST, help="Images in the batch.")] = 128,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the initial weights and of the batch.")] = 0,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="The figure.")] = Path("runs/gradients.png"),
    as_json: options.AsJson = False,
) -> None:
    """Draw the norms of gradients and the spread of activations by depth: do they vanish or explode?

    A run is measured with its first weights and with its trained ones, an architecture with new weights.

    Example: convatlas gradients plain20 resnet20 --norm own,none
    """
    from convatlas.data_names import check_reference
    from convatlas.insight.gradient_choices import choices
    from convatlas.values import check_seed

    if data is not None:
        check_reference(data)
    wanted = choices(
        networks,
        norms=_words(norm),
        initialisations=_words(initialisation),
        options=options.architecture_options(option),
    )
    if out.suffix.lower() != ".png" or out.is_dir():
        raise UsageError(f"--out {out} must be the name of a .png file")
    check_seed(seed)

    from convatlas.files import check_writable
    from convatlas.insight.gradient_figure import draw_gradients
    from convatlas.insight.gradients import batch_for, measured

    check_writable(out.parent)
    batch = batch_for(wanted, data=data, folder=data_dir, images=images, seed=seed)
    found = [signals for each in wanted for signals in measured(each, batch)]
    draw_gradients(found, out, data=batch.data.spec.name, images=len(batch.places))
    content = {**_content(batch, found), "figure": str(out)}
    if as_json:
        options.print_json(content)
    else:
        options.console().print(_table(content["networks"]))
        lines = [f"note: {note}" for note in content["notes"]]
        lines += [
            "first / last: the gradient norm of the first layer, as a multiple of that of the last, which is often the "
            "classifier: compare networks by it, and not layers of other sizes",
            f"wrote {out}",
        ]
        for line in lines:
            options.console().print(line, highlight=False, soft_wrap=True, markup=False)


def _words(text: str) -> list[str]:
    """Returns the words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def _content(batch: Batch, found: list[Signals]) -> dict[str, Any]:
    """Returns all values as plain data."""
    from dataclasses import asdict

    from convatlas.words import finite

    networks = [
        {
            "name": each.name,
            "loss": each.loss,
            "first_to_last": each.first_to_last,
            "layers": list(asdict(each)["layers"]),
        }
        for each in found
    ]
    facts = {"data": batch.data.spec.name, "images": len(batch.places), "seed": batch.seed}
    return dict(finite({**facts, "notes": list(batch.data.notes), "networks": networks}))


def _table(networks: list[dict[str, Any]]) -> Table:
    """Returns the table of the networks: the first, the middle and the last layer of each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("network", overflow="fold")
    for heading in ("layers", "loss", *(f"gradient {place}" for place in PLACES), "first / last"):
        table.add_column(heading, justify="right", no_wrap=True)
    for place in PLACES:
        table.add_column(f"spread {place}", justify="right", no_wrap=True)
    for network in networks:
        layers = network["layers"]
        chosen = [layers[0], layers[len(layers) // 2], layers[-1]]
        cells = [f"{len(layers)}", f"{network['loss']:.3g}", *(_number(layer["gradient_norm"]) for layer in chosen)]
        cells += [_number(network["first_to_last"]), *(_number(layer["activation_std"]) for layer in chosen)]
        table.add_row(Text(network["name"]), *cells)
    return table


def _number(value: float | None) -> str:
    """Returns a number in short, "-" for one that is not finite."""
    return "-" if value is None else f"{value:.2g}"
