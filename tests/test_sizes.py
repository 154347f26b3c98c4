"""Functions fit a screen and files a few screens; the exceptions are listed with their reasons."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "convatlas"
MOST_LINES = {"function": 40, "file": 300}
OPTIONS = "its parameters are the options of the command line, each with its help; it calls functions of the package"
# name: why it stays longer. An entry whose function or file has become short fails too.
REASONS = {
    "cli/answers.py:evaluate": OPTIONS,
    "cli/bench.py:bench": OPTIONS,
    "cli/finetuning.py:finetune": OPTIONS,
    "cli/degradation.py:degradation": OPTIONS,
    "cli/explaining.py:explain": OPTIONS,
    "cli/gradients.py:gradients": OPTIONS,
    "cli/landscape.py:landscape": OPTIONS,
    "cli/predicting.py:predict": OPTIONS,
    "cli/runs.py:train": OPTIONS,
    "cli/semi_supervised.py:semi": OPTIONS,
    "cli/show.py:show": OPTIONS,
    "cli/studies.py:compare": OPTIONS,
    "cli/transferring.py:transfer": OPTIONS,
}


def functions(node: ast.AST, *, around: str = "") -> Iterator[tuple[str, int]]:
    """Yields the name and the number of lines of each function, those inside classes and functions included."""
    for child in ast.iter_child_nodes(node):
        name = around
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{around}.{child.name}".lstrip(".")
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, (child.end_lineno or 0) - child.lineno + 1
        yield from functions(child, around=name)


def too_long(folder: Path) -> dict[str, int]:
    """Returns the files and functions below a folder that are longer than permitted, with their lines."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(folder).as_posix()
        lengths = {f"{name}:{function}": lines for function, lines in functions(ast.parse(text))}
        found |= {key: lines for key, lines in lengths.items() if lines > MOST_LINES["function"]}
        if (lines := len(text.splitlines())) > MOST_LINES["file"]:
            found[name] = lines
    return found


def test_functions_and_files_are_short() -> None:
    found = too_long(SOURCE)
    assert {name: lines for name, lines in found.items() if name not in REASONS} == {}
    assert set(REASONS) - set(found) == set(), "listed, but no longer too long"
    assert all(len(reason) > 20 for reason in REASONS.values())


@pytest.mark.parametrize(("lines", "names"), [(300, {"a/b.py:f", "a/b.py:A.g.h"}), (301, {"a/b.py:A.g.h", "a/b.py"})])
def test_a_long_function_and_a_long_file_are_noticed(tmp_path: Path, lines: int, names: set[str]) -> None:
    """A function of 41 lines, one of 40, one within a method; a file of 300 lines, and of 301."""
    length = 41 if lines == 300 else 40
    text = "def f():\n" + "    x = 1\n" * (length - 1)
    text += "class A:\n    def g(self):\n        async def h():\n" + "            x = 1\n" * 40
    text += "        return h\n"
    (tmp_path / "a").mkdir()
    missing = lines - len(text.splitlines())
    (tmp_path / "a/b.py").write_text(text + "y = 2\n" * missing)
    found = set(too_long(tmp_path))
    assert found == names | {"a/b.py:A.g"}
