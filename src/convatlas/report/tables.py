"""Tables of finished runs: a row for each network and recipe, means and intervals over seeds, and the best two."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.errors import UsageError
from convatlas.evaluation import summarize
from convatlas.report.classes import ALIKE, imbalanced
from convatlas.report.recipe_names import recipe_labels, said_by_start
from convatlas.report.scored import Part, Row, described, method_columns, score_of, value_of, with_beside
from convatlas.run import Run, RunRecord
from convatlas.scores import BESIDE, TOP1, order_of
from convatlas.words import canonical, finite, label, percent, plain, quantity, seconds, stacked

if TYPE_CHECKING:
    from rich.table import Table

HEADERS = (
    "network",
    "recipe",
    "validation %",
    "test %",
    "95 % interval",
    "n",
    "parameters",
    "MACs",
    "train s",
    "images/s",
)
SHORT_HEADERS = ("network", "recipe", "val %", "test %", "95 %", "n", "params", "MACs", "train", "img/s")


def row_names(rows: Sequence[Row]) -> list[str]:
    """Returns a name for every row: network and options, and also the recipe if two rows would have the same name.

    >>> row_names([{"architecture": "a", "options": {}, "recipe": r} for r in ("quick", "long")])
    ['a @ quick', 'a @ long']
    """
    names = [label(row["architecture"], row["options"]) for row in rows]
    return [
        f"{name} @ {row['recipe']}" if names.count(name) > 1 else name for name, row in zip(names, rows, strict=True)
    ]


def study_rows(runs: Iterable[Run], *, root: Path | None = None) -> list[Row]:
    """Returns a row for each architecture, options and recipe of finished runs, best mean validation score first.

    Rows of one score stand together, those of accuracy first. Every row has `val_top1_mean`, `test_top1_mean` and so
    on, `None` where no accuracy was measured. A row of another score has `score` and `val_score_mean`,
    `test_score_mean` and so on beside them, and its `runs` have `val_score` and `test_score`. Accuracies are fractions;
    intervals are Student's t over seeds, `None` for one seed. The paths of the runs are relative to `root`. Raises
    `UsageError` if a seed occurs twice in a row: a run must not count as two.
    """
    finished = [run for run in runs if run.finished]
    recipes = recipe_labels((run.record.recipe for run in finished), hidden=said_by_start(finished))
    groups: dict[str, list[Run]] = {}
    for run in finished:
        groups.setdefault(_shared(run.record), []).append(run)
    rows = [_row(group, recipes=recipes, root=root) for group in groups.values()]
    return sorted(rows, key=rank_of)


def markdown_table(rows: Sequence[Row]) -> str:
    """Returns the rows as a table in GitHub's Markdown; fractions in percent."""
    headings, table = table_of(rows)
    lines = ["| " + " | ".join(headings) + " |", "|:--|:--" + "|--:" * (len(headings) - 2) + "|"]
    for name, recipe, *numbers in table:
        lines.append("| " + " | ".join([f"`{name}`", f"`{recipe}`", *numbers]).replace("\n", " ") + " |")
    return "\n".join(lines) + "\n"


