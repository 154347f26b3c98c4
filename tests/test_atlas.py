"""The registry as a whole: its page, its listing, its contract over families, and that each family can learn."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pkgutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from convatlas import architectures
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, by_family, list_architectures
from convatlas.architectures.families import FAMILIES as DESCRIBED
from convatlas.architectures.index import listed, read_index
from convatlas.checks import check_architecture
from convatlas.cli import main
from convatlas.data import load_data
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import network_input
from convatlas.errors import UsageError
from convatlas.layers import initialize_kaiming, logits_of, total_loss

ROOT = Path(__file__).parent.parent
DATA = os.environ.get("CONVATLAS_TEST_DATA")
FAMILIES = by_family(map(architecture, list_architectures()))
CLASSIFIERS = {family for family, rows in FAMILIES.items() if rows[0].task == "classification"}


def script(name: str) -> ModuleType:
    """A script of docs/, which is in no package."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.insert(0, str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location(name, ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_page_of_architectures_is_what_the_registry_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("write_architectures").main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script("write_architectures")
    stale = tmp_path / "architectures.md"
    stale.write_text(module.page().replace("61,706", "61,707"), encoding="utf-8")
    monkeypatch.setattr(module, "PAGE", stale)
    # The drawings are left out, for time.
    monkeypatch.setattr(module.architecture_pages, "files", lambda family, head: [(f"{family.name}.md", head)])
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    (tmp_path / "architectures" / "vgg.md").write_text("old", encoding="utf-8")
    assert module.main(["--check"]) == 1


def test_the_page_of_costs_is_what_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("write_costs").main(["--check"]) == 0, capsys.readouterr().err


def test_every_family_is_registered() -> None:
    names = [module.name for module in pkgutil.walk_packages(architectures.__path__, "convatlas.architectures.")]
    defined = [module.FAMILY for module in map(importlib.import_module, names) if hasattr(module, "FAMILY")]
    assert sorted(family.name for family in defined) == sorted(family.name for family in DESCRIBED)


def test_the_index_is_what_the_families_say(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for family in DESCRIBED for row in family.rows]
    assert script("write_index").main(["--check"]) == 0, capsys.readouterr().err
    assert list(read_index().values()) == [listed(row) for row in rows]
    assert len({row.name for row in rows}) == len(rows)


def test_a_stale_index_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script("write_index")
    monkeypatch.setattr(module, "INDEX", tmp_path / "index.json")
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    rows = (dataclasses.replace(DESCRIBED[0].rows[0], params=1), *DESCRIBED[0].rows[1:])
    monkeypatch.setattr(module, "FAMILIES", (dataclasses.replace(DESCRIBED[0], rows=rows), *DESCRIBED[1:]))
    assert module.main(["--check"]) == 1


