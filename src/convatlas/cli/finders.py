"""`train --find-lr` and `--find-batch-size`: a plot and a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from convatlas.cli import options
from convatlas.files import check_writable
from convatlas.screen import say
from convatlas.stopping import exit_code
from convatlas.words import finite

if TYPE_CHECKING:
    from convatlas.measure.finders import BatchTrial
    from convatlas.training import Plan


def search(plan: Plan, folder: Path, *, device: str, wanted: Sequence[str], as_json: bool) -> None:
    """Runs the `wanted` searches, `lr` and `batch_size`; the plots are written beside `folder`, the run's folder."""
    check_writable(folder.parent)
    found: dict[str, Any] = {}
    try:
        if "lr" in wanted:
            found["lr"] = _rate(plan, folder.with_name(f"{folder.name}-find_lr.png"), device=device)
        if "batch_size" in wanted:
            found["batch_size"] = _batch_size(
                plan, folder.with_name(f"{folder.name}-find_batch_size.png"), device=device
            )
    except KeyboardInterrupt as stop:
        say("stopped; nothing was trained or changed")
        raise typer.Exit(exit_code(stop)) from None
    if as_json:
        options.print_json(finite(found))
        return
    for field, result in found.items():
        for line in _lines(field, result, plan):
            options.console().print(line, markup=False, highlight=False, soft_wrap=True)


def _rate(plan: Plan, path: Path, *, device: str) -> dict[str, Any]:
    from convatlas.measure import find_lr
    from convatlas.report.finders import draw_rate_search

    found = find_lr(plan, device=device)
    draw_rate_search(found.rates, found.losses, path, suggestion=found.suggestion)
    return {"suggestion": found.suggestion, "rates": found.rates, "losses": found.losses, "plot": str(path)}


def _batch_size(plan: Plan, path: Path, *, device: str) -> dict[str, Any]:
    from convatlas.measure import find_batch_size
    from convatlas.report.finders import draw_batch_search

    found = find_batch_size(plan, device=device, report=_said)
    sizes, speeds = zip(*((trial.batch_size, trial.images_per_second) for trial in found.trials), strict=True)
    draw_batch_search(sizes, speeds, path, suggestion=found.suggestion)
    trials = [vars(trial) for trial in found.trials]
    return {"suggestion": found.suggestion, "trials": trials, "end": found.end, "plot": str(path)}


def _said(trial: BatchTrial) -> None:
    speed, memory = trial.images_per_second, trial.memory / 1e9
    say(f"batches of {trial.batch_size:>4}: {speed:8.1f} images a second, {memory:.2f} GB")


def _lines(field: str, result: dict[str, Any], plan: Plan) -> list[str]:
    """Returns the lines of a result for the terminal."""
    if result["suggestion"] is None:
        return [f"the loss falls at none of the tried rates, so there is no suggestion; see {result['plot']}"]
    if field == "lr":
        own_rate = plan.recipe.optimizer.lr
        suggested = f"--lr {result['suggestion']:.2g} (where the loss falls fastest); the recipe has {own_rate:g}"
    else:
        own = plan.recipe.batch_size
        suggested = (
            f"--batch-size {result['suggestion']} (nearly as fast as any; {result['end']}); the recipe has {own}"
        )
    return [f"suggested: {suggested}", f"plot {result['plot']}; nothing was trained or changed"]