def terminal_table(rows: Sequence[Row], *, width: int = 100) -> Table:
    """Returns the rows as a table for a terminal; options stand on their own line below the network's name.

    A terminal of less than 90 columns gets no costs; the files have them.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    headings, cells_of_rows = table_of(rows, SHORT_HEADERS)
    lines = []
    for texts in cells_of_rows:
        network, recipe, *numbers = (text.replace(" ± ", "±") for text in texts)
        numbers[-2] += " s" if numbers[-2] != "-" else ""  # a unit in the cell, so that the heading stays short
        lines.append([stacked(network), stacked(recipe), *numbers])
    widths = [
        max(cell_len(part) for cell in column for part in cell.split("\n"))
        for column in zip(headings, *lines, strict=True)
    ]
    gap = 1 if sum(widths) + 2 * len(widths) <= 100 else 0  # in addition to one space between columns
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0), show_edge=False, pad_edge=False)
    for header in headings:
        text = header in ("network", "recipe", "score")
        table.add_column(header, justify="left" if text else "right", no_wrap=not text, overflow="fold")
    for line in lines:
        table.add_row(*map(Text, line))
    if width < 90:
        table.columns = table.columns[: headings.index("params")]
    return table


def csv_table(rows: Sequence[Row]) -> str:
    """Returns the rows as CSV: full fractions, two columns for an interval, options as `name=value`.

    The columns of a score other than accuracy come last, where a row has one; they are empty in the other rows.
    """
    flat = []
    for row in rows:
        line: Row = {}
        for key, value in row.items():
            if key.endswith("_ci95"):
                line[f"{key}_low"], line[f"{key}_high"] = value or (None, None)
            elif key == "score":
                line |= {key: value["measure"], "score_direction": value["direction"], "score_unit": value["unit"]}
            elif key == "options":
                line[key] = " ".join(f"{name}={plain(option)}" for name, option in value.items())
            elif key != "runs":
                line[key] = value
        flat.append(line)
    text = io.StringIO()
    names = list(dict.fromkeys(name for line in flat for name in line))
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue()


def table_of(rows: Sequence[Row], headers: Sequence[str] = HEADERS) -> tuple[list[str], list[list[str]]]:
    """Returns the headings and the cells of a table.

    A column names the scores where one is not accuracy. Where the classes of the test images are imbalanced, two
    columns have the scores that count each class alike.
    """
    headings, table = _by_score(rows, headers)
    if imbalanced(rows):
        place = headings.index("n")
        headings[place:place] = [f"{word.removesuffix(' accuracy')} %" for word in ALIKE.values()]
        for texts, row in zip(table, rows, strict=True):
            texts[place:place] = [percent(row[f"{name}_mean"]) for name in ALIKE]
    return headings, table


def _by_score(rows: Sequence[Row], headers: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Returns the headings and the cells of a table, with a column of the scores where one is not accuracy."""
    if all(score_of(row) == TOP1 for row in rows):
        return list(headers), [cells(row) for row in rows]
    network, recipe, *others = headers
    headings = [network, recipe, "score", *(other.removesuffix(" %") for other in others[:2]), *others[2:]]
    table = [cells(row) for row in rows]
    for texts, score in zip(table, map(score_of, rows), strict=True):
        texts.insert(2, score.word + score.sign)
    return with_beside(rows, headings, table)


def cells(row: Row) -> list[str]:
    """Returns the printed texts of a row in the order of `HEADERS`; one seed has neither deviation nor interval."""
    score, interval = score_of(row), value_of(row, "test", "ci95")
    return [
        label(row["architecture"], row["options"]),
        row["recipe"],
        _mean_and_std(row, "val"),
        _mean_and_std(row, "test"),
        "–".join(map(score.shown, interval)) if interval else "-",
        str(row["n_seeds"]),
        "-" if row["params"] is None else f"{row['params']:,}",
        quantity(row["macs"]),
        seconds(row["train_seconds"]),
        "-" if row["images_per_second"] is None else f"{row['images_per_second']:,.0f}",
    ]


def _shared(record: RunRecord) -> str:
    """Returns a text that all runs of a row share: their identity without the seed, and the recipe's name.

    Each student has the teacher of its own seed; the teachers of a row have folders of one name.
    """
    teacher = None if record.teacher is None else Path(record.teacher.source).name
    same = {**record.identity(), "seed": None, "data": None, "score": order_of(record.score), "teacher": teacher}
    return canonical([same, record.recipe["name"], record.selection])


def _beside_recipe(record: RunRecord) -> str:
    """Returns words for the recipe column: an objective that the recipe does not say, and the weights of the start."""
    said = record.objective in ("classification", "detection") or record.recipe.get("method")
    words = "" if said else f" for {record.objective}"
    if record.teacher is not None:
        words += f" taught by {Path(record.teacher.source).name}"
    start = record.start
    if record.fine_tuned:  # the weights of an evaluated checkpoint are its recipe
        words += f" from {start.published or Path(start.source or '').name} {(start.sha256 or '')[:8]}"
        words += f", fresh {' '.join(start.fresh)}" if start.fresh else ""
    return words


