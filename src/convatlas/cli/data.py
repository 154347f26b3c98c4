"""`data show`: the content of a data set, and the images as a network gets them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.program import Group, app
from convatlas.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from convatlas.data import DataSet
    from convatlas.insight.dataset import View
    from convatlas.recipe import Recipe, RecipeRule

data_app = typer.Typer(cls=Group, help="Show, check or convert a data set.")
app.add_typer(data_app, name="data")

BOXES_RECIPE = "detect_small"  # by which images with boxes are shown
Name = Annotated[str, typer.Argument(metavar="DATA", help=f"{options.DATA_HELP}.")]


@data_app.command()
def show(
    data: Name,
    data_dir: options.DataDir = None,
    recipe: options.RecipeName = None,
    setting: options.Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="The figure; default: runs/data-DATA.png.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Draw images with their classes, before and after augmentation, and one image's channels with its pixel values.

    Images with boxes are drawn with their boxes, and as a detector is trained on them.

    Example: convatlas data show cifar10 --recipe uva_sgd --out cifar10.png
    """
    from convatlas.data_names import check_reference, has_boxes
    from convatlas.recipe import default_recipe, parsed_settings, recipe_or_rule
    from convatlas.values import assignments

    check_reference(data)
    usual = BOXES_RECIPE if has_boxes(data) else default_recipe(data)
    chosen = recipe_or_rule(usual if recipe is None else recipe)
    chosen = chosen.replaced(**parsed_settings(assignments(setting or [], flag="--set")))

    from convatlas.data import open_source  # not sooner: it imports PyTorch, which takes seconds
    from convatlas.files import check_writable

    source = open_source(data)
    path = out or Path("runs") / f"data-{source.spec.label}.png"
    if path.suffix.lower() != ".png" or path.is_dir():
        raise UsageError(f"--out {path} must be the name of a .png file")
    loaded = source.load(data_dir)
    check_writable(path.parent)
    content = {**_shown(_drawn(loaded, chosen, path)), "figure": str(path)}
    if as_json:
        options.print_json(content)
    else:
        _print_shown(content)


def _drawn(data: DataSet, chosen: Recipe | RecipeRule, path: Path) -> View:
    """Draws a data set as a recipe shows it, and returns it so."""
    from convatlas.data_names import has_boxes
    from convatlas.insight.boxed import draw_boxes, view_boxes
    from convatlas.insight.dataset import draw_data, view

    if has_boxes(data.spec.name):
        boxed = view_boxes(data, chosen)
        draw_boxes(boxed, path)
        return boxed
    shown = view(data, chosen)
    draw_data(shown, path)
    return shown


def _shown(shown: View) -> dict[str, Any]:
    """Returns the content of the data set and the first batch for a network, as plain data."""
    from convatlas.data.check import summary

    return {
        **summary(shown.data),
        "notes": list(shown.notes),
        "recipe": shown.recipe.name,
        "preprocessing": asdict(shown.preprocessing),
        "batch": shown.batch(),
    }


def _print_shown(content: dict[str, Any]) -> None:
    """Prints the splits and their classes, the batch, and the path of the figure."""
    say_head(content)
    options.console().print(_class_table(content))
    batch, size = content["batch"], content["preprocessing"]["image_size"]
    say_line(
        f"a batch of {batch['n']} at {size} x {size} pixels, augmented and normalised by {content['recipe']}: "
        f"mean {_numbers(batch['mean'])}, std {_numbers(batch['std'])}"
    )
    say_notes(content)
    say_line(f"wrote {content['figure']}")


def say_head(content: dict[str, Any]) -> None:
    """Prints title, source, shape and split of a data set."""
    channels, *size = content["shape"]
    shape = " x ".join(map(str, (channels, *size))) if all(size) else f"{channels} channels, many sizes"
    say_line(f"{content['title']} ({content['source']}): {shape}, split {content['split_hash']}")


def say_notes(content: dict[str, Any]) -> None:
    """Prints the notes of a data set."""
    for note in content["notes"]:
        say_line(f"note: {note}")


def _class_table(content: dict[str, Any]) -> Table:
    """Returns the table of the number of images of each class in each split."""
    from rich.table import Table

    from convatlas.data_names import has_boxes

    table = Table(box=None, pad_edge=False, header_style="bold")
    boxed = has_boxes(content["data"])
    table.add_column("boxes of class" if boxed else "class", no_wrap=True)
    for part in content["splits"]:
        table.add_column(part, justify="right")
    for name in content["splits"]["train"]["per_class"]:
        table.add_row(name, *(f"{split['per_class'][name]:,}" for split in content["splits"].values()))
    table.add_row(
        "images" if boxed else "all", *(f"{split['n']:,}" for split in content["splits"].values()), style="bold"
    )
    return table


def _numbers(numbers: list[float]) -> str:
    return " ".join(f"{number:.3f}" for number in numbers)


def say_line(line: str) -> None:
    """Prints a line as it is."""
    options.console().print(line, highlight=False, soft_wrap=True, markup=False)
