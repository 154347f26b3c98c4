"""Training in Python: one run, or a study of many runs. A request is checked before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convatlas.files import as_path
from convatlas.report import Report
from convatlas.request import Entry, Request, check_words, plan_request, run_folder, seeds_of, study_folder
from convatlas.run import Run


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
    (plan,) = plan_request(request)

    from convatlas.progress import choose
    from convatlas.screen import Screen
    from convatlas.training import train_plan

    folder = as_path(out) or run_folder(plan)
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
    settings: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    resume: bool = False,
    device: str = "auto",
    quiet: bool = False,
) -> Report:
    """Trains `ARCH[@RECIPE]` entries over seeds (a number n: 0 to n - 1) into `out` and returns the report.

    The default folder is the same as on the command line, such as `runs/compare-digits`.
    """
    request = Request(
        entries=tuple(Entry.parse(entry, recipe=recipe) for entry in entries),
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
