"""`disagree`: the images on which the networks of a study differ, and what their average gives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.program import app
from convatlas.errors import UsageError
from convatlas.words import percent

if TYPE_CHECKING:
    from rich.table import Table


@app.command()
def disagree(
    folders: Annotated[list[Path], typer.Argument(metavar="STUDY|RUN...", help="Folders of studies and runs.")],
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder; default: disagree in the study's folder.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show on which test images networks differ, which all get wrong, and what averaging them gives. Writes a page.

    Example: convatlas disagree runs/demo
    """
    options.check_computing(device, None)
    if out is None and len(folders) > 1:
        raise UsageError(f"{len(folders)} folders on one page need a folder to write to; name it with --out")
    folder = out or folders[0] / "disagree"
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is a file; name a folder")
    from convatlas.insight.disagreement import write_disagreement

    content = write_disagreement(folders, folder, data_dir=data_dir, device=device)
    if as_json:
        options.print_json(content)
        return
    screen = options.console()
    screen.print(_table(content))
    for line in _lines(content):
        screen.print(line, highlight=False, soft_wrap=True, markup=False)


def _table(content: dict[str, Any]) -> Table:
    """Returns the table of the members: number, accuracies, and the place in the average."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("number", justify="right", no_wrap=True)
    table.add_column("network", overflow="fold")
    for heading in ("validation %", "test %", "in the average"):
        table.add_column(heading, justify="right", no_wrap=True)
    chosen = content["average"]["chosen"]["members"]
    for member in content["members"]:
        place = f"{chosen.index(member['number']) + 1}." if member["number"] in chosen else "-"
        cells = [str(member["number"]), member["name"], percent(member["validation"]), percent(member["test"]), place]
        table.add_row(*map(Text, cells))
    return table


def _lines(content: dict[str, Any]) -> list[str]:
    """Returns the lines below the table: images, pairs, averages, the verdict, notes and the page."""
    lines = [
        f"of {content['images']['test']:,} test images of {content['data']}: all right {content['all_right']:,}, "
        f"all wrong {content['all_wrong']['count']:,}, different answers {content['differ']['count']:,}"
    ]
    for group in content["groups"]:
        kappa, phi = ("-" if group[name] is None else f"{group[name]:.2f}" for name in ("kappa", "phi"))
        lines.append(
            f"pairs of {group['pairs']} ({group['n']}): same answer {percent(group['same'])} %, kappa {kappa}, "
            f"correlation of the errors {phi}"
        )
    for title, key in (("chosen by validation", "chosen"), ("all", "all")):
        found = content["average"][key]
        if len(found["members"]) == 1:
            continue  # one network is no average; the verdict names it
        low, high = (100 * end for end in found["gain"]["ci95"])
        lines.append(
            f"average of {len(found['members'])} networks ({title}): test {percent(found['accuracy'])} %, "
            f"{100 * found['gain']['mean']:+.2f} points ({low:+.2f} to {high:+.2f})"
        )
    lines.append(content["verdict"])
    lines += [f"note: {note}" for note in content["notes"]]
    lines += [f"left out: {each}" for each in content["left_out"]]
    return [*lines, f"wrote {content['page']}"]
