"""One run: train a plan, keep its files, evaluate the best epoch once."""

from __future__ import annotations

import contextlib
import logging
import signal
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from convatlas.data.batches.loader import steps_per_epoch
from convatlas.device import keep_freed_memory, resolve_device
from convatlas.errors import UsageError
from convatlas.evaluation import evaluate_logits
from convatlas.files import check_writable, held, is_free, is_full_disk, write_arrays
from convatlas.prediction import answering, predict_logits
from convatlas.progress import Job, Progress, Silent
from convatlas.recipe import defaults
from convatlas.report import run_title
from convatlas.report.figures import draw_run_curves
from convatlas.run import Run, circumstances, differences, is_run, read_run
from convatlas.training.callbacks import History, MovedIntoPlace, checkpoints
from convatlas.training.classifier import Classifier, DataModule
from convatlas.training.plan import Plan
from convatlas.training.samples import samples
from convatlas.weights import load_strictly, network_state, read_checkpoint


@dataclass(frozen=True)
class Session:
    """One sitting at a plan: where the run lies, on which device it works, and who is told."""

    plan: Plan
    folder: Path
    device: str
    progress: Progress

    @property
    def job(self) -> Job:
        return Job(self.plan.label, self.plan.seed, self.plan.recipe.epochs)


def train_plan(
    plan: Plan, *, folder: Path, resume: bool = False, device: str = "auto", progress: Progress | None = None
) -> Run:
    """Trains a plan into `folder` and returns the run; one that is finished there is loaded instead.

    `resume` goes on with an unfinished or failed run from its last checkpoint, else starts it. Raises `UsageError`
    where the folder holds another run or an unfinished one without `resume`; whatever stops the training is recorded
    in the run and raised again.
    """
    device = resolve_device(device)
    session = Session(plan.on(device), folder, device, progress or Silent())
    existing = open_folder(plan, folder, resume=resume)
    if existing is not None and existing.finished:
        session.progress.loaded(session.job, existing.results)
        return existing
    if existing is not None and existing.record["device"] != device:
        begun = existing.record["device"]
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
    now = {**circumstances(), "started": datetime.now(UTC).isoformat(timespec="seconds")}
    sessions = [*(existing.record["sessions"] if existing else []), now]  # a resumed run has been in several hands
    record = {
        "format": 1,
        "status": "unfinished",
        **plan.record(),
        "device": session.device,
        **now,
        "sessions": sessions,
    }
    run = Run(folder, record).write()
    try:
        with torch.random.fork_rng(), quiet_libraries():
            results, rows = _train_and_evaluate(session)
        run = Run(folder, {**run.record, "status": "finished", "results": results})
        draw_run_curves(rows, folder / "curves.png", run_title(run), best_epoch=results["best_epoch"])
        run.write()
    except Exception as error:
        results = {"error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
        if not is_full_disk(error):  # then the run stays unfinished: with room again it can go on
            Run(folder, {**run.record, "status": "failed", "results": results}).write()
        session.progress.failed(session.job, str(error).splitlines()[0] if str(error) else type(error).__name__)
        raise
    session.progress.finished(session.job, results)
    return run


def open_folder(plan: Plan, folder: Path, *, resume: bool) -> Run | None:
    """The plan's run that lies in the folder, None where there is none yet and the folder, made if need be, is free.

    Raises `UsageError` as `train_plan` does.
    """
    if not is_run(folder):
        if not is_free(folder):
            raise UsageError(f"the folder {folder} is not empty and holds no run; choose another with --out")
        check_writable(folder)
        return None
    run = read_run(folder)
    identity = plan.identity()
    different = differences(identity, _identity_of(run, identity))
    if different:
        raise UsageError(
            f"the folder {folder} holds another run ({'; '.join(different[:3])}); choose another with --out"
        )
    if not run.finished and not resume:
        with held(folder):  # else it is being trained at this moment
            epochs = len(run.metrics())
        raise UsageError(
            f"the run in {folder} is {run.status} ({epochs} of {plan.recipe.epochs} epochs); "
            f"go on with --resume, or choose another folder with --out"
        )
    return run


def _identity_of(run: Run, identity: dict[str, Any]) -> dict[str, Any]:
    """The parts of a run's record that a plan's identity has."""
    parts: dict[str, Any] = {}
    for name, value in identity.items():
        stored = run.record.get(name)
        if name == "recipe" and isinstance(stored, dict):
            stored = {**defaults(), **stored}  # a field that did not exist yet was not used
        if isinstance(value, dict) and isinstance(stored, dict):
            stored = {key: stored[key] for key in value if key in stored}
        parts[name] = stored
    return parts


def _train_and_evaluate(session: Session) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Fits the network, loads the best epoch and evaluates it once: the results for `run.json`, the rows of epochs."""
    folder, plan = session.folder, session.plan
    module = Classifier(plan)
    history = _fit(session, module)
    best = read_checkpoint(folder / "checkpoints" / "best.ckpt")
    network = module.network.to(session.device)
    load_strictly(network, network_state(best, prefix="ema_network.module." if plan.recipe.ema else "network."))
    predictions = _predictions(session, answering(network, precision=plan.recipe.precision))
    write_arrays(folder / "predictions.npz", predictions)
    write_arrays(folder / "samples.npz", samples(plan, predictions["test_logits"]))
    results = _results(plan, history, predictions, best_epoch=int(best["epoch"]) + 1)
    _log_test(folder, results, step=int(best.get("step", best["global_step"])))
    return results, history.rows


def _fit(session: Session, module: Classifier) -> History:
    """Runs Lightning's loop to the last epoch, from the last checkpoint if there is one."""
    plan, folder = session.plan, session.folder
    history = History(folder / "metrics.csv", job=session.job, progress=session.progress)
    logger = _logger(folder)
    trainer = L.Trainer(
        accelerator="gpu" if session.device == "cuda" else "cpu",
        devices=1,
        max_epochs=plan.recipe.epochs,
        logger=logger,
        plugins=[MovedIntoPlace()],
        callbacks=[history, *checkpoints(folder / "checkpoints")],
        reload_dataloaders_every_n_epochs=1,  # an epoch's order and augmentation come from (seed, epoch)
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,  # scalars are logged by epoch
        default_root_dir=folder,
    )
    last = folder / "checkpoints" / "last.ckpt"
    resumed = last if last.is_file() else None
    first_epoch = int(read_checkpoint(last)["epoch"]) + 1 if resumed else 0
    steps = plan.recipe.epochs * steps_per_epoch(len(plan.data.train), plan.recipe)
    session.progress.started(session.job, steps=steps, first_epoch=first_epoch)
    if not resumed:
        _describe_run(logger, plan)
    _run_to_end(trainer, module, DataModule(plan), resumed)
    return history


def _run_to_end(trainer: L.Trainer, module: Classifier, data: DataModule, checkpoint: Path | None) -> None:
    """`trainer.fit`, but Ctrl-C stays a KeyboardInterrupt: Lightning makes it an exit and disables the next one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from stop


def _predictions(session: Session, network: torch.nn.Module) -> dict[str, np.ndarray]:
    """Logits, labels and places in the source of the validation and test images."""
    plan = session.plan
    arrays = {}
    for name, split in (("val", plan.data.validation), ("test", plan.data.test)):
        logits = predict_logits(
            network, split.images, preprocessing=plan.preprocessing, precision=plan.recipe.precision
        )
        arrays[f"{name}_logits"] = logits.numpy()
        arrays[f"{name}_labels"] = split.labels.cpu().numpy()
        arrays[f"{name}_index"] = split.index.cpu().numpy()
    return arrays


def _results(plan: Plan, history: History, predictions: dict[str, np.ndarray], *, best_epoch: int) -> dict[str, Any]:
    """What `run.json` says of the best epoch; accuracies are fractions."""
    names = plan.data.spec.class_names
    val = evaluate_logits(predictions["val_logits"], predictions["val_labels"], names)
    test = evaluate_logits(predictions["test_logits"], predictions["test_labels"], names)
    rows = history.rows
    return {
        "best_epoch": best_epoch,
        "val_top1": val.top1,
        "val_loss": val.loss,
        "test_top1": test.top1,
        "test_loss": test.loss,
        "train_seconds": sum(row["seconds"] for row in rows),
        "images_per_second": float(np.median([row["images_per_second"] for row in rows])),
    }


def _describe_run(logger: TensorBoardLogger, plan: Plan) -> None:
    """The run's row in TensorBoard's table of hyperparameters; its accuracies are the scalars of these names."""
    recipe = {name: value for name, value in plan.identity()["recipe"].items() if name not in ("source", "expected")}
    described = {"architecture": plan.label, "data": plan.data.spec.name, "seed": plan.seed, **recipe}
    scalars = {name: value if isinstance(value, str | int | float) else str(value) for name, value in described.items()}
    columns = dict.fromkeys(("top1/val", "loss/val", "top1/test"), 0.0)
    for summary in hparams(scalars, columns):  # type: ignore[no-untyped-call]
        logger.experiment._get_file_writer().add_summary(summary)  # the zeros are types, not values


def _log_test(folder: Path, results: dict[str, Any], *, step: int) -> None:
    """The test accuracy and loss of the best epoch as TensorBoard scalars."""
    logger = _logger(folder)
    logger.log_metrics({"top1/test": results["test_top1"], "loss/test": results["test_loss"]}, step)
    logger.finalize("success")


def _logger(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False, log_graph=True)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without Lightning's greetings and its advice on worker processes, of which small images need none."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*torch.jit.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
