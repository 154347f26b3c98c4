"""Measures a linear probe against one pass of its features over the same images, alternating, in one process.

The probe is a whole run of the recipe `head_only` on EfficientNet-Lite0 with its ImageNet weights: the features of the
training images, 30 epochs of the head on them, validation, checkpoints and every file of a run. Its validation and its
test part hold a hundredth as many images each, whose features count too. The pass computes the features of the training
images and does nothing with them.

python bench/probe.py --data-dir FOLDER        writes results/bench/probe.json
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from turns import ratios

from convatlas.data import ResidentImages
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.measure.turns import take_turns
from convatlas.request import Entry, Request, StartWords, plan_request
from convatlas.run import circumstances
from convatlas.training import Plan, train_plan
from convatlas.training.head_only import HeadOnly


def plan_of(folder: Path | None, *, images: int, image_size: int, recipe: str, **settings: Any) -> Plan:
    """Returns a plan that starts from the ImageNet weights, on the first CIFAR-10 images of each part."""
    entry, chosen = Entry("efficientnet_lite0", recipe), {"image_size": image_size, **settings}
    (plan,) = plan_request(Request((entry,), "cifar10", folder, settings=chosen, start=StartWords("pypi")))
    held_out = max(10, images // 100)
    counts = {"train": images, "validation": held_out, "test": held_out}
    parts = {name: first(each, counts[name]) for name, each in plan.data.parts.items()}
    return dataclasses.replace(plan, data=dataclasses.replace(plan.data, **parts))


def first(images: Any, count: int) -> ResidentImages:
    """Returns the first images of a part. Raises `ValueError` where there are fewer."""
    if count > len(images):
        raise ValueError(f"there are {len(images):,} images, and {count:,} are needed")
    return ResidentImages(images.pixels[:count], images.labels[:count], images.index[:count])


def one_pass(plan: Plan) -> Callable[[], float]:
    """Returns the work that computes the features of the training images once."""

    def work() -> float:
        objective = HeadOnly.of(plan, "cpu")
        begun = time.perf_counter()
        objective.features(plan, "train")
        return time.perf_counter() - begun

    return work


def probe(plan: Plan) -> Callable[[], float]:
    """Returns the work that makes a whole run."""

    def work() -> float:
        with tempfile.TemporaryDirectory() as place:
            begun = time.perf_counter()
            train_plan(plan, folder=Path(place) / "run", device="cpu")
            return time.perf_counter() - begun

    return work


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--images", type=int, default=5000, help="training images")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/bench/probe.json"))
    wanted = parser.parse_args(words)
    plan = plan_of(wanted.data_dir, images=wanted.images, image_size=wanted.image_size, recipe="head_only")
    keep_freed_memory()
    seconds = take_turns({"pass": one_pass(plan), "probe": probe(plan)}, rounds=wanted.rounds)
    ratio = ratios(seconds, of="probe")["pass"]
    print(f"a probe costs {ratio['median']:.3f} times one pass ({ratio['min']:.3f} to {ratio['max']:.3f})")
    command = f"python bench/probe.py --data-dir FOLDER --images {wanted.images} --image-size {wanted.image_size} "
    described = {
        "n": {part: len(images) for part, images in plan.data.parts.items()},
        "image_size": wanted.image_size,
        "epochs": plan.epochs,
        "weights": plan.start.base,
        "command": command + f"--rounds {wanted.rounds} --out {wanted.out}",
    }
    write_json(
        wanted.out, {**circumstances(), "seconds": seconds, "ratio": ratio, "load": os.getloadavg()[0], **described}
    )


if __name__ == "__main__":
    main()
