"""The rows of a study of transfer as tables: for a terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from convatlas.words import percent, seconds

if TYPE_CHECKING:
    from rich.table import Table

HEADERS = ("method", "shots", "draws", "mean %", "median %", "std", "min–max", "95 % interval", "test images", "s")
Row = Mapping[str, Any]


def cells(row: Row) -> list[str]:
    """Returns the printed texts of a row, in the order of `HEADERS`."""
    interval = row["test_top1_ci95"]
    return [
        row["method"],
        row["shots"] if row["shots"] != "all" else f"all ({row['images_per_class']:,.0f})",
        str(row["n_draws"]),
        percent(row["test_top1_mean"]),
        percent(row["test_top1_median"]),
        percent(row["test_top1_std"]),
        "–".join(map(percent, (row["test_top1_min"], row["test_top1_max"]))),
        "–".join(map(percent, interval)) if interval else "-",
        f"{row['test_images']:,}",
        seconds(row["train_seconds_mean"]),
    ]


def terminal_table(rows: Sequence[Row]) -> Table:
    """Returns the rows as a table for a terminal, with a line between numbers of shots."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for header in HEADERS:
        table.add_column(header, justify="left" if header == "method" else "right", no_wrap=header != "method")
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        ends = following is not None and following["shots"] != row["shots"]
        table.add_row(*map(Text, cells(row)), end_section=ends)
    return table


def csv_table(rows: Sequence[Row]) -> str:
    """Returns the rows as CSV, without the single draws."""
    flat = [{name: value for name, value in row.items() if name != "draws"} for row in rows]
    for row in flat:
        row["test_top1_ci95_low"], row["test_top1_ci95_high"] = row.pop("test_top1_ci95") or (None, None)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def markdown_table(rows: Sequence[Row]) -> str:
    """Returns the rows as a table of Markdown."""
    lines = [_line(HEADERS), "|:--" + "|--:" * (len(HEADERS) - 1) + "|"]
    lines += [_line([f"`{name}`", *others]) for name, *others in map(cells, rows)]
    return "\n".join(lines) + "\n"


def _line(texts: Sequence[str]) -> str:
    return "| " + " | ".join(texts) + " |"
