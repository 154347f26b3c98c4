"""The gradients of one batch: loss, backward pass, exchange between processes, clipping."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.device import autocast, network_input
from convatlas.layers import logits_of
from convatlas.recipe import Recipe
from convatlas.training.loss import TrainingLoss, classes_of
from convatlas.training.parallel import ALONE, Group


def gradients(
    network: nn.Module,
    training_loss: TrainingLoss,
    batch: tuple[Tensor, Tensor],
    *,
    recipe: Recipe,
    group: Group = ALONE,
) -> tuple[Tensor, Tensor]:
    """Sets the gradients of the batch's mean loss, clipped, and returns (loss, right answers) on the device.

    The batch (images, targets) goes through the network in as many parts as the recipe says. In a group of several
    processes each computes its own share of the batch and returns the loss and the right answers of that share. The
    returned loss is that of the main head alone. Nothing waits for the device.
    """
    network.zero_grad()
    count = len(batch[1])
    images, targets = (group.part(tensor) for tensor in batch)
    parts = min(recipe.optimizer.accumulate, len(targets))
    if not parts:  # a batch smaller than the group: others compute it
        loss, hits = (torch.zeros((), dtype=kind, device=images.device) for kind in (torch.float32, torch.int64))
    elif parts == 1:
        share = len(targets) / count
        loss, hits = _backward(network, training_loss, images, targets, recipe=recipe, share=share)
    else:
        pieces = zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True)
        each = [
            _backward(network, training_loss, part, wanted, recipe=recipe, share=len(wanted) / count)
            for part, wanted in pieces
        ]
        loss, hits = (torch.stack(column).sum() for column in zip(*each, strict=True))
    group.add_gradients(network.parameters())
    if recipe.optimizer.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    return loss, hits


def _backward(
    network: nn.Module, training_loss: TrainingLoss, images: Tensor, targets: Tensor, *, recipe: Recipe, share: float
) -> tuple[Tensor, Tensor]:
    """Adds the gradients of a part of the batch; returns its share of the batch's loss, and its right answers."""
    with autocast(images.device, recipe.precision):
        output = network(network_input(images))
        loss = training_loss(output, targets)
        logits = logits_of(output)
        own = loss if isinstance(output, Tensor) else training_loss(logits, targets)
    if share != 1:
        loss, own = loss * share, own * share
    loss.backward()
    return own.detach(), (logits.detach().argmax(1) == classes_of(targets)).sum()
