"""Typed values: text and plain data become the type of a keyword or a field, and a value is checked against it."""

from __future__ import annotations

import math
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from convatlas.errors import UsageError, unknown

Device = Literal["auto", "cpu", "cuda"]  # the places that a user may name to compute in
Interpolation = Literal["bilinear", "bicubic"]  # the ways of resizing an image
SplitName = Literal["train", "validation", "test", "all"]
Suppression = Literal["hard", "soft"]  # what becomes of a box that overlaps a better one


def parse(text: str, annotation: Any, *, name: str) -> Any:
    """Returns `text` as a value of the annotated type: int, float, bool, str, Literal, None, or a tuple.

    The items of a tuple are separated by commas, those of a tuple inside a tuple by an x.

    Raises `UsageError`, which names `name`, the text and the permitted values.

    >>> parse("2,2,2", tuple[int, ...], name="depths")
    (2, 2, 2)
    >>> parse("1x64,2x128", tuple[tuple[int, ...], ...], name="blocks")
    ((1, 64), (2, 128))
    >>> parse("none", int | None, name="image_size") is None
    True
    """
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return _parse_optional(text, annotation, name=name)
    if origin is tuple:
        item = get_args(annotation)[0]
        parts = [part.strip() for part in text.strip("()[] ").split(",") if part.strip()]
        if get_origin(item) is tuple:
            return tuple(parse(part.replace("x", ","), item, name=name) for part in parts)
        return tuple(parse(part, item, name=name) for part in parts)
    if origin is Literal:
        if text not in get_args(annotation):
            raise unknown(name, text, get_args(annotation))
        return text
    return _parse_scalar(text, annotation, name=name)


def _parse_optional(text: str, annotation: Any, *, name: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    return parse(text, _not_none(annotation), name=name)


def _parse_scalar(text: str, kind: Any, *, name: str) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UsageError(f"{name}={text!r} must be true or false")
        return text.lower() == "true"
    if kind is str:
        return text
    try:
        return {int: int, float: float}[kind](text)
    except ValueError as error:
        wanted = {int: "a whole number", float: "a number"}[kind]
        raise UsageError(f"{name}={text!r} must be {wanted}") from error


def from_plain(value: Any, annotation: Any) -> Any:
    """Returns `value` from JSON or YAML in the annotated type: lists become tuples, `1` and `1e-3` become floats.

    >>> from_plain([1, 0.5], tuple[float, ...])
    (1.0, 0.5)
    """
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return None if value is None else from_plain(value, _not_none(annotation))
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(from_plain(item, get_args(annotation)[0]) for item in value)
    if annotation is float and isinstance(value, str):  # YAML reads 1e-3 as text
        try:
            return float(value)
        except ValueError:
            return value
    return float(value) if annotation is float and type(value) is int else value


def check(value: Any, annotation: Any, *, name: str) -> None:
    """Raises `UsageError` unless `value` has the annotated type; a whole number passes where a float is asked for."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        if value is not None:
            check(value, _not_none(annotation), name=name)
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise UsageError(f"{name}={value!r} must be a tuple")
        for item in value:
            check(item, get_args(annotation)[0], name=name)
    elif origin is Literal:
        if value not in get_args(annotation):
            raise unknown(f"{name}", str(value), get_args(annotation))
    else:
        _check_scalar(value, annotation, name=name)


def _check_scalar(value: Any, kind: Any, *, name: str) -> None:
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise UsageError(f"{name}={value!r} must be {words[kind]}")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{name}={value!r} must be a finite number")


def check_seed(seed: int) -> int:
    """Returns the seed itself. Raises `UsageError` for one that is no whole number from 0 to 2^31 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise UsageError(f"seed={seed!r} must be a whole number from 0 to {2**31 - 1}")
    return seed


def _not_none(annotation: Any) -> Any:
    """Returns the X of `X | None`."""
    (kind,) = (member for member in get_args(annotation) if member is not type(None))
    return kind


def assignments(pairs: list[str], *, flag: str) -> dict[str, str]:
    """Returns `{"lr": "0.1"}` for `["lr=0.1"]`. Raises `UsageError` for a text without `=` and for a repeated name."""
    result: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise UsageError(f"{flag} takes NAME=VALUE, not {pair!r}")
        if name in result:
            raise UsageError(f"{flag} names {name} twice")
        result[name] = value.strip()
    return result


def plain(value: Any) -> Any:
    """Returns `value` as JSON has it: tuples become lists, mappings and sequences are copied.

    >>> plain({"depths": (3, 3)})
    {'depths': [3, 3]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value


def listed(text: str) -> list[str]:
    """Returns the parts of a list with commas; a comma within square brackets belongs to its part.

    >>> listed("supervised, fixmatch[lr=0.1,cutout=8]")
    ['supervised', 'fixmatch[lr=0.1,cutout=8]']
    """
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def fields_in_brackets(text: str, whole: str) -> dict[str, str]:
    """Returns the fields of `FIELD=VALUE,...`; a comma that no name follows belongs to a value, as in `mean=0.5,0.5`.

    `whole` is what the user wrote, for the error. Raises `UsageError`.
    """
    pairs = [pair.partition("=") for pair in re.split(r",(?=\w+=)", text) if pair]
    if any(not equals or not value for _, equals, value in pairs):
        raise UsageError(f"[{text}] of {whole!r} must be FIELD=VALUE, separated by commas")
    return {name: value for name, _, value in pairs}
