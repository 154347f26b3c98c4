"""The checkpoint from which an unfinished run goes on: the last one that is whole and of this run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from convatlas.errors import UsageError
from convatlas.run import differences, read_checkpoint_record, recipe_identity
from convatlas.screen import say
from convatlas.training.plan import Plan
from convatlas.values import plain
from convatlas.weights import METADATA, read_checkpoint

ORDER = ("last.ckpt", "previous.ckpt", "best.ckpt")  # each is a whole state of a training, the latest first
NEEDED = ("epoch", "global_step", "state_dict", "optimizer_states", "loops", "callbacks", METADATA)


@dataclass(frozen=True)
class Resumed:
    """The checkpoint from which a run goes on, the number of its epoch from 0, and the shapes of its tensors."""

    path: Path
    epoch: int
    shapes: Mapping[str, tuple[int, ...]]

    def check(self, outline: Mapping[str, Tensor]) -> None:
        """Raises `UsageError` where the network in training has other tensors, which `outline` holds."""
        if _shapes(outline) != self.shapes:
            raise UsageError(
                f"{self.path} has other tensors than the network of the run; move it away, and --resume goes on from "
                "the one before"
            )


def checkpoint_to_resume(folder: Path, plan: Plan) -> Resumed | None:
    """Returns the checkpoint of the folder from which the plan goes on; None without one.

    A damaged checkpoint is set aside under another name, and a line says so. Raises `UsageError` for a checkpoint of
    another network, recipe or data set.
    """
    damaged: list[str] = []
    for name in ORDER:
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = read_checkpoint(path)
            fault = _fault(content)
        except UsageError as error:
            fault = str(error)
        else:
            if fault is None:
                _check_same(path, content, plan)
                if damaged:
                    say(f"note: the run goes on from {path}, epoch {content['epoch'] + 1}")
                return Resumed(path, int(content["epoch"]), _shapes(content["state_dict"]))
        aside = _free(path)
        path.rename(aside)
        damaged.append(name)
        say(f"note: {path} is damaged ({fault}); it is kept as {aside.name}")
    if damaged:
        say("note: no checkpoint of the run is whole; the training begins anew")
    return None


def _fault(content: Mapping[str, Any]) -> str | None:
    """Returns the fault of a file that is no state of a training, or None; another network is no fault."""
    missing = [name for name in NEEDED if name not in content]
    if missing:
        return f"it is no state of a training, for it has no {missing[0]}"
    if not isinstance(content["state_dict"], Mapping) or not isinstance(content[METADATA], Mapping):
        return "it holds no weights and no record"
    epoch = content["epoch"]
    if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
        return "its epoch is no number"
    return None


def _check_same(path: Path, content: Mapping[str, Any], plan: Plan) -> None:
    """Raises `UsageError` where a checkpoint is not of the plan's run."""
    theirs, ours = read_checkpoint_record(content[METADATA], label=str(path)), plan.record().said()
    mine, found = (
        {
            "architecture": plain(vars(record.architecture)),
            "recipe": recipe_identity(record.recipe or {}),
            "data": {"name": record.data.name, "split_hash": record.data.split_hash} if record.data else None,
        }
        for record in (ours, theirs)
    )
    different = differences(mine, found)
    if different:
        raise UsageError(
            f"{path} is a checkpoint of another run ({'; '.join(different[:3])}); move it away, and --resume goes on "
            "from the one before"
        )


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(getattr(value, "shape", ())) for key, value in state.items()}


def _free(path: Path) -> Path:
    """Returns a name beside a file that nothing has."""
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in range(10_000))
    return next(name for name in names if not name.exists())
