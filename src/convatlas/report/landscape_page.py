"""One self-contained HTML page of loss surfaces, which are turned and read with the mouse or a finger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convatlas.report.templates import template


def render_landscape(content: Mapping[str, Any]) -> str:
    """Returns the page of `content`: its words, and the values under `data`."""
    return template("landscape.html.j2").render(content=content)
