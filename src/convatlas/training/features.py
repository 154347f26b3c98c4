"""The features that a network's body gives images, kept in a file, so that many trainings of a head share one pass."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convatlas.data import Images
from convatlas.errors import UsageError
from convatlas.files import read_arrays, read_json, write_bytes, write_json
from convatlas.run import differences
from convatlas.weights import file_sha256

PARTS = ("train", "test")


@dataclass(frozen=True)
class KeptFeatures:
    """The features of some images of a data set, by the part and the number of an image in its source.

    `numbers` (N,) of a part rise; `values` (N, features) are in their order. `shape` is the shape of an image's
    features where the head takes them.
    """

    numbers: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    shape: tuple[int, ...]

    def missing(self, part: str, numbers: np.ndarray) -> np.ndarray:
        """Returns the numbers of images whose features are not here, in rising order."""
        return np.setdiff1d(numbers, self.numbers[part])

    def of(self, part: str, images: Images) -> Tensor:
        """Returns the features (N, ...) of the images of a part, in their order."""
        wanted = images.index.cpu().numpy()
        if len(self.missing(part, wanted)):
            raise UsageError(f"the features of {len(self.missing(part, wanted)):,} {part} images were not computed")
        values = torch.from_numpy(self.values[part][np.searchsorted(self.numbers[part], wanted)])
        return values.view(len(wanted), *self.shape)

    def with_more(self, part: str, numbers: np.ndarray, values: np.ndarray) -> KeptFeatures:
        """Returns these features and those of further images of a part."""
        together = np.concatenate([self.numbers[part], numbers])
        order = np.argsort(together)
        both = np.concatenate([self.values[part].reshape(-1, values.shape[1]), values])
        return KeptFeatures({**self.numbers, part: together[order]}, {**self.values, part: both[order]}, self.shape)


def no_features(shape: tuple[int, ...]) -> KeptFeatures:
    """Returns the features of no images."""
    numbers = {part: np.empty(0, np.int64) for part in PARTS}
    return KeptFeatures(numbers, {part: np.empty((0, int(np.prod(shape))), np.float32) for part in PARTS}, shape)


def write_features(features: KeptFeatures, path: Path, *, facts: Mapping[str, Any]) -> None:
    """Writes features into a file, and beside it the facts of what they are, with the file's sha256."""
    buffer = io.BytesIO()
    arrays = {f"{part}_{name}": getattr(features, name)[part] for part in PARTS for name in ("numbers", "values")}
    np.savez(buffer, shape=np.array(features.shape, np.int64), **arrays)  # compressed they are hardly smaller
    write_bytes(path, buffer.getvalue())
    counts = {f"{part}_images": len(features.numbers[part]) for part in PARTS}
    write_json(path.with_suffix(".json"), {**facts, **counts, "sha256": file_sha256(path)})


def read_features(path: Path, *, facts: Mapping[str, Any]) -> KeptFeatures | None:
    """Returns the features in a file; None where it is not there, damaged, or of other facts."""
    try:
        said = read_json(path.with_suffix(".json"))
        same = not differences(dict(facts), {name: said.get(name) for name in facts})
        if not same or not path.is_file() or said.get("sha256") != file_sha256(path):
            return None
        arrays = read_arrays(path)
        numbers, values = ({part: arrays[f"{part}_{name}"] for part in PARTS} for name in ("numbers", "values"))
        return KeptFeatures(numbers, values, tuple(arrays["shape"].tolist()))
    except (UsageError, KeyError):
        return None
