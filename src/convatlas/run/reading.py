"""Records from plain data: every part is checked, older formats become the newest, damage is told in one line."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from convatlas.errors import UsageError
from convatlas.recipe import Precision
from convatlas.run.record import FORMAT, CheckpointRecord, RunRecord, SessionRecord

DEEPEST = 4  # lists and objects inside each other, in an option of a network
LARGEST = 2**63  # no number in our records is larger

Record = TypeVar("Record")


class _DamageError(ValueError):
    """A value that cannot be read: the names that lead to it, and the reason."""

    def __init__(self, reason: str, place: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.place = reason, place


def read_run_record(content: object, *, label: str) -> RunRecord:
    """Returns the record from the content of a `run.json`, in this format or an older one.

    Raises `UsageError`, which names `label` and the part, for a damaged record and for a newer format.
    """
    record = read_record(RunRecord, _newest(content, label=label), label=label)
    architecture, recipe = record.architecture, record.recipe
    if architecture.num_classes is None or architecture.in_channels is None:
        raise _unreadable(label, _DamageError("its num_classes or its in_channels is missing", ("architecture",)))
    if not isinstance(recipe.get("name"), str):
        raise _unreadable(label, _DamageError("its name is missing", ("recipe",)))
    if record.status == "finished":
        for name, value in record.results.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise _unreadable(label, _DamageError(f"{_shown(value)} is not a number", ("results", name)))
    _check_together(record.said(), label=label)
    return record


def read_checkpoint_record(content: Mapping[Any, Any], *, label: str) -> CheckpointRecord:
    """Returns the facts in the entry of a checkpoint; other programs' entries may hold few of them.

    Raises `UsageError` as `read_run_record` does.
    """
    record = read_record(CheckpointRecord, _newest({"format": 1, **content}, label=label), label=label)
    _check_together(record, label=label)
    return record


def read_record(kind: type[Record], content: object, *, label: str) -> Record:
    """Returns the dataclass `kind` from plain data. Raises `UsageError`, which names `label` and the damaged part."""
    try:
        return _fields(content, kind)
    except _DamageError as damage:
        raise _unreadable(label, damage) from damage


def check_format(content: object, *, label: str) -> int:
    """Returns the number of a record's format. Raises `UsageError` for a format that this version does not know."""
    number = content.get("format") if isinstance(content, Mapping) else None
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise _unreadable(label, _DamageError("it is missing or no whole number of at least 1", ("format",)))
    if number > FORMAT:
        raise UsageError(
            f"{label} has format {number}, and this ConvAtlas reads up to format {FORMAT}; use the newer ConvAtlas "
            "that wrote it"
        )
    return number


def _check_together(record: CheckpointRecord, *, label: str) -> None:
    """Raises `UsageError` if parts of the record contradict each other, or if its precision is unknown."""
    classes, count = record.data.classes if record.data else None, record.architecture.num_classes
    if classes and count is not None and len(classes) != count:
        raise _unreadable(label, _DamageError(f"{len(classes)} classes, and the network has {count}", ("data",)))
    if record.recipe is not None and record.recipe.get("precision", "float32") not in get_args(Precision):
        raise _unreadable(label, _DamageError("precision is float32 or bf16", ("recipe",)))


def _unreadable(label: str, damage: _DamageError) -> UsageError:
    part = damage.place[0] if damage.place else "content"
    inner = ".".join(damage.place[1:])
    return UsageError(f"{label}: its {part} cannot be read: {f'{inner}: ' if inner else ''}{damage.reason}")


# ---------------------------------------------------------------------------------------------------- older formats


def _newest(content: object, *, label: str) -> object:
    """Returns the content as the newest format has it."""
    if check_format(content, label=label) == FORMAT or not isinstance(content, Mapping):
        return content
    # Format 1 does not say the start, and its first records keep only the last session, at the top.
    names = [field.name for field in dataclasses.fields(SessionRecord)]
    sitting = {name: content[name] for name in names if name in content}
    return {**content, "start": _start_of_format_1(content), "sessions": content.get("sessions", [sitting])}


def _start_of_format_1(content: Mapping[Any, Any]) -> dict[str, Any]:
    """Returns the start of a run of format 1: the seed, or for an evaluated checkpoint the file that a note names."""
    notes = content.get("notes")
    if content.get("seed", 0) is None and isinstance(notes, list):
        for note in notes:
            if isinstance(note, str) and (found := re.fullmatch(r"\S+: weights of (.+), sha256 ([0-9a-f]{64})", note)):
                return {"origin": "weights", "source": found[1], "sha256": found[2]}
    return {}


# ---------------------------------------------------------------------------------------------------- plain data, typed


def _fields(content: object, kind: type[Record]) -> Record:
    """Returns the dataclass with its fields from a mapping.

    Unknown names are ignored. A null counts as a missing value if the field has a default.
    """
    if not isinstance(content, Mapping):
        raise _DamageError(f"{_shown(content)} is no object of names and values")
    hints = get_type_hints(kind)
    given = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if content.get(field.name) is not None or (needed and field.name in content):
            try:
                given[field.name] = _value(content[field.name], hints[field.name])
            except _DamageError as damage:
                raise _DamageError(damage.reason, (field.name, *damage.place)) from damage
        elif needed:
            raise _DamageError("it is missing", (field.name,))
    try:
        return kind(**given)
    except ValueError as error:
        raise _DamageError(str(error)) from error


def _value(value: object, kind: Any) -> Any:
    """Returns the value in its annotated type. Raises `_DamageError`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _value(value, inner)
    if dataclasses.is_dataclass(kind):
        return _fields(value, kind)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _DamageError(f"{_shown(value)} is not a list")
        return tuple(_value(item, arguments[0]) for item in value)
    if origin is Mapping:
        return _mapping(value, arguments[1])
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _DamageError(f"{_shown(value)} is none of {', '.join(map(str, arguments))}")
        return value
    return _literal(value) if kind is Any else _scalar(value, kind)


def _mapping(value: object, kind: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise _DamageError(f"{_shown(value)} is no object of names and values")
    return {_scalar(name, str): _value(item, kind) for name, item in value.items()}


def _literal(value: object, depth: int = 0) -> Any:
    """Returns plain data: None, a number, a text, or lists and objects of them, at most `DEEPEST` deep."""
    if value is None or isinstance(value, bool | int | float | str):
        return value if value is None else _scalar(value, type(value))
    if depth == DEEPEST:
        raise _DamageError(f"lists and objects lie more than {DEEPEST} deep in each other")
    if isinstance(value, list | tuple):
        return [_literal(item, depth + 1) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _literal(item, depth + 1) for name, item in value.items()}
    raise _DamageError(f"a {type(value).__name__} is no plain data")


def _scalar(value: object, kind: type) -> Any:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    accepted = (int, float) if kind is float else kind
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise _DamageError(f"{_shown(value)} is not {words[kind]}")
    if isinstance(value, int) and not -LARGEST <= value <= LARGEST:
        raise _DamageError("a number is too large")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _DamageError("a text holds half a character")
    return float(value) if kind is float and isinstance(value, int) else value


def _shown(value: object) -> str:
    """Returns a value in a few words, for a message."""
    if value is None or isinstance(value, bool | float):
        return str(value)
    if isinstance(value, str):
        return repr(value) if len(value) <= 40 else f"{value[:40]!r}..."
    return f"a {type(value).__name__}" if not isinstance(value, int) or abs(value) > LARGEST else str(value)
