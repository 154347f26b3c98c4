"""A network's tensors as the tools of others write them: each wrapping is made by the tool itself where it can be had.

`parity` makes and loads them in its own process; Lightning, which must not be imported there, is written out.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Source = Path | Mapping[str, Any]  # what `convatlas.load` takes


@dataclass(frozen=True)
class Training:
    """What a checkpoint is made of: `network` holds the tensors to find, `raw` others, where it is their average."""

    network: nn.Module
    raw: nn.Module
    timm: ModuleType
    folder: Path

    @property
    def state(self) -> dict[str, Tensor]:
        return self.network.state_dict()


def averaged(network: nn.Module) -> nn.Module:
    """torch's moving average after its first step, which is the network itself."""
    average = AveragedModel(network)
    average.update_parameters(network)
    return average


def lightning(network: nn.Module, *, attribute: str) -> dict[str, Any]:
    """A Lightning checkpoint of a module that holds the network in this attribute."""
    return {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"{attribute}.{key}": tensor for key, tensor in network.state_dict().items()},
        "optimizer_states": [torch.optim.SGD(network.parameters(), lr=0.1).state_dict()],
        "hyper_parameters": {"lr": 0.1, "name": "somebody's"},
    }


def one_stage_compiled(training: Training) -> Source:
    network = copy.deepcopy(training.network)
    network.layer1 = torch.compile(network.get_submodule("layer1"))  # type: ignore[assignment]
    return network.state_dict()


def without_counters(training: Training) -> Source:
    """As PyTorch before 0.4.1 wrote it."""
    return {key: tensor for key, tensor in training.state.items() if not key.endswith("num_batches_tracked")}


def timm_file(training: Training) -> Source:
    """The file that timm's training leaves, with the raw weights and their moving average."""
    average = training.timm.utils.ModelEmaV3(training.network)
    optimizer = torch.optim.SGD(training.raw.parameters(), lr=0.1)
    folder = str(training.folder)
    saver = training.timm.utils.CheckpointSaver(
        training.raw, optimizer, model_ema=average, checkpoint_dir=folder, recovery_dir=folder
    )
    saver.save_checkpoint(epoch=0, metric=70.0)
    return training.folder / "model_best.pth.tar"


BARE: dict[str, Callable[[Training], Source]] = {
    "bare": lambda t: t.state,
    "Lightning, network": lambda t: lightning(t.network, attribute="network"),
    "Lightning, model": lambda t: lightning(t.network, attribute="model"),
    "Lightning, compiled": lambda t: lightning(torch.compile(t.network), attribute="model"),  # type: ignore[arg-type]
    "DataParallel": lambda t: nn.DataParallel(t.network).state_dict(),
    "DataParallel, state_dict": lambda t: {"epoch": 9, "state_dict": nn.DataParallel(t.network).state_dict()},
    "compiled": lambda t: torch.compile(t.network).state_dict(),  # type: ignore[attr-defined]
    "compiled, one stage": one_stage_compiled,
    "compiled, DataParallel": lambda t: nn.DataParallel(torch.compile(t.network)).state_dict(),  # type: ignore[type-var]
    "without counters": without_counters,
    "AveragedModel": lambda t: averaged(t.network).state_dict(),
    "AveragedModel, DataParallel": lambda t: averaged(nn.DataParallel(t.network)).state_dict(),
    "model_ema alone": lambda t: {"model_ema": averaged(t.network).state_dict()},
}
# Two networks in one: the average is to be taken, and a warning says so.
WITH_AVERAGE: dict[str, Callable[[Training], Source]] = {
    "model and model_ema": lambda t: {"model": t.raw.state_dict(), "model_ema": averaged(t.network).state_dict()},
    "state_dict and state_dict_ema": lambda t: {"state_dict": t.raw.state_dict(), "state_dict_ema": t.state},
    "timm's file": timm_file,
}
WRAPPINGS = BARE | WITH_AVERAGE
