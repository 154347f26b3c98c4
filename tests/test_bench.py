"""The scripts in bench/: turns and ratios by hand, and scripts on next to nothing (others: tests/test_speed.py)."""

from __future__ import annotations

import argparse
import importlib
import shlex
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image

from convatlas import create
from convatlas.data import load_data
from convatlas.data.images import decoding
from convatlas.files import read_json
from convatlas.prediction import open_predictor
from data_files import cifar10

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))


@pytest.fixture
def turns() -> ModuleType:
    return importlib.import_module("turns")


# ---------------------------------------------------------------------------------------------------------------- turns


def noting(file: Path, name: str, own: float | None) -> Callable[[], float | None]:
    """A way that writes down when it is prepared and when it works."""

    def note(word: str) -> None:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{word} {name}\n")

    def work() -> float | None:
        note("work")
        return own

    note("prepare")
    return work


def failing(_file: Path) -> Callable[[], None]:
    raise ValueError("this way cannot be prepared")


@pytest.mark.slow
def test_turns_alternate(turns: ModuleType, tmp_path: Path) -> None:
    """One at a time, after all are ready; the first round does not count."""
    file = tmp_path / "order"
    ways = {"a": (noting, (file, "a", 2.5)), "b": (noting, (file, "b", None))}
    seconds = turns.in_processes(ways, rounds=2)
    order = file.read_text(encoding="utf-8").splitlines()
    assert order == ["prepare a", "prepare b", "work b", "work a", "work a", "work b", "work b", "work a"]
    assert seconds["a"] == [2.5, 2.5]  # what it measured itself
    assert len(seconds["b"]) == 2
    assert all(0 < taken < 1 for taken in seconds["b"])


