"""Recipes as YAML files: read with care, and written so that they can be read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from convatlas import values
from convatlas.errors import UsageError, unknown
from convatlas.files import read_regular
from convatlas.recipe.fields import FIELDS, WORDS, Recipe

LARGEST = 20_000  # bytes; a recipe has about a thousand


def read_recipe(path: Path) -> Recipe:
    """Returns the recipe in a YAML file of fields by name. Raises `UsageError` for missing and for unknown fields.

    With a line `base: NAME`, the file has only the fields that differ from that recipe, as after `--set`.
    Every value is read as `--set` reads it, not by YAML's own rules for numbers. Tags, anchors, merges, nesting and
    repeated fields are refused.
    """
    content = _texts(path)
    base = _base(content.pop("base", None), path=path)
    for name in content:
        if name not in FIELDS:
            raise unknown(f"recipe field in {path}", name, FIELDS)
    missing = [name for name, field in FIELDS.items() if field.required and name not in {*content, *WORDS}]
    if missing and base is None:
        raise UsageError(f"the recipe {path} lacks {', '.join(missing)}; `base: NAME` takes them from another recipe")
    source = str(path) if base is None else f"{path}, from {base.name}"
    words = {"name": path.stem, "source": source, "expected": "not known"}
    try:
        read = {name: values.parse(text, FIELDS[name].annotation, name=name) for name, text in content.items()}
        if base is None:
            return Recipe(**{**words, **read})
        changes = {name: value for name, value in read.items() if name not in WORDS}
        described = {name: read.get(name, word) for name, word in words.items()}
        return base.replaced(**changes).with_values(**described)
    except UsageError as error:
        raise UsageError(f"the recipe {path}: {error}") from error


def _base(name: str | None, *, path: Path) -> Recipe | None:
    """Returns the recipe that the file begins with, if it names one. Raises `UsageError` that names the file."""
    from convatlas.recipe.named import list_recipes, recipe  # the named recipes import this module

    if name is None:
        return None
    if name not in list_recipes():
        raise unknown(f"base in {path}", name, list_recipes())
    return recipe(name)


def write_recipe(recipe: Recipe) -> str:
    """Returns the recipe as YAML, without the fields that have their default.

    >>> from convatlas.recipe import recipe
    >>> "epochs: 180" in write_recipe(recipe("uva_sgd")).splitlines()
    True
    """
    import yaml

    flat = recipe.flat()
    content = {name: values.plain(flat[name]) for name, field in FIELDS.items() if flat[name] != field.default}
    text: str = yaml.safe_dump(content, sort_keys=False, width=100, allow_unicode=True)
    return text


def _texts(path: Path) -> dict[str, str]:
    """Returns the mapping of names to plain texts in a file; the items of a list are joined by commas."""
    import yaml

    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(
                f"the recipe {path} has more than {LARGEST:,} bytes, too many for a recipe; name another file"
            )
        text = read_regular(path).decode("utf-8")
        for depth, event in _with_depth(yaml.parse(text, Loader=yaml.BaseLoader)):
            _refuse(path, event, depth)
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).replace('in "<unicode string>", ', "").split())
        raise UsageError(f"the recipe {path} cannot be read: {reason}") from error
    if not isinstance(node, yaml.MappingNode):
        raise UsageError(f"the recipe {path} must be a mapping, with a line NAME: VALUE for each field")
    content: dict[str, str] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(f"the recipe {path} must be a mapping, with a line NAME: VALUE for each field")
        if key.value in content:
            raise UsageError(f"the recipe {path} has {key.value} twice; keep one of them")
        content[key.value] = _text(value)
    return content


def _with_depth(events: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    """Yields each event of a parsed YAML with the number of lists and mappings around it."""
    depth = 0
    for event in events:
        depth -= type(event).__name__ in ("SequenceEndEvent", "MappingEndEvent")
        yield depth, event
        depth += type(event).__name__ in ("SequenceStartEvent", "MappingStartEvent")


def _text(node: Any) -> str:
    """Returns a value as `--set` takes it: `[100, 150]` becomes `100,150`, and `~` becomes `none`."""
    if isinstance(node.value, list):
        return ",".join(_text(item) for item in node.value)
    return "none" if node.value in ("~", "") and node.style is None else str(node.value)


def _refuse(path: Path, event: Any, depth: int) -> None:
    """Raises `UsageError` for an anchor, a reference to an anchor, a tag, and nesting."""
    line = event.start_mark.line + 1
    kind = type(event).__name__
    if getattr(event, "anchor", None):
        raise UsageError(f"line {line} of the recipe {path} has the anchor {event.anchor!r}; write the value itself")
    if getattr(event, "tag", None):
        raise UsageError(f"line {line} of the recipe {path} has the tag {event.tag!r}; only plain values are read")
    if (kind == "MappingStartEvent" and depth > 0) or (kind == "SequenceStartEvent" and depth > 1):
        raise UsageError(f"line {line} of the recipe {path} is nested; a field has a value, or a list of values")
