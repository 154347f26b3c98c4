"""What makes training and answers fast changes nothing of them: layout, working batches, steps taken together."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from convatlas import create, evaluate
from convatlas.cli import main
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import described, out_of_memory
from convatlas.errors import UsageError
from convatlas.layers import Concat, folded
from convatlas.prediction import logits, open_predictor, predict_logits
from convatlas.run import Run
from convatlas.training import TrainingError, train_plan
from convatlas.training.averaging import MovingAverage
from convatlas.training.loss import TrainingLoss
from convatlas.training.objective import Means, Measured
from convatlas.training.parallel import ALONE
from convatlas.training.steps import gradients
from test_training import DIGITS, StopAt, assert_same, tiny_plan

pytestmark = pytest.mark.usefixtures("quick_runs")

CIFAR = Preprocessing(32, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_plan(tiny_plan(), folder=tmp_path_factory.mktemp("finished") / "run")


def randomised(name: str) -> nn.Module:
    """A network whose statistics and scales are not those of its birth."""
    torch.manual_seed(1)
    network = create(name).eval()
    for key, tensor in network.state_dict().items():
        if "norm" in key and tensor.is_floating_point():
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_uva", "preact_resnet_uva", "googlenet_uva", "densenet_uva"])
def test_float32_answers_are_those_of_the_plain_network(name: str) -> None:
    """Image by image: contiguous tensors, one batch of all images, the network as it was built."""
    network = randomised(name)
    images = torch.randint(256, (150, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        plain = network(CIFAR(images).contiguous())
    answers = predict_logits(logits.answering(network, precision="float32"), images, preprocessing=CIFAR)
    assert torch.equal(answers.argmax(1), plain.argmax(1))
    torch.testing.assert_close(answers, plain, rtol=1e-4, atol=1e-4)
    one_by_one = torch.cat([predict_logits(network, images[i : i + 1], preprocessing=CIFAR) for i in range(20)])
    assert torch.equal(one_by_one.argmax(1), plain[:20].argmax(1))


@pytest.mark.parametrize("name", ["resnet_uva", "googlenet_uva"])
def test_weights_rounded_once_give_the_same_bf16_answers(name: str) -> None:
    network = randomised(name)
    images = torch.randint(256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    answers = predict_logits(logits.answering(network, precision="bf16"), images, preprocessing=CIFAR, precision="bf16")
    each_time = folded(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert torch.equal(answers, predict_logits(each_time, images, preprocessing=CIFAR, precision="bf16"))
    assert {weight.dtype for weight in network.parameters()} == {torch.float32}
    layers = [m for m in logits.answering(network, precision="bf16").modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert {layer.weight.dtype for layer in layers} == {torch.bfloat16}


def test_gradients_of_branches_lie_together_in_bf16() -> None:
    """The gradient that a branch sees has no gaps, and its values are those of plain concatenation."""
    torch.manual_seed(0)
    joined = Concat(one=nn.Conv2d(3, 8, 1), two=nn.Conv2d(3, 5, 1)).bfloat16()
    images, along = torch.randn(2, 3, 4, 4).bfloat16().requires_grad_(), torch.randn(2, 13, 4, 4).bfloat16()
    seen: list[Tensor] = []
    for branch in joined.children():
        branch.register_full_backward_hook(lambda _module, _inputs, outputs: seen.append(outputs[0]))
    along = along.contiguous(memory_format=torch.channels_last)
    joined(images).backward(along)
    assert [gradient.shape[1] for gradient in seen] == [5, 8]
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in seen)
    assert torch.equal(torch.cat(seen[::-1], 1), along)


def test_a_branch_that_is_the_input_is_left_alone() -> None:
    images = torch.randn(2, 3, 4, 4).bfloat16().requires_grad_()
    Concat(old=nn.Identity(), new=nn.Conv2d(3, 5, 1).bfloat16())(images)
    assert not images._backward_hooks


@pytest.mark.parametrize(
    "text",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory",
        "could not create a primitive",
        "could not execute a primitive",
        "std::bad_alloc",
    ],
)
def test_what_too_little_memory_looks_like(text: str) -> None:
    assert out_of_memory(RuntimeError(text))


def test_what_a_library_cannot_do_is_not_too_little_memory() -> None:
    assert not out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))


class Greedy(nn.Module):
    """Has memory for `room` images at a time."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.room = room

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.room:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return images.mean((2, 3)) * self.scale


