"""`train --find-lr` and `--find-batch-size`: a plot and a suggestion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convatlas.cli import options
from convatlas.run import check_writable

if TYPE_CHECKING:
    from convatlas.training import Plan


def search(plan: Plan, folder: Path, *, device: str, wanted: Sequence[str], as_json: bool) -> None:
    """Runs the searches that are `wanted`, `lr` and `batch_size`; the plots lie in `folder`."""
    check_writable(folder)
    found: dict[str, Any] = {}
    if "lr" in wanted:
        found["lr"] = _rate(plan, folder, device=device)
    if "batch_size" in wanted:
        found["batch_size"] = _batch_size(plan, folder, device=device)
    if as_json:
        options.print_json(found)
        return
    for field, result in found.items():
        for line in _lines(field, result, plan):
            options.console().print(line, markup=False, highlight=False, soft_wrap=True)


def _rate(plan: Plan, folder: Path, *, device: str) -> dict[str, Any]:
    from convatlas.report.finders import draw_rate_search
    from convatlas.training import find_lr

    found = find_lr(plan, device=device)
    path = folder / "find_lr.png"
    draw_rate_search(found.rates, found.losses, path, suggestion=found.suggestion)
    return {"suggestion": found.suggestion, "rates": found.rates, "losses": found.losses, "plot": str(path)}


def _batch_size(plan: Plan, folder: Path, *, device: str) -> dict[str, Any]:
    from convatlas.report.finders import draw_batch_search
    from convatlas.training import find_batch_size

    found = find_batch_size(plan, device=device)
    path = folder / "find_batch_size.png"
    sizes, speeds = zip(*((trial.batch_size, trial.images_per_second) for trial in found.trials), strict=True)
    draw_batch_search(sizes, speeds, path, suggestion=found.suggestion)
    trials = [vars(trial) for trial in found.trials]
    return {"suggestion": found.suggestion, "trials": trials, "end": found.end, "plot": str(path)}


def _lines(field: str, result: dict[str, Any], plan: Plan) -> list[str]:
    """What a person reads."""
    lines = [
        f"batches of {trial['batch_size']:>4}: {trial['images_per_second']:8.1f} images a second, "
        f"{trial['memory'] / 1e9:.2f} GB"
        for trial in result.get("trials", [])
    ]
    own = getattr(plan.recipe, field)
    flag = f"--{field.replace('_', '-')}"
    if result["suggestion"] is None:
        return [*lines, f"the loss falls at no rate that was tried: no suggestion; see {result['plot']}"]
    why = "where the loss falls fastest" if field == "lr" else f"nearly as fast as any; {result['end']}"
    return [
        *lines,
        f"suggested: {flag} {result['suggestion']:.2g} ({why}); the recipe has {own:g}"
        if field == "lr"
        else f"suggested: {flag} {result['suggestion']} ({why}); the recipe has {own}",
        f"plot {result['plot']}; nothing was trained or changed",
    ]
