"""One self-contained HTML page of explanations, with its pictures inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas.report.templates import template


def render_explain(content: Mapping[str, Any], pictures: Mapping[str, str], *, command: str) -> str:
    """Returns the page of `content`, as `--json` has it; `pictures` are `data:` addresses by the names of files."""
    return template("explain.html.j2").render(content=content, pictures=pictures, command=command)
