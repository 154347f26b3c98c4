"""Measures the memory of a training run after each epoch, its peak and the memory held; neither must grow with epochs.

The numbers are megabytes (a million bytes). The run is a whole `convatlas train` of `resnet_uva` on the digits with the
recipe `quick`. The growth is the slope of the line through the second half of the epochs; in the first half caches
fill.

python bench/memory.py        writes results/bench/memory.json
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.files import write_json
from convatlas.progress import Job, Silent
from convatlas.run import circumstances
from convatlas.training import choose_recipe, make_plan, train_plan


class Watching(Silent):
    """Notes the process's memory at the end of each epoch."""

    def __init__(self) -> None:
        self.peaks: list[float] = []
        self.held: list[float] = []

    def epoch_ended(self, _job: Job, row: Mapping[str, float]) -> None:
        self.peaks.append(peak_memory())
        self.held.append(held_memory())
        print(f"epoch {row['epoch']:.0f}: peak {self.peaks[-1]:,.0f} MB, held {self.held[-1]:,.0f} MB", flush=True)


def peak_memory() -> float:
    """Returns the most memory that the process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def held_memory() -> float:
    """Returns the memory that the process holds now, or NaN where the system does not say."""
    information = Path("/proc/self/statm")
    if not information.is_file():
        return float("nan")
    return int(information.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def growth(memory: Sequence[float]) -> float:
    """Returns the growth in megabytes an epoch, in the second half.

    >>> round(growth([1, 5, 9, 9, 9.5, 10]), 3)
    0.5
    """
    later = memory[len(memory) // 2 :]
    return float(np.polyfit(range(len(later)), later, 1)[0])


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet_uva")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--image-size", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("results/bench/memory.json"))
    wanted = parser.parse_args(words)
    if wanted.epochs < 4:
        parser.error(f"--epochs {wanted.epochs}: at least 4, for a line through the second half of them")
    row = architecture(wanted.network)
    settings = {"epochs": wanted.epochs, "image_size": wanted.image_size}
    plan = make_plan(row, data=load_data("digits"), chosen=choose_recipe(row, data="digits", settings=settings), seed=0)
    watching = Watching()
    with tempfile.TemporaryDirectory() as folder:
        train_plan(plan, folder=Path(folder) / "run", progress=watching)
    grown = {"peak": growth(watching.peaks), "held": growth(watching.held)}
    print(", ".join(f"{name} grows by {slope:.3f} MB an epoch" for name, slope in grown.items()))
    command = (
        f"python bench/memory.py --network {wanted.network} --epochs {wanted.epochs} --image-size {wanted.image_size}"
    )
    megabytes = {"peak": watching.peaks, "held": watching.held}
    described = {"network": wanted.network, "recipe": plan.recipe.summary(), "command": command}
    write_json(wanted.out, {**circumstances(), "megabytes": megabytes, "megabytes_per_epoch": grown, **described})


if __name__ == "__main__":
    main()
