"""The command line: what it prints, its exit codes, and one clear line for every bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from convatlas.cli import main
from convatlas.cli.options import print_json
from convatlas.cli.program import VERBS
from convatlas.recipe import recipe

pytestmark = pytest.mark.usefixtures("quick_runs")

FAST = ["--epochs", "1", "--batch-size", "256", "--set", "image_size=8", "--quiet"]
SMALL = ["-o", "depths=1,1,1", "-o", "widths=8,16,16"]

OWN = '''
"""A network of a user's own."""
from torch import nn
from convatlas.layers import ConvNormAct, classifier, sequential


def mine(*, num_classes: int = 10, in_channels: int = 3, width: int = 8):
    return sequential(
        stem=ConvNormAct(in_channels, width, 3),
        stage1=ConvNormAct(width, 2 * width, 3, stride=2),
        head=classifier(2 * width, num_classes),
    )
'''


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = main([str(word) for word in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "resnet*")
    assert code == 0
    assert "resnet_uva" in out
    assert "272,378" in out
    assert "densenet_uva" not in out


def test_a_recipe_as_yaml_is_a_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(run(capsys, "list", "--recipes", "uva_adam", "--yaml")[1])
    assert recipe(str(tmp_path / "mine.yaml")) == recipe("uva_adam")


@pytest.mark.slow
def test_a_finished_run_says_that_nothing_was_trained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["train", "resnet_uva", *FAST, *SMALL, "--out", str(tmp_path / "run")]
    assert "nothing was trained" not in run(capsys, *words)[1]
    assert " s, loaded: nothing was trained\n" in run(capsys, *words)[1]


def test_help_lists_the_verbs_in_the_order_of_work(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "--help")[1]
    commands = out.partition("Commands")[2]
    assert re.findall(r"^│ (\w+)  ", commands, re.MULTILINE) == [*VERBS]


def test_weights_are_named_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "torchvision, torchvision_v2: for --weights" in run(capsys, "show", "resnet50")[1]
    assert "convatlas show ARCH lists them" in " ".join(
        re.sub("[│╭╰─]", "", run(capsys, "predict", "--help")[1]).split()
    )


def test_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"highest": float("inf"), "losses": [float("nan"), 1.0]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"highest": None, "losses": [None, 1.0]}


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(run(capsys, "list", "--json")[1])["architectures"]
    assert [row["architecture"] for row in rows] == sorted(row["architecture"] for row in rows)
    years = {row["architecture"]: row["paper"]["year"] for row in rows}
    assert (years["densenet_uva"], years["resnet20"], years["densenet_bc_100_12"]) == (2020, 2015, 2016)


def test_recipes_are_listed_by_flat_names(capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in json.loads(run(capsys, "list", "--recipes", "--json")[1])["recipes"]}
    assert rows["uva_sgd"]["optimizer"] == "sgd"
    assert (rows["uva_sgd"]["epochs"], rows["uva_sgd"]["milestones"], rows["uva_sgd"]["flip"]) == (180, [100, 150], 0.5)
    code, out, _ = run(capsys, "list", "uva*", "--recipes")
    assert code == 0
    assert "uva_sgd: 180 epochs of batches of 128, sgd at 0.1, multi_step at 100, 150, float32\n" in out
    assert "  source: University of Amsterdam" in out


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "googlenet_uva")
    assert code == 0
    for text in ("260,650", "79,643,904", "inception4d", "128 x 16 x 16", "Lippe 2020"):
        assert text in out


def test_show_json_keeps_the_contract(capsys: pytest.CaptureFixture[str]) -> None:
    content = json.loads(run(capsys, "show", "densenet_uva", "--json", "-o", "growth_rate=8")[1])
    assert {"params", "macs", "layers"} <= content.keys()
    assert content["params"] == sum(stage["params"] for stage in content["stages"]) < 239_146
    assert content["macs"] == sum(layer["macs"] for layer in content["layers"])


@pytest.mark.parametrize("verb", ["", "list", "show", "train", "evaluate", "predict", "compare", "report"])
def test_help_has_an_example(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    code, out, _ = run(capsys, *[verb] if verb else [], "--help")
    assert code == 0
    assert "convatlas" in out
    assert "Example" in out or not verb


@pytest.mark.parametrize("words", [[verb] for verb in VERBS] + [["data", "check"], ["data", "convert"]])
def test_help_fills_the_width_of_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """A line ends only where the next word has no room; the line breaks of the source do not come through."""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(capsys, *words, "--help")
    description = out.partition("╭")[0]
    assert code == 0
    assert "Usage: " in description
    for line, following in pairwise(description.splitlines()):
        if line.strip() and following.strip():
            assert len(f"{line.rstrip()} {following.split()[0]}") > 79, line


@pytest.mark.slow
def test_train_then_evaluate_then_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, out, _ = run(capsys, "train", "resnet_uva", *FAST, *SMALL, "--out", folder, "--json")
    assert code == 0
    trained = json.loads(out)["results"]
    code, out, _ = run(capsys, "evaluate", folder, "--json")
    content = json.loads(out)
    keys = {"architecture", "data", "split", "precision", "n", "correct", "top1", "top5", "loss", "per_class"}
    keys |= {"balanced_accuracy", "macro_f1", "per_class_n", "per_class_correct"}
    assert content.keys() == keys | {"published", "notes"}
    assert (content["n"], content["top1"]) == (360, trained["test_top1"])
    assert [content[name] for name in ("balanced_accuracy", "macro_f1")] == [
        trained["test_balanced_accuracy"], trained["test_macro_f1"]
    ]  # fmt: skip
    counts = content["per_class_n"].values()
    assert (sum(counts), max(counts) / min(counts)) == (360, trained["test_imbalance"])
    assert sum(content["per_class_correct"].values()) == content["correct"]
    assert list(content["per_class"]) == list("0123456789")
    code, out, _ = run(capsys, "evaluate", folder, "--split", "validation")
    assert code == 0
    assert re.search(r"of 360\).*, balanced accuracy [0-9.]+ %, macro F1 [0-9.]+ %, loss", out)
    assert "class  images  correct  accuracy" in out
    (folder / "curves.png").unlink()
    assert run(capsys, "report", folder)[0] == 0
    assert (folder / "curves.png").is_file()
    code, _, err = run(capsys, "train", "resnet_uva", *FAST, *SMALL, "--out", folder, "--seed", "3")
    assert code == 2
    assert "another run (seed 3 here, 0 there)" in err


@pytest.mark.slow
def test_own_network_goes_through_every_verb(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    name = f"{path}:mine"
    assert "stage1" in run(capsys, "show", name)[1]
    assert run(capsys, "train", name, *FAST, "-o", "width=4", "--out", tmp_path / "run")[0] == 0
    assert run(capsys, "evaluate", tmp_path / "run")[0] == 0
    out = tmp_path / "study"
    loud = [word for word in FAST if word != "--quiet"]
    code, text, err = run(capsys, "compare", name, f"{name}@uva_adam", *loud, "--seeds", "1", "--out", out)
    assert code == 0
    assert "mine" in text
    assert "quick[epochs=1,batch_size=256,image_size=8]" in err  # square brackets are text and not markup
    assert run(capsys, "report", out)[0] == 0
    assert {row["architecture"] for row in json.loads((out / "results.json").read_text())["rows"]} == {"mine"}


@pytest.mark.slow
def test_a_moved_own_network_is_named_with_arch(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path, moved = tmp_path / "own.py", tmp_path / "moved.py"
    path.write_text(OWN)
    assert run(capsys, "train", f"{path}:mine", *FAST, "--out", tmp_path / "a" / "run")[0] == 0
    path.rename(moved)
    code, _, err = run(capsys, "evaluate", tmp_path / "a" / "run")
    assert code == 2
    assert "name it with --arch FILE.py:NAME" in err
    assert run(capsys, "evaluate", tmp_path / "a" / "run", "--arch", f"{moved}:mine")[0] == 0
    code, _, err = run(capsys, "evaluate", tmp_path / "a")
    assert code == 2
    assert "1 below it, such as" in err


@pytest.mark.slow
def test_failed_runs_give_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN + "\nclass Bad(nn.Linear):\n    def __init__(self): super().__init__(64, 10)\n"
                    "    def forward(self, x):\n        assert x.device.type == 'meta' or len(x) == 2, 'bad network'\n"
                    "        return super().forward(x.flatten(1))\n"
                    "def bad(*, num_classes=10, in_channels=1): return Bad()\n")  # fmt: skip
    words = [f"{path}:bad", f"{path}:mine", *FAST, "--seeds", "1", "--out", tmp_path / "out"]
    code, out, _ = run(capsys, "compare", *words)
    assert code == 1
    assert "bad network" in out
    assert "mine" in out
    code, _, err = run(capsys, "train", f"{path}:bad", *FAST, "--out", tmp_path / "one")
    assert code == 1
    assert err.count("\n") == 1
    assert "bad network" in err


BAD_INPUT = [
    (["train", "resnet_uvaa"], "did you mean resnet_uva"),
    (["train", "resnet_uva", "--data", "digitz"], "did you mean digits"),
    (["train", "resnet_uva", "--recipe", "quickk"], "did you mean quick"),
    (["train", "resnet_uva", "--epochs", "0"], "epochs=0"),
    (["train", "resnet_uva", "--epochs", "-5"], "epochs=-5"),
    (["train", "resnet_uva", "--epochs", "two"], "epochs='two'"),
    (["train", "resnet_uva", "--batch-size", "0"], "batch_size=0"),
    (["train", "resnet_uva", "--lr", "0"], "lr=0"),
    (["train", "resnet_uva", "--lr", "nan"], "lr="),
    (["train", "resnet_uva", "--lr", "1e9"], "lr="),
    (["train", "resnet_uva", "--seed", "x"], "seed='x'"),
    (["train", "resnet_uva", "--seed", "-1"], "seed=-1"),
    (["train", "resnet_uva", "--device", "tpu"], "unknown device 'tpu'"),
    (["train", "resnet_uva", "--precision", "fp4"], "float32"),
    (["train", "resnet_uva", "-o", "depth=3"], "did you mean depths"),
    (["train", "resnet_uva", "-o", "depths"], "NAME=VALUE"),
    (["train", "resnet_uva", "-o", "depths=a,b"], "whole number"),
    (["train", "resnet_uva", "-o", "activation=swish"], "relu"),
    (["train", "resnet_uva", "-o", "num_classes=3"], "num_classes=3"),
    (["train", "resnet_uva", "--set", "lrr=3"], "did you mean lr"),
    (["train", "resnet_uva", "--set", "lr=1", "--lr", "2"], "given twice"),
    (["train", "resnet_uva", "--set", "flip=2"], "flip=2"),
    (["train", "nofile.py:net"], "no file"),
    (["train", "resnet_uva", "--out", "/proc/nowhere"], "cannot write"),
    (["train", "resnet_uva", "--nonsense"], "nonsense"),
    (["train"], "ARCH"),
    (["compare", "resnet_uva", "--seeds", "0"], "--seeds '0'"),
    (["compare", "resnet_uva", "--seeds", "many"], "--seeds 'many'"),
    (["compare", "resnet_uva@nope"], "unknown recipe 'nope'"),
    (["compare", "resnet_uva", "resnet_uva"], "2 times"),
    (["compare", "resnet_uva", "--out", "/proc/nowhere"], "cannot write"),
    (["evaluate", "nowhere"], "no run at nowhere"),
    (["evaluate", "."], "no run"),
    (["report", "nowhere"], "no folder nowhere"),
    (["show", "resnet_uva", "--image-size", "2", "-o", "depths=0,0,0"], "at least 1"),
    (["show", "densenet_uva", "--image-size", "4"], "4 x 4"),
    (["list", "zebra"], "unknown architecture 'zebra'"),
    (["list", "--yaml"], "--yaml prints a recipe"),
    (["train", "resnet_uva", "--recipe", ""], "unknown recipe ''"),
    (["compare", "resnet_uva", "--recipe", ""], "unknown recipe ''"),
    (["data", "show", "digits", "--recipe", ""], "unknown recipe ''"),
    (["list", "--recipes", "uva*", "--yaml"], "by its whole name"),
    (["list", "foo*"], "no architecture matches the pattern 'foo*'"),
    (["list", "[xyz]?", "--recipes"], "no recipe matches the pattern '[xyz]?'"),
    (["train", "resnet_uva", "--device", "gpu"], "unknown device 'gpu'; did you mean cuda?"),
    (["train", "resnet_uva", "--precision", "bfloat16"], "did you mean bf16?"),
    (["evaluate", "nowhere", "--split", "val"], "did you mean validation?"),
    (["train", "lenet5", "--set", "image_size=16"], "1 x 16 x 16; the smallest that it takes has 32 x 32 pixels"),
    (["frobnicate"], "frobnicate"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=[" ".join(words) for words, _ in BAD_INPUT])
def test_bad_input_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert code == 2, err
    assert not out
    assert err.count("\n") == 1, err
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "show", "nothing", "--debug")
    assert code == 2
    assert "Traceback" in err


@pytest.mark.parametrize("words", ["list", "train --help", "--help"])
def test_a_closed_pipe_is_no_error(words: str) -> None:
    command = f"{sys.executable} -c 'from convatlas.cli import entry; entry()' {words} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_after_the_first_line_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich, which prints tables and results, would end the program with the exit code 1."""
    from convatlas.screen import Screen

    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as stream:
        screen = Screen(file=stream)
        with pytest.raises(BrokenPipeError):
            screen.print("a line")
        screen.print("another one, which nobody reads")


@pytest.mark.slow
def test_ctrl_c_and_resume_of_a_real_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGINT in the middle of a study: exit code 130, the way on in one line, and the same table afterwards."""
    import signal
    import time

    study = tmp_path / "study"
    words = ["compare", "resnet_uva", "--seeds", "2", "--epochs", "3", "--set", "image_size=8", "--out", str(study)]
    # Whoever starts the tests in the background leaves SIGINT ignored in all that they start.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = [sys.executable, "-c", f"{listening}; from convatlas.cli import entry; entry()", *words, *SMALL]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 1/3" in line:
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)
    rest = process.stderr.read()
    assert process.wait(60) == 130
    assert "--resume goes on with" in rest
    tables = []
    for folder, more in ((study, ["--resume"]), (tmp_path / "whole", [])):  # in this process, which has all imported
        again = [str(folder) if word == str(study) else word for word in words]
        assert main([*again, *SMALL, *more, "--json"]) == 0
        runs = json.loads(capsys.readouterr().out)["rows"][0]["runs"]
        tables.append([(run["seed"], run["val_top1"], run["test_top1"]) for run in runs])
    assert tables[0] == tables[1]


STOPPING = """
import importlib.abc, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Stop(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Stop())
from convatlas.cli import entry
entry()
"""


@pytest.mark.parametrize("module", ["typer", "convatlas.cli.runs", "torch", "torch.nn"])
@pytest.mark.parametrize(("signal", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_stop_while_modules_are_imported(tmp_path: Path, module: str, signal: str, code: int) -> None:
    words = ["train", "resnet_uva", "--out", str(tmp_path / "run"), "--quiet"]
    program = [sys.executable, "-c", STOPPING.format(module=module, signal=signal), *words]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "convatlas: stopped\n")
    assert not (tmp_path / "run").exists()


def test_sigterm_in_training_ends_with_143_and_the_run_goes_on(tmp_path: Path) -> None:
    """The signal comes somewhere after the second epoch; what is on disk is whole."""
    import multiprocessing
    import time

    from convatlas.cli import entry
    from convatlas.files import TEMPORARY
    from convatlas.run import read_run

    folder, said = tmp_path / "run", tmp_path / "said"
    words = ["convatlas", "train", "resnet_uva", "--epochs", "1000", "--set", "image_size=8", "--out", str(folder)]

    def work() -> None:
        with said.open("w", buffering=1) as file:
            sys.stderr, sys.argv = file, [*words, *SMALL, "--batch-size", "256"]
            entry()

    process = multiprocessing.get_context("fork").Process(target=work)  # a fresh one would import for seconds
    process.start()
    while process.is_alive() and not (said.exists() and "epoch    2/1000" in said.read_text()):
        time.sleep(0.05)
    process.terminate()
    process.join(60)
    lines = said.read_text().splitlines()
    assert process.exitcode == 143, lines
    assert lines[-1] == f"stopped; the same command with --resume goes on with {folder}"
    assert not [line for line in lines if "Traceback" in line]
    run = read_run(folder)
    assert run.status == "unfinished"
    assert len(run.metrics()) >= 2
    assert run.last_checkpoint.is_file()
    assert not list(run.path.rglob(f"{TEMPORARY}*"))


ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def steers(text: str) -> bool:
    return any(not character.isprintable() and character not in "\n\t" for character in text)


@pytest.fixture
def escapes(tmp_path: Path) -> Path:
    """Invented runs, images, recipes and networks whose names and texts steer a terminal."""
    from dataclasses import replace

    from PIL import Image

    from convatlas.run import Run
    from fixtures import fake_data, fake_record, write_fake_run

    names = (f"zero{ESCAPE}", "one")
    for part in ("train", "val", "test"):
        for name in names:
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for index in range(4):
                Image.new("L", (16, 16), 60 * index).save(folder / f"{part}{index}{ESCAPE}.png")
    study = tmp_path / f"study{ESCAPE}"
    classes = tuple(f"{index}{ESCAPE}" for index in range(10))
    data = replace(fake_data(), classes=classes, source=f"made{ESCAPE}", name="digits")
    notes = (f"a note{ESCAPE}",)
    recipe = {"name": f"quick{ESCAPE}", "epochs": 5, "batch_size": 64, "optimizer": "adamw", "lr": 0.01}
    for seed in range(3):
        write_fake_run(study / f"a{ESCAPE}" / f"seed{seed}", "resnet_uva", seed=seed, data=data, notes=notes)
        write_fake_run(study / "b" / f"seed{seed}", "lenet5", seed=seed, data=data, recipe=recipe)
    failed = fake_record("nin", status="failed", results={"error": f"out of {ESCAPE}"})
    Run(study / "c" / "seed0", failed).write()
    odd = f"def odd(*, num_classes=10, in_channels=3):\n    raise type({ESCAPE!r}, (Exception,), {{}})({ESCAPE!r})\n"
    own = f"{OWN}\n{odd}"
    (tmp_path / f"own{ESCAPE}.py").write_text(own)
    (tmp_path / f"recipe{ESCAPE}.yaml").write_text(f"name: {json.dumps('x' + ESCAPE)}\n{ESCAPE}: 3\n")
    (tmp_path / f"text{ESCAPE}.png").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["list", f"x{ESCAPE}"],
        ["list", "--recipes", f"x{ESCAPE}"],
        [f"verb{ESCAPE}"],
        ["show", f"resnet_uva{ESCAPE}"],
        ["show", "resnet_uva", f"--flag{ESCAPE}"],
        ["show", "resnet_uva", "-o", f"width{ESCAPE}=3"],
        ["show", f"own{ESCAPE}.py:mine"],
        ["show", f"own{ESCAPE}.py:odd"],
        ["show", f"own{ESCAPE}.py:none{ESCAPE}"],
        ["show", f"own{ESCAPE}.py:mine", "--json"],
        ["bench", f"lenet5{ESCAPE}"],
        ["data", "show", "folder:data"],
        ["data", "check", "folder:data"],
        ["data", "check", f"folder:{ESCAPE}"],
        ["data", "check", f"digits{ESCAPE}"],
        ["train", "lenet5", "--recipe", f"recipe{ESCAPE}.yaml"],
        ["train", "lenet5", "--recipe", f"none{ESCAPE}"],
        ["train", "resnet_uva", "--set", f"lr={ESCAPE}"],
        ["train", f"own{ESCAPE}.py:mine", "--data", "folder:data", "--out", f"run{ESCAPE}", *FAST[:-1]],
        ["train", f"own{ESCAPE}.py:mine", "--data", "folder:data", "--out", f"run2{ESCAPE}", *FAST, "--json"],
        ["compare", f"own{ESCAPE}.py:mine", "--data", "folder:data", "--seeds", "1", "--out", f"s{ESCAPE}", *FAST[:-1]],
        ["report", f"study{ESCAPE}", "--out", f"report{ESCAPE}"],
        ["report", f"study{ESCAPE}", "--out", f"report{ESCAPE}", "--json"],
        ["evaluate", f"study{ESCAPE}/b/seed0"],
        ["evaluate", f"run{ESCAPE}"],
        ["predict", f"study{ESCAPE}/b/seed0", f"text{ESCAPE}.png"],
        ["predict", f"none{ESCAPE}", f"text{ESCAPE}.png"],
    ],
    ids=lambda words: " ".join(words).replace(ESCAPE, "~"),
)
def test_no_name_steers_the_terminal(
    escapes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.chdir(escapes)
    code, out, err = run(capsys, *words)
    assert not steers(out), [line for line in out.splitlines() if steers(line)]
    assert not steers(err), [line for line in err.splitlines() if steers(line)]
    assert code in ((0, 1, 2) if words[:2] == ["data", "check"] else (0, 2)), err
    assert "Traceback" not in err
