"""Measures images per second of augmentation alone: ours, batched on tensors, against PIL, one image at a time.

Both ways mirror left to right, take a random resized crop and normalise. They turn 32 x 32 uint8 images in memory into
shuffled float batches of 128. PIL works in one process, without workers. Ours works with torch's threads, and once with
one thread. The images are noise, which does not change the time.

python bench/augmentation.py        writes results/bench/augmentation.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from train_throughput import TutorialData
from turns import Way, Work, in_processes, ratios

from convatlas.data import ResidentImages
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.recipe import recipe
from convatlas.run import circumstances

RECIPE = recipe("uva_sgd")
SIZE = 32


def noise(count: int) -> ResidentImages:
    images = torch.randint(256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ResidentImages(images, torch.arange(count) % 10, torch.arange(count))


def through_pil(count: int) -> Work:
    """Returns the tutorial's transforms, image by image."""
    loader = DataLoader(TutorialData(noise(count), RECIPE), RECIPE.batch_size, shuffle=True, drop_last=True)

    def work() -> None:
        for _images, _labels in loader:
            pass

    return work


def ours(count: int, threads: int | None) -> Work:
    """Returns the augmentation that `convatlas train` does before each step."""
    keep_freed_memory()
    if threads is not None:
        torch.set_num_threads(threads)
    assert RECIPE.images.mean
    assert RECIPE.images.std
    preprocessing = Preprocessing(SIZE, RECIPE.images.mean, RECIPE.images.std)
    split = noise(count)

    def work() -> None:
        for _images, _targets in TrainingBatches(
            split, recipe=RECIPE, preprocessing=preprocessing, num_classes=10, seed=0
        ):
            pass

    return work


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32 * RECIPE.batch_size, help="images of each measurement")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("results/bench/augmentation.json"))
    wanted = parser.parse_args(words)
    if wanted.images < RECIPE.batch_size:
        parser.error(f"--images {wanted.images}: at least one batch of {RECIPE.batch_size}")
    ways: dict[str, Way] = {"PIL": (through_pil, (wanted.images,)), "ours": (ours, (wanted.images, None))}
    ways["ours, one thread"] = (ours, (wanted.images, 1))
    seconds = in_processes(ways, rounds=wanted.rounds)
    images = wanted.images // RECIPE.batch_size * RECIPE.batch_size  # the last batch is smaller and left out
    speeds = {name: [images / taken for taken in values] for name, values in seconds.items()}
    faster = ratios(seconds, of="PIL")
    for name, ratio in faster.items():
        print(f"{name}: {ratio['median']:.1f} times PIL's ({ratio['min']:.1f} to {ratio['max']:.1f})")
    command = f"python bench/augmentation.py --images {wanted.images} --rounds {wanted.rounds}"
    measured = {"flip and resized crop": {"images_per_second": speeds, "ratios": faster}}
    described = {"images": images, "batch_size": RECIPE.batch_size, "command": command}
    write_json(wanted.out, {**circumstances(), "results": measured, **described})


if __name__ == "__main__":
    main()
