"""Measures training throughput: ours against the tutorial's own way, alternating, each measurement in its own process.

The tutorial's way: PIL transforms for each image (flip, random resized crop, to tensor, normalise) in a DataLoader with
four worker processes, float32, contiguous tensors, Lightning with two `self.log` a step. Ours: `convatlas train`
unchanged, in float32 and in bf16. All ways train the same network with the same optimizer on the same images.

python bench/train_throughput.py --data-dir FOLDER        writes results/bench/train_throughput.json
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from turns import Way, Work, in_processes, ratios

from convatlas.architectures import architecture
from convatlas.data import ResidentImages, load_data
from convatlas.device import keep_freed_memory
from convatlas.files import write_json
from convatlas.recipe import Recipe
from convatlas.run import circumstances
from convatlas.training import Plan, build_learner, choose_recipe, make_plan
from convatlas.training.engine.adapter import DataModule, LearnerModule

NETWORKS = ("resnet_uva", "preact_resnet_uva", "googlenet_uva", "densenet_uva")
WARM_UP = 8  # the first steps, which do not count
AHEAD = 8  # batches that the loader's four processes keep ready; so many last steps do not count either


class TutorialData(Dataset[tuple[Tensor, int]]):
    """Images through PIL, one at a time, like the tutorial's torchvision transforms."""

    def __init__(self, split: ResidentImages, recipe: Recipe) -> None:
        self.images = split.pixels.permute(0, 2, 3, 1).numpy()
        self.labels = split.labels.tolist()
        self.mean = torch.tensor(recipe.images.mean).view(3, 1, 1)
        self.std = torch.tensor(recipe.images.std).view(3, 1, 1)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(self.images[index])
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        image = random_resized_crop(image, scale=(0.8, 1.0), ratio=(0.9, 1.1))
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return (tensor - self.mean) / self.std, self.labels[index]


def random_resized_crop(image: Image.Image, *, scale: tuple[float, float], ratio: tuple[float, float]) -> Image.Image:
    """Returns a random rectangle of a square image, resized to its size; after ten tries, the whole image."""
    size = image.width
    for _ in range(10):
        area = size * size * torch.empty(1).uniform_(*scale).item()
        aspect = torch.exp(torch.empty(1).uniform_(*np.log(ratio))).item()
        width, height = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < width <= size and 0 < height <= size:
            left = int(torch.randint(0, size - width + 1, (1,)))
            top = int(torch.randint(0, size - height + 1, (1,)))
            return image.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + width, top + height))
    return image


class TutorialModule(L.LightningModule):
    """The tutorial's training step: loss, accuracy, two logged scalars."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.recipe = plan.recipe
        self.network = plan.build()

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = F.cross_entropy(logits, labels)
        self.log("train_acc", (logits.argmax(dim=-1) == labels).float().mean(), on_step=False, on_epoch=True)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[
            self.recipe.optimizer.kind
        ]
        options = {"lr": self.recipe.optimizer.lr, "weight_decay": self.recipe.optimizer.weight_decay}
        if self.recipe.optimizer.kind == "sgd":
            options["momentum"] = self.recipe.optimizer.momentum
        return kind(self.network.parameters(), **options)


class Clock:
    """The time of `steps` training steps, without the first steps and without the last, whose images are ready."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.times: list[float] = []

    def tick(self, *_: object) -> None:
        if torch.cuda.is_available() and len(self.times) in (WARM_UP, WARM_UP + self.steps):
            torch.cuda.synchronize()  # the times that count are of finished work
        self.times.append(time.perf_counter())

    def seconds(self) -> float:
        return self.times[WARM_UP + self.steps] - self.times[WARM_UP]


class Ticking(L.Callback):
    """Tells a clock of each batch."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, *_: Any) -> None:
        self.clock.tick()


def trainer(*callbacks: L.Callback, device: str = "cpu", epochs: int = 1) -> L.Trainer:
    """Returns a trainer that trains and does nothing else."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    return L.Trainer(
        accelerator="gpu" if device == "cuda" else "cpu",
        devices=1,
        max_epochs=epochs,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )


def tutorial(network: str, folder: Path | None, steps: int) -> Work:
    """Returns the tutorial's way, which returns the seconds of `steps` training steps."""
    plan = plan_of(network, folder, steps=steps, precision="float32")
    loader = DataLoader(
        TutorialData(plan.data.train, plan.recipe), plan.recipe.batch_size, shuffle=True, drop_last=True, num_workers=4
    )

    def work() -> float:
        clock = Clock(steps)
        trainer(Ticking(clock)).fit(TutorialModule(plan), loader)
        return clock.seconds()

    return work


def ours(network: str, folder: Path | None, steps: int, precision: str) -> Work:
    """Returns the way of `convatlas train`, which returns the seconds of `steps` training steps."""
    plan = plan_of(network, folder, steps=steps, precision=precision)
    keep_freed_memory()

    def work() -> float:
        clock, learner = Clock(steps), build_learner(plan, device="cpu")
        module = LearnerModule(plan, learner)
        module.stepped = clock.tick
        trainer().fit(module, datamodule=DataModule(plan, learner))
        return clock.seconds()

    return work


def plan_of(network: str, folder: Path | None, *, steps: int, precision: str) -> Plan:
    """Returns a plan of the tutorial's recipe with as many images as `steps` and the warm-up need."""
    row = architecture(network)
    chosen = choose_recipe(row, data="cifar10", settings={"precision": precision})
    data = load_data("cifar10", folder=folder)
    count = (WARM_UP + 1 + steps + AHEAD) * chosen.batch_size
    train = ResidentImages(data.train.pixels[:count], data.train.labels[:count], data.train.index[:count])
    return make_plan(row, data=dataclasses.replace(data, train=train), chosen=chosen, seed=0)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=64, help="training steps of each measurement")
    parser.add_argument("--out", type=Path, default=Path("results/bench/train_throughput.json"))
    wanted = parser.parse_args(words)
    measured = {}
    for network in wanted.networks:
        plan = plan_of(network, wanted.data_dir, steps=wanted.steps, precision="float32")
        ways: dict[str, Way] = {"tutorial": (tutorial, (network, wanted.data_dir, wanted.steps))}
        for precision in ("float32", "bf16"):
            ways[f"ours {precision}"] = (ours, (network, wanted.data_dir, wanted.steps, precision))
        measured[network] = summary(network, in_processes(ways, rounds=wanted.rounds), wanted.steps, plan)
    command = f"python bench/train_throughput.py --data-dir FOLDER --networks {' '.join(wanted.networks)} "
    command += f"--rounds {wanted.rounds} --steps {wanted.steps} --out {wanted.out}"
    described = {
        "steps": wanted.steps,
        "warm_up": WARM_UP,
        "ahead": AHEAD,
        "notes": list(plan.notes),
        "command": command,
    }
    write_json(wanted.out, {**circumstances(), "results": measured, **described})


def summary(network: str, seconds: dict[str, list[float]], steps: int, plan: Plan) -> dict[str, Any]:
    """Returns images per second and ratios of a network, and prints the ratios."""
    count = steps * plan.recipe.batch_size
    faster = ratios(seconds, of="tutorial")
    for name, ratio in faster.items():
        print(f"{network}: {name} {ratio['median']:.2f} times the tutorial's way", end=" ")
        print(f"({ratio['min']:.2f} to {ratio['max']:.2f})", flush=True)
    speeds = {name: [count / taken for taken in values] for name, values in seconds.items()}
    return {"images_per_second": speeds, "ratios": faster}


if __name__ == "__main__":
    main()
