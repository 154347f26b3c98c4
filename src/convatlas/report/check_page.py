"""One self-contained HTML page of the check of a data set: its findings, with thumbnails."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convatlas.data_names import has_boxes
from convatlas.report.templates import template

WORDS = {"fault": "Faults", "warning": "Warnings", "fact": "Facts"}  # headings, in this order


def render_check(
    content: Mapping[str, Any], findings: Sequence[Mapping[str, Any]], *, passed: Sequence[tuple[str, str]]
) -> str:
    """Returns the page of a check: `content` as `--json` has it, its findings with thumbnails.

    `passed` has the title and the meaning of each kind of finding of which nothing was found.
    """
    chosen = {
        heading: [finding for finding in findings if finding["gravity"] == gravity]
        for gravity, heading in WORDS.items()
    }
    rows = [
        (name, [split["per_class"].get(name, 0) for split in content["splits"].values()])
        for name in content["splits"]["train"]["per_class"]
    ]
    return template("check.html.j2").render(
        content=content, chosen=chosen, passed=passed, rows=rows, boxed=has_boxes(content["data"])
    )