def test_too_little_memory_halves_the_working_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(256, (100, 3, 32, 32), dtype=torch.uint8)
    expected = predict_logits(Greedy(1000), images, preprocessing=CIFAR)
    monkeypatch.setattr(logits, "BATCH_SIZE", 16)
    with pytest.warns(UserWarning, match="too little memory on cpu for 16 images at a time: going on with 8"):
        answers = predict_logits(Greedy(10), images, preprocessing=CIFAR)
    assert torch.equal(answers, expected)
    monkeypatch.setattr(logits, "BATCH_SIZE", 2)
    with pytest.warns(UserWarning, match="going on with 1"), pytest.raises(RuntimeError, match="allocate memory"):
        predict_logits(Greedy(0), images, preprocessing=CIFAR)


LITTLE = """
import resource
import torch
from convatlas import create
from convatlas.data.preprocessing import Preprocessing
from convatlas.prediction import predict_logits

preprocessing = Preprocessing(64, (0.5,) * 3, (0.25,) * 3)
torch.manual_seed(0)
network = create("resnet_uva").eval().to(memory_format=torch.channels_last)
images = torch.randint(256, (64, 3, 64, 64), dtype=torch.uint8)
expected = torch.cat([predict_logits(network, part, preprocessing=preprocessing) for part in images.split(4)])
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
_, most = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (held + 35_000_000, most))
answers = predict_logits(network, images, preprocessing=preprocessing)
assert torch.allclose(answers, expected, rtol=1e-4, atol=1e-4)
assert torch.equal(answers.argmax(1), expected.argmax(1))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of a process's memory is Linux's")
def test_a_process_with_little_memory_answers_the_same() -> None:
    """A real network under a real limit: 35 MB more than it holds, where a layer's output of 64 images has 17."""
    done = subprocess.run([sys.executable, "-c", LITTLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "too little memory on cpu for 64 images at a time: going on with 32" in done.stderr


def test_another_error_is_not_taken_for_too_little_memory() -> None:
    images = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(RuntimeError, match="Expected"):
        predict_logits(nn.Sequential(nn.Flatten(1), nn.Conv2d(1, 1, 3)), images, preprocessing=CIFAR)


def test_no_images_are_no_answers() -> None:
    images = torch.zeros(0, 3, 32, 32, dtype=torch.uint8)
    assert predict_logits(randomised("resnet_uva"), images, preprocessing=CIFAR).shape == (0, 10)


@pytest.mark.slow
def test_the_precision_of_answers_is_chosen_and_said(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A run's own by default; in bf16 the logits are others, but near."""
    said = {}
    for precision in ("float32", "bf16"):
        assert main(["evaluate", str(finished.path), "--json", "--precision", precision]) == 0
        said[precision] = json.loads(capsys.readouterr().out)
        assert said[precision]["precision"] == precision
    assert main(["evaluate", str(finished.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said["float32"]
    assert said["bf16"]["loss"] != said["float32"]["loss"]
    assert said["bf16"]["loss"] == pytest.approx(said["float32"]["loss"], abs=0.05)
    assert evaluate(finished, precision="bf16").loss == said["bf16"]["loss"]
    assert main(["evaluate", str(finished.path), "--precision", "bf16"]) == 0
    assert "computed in bf16 on cpu, batch norms folded" in capsys.readouterr().out
    assert main(["evaluate", str(finished.path)]) == 0
    assert "computed in float32 on cpu\n" in capsys.readouterr().out


def test_precision_can_be_changed_back(finished: Run) -> None:
    """Folding for bf16 leaves the network itself as it was."""
    opened = open_predictor(finished.path)
    plain = opened.to("cpu").logits(DIGITS.test.pixels)
    assert torch.equal(
        opened.to("cpu", precision="bf16").to("cpu", precision="float32").logits(DIGITS.test.pixels), plain
    )


def test_an_unknown_precision(finished: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(finished.path), "--precision", "float16"]) == 2
    message = "unknown precision 'float16'"
    assert message in capsys.readouterr().err
    with pytest.raises(UsageError, match=message):
        evaluate(finished, precision="float16")


def test_a_machine_without_bf16_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx2": True})
    assert described("cpu", "bf16").endswith("this cpu has no bf16 arithmetic and emulates it, slower than float32")
    assert described("cpu", "float32") == "float32 on cpu"
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"avx512_bf16": True})
    assert "emulates" not in described("cpu", "bf16")


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"ema": 0.9, "accumulate": 2, "clip_norm": 0.1}])
def test_steps_taken_together_are_the_same_steps(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven steps an epoch, by three and by one at a call; the former also stopped in the middle and resumed."""
    plan = tiny_plan(batch_size=160, **changes)
    monkeypatch.setattr("convatlas.training.engine.adapter.STEPS_PER_CALL", 3)
    by_three = train_plan(plan, folder=tmp_path / "three")
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        train_plan(plan, folder=stopped, progress=StopAt(12))
    assert_same(by_three, train_plan(plan, folder=stopped, resume=True))
    monkeypatch.setattr("convatlas.training.engine.adapter.STEPS_PER_CALL", 1)
    assert_same(by_three, train_plan(plan, folder=tmp_path / "one"))


def test_too_little_memory_for_a_step_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")

    monkeypatch.setattr("convatlas.training.classification.gradients", no_room)
    message = "too little memory on cpu for a step of 256 images.*--set accumulate=2.*--batch-size"
    with pytest.raises(TrainingError, match=message):
        train_plan(tiny_plan(), folder=tmp_path / "run")


def test_clipping_bounds_the_gradients() -> None:
    plan = tiny_plan(clip_norm=0.01)
    network = plan.build()
    loss = TrainingLoss(plan.recipe, labels=DIGITS.train.labels, num_classes=10)
    images = plan.preprocessing(DIGITS.train.pixels[:64])
    gradients(network, loss, (images, DIGITS.train.labels[:64]), recipe=plan.recipe)
    norm = torch.stack([parameter.grad.norm() for parameter in network.parameters()]).norm()  # type: ignore[union-attr]
    assert float(norm) == pytest.approx(0.01, rel=1e-3)


class Sent(TorchDispatchMode):
    """Counts the tensors that are sent from the CPU to another device, and those of them that are waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.waited_for: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        source = {torch.ops.aten._to_copy.default: 0, torch.ops.aten.copy_.default: 1}.get(func)
        if source is not None and args[source].device.type == "cpu" != result.device.type:
            self.count += 1
            if not (kwargs or {}).get("non_blocking"):
                self.waited_for.append(result.shape)
        return result


class Made(TorchFunctionMode):
    """Collects the tensors that are made of Python's numbers on another device than the CPU, which wait as well."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[torch.Size] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.tensor, torch.as_tensor) and result.device.type != "cpu":
            self.shapes.append(result.shape)
        return result


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": "resized", "flip": 0.5},
        {"crop": "pad4", "cutout": 4, "label_smoothing": 0.1},
        {"mixup": 0.2, "cutmix": 1.0, "accumulate": 2},
        {"rand_augment": 2, "rand_magnitude": 9, "clip_norm": 0.1},
    ],
)
def test_no_step_waits_for_the_device(changes: dict[str, Any]) -> None:
    """On the meta device there are no values: whatever asks for one raises. What is sent there is not waited for.

    Pinning needs a GPU and is not seen here.
    """
    plan = tiny_plan(batch_size=64, **changes)
    network, split = plan.build().to("meta"), DIGITS.train.to("meta")
    loss = TrainingLoss(plan.recipe, labels=DIGITS.train.labels, num_classes=10).to("meta")
    means = Means(("loss", "top1"), torch.device("meta"))
    batches = TrainingBatches(split, recipe=plan.recipe, preprocessing=plan.preprocessing, num_classes=10, seed=0)
    average = MovingAverage(network, decay=0.9)
    average.update_parameters(network)  # which asks for the counter, once
    average.to("meta")
    next(iter(batches))  # the mean and the deviation are made once
    with Sent() as sent, Made() as made:
        for batch in islice(batches, 3):
            value, hits = gradients(network, loss, batch, recipe=plan.recipe)
            means.add(Measured(len(batch[1]), means={"loss": value}, counts={"top1": hits}))
            average.update_parameters(network)
    assert sent.waited_for == made.shapes == []
    assert sent.count >= 2  # the order at least, and what is drawn
    with pytest.raises(RuntimeError, match="meta"):
        means.values(ALONE)


@pytest.mark.slow
def test_a_run_whose_checkpoint_does_not_count_the_steps_is_resumed(finished: Run, tmp_path: Path) -> None:
    """Until the steps were taken together, Lightning counted them."""
    with pytest.raises(KeyboardInterrupt):
        train_plan(tiny_plan(), folder=tmp_path / "run", progress=StopAt(9))
    last = next((tmp_path / "run").rglob("last.ckpt"))
    checkpoint = torch.load(last, weights_only=True)
    assert checkpoint.pop("step") == checkpoint["global_step"] > 0
    torch.save(checkpoint, last)
    assert_same(train_plan(tiny_plan(), folder=tmp_path / "run", resume=True), finished)
