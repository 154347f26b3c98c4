"""The runs of a landscape: their networks, their directions, and the training images on which losses are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convatlas.data import DataSet, class_labels
from convatlas.errors import UsageError
from convatlas.insight.landscape.directions import Directions, Weights, principal_directions, random_directions
from convatlas.insight.landscape.surface import Sample, Surface, centre_of
from convatlas.insight.landscape.wanted import Wanted
from convatlas.prediction import Predictor, choose_data, open_predictor
from convatlas.run import Run, other_pixels
from convatlas.weights import network_state, read_checkpoint
from convatlas.words import label

IMAGE_SEED = 0  # of the choice of training images, the same for every run


@dataclass(frozen=True)
class Opened:
    """A run with its network in float32 on a device, under the name by which it is shown."""

    name: str
    run: Run
    predictor: Predictor


def open_runs(sources: Sequence[str], *, device: str) -> list[Opened]:
    """Opens the runs. Raises `UsageError` for anything but finished runs on the same images."""
    if not sources:
        raise UsageError("landscape needs a run; name the folders of finished runs")
    predictors = [open_network(source, device=device) for source in dict.fromkeys(sources)]
    first = predictors[0]
    for other in predictors[1:]:
        if (other.data, other.split_hash) != (first.data, first.split_hash):
            raise UsageError(
                f"{first.source} is of {first.data} ({first.split_hash}), {other.source} of {other.data} "
                f"({other.split_hash}): losses on other images have no common scale; draw them apart"
            )
        if other_pixels(first.images_hash, other.images_hash) or other.class_names != first.class_names:
            raise UsageError(f"{first.source} and {other.source} are of other copies of {first.data}; draw them apart")
    runs = [predictor.run for predictor in predictors if predictor.run is not None]
    names = names_of(runs, [predictor.source for predictor in predictors])
    return [Opened(*each) for each in zip(names, runs, predictors, strict=True)]


def open_network(source: str, *, device: str) -> Predictor:
    """Opens a run's evaluated network in float32. Raises `UsageError` for what is no finished run."""
    predictor = open_predictor(source).to(device, precision="float32")
    if predictor.run is None:
        raise UsageError(f"{source} is no run, whose training images are known; name the folder of a finished run")
    return predictor


def names_of(runs: Sequence[Run], sources: Sequence[str]) -> list[str]:
    """Returns a name for each run, as short as keeps them apart; at last it is the source, as the user named it."""
    records = [run.record for run in runs]
    plain = [label(record.architecture.name, record.architecture.options) for record in records]
    recipes = [f"{name} @ {record.recipe['name']}" for name, record in zip(plain, records, strict=True)]
    seeds = [f"{name}, seed {record.seed}" for name, record in zip(recipes, records, strict=True)]
    for names in (plain, recipes, seeds):
        if len(set(names)) == len(names):
            return names
    return list(sources)


def training_images(predictor: Predictor, *, data_dir: Path | None, skip_unreadable: bool = False) -> DataSet:
    """Returns the data set of a run, whose training images are labelled. Raises `UsageError` as `choose_data` does."""
    data = choose_data(predictor, folder=data_dir, skip_unreadable=skip_unreadable)
    class_labels(data.train, needed_by="the loss")
    return data


def chosen_places(data: DataSet, *, images: int) -> Tensor:
    """Returns the places of the chosen training images, in rising order: different ones, or all if there are fewer."""
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(IMAGE_SEED))
    return order[:images].sort().values


def sample_of(data: DataSet, places: Tensor, predictor: Predictor) -> Sample:
    """Returns the images as a network's evaluation sees them before normalisation, not augmented, on the CPU."""
    pixels = data.train.batch(places, preprocessing=predictor.preprocessing, device=torch.device("cpu"))
    return Sample(pixels.contiguous(), class_labels(data.train)[places].cpu())


def directions_of(predictor: Predictor, wanted: Wanted, *, seed: int) -> Directions:
    """Returns the directions of a run's network. Raises `UsageError` where pca has too few snapshots."""
    weights = centre_of(predictor.network)
    if wanted.directions == "random":
        return random_directions(weights, seed=seed, ignore=wanted.ignore, count=wanted.dimensions)
    assert predictor.run is not None
    snapshots = snapshots_of(predictor.run, weights, needed=wanted.dimensions + 1)
    try:
        return principal_directions(weights, snapshots, ignore=wanted.ignore, count=wanted.dimensions)
    except UsageError as error:
        raise UsageError(f"{predictor.source}: {error}") from error


def snapshots_of(run: Run, weights: Weights, *, needed: int) -> dict[int, Weights]:
    """Returns the weights that a run kept during its training, by epoch. Raises `UsageError` for fewer than needed."""
    paths = run.snapshots
    if len(paths) < needed:
        raise UsageError(
            f"{run.path} has {len(paths)} snapshots of its weights, and pca needs {needed}; train it with "
            f"--set snapshots=10, or take --directions random"
        )
    found: dict[int, Weights] = {
        epoch: network_state(read_checkpoint(path), prefix="network.") for epoch, path in paths.items()
    }
    for epoch, state in found.items():
        if any(name not in state or state[name].shape != weight.shape for name, weight in weights.items()):
            raise UsageError(f"{paths[epoch]} has other tensors than the network of the run; move it away")
    return found


def surface_of(predictor: Predictor, directions: Directions, wanted: Wanted) -> Surface:
    """Returns the surface of an opened network, which is changed in place."""
    network = predictor.answers or predictor.network
    return Surface(network, directions, preprocessing=predictor.preprocessing, statistics=wanted.statistics)
