"""`list` and `show`: which architectures there are, and what one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import app
from convatlas.cli.options import AsJson, Options, architecture_options, console, print_json

if TYPE_CHECKING:
    from rich.console import RenderableType

    from convatlas.architecture import Architecture
    from convatlas.complexity import Complexity


WIDE = 110  # columns of a terminal in which all digits of the counts have room


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern with * and ?.")] = "*",
    recipes: Annotated[bool, typer.Option("--recipes", help="The recipes instead, for --recipe.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the architectures by family and year, or the recipes.

    Example: convatlas list 'resnet*'
    """
    if recipes:
        _list_recipes(pattern, as_json=as_json)
        return
    from convatlas.architectures import architecture, by_family, list_architectures
    from convatlas.errors import unknown

    names = list_architectures(pattern)
    if not names:
        raise unknown("architecture", pattern, list_architectures())
    if as_json:
        print_json([_described(architecture(name)) for name in names])
    else:
        screen = console()
        screen.print(_table(by_family(names), narrow=screen.width < WIDE))


def _list_recipes(pattern: str, *, as_json: bool) -> None:
    """The recipes of these names: what each does, what it gave, where it comes from."""
    import dataclasses

    from convatlas.architectures import matches
    from convatlas.errors import unknown
    from convatlas.recipes import list_recipes, recipe

    names = [name for name in list_recipes() if matches(name, pattern)]
    if not names:
        raise unknown("recipe", pattern, list_recipes())
    rows = [recipe(name) for name in names]
    if as_json:
        print_json([dataclasses.asdict(row) for row in rows])
        return
    for row in rows:
        for line in (row.summary(), f"  expected: {row.expected}", f"  source: {row.source}"):
            console().print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def show(
    architectures: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Names, or path/to/file.py:name.")],
    option: Options = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=1, help="Pixels; default: as published.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show an architecture: source, parameters, multiply-adds and stages.

    Example: convatlas show densenet_uva -o growth_rate=12
    """
    from convatlas.architectures import architecture
    from convatlas.complexity import complexity

    shown = []
    for name in architectures:
        row = architecture(name)
        options = row.parse_options(architecture_options(option))
        shown.append((row, options, complexity(row, image_size=image_size, **options)))
    if as_json:
        objects = [_counted(row, options, counted) for row, options, counted in shown]
        print_json(objects[0] if len(objects) == 1 else objects)
        return
    for row, options, counted in shown:
        console().print(*_page(row, options, counted), sep="\n")


def _described(row: Architecture) -> dict[str, Any]:
    """An architecture's description as plain data."""
    return {
        "architecture": row.name,
        "family": row.family,
        "paper": None if row.paper is None else vars(row.paper),
        "dataset": row.dataset,
        "image_size": row.image_size,
        "params": row.params,
        "macs": row.macs,
        "published": [vars(result) for result in row.published],
        "recipe": row.recipe,
        "note": row.note,
    }


def _counted(row: Architecture, options: dict[str, Any], counted: Complexity) -> dict[str, Any]:
    """An architecture's description with its counts as plain data."""
    return {
        **_described(row),
        "options": options,
        "shape": counted.shape,
        "params": counted.params,
        "macs": counted.macs,
        "flops": 2 * counted.macs,
        "stages": [vars(stage) for stage in counted.stages],
        "layers": [vars(layer) for layer in counted.layers],
    }


def _table(families: dict[str, list[Architecture]], *, narrow: bool) -> RenderableType:
    """The architectures, a section a family; counts in short where the screen is narrow."""
    from rich.table import Table

    from convatlas.report.text import quantity

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("architecture", no_wrap=True)
    for heading in ("year", "parameters", "MACs", "pixels"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("published accuracy")
    for family, rows in families.items():
        table.add_row(f"[bold cyan]{family}[/]", end_section=False)
        for row in rows:
            year = str(row.paper.year) if row.paper else "-"
            short = quantity if narrow else "{:,}".format
            counts = [short(count) if count is not None else "-" for count in (row.params, row.macs)]
            table.add_row(f"  {row.name}", year, *counts, str(row.image_size), _results(row))
    return table


def _results(row: Architecture) -> str:
    """The first published accuracy on each data set, on test images if there is one; `show` has them all."""
    ordered = sorted(row.published, key=lambda result: result.split != "test")
    first = {result.dataset: result for result in reversed(ordered)}
    return ", ".join(f"{100 * result.top1:.2f} % {result.dataset}" for result in reversed(first.values())) or "-"


def _page(row: Architecture, options: dict[str, Any], counted: Complexity) -> list[RenderableType]:
    """One architecture: what is known of it, its counts, its stages."""
    from rich.markup import escape
    from rich.table import Table

    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(row, options, counted):
        facts.add_row(name, escape(value))
    stages = Table(box=None, pad_edge=False, header_style="bold")
    stages.add_column("stage", no_wrap=True)
    for heading in ("output", "parameters", "MACs", "receptive field", "stride"):
        stages.add_column(heading, justify="right", no_wrap=True)
    for stage in counted.stages:
        seen = [_side(pixels) for pixels in (stage.receptive_field, stage.stride)]
        stages.add_row(stage.name, _size(stage.shape), f"{stage.params:,}", f"{stage.macs:,}", *seen)
    return ["", f"[bold]{row.name}[/bold]", facts, "", stages, ""]


def _facts(row: Architecture, options: dict[str, Any], counted: Complexity) -> list[tuple[str, str]]:
    """Name and value of each line above the stages."""
    facts = []
    if row.paper:
        facts += [("source", f"{row.paper.authors} {row.paper.year}, {row.paper.title}"), ("", row.paper.url)]
    if row.note:
        facts.append(("note", row.note))
    for result in row.published:
        facts.append(("published", f"{100 * result.top1:.2f} % {result.split} on {result.dataset} ({result.source})"))
    if row.recipe:
        facts.append(("recipe", row.recipe))
    defaults = {**row.options(), **options}
    if defaults:
        facts.append(("options", ", ".join(f"{name}={_text(value)}" for name, value in defaults.items())))
    facts += [
        ("image", _size(counted.shape)),
        ("parameters", f"{counted.params:,}"),
        ("MACs", f"{counted.macs:,} multiply-adds an image ({2 * counted.macs:,} FLOPs)"),
    ]
    return facts


def _side(pixels: tuple[int, int] | None) -> str:
    """Of a square, one side; nothing where there are no rows and columns.

    >>> _side((7, 7)), _side((7, 1)), _side(None)
    ('7', '7 x 1', '')
    """
    if pixels is None:
        return ""
    return str(pixels[0]) if pixels[0] == pixels[1] else _size(pixels)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _text(value: Any) -> str:
    """As `-o` takes it: 3,4,6,3 and 1x64,1x128."""
    if not isinstance(value, tuple):
        return str(value)
    return ",".join("x".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value)
