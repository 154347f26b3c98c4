"""Lightning's loop over the epochs of a plan, and the entries for TensorBoard."""

from __future__ import annotations

import contextlib
import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning.pytorch as L
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn
from torch.utils.tensorboard.summary import hparams

from convatlas.stopping import TerminationError, stop_of
from convatlas.training.engine.adapter import DataModule, LearnerModule
from convatlas.training.engine.callbacks import History, MovedIntoPlace, Snapshots, checkpoints
from convatlas.training.head_only import HeadOnly
from convatlas.training.learner import Learner
from convatlas.training.objective import TrainingError, evaluated_network
from convatlas.training.plan import Plan
from convatlas.training.resuming import Resumed

if TYPE_CHECKING:
    from convatlas.training.train import Session


def fit(session: Session, learner: Learner, resumed: Resumed | None) -> list[dict[str, float]]:
    """Trains to the last epoch, from a checkpoint if there is one; returns a row for each epoch."""
    plan, folder = session.plan, session.folder
    history = History(folder / "metrics.csv", job=plan.job, progress=session.progress)
    logger = _logger(folder)
    epochs = plan.recipe.epoch_count(learner.steps_per_epoch)
    last = None if plan.selects else epochs
    snapshots = Snapshots(folder / "snapshots", count=plan.recipe.snapshots, epochs=epochs)
    saving = checkpoints(folder / "checkpoints", learner.objective.score, last=last, seconds=_pause(learner))
    trainer = L.Trainer(
        accelerator="gpu" if session.device == "cuda" else "cpu",
        devices=1,
        max_epochs=epochs,
        logger=logger,
        plugins=[MovedIntoPlace()],
        callbacks=[history, snapshots, *saving],
        limit_val_batches=1 if plan.validates else 0,
        reload_dataloaders_every_n_epochs=1,  # an epoch's order and augmentation come from (seed, epoch)
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1_000_000,  # scalars are logged by epoch
        default_root_dir=folder,
    )
    module = LearnerModule(plan, learner)
    steps = plan.recipe.total_steps(learner.steps_per_epoch)
    if resumed is None:
        session.progress.started(plan.job, steps=steps, first_epoch=0, first_step=0)
        _describe_run(logger, plan, learner)
    else:
        resumed.check(module.state_dict())
        first = resumed.epoch + 1
        done = min(steps, first * learner.steps_per_epoch)  # the last epoch may be cut short
        session.progress.started(plan.job, steps=steps, first_epoch=first, first_step=done)
    _run_to_end(trainer, module, DataModule(plan, learner), None if resumed is None else resumed.path)
    return history.rows


def _pause(learner: Learner) -> float:
    """Returns the shortest time between two last checkpoints, in seconds.

    An epoch of a head on kept features takes less time than its checkpoint, and to go on costs the features anyway.
    """
    return 1.0 if isinstance(learner.objective, HeadOnly) else 0.0


def _run_to_end(trainer: L.Trainer, module: LearnerModule, data: DataModule, checkpoint: Path | None) -> None:
    """Calls `trainer.fit`, but raises Ctrl-C and SIGTERM as they came: Lightning exits and disables the next one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:
        signal.signal(signal.SIGINT, handler)
        if isinstance(stop, SIGTERMException):
            raise TerminationError from stop
        raise stop_of(stop) or TrainingError("the network ends the program") from stop


def _describe_run(logger: TensorBoardLogger, plan: Plan, learner: Learner) -> None:
    """Writes the run's row in TensorBoard's table of hyperparameters; its results are the scalars of these names."""
    recipe = plan.record().identity()["recipe"]
    described = {"architecture": plan.label, "data": plan.data.spec.name, "seed": plan.seed, **recipe}
    scalars = {name: value if isinstance(value, str | int | float) else str(value) for name, value in described.items()}
    score = learner.objective.score.measure
    others = [name for name in learner.objective.measures["val"] if name != score]
    columns = dict.fromkeys((f"{score}/val", *(f"{name}/val" for name in others), f"{score}/test"), 0.0)
    for summary in hparams(scalars, columns):  # type: ignore[no-untyped-call]
        logger.experiment._get_file_writer().add_summary(summary)  # the zeros are types, not values


def log_results(folder: Path, results: Mapping[str, Any], *, step: int) -> None:
    """Writes the results of the best epoch on the test images as TensorBoard scalars."""
    logger = _logger(folder)
    scalars = {f"{name.removeprefix('test_')}/test": value for name, value in results.items() if name[:5] == "test_"}
    logger.log_metrics(scalars, step)
    logger.finalize("success")


class GraphLogger(TensorBoardLogger):
    """TensorBoard's files, with the graph of the evaluated network."""

    def log_graph(self, model: nn.Module, input_array: Any = None) -> None:
        """Writes the graph, traced once: TensorBoard's own way checks it by tracing the network a second time."""
        assert isinstance(model, LearnerModule)
        assert isinstance(model.example_input_array, torch.Tensor)
        network, images = evaluated_network(model.learner.objective), model.example_input_array.to(model.device)
        was_training = network.training
        with torch.no_grad():
            traced = torch.jit.trace(network.eval(), images, check_trace=False)  # type: ignore[no-untyped-call]
        network.train(was_training)
        self.experiment.add_graph(traced, images)


def _logger(folder: Path) -> TensorBoardLogger:
    return GraphLogger(folder, name="", version="tensorboard", default_hp_metric=False, log_graph=True)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences Lightning's greetings and its advice on worker processes, of which small images need none."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*torch.jit.*")
            warnings.filterwarnings("ignore", message="The input to trace is already")  # by `GraphLogger`
            warnings.filterwarnings("ignore", message="Converting a tensor")  # of TensorBoard's graph
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
