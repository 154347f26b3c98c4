"""Measures images per second of the loader of large images, and whether the fastest networks at 224 pixels wait for it.

Loading: a folder of JPEG files becomes normalised float32 batches of 64. The ways take turns, with two workers each:
torchvision's `ImageFolder` with the transforms of its reference scripts and a `DataLoader`, timm's loader with its
prefetcher, our loader, our loader with Pillow in place of simplejpeg, and our loader with processes in place of
threads. torchvision and timm come from the folder .oracles, which `make test` fetches. No way keeps decoded images:
each epoch is a first one.

Networks: the networks with the fewest multiply-adds among all that the atlas declares for 224 pixels. They evaluate and
train with images in memory and with images streamed from the same files while they work. The wait for the first batch
counts.

python bench/loader.py        writes results/bench/loader.json
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import distributions
from multiprocessing import set_start_method
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
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

What = Literal["train", "evaluate"]
Batch = tuple[Tensor, Tensor]

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
TEST_DATA = os.environ.get("CONVATLAS_TEST_DATA")
SAMPLE = Path(TEST_DATA) / "data" / "imagenet-sample" if TEST_DATA else None

BATCH, SIZE, SHORTER, CLASSES = 64, 224, 256, 20
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PREPROCESSING = Preprocessing(SIZE, MEAN, STD, shorter_side=SHORTER)
WORKERS = 2


# -------------------------------------------------------------------------------------------------------------- loading


def by_torchvision(folder: Path, what: What) -> Work:
    """Returns torchvision's reference way. Its workers live on from epoch to epoch."""
    from oracles import load_oracles

    set_start_method("fork", force=True)  # PyTorch's own choice on Linux; spawned workers would lack the oracles
    load_oracles()
    from torchvision import datasets, transforms

    bilinear, normalise = transforms.InterpolationMode.BILINEAR, transforms.Normalize(MEAN, STD)
    cut = {  # as references/classification/presets.py has them
        "train": [transforms.RandomResizedCrop(SIZE, interpolation=bilinear, antialias=True)],
        "evaluate": [transforms.Resize(SHORTER, interpolation=bilinear, antialias=True), transforms.CenterCrop(SIZE)],
    }[what]
    flip = [transforms.RandomHorizontalFlip(0.5)] if what == "train" else []
    to_floats = [transforms.PILToTensor(), transforms.ConvertImageDtype(torch.float), normalise]
    images = datasets.ImageFolder(str(folder), transforms.Compose([*cut, *flip, *to_floats]))
    return passing(
        DataLoader(images, BATCH, shuffle=what == "train", num_workers=WORKERS, persistent_workers=True),
        count=len(images),
    )


def by_timm(folder: Path, what: What) -> Work:
    """Returns timm's way; its prefetcher normalises whole batches. It trains without the last, smaller batch."""
    from oracles import load_oracles

    set_start_method("fork", force=True)
    data = load_oracles().timm.data
    images = data.create_dataset("", str(folder))
    loader = data.create_loader(
        images,
        (3, SIZE, SIZE),
        BATCH,
        is_training=what == "train",
        scale=SCALE,
        ratio=RATIO,
        hflip=0.5,
        color_jitter=None,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=WORKERS,
        crop_pct=SIZE / SHORTER,
        pin_memory=False,
        device=torch.device("cpu"),
        persistent_workers=True,
    )
    return passing(loader, count=len(images))


def passing(loader: Iterable[Batch], *, count: int) -> Work:
    """Returns the passage through an epoch, in seconds for `count` images. Checks that networks take the batches."""

    def work() -> float:
        begun, seen = time.perf_counter(), 0
        for images, _ in loader:
            seen += len(images)
        taken = time.perf_counter() - begun
        assert images.dtype == torch.float32
        assert images.shape[1:] == (3, SIZE, SIZE)
        assert images.min() < -1
        return taken * count / seen

    return work


def ours(paths: list[Path], what: What, decoder: str) -> Work:
    """Returns our loader."""
    if decoder == "pillow":
        convatlas.data.images.decoding.simplejpeg = None
    return normalising(streamed(paths, what, workers=WORKERS), count=len(paths))


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
        DataLoader(InProcesses(paths, what), batch_size=None, num_workers=WORKERS, persistent_workers=True),
        count=len(paths),
    )


def normalising(loader: Iterable[Batch], *, count: int) -> Work:
    keep_freed_memory()
    return passing(Normalised(loader), count=count)


class Normalised:
    """Batches, normalised as the stage behind the loader does it."""

    def __init__(self, loader: Iterable[Batch]) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Batch]:
        return ((normalised(images), labels) for images, labels in self.loader)


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


