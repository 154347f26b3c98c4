"""Published weights by name: found in the user's cache folder, or downloaded there and checked."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from convatlas.architecture import Architecture, Weights
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError, unknown
from convatlas.weights.files import file_sha256

ATTEMPTS = 3
TIMEOUT = 20.0  # seconds without an answer


def published_weights(row: Architecture, name: str) -> Weights:
    """The architecture's weights called `name`. Raises `UsageError` for an unknown name, with those there are."""
    for weights in row.weights:
        if weights.name == name:
            return weights
    if not row.weights:
        raise UsageError(f"no published weights are known for {row.name}")
    raise unknown(f"weights of {row.name}", name, [weights.name for weights in row.weights])


def preprocessing_of_weights(weights: Weights) -> Preprocessing:
    """Size, crop and normalisation of the images that published weights were trained for."""
    return Preprocessing(weights.image_size, weights.mean, weights.std, weights.shorter_side, weights.interpolation)


def download(weights: Weights) -> Path:
    """The file of published weights in the cache folder, downloaded if it is not there yet.

    The hash decides: a file that has another one is never used. Raises `UsageError` with the address, the hash and the
    place for the file where it cannot be had.
    """
    import pooch

    path = Path(pooch.os_cache("convatlas")) / "weights" / weights.name / Path(weights.url).name
    if path.is_file() and is_published(path, weights):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as error:
        raise UsageError(f"cannot write to the cache folder {path.parent}: {error.strerror}") from error
    try:
        _fetch(weights, Path(temporary), destination=path)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path


def _fetch(weights: Weights, temporary: Path, *, destination: Path) -> None:
    """Downloads into `temporary`, again where the connection fails or the file arrives damaged."""
    import pooch

    there = (
        f"; the file that lies there has another sha256, {file_sha256(destination)}" if destination.is_file() else ""
    )
    begins = weights.sha256 if len(weights.sha256) == 64 else f"{weights.sha256}..."
    by_hand = f"put the file with sha256 {begins} at {destination}{there}"
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(attempt)
        try:
            pooch.HTTPDownloader(timeout=TIMEOUT)(weights.url, temporary, None)
        except OSError as error:  # requests' errors are of this kind
            reason = f"{type(error).__name__}"
            continue
        if is_published(temporary, weights):
            return
        reason = f"what came has sha256 {file_sha256(temporary)}"
    raise UsageError(f"cannot download {weights.url} ({reason}, {ATTEMPTS} attempts): try again, or {by_hand}")


def is_published(path: Path, weights: Weights) -> bool:
    """Whether the file has the published hash; of some only the beginning is known, 8 digits at least."""
    return len(weights.sha256) >= 8 and file_sha256(path).startswith(weights.sha256)
