"""A training in plain torch, the same for `train`, for the finders and for the measurements; any loop can drive it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from convatlas.data.epoch import epoch_seed
from convatlas.device import around_fault, out_of_memory
from convatlas.recipe import ALL_BUT_HEAD, Recipe, rate_factor
from convatlas.recipe.plateau import Plateau
from convatlas.training.freezing import Held
from convatlas.training.objective import Means, Measured, Objective, TooLittleMemoryError, trained_modules
from convatlas.training.optimizers import set_rate
from convatlas.training.parallel import ALONE, Group, process_group

if TYPE_CHECKING:
    from convatlas.training.plan import Plan


class Learner:
    """An objective and its place in the schedule: `steps` optimizer steps are done, `rate` was the latest rate.

    `update` takes an optimizer's step; whoever drives the learner may put its own in its place.

    >>> from convatlas.architectures import architecture
    >>> from convatlas.data import load_data
    >>> from convatlas.recipe import recipe
    >>> from convatlas.training import make_plan
    >>> chosen = recipe("quick").replaced(epochs=1, image_size=32)
    >>> plan = make_plan(architecture("lenet5"), data=load_data("digits"), chosen=chosen, seed=0)
    >>> learner = build_learner(plan, device="cpu")
    >>> learner.begin_epoch(seed=0, epoch=0)
    >>> measured = learner.step(next(iter(learner.objective.batches(plan, 0))))
    >>> measured.count, learner.steps
    (32, 1)
    """

    def __init__(self, objective: Objective, *, recipe: Recipe, steps_per_epoch: int, group: Group = ALONE) -> None:
        self.objective = objective
        for module in objective.modules.values():
            around_fault(module)
        self.recipe = recipe
        self.steps_per_epoch = steps_per_epoch
        self.group = group
        falls = recipe.schedule
        first = recipe.optimizer.head_first_epochs
        self._bodies = [Held(module, (ALL_BUT_HEAD,)) for module in trained_modules(objective) if first]
        self.plateau = Plateau(gamma=falls.gamma, patience=falls.patience) if falls.patience else None
        self.steps = 0
        self.rate = recipe.optimizer.lr
        self.update: Callable[[Optimizer], None] = _update
        self._means = self._fresh_means()

    def begin_epoch(self, *, seed: int, epoch: int) -> None:
        """Starts the means anew, and the random state from seed and epoch, so that a resumed run equals a whole one.

        In the recipe's first epochs for the head alone, every other part is held.
        """
        torch.manual_seed(epoch_seed(seed, epoch))
        for body in self._bodies:
            if epoch < self.recipe.optimizer.head_first_epochs:
                body.hold()
            else:
                body.release()
        self._means = self._fresh_means()

    def step(self, batch: Any, *, rate: float | None = None) -> Measured:
        """Trains on one batch at the rate of the schedule, or at another one.

        Raises `TooLittleMemoryError` where the memory does not suffice.
        """
        self.rate = self.recipe.optimizer.lr * self._factor() if rate is None else rate
        for optimizer in self.objective.optimizers.values():
            set_rate(optimizer, self.rate)
        try:
            measured = self.objective.step(batch, update=self.update, group=self.group)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            raise _too_little_memory(batch, self.recipe) from error
        self._means.add(measured)
        self.steps += 1
        return measured

    def means(self) -> dict[str, float]:
        """Returns the means of the epoch's training measures so far; waits for the device."""
        return self._means.values(self.group)

    def validate(self, plan: Plan, *, epoch: int) -> dict[str, float]:
        """Measures the validation images after an epoch; a schedule that waits for a plateau takes note."""
        self.group.average_statistics(self.objective.modules.values())
        found = self.objective.validate(plan)
        if self.plateau is not None and epoch >= self.recipe.schedule.warmup_epochs:
            score = self.objective.score
            self.plateau.observe(score.better(found[score.measure]))
        return found

    def counters(self) -> dict[str, Any]:
        """Returns the state beside modules and optimizers, as plain data and tensors."""
        kept: dict[str, Any] = {"step": self.steps}
        if self.plateau is not None:
            kept["plateau"] = self.plateau.state()
        if own := self.objective.state():
            kept["objective"] = own
        return kept

    def restore_counters(self, kept: dict[str, Any]) -> None:
        """Goes on from `counters`."""
        self.steps = kept["step"]
        if self.plateau is not None:
            self.plateau.restore(kept["plateau"])
        if "objective" in kept:
            self.objective.restore(kept["objective"])

    def state(self) -> dict[str, Any]:
        """Returns the state that another learner of the same plan needs to go on, at the end of an epoch."""
        return {
            "modules": {name: module.state_dict() for name, module in self.objective.modules.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.objective.optimizers.items()},
            **self.counters(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state`."""
        for name, module in self.objective.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, optimizer in self.objective.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.restore_counters(state)

    def _factor(self) -> float:
        """Returns the factor on the recipe's rate at the next step."""
        factor = rate_factor(self.recipe, self.steps, steps_per_epoch=self.steps_per_epoch)
        return factor if self.plateau is None else factor * self.plateau.factor

    def _fresh_means(self) -> Means:
        device = next(self.objective.modules[self.objective.evaluated].parameters()).device
        return Means(self.objective.measures["train"], device)


def build_learner(plan: Plan, *, device: str, group: Group | None = None) -> Learner:
    """Returns the learner of a plan, with its networks on a device and in the memory layout that trains fastest.

    The group is by default the one that `torch.distributed` was started with, or this process alone.
    """
    objective = plan.objective.of(plan, device)
    steps = len(objective.batches(plan, 0))
    return Learner(objective, recipe=plan.recipe, steps_per_epoch=steps, group=group or process_group())


def _update(optimizer: Optimizer) -> None:
    optimizer.step()


def _too_little_memory(batch: Any, recipe: Recipe) -> TooLittleMemoryError:
    images, targets = batch if isinstance(batch, tuple) and len(batch) == 2 else (None, batch)
    place = f" on {images.device.type}" if isinstance(images, torch.Tensor) else ""
    return TooLittleMemoryError(
        f"too little memory{place} for a step of {len(targets)} images; with "
        f"--set accumulate={2 * recipe.optimizer.accumulate} it goes through the network in smaller parts (batch norms "
        "then see these), with --batch-size the steps are smaller"
    )