def test_a_network_of_ones_own_is_listed_beside_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(architectures, "_REGISTRY", {})
    architectures.register(Architecture("my_own", builder=lambda num_classes=10, *, width=4: nn.Identity(), params=7))
    assert list_architectures("*own*") == ["my_own"]
    assert [(row.params, row.options, row.family) for row in architectures.list_facts("my_own")] == [
        (7, ("width",), "own")
    ]
    assert main(["list", "*n*"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["my_own", "-", "7"]
    architectures.check_name("my_own", options=["width"])
    with pytest.raises(UsageError, match="unknown option of my_own 'depth'"):
        architectures.check_name("my_own", options=["depth"])
    for taken in ("my_own", "resnet50"):
        with pytest.raises(UsageError, match="registered already"):
            architectures.register(Architecture(taken, builder=nn.Identity))


def test_a_family_holds_its_rows() -> None:
    """Those of its name in the registry, among them those that it shows; and it begins with its idea."""
    assert {family.name: len(family.rows) for family in DESCRIBED} == {n: len(rows) for n, rows in FAMILIES.items()}
    assert len({family.title for family in DESCRIBED}) == len(DESCRIBED)
    for family in DESCRIBED:
        assert all(row.family == family.name and architecture(row.name) is row for row in family.rows)
        assert {family.shown, *family.lineage} <= {row.name for row in family.rows}
        assert 40 < len(family.idea) < 250, f"{family.name} has no idea in a sentence"
        assert "\n" not in family.idea


def test_the_picture_of_the_lineage_is_what_the_registry_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("draw_lineage").main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_picture_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script("draw_lineage")
    resnet = next(family for family in DESCRIBED if family.name == "resnet")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "lineage.png")
    monkeypatch.setattr(module, "FAMILIES", (DESCRIBED[0], dataclasses.replace(resnet, lineage=("resnet50",))))
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
    monkeypatch.setattr(module, "FAMILIES", (DESCRIBED[0], dataclasses.replace(resnet, lineage=("resnet152",))))
    assert module.main(["--check"]) == 1


def test_the_lineage_goes_from_lenet_to_efficientnet_l2() -> None:
    """In the order of the years, without a family left out that has an accuracy on ImageNet."""
    drawn = [architecture(entry.name) for entry in script("draw_lineage").entries()]
    years = [row.paper.year for row in drawn if row.paper]
    assert years == sorted(years)
    assert (drawn[0].name, years[0]) == ("lenet5", 1998)
    assert drawn[-1].name == "tf_efficientnet_l2"
    measured = {row.family for rows in FAMILIES.values() for row in rows if script("draw_lineage").entry(row).top1}
    assert measured - {row.family for row in drawn} == set()


def test_every_family_has_a_size_for_cifar() -> None:
    for family in CLASSIFIERS:
        rows = FAMILIES[family]
        assert any(row.image_size == 32 for row in rows), f"{family} has no network for images of 32 pixels"


def test_list_shows_all_by_family_and_year(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    shown = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(shown) == list_architectures()
    assert [line.strip() for line in lines if not line.startswith("  ")] == list(FAMILIES)
    years = [int(line.split()[1]) for line in lines if line.startswith("  ")]
    for rows in FAMILIES.values():
        own, years = years[: len(rows)], years[len(rows) :]
        assert own == sorted(own)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_show_works_for_each_family(capsys: pytest.CaptureFixture[str], family: str) -> None:
    """For the two smallest; the counts of all are tested elsewhere."""
    rows = sorted(FAMILIES[family], key=lambda row: row.params or 0)[:2]
    for row in rows:
        assert main(["show", row.name]) == 0
        out = capsys.readouterr().out
        assert f"\n{row.name}\n" in out
        assert f"{row.params:,}" in out


@pytest.mark.slow
def test_listing_builds_no_network() -> None:
    code = """
import torch.nn as nn
def refuse(self, *args, **kwargs): raise AssertionError("a module was built")
nn.Module.__init__ = refuse
import convatlas
from convatlas.architectures import architecture
assert len([architecture(name).options() for name in convatlas.list_architectures()]) > 100
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def calls_of(statements: str) -> int:
    """Returns how many Python functions statements call in a fresh process, where they must not import torch.

    Seconds depend on what else the machine does; a tenth of a second is some 100,000 calls.
    """
    code = f"""
import sys
calls = 0
def count(frame, event, argument):
    global calls
    calls += event == "call"
sys.setprofile(count)
{statements}
sys.setprofile(None)
assert "torch" not in sys.modules
print(calls)
"""
    return int(subprocess.check_output([sys.executable, "-c", code]))


def test_import_costs_next_to_nothing_beside_torch() -> None:
    assert calls_of("import convatlas") < 10_000


@pytest.mark.slow
def test_the_registry_costs_next_to_nothing_beside_torch() -> None:
    assert calls_of("import convatlas; convatlas.list_architectures()") < 40_000


# ------------------------------------------------------------------------- a small network of each family, and learning

# Thinned where the smallest row is large: name, options. The images have 32 pixels.
THINNED: dict[str, tuple[str, dict[str, object]]] = {
    "lenet": ("lenet_cifar", {}),
    "alexnet": ("alexnet_cifar_stem", {"widths": (16, 32, 48, 32, 32), "hidden": 64, "dropout": 0.0}),
    "vgg": ("vgg11_bn_cifar", {"widths": (16, 32, 64, 64, 64)}),
    "nin": ("nin_cifar", {"width": 48, "narrow": 40, "narrowest": 24, "dropout": 0.0}),
    "googlenet": ("googlenet_uva", {}),
    "inception": ("inception_v3_cifar_stem", {"depths": (1, 1, 1), "width": 0.125}),
    "inception_resnet": ("inception_resnet_v1_cifar_stem", {"depths": (1, 1, 1), "dropout": 0.0}),
    "resnet": ("resnet18_cifar_stem", {"widths": (16, 32, 64, 128), "stem_channels": 16}),
    "preact_resnet": ("preact_resnet164", {"depths": (2, 2, 2)}),
    "wide_resnet": ("wide_resnet28_2", {"depths": (1, 1, 1)}),
    "resnext": ("resnext29_32x4d_cifar", {"depths": (1, 1, 1), "widths": (64, 128, 256), "groups": 8}),
    "senet": ("seresnet50_cifar_stem", {"depths": (1, 1, 1, 1), "widths": (64, 128, 256, 256)}),
    "densenet": ("densenet_bc_100_12", {"depths": (2, 2, 2)}),
    "mobilenet": ("mobilenet_v2_cifar", {"width": 0.25}),
    "efficientnet": ("efficientnet_b0_cifar", {"width": 0.5, "depth": 0.5, "dropout": 0.0}),
    "bit": ("bit_resnet26_cifar", {"depths": (1, 1, 1, 1), "widths": (32, 64, 64, 128)}),
    "dpn": (
        "dpn26_cifar",
        {
            "stem_channels": 16,
            "depths": (2, 1, 1, 1),
            "widths": (32, 64, 64, 128),
            "inner_widths": (16, 32, 32, 64),
            "growth_rates": (8, 8, 8, 16),
            "groups": 8,
        },
    ),
}


# These learn their images at 16 pixels, in less time.
COSTLY = (
    "nin",
    "googlenet",
    "densenet",
    "inception_resnet",
    "wide_resnet",
    "resnext",
    "senet",
    "dpn",
    "preact_resnet",
    "bit",
    "mobilenet",
)


def thinned(family: str) -> Architecture:
    name, options = THINNED[family]
    row = architecture(name)
    return dataclasses.replace(row, builder=partial(row.builder, **options), params=None, macs=None)


def test_every_family_has_a_thinned_network() -> None:
    """Those of detectors are in the tests of their families."""
    assert set(THINNED) == CLASSIFIERS
    assert set(FAMILIES) - CLASSIFIERS == {"efficientdet"}


@pytest.mark.parametrize("family", THINNED)
def test_contract_of_each_family(family: str) -> None:
    check_architecture(thinned(family))


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="CONVATLAS_TEST_DATA names no folder")
@pytest.mark.parametrize("family", THINNED)
def test_each_family_overfits_64_real_images(family: str) -> None:
    """64 photographs of CIFAR-10 are learned by heart, to at least 95 %: none of the networks is only a shape."""
    data = load_data("cifar10", folder=Path(str(DATA)) / "data/cifar10-lossless-part")
    chosen = data.train.pixels[:64]
    pixels = 16 if family in COSTLY else 32
    images = network_input(Preprocessing(pixels, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))(chosen))
    labels = data.train.labels[:64]
    assert labels.unique().numel() == 10
    torch.manual_seed(0)
    network = thinned(family).build().train().to(memory_format=torch.channels_last)
    if family == "nin":  # its initial deviation, 0.05, is for the paper's widths: in thin layers all would fade
        initialize_kaiming(network, activation="relu", fan="fan_in")
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3 if family == "nin" else 5e-3)
    for _step in range(150):
        output = network(images)
        loss = total_loss(output, lambda logits: F.cross_entropy(logits, labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        top1 = (logits_of(output).argmax(1) == labels).double().mean().item()
        if top1 >= 0.95:
            break
    assert top1 >= 0.95, f"{family} has learned {100 * top1:.0f} % after 150 steps"


# ------------------------------------------------------------------------------------------------ the textbook


def test_the_page_of_the_textbook_is_what_the_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert script("write_textbook").main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_of_the_textbook_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script("write_textbook")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/textbook.md").write_text(module.page().replace("77.68", "77.69"), encoding="utf-8")
    assert module.main(["--check"]) == 1
    assert module.main([]) == 0
    assert module.main(["--check"]) == 0