@pytest.mark.slow
def test_a_way_that_fails_ends_the_measurement(
    turns: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ways = {"a": (noting, (tmp_path / "order", "a", None)), "b": (failing, (tmp_path,))}
    with pytest.raises(EOFError):
        turns.in_processes(ways, rounds=1)
    assert "this way cannot be prepared" in capfd.readouterr().err


def test_ratios_are_of_one_round(turns: ModuleType) -> None:
    seconds = {"theirs": [2.0, 3.0, 8.0], "ours": [1.0, 2.0, 2.0]}
    assert turns.ratios(seconds, of="theirs") == {"ours": {"median": 2.0, "min": 1.5, "max": 4.0}}


# -------------------------------------------------------------------------------------------------------------- scripts


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A script of bench/ whose ways are measured one after the other, in the test's own process."""

    def in_processes(ways: dict[str, Any], *, rounds: int) -> dict[str, list[float]]:
        seconds = {}
        for name, (prepare, arguments) in ways.items():
            with monkeypatch.context() as alone:  # a way may choose the decoder for its whole process
                alone.setattr(decoding, "simplejpeg", decoding.simplejpeg)
                work = prepare(*arguments)
                seconds[name] = [timed(work) for _ in range(rounds)]
        return seconds

    def load(name: str) -> ModuleType:
        module = importlib.import_module(name)
        if hasattr(module, "in_processes"):
            monkeypatch.setattr(module, "in_processes", in_processes)
        return module

    return load


def timed(work: Callable[[], float | None]) -> float:
    begun = time.perf_counter()
    own = work()
    return time.perf_counter() - begun if own is None else own


def ran(module: ModuleType, words: str, *, file: Path) -> dict[str, Any]:
    """What a script wrote. Its command holds the words with which it ran."""
    module.main([*shlex.split(words), "--out", str(file)])
    content = read_json(file)
    _, script, *said = shlex.split(content["command"])
    assert script == f"bench/{module.__name__}.py"
    for word in shlex.split(words):
        assert word in said
    return content


def compared(content: dict[str, Any], *, first: str, others: set[str]) -> None:
    """Every way was measured, and each ratio is that of the speeds."""
    for result in content.values():
        speeds = {way: statistics.median(values) for way, values in result["images_per_second"].items()}
        assert set(speeds) == {first, *others}
        assert set(result["ratios"]) == others
        for way, ratio in result["ratios"].items():
            assert ratio["median"] == pytest.approx(speeds[way] / speeds[first])


def test_evaluation(script: Callable[[str], ModuleType], tmp_path: Path) -> None:
    words = "--networks resnet_uva --images 8 --rounds 1"
    content = ran(script("evaluate"), words, file=tmp_path / "x.json")
    assert list(content["results"]) == ["resnet_uva"]
    compared(content["results"], first="tutorial", others={"ours float32", "ours bf16"})


@pytest.mark.slow
def test_training(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("train_throughput")
    monkeypatch.setattr(module, "WARM_UP", 1)
    monkeypatch.setattr(module, "AHEAD", 1)
    made = cifar10(tmp_path, each=128)
    monkeypatch.setattr(module, "load_data", lambda name, folder=None: load_data(name, folder=made))
    content = ran(module, "--networks lenet5 --rounds 1 --steps 1", file=tmp_path / "x.json")
    assert "--data-dir FOLDER" in content["command"]
    compared(content["results"], first="tutorial", others={"ours float32", "ours bf16"})


def test_grad_cam_beside_answers(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = script("grad_cam")
    torch.save(create("lenet5").state_dict(), tmp_path / "lenet5.pt")
    small = open_predictor(tmp_path / "lenet5.pt", arch="lenet5", normalisation=((0.5,), (0.5,)))
    monkeypatch.setattr(module, "open_predictor", lambda _name, **_weights: small)
    (tmp_path / "photos").mkdir()
    for number in range(5):
        Image.new("L", (32, 32), 50 * number).save(tmp_path / "photos" / f"{number}.png")
    monkeypatch.setattr(module, "circumstances", dict)
    module.main([str(tmp_path / "photos"), "--images", "2", "--rounds", "2", "--out", str(tmp_path / "cam.json")])
    content = read_json(tmp_path / "cam.json")
    ratios = [a / b for a, b in zip(content["seconds"]["grad_cam"], content["seconds"]["answers"], strict=True)]
    assert content["images"] == 2
    assert content["grad_cam, times answers"]["median"] == pytest.approx(statistics.median(ratios))


def test_a_clock_counts_between_warm_up_and_end() -> None:
    module = importlib.import_module("train_throughput")
    clock = module.Clock(3)
    clock.times = [float(index**2) for index in range(module.WARM_UP + 3 + module.AHEAD + 1)]
    assert clock.seconds() == (module.WARM_UP + 3) ** 2 - module.WARM_UP**2


@pytest.mark.slow
def test_loader(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("loader")
    monkeypatch.setattr(module, "WORKERS", 1)

    def stand_in(folder: Path, what: str) -> Callable[[], float]:
        """In the place of the references, which need processes of their own."""
        paths = sorted(folder.rglob("*.jpg"))
        work: Callable[[], float] = module.normalising(module.streamed(paths, what), count=len(paths))
        return work

    for theirs in ("by_torchvision", "by_timm"):
        monkeypatch.setattr(module, theirs, stand_in)
    words = "--images 3 --rounds 1 --networks mobilenet_v2 --network-images 2 --network-rounds 1"
    content = ran(module, words, file=tmp_path / "x.json")
    assert list(content["results"]) == ["train", "evaluate"]
    ways = {f"ours, {decoder}" for decoder in module.decoders()}
    compared(content["results"], first="torchvision", others={"timm", *ways, "ours, processes"})
    compared(content["networks"], first="in memory", others={"streamed"})
    for what, found in content["verdict"].items():
        assert found["fastest"] in content["networks"]
        assert found["fastest"].startswith(f"mobilenet_v2, {what}")
        assert found["times"] == found["loader"] / found["network"]


def test_the_fastest_networks_are_of_224_pixels() -> None:
    module = importlib.import_module("loader")
    rows = [module.architecture(name) for name in module.fastest(3)]
    assert [row.image_size for row in rows] == [224] * 3
    assert [row.macs for row in rows] == sorted(row.macs for row in rows)


@pytest.mark.slow
def test_step_overhead(script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("step_overhead")
    monkeypatch.setattr(module, "EPOCHS", 1)
    content = ran(module, "--rounds 1", file=tmp_path / "x.json")
    assert set(content["seconds"]) == {"bare", "ours", "ours, steps alone"}
    assert content["seconds"]["ours, steps alone"][0] < content["seconds"]["ours"][0]


def test_libraries_compares_like_with_like() -> None:
    """Answers and steps, theirs in the layouts and arithmetics that ours have too; the plain ones come first."""
    module = importlib.import_module("libraries")
    answers, steps = module.ways_of("resnet18", "torchvision", count=1)
    plain, last = torch.contiguous_format, torch.channels_last
    for ways, theirs, ours in (
        (answers, module.their_answers, module.our_answers),
        (steps, module.their_step, module.our_step),
    ):
        assert list(ways.items()) == [
            ("torchvision", (theirs, ("torchvision", "resnet18", 1, plain, "float32"))),
            ("torchvision, channels last, float32", (theirs, ("torchvision", "resnet18", 1, last, "float32"))),
            ("torchvision, channels last, bf16", (theirs, ("torchvision", "resnet18", 1, last, "bf16"))),
            ("ours, float32", (ours, ("resnet18", 1, "float32"))),
            ("ours, bf16", (ours, ("resnet18", 1, "bf16"))),
        ]


def test_rates_on_a_gpu_alternate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The order of ours and the tutorial's way turns round; each is measured as often."""
    module, order = importlib.import_module("gpu"), []

    def rate(plan: Any, _wanted: argparse.Namespace) -> float:
        order.append(plan)
        return float(len(order))

    monkeypatch.setattr(module, "plan_of", lambda _network, _data, *, precision: precision)
    monkeypatch.setattr(module, "tutorial_rate", lambda _plan, wanted: rate("tutorial", wanted))
    monkeypatch.setattr(module, "our_rate", rate)
    speeds = module.rates("resnet_uva", None, wanted=argparse.Namespace(runs=tmp_path))
    assert order == ["bf16", "float32", "tutorial", "tutorial", "float32", "bf16"]
    assert speeds == {"tutorial": [3.0, 4.0], "ours float32": [2.0, 5.0], "ours bf16": [1.0, 6.0]}


@pytest.mark.slow
def test_rates_are_of_the_same_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the CPU, of next to no images; too few of them are an error and not the end of the time."""
    module, clocks = importlib.import_module("gpu"), []
    monkeypatch.setattr(module.train_throughput, "WARM_UP", 1)
    monkeypatch.setattr(module.train_throughput, "AHEAD", 1)
    made = module.clock_of
    monkeypatch.setattr(module, "clock_of", lambda plan: clocks.append(made(plan)) or clocks[-1])
    monkeypatch.setitem(module.RECIPES, "lenet5", "uva_adam")
    data, wanted = load_data("cifar10", folder=cifar10(tmp_path, each=200)), argparse.Namespace(device="cpu")
    plan = module.plan_of("lenet5", data, precision="float32")
    rates = [measure(plan, wanted) for measure in (module.tutorial_rate, module.our_rate)]
    assert all(rate > 0 for rate in rates)
    steps = module.RATE_EPOCHS * (len(data.train) // plan.recipe.batch_size)
    assert [clock.steps for clock in clocks] == [steps - 3] * 2
    assert [len(clock.times) for clock in clocks] == [steps] * 2
    few = load_data("cifar10", folder=cifar10(tmp_path / "few", each=4))
    with pytest.raises(ValueError, match="images are too few for a rate"):
        module.clock_of(module.plan_of("lenet5", few, precision="float32"))


# --------------------------------------------------------------------------------------------------------------- tables

CIRCUMSTANCES = {
    "hardware": {"cpu": "a test's imagination"},
    "versions": {"python": "3"},
    "git_commit": "0123456789abcdef",
    "command": "python bench/x.py",
}


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("benchmark_tables")


def test_a_table_of_scaling(tables: ModuleType) -> None:
    """Two images in 0.4 s and 1 s: 0.7 s at the median, 350 ms an image. What grows is bold."""
    row = {"batch_size": 1, "image_size": 8, "images": 2, "seconds": [0.4, 1.0]}
    row |= {"images_per_second": 2 / 0.7, "seconds_per_image": 0.35}
    grows = ("batch_size", "image_size", "images")
    results = {each: {"evaluation": [row, row], "training": [row]} for each in grows}
    text = tables.scaling({"results": results, "network": "net", "precision": "float32", **CIRCUMSTANCES})
    measured = "3 | 350.00 | 200.00 to 500.00 | 2 |"
    assert text.splitlines()[2:8] == [
        f"| evaluation | **1** | 8 | 2 | {measured}",
        f"|  | **1** | 8 | 2 | {measured}",
        f"| training | **1** | 8 | 2 | {measured}",
        f"| evaluation | 1 | **8** | 2 | {measured}",
        f"|  | 1 | **8** | 2 | {measured}",
        f"| training | 1 | **8** | 2 | {measured}",
    ]
    assert "- Network: `net`, float32" in text
    assert "commit 0123456789\n" in text


def test_a_table_beside_the_peak(tables: ModuleType) -> None:
    """Eight images in 0.5 s to 2 s; 25 of the peak's 100 GFLOP/s."""
    speed = {"work": "training", "precision": "bf16", "n": 2, "seconds": [0.5, 2.0]}
    speed |= {"images_per_second": 6.4, "gflops_per_second": 25.0, "share_of_peak": 0.25}
    peak = {"bf16": {"matrix_product": {"work": "matrix product", "gflops_per_second": 100.0}}}
    networks = [{"architecture": "net", "batch_size": 8, "speeds": [speed, speed]}]
    text = tables.beside_the_peak({"networks": networks, "peak": peak, **CIRCUMSTANCES})
    assert text.splitlines()[2:4] == [
        "| `net` | training, bf16 | 6 | 4 to 16 | 25 | 25 % | 2 |",
        "|  | training, bf16 | 6 | 4 to 16 | 25 | 25 % | 2 |",
    ]
    assert "- Peak, GFLOP/s: matrix product in bf16 100\n" in text


def test_the_loader_beside_the_fastest_network(tables: ModuleType) -> None:
    """300 images a second to load and 100 to answer: a 300th and a 100th of a second are a 75th."""
    verdict = {"evaluate": {"fastest": "net, evaluate, bf16", "loader": 300.0, "network": 100.0, "times": 3.0}}
    networks = {"net, evaluate, bf16": {"images_per_second": {"in memory": [100.0]}, "ratios": {}}}
    text = tables.loader_networks({"verdict": verdict, "networks": networks, **CIRCUMSTANCES})
    first, _, _, _, row, *_ = text.splitlines()
    assert first == (
        "- evaluate: the fastest network in memory (net, bf16) 100 images/s; the loader alone 300, 3.0 times as many; "
        "both in turn on the same cores would be 75"
    )
    assert row == "| net, evaluate, bf16 | in memory | 100 | 100 to 100 |  |  | 1 |"


@pytest.mark.slow
def test_the_memory_of_a_step_is_estimated_as_a_process_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    module = importlib.import_module("step_memory")
    monkeypatch.setitem(module.NETWORKS, "resnet_uva", (32, 64))
    module.main(["--networks", "resnet_uva", "--out", str(tmp_path / "m.json")])
    row = read_json(tmp_path / "m.json")["networks"]["resnet_uva"]
    assert row["images"] == 64
    assert row["ratio"] == pytest.approx(row["estimated"] / row["grown"])
    assert 0.7 < row["ratio"] < 1.15


@pytest.mark.slow
def test_what_a_probe_and_a_frozen_step_cost(
    script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONVATLAS_DATA", str(cifar10(tmp_path, each=30).parent))
    content = ran(script("probe"), "--images 20 --image-size 32 --rounds 1", file=tmp_path / "probe.json")
    assert content["n"] == {"train": 20, "validation": 10, "test": 10}
    assert content["ratio"]["median"] == content["seconds"]["probe"][0] / content["seconds"]["pass"][0] > 1
    words = "--steps 2 --batch-size 4 --image-size 32 --rounds 1"
    content = ran(script("frozen_step"), words, file=tmp_path / "step.json")
    assert content["ratio"]["median"] == content["seconds"]["frozen"][0] / content["seconds"]["full"][0]
