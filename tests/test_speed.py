"""`convatlas bench` and the benches beside it: FLOPs counted by hand, speeds by a fake clock, output, bad input."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from convatlas.architectures import architecture
from convatlas.cli import main
from convatlas.complexity import meta_network, parameter_count
from convatlas.complexity.step import StepCost, step_cost
from convatlas.device import free_memory
from convatlas.errors import UsageError
from convatlas.measure import peak, speed, turns, workload
from convatlas.measure.speed import Speed, measure, peaks, seconds_of
from convatlas.measure.workload import Workload, make_workload

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = {"depths": (1, 1, 1), "widths": (8, 8, 16)}
SMALL = ["resnet_uva", "-o", "depths=1,1,1", "-o", "widths=8,8,16", "--image-size", "8", "--batch-size", "4"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small peaks and few rounds, on a CPU that has bf16 and is idle."""
    monkeypatch.setattr(peak, "MATRIX", {"cpu": 64})
    monkeypatch.setattr(peak, "SHAPES", ((4, 8), (8, 4)))
    monkeypatch.setattr(speed, "ROUNDS", 3)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))


def small_workload(**changes: Any) -> Workload:
    wanted = {"image_size": 8, "batch_size": 4, **changes}
    return make_workload(architecture("resnet_uva"), options=OPTIONS, device="cpu", **wanted)


def on_meta(
    make: Callable[[], nn.Module], *, in_channels: int = 3, image_size: int = 8, batch_size: int = 2
) -> StepCost:
    with torch.device("meta"):
        network = make()
    return step_cost(network, in_channels=in_channels, image_size=image_size, batch_size=batch_size, name="mine")


def test_flops_of_forward_and_backward_by_hand() -> None:
    """3 x 8 x 8 -> 4 x 8 x 8, each channel by itself -> 4 x 4 x 4 -> 10.

    MACs: 3 * 9 * 4 * 64 = 6,912; 9 * 4 * 16 = 576; 64 * 10 = 640. Backward twice as many, but for the images' gradient.
    """
    cost = on_meta(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4),
            nn.Flatten(),
            nn.Linear(64, 10),
        )
    )
    assert cost.flops == 2 * (2 * 6_912 + 3 * 576 + 3 * 640) == 34_944


def test_flops_of_groups_and_of_a_transposed_convolution() -> None:
    """3 x 8 x 8 -> 8 x 8 x 8; in two groups -> 8 x 8 x 8; transposed -> 2 x 16 x 16. MACs 13,824, 18,432 and 4,096."""
    cost = on_meta(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, padding=1, groups=2),
            nn.ConvTranspose2d(8, 2, 2, stride=2),
            nn.Flatten(),
        )
    )
    assert cost.flops == 2 * (2 * 13_824 + 3 * 18_432 + 3 * 4_096)


def test_auxiliary_heads_train_too() -> None:
    """Their answers are not asked for: as many MACs, more FLOPs in training."""
    flops = {}
    for name in ("googlenet", "googlenet_aux"):
        row = architecture(name)
        inputs = {"in_channels": 3, "image_size": row.image_size, "batch_size": 2}
        flops[name] = step_cost(meta_network(row), **inputs, name=name).flops
        assert 2.9 < flops[name] / (2 * row.macs) < 3
    assert flops["googlenet_aux"] > flops["googlenet"]


def test_memory_of_a_step_by_hand() -> None:
    """An image has its 16 values, a label, and four times 32: the ReLU, the log-probabilities and two gradients."""

    def layers() -> nn.Module:
        return nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten())

    few, many = (on_meta(layers, in_channels=1, image_size=4, batch_size=count).memory for count in (10, 1010))
    image, weights = 4 * (16 + 4 * 32) + 8, 4 * 18
    assert (many - few) / 1000 == image
    assert few - 10 * image == 2 * weights + 8  # the weights and their momentum; the loss and its divisor


def test_a_network_that_cannot_be_trained_says_why() -> None:
    with pytest.raises(UsageError, match="mine cannot be trained on 2 images of 8 pixels: Expected more than 1 value"):
        on_meta(lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(1), nn.Unflatten(1, (192, 1)), OneImage()))


