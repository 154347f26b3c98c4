"""Finished runs on digits that nobody trained: networks of random weights, with records and checkpoints as `train` has.

They are made in milliseconds, for tests of what works with the network of a run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.recipe import recipe
from convatlas.run import Run
from convatlas.training import make_plan
from convatlas.training.classification import Classification
from convatlas.training.objective import evaluated_prefix
from convatlas.weights import METADATA

SMALL = {"depths": (1, 1, 1), "widths": (4, 4, 8)}  # of resnet_uva


def made_run(
    folder: Path,
    name: str = "resnet_uva",
    *,
    options: Mapping[str, Any] | None = None,
    data: str = "digits",
    snapshots: int = 0,
    **fields: Any,
) -> Run:
    """Writes a run of a network with random weights and running statistics; `fields` are those of its recipe.

    With `ema` the averaged network has other weights than the one in training. `snapshots` are of random weights too.
    """
    chosen = recipe("quick").replaced(**{"epochs": 1, "image_size": 8, **fields})
    options = SMALL if name == "resnet_uva" and options is None else options
    plan = make_plan(architecture(name), data=load_data(data), chosen=chosen, seed=0, options=options)
    record = dataclasses.replace(plan.record(), status="finished", device="cpu", results={"best_epoch": 1})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        objective = Classification.of(plan, "cpu")
        state = {}
        for module_name, module in objective.modules.items():
            randomise(module)
            state |= {f"{module_name}.{key}": value for key, value in module.state_dict().items()}
        entry = {METADATA: {**record.entry(), "evaluated": evaluated_prefix(objective)}}
        (folder / "checkpoints").mkdir(parents=True)
        torch.save({"state_dict": state, **entry}, folder / "checkpoints" / "best.ckpt")
        for epoch in range(snapshots):
            randomise(objective.network)
            kept = {f"network.{key}": value for key, value in objective.network.state_dict().items()}
            (folder / "snapshots").mkdir(exist_ok=True)
            torch.save({"state_dict": kept, **entry}, folder / "snapshots" / f"epoch{epoch:03d}.ckpt")
    return Run(folder, record).write()


def randomise(network: nn.Module) -> None:
    """Moves every parameter and running statistic at random: with the first ones a batch norm is the identity."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and name != "n_averaged":
                spread = 0.2 * torch.randn(tensor.shape)
                tensor.copy_((tensor + spread).abs() if name.endswith("running_var") else tensor + spread)
