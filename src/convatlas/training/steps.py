"""What one optimizer step does with a batch: loss, gradients, clipping."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from convatlas.device import autocast, network_input
from convatlas.layers import logits_of
from convatlas.recipe import Recipe
from convatlas.training.loss import TrainingLoss, classes_of


def gradients(
    network: nn.Module, training_loss: TrainingLoss, images: Tensor, targets: Tensor, *, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Sets the network's gradients to those of the batch's mean loss, clipped: (loss, right answers), on the device.

    A batch goes through the network in as many parts as the recipe says. The loss that is returned is that of the main
    head alone. Nothing waits for the device.
    """
    network.zero_grad()
    parts = min(recipe.accumulate, len(targets))
    if parts == 1:
        loss, hits = _backward(network, training_loss, images, targets, recipe=recipe, share=1.0)
    else:
        pieces = zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True)
        each = [
            _backward(network, training_loss, part, wanted, recipe=recipe, share=len(wanted) / len(targets))
            for part, wanted in pieces
        ]
        loss, hits = (torch.stack(column).sum() for column in zip(*each, strict=True))
    if recipe.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
    return loss, hits


def _backward(
    network: nn.Module, training_loss: TrainingLoss, images: Tensor, targets: Tensor, *, recipe: Recipe, share: float
) -> tuple[Tensor, Tensor]:
    """Adds a part's gradients; its share of the loss of the batch, and its right answers."""
    with autocast(images.device, recipe.precision):
        output = network(network_input(images))
        loss = training_loss(output, targets)
        logits = logits_of(output)
        own = loss if isinstance(output, Tensor) else training_loss(logits, targets)
    if share != 1:
        loss, own = loss * share, own * share
    loss.backward()
    return own.detach(), (logits.detach().argmax(1) == classes_of(targets)).sum()
