"""Names that are not UTF-8, or not in the locale's encoding: JSON is always valid, and nothing is half made."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import data_files as made
from convatlas.cli import main
from convatlas.errors import UsageError
from convatlas.files import check_writable, make_writable, read_json, write_json, write_text
from convatlas.run import check_nameable
from convatlas.run.circumstances import command
from convatlas.weights import read_checkpoint

ODD = os.fsdecode(b"odd\xff")
TRAIN = ("--epochs", "1", "--set", "image_size=32", "--quiet", "--json")
STRANGE = "is not UTF-8, in which names are written down"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")


def photos(root: Path, *classes: str) -> Path:
    """Six pictures of each class, whose names are not UTF-8."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for place, picture in enumerate(made.pixels(6, 40, 40, 3, seed=number)):
            (root / name / f"{ODD}{place}.png").write_bytes(made.encoded(picture))
    return root


@pytest.mark.parametrize(
    "words",
    [
        ("train", "lenet5", "--data", "digits", *TRAIN, "--out", f"here/{ODD}"),
        ("train", "lenet5", "--data", "digits", *TRAIN, "--out", f"{ODD}/here"),
        ("compare", "lenet5", "--data", "digits", *TRAIN, "--out", ODD),
        ("train", "lenet5", "--data", f"folder:photos{ODD}", *TRAIN, "--out", "here"),
        ("train", "lenet5", "--data", "folder:photos", *TRAIN, "--out", "here"),
        ("compare", "lenet5", "--data", "folder:photos", *TRAIN, "--out", "here"),
    ],
)
def test_a_name_that_cannot_be_written_down_is_refused_before_anything_is_made(
    tmp_path: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", "cats", f"dogs{ODD}")
    photos(tmp_path / f"photos{ODD}", "cats", "dogs")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert STRANGE in err
    assert r"odd\udcff" in err
    assert sorted(tmp_path.rglob("*")) == before


def answer(words: list[str], *, encoding: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The bytes that a command writes on a standard output of this encoding."""
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding=encoding, errors="surrogateescape")
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        assert main(words) == 0
    stream.flush()
    return content.getvalue()


@pytest.mark.parametrize("encoding", ["UTF8", "latin-1", "ascii"])
@pytest.mark.parametrize("odd", [ODD, "café 日本", "\u2028\x1b[2J"])
def test_json_is_valid_in_any_locale_whatever_the_names(
    tmp_path: Path, encoding: str, odd: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = photos(tmp_path / f"photos{odd}", f"cats{odd}", "dogs")
    monkeypatch.chdir(tmp_path)
    content = answer(["data", "check", f"folder:{root}", "--json"], encoding=encoding, monkeypatch=monkeypatch)
    found = json.loads(content.decode("utf-8"))
    assert set(found["splits"]["train"]["per_class"]) == {f"cats{odd}", "dogs"}
    assert found["source"] == str(root)


@pytest.mark.slow
def test_a_table_is_shown_in_a_locale_without_the_letters(tmp_path: Path) -> None:
    root = photos(tmp_path / "café", "cats", f"dogs{ODD}")
    program = "from convatlas.cli import entry; entry()"
    done = subprocess.run(
        [sys.executable, "-c", program, "data", "check", f"folder:{root}"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert rb"Images of caf\xe9, a folder for each class" in done.stdout
    assert rb"dogsodd\udcff" in done.stdout


def test_what_is_written_is_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "a.json", {"name": ODD, "other": ["café", "\ud800"]})
    assert read_json(tmp_path / "a.json") == {"name": ODD, "other": ["café", "\ud800"]}
    assert "café" in (tmp_path / "a.json").read_text(encoding="utf-8")
    write_text(tmp_path / "a.txt", f"café {ODD}")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == r"café odd\udcff"
    monkeypatch.setattr(sys, "argv", ["/bin/convatlas", "data", "check", "--data-dir", ODD])
    assert command() == r"convatlas data check --data-dir 'odd\udcff'"


def test_a_folder_of_a_strange_name_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{STRANGE}; choose another with --out"):
        check_writable(tmp_path / ODD)
    assert not list(tmp_path.iterdir())
    check_writable(tmp_path / "new/folder")
    assert not list(tmp_path.iterdir()), "what is written makes its folder itself"
    check_writable(tmp_path)
    make_writable(tmp_path / "new/folder")
    check_writable(tmp_path / "new/folder")
    (tmp_path / "new/folder").rmdir()
    (tmp_path / "new").rmdir()
    check_nameable({"a": ["café", 1, None, ("b",)]})
    strange: list[Any] = [ODD, {"a": ODD}, [[{"a": ("b", ODD)}]]]
    for content in strange:
        with pytest.raises(UsageError, match=f"{STRANGE}; rename"):
            check_nameable(content)


def test_a_checkpoint_of_a_strange_name_is_not_called_damaged(tmp_path: Path) -> None:
    from hostile_files import good_files

    for suffix, content in good_files().items():
        path = tmp_path / f"{ODD}{suffix}"
        path.write_bytes(content)
        if suffix == ".safetensors":  # its library takes names in UTF-8 only
            with pytest.raises(UsageError, match=f"{STRANGE}; rename the file"):
                read_checkpoint(path)
        else:
            assert read_checkpoint(path)
