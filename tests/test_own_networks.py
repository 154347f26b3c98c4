"""Files of a user's own that mean harm or are wrong: one line with the file and its line, before anything begins."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from convatlas import checks
from convatlas.architectures import architecture
from convatlas.checks import check_own
from convatlas.cli import main
from convatlas.errors import UsageError

LOADING, BUILDING, ANSWERING = 10, 13, 22  # the lines where the code of each moment stands
FILE = """import os
import sys
import torch
from torch import nn


class MyEnd(BaseException):
    def __str__(self):
        raise ValueError
{loading}

def net(*, num_classes=10, in_channels=1):
    {building}
    return Net(in_channels, num_classes)

class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.layer = nn.Linear(channels, classes)

    def forward(self, images):
        {answering}
        logits = self.layer(images.mean((2, 3)))
        return {output}
"""
SMALL = ["--epochs", "1", "--batch-size", "512", "--set", "image_size=8", "--quiet"]
HARM = [
    ("sys.exit()", "it ends the program: SystemExit"),
    ("sys.exit(0)", "it ends the program: 0"),
    ("os._exit(0)", r"it ends the program: os._exit\(0\)"),
    ("os.abort()", r"it ends the program: os.abort\(\)"),
    ("raise GeneratorExit", "GeneratorExit: GeneratorExit"),
    ("raise StopIteration", "StopIteration: StopIteration"),
    ("raise MyEnd", "MyEnd: MyEnd"),
    ("raise BaseExceptionGroup('two', [MyEnd(), MyEnd()])", "BaseExceptionGroup: two .*"),
    ("raise ArithmeticError('\\x1b[2J')", r"ArithmeticError: \\x1b\[2J"),
    ("f = lambda f: f(f); f(f)", "maximum recursion depth|RecursionError: .*"),
    ("raise MemoryError", "MemoryError: MemoryError"),
]


def write(folder: Path, **code: str) -> str:
    """Writes a network's file with the code of each moment, and returns the network's name."""
    usual = {"loading": "pass", "building": "pass", "answering": "pass", "output": "logits"}
    path = folder / "own.py"
    path.write_text(FILE.format(**{**usual, **code}))
    return f"{path}:net"


@pytest.mark.parametrize(("moment", "line"), [("loading", LOADING), ("building", BUILDING), ("answering", ANSWERING)])
@pytest.mark.parametrize(("code", "message"), HARM, ids=[code for code, _ in HARM])
def test_harm_is_one_line_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], moment: str, line: int, code: str, message: str
) -> None:
    name, calls = write(tmp_path, **{moment: code}), (os._exit, os.abort)
    folder = tmp_path / "run"
    assert main(["show", name, "--json"] if moment == "building" else ["train", name, "--out", str(folder)]) == 2
    assert (os._exit, os.abort) == calls
    said = capsys.readouterr()
    assert said.out == ""
    (only,) = said.err.splitlines()
    named = ("net cannot take an image", str(tmp_path / "own.py"))  # some errors say that the image does not fit
    assert only.removeprefix("convatlas: ").startswith(named[0 if "cannot take an image of 1" in only else 1]), only
    assert only.isprintable()
    assert re.search(message, only), only
    assert moment == "answering" or only.endswith(f"(line {line})") or "lambda" in code, only
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n\ndef net(:", r"cannot be imported: SyntaxError: .*\(line 3\)"),
        (b"\xff\xfe\x00", "cannot be imported: SyntaxError"),
        (b"(" * 5000, "cannot be imported: "),
        (b"net = 3", "is no Architecture, and no function or class"),
        (b"from __future__ import annotations\ndef net(*, width: Nothing = 3): pass", "cannot be imported: NameError"),
        (b"def net(*, num_classes=10, in_channels=3): pass", "builds a NoneType"),
    ],
)
def test_a_file_without_a_network(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "own.py").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        architecture(f"{tmp_path / 'own.py'}:net").build()


def test_a_child_of_the_file_may_end_itself(tmp_path: Path) -> None:
    code = "pid = os.fork() or os._exit(7); status = os.waitpid(pid, 0)[1]"
    architecture(write(tmp_path, loading=code))
    path = str(tmp_path / "own.py")
    (module,) = (module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == path)
    assert os.waitstatus_to_exitcode(module.status) == 7


@pytest.mark.usefixtures("quick_runs")
def test_prints_do_not_reach_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moments = ("loading", "building", "answering")
    name = write(tmp_path, **{moment: f"print('{moment}')" for moment in moments})
    for words in (
        ["show", name, "--json"],
        ["train", name, "--out", str(tmp_path / "run"), *SMALL, "--json"],
        ["compare", name, "--seeds", "1", "--out", str(tmp_path / "study"), *SMALL, "--json"],
        ["evaluate", str(tmp_path / "run"), "--json"],
    ):
        assert main(words) == 0
        said = capsys.readouterr()
        json.loads(said.out)
        assert set(moments) <= set(said.err.splitlines())


WRONG = [
    ("(logits, logits)", "gives a tuple, not a tensor"),
    ("dict(out=logits)", "gives a dict, not a tensor"),
    ("'logits'", "gives a str, not a tensor"),
    ("None", "gives a NoneType, not a tensor"),
    ("logits[:1]", r"gives a tensor of shape \(1, 10\)"),
    ("logits.repeat(2, 1)", r"gives a tensor of shape \(4, 10\)"),
    ("logits[:, :9]", r"gives a tensor of shape \(2, 9\)"),
    ("logits[:, :, None, None]", r"gives a tensor of shape \(2, 10, 1, 1\)"),
    ("logits.argmax(1)", r"gives a tensor of shape \(2,\) and type int64"),
    ("logits.long()", r"gives a tensor of shape \(2, 10\) and type int64"),
    ("logits.detach()", "gives logits from which no gradient reaches a parameter"),
    ("logits * float('nan')", "gives logits that are not finite"),
]


@pytest.mark.parametrize(("output", "message"), WRONG, ids=[output for output, _ in WRONG])
def test_a_wrong_output_is_one_line_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, message: str
) -> None:
    name = write(tmp_path, output=output)
    folder = tmp_path / "out"
    wrongs = [["train", name, *SMALL, "--out", str(folder)]]
    if output == "None":
        wrongs += [
            ["compare", name, *SMALL, "--seeds", "1", "--out", str(folder)],
            ["bench", name, "--image-size", "8", "-o", "in_channels=1"],
        ]
    for words in wrongs:
        assert main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(message, line), line
        assert line.endswith("logits of shape (2, 10) are needed for two images of 1 x 8 x 8")
        assert not folder.exists()


def test_a_frozen_network_has_nothing_to_train(tmp_path: Path) -> None:
    row = architecture(write(tmp_path, answering="self.requires_grad_(False)"))
    with pytest.raises(UsageError, match="has no parameter that can be trained"):
        check_own(row, num_classes=10, in_channels=1, image_size=8)


def test_networks_of_the_families_are_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_fault", lambda *_: pytest.fail("computed"))
    check_own(architecture("resnet_uva"), num_classes=10, in_channels=1, image_size=8)