def loading(folder: Path, paths: list[Path], *, rounds: int) -> dict[str, Any]:
    """Returns images per second of each way to load, for training and for evaluation."""
    measured = {}
    what: What
    for what in ("train", "evaluate"):
        ways: dict[str, Way] = {"torchvision": (by_torchvision, (folder, what)), "timm": (by_timm, (folder, what))}
        ways |= {f"ours, {decoder}": (ours, (paths, what, decoder)) for decoder in decoders()}
        ways["ours, processes"] = (by_processes, (paths, what))
        measured[what] = compared(ways, count=len(paths), rounds=rounds, of="torchvision")
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


def made_images(folder: Path, count: int, photographs: Path | None) -> tuple[list[Path], str]:
    """Makes JPEG files of ImageNet's usual form in 20 class folders, and returns their paths and their description.

    They are random parts of real photographs, because noise and flat images take other times to decode. Those of
    ImageNet make files of about 80 kilobytes. Those that Python packages ship are three; at a higher quality their
    parts have the 115 kilobytes of ImageNet's training images (147.9 GB for 1,281,167).
    """
    sources, quality, described = (_found if photographs else _shipped)(photographs)
    source, paths = random.Random(0), []
    for number in range(count):
        photograph = Image.open(sources[number % len(sources)]).convert("RGB")
        size = (375, 500) if photograph.height > photograph.width else (500, 375)
        largest = min(photograph.width / size[0], photograph.height / size[1])
        width, height = (side * largest * source.uniform(0.8, 1) for side in size)
        left, top = source.uniform(0, photograph.width - width), source.uniform(0, photograph.height - height)
        part = photograph.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        paths.append(folder / f"class {number % CLASSES}" / f"{number:05}.jpg")
        paths[-1].parent.mkdir(exist_ok=True)
        part.save(paths[-1], quality=quality)
    return paths, f"{described}, 500 x 375 or 375 x 500, quality {quality}"


def _found(folder: Path | None) -> tuple[list[Path], int, str]:
    """Returns the JPEG files below a folder."""
    assert folder is not None
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return found, 95, f"parts of the {len(found):,} photographs of {folder.name}"


def _shipped(_: Path | None) -> tuple[list[Path], int, str]:
    """Returns the photographs that two packages ship."""
    import matplotlib
    import sklearn.datasets

    names = (*sklearn.datasets.load_sample_images().filenames, "sample_data/grace_hopper.jpg")
    roots = (Path(sklearn.datasets.__file__).parent / "images",) * 2 + (Path(matplotlib.get_data_path()),)
    found = [root / name for root, name in zip(roots, names, strict=True)]
    return found, 98, "parts of the photographs that scikit-learn and Matplotlib ship"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, default=SAMPLE, help="folder of JPEG files to make the images from")
    parser.add_argument("--images", type=int, default=2000, help="images of each measurement of loading")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--networks", nargs="*", help="by default the six with the fewest multiply-adds, and resnet18")
    parser.add_argument("--network-images", type=int, default=256, help="images of each measurement of a network")
    parser.add_argument("--network-rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("results/bench/loader.json"))
    wanted = parser.parse_args(words)
    names = [*fastest(6), "resnet18"] if wanted.networks is None else wanted.networks
    with tempfile.TemporaryDirectory() as made:
        paths, described = made_images(Path(made), wanted.images, wanted.photographs)
        size = statistics.mean(path.stat().st_size for path in paths)
        loaded = loading(Path(made), paths, rounds=wanted.rounds)
        networks: dict[str, Any] = {}
        for name in names:
            networks |= network(name, paths[: wanted.network_images], rounds=wanted.network_rounds)
    content = {
        "results": loaded,
        "notes": [f"{len(paths):,} {described}, {size / 1000:.0f} kB on average, in the system's file cache"],
        "decoder": convatlas.data.images.decoding.decoder(),
        "batch_size": BATCH,
        "workers": WORKERS,
        "references": {library: version_of(library) for library in ("torchvision", "timm", "pillow")},
        "command": f"python bench/loader.py --images {wanted.images} --rounds {wanted.rounds} --networks"
        f"{''.join(f' {name}' for name in names)}",
    }
    if networks:
        content |= {"networks": networks, "verdict": verdict(loaded, networks)}
        content["command"] += f" --network-images {wanted.network_images} --network-rounds {wanted.network_rounds}"
    from convatlas.run import circumstances  # Lightning fails beside torchvision's Python files

    write_json(wanted.out, {**circumstances(), **content})


def version_of(library: str) -> str:
    """Returns the version of a library, of the references from their folder."""
    found = next(distributions(name=library, path=[str(ROOT / ".oracles"), *sys.path]))
    return found.version


if __name__ == "__main__":
    main()
