"""The verbs as Python functions: create, train, evaluate, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from convatlas.architectures import architecture
from convatlas.evaluation import Evaluation
from convatlas.report import Report
from convatlas.run import Run


def create(name: str, *, num_classes: int | None = None, in_channels: int | None = None, **options: Any) -> nn.Module:
    """The network called `name`, or `path/to/file.py:name`, freshly initialised: (N, C, H, W) -> (N, num_classes).

    `options` are the builder's own keywords. Raises `UsageError` for an unknown name or option.

    >>> create("resnet_uva", num_classes=100, depths=(2, 2, 2)).head.fc
    Linear(in_features=64, out_features=100, bias=True)
    """
    return architecture(name).build(num_classes=num_classes, in_channels=in_channels, **options)


def train(
    name: str,
    *,
    out: str | Path,
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

    `settings` are recipe fields (`{"epochs": 3}`), `options` the architecture's. Raises `UsageError`, as the command
    `convatlas train` does.
    """
    from rich.console import Console

    from convatlas.data import load_data
    from convatlas.progress import Job, choose
    from convatlas.training import choose_recipe, make_plan, train_plan

    row = architecture(name)
    chosen = choose_recipe(row, data=data, name=recipe, settings=settings)
    loaded = load_data(data, folder=_path(data_dir))
    plan = make_plan(row, data=loaded, chosen=chosen, seed=seed, options=row.parse_options(options or {}))
    with choose(Console(stderr=True), [Job(plan.label, plan.seed, plan.recipe.epochs)], quiet=quiet) as progress:
        return train_plan(plan, folder=Path(out), resume=resume, device=device, progress=progress)


def evaluate(
    run: str | Path | Run, *, split: str = "test", data_dir: str | Path | None = None, device: str = "auto"
) -> Evaluation:
    """Evaluates a run's best epoch, or one of its checkpoint files, on a split of the data it was trained on."""
    from convatlas.prediction import evaluate_run

    source = run.path if isinstance(run, Run) else Path(run)
    return evaluate_run(source, split=split, data_dir=_path(data_dir), device=device)


def compare(
    entries: Sequence[str],
    *,
    out: str | Path,
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
    """Trains `ARCH[@RECIPE]` entries over seeds (a number n: 0 to n - 1) into `out` and returns the report."""
    from convatlas.study import Protocol
    from convatlas.study import compare as run_study

    protocol = Protocol(
        data=data,
        data_dir=_path(data_dir),
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
        recipe=recipe,
        settings=dict(settings or {}),
        options=dict(options or {}),
    )
    return run_study(entries, out=Path(out), protocol=protocol, resume=resume, device=device, quiet=quiet)


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
