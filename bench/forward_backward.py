"""Times forward and backward of our networks and torchvision's, side by side in one process.

It needs torchvision's Python files in a folder of their own, .oracles, which `make test` fetches. The two networks hold
the same weights, get the same images and take turns. Each pair measures both networks once, in an order that
alternates. It writes results/bench/forward_backward.json, and with --memory-efficient
results/bench/memory_efficient.json.

python bench/forward_backward.py --pairs 15 --batch-size 4
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import convatlas

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
NETWORKS = ("resnet50", "densenet121", "vgg16")
WARM_UP = 2  # pairs that do not count
KEEP_MEMORY = {  # glibc's names for the settings of convatlas.device
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--memory-efficient", action="store_true", help="measure DenseNet's recomputation instead")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)  # for the child: the file to write
    wanted = parser.parse_args()
    if wanted.measure:
        content = (
            {"densenet_bc_100_12": memory_efficient(pairs=wanted.pairs)}
            if wanted.memory_efficient
            else {name: against_torchvision(name, wanted) for name in wanted.networks}
        )
        wanted.measure.write_text(json.dumps(content), encoding="utf-8")
        return
    from convatlas.run import circumstances

    target = ROOT / "results/bench" / ("memory_efficient.json" if wanted.memory_efficient else "forward_backward.json")
    target.write_text(json.dumps({**circumstances(), "results": measured()}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target.relative_to(ROOT)}")


def measured() -> dict[str, Any]:
    """Returns the measurements of a child process without Lightning, which fails beside torchvision's Python files.

    Freed memory is kept for both networks, as in `convatlas train`.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "measured.json"
        command = [sys.executable, __file__, *sys.argv[1:], "--measure", str(place)]
        subprocess.run(command, env={**os.environ, **KEEP_MEMORY}, check=True)
        content: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return content


def against_torchvision(name: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """Returns the times of `pairs` alternating measurements of both networks, with the ratio's median and range."""
    from oracles import load_oracles

    torch.manual_seed(0)
    theirs = getattr(load_oracles().torchvision.models, name)().train()
    ours = convatlas.load(name, theirs.state_dict()).train()
    images = torch.randn(wanted.batch_size, 3, wanted.image_size, wanted.image_size)
    result = paired(
        lambda: step(ours, images), lambda: step(theirs, images), pairs=wanted.pairs, names=("ours", "torchvision")
    )
    print(f"{name}: {result['ratio_median']:.3f} times torchvision's ({result['ratio_min']:.3f} to ", end="")
    print(f"{result['ratio_max']:.3f}), median of {wanted.pairs} pairs", flush=True)
    return {**result, "batch_size": wanted.batch_size, "image_size": wanted.image_size}


def memory_efficient(*, pairs: int) -> dict[str, Any]:
    """Returns time and saved bytes of DenseNet-BC-100-12 at batch 64, with recomputation and without."""
    networks = {}
    for mode in (True, False):
        torch.manual_seed(0)
        networks[mode] = convatlas.create("densenet_bc_100_12", memory_efficient=mode).train()
    images = torch.randn(64, 3, 32, 32)
    saved = {mode: saved_bytes(network, images) for mode, network in networks.items()}
    result = paired(
        lambda: step(networks[True], images),
        lambda: step(networks[False], images),
        pairs=pairs,
        names=("recomputed", "plain"),
    )
    print(f"densenet_bc_100_12: {saved[True]:,} bytes saved for backward instead of {saved[False]:,}, ", end="")
    print(f"{result['ratio_median']:.3f} times the time ({result['ratio_min']:.3f} to {result['ratio_max']:.3f})")
    return {**result, "bytes_recomputed": saved[True], "bytes_plain": saved[False], "batch_size": 64}


def saved_bytes(network: nn.Module, images: Tensor) -> int:
    """Returns the bytes of the tensors that forward keeps for backward, each storage once, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images)  # kept until the sizes are read, so that no storage is used twice
    total = sum(sizes.values())
    del output
    return total


def step(network: nn.Module, images: Tensor) -> None:
    """Computes forward and backward of one batch."""
    network.zero_grad(set_to_none=True)
    network(images).square().mean().backward()


def paired(
    first: Callable[[], None], second: Callable[[], None], *, pairs: int, names: tuple[str, str]
) -> dict[str, Any]:
    """Returns the seconds of both in turn, after a warm-up, and the ratio first / second of each pair."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(WARM_UP + pairs):
        order = ((0, first), (1, second)) if pair % 2 else ((1, second), (0, first))
        for index, work in order:
            begun = time.perf_counter()
            work()
            if pair >= WARM_UP:
                seconds[index].append(time.perf_counter() - begun)
    ratios = [a / b for a, b in zip(*seconds, strict=True)]
    return {
        "pairs": pairs,
        "ratio_median": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "seconds": dict(zip(names, seconds, strict=True)),
    }


if __name__ == "__main__":
    main()
