"""The templates of the pages: every text is escaped, and all have one look, `style.css`."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from convatlas import words

if TYPE_CHECKING:
    from jinja2 import Template


def template(name: str) -> Template:
    """Returns the template of a page by the name of its file. A name without a value is an error."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(seconds=words.seconds)
    environment.globals["style"] = Markup(_text("style.css").strip())  # our own file: quotes stay as they are
    return environment.from_string(_text(name))


def _text(name: str) -> str:
    return files("convatlas.report").joinpath(name).read_text(encoding="utf-8")
