"""Measures the cost of our training loop above a bare PyTorch loop, in milliseconds a step.

Both loops train the same small network on the same augmented batches, in turn, each in its own process. The bare loop
does only the necessary work of a step: forward, loss, backward, optimizer, learning rate.

python bench/step_overhead.py        writes results/bench/step_overhead.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch.nn.functional as F
from turns import Way, Work, in_processes

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.epoch import steps_per_epoch
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.recipe import rate_factor, recipe
from convatlas.run import circumstances
from convatlas.training import Plan, make_plan, train_plan
from convatlas.training.optimizers import make_optimizer

EPOCHS = 20
NETWORK = (
    "from torch import nn\n"
    "def net(*, num_classes=10, in_channels=1):\n"
    "    return nn.Sequential(nn.Flatten(), nn.Linear(64 * in_channels, num_classes))\n"
)


def plan_of(folder: str) -> Plan:
    """Returns a plan of one linear layer on digits of 8 pixels in batches of 8, whose arithmetic takes little time."""
    file = Path(folder) / "network.py"
    file.write_text(NETWORK, encoding="utf-8")
    chosen = recipe("quick").replaced(image_size=8, batch_size=8, epochs=EPOCHS)
    return make_plan(architecture(f"{file}:net"), data=load_data("digits"), chosen=chosen, seed=0)


def bare(folder: str) -> Work:
    """Returns a loop in plain PyTorch."""
    plan = plan_of(folder)
    keep_freed_memory()

    def work() -> None:
        network = plan.build().train()
        optimizer = make_optimizer(network, plan.recipe)
        steps, number = steps_per_epoch(len(plan.data.train), plan.recipe), 0
        for epoch in range(EPOCHS):
            batches = TrainingBatches(
                plan.data.train, recipe=plan.recipe, preprocessing=plan.preprocessing, num_classes=10, seed=epoch
            )
            for images, labels in batches:
                rate = plan.recipe.optimizer.lr * rate_factor(plan.recipe, number, steps_per_epoch=steps)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad()
                F.cross_entropy(network(images), labels).backward()
                optimizer.step()
                number += 1

    return work


def ours(folder: str) -> Work:
    """Returns a whole run, with its validation, checkpoints and files."""
    plan = plan_of(folder)

    def work() -> None:
        with tempfile.TemporaryDirectory() as place:
            train_plan(plan, folder=Path(place) / "run")

    return work


def ours_between_files(folder: str) -> Work:
    """Returns the same run, timed by the epochs' steps in `metrics.csv` alone: no validation, no files."""
    plan = plan_of(folder)

    def work() -> float:
        with tempfile.TemporaryDirectory() as place:
            rows = train_plan(plan, folder=Path(place) / "run").metrics()
        return sum(len(plan.data.train) / row["images_per_second"] for row in rows)

    return work


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/bench/step_overhead.json"))
    wanted = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(folder)
        steps = EPOCHS * steps_per_epoch(len(plan.data.train), plan.recipe)
        ways: dict[str, Way] = {
            "bare": (bare, (folder,)),
            "ours": (ours, (folder,)),
            "ours, steps alone": (ours_between_files, (folder,)),
        }
        seconds = in_processes(ways, rounds=wanted.rounds)
    print({name: f"{1000 * statistics.median(values) / steps:.3f} ms a step" for name, values in seconds.items()})
    command = f"python bench/step_overhead.py --rounds {wanted.rounds}"
    write_json(wanted.out, {**circumstances(), "steps": steps, "seconds": seconds, "command": command})


if __name__ == "__main__":
    main()
