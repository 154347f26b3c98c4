"""The forms in which `predict` gives its answers: a screen, JSON lines, or a CSV file. None of them keeps an answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from convatlas.cli import options
from convatlas.files import written

if TYPE_CHECKING:
    from convatlas.prediction import Answer

MANY = 10  # images, from which each has one line instead of a table
Form = Callable[["Answer"], None]


def json_line(given: Answer) -> None:
    """Prints an answer, or the error of an image, as one line of JSON."""
    predictions = [{"class": name, "probability": probability} for name, probability in given.classes]
    said = {"predictions": predictions} if given.error is None else {"error": given.error}
    options.print_json({"image": str(given.path), **said}, indent=None)


def screen_form(count: int) -> Form:
    """Returns what prints a table for each of some images, or one line for each of many."""
    return _line if count > MANY else _table


def _line(given: Answer) -> None:
    if given.error is None:
        said = ", ".join(f"{name} {100 * probability:.2f} %" for name, probability in given.classes)
        options.console().print(f"{_in_one_line(given)}: {said}", markup=False, highlight=False, soft_wrap=True)


def _in_one_line(given: Answer) -> str:
    return str(given.path).replace("\n", "\\n").replace("\r", "\\r")


def _table(given: Answer) -> None:
    from rich.table import Table
    from rich.text import Text

    if given.error is not None:
        return
    screen = options.console()
    screen.print(Text(_in_one_line(given), style="bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, probability in given.classes:
        table.add_row(Text(name), f"{100 * probability:.2f} %")
    screen.print(table)


@contextmanager
def csv_form(path: Path, *, top: int) -> Iterator[Form]:
    """Opens a CSV file in UTF-8: image, class and probability (of further classes with a number), error.

    The name of an image keeps its bytes where they are not UTF-8.
    """
    with written(path) as file:
        text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="", write_through=True)
        rows = csv.writer(text)
        numbers = ["", *(f"_{number}" for number in range(2, top + 1))]
        rows.writerow(
            ["image", *(f"{name}{number}" for number in numbers for name in ("class", "probability")), "error"]
        )

        def add(given: Answer) -> None:
            cells = [cell for name, probability in given.classes for cell in (name, f"{probability:.6f}")]
            cells += [""] * (2 * top - len(cells))
            rows.writerow([str(given.path), *cells, given.error or ""])

        yield add
        text.detach()
