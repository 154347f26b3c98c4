"""Extra classifiers in the middle of a network, which help to train it and do not work afterwards."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from convatlas.errors import UsageError, unknown

AUXILIARY = "auxiliary"  # the child that holds the extra classifiers


class AuxiliaryLogits(NamedTuple):
    """The output of a network with auxiliary heads in training: its own logits, and the logits of each head in order.

    `weight` is the factor of each auxiliary loss; the network's own loss has the factor 1.
    """

    logits: Tensor
    auxiliary: tuple[Tensor, ...]
    weight: float


class AuxiliaryHeads(nn.Sequential):
    """A chain of named stages; `heads` are extra classifiers, each under the name of the stage that it follows.

    (N, C, H, W) -> `AuxiliaryLogits` in training and (N, num_classes) in eval mode, where the heads do not work.
    Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, section 5. Raises `UsageError` for a negative weight and for a
    head after a stage that does not exist.
    """

    def __init__(self, stages: Mapping[str, nn.Module], *, heads: Mapping[str, nn.Module], weight: float) -> None:
        for name in heads:
            if name not in stages:
                raise unknown("stage with an auxiliary head", name, stages)
        if weight < 0:
            raise UsageError(f"the weight {weight} of auxiliary losses must not be negative")
        super().__init__(OrderedDict(stages))
        self.weight = weight
        self.add_module(AUXILIARY, nn.ModuleDict(heads))

    def forward(self, images: Tensor) -> Tensor | AuxiliaryLogits:
        heads = self.get_submodule(AUXILIARY)
        assert isinstance(heads, nn.ModuleDict)
        features, auxiliary = images, []
        for name, stage in self.named_children():
            if name == AUXILIARY:
                continue
            features = stage(features)
            if self.training and name in heads:
                auxiliary.append(heads[name](features))
        return AuxiliaryLogits(features, tuple(auxiliary), self.weight) if self.training else features


def logits_of(output: Tensor | AuxiliaryLogits) -> Tensor:
    """Returns the network's own logits, with or without auxiliary logits beside them."""
    return output.logits if isinstance(output, AuxiliaryLogits) else output


def total_loss(output: Tensor | AuxiliaryLogits, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Returns the loss to train with: the loss of the network's own logits plus the weighted auxiliary losses.

    >>> import torch
    >>> output = AuxiliaryLogits(torch.ones(1), (torch.ones(1), torch.ones(1)), weight=0.3)
    >>> round(total_loss(output, torch.sum).item(), 3)
    1.6
    """
    total = loss(logits_of(output))
    if isinstance(output, AuxiliaryLogits):
        for logits in output.auxiliary:
            total = total + output.weight * loss(logits)
    return total
