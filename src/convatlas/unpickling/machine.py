"""The machine that carries out the operations of a pickle: a stack, the stacks below the marks, and the memo."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

from convatlas.bounds import Allowance
from convatlas.errors import UsageError, printable
from convatlas.unpickling.source import Source
from convatlas.unpickling.stand_ins import (
    Buildable,
    LeftOut,
    Maker,
    PickleError,
    RefusedError,
    mapping,
    safe_key,
)

COST = 64  # bytes of memory that an operation takes, about
OFTEN = 1024  # operations after which their memory is taken from the allowance
SET = 216  # bytes of an empty set
LONGEST_NUMBER = 255  # bytes of a whole number
LONGEST_NAME = 300  # characters of a name


def unpickle(
    source: Source,
    *,
    allowance: Allowance,
    find: Callable[[str], Any],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Returns the object that the pickle at this place of the source describes; the source then stands behind it.

    `find` gives what a name `module.name` stands for: a `Maker`, or a constant. `persistent` gives what an identifier
    of the writer's own stands for. Strings of Python 2 become text, a character for each byte. Raises `PickleError`,
    and `UsageError` where the pickle needs more memory than the allowance has.
    """
    machine = _Machine(source, find, persistent)
    try:
        return machine.run(allowance)
    except (PickleError, UsageError):
        raise
    except Exception as error:  # a damaged pickle may lead to nearly any
        raise PickleError("it is damaged") from error


