"""docs/bit_notebook.md runs from top to bottom, and its steps do what the page says of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from convatlas.cli import main

PAGE = Path(__file__).resolve().parent.parent / "docs" / "bit_notebook.md"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def shell(block: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs the lines of a block and returns what they print."""
    printed = ""
    for line in block.replace("\\\n", " ").splitlines():
        program, *words = shlex.split(line)
        code = main([*words, *(["--quiet"] if words[0] in ("train", "finetune") else [])])
        output = capsys.readouterr()
        assert (program, code) == ("convatlas", 0), f"{line}\n{output.err}"
        printed += output.out
    return printed


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    said: dict[str, str] = {}
    for number, (language, block) in enumerate(BLOCKS):
        if language == "python":
            exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
            said[block.splitlines()[0]] = capsys.readouterr().out
        else:
            assert language == "sh"
            said[shlex.split(block)[1]] = shell(block, capsys)
    assert "stem.conv.weight (16, 1, 3, 3)" in said["import convatlas"]
    assert names["loss"].item() == pytest.approx(np.log(7))
    assert names["data"].train.labels.bincount().tolist() == [5] * 5
    assert Image.open(tmp_path / "runs" / "five_of_each.png").size == (500, 500)
    assert "25 training images, fewer than 20,000: a small task" in said["hyperrule"]
    rates = [
        float(line.split()[1])
        for line in said["from convatlas.recipe import DataFacts, rate_factor, recipe_or_rule"].splitlines()
    ]
    assert rates == pytest.approx([0, 0.0015, 0.003, 0.0003, 3e-5, 3e-6])
    assert "new: head" in said["run = convatlas.finetune("]
    lines = said["for row in run.metrics():"].splitlines()
    assert [line.split(":")[0].split()[1] for line in lines] == ["25", "50", "75", "100", "0", "25", "50", "75", "100"]
    last = re.findall(r"([\d.]+)% of \d+ test", lines[-1])[0]
    assert float(last) > 40  # by chance it would be 20
    assert f"{last} %" in said["evaluate"]
