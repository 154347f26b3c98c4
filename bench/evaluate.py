"""Measures images per second in evaluation: ours against the tutorial's way, in turn, each in its own process.

The tutorial's way: normalised images in memory in batches of 500, float32, contiguous tensors, the unchanged network.
Ours: `predict_logits` on the stored images, in float32 and in bf16. All ways have the same weights and images.

python bench/evaluate.py        writes results/bench/evaluate.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from turns import Way, Work, in_processes, ratios

from convatlas import create
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.prediction import answering, predict_logits
from convatlas.recipe import Precision
from convatlas.run import circumstances

NETWORKS = ("resnet_uva", "preact_resnet_uva", "googlenet_uva", "densenet_uva")
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)


def tutorial(network: str, count: int) -> Work:
    """Returns the tutorial's evaluation, in batches of 500 normalised images."""
    module, images, preprocessing = prepared(network, count)
    batches = preprocessing(images).contiguous().split(500)

    def work() -> None:
        with torch.no_grad():
            for batch in batches:
                module(batch)

    return work


def ours(network: str, count: int, precision: Precision) -> Work:
    """Returns the evaluation that `evaluate` and `predict` do with images in memory."""
    keep_freed_memory()
    module, images, preprocessing = prepared(network, count)
    module = answering(module, precision=precision)

    def work() -> None:
        predict_logits(module, images, preprocessing=preprocessing, precision=precision)

    return work


def prepared(network: str, count: int) -> tuple[torch.nn.Module, torch.Tensor, Preprocessing]:
    torch.manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8)
    return create(network, num_classes=10).eval(), images, Preprocessing(32, MEAN, STD)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/evaluate.json"))
    wanted = parser.parse_args(words)
    measured = {}
    for network in wanted.networks:
        ways: dict[str, Way] = {"tutorial": (tutorial, (network, wanted.images))}
        ways |= {f"ours {precision}": (ours, (network, wanted.images, precision)) for precision in ("float32", "bf16")}
        seconds = in_processes(ways, rounds=wanted.rounds)
        faster = ratios(seconds, of="tutorial")
        speeds = {name: [wanted.images / taken for taken in values] for name, values in seconds.items()}
        measured[network] = {"images_per_second": speeds, "ratios": faster}
        for name, ratio in faster.items():
            print(f"{network}: {name} {ratio['median']:.2f} times the tutorial's way", end=" ")
            print(f"({ratio['min']:.2f} to {ratio['max']:.2f})", flush=True)
    command = f"python bench/evaluate.py --networks {' '.join(wanted.networks)} --images {wanted.images} "
    command += f"--rounds {wanted.rounds}"
    write_json(wanted.out, {**circumstances(), "results": measured, "images": wanted.images, "command": command})


if __name__ == "__main__":
    main()
