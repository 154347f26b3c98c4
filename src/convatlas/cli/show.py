"""`show`: a network layer by layer, and the costs of single layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli.listing import described
from convatlas.cli.options import AsJson, Options, architecture_options, console, print_json
from convatlas.cli.program import app

if TYPE_CHECKING:
    from convatlas.architecture import Architecture
    from convatlas.complexity import Complexity

BATCH_SIZE = 128  # of a network whose recipe is not known
LARGEST = 100_000  # pixels a side, and images


@dataclasses.dataclass(frozen=True)
class Shown:
    """An architecture with its options and its counts; `memory` is in bytes, or says why it is not known."""

    row: Architecture
    options: dict[str, Any]
    counted: Complexity
    batch_size: int
    memory: int | str


@app.command()
def show(
    architectures: Annotated[
        list[str] | None, typer.Argument(metavar="[ARCH...]", help="Names, or path/to/file.py:name.")
    ] = None,
    option: Options = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, max=LARGEST, help="Pixels; default: as published.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, help="Levels of modules to unfold; default: as many as read easily.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", min=1, max=LARGEST, help="Batch size of the training step whose memory is estimated."
        ),
    ] = None,
    module: Annotated[
        list[str] | None, typer.Option("--module", help="A layer of torch.nn to count; repeat for the next layer.")
    ] = None,
    input_shape: Annotated[
        str | None,
        typer.Option("--input", metavar="CxHxW", help="Input shape of the first --module, such as 480x14x14."),
    ] = None,
    diagram: Annotated[
        Path | None, typer.Option("--diagram", metavar="FILE.svg", help="Draw the network instead, blocks as boxes.")
    ] = None,
    block: Annotated[
        str | None, typer.Option("--block", metavar="MODULE", help="Draw the inside of this block: stage2.0.")
    ] = None,
    receptive_field: Annotated[
        Path | None,
        typer.Option(
            "--receptive-field", metavar="FILE.png", help="Draw instead the part of an image that each stage sees."
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option("--image", metavar="PHOTO", help="Photograph for --receptive-field; default: a sample."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show networks layer by layer: shapes, parameters, multiply-adds, activations, receptive fields. Two side by side.

    Example: convatlas show vgg16; convatlas show resnet50 --diagram resnet50.svg;
    convatlas show --module "Conv2d(480, 48, 5, padding=2)" --input 480x14x14
    """
    from convatlas.architectures import check_name
    from convatlas.cli.drawings import Wanted, draw, refuse
    from convatlas.errors import UsageError

    wanted = Wanted(diagram, block, receptive_field, image)
    wanted.check(architectures or [])
    table_only = {"--depth": depth, "--batch-size": batch_size, "--json": as_json or None}
    if wanted:
        refuse(table_only, beside="--diagram and --receptive-field")
    if module:
        refuse({"--image-size": image_size, "-o": option, **table_only, "--json": None}, beside="--module")
    if bool(architectures) == bool(module):
        raise UsageError("show needs names of architectures (see convatlas list), or --module with --input")
    if module:
        _calculate(module, input_shape, as_json=as_json)
        return
    if input_shape is not None:
        raise UsageError("--input belongs to --module; the image of an architecture has --image-size")
    for name in architectures or []:
        check_name(name, options=architecture_options(option))
    if wanted:
        draw((architectures or [""])[0], option, wanted, image_size=image_size)
        return
    from convatlas.cli import outline  # not sooner: it imports PyTorch, which takes seconds

    shown = [_shown(name, option, image_size=image_size, batch_size=batch_size) for name in architectures or []]
    if as_json:
        objects = [_plain(each, depth) for each in shown]
        print_json(objects[0] if len(objects) == 1 else objects)
    elif len(shown) == 2:
        console().print(*outline.side_by_side(shown[0], shown[1], depth=depth), sep="\n")
    else:
        for each in shown:
            console().print(*outline.page(each, depth=depth), sep="\n")


def _shown(name: str, option: list[str] | None, *, image_size: int | None, batch_size: int | None) -> Shown:
    from convatlas.architectures import architecture
    from convatlas.complexity import meta_network, network_complexity
    from convatlas.recipe import Recipe, recipe_or_rule

    row = architecture(name)
    options = row.parse_options(architecture_options(option))
    network = meta_network(row, **options)
    channels, size = options.get("in_channels", row.in_channels), image_size or row.image_size
    counted = network_complexity(row, network, in_channels=channels, image_size=size)
    own = recipe_or_rule(row.recipe) if row.recipe else None
    images = batch_size or (own.batch_size if isinstance(own, Recipe) else BATCH_SIZE)
    memory = _memory(row, network, shape=counted.shape, batch_size=images)
    return Shown(row, options, counted, images, memory)


def _memory(row: Architecture, network: Any, *, shape: tuple[int, ...], batch_size: int) -> int | str:
    from convatlas.complexity.step import step_cost
    from convatlas.errors import UsageError

    try:
        cost = step_cost(network, in_channels=shape[0], image_size=shape[1], batch_size=batch_size, name=row.name)
    except UsageError as error:
        return str(error)
    return cost.memory


def _plain(shown: Shown, depth: int | None) -> dict[str, Any]:
    """Returns the description of an architecture and its counts as plain data."""
    counted = shown.counted
    return {
        **described(shown.row),
        "options": shown.options,
        **_counts(counted),
        "training_step": {
            "batch_size": shown.batch_size,
            "bytes": shown.memory if isinstance(shown.memory, int) else None,
            "refused": shown.memory if isinstance(shown.memory, str) else None,
        },
        "stages": [_layer(stage) for stage in counted.stages],
        "layers": [_layer(part) for part in counted.network.rows(depth)],
    }


def _counts(counted: Complexity) -> dict[str, Any]:
    from convatlas.complexity import BYTES

    return {
        "shape": counted.shape,
        "params": counted.params,
        "weights": counted.weights,
        "macs": counted.macs,
        "flops": 2 * counted.macs,
        "macs_not_counted": sorted(set(counted.network.not_counted)),
        "activations": counted.activations,
        "activation_bytes": BYTES * counted.activations,
        "input_activations": counted.activations - counted.network.activations,
        "fields_leave_out_means": counted.gathers,
    }


def _layer(part: Any) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(part) if field.name != "parts"]
    return {name: getattr(part, name) for name in names}


def _calculate(layers: list[str], shape: str | None, *, as_json: bool) -> None:
    """Prints the counts of the layers of `--module`, for each layer and in total."""
    from convatlas.cli import outline
    from convatlas.complexity.calculator import calculate
    from convatlas.errors import UsageError

    if shape is None:
        raise UsageError("--module needs --input, the shape of its input, such as 480x14x14")
    counted = calculate(layers, shape)
    if as_json:
        print_json({**_counts(counted), "layers": [_layer(part) for part in counted.network.rows(1)]})
    else:
        console().print(*outline.calculation(counted), sep="\n")
