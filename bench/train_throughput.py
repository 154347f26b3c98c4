"""Training throughput: ours against the tutorial's own way, alternating, each measurement in a process of its own.

The tutorial's way: one PIL transform an image (flip, random resized crop, to tensor, normalise) in a DataLoader with
four worker processes, float32, contiguous tensors, Lightning with two `self.log` a step. Ours: `convatlas train` as it
is, in float32 and in bf16. All train the same network with the same optimizer on the same images.

python bench/train_throughput.py --data-dir FOLDER        writes results/bench/train_throughput.json
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from convatlas.architectures import architecture
from convatlas.data import load_data
from convatlas.data.spec import Split
from convatlas.prediction.memory import keep_freed_memory
from convatlas.recipe import Recipe
from convatlas.run import write_json
from convatlas.training import Plan, choose_recipe, make_plan
from convatlas.training.classifier import Classifier, DataModule
from convatlas.training.record import circumstances


class TutorialData(Dataset[tuple[Tensor, int]]):
    """Images through PIL, one at a time, as the tutorial's torchvision transforms do it."""

    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.images = split.images.permute(0, 2, 3, 1).numpy()
        self.labels = split.labels.tolist()
        self.mean = torch.tensor(recipe.mean).view(3, 1, 1)
        self.std = torch.tensor(recipe.std).view(3, 1, 1)

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
    """A random rectangle of a square image, resized to the image's size; ten tries, then the whole image."""
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
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[self.recipe.optimizer]
        options = {"lr": self.recipe.lr, "weight_decay": self.recipe.weight_decay}
        if self.recipe.optimizer == "sgd":
            options["momentum"] = self.recipe.momentum
        return kind(self.network.parameters(), **options)


class Clock(L.Callback):
    """The time of each training step but the first ones."""

    def __init__(self, warm_up: int) -> None:
        self.warm_up = warm_up
        self.times: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.times.append(time.perf_counter())

    def images_per_second(self, batch_size: int) -> float:
        times = self.times[self.warm_up :]
        return batch_size * (len(times) - 1) / (times[-1] - times[0])


def measure(module: L.LightningModule, data: Any, *, plan: Plan, steps: int, warm_up: int) -> float:
    """Images per second of `steps` training steps after `warm_up` others."""
    clock = Clock(warm_up)
    trainer = L.Trainer(
        accelerator="cpu",
        precision="bf16-mixed" if plan.recipe.precision == "bf16" and isinstance(module, Classifier) else "32-true",
        max_steps=steps + warm_up + 1,
        max_epochs=1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[clock],
    )
    if isinstance(data, L.LightningDataModule):
        trainer.fit(module, datamodule=data)
    else:
        trainer.fit(module, data)
    return clock.images_per_second(plan.recipe.batch_size)


def ours(plan: Plan, *, steps: int, warm_up: int) -> float:
    keep_freed_memory()
    return measure(Classifier(plan), DataModule(plan), plan=plan, steps=steps, warm_up=warm_up)


def tutorial(plan: Plan, *, steps: int, warm_up: int) -> float:
    batch_size = plan.recipe.batch_size
    loader = DataLoader(
        TutorialData(plan.data.train, plan.recipe), batch_size, shuffle=True, drop_last=True, num_workers=4
    )
    return measure(TutorialModule(plan), loader, plan=plan, steps=steps, warm_up=warm_up)


WAYS = {"tutorial": (tutorial, "float32"), "ours float32": (ours, "float32"), "ours bf16": (ours, "bf16")}


def one(wanted: argparse.Namespace, name: str, results: Any) -> None:
    """Measures one way and puts images per second and the notes on the data into the queue."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    way, precision = WAYS[name]
    row = architecture(wanted.network)
    data = load_data("cifar10", folder=wanted.data_dir)
    chosen = choose_recipe(row, data="cifar10", settings={"precision": precision})
    plan = make_plan(row, data=data, chosen=chosen, seed=0)
    results.put((way(plan, steps=wanted.steps, warm_up=wanted.warm_up), plan.notes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--network", default="resnet_uva")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--warm-up", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("results/bench/train_throughput.json"))
    wanted = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    measured: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(wanted.rounds):
        for name in WAYS:
            results = spawn.Queue()
            process = spawn.Process(target=one, args=(wanted, name, results))
            process.start()
            speed, notes = results.get()
            process.join()
            measured[name].append(speed)
            print(f"round {number + 1} of {wanted.rounds}: {name} {speed:.0f} images/s", flush=True)
    ratios = {
        name: [a / b for a, b in zip(measured[name], measured["tutorial"], strict=True)] for name in list(WAYS)[1:]
    }
    for name, values in ratios.items():
        print(f"{name}: {statistics.median(values):.2f} times the tutorial's ({min(values):.2f} to {max(values):.2f})")
    described = {"network": wanted.network, "steps": wanted.steps, "warm_up": wanted.warm_up, "notes": list(notes)}
    words = f"--network {wanted.network} --rounds {wanted.rounds} --steps {wanted.steps} --warm-up {wanted.warm_up}"
    found = {**circumstances(), "command": f"python bench/train_throughput.py --data-dir FOLDER {words}"}
    write_json(wanted.out, {**described, "images_per_second": measured, "ratios": ratios, **found})


if __name__ == "__main__":
    main()
