"""Measures images per second of the loader of large images, and whether the fastest networks at 224 pixels wait for it.

Loading: JPEG files become normalised batches of 64. The ways take turns: torchvision's ImageFolder recipe, our loader,
our loader with Pillow in place of simplejpeg, and our loader with worker processes in place of threads. The ImageFolder
recipe has a DataLoader with a worker process for each core, Pillow and float32; it is written out here, because
torchvision is not installed.

Networks: the networks with the fewest multiply-adds among all that the atlas declares for 224 pixels. They evaluate and
train with images in memory and with images streamed from the same files while they work. The wait for the first batch
counts.

python bench/loader.py        writes results/bench/loader.json
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info
from turns import Way, Work, in_processes, ratios

import convatlas.data.images.decoding
from convatlas import create
from convatlas.architectures import architecture, list_architectures
from convatlas.data.images.stores import FileStore
from convatlas.data.images.streaming import StreamedImages
from convatlas.data.preprocessing import Preprocessing
from convatlas.device import autocast, keep_freed_memory, network_input
from convatlas.files import write_json
from convatlas.prediction import answering
from convatlas.recipe import Precision, recipe
from convatlas.run import circumstances

What = Literal["train", "evaluate"]
Batch = tuple[Tensor, Tensor]

BATCH, SIZE, SHORTER = 64, 224, 256
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = Preprocessing(SIZE, MEAN, STD, shorter_side=SHORTER)
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -------------------------------------------------------------------------------------------------------------- loading


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """One image after the other through Pillow, like torchvision's transforms."""

    def __init__(self, paths: list[Path], what: What) -> None:
        self.paths = paths
        self.cut = random_resized_crop if what == "train" else centre_crop

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with self.paths[index].open("rb") as file:
            image = self.cut(Image.open(file).convert("RGB"))
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        return (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1), 0


