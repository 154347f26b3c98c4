"""Small fake studies on disk, for the tests of what reads them; the numbers can be checked by hand."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convatlas.files import write_bytes
from convatlas.report import costs, curves
from convatlas.run import (
    ArchitectureRecord,
    DataRecord,
    NetworkRecord,
    PreprocessingRecord,
    Run,
    RunRecord,
    SessionRecord,
    Start,
    write_metrics,
)

CLASSES = [str(digit) for digit in range(10)]
IMAGES = 360  # in validation and in test
EPOCHS = 5
# Per network: parameters, MACs, and how many test images each seed gets wrong.
NETWORKS: dict[str, tuple[int, int, tuple[int, int, int]]] = {
    "resnet_uva": (272_090, 10_129_024, (9, 5, 12)),
    "preact_resnet_uva": (271_962, 10_122_880, (10, 9, 8)),
    "lenet5": (61_706, 416_520, (40, 36, 44)),
}


def fake_record(name: str, **changes: Any) -> RunRecord:
    """A run's record; `changes` replace whole parts."""
    params, macs, _ = NETWORKS.get(name, (1_000, 100_000, (0, 0, 0)))
    record = RunRecord(
        status="finished",
        architecture=ArchitectureRecord(name=name, num_classes=10, in_channels=1),
        start=Start.from_seed(),
        recipe={"name": "quick", "epochs": EPOCHS, "batch_size": 64, "optimizer": "adamw", "lr": 0.01},
        seed=0,
        data=fake_data(),
        preprocessing=PreprocessingRecord(image_size=16, mean=(0.3,), std=(0.37,)),
        network=NetworkRecord(params=params, macs=macs, shape=(1, 16, 16)),
        selection="best validation accuracy",
        device="cpu",
        sessions=(SESSION,),
    )
    return replace(record, **changes)


SESSION = SessionRecord(
    versions={"convatlas": "0.1.0", "python": "3.11.7", "torch": "2.13.0", "lightning": "2.6.6", "numpy": "2.4.6"},
    git_commit="0123abc",
    hardware={"cpu": "a test's imagination", "cores": 2, "gpu": None, "threads": 2},
    command="convatlas compare resnet_uva preact_resnet_uva lenet5 --data digits --seeds 3 --out study",
    started="2026-11-29T03:24:50+00:00",
)


def fake_data(name: str = "digits", split_hash: str = "9f8e7d6c5b4a3210") -> DataRecord:
    """The data set of a record."""
    return DataRecord(
        name=name,
        split_hash=split_hash,
        images_hash="0f1e2d3c4b5a6978",
        split_seed=42,
        train=1077,
        validation=IMAGES,
        test=IMAGES,
        classes=tuple(CLASSES),
        source="scikit-learn's copy of the UCI handwritten digits",
    )


def write_fake_run(folder: Path, name: str, *, seed: int = 0, wrong: int | None = None, **changes: Any) -> Run:
    """A finished run in `folder`: `wrong` of its 360 test images, and half as many of validation, are mistaken."""
    wrong = NETWORKS[name][2][seed] if wrong is None else wrong
    results = {
        "best_epoch": 4,
        "val_top1": 1 - (wrong // 2) / IMAGES,
        "val_loss": 0.06,
        "test_top1": 1 - wrong / IMAGES,
        "test_loss": 0.07,
        "train_seconds": 4.0 + seed,
        "images_per_second": 1200.0 + 100 * seed,
    }
    write_metrics(folder / "metrics.csv", fake_metrics(1 - (wrong // 2) / IMAGES, epochs=EPOCHS, seed=seed))
    write_arrays(folder / "predictions.npz", **fake_predictions(val=wrong // 2, test=wrong, seed=seed))
    write_arrays(folder / "samples.npz", **fake_samples(mistakes=min(wrong, 12), seed=seed))
    return Run(folder, fake_record(name, seed=seed, **{"results": results, **changes})).write()


def write_fake_study(folder: Path, *, networks: Iterable[str] = NETWORKS, seeds: int = 3) -> Path:
    """Networks x seeds of finished runs, one failed and one unfinished run of another network."""
    for name in networks:
        for seed in range(seeds):
            write_fake_run(folder / name / f"seed{seed}", name, seed=seed)
    failed = fake_record("nin", status="failed", results={"error": "out of <memory>"})
    Run(folder / "nin" / "seed0", failed).write()
    Run(folder / "nin" / "seed1", fake_record("nin", seed=1, status="unfinished")).write()
    return folder


def fake_metrics(best: float, *, epochs: int, seed: int = 0) -> list[dict[str, float]]:
    """Learning curves that end at the validation accuracy `best`."""
    rows = []
    for epoch in range(epochs):
        pace = 0.6 + 30 * (best - 0.94)
        left = math.exp(-pace * epoch - 0.1 * seed) - math.exp(-pace * (epochs - 1) - 0.1 * seed)
        top1 = best - 0.5 * left
        losses = {"train_loss": 1.1 - best + 1.5 * left, "val_loss": 1.06 - best + 1.3 * left}
        speed = {"lr": 0.01 * (1 - epoch / epochs), "seconds": 0.8, "images_per_second": 1200.0}
        rows.append({"epoch": epoch, **losses, "train_top1": top1 - 0.02 - 0.05 * left, "val_top1": top1, **speed})
    return rows


def fake_predictions(*, val: int, test: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a `predictions.npz` in which the first `val` and `test` images (turned by the seed) are mistaken."""
    arrays = {}
    for part, wrong in (("val", val), ("test", test)):
        labels = np.arange(IMAGES) % 10
        answers = labels.copy()
        mistaken = (np.arange(wrong) + 3 * seed) % IMAGES
        answers[mistaken] = (labels[mistaken] + 1) % 10
        arrays[f"{part}_logits"] = 4 * np.eye(10, dtype=np.float32)[answers]
        arrays[f"{part}_labels"] = labels
        arrays[f"{part}_index"] = np.arange(IMAGES) + (1077 if part == "val" else 1437)
    return arrays


def fake_samples(*, mistakes: int, channels: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of a `samples.npz`: 8 training images before and after augmentation, and the worst mistakes."""
    images = np.random.default_rng(seed).integers(0, 256, (8 + mistakes, 16, 16, channels), dtype=np.uint8)
    labels = np.arange(mistakes) % 10
    return {
        "before": images[:8],
        "after": np.roll(images[:8], 2, axis=2),
        "mistakes": images[8:],
        "mistake_labels": labels,
        "mistake_predictions": (labels + 1) % 10,
        "mistake_probabilities": np.linspace(0.99, 0.6, mistakes),
    }


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An `.npz` file in a folder that need not exist."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_bytes(path, buffer.getvalue())


@contextlib.contextmanager
def quick_runs() -> Iterator[None]:
    """Lets runs and reports write empty pictures, and no graph for TensorBoard: each takes longer than an epoch here.

    Pictures and graphs have tests of their own.
    """
    from convatlas.training.engine.loop import GraphLogger

    with pytest.MonkeyPatch.context() as patch:
        for module in (costs, curves):
            patch.setattr(module, "save", lambda _figure, path: write_bytes(path, b"a picture"))
        patch.setattr(GraphLogger, "log_graph", lambda *_, **__: None)
        yield
