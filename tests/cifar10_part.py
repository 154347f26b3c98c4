"""The lossless part of CIFAR-10 as the data set `cifar10`. To be deleted when `convatlas.data` has its own."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

import convatlas.data
from convatlas.architectures.sources import CIFAR10_CLASSES
from convatlas.data import Spec, Split, list_data
from convatlas.data.spec import take


def read(folder: Path | None) -> tuple[Split, Split, Split]:
    """Training and validation images of the first batch, and all test images."""
    assert folder
    parts = []
    for name in ("data_batch_1", "test_batch"):
        with (folder / "cifar-10-batches-py" / name).open("rb") as file:
            content = pickle.load(file, encoding="bytes")
        images = torch.from_numpy(content[b"data"]).view(-1, 3, 32, 32)
        parts.append((images, torch.tensor(content[b"labels"])))
    (train, train_labels), (test, test_labels) = parts
    return (
        take(train, train_labels, torch.arange(900)),
        take(train, train_labels, torch.arange(900, 1000)),
        take(test, test_labels, torch.arange(len(test_labels))),
    )


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `cifar10` known for the time of a test, where it is not."""
    if "cifar10" in list_data():
        return
    cifar10 = Spec("cifar10", "CIFAR-10", "Krizhevsky 2009", CIFAR10_CLASSES, 3, 32, True, None, read)
    monkeypatch.setitem(convatlas.data._SPECS, "cifar10", cifar10)
