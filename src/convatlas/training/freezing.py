"""Frozen parts of a network: no gradient, no state in the optimizer, and norms that work as in evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from convatlas.errors import UsageError, unknown
from convatlas.layers.auxiliary import AUXILIARY
from convatlas.recipe import ALL_BUT_HEAD, Recipe
from convatlas.words import is_part


def head_of(network: nn.Module) -> str:
    """Returns the name of the network's head: of the layer that has the last weights, without auxiliary heads.

    >>> from convatlas.layers import classifier, sequential
    >>> head_of(sequential(stem=nn.Conv2d(3, 8, 3), head=classifier(8, 10)))
    'head.fc'
    """
    names = [name for name, _ in network.named_parameters() if not is_part(AUXILIARY, name)]
    return names[-1].rpartition(".")[0] if names else ""


class Held:
    """Parts of a network that a training leaves as they are, while it holds them.

    Their parameters get no gradient. Their modules always work as in evaluation: a batch norm uses its running
    statistics and does not change them, and dropout and stochastic depth do nothing. A part that is no module of its
    own, such as a function in somebody's `forward`, is not seen.
    """

    def __init__(self, network: nn.Module, parts: Sequence[str]) -> None:
        self.network = network
        self.parameters = [p for name, p in _held(network.named_parameters(), parts, network) if p.requires_grad]
        self.modules = [module for _, module in _held(network.named_modules(), parts, network)]
        self._hooks: list[RemovableHandle] = []

    def hold(self) -> None:
        """Holds the parts from now on."""
        for parameter in self.parameters:
            parameter.requires_grad_(False)
        if not self._hooks:
            self._hooks = [module.register_forward_pre_hook(_as_in_evaluation) for module in self.modules]

    def release(self) -> None:
        """Lets the parts be trained again."""
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self.network.train(self.network.training)


def freeze(network: nn.Module, parts: Sequence[str]) -> nn.Module:
    """Returns the network itself, some of its parts held for good."""
    if parts:
        Held(network, parts).hold()
    return network


def check_frozen(network: nn.Module, recipe: Recipe, *, name: str) -> None:
    """Raises `UsageError` for a frozen part that the network lacks, and where nothing is left to train."""
    frozen, first = recipe.optimizer.frozen, recipe.optimizer.head_first_epochs
    names = [key for key, _ in network.named_parameters()]
    for part in frozen:
        if part != ALL_BUT_HEAD and not any(is_part(part, key) for key in names):
            stages = [*dict.fromkeys(key.partition(".")[0] for key in names), ALL_BUT_HEAD]
            hint = "" if len(stages) <= 12 else f" (all: {', '.join(stages)})"
            raise unknown(f"part of {name} in frozen", part, stages, hint=hint)
    held = set(held_parameters(network, frozen))
    trained = [key for key in names if key not in held]
    if not trained:
        raise UsageError(f"frozen={','.join(frozen)} leaves nothing of {name} to train; leave a part out")
    if first and not any(is_part(head_of(network), key) for key in trained):
        raise UsageError(f"head_first_epochs={first} trains the head first, but frozen={','.join(frozen)} holds it too")


def check_fresh(network: nn.Module, recipe: Recipe, *, fresh: Sequence[str], name: str) -> None:
    """Raises `UsageError` for a new part that is frozen: it would stay as it was drawn."""
    frozen = recipe.optimizer.frozen
    both = [key for key in held_parameters(network, frozen) if any(is_part(part, key) for part in fresh)]
    if both:
        raise UsageError(
            f"{both[0]} of {name} is new, so it must be trained, but frozen={','.join(frozen)} holds it; "
            "freeze other parts, or choose --recipe full"
        )


def held_parameters(network: nn.Module, parts: Sequence[str]) -> list[str]:
    """Returns the names of the parameters that lie in the parts."""
    return [name for name, _ in _held(network.named_parameters(), parts, network)]


def _held(named: Iterable[tuple[str, Any]], parts: Sequence[str], network: nn.Module) -> list[tuple[str, Any]]:
    """Returns the parameters or modules, by their names, that belong to the parts."""
    head = head_of(network) if ALL_BUT_HEAD in parts else ""
    return [(name, each) for name, each in named if name and _is_held(name, parts, head=head)]


def _is_held(name: str, parts: Sequence[str], *, head: str) -> bool:
    """Returns whether a name lies in one of the parts; what contains the head is not held with all but the head."""
    if ALL_BUT_HEAD in parts and not is_part(head, name) and not is_part(name, head):
        return True
    return any(is_part(part, name) for part in parts)


def _as_in_evaluation(module: nn.Module, _inputs: tuple[Any, ...]) -> None:
    module.training = False
