"""Measures images per second of our networks against timm's and torchvision's: evaluation and training steps, in turn.

Their networks run unchanged, with contiguous float32 tensors, and as their users make them faster: channels last, in
float32 and in bf16. timm's networks have the dropout and the stochastic depth of timm's training script, which ours
have by default. Our networks run as in `evaluate` and `train`, in float32 and in bf16. The bench needs timm and
torchvision in the folder .oracles, which `make test` fetches.

python bench/libraries.py        writes results/bench/libraries.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from turns import Way, Work, in_processes, ratios

from convatlas import create
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import autocast, keep_freed_memory, network_input
from convatlas.files import write_json
from convatlas.prediction import answering, predict_logits
from convatlas.recipe import Precision

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
NETWORKS = {
    "resnet18": "torchvision",
    "resnet50": "torchvision",
    "densenet121": "torchvision",
    "mobilenet_v2": "torchvision",
    "efficientnet_b0": "timm",
}
SIZE = 224
PREPROCESSING = Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def their_network(library: str, name: str) -> nn.Module:
    """Returns the network of another library, with its own initial weights."""
    from oracles import load_oracles

    libraries = load_oracles()
    if library == "timm":  # timm sets dropout and stochastic depth in its training script
        return libraries.timm.create_model(name, drop_rate=0.2, drop_path_rate=0.2)  # type: ignore[no-any-return]
    return getattr(libraries.torchvision.models, name)()  # type: ignore[no-any-return]


def their_answers(library: str, name: str, count: int, layout: torch.memory_format, precision: Precision) -> Work:
    network = their_network(library, name).to(memory_format=layout).eval()  # type: ignore[call-overload]
    images = PREPROCESSING(pictures(count)).contiguous(memory_format=layout)

    def work() -> None:
        with torch.inference_mode(), autocast(images.device, precision):
            network(images)

    return work


def our_answers(name: str, count: int, precision: Precision) -> Work:
    keep_freed_memory()
    network, images = answering(create(name).eval(), precision=precision), pictures(count)

    def work() -> None:
        predict_logits(network, images, preprocessing=PREPROCESSING, precision=precision)

    return work


def their_step(library: str, name: str, count: int, layout: torch.memory_format, precision: Precision) -> Work:
    network = their_network(library, name).to(memory_format=layout).train()  # type: ignore[call-overload]
    return step_of(network, PREPROCESSING(pictures(count)).contiguous(memory_format=layout), precision)


def our_step(name: str, count: int, precision: Precision) -> Work:
    keep_freed_memory()
    network = create(name).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    return step_of(network, network_input(PREPROCESSING(pictures(count))), precision)


def step_of(network: nn.Module, images: Tensor, precision: Precision) -> Work:
    """Returns forward, backward and a step of SGD on one batch."""
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)
    labels = torch.arange(len(images)) % 1000

    def work() -> None:
        optimizer.zero_grad()
        with autocast(images.device, precision):
            loss = F.cross_entropy(network(images).float(), labels)
        loss.backward()
        optimizer.step()

    return work


def ways_of(name: str, library: str, *, count: int) -> tuple[dict[str, Way], dict[str, Way]]:
    """Returns the ways for evaluation and for training steps; their unchanged network comes first."""
    plain, last = torch.contiguous_format, torch.channels_last
    answers: dict[str, Way] = {library: (their_answers, (library, name, count, plain, "float32"))}
    steps: dict[str, Way] = {library: (their_step, (library, name, count, plain, "float32"))}
    for precision in ("float32", "bf16"):
        way = f"{library}, channels last, {precision}"
        answers[way] = (their_answers, (library, name, count, last, precision))
        steps[way] = (their_step, (library, name, count, last, precision))
    for precision in ("float32", "bf16"):
        answers[f"ours, {precision}"] = (our_answers, (name, count, precision))
        steps[f"ours, {precision}"] = (our_step, (name, count, precision))
    return answers, steps


def pictures(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=32, help="images of each measurement (their networks: one batch)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/libraries.json"))
    wanted = parser.parse_args(words)
    measured = {}
    for name in wanted.networks:
        library, count = NETWORKS[name], wanted.images
        answers, steps = ways_of(name, library, count=count)
        for what, ways in (("evaluate", answers), ("train", steps)):
            seconds = in_processes(ways, rounds=wanted.rounds)
            faster = ratios(seconds, of=library)
            speeds = {way: [count / taken for taken in values] for way, values in seconds.items()}
            measured[f"{name}, {what}"] = {"images_per_second": speeds, "ratios": faster}
            shown = ", ".join(f"{way} {ratio['median']:.2f}" for way, ratio in faster.items())
            print(f"{name}, {what}: {shown} times {library}", flush=True)
    from convatlas.run import circumstances  # Lightning fails beside torchvision's Python files

    command = f"python bench/libraries.py --networks {' '.join(wanted.networks)} --images {wanted.images} "
    command += f"--rounds {wanted.rounds}"
    write_json(wanted.out, {**circumstances(), "results": measured, "images": wanted.images, "command": command})


if __name__ == "__main__":
    main()
