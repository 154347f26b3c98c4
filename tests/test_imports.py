"""The import rule of the design: imports go downward only, and what is light stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "convatlas"
LAYERS = (  # from the ground up; a module imports only from layers below its own, or from its own folder
    {"errors"},
    {"values", "words", "data_names", "scores", "bounds", "screen", "stopping", "own_code"},
    {"files", "download", "unpickling"},
    {"layers", "architecture", "recipe", "drawing"},
    {"device"},
    {"architectures", "data", "run"},
    {"weights", "complexity", "evaluation", "detection", "progress"},
    {"prediction", "report", "checks"},
    {"training", "insight"},
    {"measure"},
    {"request"},
    {"study", "few_shot"},
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


def test_the_design_page_has_the_same_layers() -> None:
    page = (SOURCE.parent.parent / "docs" / "design.md").read_text(encoding="utf-8")
    rows = page.partition("| layer | rooms |")[2].partition("\n\n")[0].splitlines()[2:]
    named = [re.sub(r"\(.*?\)", "", row.split("|")[2]) for row in rows]  # an explanation in brackets has names too
    assert [set(re.findall(r"`(\w+)/?`", rooms)) for rooms in named] == list(LAYERS)


def test_every_room_has_a_layer_and_every_layer_its_rooms() -> None:
    assert {top(path) for path in FILES} == set(RANK)


ARCHITECTURES = SOURCE / "architectures"
SHARED = {"sources", "backbones"}  # the modules below `architectures` that all families may use

JOINING = ARCHITECTURES / "wide_resnet.py"  # the one family whose networks are made of the blocks of two others
# A detector stands on a network of another family, and effdet's names of its tensors are timm's.
BACKBONES = ARCHITECTURES / "backbones.py"
DETECTOR_KEYS = ARCHITECTURES / "efficientdet" / "keys.py"
APART = {
    JOINING,
    BACKBONES,
    DETECTOR_KEYS,
    *(ARCHITECTURES / f"{name}.py" for name in ("__init__", "families", "index")),
}
MODULES = [path for path in FILES if path.is_relative_to(ARCHITECTURES) and path not in APART]


def foreign(path: Path, *, family: str) -> set[str]:
    """Returns the names that a module of a family imports from other families, or from the registry itself."""
    inner = {name for name in imports(path) if f"{name}.".startswith("convatlas.architectures.")}
    return {name for name in inner if not {family, *SHARED} & set(name.split(".")[2:3])}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ARCHITECTURES)))
def test_families_do_not_import_each_other(path: Path) -> None:
    family = path.relative_to(ARCHITECTURES).parts[0].removesuffix(".py")
    assert foreign(path, family=family) == set()


def test_a_family_that_joins_rows_takes_nothing_else_from_other_families() -> None:
    files = ("preact_resnet.wide", "preact_resnet.wide_released", "resnet.wide")
    rows = {f"convatlas.architectures.{file}" for file in files}
    assert foreign(JOINING, family="wide_resnet") == rows


def test_a_detector_takes_its_backbone_from_the_registry_and_a_key_table_from_another_family() -> None:
    registry = {"convatlas.architectures.architecture", "convatlas.architectures.meta.without_memory"}
    assert foreign(BACKBONES, family="backbones") == registry
    assert foreign(DETECTOR_KEYS, family="efficientdet") == {"convatlas.architectures.efficientnet.keys.TIMM_KEYS"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from convatlas.architectures.resnet.blocks import residual_stages", True),
        ("from convatlas.architectures.resnet import blocks", True),
        ("from convatlas.architectures import resnet", True),
        ("import convatlas.architectures.resnet.blocks as blocks", True),
        ("from convatlas.architectures import architecture", True),
        ("from convatlas import architectures", True),
        ("from convatlas.architectures.vgg_of_others import vgg", True),
        ("from convatlas.architectures.vgg.blocks import stage", False),
        ("from convatlas.architectures.sources import TEXTBOOK", False),
        ("from convatlas.architecture import Architecture", False),
    ],
)
def test_an_import_between_families_is_noticed(tmp_path: Path, line: str, found: bool) -> None:
    """A planted import, wherever it stands in the file."""
    path = tmp_path / "blocks.py"
    for planted in (line, f"def stage():\n    {line}"):
        path.write_text(f"import torch\n\n{planted}\n")
        assert bool(foreign(path, family="vgg")) == found


def test_modules_in_the_folders_of_families_are_checked() -> None:
    folders = {path.parent.name for path in MODULES}
    assert {"resnet", "densenet", "inception"} <= folders
    assert len(MODULES) > 50


def test_only_the_engine_imports_lightning() -> None:
    users = {path.parent for path in FILES if any(n.split(".")[0] == "lightning" for n in imports(path))}
    assert users == {SOURCE / "training" / "engine"}


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


LIGHT = (  # command lines, with the exit code of each
    (0, "--help"),
    (0, "list"),
    (0, "list resnet* --json"),
    (0, "list --recipes"),
    (0, "train --help"),
    (2, "list nothing_like_this"),
    (2, "show resnet_uvx"),
    (2, "show resnet_uva -o depth=3"),
    (2, "show resnet_uvx --diagram x.svg"),
    (2, "bench resnet_uva resnet_uvx"),
    (2, "bench resnet_uva --device tpu"),
    (2, "bench resnet_uva --precision fp8"),
    (2, "train resnet_uvx"),
    (2, "train nothing.py:net"),
    (2, "train resnet_uva --data digit"),
    (2, "train resnet_uva --data files:x"),
    (2, "train resnet_uva --recipe quik"),
    (2, "train resnet_uva --set lrr=1"),
    (2, "train resnet_uva --lr -1"),
    (2, "train resnet_uva --data cifar10 --epochs many"),
    (2, "train resnet_uva --device tpu"),
    (2, "train resnet_uva --seed x"),
    (2, "train resnet_uva -o depth=3"),
    (2, "train resnet_uva --epoch 3"),
    (2, "train resnet_uvx --find-lr"),
    (2, "compare resnet_uva resnet_uvx@quick"),
    (2, "compare resnet_uva@quik"),
    (2, "compare resnet_uva --seeds none"),
    (2, "compare resnet_uva --protocol uvb"),
    (0, "finetune --help"),
    (2, "finetune nothing_like_this --data digits"),
    (2, "finetune resnet_uva --data digits"),
    (2, "finetune resnet_uva --weights uvb --data digits"),
    (2, "finetune resnet_uva --weights uva --data digit"),
    (2, "finetune resnet_uva --weights uva --data digits --recipe hed"),
    (0, "transfer --help"),
    (2, "transfer nothing_like_this --data digits"),
    (2, "transfer resnet_uva --weights uva --data digits --methods linear"),
    (2, "transfer resnet_uva --weights uva --data digits --shots five"),
    (2, "transfer resnet_uva --weights uva --data digits?shots=5"),
    (2, "hyperrule --data digit"),
    (2, "hyperrule --data digits --rule bit"),
    (2, "evaluate resnet_uvx --weights uva"),
    (2, "evaluate resnet_uva --weights uvb"),
    (2, "evaluate resnet_uva"),
    (2, "evaluate resnet_uva --weights uva --data digit"),
    (2, "evaluate resnet_uva --weights uva --split tests"),
    (2, "evaluate no_such_file.pt"),
    (2, "predict resnet_uvx image.png --weights uva"),
    (2, "predict resnet_uva image.png --weights uva --precision fp8"),
    (2, "data show digit"),
    (2, "data show digits --recipe quik"),
    (2, "data check digit"),
)


@pytest.mark.slow
def test_lists_and_words_that_nothing_has_need_no_torch(tmp_path: Path) -> None:
    """All in one process, in a folder without files; the first command that imports PyTorch is named."""
    code = f"""
import sys
from convatlas.cli import main
for code, words in {LIGHT!r}:
    found = main(words.split())
    if found != code or "torch" in sys.modules:
        sys.exit(f"convatlas {{words}}: exit code {{found}}, torch imported: {{'torch' in sys.modules}}")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_names_of_architectures_and_their_facts_need_no_torch() -> None:
    loaded = loaded_after("import convatlas; convatlas.list_architectures('resnet*'); convatlas.Architecture")
    assert "torch" not in loaded


@pytest.mark.slow
def test_creating_networks_needs_no_lightning() -> None:
    assert "lightning" not in loaded_after("import convatlas; convatlas.list_architectures(); convatlas.create")


@pytest.mark.slow
def test_measurements_and_the_learner_need_no_lightning() -> None:
    assert "lightning" not in loaded_after("import convatlas.measure.speed, convatlas.training, convatlas.measure")