class OneImage(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.batch_norm(images[:1], None, None, training=True)


def test_speeds_are_medians_and_peaks_the_best() -> None:
    found = Speed("float32", "training", flops=4_000_000_000, images=8, seconds=(4.0, 1.0, 2.0))
    assert (found.images_per_second, found.gflops, found.best) == (4, 2, 4)
    slow, fast = (Speed("bf16", f"matrix product of {n}", 2 * 10**9, 0, seconds) for n, seconds in
                  ((1, (2.0, 2.0)), (2, (9.0, 0.5))))  # fmt: skip
    other = Speed("float32", "matrix product of 1", 10**9, 0, (1.0,))
    best = peaks([found, slow, other, fast])
    assert best == {("bf16", "matrix product"): fast, ("float32", "matrix product"): other}
    assert best["bf16", "matrix product"].best == 4


class Clock:
    """A clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.done: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def work(self, name: str, *seconds: float) -> Callable[[], None]:
        left = list(seconds)

        def run() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.done.append(name)

        return run


def test_work_takes_turns_by_a_fake_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    for module in (speed, turns):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    monkeypatch.setattr(speed, "ROUNDS", 4)
    works = {("float32", "a"): clock.work("a", 50.0, 1.0), ("float32", "b"): clock.work("b", 0.25)}
    monkeypatch.setattr(speed, "PATIENCE", 1000.0)
    assert seconds_of(works, device="cpu") == {("float32", "a"): [1.0] * 4, ("float32", "b"): [0.25] * 4}
    assert "".join(clock.done) == "ba" + "abba" * 2  # the first of each, 50 seconds among them, does not count
    monkeypatch.setattr(speed, "PATIENCE", 1.0)
    assert len(seconds_of(works, device="cpu")["float32", "a"]) == speed.FEWEST == 3


def test_a_machine_of_known_speed(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Each work takes a second: images and FLOPs a second are those of one call."""
    monkeypatch.setattr(speed, "seconds_of", lambda works, *, device: {key: [1.0] for key in works})
    work = small_workload()
    found = {(each.precision, each.work): each for each in measure(work, precisions=("float32", "bf16"))}
    assert found["float32", "evaluation"].gflops == 4 * 2 * work.cost.macs / 1e9
    assert found["bf16", "training"].gflops == 4 * work.training.flops / 1e9
    assert found["bf16", "training"].images_per_second == 4
    assert found["float32", "matrix product of 64 x 64"].best == 2 * 64**3 / 1e9
    assert found["float32", "3x3 convolution of 8 x 4 x 4"].best == 2 * 9 * 16 * 8 * 8 * 16 / 1e9


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_what_is_measured_is_done(precision: Any) -> None:
    """An answer for each image, and an optimizer step on the network."""
    subject = speed._Subject(small_workload())
    works = subject.works(precision)
    assert works["evaluation"].run().shape == (4, 10)  # type: ignore[attr-defined]
    before = [parameter.clone() for parameter in subject.network.parameters()]
    works["training"].run()
    after = list(subject.network.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in after)
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(torch.allclose(old, new, atol=1e-3) for old, new in zip(before, after, strict=True))


def test_the_random_state_is_left(quick: None) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    measure(small_workload(), precisions=("float32",))
    assert torch.equal(torch.rand(1), expected)


def test_a_container_may_have_less_memory_than_the_system(tmp_path: Path) -> None:
    assert free_memory(tmp_path) == math.inf
    for name, text in {
        "proc/meminfo": "MemTotal:       2000 kB\nMemAvailable:       1000 kB\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "500000\n",
        "sys/fs/cgroup/memory.stat": "anon 100\ninactive_file 40000\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_memory(tmp_path) == 1_024_000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("800000\n")
    assert free_memory(tmp_path) == 340_000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("400000\n")
    assert free_memory(tmp_path) == 0
    (tmp_path / "sys/fs/cgroup/memory.current").unlink()
    (tmp_path / "proc/meminfo").write_text("MemAvailable: 100 kB\n")
    assert free_memory(tmp_path) == 102_400


def test_the_batch_fits_the_images_and_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "free_memory", lambda: 1e12)
    assert [small_workload(batch_size=None, image_size=size).batch_size for size in (32, 64, 65, 129)] == [
        128, 128, 32, 8
    ]  # fmt: skip
    seventy = small_workload(image_size=32, batch_size=70)
    copies = workload.COPIES * parameter_count(seventy.architecture.build(**seventy.options))
    monkeypatch.setattr(workload, "free_memory", lambda: (seventy.training.memory + copies) / workload.FREE)
    halved = small_workload(batch_size=None, image_size=32)
    assert halved.batch_size == 64
    assert halved.notes == (
        f"{halved.architecture.name} with 64 images at a time, not 128: there is too little memory",
    )
    assert small_workload(batch_size=64, image_size=32).notes == ()
    with pytest.raises(UsageError, match=r"100 images of 32 pixels at a time need about .* --batch-size 64 fits"):
        small_workload(batch_size=100, image_size=32)
    monkeypatch.setattr(workload, "free_memory", lambda: 1.0)
    with pytest.raises(UsageError, match=r"2 images of 32 pixels .* choose a smaller --image-size"):
        small_workload(batch_size=None, image_size=32)


def test_too_little_memory_in_the_middle(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    monkeypatch.setattr("convatlas.training.classification.gradients", no_room)
    with pytest.raises(UsageError, match=r"too little memory on cpu for 4 images of resnet_uva.*--batch-size"):
        measure(small_workload(), precisions=("float32",))


def test_json(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *SMALL, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {"device", "notes", "peak", "networks", "versions", "git_commit", "hardware", "command"} == content.keys()
    assert content["peak"].keys() == {"float32", "bf16"}
    (network,) = content["networks"]
    assert {"architecture", "options", "shape", "batch_size", "optimizer", "params", "macs", "flops", "flops_training",
            "speeds"} == network.keys()  # fmt: skip
    assert (network["shape"], network["batch_size"], network["flops"]) == ([3, 8, 8], 4, 2 * network["macs"])
    kinds = [(each["work"], each["precision"]) for each in network["speeds"]]
    assert kinds == [(work, kind) for kind in ("float32", "bf16") for work in ("evaluation", "training")]
    for each in network["speeds"]:
        flops = network["flops" if each["work"] == "evaluation" else "flops_training"]
        assert each["n"] == len(each["seconds"]) == 3
        assert each["gflops_per_second"] == pytest.approx(flops * each["images_per_second"] / 1e9)
        best = max(peak["gflops_per_second"] for peak in content["peak"][each["precision"]].values())
        assert each["share_of_peak"] == pytest.approx(each["gflops_per_second"] / best)


def test_table_in_80_columns(
    quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("convatlas.cli.bench.console", lambda: Console(width=80))
    own = tmp_path / "own.py"
    own.write_text(
        "from torch import nn\n"
        "def mine(*, num_classes=10, in_channels=3):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))\n"
    )
    assert main(["bench", "resnet_uva", f"{own}:mine", "--image-size", "8", "--batch-size", "4"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in captured.out
    rows = [line.split() for line in lines]
    assert ["resnet_uva", "8", "4", "2.55", "M", "5.10", "M", "15.3", "M"] in rows
    assert ["mine", "8", "4", "1.92", "k", "3.84", "k", "7.68", "k"] in rows
    assert sum(row[:2] == ["evaluation,", "float32"] for row in rows) == 2
    assert sum(row[:2] == ["training,", "bf16"] for row in rows) == 2
    assert sum(row[-2:] == ["100", "%"] for row in rows if row[1:2] in (["product,"], ["convolution,"])) == 2
    assert captured.err.count("measuring") == 2
    assert "note:" not in captured.out


def test_table_of_known_speeds(
    quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second for each in the median: 8 * 2,551,424 FLOPs to answer 4 images, and 2 * 64^3 for the matrix product."""
    monkeypatch.setattr(speed, "seconds_of", lambda works, *, device: {key: [0.5, 1.0, 4.0] for key in works})
    words = ["resnet_uva", "--image-size", "8", "--batch-size", "4", "--precision", "float32"]
    assert main(["bench", *words]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    # The peak is that of the fastest round: 20,411,392 / 1 against 524,288 / 0.5.
    assert ["evaluation,", "float32", "3", "4.00", "1.00", "to", "8.00", "0.0", "1947", "%"] in rows
    assert ["matrix", "product,", "float32", "0.0", "100", "%"] in rows
    assert ["3x3", "convolution,", "float32", "0.0", "56", "%"] in rows  # 2 * 9 * (8 * 8) * (4 * 4) * 16 / 524,288


def test_a_convolution_can_be_the_peak(
    quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 294,912 FLOPs in half a second, against a matrix product of 524,288 in a whole one."""

    def turns(works: dict[Any, Any], *, device: str) -> dict[Any, list[float]]:
        return {key: [0.5 if "convolution" in key[1] else 1.0] * 3 for key in works}

    monkeypatch.setattr(speed, "seconds_of", turns)
    words = ["resnet_uva", "--image-size", "8", "--batch-size", "4", "--precision", "float32"]
    assert main(["bench", *words]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["matrix", "product,", "float32", "0.0", "89", "%"] in rows
    assert ["3x3", "convolution,", "float32", "0.0", "100", "%"] in rows
    assert ["evaluation,", "float32", "3", "4.00", "4.00", "to", "4.00", "0.0", "3461", "%"] in rows


def test_without_bf16_it_is_left_out_or_emulated(
    quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert main(["bench", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "note: bf16 is left out: this cpu has no bf16 arithmetic; --precision bf16 measures its emulation" in out
    assert "training, float32" in out
    assert "training, bf16" not in out
    assert main(["bench", *SMALL, "--precision", "bf16"]) == 0
    out = capsys.readouterr().out
    assert "this cpu has no bf16 arithmetic and emulates it" in out
    assert "training, bf16" in out
    assert "float32" not in out.replace("slower than float32", "")


def test_a_busy_machine_is_said(
    quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 0.0, 0.0))
    assert main(["bench", *SMALL, "--precision", "float32", "--json"]) == 0
    (note,) = json.loads(capsys.readouterr().out)["notes"]
    assert note.startswith("the machine was busy in the minute before (load 99.0 on ")


def test_tf32_is_said() -> None:
    assert speed.choose_precisions("float32", device="cpu") == (("float32",), ())
    precisions, (note,) = speed.choose_precisions("float32", device="cuda")
    assert precisions == ("float32",)
    assert "TF32" in note
    assert speed.choose_precisions("bf16", device="cuda") == (("bf16",), ())


def test_ctrl_c(quick: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "seconds_of", interrupted)
    assert main(["bench", *SMALL]) == 130
    assert capsys.readouterr().err.endswith("stopped; nothing was written\n")


BAD_INPUT = [
    ([], "ARCH"),
    (["resnet_uvaa"], "did you mean resnet_uva"),
    (["resnet_uva", "nofile.py:net"], "no file"),
    (["resnet_uva", "--batch-size", "0"], "batch_size=0 makes no sense; it must be at least 1"),
    (["resnet_uva", "--batch-size", "-3"], "batch_size=-3"),
    (["resnet_uva", "--batch-size", "many"], "batch_size='many' must be a whole number"),
    (["resnet_uva", "--batch-size", "1000000000"], "--batch-size 128 fits"),
    (["resnet_uva", "--image-size", "1", "--batch-size", "1"], "its norms see a single value"),
    (["densenet_uva", "--image-size", "4"], "the smallest that it takes has 8 x 8 pixels"),
    (["resnet_uva", "--image-size", "0"], "--image-size"),
    (["resnet_uva", "--precision", "fp8"], "unknown precision 'fp8'"),
    (["resnet_uva", "--device", "tpu"], "unknown device 'tpu'"),
    (["resnet_uva", "-o", "depth=3"], "did you mean depths"),
    (["resnet_uva", "lenet5", "-o", "depths=1,1,1"], "unknown option of lenet5"),
]


@pytest.mark.parametrize(("words", "message"), BAD_INPUT, ids=[" ".join(words) for words, _ in BAD_INPUT])
def test_bad_input_is_one_line_and_nothing_is_measured(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "free_memory", lambda: 8e9)
    monkeypatch.setattr(speed, "measure", pytest.fail)
    assert main(["bench", *words]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    assert "Example: convatlas bench" in capsys.readouterr().out


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """A script of bench/; what takes turns there does it once, in this process."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    module = importlib.import_module(name)
    if hasattr(module, "in_processes"):
        monkeypatch.setattr(module, "in_processes", in_this_process)
    return module


def in_this_process(ways: dict[str, Any], *, rounds: int) -> dict[str, list[float]]:
    for prepare, arguments in ways.values():
        prepare(*arguments)()
    return {name: [0.5 * (index + 1)] * rounds for index, name in enumerate(ways)}


@pytest.fixture
def threads() -> Any:
    """torch's number of threads as it was."""
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


def test_bench_of_augmentation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, threads: None) -> None:
    module = script(monkeypatch, "augmentation")
    out = tmp_path / "augmentation.json"
    module.main(["--images", "130", "--rounds", "2", "--out", str(out)])
    content = json.loads(out.read_text())
    (measured,) = content["results"].values()
    assert measured["images_per_second"] == {"PIL": [256, 256], "ours": [128, 128], "ours, one thread": [256 / 3] * 2}
    assert measured["ratios"]["ours"] == {"median": 0.5, "min": 0.5, "max": 0.5}
    assert content["command"] == "python bench/augmentation.py --images 130 --rounds 2"
    assert {"hardware", "versions", "git_commit"} < content.keys()


def test_bench_of_scaling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script(monkeypatch, "scaling")
    out = tmp_path / "scaling.json"
    words = ["--batch-sizes", "2", "4", "--image-sizes", "8", "--images", "6", "--rounds", "1", "--out", str(out)]
    monkeypatch.setattr(module, "BATCH_SIZE", 4)
    monkeypatch.setattr(module, "RECIPE", module.RECIPE.replaced(batch_size=4))
    module.main(words)
    content = json.loads(out.read_text())
    assert content["results"].keys() == {"batch_size", "image_size", "images"}
    for work in ("evaluation", "training"):
        first, second = content["results"]["batch_size"][work]
        assert (first["batch_size"], first["images"], first["images_per_second"]) == (2, 4, 8)
        assert (second["batch_size"], second["images"], second["seconds_per_image"]) == (4, 4, 0.25)
        assert content["results"]["images"][work][0]["images"] == 6
    assert content["command"].endswith("--batch-sizes 2 4 --image-sizes 8 --images 6")


@pytest.mark.slow
def test_bench_of_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = script(monkeypatch, "memory")
    out = tmp_path / "memory.json"
    monkeypatch.setattr(
        module, "choose_recipe", lambda *words, settings, **others: _choose(settings=settings, batch_size=256)
    )
    module.main(["--epochs", "4", "--image-size", "8", "--out", str(out)])
    content = json.loads(out.read_text())
    assert len(content["megabytes"]["peak"]) == 4
    assert content["megabytes"]["peak"][0] > 50


def _choose(*, settings: dict[str, Any], **changes: Any) -> Any:
    from convatlas.recipe import recipe

    return recipe("quick").replaced(**settings, **changes)


def test_growth_of_memory_is_that_of_the_second_half(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script(monkeypatch, "memory")
    assert module.growth([0, 90, 100, 103, 106, 109]) == pytest.approx(3)
    assert module.growth([0, 50, 100, 100]) == pytest.approx(0)


@pytest.mark.slow
def test_bench_of_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = script(monkeypatch, "start_up")
    seen: list[dict[str, str]] = []
    real = module.subprocess.run

    def run(words: list[str], **others: Any) -> Any:
        seen.append(others["env"])
        return real(words, **others)

    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=run))
    out = tmp_path / "start_up.json"
    module.main(["--only", "import convatlas", "convatlas train resnet_uvx", "--rounds", "1", "--out", str(out)])
    assert len(seen) == 4  # twice each, the first time without counting
    assert not any("PYTHONDONTWRITEBYTECODE" in environment for environment in seen)
    content = json.loads(out.read_text())
    for seconds in (content["seconds"], content["processor_seconds"]):
        assert list(seconds) == ["import convatlas", "convatlas train resnet_uvx"]
        assert all(len(values) == 1 and values[0] > 0 for values in seconds.values())
    assert not list(tmp_path.glob("runs*"))
    monkeypatch.setattr(module, "SHORT", module.MISTYPED)
    monkeypatch.setattr(module, "MISTYPED", ())
    with pytest.raises(SystemExit, match="ended with exit code 2: convatlas: unknown architecture 'resnet_uvx'"):
        module.seconds("convatlas train resnet_uvx", folder=tmp_path, environment=seen[0])
    with pytest.raises(SystemExit):
        module.main(["--only", "import antigravity"])
    assert "--only 'import antigravity': there are 'import convatlas'" in capsys.readouterr().err


def test_work_without_images_is_a_peak() -> None:
    assert all(not work.images for work in peak.peak_works("cpu", "float32").values())
