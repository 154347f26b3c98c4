"""README.md does what it says: its commands and its Python run, its table and network are those in the project.

Commands on CIFAR-10 run on a few invented images, those that download a checkpoint on the one in CONVATLAS_TEST_DATA.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from PIL import Image

import convatlas
import data_files
from convatlas import architectures as registry
from convatlas.architectures import architecture
from convatlas.checks import check_architecture
from convatlas.cli import main
from convatlas.data import class_names
from convatlas.run import read_run
from convatlas.weights import file_sha256
from data_files import torchvision_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
WRITTEN = re.sub(r"<!-- demo:begin -->.*?<!-- demo:end -->", "", README, flags=re.DOTALL)
TINY = ["--epochs", "1", "--set", "image_size=8"]
SMALL = ["--image-size", "16", "--batch-size", "8"]
HEAD = ["--epochs", "1", "--set", "image_size=32"]
SHORT = {
    "finetune": HEAD,
    "compare": [*TINY, "--seeds", "1"],
    "train": TINY,
    "semi": ["--steps", "2", "--set", "image_size=8", "--set", "epoch_steps=2"],
    "bench": SMALL,
    "gradients": ["--images", "4"],
    "landscape": ["--grid", "5", "--images", "4"],
    "degradation": ["plain20", "plain32", *TINY],
}  # appended: seconds, not hours
VERBS = {
    "list",
    "show",
    "data",
    "train",
    "finetune",
    "semi",
    "hyperrule",
    "transfer",
    "evaluate",
    "predict",
    "compare",
    "report",
    "bench",
    "gradients",
    "explain",
    "landscape",
    "degradation",
    "disagree",
}
FOLDER = os.environ.get("CONVATLAS_TEST_DATA")


def load_script() -> ModuleType:
    """docs/update_readme.py, which is in no package."""
    if str(ROOT / "docs") not in sys.path:
        sys.path.insert(0, str(ROOT / "docs"))
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "docs/update_readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(program: str) -> list[list[str]]:
    """The command lines of `program` in code, in the README's order."""
    blocks = [body for language, body in re.findall(r"```(\w*)\n(.*?)```", WRITTEN, re.DOTALL) if language == "sh"]
    text = re.sub(r"```.*?```", lambda match: match[0].replace("`", ""), WRITTEN, flags=re.DOTALL)
    inline = re.findall(rf"`({program} [^`\n]+)`", text)
    lines = [line for body in blocks for line in body.splitlines() if line.startswith(f"{program} ")]
    return [shlex.split(line) for line in sorted(inline + lines, key=WRITTEN.index)]


APART = ("photos", "--weights", "--protocol")  # lines that have a test of their own; photos: with one's own images


def lines(kind: str | None) -> list[list[str]]:
    """The `convatlas` lines of this kind of `APART`, or those of none."""
    found = {shlex.join(words): words for words in commands("convatlas")}
    return [words for line, words in found.items() if kind == next((each for each in APART if each in line), None)]


