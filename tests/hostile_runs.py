"""Recipes and files of runs that mean harm, or were damaged. `hostile_files.KINDS` has a row for each kind."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]
Made = tuple[bytes, str]  # the content of a file and the end of its name
NUMBERS = st.one_of(st.integers(-2, 70), st.sampled_from((2**31, 2**63, 2**64, 10**30, -1, 1e300, 0.5)))
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(("\x1b[2J", "a\nb", "a" * 10**4, "none", "1e999", "nan")))
PLAIN: Strategy = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
DEEP = st.sampled_from((100, 10**4, 10**6)).flatmap(
    lambda depth: st.sampled_from(("[" * depth, "[" * depth + "]" * depth, '{"a":' * depth, "- " * depth, "?" * depth))
)


def read_run_file(path: Path) -> object:
    """Reads the file as a part of a run or a study; its name's end says which."""
    from convatlas.run import Run, read_run, read_study
    from fixtures import fake_record

    folder = path.with_name(f"{path.name}.folder")
    folder.mkdir(exist_ok=True)
    part = (
        folder
        / {".run": "run.json", ".study": "study.json", ".csv": "metrics.csv", ".npz": "predictions.npz"}[path.suffix]
    )
    part.write_bytes(path.read_bytes())
    try:
        if path.suffix == ".run":
            return read_run(folder).record.content()
        if path.suffix == ".study":
            return read_study(folder).identity()
        run = Run(folder, fake_record("lenet5"))
        return run.metrics() if path.suffix == ".csv" else run.predictions()
    finally:
        part.unlink()
        folder.rmdir()


def read_recipe_file(path: Path) -> object:
    from convatlas.recipe.reading import read_recipe

    return read_recipe(path).summary()


@functools.cache
def good(suffix: str) -> bytes:
    """Returns a good file of a kind."""
    from convatlas.recipe import recipe
    from convatlas.recipe.reading import write_recipe
    from convatlas.run import study_of
    from fixtures import fake_metrics, fake_predictions, fake_record

    if suffix == ".yaml":
        return write_recipe(recipe("uva_sgd")).encode()
    if suffix == ".csv":
        rows = fake_metrics(0.9, epochs=5)
        return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()
    if suffix == ".npz":
        import io

        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **fake_predictions(val=3, test=5))  # type: ignore[arg-type]
        return buffer.getvalue()
    record = fake_record("lenet5")
    if suffix == ".run":
        return json.dumps(record.content()).encode()
    study = study_of({"lenet5": record}, seeds=(0, 1), device="cpu", command="convatlas compare lenet5")
    written: dict[str, Any] = {"format": 2, "identity": study._content(), "command": study.command}
    return json.dumps(written).encode()


@st.composite
def damaged(draw: Callable[[Strategy], Any], suffix: str) -> Made:
    """Makes a good file with bytes changed, left out, doubled, or cut off at its end."""
    content = bytearray(good(suffix))
    for _ in range(draw(st.integers(1, 3))):
        place, length = draw(st.integers(0, max(0, len(content) - 1))), draw(st.sampled_from((1, 1, 4, 64)))
        change = draw(st.sampled_from(("set", "cut", "remove", "double")))
        if change == "set":
            content[place : place + length] = draw(st.binary(min_size=length, max_size=length))
        elif change == "cut":
            del content[place:]
        elif change == "remove":
            del content[place : place + length]
        else:
            content[place:place] = content[place : place + length]
    return bytes(content), suffix


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the ways to all values inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [inner for key, item in items for inner in [(*path, key), *places(item, (*path, key))]]


@st.composite
def changed(draw: Callable[[Strategy], Any], suffix: str) -> Made:
    """Makes a good record with values that are left out or are others."""
    content = copy.deepcopy(json.loads(good(suffix)))
    for _ in range(draw(st.integers(1, 3))):
        if not (ways := places(content)):
            break
        *way, last = draw(st.sampled_from(ways))
        around = functools.reduce(lambda value, key: value[key], way, content)
        if draw(st.booleans()):
            del around[last]
        else:
            around[last] = draw(PLAIN)
    return json.dumps(content).encode(), suffix


def texts(suffix: str) -> Strategy:
    """Returns files of text that is deep, odd, or no text at all."""
    odd = st.one_of(DEEP.map(str.encode), st.binary(max_size=64), PLAIN.map(lambda value: json.dumps(value).encode()))
    return odd.map(lambda content: (content, suffix))


LINES = st.lists(
    st.one_of(
        st.builds(
            "{}: {}".format,
            st.sampled_from(("epochs", "lr", "batch_size", "optimizer", "base", "<<", "milestones", "name", "widths")),
            st.one_of(
                PLAIN.map(json.dumps),
                st.sampled_from(("*a", "&a [*a, *a]", "!!python/object:os.system x", "|", ">", "quick")),
            ),
        ),
        st.sampled_from(
            (
                "a: &a [x, x, x, x]",
                "b: &b [*a, *a, *a, *a]",
                "c: [*b, *b]",
                "---",
                "...",
                "%YAML 9.9",
                "\t",
                "- x",
                "? [a]",
                "\x00",
            )
        ),
    ),
    max_size=8,
).map(lambda lines: ("\n".join(lines).encode("utf-8", "surrogatepass"), ".yaml"))
HUGE_FILES = st.sampled_from((10**5, 3 * 10**7)).flatmap(
    lambda size: st.sampled_from((b" ", b"[", b"a: 1\n", b"1,2\n")).map(lambda unit: unit * (size // len(unit)))
)

RECIPES = st.one_of(LINES, damaged(".yaml"), texts(".yaml"), HUGE_FILES.map(lambda content: (content, ".yaml")))
RUNS = st.one_of(changed(".run"), damaged(".run"), texts(".run"), HUGE_FILES.map(lambda content: (content, ".run")))
STUDIES = st.one_of(changed(".study"), damaged(".study"), texts(".study"))
TABLES = st.one_of(damaged(".csv"), texts(".csv"), st.just((b"epoch," + b"a," * 10**5 + b"\n" + b"1," * 10**5, ".csv")))
PREDICTIONS = st.one_of(damaged(".npz"), texts(".npz"))
