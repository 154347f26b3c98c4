"""Recipes as YAML: read with care, written so that they can be read again."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

from convatlas import values
from convatlas.errors import UsageError, unknown
from convatlas.recipe.fields import Recipe

LARGEST = 100_000  # bytes; a recipe has about a thousand


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file of fields by name. Raises `UsageError` for what it lacks and for what no recipe has.

    Tags, anchors and a field that stands there twice are refused: none has a place in a recipe.
    """
    content = _plain_yaml(path)
    fields = {field.name: field for field in dataclasses.fields(Recipe)}
    for name in content:
        if name not in fields:
            raise unknown(f"recipe field in {path}", str(name), fields)
    content = {"name": path.stem, "source": str(path), "expected": "not known", **content}
    missing = [name for name, field in fields.items() if field.default is dataclasses.MISSING and name not in content]
    if missing:
        raise UsageError(f"the recipe {path} lacks {', '.join(missing)}")
    hints = get_type_hints(Recipe)
    try:
        return Recipe(**{name: values.from_plain(value, hints[name]) for name, value in content.items()})
    except UsageError as error:
        raise UsageError(f"the recipe {path}: {error}") from error


def write_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, the fields that have their default left out.

    >>> from convatlas.recipes import recipe
    >>> "epochs: 180" in write_recipe(recipe("uva_sgd")).splitlines()
    True
    """
    import yaml

    content = {
        field.name: values.plain(getattr(recipe, field.name))
        for field in dataclasses.fields(Recipe)
        if getattr(recipe, field.name) != field.default
    }
    text: str = yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
    return text


def _plain_yaml(path: Path) -> dict[Any, Any]:
    """The file's mapping, of which YAML's finer arts are refused."""
    import yaml

    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"the recipe {path} has more than {LARGEST:,} bytes; that is no recipe")
        text = path.read_text(encoding="utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            _refuse(path, event)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the recipe {path} cannot be read: {reason}") from error
    if not isinstance(content, dict) or not isinstance(node, yaml.MappingNode):
        raise UsageError(f"the recipe {path} must be a mapping, with a line NAME: VALUE for each field")
    names = [key.value for key, _ in node.value]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"the recipe {path} has {twice} twice; keep one of them")
    return content


def _refuse(path: Path, event: Any) -> None:
    """Raises `UsageError` for an anchor, a reference to one and a tag."""
    line = event.start_mark.line + 1
    if getattr(event, "anchor", None):
        raise UsageError(f"line {line} of the recipe {path} has the anchor {event.anchor!r}; write the value itself")
    if getattr(event, "tag", None):
        raise UsageError(f"line {line} of the recipe {path} has the tag {event.tag!r}; only plain values are read")