def execute(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a line and returns what it printed."""
    whole = words == ["convatlas", "train", "resnet_uva", "--data", "digits"]  # later lines need this run
    short = [] if whole else SHORT.get(words[1], [])
    if any("image_size" in word for word in words):
        short = [word for word in short if word != "--set" and "image_size" not in word]
    code = main([*words[1:], *short])
    printed = capsys.readouterr()
    assert code == 0, f"{shlex.join(words)}\n{printed.err}"
    assert printed.out.strip(), shlex.join(words)
    return printed.out


@pytest.fixture
def newcomer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that holds what a command of the README needs of the project and of the reader, as the current one."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name, mode in {"digit.png": "L", "photo.png": "RGB"}.items():
        Image.fromarray(data_files.pixels(1, 32, 32, 3)[0]).convert(mode).save(tmp_path / name)
    for index in range(20):  # two classes, of which a fifth each is held out
        folder = tmp_path / "photos" / ("cats", "dogs")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data_files.pixels(index + 1, 40, 48, 3)[index]).save(folder / f"{index}.png")
    data_files.cifar10(tmp_path / "data", each=30)  # a batch of 128, and the part that is held out
    monkeypatch.setenv("CONVATLAS_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb is there, and every line has flags that its verb knows."""
    written = commands("convatlas")
    assert {words[1] for words in written} == VERBS
    for words in written:
        assert main([*words[1:], "--help"]) == 0, shlex.join(words)
        assert "Usage" in capsys.readouterr().out


@pytest.mark.slow
def test_commands(newcomer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in lines(None):
        execute(words, capsys)
    assert (newcomer / "runs/data-digits.png").is_file()
    for folder in ("runs/pair", "runs/mine"):
        assert (newcomer / folder / "report.html").is_file()
    run = newcomer / "runs/digits/resnet_uva@quick/seed0"
    for file in ("run.json", "metrics.csv", "curves.png", "checkpoints/best.ckpt", "predictions.npz"):
        assert (run / file).is_file()
    assert read_run(run).results["test_top1"] > 0.95


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")  # the pictures are drawn in test_commands
def test_published_comparison(newcomer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (words,) = lines("--protocol")
    assert "published 91.06 % on cifar10" in execute(words, capsys)  # the tutorial's ResNet, beside ours
    assert (newcomer / "runs/uva-cifar10/report.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(FOLDER is None, reason="CONVATLAS_TEST_DATA names no folder with a published checkpoint")
def test_commands_with_published_weights(
    newcomer: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the checkpoint where the download would leave it, and the published images, as many as there are."""
    monkeypatch.setattr("pooch.os_cache", lambda _: newcomer / "cache")
    monkeypatch.setenv("CONVATLAS_DATA", f"{FOLDER}/data/cifar10-lossless-part")
    (newcomer / "cache/weights/uva").mkdir(parents=True)
    shutil.copy(f"{FOLDER}/reference/uva-tutorial5/ResNet.ckpt", newcomer / "cache/weights/uva")
    torchvision_file(newcomer / "cache/weights/torchvision", monkeypatch)
    evaluated, predicted, on_imagenet = (execute(words, capsys) for words in lines("--weights"))
    assert "906 of 1000" in evaluated
    assert "photo.png" in predicted
    assert any(name in on_imagenet for name in class_names("imagenet"))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")  # the pictures are drawn in test_commands
def test_own_images(newcomer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's path from a folder of pictures to answers, with the weights of a package."""
    printed = [execute(words, capsys) for words in lines("photos")]
    assert any("a network may be trained on it" in each for each in printed)
    run = read_run(newcomer / "runs/photos")
    assert (run.record.start.published, run.record.start.fresh) == ("pypi", ("head",))
    assert len((newcomer / "answers.csv").read_text().splitlines()) == 21
    assert (newcomer / "runs/compared/report.html").is_file()


def torchvision_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of random weights in place of the published one, whose hash the registry is told."""
    row = architecture("resnet18")
    folder.mkdir(parents=True)
    file = folder / Path(row.weights[0].url).name
    torch.save(torchvision_names(convatlas.create("resnet18").state_dict()), file)
    weights = dataclasses.replace(row.weights[0], sha256=file_sha256(file))
    monkeypatch.setitem(registry._REGISTRY, "resnet18", dataclasses.replace(row, weights=(weights,)))


@pytest.mark.slow
@pytest.mark.usefixtures("quick_runs")  # the pictures are drawn in test_commands
def test_python(newcomer: Path) -> None:
    (block,) = (body for body in re.findall(r"```python\n(.*?)```", WRITTEN, re.DOTALL) if "import convatlas\n" in body)
    names: dict[str, object] = {}
    exec(block, names)
    assert names["network"].head.fc.out_features == 100  # type: ignore[attr-defined]
    result = names["result"]
    assert 0 < result.correct <= result.n == 360  # type: ignore[attr-defined]
    assert names["trained"].head.fc.out_features == 10  # type: ignore[attr-defined]


def test_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = {words[1] for words in commands("make")}
    assert wanted == {"demo", "test"}
    steps = (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()
    for target in wanted:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
        assert f"make {target}" in steps


def test_the_table_is_of_the_demo() -> None:
    """The command beside the table is the Makefile's."""
    found = re.search(r"^- Command: `convatlas (.+)`$", README, re.MULTILINE)
    arguments = re.search(r"^DEMO := (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    assert arguments
    assert shlex.split(found[1]) == ["compare", *shlex.split(arguments[1]), "--resume"]


@pytest.mark.slow
def test_generated_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are what results and examples say, and --check notices a typed number and a changed example."""
    script = load_script()
    assert script.main(["--check"]) == 0
    (tmp_path / "docs").mkdir()
    for path in ("README.md", "docs/benchmarks.md", "results", "examples"):
        copy = shutil.copytree if (ROOT / path).is_dir() else shutil.copy
        copy(ROOT / path, tmp_path / path)
    assert script.main(["--check"], root=tmp_path) == 0
    typed = {"README.md": r"\d\d\.\d\d(?=&nbsp;±)", "docs/benchmarks.md": r"(?<=\| )[\d,]+(?= \|)"}
    for page, number in typed.items():
        text = (tmp_path / page).read_text(encoding="utf-8")
        (tmp_path / page).write_text(re.sub(number, "99.99", text, count=1), encoding="utf-8")
        assert script.main(["--check"], root=tmp_path) == 1
        assert capsys.readouterr().err.startswith(f"{page} is stale")
        assert script.main([], root=tmp_path) == 0
        assert (tmp_path / page).read_text(encoding="utf-8") == text
    assert (tmp_path / "docs/demo.png").read_bytes().startswith(b"\x89PNG")
    example = tmp_path / "examples/my_network.py"
    example.write_text(example.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    assert script.main(["--check"], root=tmp_path) == 1


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("convatlas compare /home/ann/net.py:net --out runs/x", True),
        ("convatlas compare net.py:net --out=/data/x", True),
        ("net.py cannot be read: 'C:\\Users\\ann'", True),
        ("~/net.py:net", True),
        ("Alpaydin and Kaynak 1998, https://archive.ics.uci.edu/dataset/80", False),
        ("convatlas compare examples/my_network.py:my_network --out runs/x", False),
    ],
)
def test_paths_of_a_machine_are_refused(text: str, refused: bool) -> None:
    load_script()
    places = importlib.import_module("places")
    assert bool(places.ABSOLUTE_PATH.search(text)) is refused


@pytest.mark.parametrize("file", sorted((ROOT / "results").rglob("*.json")), ids=lambda path: path.stem)
def test_committed_results_hold_no_path_of_a_machine(file: Path) -> None:
    script = load_script()
    importlib.import_module("places").check_no_places(script.read_json(file), source=file)


def test_links() -> None:
    """Files that the Markdown pages link to are there, and so are headings of the README."""
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.+)$", README, re.M)
    }
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/benchmarks.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text(encoding="utf-8")):
            if target.startswith("#"):
                assert target[1:] in headings, target
            elif not target.startswith("http"):
                assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_own_network_keeps_the_contract() -> None:
    check_architecture(architecture(f"{ROOT}/examples/my_network.py:my_network"))
