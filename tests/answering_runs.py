"""Finished runs on the digits whose answers are drawn: right on a share of the images, for what compares answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convatlas.data import class_labels, load_data
from convatlas.run import Run
from convatlas.training.records import data_record
from fixtures import fake_record, write_arrays

DIGITS = load_data("digits")
PARTS = {"val": DIGITS.validation, "test": DIGITS.test}
NETWORKS = {"resnet20": 0.9, "plain20": 0.8}  # share of right answers


def answers_of(name: str, seed: int, part: str) -> np.ndarray:
    """Logits (n, 10) of a network that is right on a share of the images, drawn by name and seed."""
    labels = class_labels(PARTS[part]).numpy()
    generator = np.random.default_rng([seed, len(part), len(name)])
    given = np.where(generator.random(len(labels)) < NETWORKS[name], labels, generator.integers(0, 10, len(labels)))
    logits = generator.normal(size=(len(labels), 10)).astype(np.float32)
    logits[np.arange(len(labels)), given] += 5 + generator.random(len(labels)).astype(np.float32)
    return logits


def write_run(
    folder: Path, name: str, *, seed: int = 0, parts: tuple[str, ...] = ("val", "test"), **changes: Any
) -> Run:
    """A finished run on the digits with its answers to `parts`."""
    arrays = {f"{part}_logits": answers_of(name, seed, part) for part in parts}
    for part in parts:
        arrays |= {f"{part}_labels": class_labels(PARTS[part]).numpy(), f"{part}_index": PARTS[part].index.numpy()}
    write_arrays(folder / "predictions.npz", **arrays)
    results = {"best_epoch": 1, "val_top1": 0.9, "test_top1": 0.9}
    record = fake_record(name, seed=seed, **{"data": data_record(DIGITS), "results": results, **changes})
    return Run(folder, record).write()
