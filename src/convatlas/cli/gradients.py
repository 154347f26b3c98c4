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
INITIALISATIONS = ("own", "small", "xavier", "kaiming")
PLACES = ("first", "middle", "last")  # layers in the table


@app.command()
def gradients(
    networks: Annotated[list[str], typer.Argument(metavar="ARCH|RUN...", help="Architectures, or folders of runs.")],
    data: Annotated[str, typer.Option("--data", help=f"Data set of the batch: {options.DATA_HELP}.")] = "digits",
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
    from convatlas.values import check_seed

    check_reference(data)
    wanted = _wanted(networks, option, norm=norm, initialisation=initialisation)
    if out.suffix.lower() != ".png" or out.is_dir():
        raise UsageError(f"--out {out} must be the name of a .png file")
    check_seed(seed)

    from convatlas.data import load_data
    from convatlas.files import check_writable
    from convatlas.insight.gradient_figure import draw_gradients
    from convatlas.insight.gradients import Batch

    check_writable(out.parent)
    batch = Batch.draw(load_data(data, folder=data_dir), images=images, seed=seed)
    found = [signals for each in wanted for signals in _measured(each, batch)]
    draw_gradients(found, out, data=batch.data.spec.name, images=len(batch.places))
    content = {**_content(batch, found), "figure": str(out)}
    if as_json:
        options.print_json(content)
    else:
        options.console().print(_table(content["networks"]))
        line = f"first / last: the gradient norm of the first layer, as a multiple of that of the last; wrote {out}"
        options.console().print(line, highlight=False, soft_wrap=True, markup=False)


def _wanted(
    networks: list[str], option: list[str] | None, *, norm: str, initialisation: str
) -> list[tuple[str, dict[str, Any]]]:
    """Returns each network with what is changed about it, each combination once. Names are checked without PyTorch."""
    from convatlas.architectures import check_name, nothing_at

    norms, weights = _choices(norm, ("own", "none"), "--norm"), _choices(initialisation, INITIALISATIONS, "--init")
    chosen = options.architecture_options(option)
    wanted: list[tuple[str, dict[str, Any]]] = []
    for name in dict.fromkeys(networks):
        if Path(name).is_dir():
            if chosen or norms != ["own"] or weights != ["own"]:
                raise UsageError(f"{name} is a run, which is measured as it was trained; leave -o, --norm, --init out")
            wanted.append((name, {}))
            continue
        if "/" in name and ".py:" not in name:
            raise nothing_at(name)
        check_name(name, options=chosen)
        wanted += [(name, {"norm": each, "initialisation": by, "options": chosen}) for each in norms for by in weights]
    return wanted


def _choices(text: str, permitted: tuple[str, ...], flag: str) -> list[str]:
    """Returns the words of a list with commas. Raises `UsageError` for one that is not permitted."""
    from convatlas.errors import unknown

    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in permitted:
            raise unknown(flag, word, permitted)
    if not words:
        raise UsageError(f"{flag} needs a value: {', '.join(permitted)}")
    return list(dict.fromkeys(words))


def _measured(wanted: tuple[str, dict[str, Any]], batch: Batch) -> tuple[Signals, ...]:
    """Returns the signals of an architecture, or those of a run before and after its training."""
    from convatlas.architectures import architecture
    from convatlas.insight.gradients import initial_signals, trained_signals
    from convatlas.prediction import choose_data, open_predictor

    name, changes = wanted
    if not changes:
        predictor = open_predictor(name)
        choose_data(predictor, name=batch.data.spec.name)
        return trained_signals(predictor, batch)
    row = architecture(name)
    return (initial_signals(row, batch, **{**changes, "options": row.parse_options(changes["options"])}),)


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
    content = {"data": batch.data.spec.name, "images": len(batch.places), "seed": batch.seed, "networks": networks}
    return dict(finite(content))


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
        ratio = network["first_to_last"]
        cells = [f"{len(layers)}", f"{network['loss']:.3g}", *(f"{layer['gradient_norm']:.2g}" for layer in chosen)]
        cells += ["-" if ratio is None else f"{ratio:.2g}", *(f"{layer['activation_std']:.2g}" for layer in chosen)]
        table.add_row(Text(network["name"]), *cells)
    return table
