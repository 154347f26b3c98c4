"""Lightning's callbacks: the table of epochs, the best and the last checkpoint, news for the display."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from convatlas.files import keep, write_bytes
from convatlas.progress import Job, Progress
from convatlas.run import write_metrics
from convatlas.scores import Score
from convatlas.training.engine.adapter import LearnerModule
from convatlas.training.objective import TrainingError
from convatlas.weights import METADATA

SNAPSHOT = "network."  # the beginning of the names of the tensors in a snapshot


class MovedIntoPlace(TorchCheckpointIO):
    """Writes checkpoints beside their place and then moves them.

    Lightning writes them in the system's folder for temporary files. A move from there to another disk is a copy, which
    a kill can cut short.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        place = Path(path)
        if place.name == "last.ckpt" and place.is_file():
            keep(place, "previous.ckpt")  # a file that is damaged later, by a failing disk say, has one before it
        write_bytes(place, buffer.getvalue())


class History(Callback):
    """`metrics.csv`, a row an epoch. The rows are saved in the checkpoint, so that a resumed run has them all."""

    def __init__(self, path: Path, *, job: Job, progress: Progress) -> None:
        self.path = path
        self.job = job
        self.progress = progress
        self.rows: list[dict[str, float]] = []
        self._started = 0.0
        self._train_seconds = 0.0
        self._images = 0

    def on_train_epoch_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, LearnerModule)
        self._started = time.perf_counter()
        self._images = 0

        def stepped(images: int) -> None:
            self._images += images
            self._train_seconds = time.perf_counter() - self._started
            self.progress.stepped(self.job, step=module.learner.steps)

        module.stepped = stepped

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, LearnerModule)
        train, val = module.learner.means(), module.measured
        for name, value in train.items():
            if not math.isfinite(value):
                raise TrainingError(
                    f"the training {name} is {value} in epoch {trainer.current_epoch + 1}: "
                    f"lower the learning rate (lr={module.plan.recipe.optimizer.lr:g})"
                )
        row = {
            "epoch": trainer.current_epoch + 1,
            **{f"train_{name}": train.get(name, math.nan) for name in module.learner.objective.measures["train"]},
            **{f"val_{name}": value for name, value in val.items()},
            "lr": module.learner.rate,
            "seconds": time.perf_counter() - self._started,
            "images_per_second": self._images / self._train_seconds,
        }
        self.rows.append(row)
        write_metrics(self.path, self.rows)
        self.progress.epoch_ended(self.job, row)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])


class Snapshots(Callback):
    """The weights of the evaluated network before the first step and after evenly spaced epochs, each in a file.

    They come before the checkpoint of their epoch: a run that goes on after a kill lacks none.
    """

    def __init__(self, folder: Path, *, count: int, epochs: int) -> None:
        self.folder = folder
        self.epochs = snapshot_epochs(count, epochs)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.current_epoch == 0:
            self._keep(module, 0)

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        self._keep(module, trainer.current_epoch + 1)

    def _keep(self, module: L.LightningModule, epoch: int) -> None:
        assert isinstance(module, LearnerModule)
        if epoch not in self.epochs:
            return
        state = {f"{SNAPSHOT}{name}": tensor.cpu() for name, tensor in module.evaluated.state_dict().items()}
        entry = {**module.plan.record().entry(), "evaluated": SNAPSHOT}
        buffer = io.BytesIO()
        torch.save({"state_dict": state, METADATA: entry}, buffer)
        write_bytes(self.folder / f"epoch{epoch:03d}.ckpt", buffer.getvalue())


def snapshot_epochs(count: int, epochs: int) -> frozenset[int]:
    """Returns evenly spaced numbers of epochs from 0 to `epochs`; all of them where there are not as many.

    >>> sorted(snapshot_epochs(4, 10)), sorted(snapshot_epochs(9, 2)), sorted(snapshot_epochs(0, 2))
    ([0, 3, 7, 10], [0, 1, 2], [])
    """
    return frozenset(round(place * epochs / (count - 1)) for place in range(count)) if count > 1 else frozenset()


class Checkpoint(ModelCheckpoint):
    """A checkpoint callback that remembers the best epoch also when the run's folder has been moved.

    Lightning forgets it, with a warning, where the folder is not the one in which the training began. After an epoch
    that ends less than `seconds` after its latest file it writes none, unless the epoch is the last.
    """

    seconds = 0.0
    _latest = -math.inf

    def on_train_epoch_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if last or time.monotonic() - self._latest >= self.seconds:
            super().on_train_epoch_end(trainer, module)
            self._latest = time.monotonic()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        moved = {"dirpath": str(self.dirpath)}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            if state_dict.get(name):
                moved[name] = str(Path(str(self.dirpath)) / Path(state_dict[name]).name)
        models = {str(Path(str(self.dirpath)) / Path(k).name): v for k, v in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": models})


def checkpoints(folder: Path, score: Score, *, last: int | None, seconds: float) -> list[ModelCheckpoint]:
    """Returns the callbacks of `best.ckpt`, at the first epoch of the best score or the epoch `last`, and `last.ckpt`.

    `seconds` is the shortest time between two files `last.ckpt`. The second comes second, so that it knows the best.
    """
    chosen: dict[str, Any] = {"monitor": f"{score.measure}/val", "mode": score.direction}
    if last is not None:  # validation images select nothing
        chosen = {"every_n_epochs": last, "mode": "max"}  # the mode tells the two apart
    best = Checkpoint(folder, filename="best", save_on_train_epoch_end=True, enable_version_counter=False, **chosen)
    latest = Checkpoint(folder, filename="last", save_on_train_epoch_end=True, enable_version_counter=False)
    latest.seconds = seconds
    return [best, latest]
