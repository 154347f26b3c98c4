"""One run: train a plan, keep its files, evaluate the best epoch once."""

from __future__ import annotations

import dataclasses
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convatlas.device import keep_freed_memory, resolve_device
from convatlas.errors import UsageError
from convatlas.files import held, is_full_disk, write_arrays
from convatlas.progress import Progress, Silent
from convatlas.report import run_title
from convatlas.report.curves import draw_run_curves
from convatlas.report.detectors import FIGURE, draw_precision_recall
from convatlas.run import Run, run_there, this_session
from convatlas.training.learner import build_learner
from convatlas.training.objective import evaluated_network, evaluated_prefix
from convatlas.training.parts import as_begun
from convatlas.training.plan import Plan
from convatlas.training.resuming import checkpoint_to_resume
from convatlas.weights import load_strictly, network_state, read_checkpoint


@dataclass(frozen=True)
class Session:
    """One sitting at a plan: the folder of the run, the device, and the display."""

    plan: Plan
    folder: Path
    device: str
    progress: Progress


def train_plan(
    plan: Plan, *, folder: Path, resume: bool = False, device: str = "auto", progress: Progress | None = None
) -> Run:
    """Trains a plan into `folder` and returns the run; a finished run is loaded instead.

    `resume` goes on with an unfinished or failed run from its last checkpoint, else starts it. Raises `UsageError`
    where the folder holds another run, or an unfinished one without `resume`. An error that stops the training is
    recorded in the run and raised again.
    """
    device, plan = resolve_device(device), as_begun(plan, folder)
    _ = plan.data.images_hash  # computed here, once for all plans on these images
    session = Session(plan.on(device), folder, device, progress or Silent())
    existing = open_folder(plan, folder, resume=resume)
    if existing is not None and existing.finished:
        session.progress.loaded(session.plan.job, existing.results)
        return existing
    if existing is not None and existing.record.device != device:
        begun = existing.record.device
        if begun is None:
            raise UsageError(
                f"the run in {folder} was begun on an unknown device; bring back a copy of its run.json, or start anew "
                "with --out"
            )
        raise UsageError(
            f"the run in {folder} was begun on {begun}; go on with --device {begun}, or start anew with --out"
        )
    keep_freed_memory()
    with held(folder):
        existing = open_folder(plan, folder, resume=resume)  # another process may have held it until now
        return existing if existing is not None and existing.finished else _train(session, existing)


def _train(session: Session, existing: Run | None) -> Run:
    """Trains into a folder that this process holds; `run.json` says unfinished until every other file is there."""
    plan, folder = session.plan, session.folder
    sessions = (*(existing.record.sessions if existing else ()), this_session())
    record = dataclasses.replace(plan.record(), device=session.device, sessions=sessions)
    run = Run(folder, record).write()
    try:
        from convatlas.training.engine import quiet_libraries

        with torch.random.fork_rng(), quiet_libraries():
            results, rows = _train_and_evaluate(session)
        run = Run(folder, dataclasses.replace(record, status="finished", results=results))
        best = results["best_epoch"]
        draw_run_curves(rows, folder / "curves.png", run_title(run), best_epoch=best, score=record.score)
        draw_precision_recall([(plan.label, run)], folder / FIGURE)
        run.write()
        (folder / "checkpoints" / "previous.ckpt").unlink(missing_ok=True)
    except Exception as error:
        results = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        if not is_full_disk(error):  # then the run stays unfinished: with room again it can go on
            Run(folder, dataclasses.replace(record, status="failed", results=results)).write()
        session.progress.failed(session.plan.job, str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise
    session.progress.finished(session.plan.job, results)
    return run


def open_folder(plan: Plan, folder: Path, *, resume: bool) -> Run | None:
    """Returns the plan's run in the folder, or None where the folder is free; it is made if need be.

    Raises `UsageError` as `train_plan` does.
    """
    run = run_there(folder, as_begun(plan, folder).record())
    if run is not None and not run.finished and not resume:
        with held(folder):  # else it is being trained at this moment
            epochs = _epochs_done(run)
        raise UsageError(
            f"the run in {folder} is {run.status} ({epochs} of {plan.epochs} epochs); "
            f"go on with --resume, or choose another folder with --out"
        )
    return run


def _epochs_done(run: Run) -> int | str:
    """Returns the number of epochs in the table of a run, or a question mark where the table is damaged."""
    try:
        return len(run.metrics())
    except UsageError:
        return "?"


def _train_and_evaluate(session: Session) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Trains, loads the best epoch and evaluates it once; returns the results for `run.json` and the rows of epochs."""
    from convatlas.training.engine import fit, log_results

    folder, plan = session.folder, session.plan
    resumed = checkpoint_to_resume(folder / "checkpoints", plan)
    learner = build_learner(plan if resumed is None else plan.with_any_weights(), device=session.device)
    rows = fit(session, learner, resumed)
    best = read_checkpoint(folder / "checkpoints" / "best.ckpt")
    objective = learner.objective
    load_strictly(evaluated_network(objective), network_state(best, prefix=evaluated_prefix(objective)))
    outcome = objective.outcome(plan)
    write_arrays(folder / "predictions.npz", outcome.predictions)
    write_arrays(folder / "samples.npz", outcome.samples)
    results = {
        "best_epoch": int(best["epoch"]) + 1,
        **outcome.results,
        "train_seconds": sum(row["seconds"] for row in rows),
        # The first epoch warms up: caches, allocators, compiled kernels.
        "images_per_second": float(np.median([row["images_per_second"] for row in rows[1:] or rows])),
    }
    log_results(folder, results, step=int(best.get("step", best["global_step"])))
    return results, rows
