"""Measures images per second of a loss surface against those of `evaluate`, in turn, each in its own process.

Both answer the same images with the same network in float32. Evaluation has one thread, or one for each core. A surface
has one process of one thread, or as many processes as cores; each of its passes is at another point, whose weights are
made first.

python bench/landscape.py        writes results/bench/landscape.json
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from turns import Way, Work, in_processes, ratios

from convatlas import create
from convatlas.data.images.workers import worker_count
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.insight.landscape.directions import random_directions
from convatlas.insight.landscape.surface import Sample, Surface, centre_of
from convatlas.prediction import answering, predict_logits
from convatlas.run import circumstances

NETWORKS = ("resnet20", "resnet56", "plain56", "densenet_uva")
PREPROCESSING = Preprocessing(32, (0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
SPREAD = 0.01  # of the points: the speed does not depend on the place


def evaluation(network: str, count: int, threads: int) -> Work:
    """Returns the evaluation that `evaluate` does with images in memory."""
    _prepare(threads)
    module, images = answering(_network(network), precision="float32"), _images(count)
    return lambda: _pass(lambda: predict_logits(module, images, preprocessing=PREPROCESSING))


def one_process(network: str, count: int) -> Work:
    """Returns the measurement of one point after another in this process."""
    surface, sample = _surface(network, count)
    numbers = itertools.count(1)
    return lambda: _pass(lambda: surface.measure(sample, SPREAD * next(numbers), -SPREAD))


def processes(network: str, count: int, number: int) -> Work:
    """Returns the measurement of points in several processes; its seconds are those of one pass over the images."""
    pool = multiprocessing.get_context("spawn").Pool(number, _open, (network, count))  # ends with this process
    pool.map(_point, range(2 * number), chunksize=1)  # all are started
    numbers = itertools.count(1)

    def work() -> float:
        begun = time.perf_counter()
        pool.map(_point, itertools.islice(numbers, 2 * number), chunksize=1)
        return (time.perf_counter() - begun) / (2 * number)

    return work


def _pass(done: Work) -> float:
    begun = time.perf_counter()
    done()
    return time.perf_counter() - begun


_opened: list[tuple[Surface, Sample]] = []  # of a process of the pool


def _open(network: str, count: int) -> None:
    _opened.append(_surface(network, count))


def _point(number: int) -> None:
    surface, sample = _opened[0]
    surface.measure(sample, SPREAD * (number + 1), -SPREAD)


def _surface(network: str, count: int) -> tuple[Surface, Sample]:
    _prepare(1)
    module = answering(_network(network), precision="float32")
    directions = random_directions(centre_of(module), seed=0, ignore="biasbn", count=2)
    sample = Sample(_images(count) / 255, torch.arange(count) % 10)
    return Surface(module, directions, preprocessing=PREPROCESSING, statistics="fixed"), sample


def _network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return create(name, num_classes=10).eval()


def _images(count: int) -> torch.Tensor:
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def _prepare(threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/bench/landscape.json"))
    wanted = parser.parse_args(words)
    cores = worker_count(None)
    measured = {}
    for network in wanted.networks:
        given = (network, wanted.images)
        pairs: dict[str, dict[str, Way]] = {
            "one core": {"evaluate": (evaluation, (*given, 1)), "landscape": (one_process, given)},
            "all cores": {"evaluate": (evaluation, (*given, cores)), "landscape": (processes, (*given, cores))},
        }
        measured[network] = {}
        for place, ways in pairs.items():
            seconds = in_processes(ways, rounds=wanted.rounds)
            speeds = {name: [wanted.images / taken for taken in values] for name, values in seconds.items()}
            ratio = ratios(seconds, of="evaluate")["landscape"]
            measured[network][place] = {"images_per_second": speeds, "ratio": ratio}
            print(f"{network}, {place}: landscape reaches {ratio['median']:.2f} of evaluate's images a second", end=" ")
            print(f"({ratio['min']:.2f} to {ratio['max']:.2f})", flush=True)
    command = f"python bench/landscape.py --networks {' '.join(wanted.networks)} --images {wanted.images} "
    command += f"--rounds {wanted.rounds}"
    content = {**circumstances(), "cores": cores, "results": measured, "images": wanted.images, "command": command}
    write_json(wanted.out, content)


if __name__ == "__main__":
    main()
