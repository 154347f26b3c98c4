"""Opens a predictor: from a run, a checkpoint or an architecture's published weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convatlas import values
from convatlas.architecture import Architecture
from convatlas.architectures import architecture, list_architectures, nothing_at, require_classifier
from convatlas.data import class_names
from convatlas.data.boxes.coco_classes import coco_classes
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.prediction.predictor import Predictor
from convatlas.run import Run, is_run, read_run
from convatlas.weights import (
    Identified,
    checkpoint_of,
    identify,
    is_file_of,
    open_checkpoint,
    preprocessing_of_weights,
    preprocessing_said,
    published_file,
    weights_named,
)

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of each channel


def open_predictor(
    source: str | Path,
    *,
    arch: str | None = None,
    weights: str | None = None,
    options: Mapping[str, str] | None = None,
    normalisation: Normalisation | None = None,
) -> Predictor:
    """Opens a classifier: a run's folder, a checkpoint file, or the name of an architecture with published `weights`.

    `arch`, `options` and `normalisation` are for a checkpoint that does not say them itself. Raises `UsageError`, also
    for a detector.
    """
    opened = open_network(source, arch=arch, weights=weights, options=options, normalisation=normalisation)
    require_classifier(opened.architecture)
    return opened


def open_network(
    source: str | Path,
    *,
    arch: str | None = None,
    weights: str | None = None,
    options: Mapping[str, str] | None = None,
    normalisation: Normalisation | None = None,
) -> Predictor:
    """Opens a classifier or a detector, as `open_predictor` does."""
    if weights is not None:
        if str(source) not in list_architectures() and Path(source).exists():
            raise UsageError(f"{source} brings its weights itself; --weights goes with the name of an architecture")
        if arch or options or normalisation:
            raise UsageError(f"the weights {weights} of {source} bring their network and normalisation with them")
        return _open_weights(str(source), weights)
    path = Path(source)
    if path.is_dir() or (path.is_file() and is_run(path.parent.parent)):
        run, checkpoint = _run_and_checkpoint(path)
        moved = arch is not None and run.record.architecture.reference is not None
        if options or normalisation or (arch and not moved):
            raise UsageError(
                f"{source} belongs to a run, which says itself what network it is; leave --arch, -o, --mean out"
            )
        return _of_run(run, checkpoint, source=str(source), arch=arch)
    if not path.exists():
        raise nothing_at(str(source))
    row = architecture(arch) if arch else None
    if options and row is None:
        raise UsageError(f"-o {' '.join(options)} is for the network that --arch names; name it")
    identified = identify(open_checkpoint(path), arch=arch, options=row.parse_options(options or {}) if row else None)
    return _of_checkpoint(identified, path, source=str(source), normalisation=normalisation)


def _open_weights(name: str, weights: str) -> Predictor:
    """Returns an architecture with its published weights, which are downloaded if need be."""
    row = architecture(name)
    chosen = weights_named(row, weights)
    path = published_file(chosen)
    identified = identify(open_checkpoint(path), arch=name)
    return _of_checkpoint(dataclasses.replace(identified, weights=chosen), path, source=f"{name} --weights {weights}")


def _run_and_checkpoint(source: Path) -> tuple[Run, Path]:
    """Returns the run and the weights that `source`, a run's folder or a file in its `checkpoints/`, means."""
    if source.is_file() and is_run(source.parent.parent):
        return read_run(source.parent.parent), source
    if not source.is_dir():
        raise nothing_at(str(source))
    run = read_run(source)
    if not run.finished:
        raise UsageError(f"the run in {source} is {run.status}; go on with `convatlas train ... --resume`")
    if not run.best_checkpoint.is_file():
        raise UsageError(
            f"the run in {source} has no {run.best_checkpoint.relative_to(source)}; it was not trained here"
        )
    return run, run.best_checkpoint


def architecture_of_run(run: Run, *, arch: str | None = None) -> Architecture:
    """Returns the architecture of the run; a user's own is read from the file that the run names, or `arch`.

    Raises `UsageError` where that file is not what it was when the run was made.
    """
    described = run.record.architecture
    reference = arch or described.reference or described.name
    path = Path(reference.rpartition(":")[0])
    if described.reference and not path.is_file():
        raise UsageError(f"{path}, the file of the run's own network, is not there; name it with --arch FILE.py:NAME")
    row = architecture(reference)
    if described.source_hash is None and row.source_hash is not None and arch is None:
        raise UsageError(
            f"the run {run.path} does not say which version of {path} it was made with; if the file is unchanged, name "
            "it with --arch FILE.py:NAME"
        )
    if described.source_hash not in (None, row.source_hash):
        raise UsageError(f"{path} is not what it was when the run {run.path} was made; bring that version back")
    return row


