"""Compares the memory of a training step, as `convatlas show` estimates it, with the growth of a training process.

The numbers are megabytes (a million bytes), for float32 and SGD with momentum on the CPU. Each network has its own
process, whose allocator gives freed memory back at once (Linux). The estimate leaves out the memory that the kernels
need for themselves.

python bench/step_memory.py        writes results/bench/step_memory.json
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from memory import held_memory

from convatlas import create
from convatlas.architectures import architecture
from convatlas.complexity import meta_network
from convatlas.complexity.step import step, step_cost
from convatlas.files import write_json
from convatlas.run import circumstances

NETWORKS = {  # pixels of an image, and images of a batch
    "resnet_uva": (32, 128),
    "densenet_uva": (32, 128),
    "resnet50": (224, 16),
    "vgg11": (224, 8),
    "mobilenet_v2": (224, 16),
}
STEPS = 3
RETURNING = {"MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}  # glibc's settings


def growth(name: str, *, size: int, images: int) -> float:
    """Returns the most megabytes by which this process grows, from before the network exists."""
    take_steps("lenet_cifar", size=32, images=2)  # loads the kernels
    before = held_memory()
    take_steps(name, size=size, images=images)
    return highest_memory() - before


def highest_memory() -> float:
    """Returns the most memory of this process; `ru_maxrss` would begin with the memory of its parent process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def take_steps(name: str, *, size: int, images: int) -> None:
    network = create(name).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    batch = torch.randn(images, 3, size, size)
    for _ in range(STEPS):
        step(network, optimizer, images=batch)


def measured(name: str, *, size: int, images: int) -> float:
    """Returns the growth, measured in a new process."""
    code = f"from step_memory import growth; print(growth({name!r}, size={size}, images={images}))"
    environment = {**os.environ, **RETURNING}
    folder = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return float(done.stdout)


def estimated(name: str, *, size: int, images: int) -> float:
    network = meta_network(architecture(name))
    return step_cost(network, in_channels=3, image_size=size, batch_size=images, name=name).memory / 1e6


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--out", type=Path, default=Path("results/bench/step_memory.json"))
    wanted = parser.parse_args(words)
    rows = {}
    for name in wanted.networks:
        size, images = NETWORKS[name]
        told, grown = (find(name, size=size, images=images) for find in (estimated, measured))
        rows[name] = {"image_size": size, "images": images, "estimated": told, "grown": grown, "ratio": told / grown}
        print(f"{name}: estimated {told:,.0f} MB, grown {grown:,.0f} MB", flush=True)
    write_json(wanted.out, {"networks": rows, "steps": STEPS, "environment": RETURNING, **circumstances()})


if __name__ == "__main__":
    main()
