"""Measures images per second of our detectors against effdet's: answers of one network, in turn, each in a process.

effdet's network runs unchanged, with contiguous float32 tensors, and as its users make it faster: channels last, in
float32 and in bf16. Ours runs in float32 and in bf16, there with its norms folded. The bench needs effdet in the folder
.oracles, which `make test` fetches.

python bench/efficientdet.py        writes results/bench/efficientdet.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from turns import Way, Work, in_processes, ratios

from convatlas import create
from convatlas.architectures import architecture
from convatlas.device import autocast, keep_freed_memory
from convatlas.files import write_json
from convatlas.prediction import answering
from convatlas.recipe import Precision

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
THEIRS = "effdet"


def pictures(name: str, count: int, layout: torch.memory_format) -> Tensor:
    size = architecture(name).image_size
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, size, size, generator=generator).contiguous(memory_format=layout)


def their_answers(name: str, count: int, layout: torch.memory_format, precision: Precision) -> Work:
    from oracles import load_effdet

    network = load_effdet().create_model(f"tf_{name}", pretrained_backbone=False)
    network, images = network.to(memory_format=layout).eval(), pictures(name, count, layout)

    def work() -> None:
        with torch.inference_mode(), autocast(images.device, precision):
            network(images)

    return work


def our_answers(name: str, count: int, precision: Precision) -> Work:
    keep_freed_memory()
    network = answering(create(name).eval(), precision=precision)
    images = pictures(name, count, torch.channels_last)

    def work() -> None:
        with torch.inference_mode(), autocast(images.device, precision):
            network(images)

    return work


def ways_of(name: str, count: int) -> dict[str, Way]:
    """Returns the ways; their unchanged network comes first."""
    ways: dict[str, Way] = {THEIRS: (their_answers, (name, count, torch.contiguous_format, "float32"))}
    for precision in ("float32", "bf16"):
        ways[f"{THEIRS}, channels last, {precision}"] = (their_answers, (name, count, torch.channels_last, precision))
    for precision in ("float32", "bf16"):
        ways[f"ours, {precision}"] = (our_answers, (name, count, precision))
    return ways


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["efficientdet_d0"])
    parser.add_argument("--images", type=int, default=2, help="images of each batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/efficientdet.json"))
    wanted = parser.parse_args(words)
    measured = {}
    for name in wanted.networks:
        seconds = in_processes(ways_of(name, wanted.images), rounds=wanted.rounds)
        faster = ratios(seconds, of=THEIRS)
        speeds = {way: [wanted.images / taken for taken in values] for way, values in seconds.items()}
        measured[name] = {"images_per_second": speeds, "ratios": faster}
        shown = ", ".join(f"{way} {ratio['median']:.2f}" for way, ratio in faster.items())
        print(f"{name}: {shown} times {THEIRS}", flush=True)
    from convatlas.run import circumstances

    command = f"python bench/efficientdet.py --networks {' '.join(wanted.networks)} --images {wanted.images} "
    command += f"--rounds {wanted.rounds}"
    write_json(wanted.out, {**circumstances(), "results": measured, "images": wanted.images, "command": command})


if __name__ == "__main__":
    main()
