"""Training in Python: one run, or a study of many runs. A request is checked before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.api.entries import study_entries
from convatlas.errors import UsageError
from convatlas.files import as_path
from convatlas.recipe import recipe_with_method
from convatlas.report import Report
from convatlas.request import (
    Entry,
    Request,
    StartWords,
    check_words,
    plan_request,
    run_folder,
    seeds_of,
    study_folder,
)
from convatlas.run import Run

if TYPE_CHECKING:
    from convatlas.training import Plan


def train(
    name: str,
    *,
    out: str | Path | None = None,
    data: str = "digits",
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    recipe: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Run:
    """Trains one network into the folder `out` and returns the run; a finished run is loaded.

    The default folder is the same as on the command line, such as `runs/digits/resnet_uva@quick/seed0`. `settings` are
    recipe fields (`{"epochs": 3}`), `options` are the architecture's. With `skip_unreadable`, images that cannot be
    read are left out. Raises `UsageError` as `convatlas train` does.
    """
    request = Request(
        entries=(Entry(name, recipe),),
        data=data,
        data_dir=as_path(data_dir),
        seeds=(seed,),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    return _trained(request, out=as_path(out), resume=resume, quiet=quiet)


def finetune(
    source: str | Path | Run,
    *,
    data: str,
    weights: str | Path | None = None,
    recipe: str | None = None,
    keep_head: bool = False,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    skip_unreadable: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Run:
    """Trains a network on from its weights into the folder `out` and returns the run; a finished run is loaded.

    `source` is a run, a checkpoint file, or the name of an architecture with `weights`, published ones or a file. The
    head is new, or kept with `keep_head` where the classes are the same. `recipe` is `head_only`, the default, `full`,
    `gradual` or another one, of a detector its own; `settings={"frozen": ("stem", "stage1")}` freezes parts. The other
    arguments are as in `train`. Raises `UsageError` as `convatlas finetune` does.
    """
    request = Request(
        entries=(Entry(str(source.path if isinstance(source, Run) else source), recipe),),
        data=data,
        data_dir=as_path(data_dir),
        seeds=(seed,),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
        skip_unreadable=skip_unreadable,
        start=StartWords(None if weights is None else str(weights), "kept" if keep_head else "fresh"),
    )
    return _trained(request, out=as_path(out), resume=resume, quiet=quiet)


def semi(
    name: str,
    *,
    method: str | None = None,
    labels: float | None = None,
    data: str = "digits",
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    recipe: str | None = None,
    unlabelled: str | None = None,
    teacher: str | Path | Run | None = None,
    rounds: int | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Run:
    """Trains a network with few labels into the folder `out` and returns the run; a finished run is loaded.

    `method` is one of those of `convatlas semi --help`, or `recipe` names a recipe with one. `labels` is the number of
    training images that keep their labels, or below 1 the part of each class; None keeps all. `unlabelled` names
    another source, such as `folder:PATH`. `noisy_student` learns from `teacher`, a run, or trains one and then `rounds`
    students below `out`; the last is returned.
    """
    wanted = {} if labels is None else {"labels": labels}
    request = Request(
        entries=(Entry(name, recipe_with_method(method, recipe, data=data)),),
        data=data,
        data_dir=as_path(data_dir),
        seeds=(seed,),
        settings={**wanted, **(settings or {})},
        options=dict(options or {}),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    words = {"unlabelled": unlabelled, "folder": request.data_dir, "teacher": _run_folder(teacher), "rounds": rounds}
    return _last_round(request, words, out=as_path(out), resume=resume, quiet=quiet)


def _run_folder(run: str | Path | Run | None) -> Path | None:
    return run.path if isinstance(run, Run) else as_path(run)


def _last_round(request: Request, words: Mapping[str, Any], *, out: Path | None, resume: bool, quiet: bool) -> Run:
    """Trains all rounds of a request with the sources that `words` name, and returns the last run."""
    (plan,) = plan_request(request)

    from convatlas.device import resolve_device
    from convatlas.training import Sources, training_rounds

    device, sources = resolve_device(request.device), Sources(**words)
    for each, folder in training_rounds(plan, out or run_folder(plan), sources=sources, device=device):
        run = _trained_plan(each, folder=folder, resume=resume, device=device, quiet=quiet)
    return run


def _trained(request: Request, *, out: Path | None, resume: bool, quiet: bool) -> Run:
    """Returns the one run of a request."""
    (plan,) = plan_request(request)
    return _trained_plan(plan, folder=out or run_folder(plan), resume=resume, device=request.device, quiet=quiet)


def _trained_plan(plan: Plan, *, folder: Path, resume: bool, device: str, quiet: bool) -> Run:
    from convatlas.progress import choose
    from convatlas.screen import Screen
    from convatlas.training import train_plan

    with choose(Screen(stderr=True), [plan.job], quiet=quiet) as progress:
        return train_plan(plan, folder=folder, resume=resume, device=device, progress=progress)


def compare(
    entries: Sequence[str],
    *,
    out: str | Path | None = None,
    data: str = "digits",
    data_dir: str | Path | None = None,
    skip_unreadable: bool = False,
    seeds: int | Sequence[int] = 3,
    recipe: str | None = None,
    methods: Sequence[str] | None = None,
    labels: Sequence[float] | None = None,
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Report:
    """Trains `ARCH[@RECIPE]` entries over seeds (a number n: 0 to n - 1) into `out` and returns the report.

    With `methods`, such as `["supervised", "fixmatch"]`, each network is trained by each method for few labels, with
    each number of `labels`. The default folder is the same as on the command line, such as `runs/compare-digits`.
    """
    request = Request(
        entries=study_entries(entries, recipe=recipe, methods=methods, labels=labels, data=data),
        data=data,
        data_dir=as_path(data_dir),
        seeds=seeds_of(seeds),
        settings=dict(settings or {}),
        options=dict(options or {}),
        device=device,
        skip_unreadable=skip_unreadable,
    )
    check_words(request)

    from convatlas.study import compare as run_study  # not sooner: it imports PyTorch, which takes seconds

    return run_study(request, out=as_path(out) or study_folder(data), resume=resume, quiet=quiet)


def degradation(
    networks: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    data: str | None = None,
    seeds: int | Sequence[int] = 1,
    resume: bool = False,
    **training: Any,
) -> dict[str, Any]:
    """Draws the errors of shallow and deep networks as `convatlas degradation` does; returns its table as plain data.

    With `data`, `networks` are names, at least two depths of a kind such as `plain20` and `plain56`; they are trained
    as `compare` does it, whose other arguments `training` has. Without `data` they are folders of runs or studies,
    which are only drawn; several need `out`. Raises `UsageError`.
    """
    from convatlas.insight.degradation import check_networks, write_degradation

    if data is None:
        if training:
            raise UsageError(f"without data nothing is trained; leave {', '.join(training)} out, or name the data")
        return write_degradation([Path(network) for network in networks], as_path(out))
    names = [str(network) for network in networks]
    entries = [Entry.parse(name, recipe=training.get("recipe")) for name in names]
    check_networks((entry.architecture, entry.recipe) for entry in entries)
    folder = as_path(out) or study_folder(data, protocol="degradation")
    compare(names, out=folder, data=data, seeds=seeds, resume=resume, **training)
    return write_degradation([folder], folder)
