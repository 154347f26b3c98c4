"""`list`: the names and facts of the architectures and recipes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli.options import AsJson, console, print_json
from convatlas.cli.program import app
from convatlas.errors import UsageError, unknown

if TYPE_CHECKING:
    from rich.console import RenderableType

    from convatlas.architecture import Architecture
    from convatlas.architectures.index import Listed


WIDE = 110  # columns of a terminal; from this width on, counts are printed with all digits


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern with * and ?.")] = "*",
    recipes: Annotated[
        bool, typer.Option("--recipes", help="List the recipes instead; --recipe takes their names.")
    ] = False,
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="With --recipes: print one recipe as a file that --recipe reads.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the architectures by family and year, or the recipes.

    Example: convatlas list 'resnet*'

    Example: convatlas list --recipes uva_sgd --yaml > mine.yaml
    """
    if as_yaml and (as_json or not recipes):
        raise UsageError("--yaml prints a recipe: convatlas list --recipes NAME --yaml, without --json")
    if as_yaml:
        _print_recipe(pattern)
        return
    if recipes:
        _list_recipes(pattern, as_json=as_json)
        return
    from convatlas.architectures import by_family, list_architectures, list_facts

    rows = list_facts(pattern)
    if not rows:
        raise _nothing("architecture", pattern, list_architectures())
    if as_json:
        print_json({"architectures": [described(row) for row in rows]})
    else:
        screen = console()
        screen.print(_table(by_family(rows), narrow=screen.width < WIDE))


def _list_recipes(pattern: str, *, as_json: bool) -> None:
    """Prints the recipes whose names match: a summary, the expected result and the source of each."""
    from convatlas.architectures import matches
    from convatlas.recipe import Recipe, list_recipes, recipe_or_rule

    names = [name for name in list_recipes() if matches(name, pattern)]
    if not names:
        raise _nothing("recipe", pattern, list_recipes())
    rows = [recipe_or_rule(name) for name in names]
    if as_json:
        print_json({"recipes": [row.flat() if isinstance(row, Recipe) else row.described() for row in rows]})
        return
    for row in rows:
        for line in (row.summary(), f"  expected: {row.expected}", f"  source: {row.source}"):
            console().print(line, markup=False, highlight=False, soft_wrap=True)


def _print_recipe(name: str) -> None:
    """Prints a recipe as YAML, without the fields that have their default. Raises `UsageError` for a rule."""
    from convatlas.recipe import list_recipes, recipe, write_recipe

    if name not in list_recipes():
        raise unknown("recipe", name, list_recipes(), hint="; --yaml prints one recipe, by its whole name")
    print(write_recipe(recipe(name)), end="")


def _nothing(kind: str, pattern: str, names: Iterable[str]) -> UsageError:
    """Returns the error for a name that does not exist, or for a pattern that fits no name."""
    if any(sign in pattern for sign in "*?["):
        return UsageError(f"no {kind} matches the pattern {pattern!r}")
    return unknown(kind, pattern, names)


def described(row: Architecture | Listed) -> dict[str, Any]:
    """Returns an architecture's description as plain data."""
    return {
        "architecture": row.name,
        "family": row.family,
        "paper": None if row.paper is None else vars(row.paper),
        "dataset": row.dataset,
        "image_size": row.image_size,
        "params": row.params,
        "macs": row.macs,
        "published": [vars(result) for result in row.published],
        "precisions": [vars(result) for result in row.precisions],
        "task": row.task,
        "recipe": row.recipe,
        "note": row.note,
    }


def _table(families: dict[str, list[Listed]], *, narrow: bool) -> RenderableType:
    """Returns the table of architectures, with a section for each family; on a narrow screen counts are short."""
    from rich.table import Table

    from convatlas.words import quantity

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


def _results(row: Listed) -> str:
    """Returns one published accuracy for each data set, on test images if it is known; `show` prints all of them."""
    ordered = sorted(row.published, key=lambda result: result.split != "test")
    first = {result.dataset: result for result in reversed(ordered)}
    said = [f"{100 * result.top1:.2f} % {result.dataset}" for result in reversed(first.values())]
    said += [f"{100 * result.ap:.1f} AP {result.dataset}" for result in row.precisions[:1]]
    return ", ".join(said) or "-"
