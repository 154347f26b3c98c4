"""Measures images per second by batch size, by image size and by number of images, in evaluation and in training.

Each measurement has its own process; the measurements of one row take turns. Evaluation works like `predict_logits`,
but with several batch sizes. Training works like `convatlas train` on a batch: augmentation, gradients, optimizer step.
The precision is float32; the images are noise. Time is linear in the number of images if the time for one image stays
the same.

python bench/scaling.py        writes results/bench/scaling.json
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from turns import Way, Work, in_processes

from convatlas import create
from convatlas.data import ResidentImages, class_labels
from convatlas.data.batches.loader import TrainingBatches
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import BATCH_SIZE, keep_freed_memory, network_input
from convatlas.files import write_json
from convatlas.prediction import answering
from convatlas.recipe import recipe
from convatlas.run import circumstances
from convatlas.training import Learner
from convatlas.training.classification import Classification

# The low rate hardly changes the network. With a high rate the loss could become NaN, which would change the times.
RECIPE = recipe("uva_sgd").replaced(lr=1e-6)


@dataclass(frozen=True)
class Setting:
    """`images` images of `image_size` pixels, `batch_size` at a time, through a network."""

    network: str
    batch_size: int
    image_size: int
    images: int


def evaluation(setting: Setting) -> Work:
    """Returns the evaluation of all images."""
    keep_freed_memory()
    network = answering(create(setting.network, num_classes=10).eval(), precision="float32")
    images, preprocessing = noise(setting).pixels, preprocessing_of(setting)

    def work() -> None:
        with torch.inference_mode():
            for start in range(0, len(images), setting.batch_size):
                network(network_input(preprocessing(images[start : start + setting.batch_size])))

    return work


def training(setting: Setting) -> Work:
    """Returns an epoch of the images; the last, smaller batch counts too."""
    keep_freed_memory()
    torch.manual_seed(0)
    network = create(setting.network, num_classes=10)
    chosen = RECIPE.replaced(batch_size=setting.batch_size, image_size=setting.image_size, drop_last=False)
    split = noise(setting)
    objective = Classification(network, recipe=chosen, labels=class_labels(split), num_classes=10, device="cpu")
    batches = TrainingBatches(split, recipe=chosen, preprocessing=preprocessing_of(setting), num_classes=10, seed=0)
    learner = Learner(objective, recipe=chosen, steps_per_epoch=len(batches))

    def work() -> None:
        for batch in batches:
            learner.step(batch, rate=chosen.optimizer.lr)

    return work


def noise(setting: Setting) -> ResidentImages:
    shape = (setting.images, 3, setting.image_size, setting.image_size)
    images = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ResidentImages(images, torch.arange(setting.images) % 10, torch.arange(setting.images))


def preprocessing_of(setting: Setting) -> Preprocessing:
    assert RECIPE.images.mean
    assert RECIPE.images.std
    return Preprocessing(setting.image_size, RECIPE.images.mean, RECIPE.images.std)


WORKS: dict[str, Callable[[Setting], Work]] = {"evaluation": evaluation, "training": training}


def settings(wanted: argparse.Namespace) -> Iterator[tuple[str, str, list[Setting]]]:
    """Yields each row of measurements: the growing quantity, the work, and the settings."""
    for work, own in (("evaluation", BATCH_SIZE), ("training", RECIPE.batch_size)):
        count = max(wanted.batch_sizes)
        yield "batch_size", work, [Setting(wanted.network, size, 32, count) for size in wanted.batch_sizes]
        yield "image_size", work, [Setting(wanted.network, own, size, own) for size in wanted.image_sizes]
        yield "images", work, [Setting(wanted.network, own, 32, count) for count in wanted.images]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet_uva")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--image-sizes", type=int, nargs="+", default=[32, 64, 128])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/bench/scaling.json"))
    wanted = parser.parse_args(words)
    measured: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for grows, name, row in settings(wanted):
        ways: dict[str, Way] = {str(getattr(setting, grows)): (WORKS[name], (setting,)) for setting in row}
        seconds = in_processes(ways, rounds=wanted.rounds)
        found = [described(setting, seconds[str(getattr(setting, grows))]) for setting in row]
        measured.setdefault(grows, {})[name] = found
        for each in found:
            speed = f"{each['images_per_second']:.0f} images/s, {1000 * each['seconds_per_image']:.3f} ms an image"
            print(f"{name}, {grows} {each[grows]}: {speed}", flush=True)
    command = f"python bench/scaling.py --network {wanted.network} --rounds {wanted.rounds}"
    for flag in ("batch_sizes", "image_sizes", "images"):
        command += f" --{flag.replace('_', '-')} {' '.join(map(str, getattr(wanted, flag)))}"
    described_as = {"network": wanted.network, "precision": "float32", "command": command}
    write_json(wanted.out, {**circumstances(), "results": measured, **described_as})


def described(setting: Setting, seconds: list[float]) -> dict[str, Any]:
    """Returns a measurement as plain data; speeds are those of the median round."""
    median = statistics.median(seconds)
    speeds = {"images_per_second": setting.images / median, "seconds_per_image": median / setting.images}
    return {**vars(setting), **speeds, "seconds": seconds}


if __name__ == "__main__":
    main()