def random_resized_crop(image: Image.Image) -> Image.Image:
    """Returns a random rectangle, resized, mirrored or not."""
    box = (0, 0, *image.size)
    for _ in range(10):
        area = image.width * image.height * random.uniform(*SCALE)
        aspect = math.exp(random.uniform(*map(math.log, RATIO)))
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= image.width and 0 < height <= image.height:
            left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
            box = (left, top, left + width, top + height)
            break
    image = image.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def centre_crop(image: Image.Image) -> Image.Image:
    """Returns the centre of the image, after its shorter side is resized."""
    shorter = min(image.size)
    image = image.resize((SHORTER * image.width // shorter, SHORTER * image.height // shorter))
    left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
    return image.crop((left, top, left + SIZE, top + SIZE))


def image_folder(paths: list[Path], what: What) -> Work:
    """Returns the ImageFolder recipe. Its workers live on from epoch to epoch."""
    loader = DataLoader(
        ImageFolder(paths, what), BATCH, shuffle=what == "train", num_workers=CORES, persistent_workers=True
    )

    def work() -> None:
        for _ in loader:
            pass

    return work


def ours(paths: list[Path], what: What, decoder: str) -> Work:
    """Returns our loader."""
    if decoder == "pillow":
        convatlas.data.images.decoding.simplejpeg = None
    return normalising(streamed(paths, what))


class InProcesses(IterableDataset[Batch]):
    """Our batches; one worker process of a DataLoader fills each batch."""

    def __init__(self, paths: list[Path], what: What) -> None:
        self.paths = paths
        self.what = what

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        assert worker is not None
        batches = [self.paths[start : start + BATCH] for start in range(0, len(self.paths), BATCH)]
        for paths in batches[worker.id :: worker.num_workers]:
            yield from streamed(paths, self.what, workers=0)


def by_processes(paths: list[Path], what: What) -> Work:
    """Returns our loader with processes in place of threads; the processes live on from epoch to epoch."""
    return normalising(
        DataLoader(InProcesses(paths, what), batch_size=None, num_workers=CORES, persistent_workers=True)
    )


def normalising(loader: Iterable[Batch]) -> Work:
    keep_freed_memory()

    def work() -> None:
        for images, _ in loader:
            normalised(images)

    return work


def normalised(images: Tensor) -> Tensor:
    return PREPROCESSING.normalize(images)


class Streamed:
    """Our images from files, read again at each iteration, which is an epoch."""

    def __init__(self, paths: list[Path], what: What, *, workers: int | None) -> None:
        numbers = torch.arange(len(paths))
        store = FileStore(Path(), [str(path) for path in paths])
        self.images = StreamedImages(store, numbers % 1000, numbers, workers=workers)
        self.what = what

    def __iter__(self) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed(0)
        if self.what == "evaluate":
            yield from self.images.batches(self.images.index, size=BATCH, preprocessing=PREPROCESSING)
            return
        cropped = recipe("quick").replaced(crop="resized", crop_scale=SCALE, crop_ratio=RATIO, flip=0.5)
        chosen = cropped.replaced(batch_size=BATCH, drop_last=False)
        order = torch.randperm(len(self.images), generator=generator)
        read = self.images.training_batches(order, recipe=chosen, preprocessing=PREPROCESSING, generator=generator)
        yield from ((images, labels) for images, labels, _ in read)


def streamed(paths: list[Path], what: What, *, workers: int | None = None) -> Streamed:
    return Streamed(paths, what, workers=workers)


def loading(paths: list[Path], *, rounds: int) -> dict[str, Any]:
    """Returns images per second of each way to load, for training and for evaluation."""
    measured = {}
    what: What
    for what in ("train", "evaluate"):
        ways: dict[str, Way] = {"ImageFolder": (image_folder, (paths, what))}
        ways |= {f"ours, {decoder}": (ours, (paths, what, decoder)) for decoder in decoders()}
        ways["ours, processes"] = (by_processes, (paths, what))
        measured[what] = compared(ways, count=len(paths), rounds=rounds, of="ImageFolder")
        print(f"loading, {what}: {shown(measured[what])}", flush=True)
    return measured


def decoders() -> list[str]:
    return ["pillow"] if convatlas.data.images.decoding.simplejpeg is None else ["simplejpeg", "pillow"]


# ------------------------------------------------------------------------------------------------------------- networks


def in_memory(name: str, paths: list[Path], what: What, precision: Precision) -> Work:
    """Returns the work of a network on batches in memory, in the loader's form."""
    step, batches = step_of(name, what, precision), list(streamed(paths, what))

    def work() -> None:
        for images, labels in batches:
            step(normalised(images), labels)

    return work


def while_streaming(name: str, paths: list[Path], what: What, precision: Precision) -> Work:
    """Returns the work of a network on batches that are decoded while it works."""
    step, loader = step_of(name, what, precision), streamed(paths, what)

    def work() -> None:
        for images, labels in loader:
            step(normalised(images), labels)

    return work


def step_of(name: str, what: What, precision: Precision) -> Callable[[Tensor, Tensor], None]:
    """Returns the evaluation of a batch as in `evaluate`, or forward, backward and a step of SGD as in `train`."""
    keep_freed_memory()
    network = create(name, in_channels=3, num_classes=1000)
    if what == "evaluate":
        return answers_of(answering(network.eval(), precision=precision), precision)
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with autocast(images.device, precision):
            loss = F.cross_entropy(network(network_input(images)).float(), labels)
        loss.backward()
        optimizer.step()

    return step


def answers_of(network: nn.Module, precision: Precision) -> Callable[[Tensor, Tensor], None]:
    def answer(images: Tensor, _: Tensor) -> None:
        with torch.inference_mode(), autocast(images.device, precision):
            network(network_input(images))

    return answer


def fastest(count: int) -> list[str]:
    """Returns the networks with the fewest multiply-adds at 224 pixels; of equal ones, the first by name."""
    rows = [architecture(name) for name in list_architectures()]
    by_macs = {row.macs: row.name for row in reversed(rows) if row.image_size == SIZE and row.macs}
    return [by_macs[macs] for macs in sorted(by_macs)[:count]]


def network(name: str, paths: list[Path], *, rounds: int) -> dict[str, Any]:
    """Returns images per second of one network in memory and streamed, for each precision."""
    measured = {}
    what: What
    precision: Precision
    for what in ("evaluate", "train"):
        for precision in ("float32", "bf16"):
            arguments = (name, paths, what, precision)
            ways: dict[str, Way] = {"in memory": (in_memory, arguments), "streamed": (while_streaming, arguments)}
            label = f"{name}, {what}, {precision}"
            measured[label] = compared(ways, count=len(paths), rounds=rounds, of="in memory")
            print(f"{label}: {shown(measured[label])}", flush=True)
    return measured


# -------------------------------------------------------------------------------------------------------------- results


def compared(ways: dict[str, Way], *, count: int, rounds: int, of: str) -> dict[str, Any]:
    seconds = in_processes(ways, rounds=rounds)
    speeds = {way: [count / taken for taken in values] for way, values in seconds.items()}
    return {"images_per_second": speeds, "ratios": ratios(seconds, of=of)}


def shown(measured: dict[str, Any]) -> str:
    return ", ".join(
        f"{way} {statistics.median(speeds):.0f} images/s" for way, speeds in measured["images_per_second"].items()
    )


def verdict(loaded: dict[str, Any], networks: dict[str, Any]) -> dict[str, Any]:
    """Returns, for training and for evaluation, the loader's speed beside the fastest network's in memory."""
    found = {}
    for what, result in loaded.items():
        speeds = {
            label: statistics.median(one["images_per_second"]["in memory"])
            for label, one in networks.items()
            if f", {what}, " in label
        }
        label = max(speeds, key=speeds.__getitem__)
        loader = statistics.median(result["images_per_second"][f"ours, {decoders()[0]}"])
        found[what] = {"loader": loader, "fastest": label, "network": speeds[label], "times": loader / speeds[label]}
        print(f"{what}: the loader {loader:.0f} images/s, {loader / speeds[label]:.1f} times {label}", flush=True)
    return found


def made_images(folder: Path, count: int) -> tuple[list[Path], str]:
    """Makes JPEG files of ImageNet's usual form, and returns their paths and their description.

    They are random parts of real photographs, because noise and flat images take other times to decode. At this quality
    they have about the 115 kilobytes of ImageNet's training images (147.9 GB for 1,281,167).
    """
    import matplotlib
    import sklearn.datasets

    photographs = [Image.fromarray(image) for image in sklearn.datasets.load_sample_images().images]
    photographs.append(Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB"))
    source, paths = random.Random(0), []
    for number in range(count):
        photograph = photographs[number % len(photographs)]
        size = (375, 500) if number % 4 == 0 else (500, 375)
        largest = min(photograph.width / size[0], photograph.height / size[1])
        width, height = (side * largest * source.uniform(0.6, 1) for side in size)
        left, top = source.uniform(0, photograph.width - width), source.uniform(0, photograph.height - height)
        part = photograph.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        paths.append(folder / f"{number:05}.jpg")
        part.save(paths[-1], quality=98)
    return paths, "parts of the photographs that scikit-learn and Matplotlib ship, 500 x 375 or 375 x 500, quality 98"


def found_images(folder: Path, count: int) -> tuple[list[Path], str]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:count]
    return paths, f"JPEG files of {folder.name}"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="JPEG files to load; by default some are made")
    parser.add_argument("--images", type=int, default=768, help="images of each measurement of loading")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="+", help="by default the six with the fewest multiply-adds, and resnet18")
    parser.add_argument("--network-images", type=int, default=256, help="images of each measurement of a network")
    parser.add_argument("--network-rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/bench/loader.json"))
    wanted = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as made:
        gather, folder = (found_images, wanted.folder) if wanted.folder else (made_images, Path(made))
        paths, described = gather(folder, wanted.images)
        size = statistics.mean(path.stat().st_size for path in paths)
        loaded = loading(paths, rounds=wanted.rounds)
        networks: dict[str, Any] = {}
        names = wanted.networks or [*fastest(6), "resnet18"]
        for name in names:
            networks |= network(name, paths[: wanted.network_images], rounds=wanted.network_rounds)
    content = {
        "results": loaded,
        "networks": networks,
        "verdict": verdict(loaded, networks),
        "notes": [f"{len(paths)} {described}, {size / 1000:.0f} kB on average, in the system's file cache"],
        "decoder": convatlas.data.images.decoding.decoder(),
        "batch_size": BATCH,
        "workers": CORES,
        "command": f"python bench/loader.py --images {wanted.images} --rounds {wanted.rounds} --networks "
        f"{' '.join(names)} --network-images {wanted.network_images} --network-rounds {wanted.network_rounds}",
    }
    write_json(wanted.out, {**circumstances(), **content})


if __name__ == "__main__":
    main()
