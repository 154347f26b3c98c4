"""The verbs as Python functions: create, load, train, evaluate, compare."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from convatlas.architectures import architecture
from convatlas.complexity import meta_network
from convatlas.data.preprocessing import Preprocessing
from convatlas.errors import UsageError
from convatlas.evaluation import Evaluation
from convatlas.report import Report
from convatlas.run import Run, read_run


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | None = None,
    **options: Any,
) -> nn.Module:
    """The network called `name`, or `path/to/file.py:name`, freshly initialised: (N, C, H, W) -> (N, num_classes).

    `options` are the builder's own keywords. With `weights`, the name of published ones, these are downloaded into the
    user's cache folder, checked and loaded, and the network is in eval mode; see `load` for another class count and
    `preprocessing` for the images that it expects. Raises `UsageError` for an unknown name or option.

    >>> create("resnet_uva", num_classes=100, depths=(2, 2, 2)).head.fc
    Linear(in_features=64, out_features=100, bias=True)
    """
    row = architecture(name)
    if weights is None:
        return row.build(num_classes=num_classes, in_channels=in_channels, **options)
    if in_channels not in (None, row.in_channels):
        raise UsageError(f"the weights {weights} of {name} are for {row.in_channels} channels, not {in_channels}")
    from convatlas.weights import download, weights_named

    chosen = weights_named(row, weights)
    meta_network(row, num_classes=num_classes, **options)  # what cannot be built is refused before the download
    return load(name, download(chosen), num_classes, **options)


def load(
    name: str, source: str | Path | Mapping[str, Any], num_classes: int | None = None, **options: Any
) -> nn.Module:
    """The network called `name` with the weights of a checkpoint, in eval mode on the CPU.

    `source` is a checkpoint file, a run's folder or a state dict, in our layout or in one that a key table translates,
    such as torchvision's, timm's and BiT's `.npz`. Another `num_classes` than the checkpoint's gives the network a new,
    untrained head, and a warning says so; so it does where a checkpoint holds a moving average of the weights too,
    which is then taken. `options` are the builder's, such as a dropout. What images the weights saw, `preprocessing`
    says. Raises `UsageError` where the checkpoint does not fit.

    >>> load("resnet_uva", create("resnet_uva").state_dict()).training
    False
    """
    from convatlas.weights import checkpoint_of, identify, open_checkpoint

    if isinstance(source, Mapping):
        checkpoint = checkpoint_of(source)
    elif not isinstance(source, str | Path):
        raise UsageError(f"a checkpoint is a file, a run's folder or a state dict, not {type(source).__name__}")
    else:
        path = Path(source)
        checkpoint = open_checkpoint(read_run(path).best_checkpoint if path.is_dir() else path)
    identified = identify(checkpoint, arch=name, options=options)
    for note in identified.notes:
        warnings.warn(f"{checkpoint.label}: {note}", stacklevel=2)
    if num_classes is None or num_classes == identified.num_classes:
        return identified.build()
    network = identified.build_for(num_classes)
    change = f"the head for {identified.num_classes} classes is replaced by an untrained one for {num_classes}"
    warnings.warn(f"{checkpoint.label}: {change}", stacklevel=2)
    return network


def preprocessing(name: str, weights: str) -> Preprocessing:
    """What the published `weights` of a network expect: uint8 images (N, C, H, W) -> its input, by calling it.

    Shorter side, centre, mean and standard deviation; the names of the classes are `class_names(dataset)`. Raises
    `UsageError` for unknown names.

    >>> preprocessing("resnet50", "torchvision").shorter_side
    256
    """
    from convatlas.weights import preprocessing_of_weights, weights_named

    return preprocessing_of_weights(weights_named(architecture(name), weights))


def train(
    name: str,
    *,
    out: str | Path | None = None,
    data: str = "digits",
    data_dir: str | Path | None = None,
    recipe: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Run:
    """Trains one network into the folder `out` and returns the run; a finished one is loaded.

    Without `out` the folder is that of the command line, such as `runs/digits/resnet_uva@quick/seed0`. `settings` are
    recipe fields (`{"epochs": 3}`), `options` the architecture's. Raises `UsageError`, as the command `convatlas train`
    does.
    """
    from rich.console import Console

    from convatlas.progress import Job, choose
    from convatlas.request import Entry, Request, plan_request, run_folder
    from convatlas.training import train_plan

    request = Request(
        entries=(Entry(name, recipe),),
        data=data,
        data_dir=_path(data_dir),
        seeds=(seed,),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
    )
    (plan,) = plan_request(request)
    folder = _path(out) or run_folder(plan)
    with choose(Console(stderr=True), [Job(plan.label, plan.seed, plan.epochs)], quiet=quiet) as progress:
        return train_plan(plan, folder=folder, resume=resume, device=device, progress=progress)


def evaluate(
    source: str | Path | Run,
    *,
    data: str | None = None,
    data_dir: str | Path | None = None,
    split: str = "test",
    arch: str | None = None,
    weights: str | None = None,
    device: str = "auto",
    precision: str | None = None,
) -> Evaluation:
    """Evaluates a run's best epoch, a checkpoint or an architecture's published `weights` on a split of a data set.

    The data is by default that of the run, or the one that the weights were published for; the normalisation is always
    the checkpoint's own. `arch` names the network of a checkpoint that does not, `precision` (`float32` or `bf16`) is
    by default what a run was trained in, else float32. Another copy of a run's images is evaluated where `data` names
    it, else refused. Notes, such as that the data is a part of the published one, are warnings. Raises `UsageError`.
    """
    from convatlas.prediction import check_split, choose_data, evaluate_split, open_predictor

    check_split(split)
    predictor = open_predictor(source.path if isinstance(source, Run) else source, arch=arch, weights=weights)
    predictor = predictor.to(device, precision=precision)
    chosen = choose_data(predictor, name=data, folder=_path(data_dir))
    for note in (*predictor.notes, *chosen.notes):
        warnings.warn(f"{predictor.source}: {note}", stacklevel=2)
    return evaluate_split(predictor, chosen, split=split)[0]


def compare(
    entries: Sequence[str],
    *,
    out: str | Path | None = None,
    data: str = "digits",
    data_dir: str | Path | None = None,
    seeds: int | Sequence[int] = 3,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Report:
    """Trains `ARCH[@RECIPE]` entries over seeds (a number n: 0 to n - 1) into `out` and returns the report.

    Without `out` the folder is that of the command line, such as `runs/compare-digits`.
    """
    from convatlas.request import Entry, Request, seeds_of, study_folder
    from convatlas.study import compare as run_study

    request = Request(
        entries=tuple(Entry.parse(entry, recipe=recipe) for entry in entries),
        data=data,
        data_dir=_path(data_dir),
        seeds=seeds_of(seeds),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
    )
    return run_study(request, out=_path(out) or study_folder(data), resume=resume, quiet=quiet)


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
