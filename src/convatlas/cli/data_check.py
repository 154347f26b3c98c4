"""`data check`: everything that is to be known of a data set before a network is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from convatlas.cli import options
from convatlas.cli.data import Name, data_app, say_head, say_line, say_notes
from convatlas.cli.program import FAILED
from convatlas.errors import UsageError
from convatlas.words import file_name

if TYPE_CHECKING:
    from rich.table import Table

    from convatlas.data import Source
    from convatlas.data.check import Check
    from convatlas.run import Run

EXAMPLES = 3  # names of images in a row of the table
STYLES = {"fault": "bold red", "warning": "yellow", "fact": "dim"}


@data_app.command()
def check(
    data: Name,
    data_dir: options.DataDir = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="RUN", help="A finished run on this data, to find images with wrong labels."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="The page; default: runs/check-DATA.html.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Look at every image of a data set: unreadable ones, copies, wrong labels, blur, classes. Writes a page.

    The exit code is 0 where a network may be trained on the data, and 1 where it must not.

    Example: convatlas data check folder:photos
    """
    from convatlas.data_names import check_reference
    from convatlas.run import read_run

    check_reference(data)
    trained = None if run is None else read_run(run)

    from convatlas.data import open_source  # not sooner: it imports PyTorch, which takes seconds

    source = open_source(data)
    path = out or Path("runs") / f"{file_name(f'check-{source.spec.label}')}.html"
    if path.suffix.lower() != ".html" or path.is_dir():
        raise UsageError(f"--out {path} must be the name of a .html file")
    checked = _checked(source, folder=data_dir, run=trained, page=path)
    content = {**checked.content(), "page": str(path)}
    _write_page(checked, content, path)
    if as_json:
        options.print_json(content)
    else:
        _print(content)
    if not checked.may_train:
        raise typer.Exit(FAILED)


def _checked(source: Source, *, folder: Path | None, run: Run | None, page: Path) -> Check:
    """Checks the data of a source, with the answers of a run where there is one. The page's folder is tried before."""
    from convatlas.data.check import check_data, found_data
    from convatlas.files import check_writable
    from convatlas.prediction.mislabelled import with_suspects
    from convatlas.progress.counting import counting
    from convatlas.screen import Screen

    loaded, unsplit = found_data(source, folder=folder)
    check_writable(page.parent)
    with counting(Screen(stderr=True), "looking at images") as watch:
        checked = check_data(loaded, unsplit=unsplit, watch=watch, boxed=source.boxed)
    return checked if run is None else with_suspects(checked, run)


def _write_page(checked: Check, content: dict[str, Any], path: Path) -> None:
    """Writes the page of a check."""
    from convatlas.data.check import shown
    from convatlas.files import write_text
    from convatlas.report.check_page import render_check

    write_text(path, render_check(content, shown(checked.scan, checked.findings), passed=checked.passed()))


def _print(content: dict[str, Any]) -> None:
    """Prints the splits, the pictures, the findings, and whether a network may be trained."""
    from convatlas.data.check import imbalance
    from convatlas.data_names import has_boxes

    say_head(content)
    for part, split in content["splits"].items():
        counts = split["per_class"]
        if not split["n"]:
            continue
        said = f"{part}: {split['n']:,} images"
        if has_boxes(content["data"]):
            said += f", {sum(counts.values()):,} boxes"
        if counts:
            rare, frequent = imbalance(counts)
            said += f"; fewest {counts[rare]:,} ({rare}), most {counts[frequent]:,} ({frequent})"
        say_line(said)
    for line in _pictures(content["pictures"]):
        say_line(line)
    say_line("equal images: " + "; ".join(_repeated(found) for found in content["duplicates"]))
    if content["findings"]:
        options.console().print(_table(content["findings"]))
    say_notes(content)
    for line in content["undone"]:
        say_line(f"note: {line}")
    faults = sum(finding["gravity"] == "fault" for finding in content["findings"])
    verdict = f"a network must not be trained on it: {faults} fault{'s' if faults > 1 else ''}, see above"
    say_line("a network may be trained on it" if content["may_train"] else verdict)
    say_line(f"wrote {content['page']}")


def _pictures(said: dict[str, Any]) -> list[str]:
    """Returns the sizes of the pictures, and their formats and modes where they come from files."""
    if "width" not in said:
        return []
    sizes = [f"{name} {_range(said[name])}" for name in ("width", "height")]
    kinds = [", ".join(f"{count:,} {kind}" for kind, count in said[name].items()) for name in ("formats", "pixels")]
    return ["; ".join(sizes), *(["; ".join(kinds)] if said["formats"] else [])]


def _range(sides: dict[str, Any]) -> str:
    """Returns the lengths of sides in words; all are equal in most collections."""
    least, median, most = (sides[name] for name in ("least", "median", "most"))
    return f"{most} pixels" if least == most else f"{least} to {most} pixels, median {median:g}"


def _table(findings: list[dict[str, Any]]) -> Table:
    """Returns the table of findings with the first images of each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("finding", overflow="fold")
    table.add_column("examples", overflow="fold")
    for finding in findings:
        sign = " ~ " if finding["kind"].startswith("near") else " = "
        first = [_example(group, sign) for group in finding["groups"][:EXAMPLES]]
        more = len(finding["groups"]) - len(first)
        text = Text("; ".join(first) + (f"; and {more:,} more" if more else ""))
        table.add_row(Text(finding["gravity"], STYLES[finding["gravity"]]), Text(finding["sentence"]), text)
    return table


def _example(group: dict[str, Any], sign: str) -> str:
    """Returns the names of the first images that belong together, with the detail that the finding says of them."""
    images = group["images"]
    named = [each["image"] if "path" in each else f"{each['split']} {each['image']}" for each in images[:EXAMPLES]]
    names = sign.join((*named, "...") if len(images) > EXAMPLES else named)
    return f"{names} ({group['detail']})" if "detail" in group else names


def _repeated(found: dict[str, Any]) -> str:
    where = f"within {found['splits'][0]}" if len(found["splits"]) == 1 else " and ".join(found["splits"])
    other = f" ({found['other_label']} with another label)" if found["other_label"] else ""
    return f"{where} {found['images']}{other}"
