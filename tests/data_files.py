"""Makes data files in the layouts in which they are published, a few records each."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from torch import Tensor

from convatlas.data.images.decoding import Encoded, read_encoded
from convatlas.data.images.stores import FileStore
from convatlas.data.sources.identity import FIRST_LABELS


def encoded_at(path: Path) -> Encoded:
    """Reads an image file as a training does."""
    store = FileStore(path.parent, [path.name])
    return read_encoded(store.read(0), store.shown(0))


def pixels(count: int, *shape: int, seed: int = 0) -> np.ndarray:
    """Random images uint8."""
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def numbers(count: int, classes: int = 10) -> list[int]:
    """Labels 0, 1, 2 ... in turn."""
    return [i % classes for i in range(count)]


def batch(count: int, *, seed: int = 0, labels: str = "labels", classes: int = 10) -> dict[bytes, Any]:
    """The content of one pickle of CIFAR."""
    return {b"data": pixels(count, 3072, seed=seed), labels.encode(): numbers(count, classes), b"batch_label": b"x"}


def dump(path: Path, content: Any, protocol: int = 2) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


def cifar10(folder: Path, *, each: int = 4, protocol: int = 2) -> Path:
    """Five training batches and a test batch; returns their folder."""
    home = folder / "cifar-10-batches-py"
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        dump(home / name, batch(each, seed=seed), protocol)
    return home


def cifar100(folder: Path, *, count: int = 20) -> Path:
    home = folder / "cifar-100-python"
    for seed, name in enumerate(("train", "test")):
        content = batch(count, seed=seed, labels="fine_labels", classes=100)
        dump(home / name, {**content, b"coarse_labels": [0] * count})
    return home


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an idx file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def published(name: str, part: int, count: int) -> list[int]:
    """Labels that begin as those of a collection, of its training part (0) or its test part (1)."""
    first = FIRST_LABELS[name][part] if name else ()
    return [*first, *numbers(count)][:count]


def mnist(home: Path, *, train: int = 20, test: int = 5, gzipped: bool = True, like: str = "") -> Path:
    """The four files, whose labels may begin as those of a collection; returns their folder."""
    home.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate((("train", train), ("t10k", test))):
        contents = {
            f"{part}-images-idx3-ubyte": idx(pixels(count, 28, 28, seed=seed)),
            f"{part}-labels-idx1-ubyte": idx(np.array(published(like, seed, count), np.uint8)),
        }
        for name, content in contents.items():
            if gzipped:
                (home / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
            else:
                (home / name).write_bytes(content)
    return home


def encoded(image: np.ndarray, kind: str = "PNG") -> bytes:
    """An image (H, W) or (H, W, C) as a file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


HUB_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def shard(
    path: Path,
    images: list[bytes | None],
    labels: list[Any],
    *,
    image: str = "img",
    label: str = "label",
    classes: Sequence[str] | None = None,
) -> None:
    """One parquet file as the hub has it; its metadata may name the classes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [{"bytes": content, "path": None} for content in images]
    table = pa.table({image: pa.array(records, HUB_IMAGE), label: pa.array(labels)})
    features = {image: {"_type": "Image"}, label: {"names": classes, "_type": "ClassLabel"}}
    metadata = {} if classes is None else {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def hub(home: Path, *, train: int = 20, test: int = 5, kind: str = "PNG", **columns: str) -> Path:
    """Two training shards and a test shard of 32 x 32 colour images; returns their folder."""
    images = [encoded(image, kind) for image in pixels(train + test, 32, 32, 3)]
    half = train // 2
    shard(home / "train-00000-of-00002.parquet", images[:half], numbers(half), **columns)
    shard(home / "train-00001-of-00002.parquet", images[half:train], numbers(train - half), **columns)
    shard(home / "test-00000-of-00001.parquet", images[train:], numbers(test), **columns)
    return home


def torchvision_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names of a ResNet's tensors as torchvision and timm have them."""
    rules = (
        (r"^stem\.conv\.conv", "conv1"),
        (r"^stem\.conv\.norm", "bn1"),
        (r"^head\.fc", "fc"),
        (r"^stage(\d)\.(\d+)\.branch\.conv(\d)\.conv", r"layer\1.\2.conv\3"),
        (r"^stage(\d)\.(\d+)\.branch\.conv(\d)\.norm", r"layer\1.\2.bn\3"),
        (r"^stage(\d)\.(\d+)\.shortcut\.conv", r"layer\1.\2.downsample.0"),
        (r"^stage(\d)\.(\d+)\.shortcut\.norm", r"layer\1.\2.downsample.1"),
    )
    named = {}
    for key, tensor in state.items():
        for pattern, theirs in rules:
            key = re.sub(pattern, theirs, key)
        named[key] = tensor
    return named