def identify_source(
    source: str | Path | Run | Mapping[str, Any], *, arch: str | None = None, options: Mapping[str, Any] | None = None
) -> tuple[Identified, str]:
    """Returns the network that a run, its folder, a checkpoint file or a state dict holds, and the source's name.

    Without `arch` the source says itself which network it is, or its keys do. Raises `UsageError`.
    """
    if isinstance(source, Mapping):
        return identify(checkpoint_of(source), arch=arch, options=options), "the state dict"
    if not isinstance(source, str | Path | Run):
        raise UsageError(f"a checkpoint is a file, a run's folder or a state dict, not {type(source).__name__}")
    path = source.path if isinstance(source, Run) else Path(source)
    if arch is None and (path.is_dir() or is_run(path.parent.parent)):
        run, checkpoint = _run_and_checkpoint(path)
        return _identified_of(run, checkpoint, options=options), str(checkpoint)
    if arch is None and str(path) in list_architectures() and not path.exists():
        raise UsageError(f"{path} is an architecture, which has no weights of its own; name a run or a checkpoint too")
    if arch is None and not path.exists():
        raise nothing_at(str(path))
    file = read_run(path).best_checkpoint if path.is_dir() else path
    return identify(open_checkpoint(file), arch=arch, options=options), str(file)


def _identified_of(
    run: Run, checkpoint: Path, *, arch: str | None = None, options: Mapping[str, Any] | None = None
) -> Identified:
    """Returns a run's checkpoint, with the given options; the run's record counts more than the file."""
    row = architecture_of_run(run, arch=arch)
    hints = row.option_types()
    own = {name: values.from_plain(value, hints.get(name)) for name, value in run.record.architecture.options.items()}
    opened = dataclasses.replace(open_checkpoint(checkpoint), record=run.record.said())
    return identify(opened, arch=row.reference or row.name, options={**own, **(options or {})})


def _of_run(run: Run, checkpoint: Path, *, source: str, arch: str | None = None) -> Predictor:
    identified = _identified_of(run, checkpoint, arch=arch)
    return dataclasses.replace(_of_checkpoint(identified, checkpoint, source=source), run=run)


def _of_checkpoint(
    identified: Identified, path: Path, *, source: str, normalisation: Normalisation | None = None
) -> Predictor:
    """Returns an identified checkpoint as a predictor: what our record, its published weights or the user say."""
    record, weights = identified.record, identified.weights
    known: dict[str, Any] = {"notes": identified.notes}
    preprocessing = None
    if record is not None:
        preprocessing = preprocessing_said(record.preprocessing, label=source)
        known |= {"precision": record.precision}
        if (data := record.data) is not None:
            known |= {
                "class_names": data.classes or None,
                "data": data.name,
                "split_hash": data.split_hash,
                "images_hash": data.images_hash,
            }
    elif weights is not None:
        preprocessing = preprocessing_of_weights(weights)
        names = weights.class_names or class_names(weights.dataset)
        named = names if len(names) == identified.num_classes else ()
        known |= {"class_names": named or None, "data": weights.dataset, "weights": weights}
        if normalisation is None and not is_file_of(path, weights):
            known["notes"] = (
                *identified.notes,
                f"normalisation taken from {weights.name} of {identified.architecture.name}, "
                "whose layout this file has; --mean and --std override it",
            )
    known |= _names_of_coco(identified, known, source=source)
    return Predictor(
        source=source,
        path=path,
        network=identified.build(),
        architecture=identified.architecture,
        options=identified.options,
        num_classes=identified.num_classes,
        in_channels=identified.in_channels,
        preprocessing=_normalised(preprocessing, identified, normalisation, source=source),
        **known,
    )


def _names_of_coco(identified: Identified, known: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Returns COCO's names and a note, for a detector without names of as many classes as COCO has numbers."""
    names = coco_classes()
    detects = identified.architecture.task == "detection"
    if known.get("class_names") or not detects or identified.num_classes != len(names):
        return {}
    note = f"the {len(names)} classes of {source} are taken to be COCO's"
    return {"class_names": names, "notes": (*known["notes"], note)}


def _normalised(
    own: Preprocessing | None, identified: Identified, given: Normalisation | None, *, source: str
) -> Preprocessing:
    """Returns the checkpoint's own preprocessing, with the normalisation that the user gives in its place."""
    if given is None:
        if own is None:
            raise UsageError(
                f"{source} does not say with which normalisation its network was trained; "
                "give it with --mean and --std (of finetune: --set mean=... --set std=...), a number for each channel"
            )
        stem = identified.state.get("stem.conv.weight")
        if len(own.mean) != identified.in_channels and identified.weights is not None and stem is not None:
            published = (stem.shape[0], len(own.mean), *stem.shape[2:])
            raise UsageError(
                f"{source} has the layout of {identified.weights.name} of {identified.architecture.name}, but "
                f"! stem.conv.weight (shape {tuple(stem.shape)}, there {published}); "
                f"for a network of {identified.in_channels} channels give --mean and --std"
            )
        if len(own.mean) != identified.in_channels:
            raise UsageError(
                f"{source}: its normalisation has {len(own.mean)} channels, the network takes {identified.in_channels}"
            )
        return own
    mean, std = given
    fitting = len(mean) == len(std) == identified.in_channels and all(map(math.isfinite, mean + std))
    if not fitting or min(std) <= 0:
        raise UsageError(
            f"--mean {_comma(mean)} --std {_comma(std)}: the network takes {identified.in_channels} channels and needs "
            "a number for each, standard deviations above 0"
        )
    if own is None:
        return Preprocessing(identified.architecture.image_size, mean, std)
    return dataclasses.replace(own, mean=mean, std=std)


def _comma(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:g}" for number in numbers)