def _row(group: list[Run], *, recipes: Mapping[str, str], root: Path | None) -> Row:
    group = sorted(group, key=lambda run: (run.record.seed, run.path))
    for run, following in pairwise(group):
        if run.record.seed == following.record.seed:
            raise UsageError(
                f"{run.path} and {following.path} are the same network, recipe and seed {run.record.seed}: "
                "a run counts only once; leave one of them out"
            )
    record = group[0].record
    return {
        "architecture": record.architecture.name,
        "options": finite(record.architecture.options),
        "recipe": recipes[canonical(record.recipe)] + _beside_recipe(record),
        "selection": record.selection,
        "split_hash": record.data.split_hash,
        "n_seeds": len(group),
        **_over_seeds(group, "val_top1"),
        **_over_seeds(group, "test_top1"),
        **{key: value for name in ALIKE for key, value in _over_seeds(group, name).items()},
        "test_imbalance": finite(group[0].results.get("test_imbalance")),
        "params": record.network.params,
        "macs": record.network.macs,
        "train_seconds": _over_seeds(group, "train_seconds")["train_seconds_mean"],
        "images_per_second": _over_seeds(group, "images_per_second")["images_per_second_mean"],
        "runs": [_seed_row(run, root) for run in group],
        **_of_score(group),
        **method_columns(record),
    }


def _of_score(group: list[Run]) -> Row:
    """Returns the columns of a score other than accuracy, whose own columns every row has."""
    score = group[0].record.score
    if score == TOP1:
        return {}
    columns = {"val_score": score.column, "test_score": score.test_column}
    values = [_over_seeds(group, name, title=title, within=score.bounds) for title, name in columns.items()]
    beside = BESIDE.get(score.measure)
    if beside is not None and any(beside.test_column in run.results for run in group):
        values.append(_over_seeds(group, beside.test_column, within=beside.bounds))
    return {"score": described(score), **{name: value for columns in values for name, value in columns.items()}}


def _seed_row(run: Run, root: Path | None) -> Row:
    score = run.record.score
    names = {name: name for name in ("val_top1", "test_top1", "best_epoch", "train_seconds")}
    if score != TOP1:
        names |= {"val_score": score.column, "test_score": score.test_column}
    results = {name: finite(run.results.get(found)) for name, found in names.items()}
    return {"path": relative_path(run, root), "seed": run.record.seed, **results}


def _over_seeds(
    group: list[Run], name: str, *, title: str | None = None, within: tuple[float, float] = TOP1.bounds
) -> Row:
    """Returns the statistics of a result over the seeds; their columns begin with `title`, by default its name."""
    values, title = [finite(run.results.get(name)) for run in group], title or name
    # A mean over only some seeds would look like the mean over all: with one unknown value, the mean is unknown.
    mean, std, ci95 = summarize(values, within=within) if None not in values else (None, None, None)
    return {f"{title}_mean": mean, f"{title}_std": std, f"{title}_ci95": ci95}


def rank_of(row: Row) -> tuple[Any, ...]:
    """Returns the key that sorts rows: by score, then by the mean on validation, the best first, then by name."""
    score, mean = score_of(row), value_of(row, "val", "mean")
    place = math.inf if mean is None else -score.better(mean)
    return order_of(score), place, label(row["architecture"], row["options"]), row["recipe"]


def relative_path(run: Run, root: Path | None) -> str:
    """Returns the path of a run as it stands in the files of a report in `root`."""
    return run.path.as_posix() if root is None else Path(os.path.relpath(run.path, root)).as_posix()


def _mean_and_std(row: Row, part: Part) -> str:
    score, mean, std = score_of(row), value_of(row, part, "mean"), value_of(row, part, "std")
    return score.shown(mean) if std is None else f"{score.shown(mean)} ± {score.shown(std)}"
