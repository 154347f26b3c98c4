"""Published accuracies of the networks in a study, beside our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convatlas.report.scored import Row
from convatlas.report.tables import row_names
from convatlas.run import Run
from convatlas.words import percent

HEADERS = ("network", "ours, test %", "n", "published, test %", "measured on", "source")


def published_beside(rows: Sequence[Row], runs: Mapping[str, Run]) -> list[dict[str, Any]]:
    """Returns an entry for each test accuracy that somebody published on the same data set: theirs, ours, the source.

    A row of another score stands here if its accuracy was measured too. `runs` maps the paths in the rows to their
    runs. Data sets are compared by name; the notes of the protocol say whether our files are the published ones, all of
    them and without loss.
    """
    beside = []
    for name, row in zip(row_names(rows), rows, strict=True):
        record = runs[row["runs"][0]["path"]].record
        if "score" in row and row["test_top1_mean"] is None:
            continue
        for result in record.published:
            if result.split == "test" and result.dataset == record.data.name:
                ours = {"network": name, "ours": row["test_top1_mean"], "n_seeds": row["n_seeds"]}
                theirs = {"published": result.top1, "dataset": result.dataset, "source": result.source}
                beside.append({**ours, **theirs})
    return beside


def cells(entry: Mapping[str, Any]) -> list[str]:
    """Returns the texts of an entry in the order of `HEADERS`."""
    ours, published = percent(entry["ours"]), percent(entry["published"])
    return [entry["network"], ours, str(entry["n_seeds"]), published, entry["dataset"], entry["source"]]


def in_lines(beside: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a line for each entry, for a terminal."""
    return [
        f"{entry['network']}: {percent(entry['ours'])} % on test (n = {entry['n_seeds']}), published "
        f"{percent(entry['published'])} % on {entry['dataset']} ({entry['source']})"
        for entry in beside
    ]


def markdown(beside: Sequence[Mapping[str, Any]]) -> str:
    """Returns the entries as a table in GitHub's Markdown, or an empty text without entries."""
    if not beside:
        return ""
    lines = ["| " + " | ".join(HEADERS) + " |", "|:--|--:|--:|--:|:--|:--|"]
    lines += ["| " + " | ".join(cells(entry)) + " |" for entry in beside]
    return "\n".join(lines) + "\n"
