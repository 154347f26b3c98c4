"""Images and preprocessing to logits: the one path of everything that asks a network for an answer."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from convatlas import values
from convatlas.architecture import Architecture
from convatlas.architectures import architecture
from convatlas.data import DataSet, load_data
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError, unknown
from convatlas.evaluation import Evaluation, evaluate_logits
from convatlas.recipe import Precision
from convatlas.run import Run, is_run, read_run
from convatlas.weights import load_strictly, network_state, read_checkpoint

Device = Literal["auto", "cpu", "cuda"]
SplitName = Literal["train", "validation", "test"]

BATCH_SIZE = 64  # images at a time: small enough for the caches of a CPU


def predict_logits(
    network: nn.Module, images: Tensor, *, preprocessing: Preprocessing, precision: Precision = "float32"
) -> Tensor:
    """The logits (N, num_classes), float32 on the CPU, for uint8 images (N, C, H, W).

    The network is put in eval mode for the time of the call. Images may be on the network's device or on the CPU.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode(), autocast(device, precision):
            parts = [
                network(network_input(preprocessing(part.to(device)))).float().cpu()
                for part in torch.split(images, BATCH_SIZE)
            ]
    finally:
        network.train(was_training)
    return torch.cat(parts)


def network_input(images: Tensor) -> Tensor:
    """The batch in the memory layout in which convolutions are fastest (channels last)."""
    return images.contiguous(memory_format=torch.channels_last)


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bfloat16 arithmetic where `precision` asks for it."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return contextlib.nullcontext()


def evaluate_run(
    source: Path, *, split: str = "test", data_dir: Path | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluates a run's best epoch, or one of its checkpoint files, on one split of the data it was trained on.

    `source` is a run's folder or a file in its `checkpoints/`. Raises `UsageError` where there is no finished run, and
    where the data at hand is not what the run was trained on.
    """
    if split not in get_args(SplitName):
        raise unknown("split", split, get_args(SplitName))
    run, checkpoint = run_and_checkpoint(source)
    data = load_data(run.record["data"]["name"], folder=data_dir)
    if data.split_hash != run.record["data"]["split_hash"]:
        raise UsageError(
            f"the data at hand is split as {data.split_hash}, that of the run {run.path} as "
            f"{run.record['data']['split_hash']}: an evaluation would mix training and test images"
        )
    network = load_network(run, checkpoint).to(resolve_device(device))
    images, labels = _images(data, split)
    logits = predict_logits(
        network, images, preprocessing=preprocessing_of(run), precision=run.record["recipe"]["precision"]
    )
    return evaluate_logits(logits.numpy(), labels.numpy(), data.spec.class_names)


def resolve_device(device: str) -> str:
    """`cpu` or `cuda`; `auto` is cuda where there is one. Raises `UsageError` for cuda where there is none."""
    if device not in get_args(Device):
        raise unknown("device", device, get_args(Device))
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch finds no CUDA device here; use auto or cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def load_network(run: Run, checkpoint: Path) -> nn.Module:
    """The run's network with the weights of one of its checkpoints, in eval mode on the CPU."""
    row = architecture_of(run)
    described = run.record["architecture"]
    hints = row.option_types()
    options = {name: values.from_plain(value, hints.get(name)) for name, value in described["options"].items()}
    network = row.build(num_classes=described["num_classes"], in_channels=described["in_channels"], **options)
    load_strictly(network, network_state(read_checkpoint(checkpoint), prefix="network."))
    return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload, no-any-return]


def architecture_of(run: Run) -> Architecture:
    """The architecture that the run was made with; a user's own is read from the file that the run names."""
    described: dict[str, Any] = run.record["architecture"]
    return architecture(described["reference"] or described["name"])


def preprocessing_of(run: Run) -> Preprocessing:
    """The size and normalisation stored in the run."""
    stored = run.record["preprocessing"]
    return Preprocessing(stored["image_size"], tuple(stored["mean"]), tuple(stored["std"]))


def run_and_checkpoint(source: Path) -> tuple[Run, Path]:
    """The run and the weights that `source` means."""
    if source.is_file() and is_run(source.parent.parent):
        return read_run(source.parent.parent), source
    if source.is_file():
        raise UsageError(f"{source} does not lie in the checkpoints/ of a run; evaluate takes the folder of a run")
    if not source.exists():
        raise UsageError(f"no run at {source}; evaluate takes the folder that `convatlas train` or `compare` wrote")
    run = read_run(source)
    if not run.finished:
        raise UsageError(f"the run in {source} is {run.status}; go on with `convatlas train ... --resume`")
    return run, run.best_checkpoint


def _images(data: DataSet, split: str) -> tuple[Tensor, Tensor]:
    part = {"train": data.train, "validation": data.validation, "test": data.test}[split]
    return part.images, part.labels