class _Machine:
    """A stack, the stacks below the marks, and the memo."""

    def __init__(self, source: Source, find: Callable[[str], Any], persistent: Callable[[Any], Any] | None) -> None:
        self.source = source
        self.find = find
        self.persistent = persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.owed = 0  # bytes of memory that are not yet taken from the allowance

    def run(self, allowance: Allowance) -> Any:
        read, done = self.source.read, 0
        while (code := read(1)) != b".":
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise PickleError("it is damaged, or no pickle")
            operation(self)
            done += 1
            if done % OFTEN == 0 or self.owed:
                allowance.take(self.owed + (COST * OFTEN if done % OFTEN == 0 else 0), "its pickle")
                self.owed = 0
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Returns the objects above the last mark, which are taken from the stack with it."""
        above = self.stack
        self.stack = self.below.pop()
        return above

    # ------------------------------------------------------------------------------------------------------ operations

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.marked()

    def text(self, form: str, encoding: str) -> None:
        length = self.source.number(form)
        content = self.source.read(length)
        self.owed += length
        self.push(content.decode(encoding, "surrogatepass") if encoding == "utf-8" else content.decode(encoding))

    def content(self, form: str) -> None:
        length = self.source.number(form)
        self.owed += length
        self.push(self.source.read(length))

    def long(self, form: str) -> None:
        length = self.source.number(form)
        if not 0 <= length <= LONGEST_NUMBER:
            raise PickleError(f"it holds a whole number of {length:,} bytes")
        self.push(int.from_bytes(self.source.read(length), "little", signed=True))

    def whole_number(self) -> None:
        text = self.source.line().rstrip(b"L")
        if len(text) > 2 * LONGEST_NUMBER:
            raise PickleError(f"it holds a whole number of {len(text):,} digits")
        self.push(text == b"01" if text in (b"00", b"01") else int(text))

    def quoted(self) -> None:
        text = self.source.line().strip()
        if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
            raise PickleError("it is damaged")
        decoded, _ = codecs.escape_decode(text[1:-1])
        self.owed += len(decoded)
        self.push(decoded.decode("latin-1"))

    def unicode_line(self) -> None:
        text = self.source.line()
        self.owed += len(text)
        self.push(text.decode("raw-unicode-escape"))

    def empty_set(self) -> None:
        self.owed += SET
        self.push(set())

    def dictionary(self) -> None:
        items = self.marked()
        self.push(mapping(zip(items[::2], items[1::2], strict=True)))

    def several(self, count: int) -> None:
        if len(self.stack) < count:
            raise PickleError("it is damaged")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(items)

    def recall(self, index: int) -> None:
        self.push(self.memo[index])

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def add_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            target.update(map(safe_key, items))
        elif not isinstance(target, LeftOut):
            raise PickleError("it is damaged")

    def set_items(self, items: list[Any]) -> None:
        target, pairs = self.stack[-1], zip(items[::2], items[1::2], strict=True)
        if isinstance(target, dict):
            target.update(mapping(pairs))
        elif not isinstance(target, LeftOut):
            raise PickleError("it is damaged")

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Maker):
            raise RefusedError("it wants to change a function")
        if isinstance(target, Buildable):
            target.set_state(state)
        elif not isinstance(target, dict | LeftOut):  # a dictionary's attributes are of no use
            raise PickleError("it is damaged")

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("it is damaged")
        self.push(self.find(printable(f"{module}.{name}", most=LONGEST_NAME)))

    def call(self, function: Any, arguments: Any, keywords: Any = None) -> None:
        if not isinstance(arguments, tuple):
            raise PickleError("it is damaged")
        if not isinstance(function, Maker):
            self.push(LeftOut(getattr(function, "name", "an object")))
        elif function.make is None or keywords:
            self.push(LeftOut(function.name))
        else:
            self.push(function.make(*arguments))

    def called_above_mark(self) -> None:
        function, *arguments = self.marked()
        self.call(function, tuple(arguments))

    def called(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def called_with_keywords(self) -> None:
        keywords, arguments, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self.call(function, arguments, keywords)

    def instance(self) -> None:
        self.name(self.source.line().decode(), self.source.line().decode())
        function = self.stack.pop()
        self.call(function, tuple(self.marked()))

    def identified(self, identifier: Any) -> None:
        if self.persistent is None:
            raise PickleError("it refers to objects outside of it")
        self.push(self.persistent(identifier))


_OPERATIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.source.number("<B"),  # the protocol
    b"\x95": lambda m: m.source.number("<Q"),  # the length of a frame
    b"(": _Machine.mark,
    b"0": _Machine.pop,
    b"1": lambda m: m.marked(),
    b"2": lambda m: m.push(m.stack[-1]),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.source.number("<i")),
    b"K": lambda m: m.push(m.source.number("<B")),
    b"M": lambda m: m.push(m.source.number("<H")),
    b"G": lambda m: m.push(m.source.number(">d")),
    b"I": _Machine.whole_number,
    b"L": _Machine.whole_number,
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<i"),
    b"F": lambda m: m.push(float(m.source.line())),
    b"S": _Machine.quoted,
    b"V": _Machine.unicode_line,
    b"T": lambda m: m.text("<I", "latin-1"),
    b"U": lambda m: m.text("<B", "latin-1"),
    b"X": lambda m: m.text("<I", "utf-8"),
    b"\x8c": lambda m: m.text("<B", "utf-8"),
    b"\x8d": lambda m: m.text("<Q", "utf-8"),
    b"B": lambda m: m.content("<I"),
    b"C": lambda m: m.content("<B"),
    b"\x8e": lambda m: m.content("<Q"),
    b"\x96": lambda m: m.content("<Q"),
    b")": lambda m: m.push(()),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"\x8f": _Machine.empty_set,
    b"t": lambda m: m.push(tuple(m.marked())),
    b"l": lambda m: m.push(m.marked()),
    b"d": _Machine.dictionary,
    b"\x91": lambda m: m.push(frozenset(map(safe_key, m.marked()))),
    b"\x85": lambda m: m.several(1),
    b"\x86": lambda m: m.several(2),
    b"\x87": lambda m: m.several(3),
    b"g": lambda m: m.recall(int(m.source.line())),
    b"h": lambda m: m.recall(m.source.number("<B")),
    b"j": lambda m: m.recall(m.source.number("<I")),
    b"p": lambda m: m.remember(int(m.source.line())),
    b"q": lambda m: m.remember(m.source.number("<B")),
    b"r": lambda m: m.remember(m.source.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"a": lambda m: m.add_items([m.stack.pop()]),
    b"e": lambda m: m.add_items(m.marked()),
    b"\x90": lambda m: m.add_items(m.marked()),
    b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.set_items(m.marked()),
    b"c": lambda m: m.name(m.source.line().decode(), m.source.line().decode()),
    b"\x93": lambda m: m.name(m.stack.pop(-2), m.stack.pop()),
    b"i": _Machine.instance,
    b"R": _Machine.called,
    b"\x81": _Machine.called,
    b"\x92": _Machine.called_with_keywords,
    b"o": _Machine.called_above_mark,
    b"b": _Machine.build,
    b"P": lambda m: m.identified(m.source.line().decode()),
    b"Q": lambda m: m.identified(m.stack.pop()),
}
