"""Real photographs: our answers are those of the publisher's network with torchvision's preprocessing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oracles import INSTALLED

FOLDER = os.environ.get("CONVATLAS_TEST_DATA")
SCRIPT = Path(__file__).parent.parent / "bench" / "photographs.py"

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder"),
    pytest.mark.skipif(not INSTALLED.exists(), reason="no torchvision: make .oracles/.installed"),
]


def test_as_many_correct_as_the_publishers_code(tmp_path: Path) -> None:
    """60 photographs; results/bench/photographs.json has all 1,000."""
    out = tmp_path / "photographs.json"
    words = [f"{FOLDER}/data/imagenet-sample", "--count", "60", "--networks", "lite0", "--out", str(out)]
    subprocess.run([sys.executable, str(SCRIPT), *words], check=True, capture_output=True)
    found = json.loads(out.read_text())["results"]["efficientnet_lite0"]
    assert found["n"] == 60
    assert found["ours"] == found["publisher, torchvision on tensors"] >= 45
    assert found["other answers than ours"]["tensors"] == 0
