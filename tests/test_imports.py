"""The import rule of the design: imports go downward only, and what is light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "convatlas"
LAYERS = (  # from the ground up; a module imports only from layers below its own, or from its own folder
    {"errors"},
    {"values", "words"},
    {"files"},
    {"layers", "architecture", "recipe", "drawing"},
    {"device"},
    {"architectures", "data"},
    {"weights", "complexity", "evaluation", "run", "progress"},
    {"prediction", "report", "checks"},
    {"training", "insight"},
    {"measure"},
    {"study"},
    {"api"},
    {"cli"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imports(path: Path) -> set[str]:
    """The full names that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def top(path: Path) -> str:
    """The first part below the package: `training` for training/plan.py, `run` for run.py."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_downward(path: Path) -> None:
    own = top(path)
    assert own in RANK, f"{own} has no place in the layout"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "convatlas" or len(parts) < 2 or parts[1] == own:
            continue
        assert RANK[parts[1]] < RANK[own], f"{path.name} of {own} imports {name}"


def test_families_do_not_import_each_other() -> None:
    folder = SOURCE / "architectures"
    for path in folder.glob("*.py"):
        if path.name == "__init__.py":
            continue
        inner = {n for n in imports(path) if n.startswith("convatlas.architectures")}
        assert all(n.startswith("convatlas.architectures.sources") for n in inner), f"{path.name} imports {inner}"


def test_only_training_imports_lightning() -> None:
    users = {top(path) for path in FILES if any(n.split(".")[0] == "lightning" for n in imports(path))}
    assert users == {"training"}


def test_nobody_imports_torchvision() -> None:
    assert not [path for path in FILES if any(n.split(".")[0] == "torchvision" for n in imports(path))]


def test_evaluation_needs_numpy_only() -> None:
    roots = {name.split(".")[0] for name in imports(SOURCE / "evaluation.py")}
    assert roots <= {"__future__", "collections", "dataclasses", "math", "numpy"}


def loaded_after(statement: str) -> set[str]:
    """The packages that a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import convatlas", "import convatlas.cli", "import convatlas.report", "import convatlas.run"]
)
def test_light_imports_stay_light(statement: str) -> None:
    assert not loaded_after(statement) & {"torch", "lightning", "matplotlib", "sklearn"}


def test_listing_architectures_needs_no_lightning() -> None:
    assert "lightning" not in loaded_after("import convatlas; convatlas.list_architectures(); convatlas.create")
