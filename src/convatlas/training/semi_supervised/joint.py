"""The gradients of labelled and unlabelled images together, in one pass through the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convatlas.device import autocast, network_input
from convatlas.layers import AuxiliaryLogits, logits_of, total_loss
from convatlas.training.objective import Measured
from convatlas.training.parallel import Group
from convatlas.training.semi_supervised.batches import FewLabelsBatch
from convatlas.training.semi_supervised.losses import annealing_limit, unlabelled_weight

if TYPE_CHECKING:
    from convatlas.training.semi_supervised.noisy import NoisyStudent
    from convatlas.training.semi_supervised.objective import SemiSupervised


def joint_gradients(
    objective: SemiSupervised | NoisyStudent, batch: FewLabelsBatch, taught: list[Tensor], *, group: Group
) -> Measured:
    """Sets the gradients of both losses, clipped, and returns the measures of this process's part.

    The labelled images and the views go through the network as one batch, so that its norms see all of them. Both
    losses are means over all images of their kind, those of other processes included. `taught` are the logits of the
    views that went through the moving average.
    """
    recipe, network = objective.recipe, objective.network
    network.zero_grad()
    images, targets = group.part(batch.images), group.part(batch.targets)
    views = [group.part(view) for view in batch.views[: len(objective.method.views)]]
    sizes = [len(images), *map(len, views)]
    with autocast(images.device, recipe.precision):
        output = network(network_input(torch.cat([images, *views])))
        logits = list(torch.split(logits_of(output), sizes))[1:]
        labelled = labelled_loss(objective, first(output, len(images)), targets, batch=batch, group=group)
        each, counts = objective.method.loss([*logits, *taught], recipe.method)
        unlabelled = (each * counts).sum() / len(batch.views[0])
    loss: Tensor = labelled + unlabelled_weight(recipe.method, batch.progress) * unlabelled
    loss.backward()  # type: ignore[no-untyped-call]
    group.add_gradients(network.parameters())
    if recipe.optimizer.clip_norm is not None:
        nn.utils.clip_grad_norm_(network.parameters(), recipe.optimizer.clip_norm)
    whole = len(batch) / max(1, len(images))  # from this process's share of a mean to a mean of its own images
    hits = (logits_of(output)[: len(images)].detach().argmax(1) == targets).sum()
    means = {
        "loss": labelled.detach() * whole,
        "unlabelled_loss": unlabelled.detach() * (len(batch.views[0]) / max(1, len(each))),
        "mask": counts.float().mean(),
    }
    return Measured(len(images), means=means, counts={"top1": hits})


def labelled_loss(
    objective: SemiSupervised | NoisyStudent,
    output: Tensor | AuxiliaryLogits,
    targets: Tensor,
    *,
    batch: FewLabelsBatch,
    group: Group,
) -> Tensor:
    """Returns this process's share of the labelled images' loss; UDA's annealing leaves out those known too well."""
    annealing = objective.recipe.method.annealing
    if not len(targets):  # a batch smaller than the group: others compute it
        return logits_of(output).sum()
    if annealing == "none":
        whole: Tensor = objective.loss(output, targets)
        return whole * (len(targets) / len(batch))
    logits = logits_of(output)
    limit = annealing_limit(annealing, batch.progress, num_classes=logits.shape[1])
    known = logits.detach().softmax(1).gather(1, targets.unsqueeze(1)).squeeze(1)
    counts = (known <= limit).to(logits.dtype)
    smoothing = objective.recipe.loss.label_smoothing

    def annealed(answers: Tensor) -> Tensor:
        each = F.cross_entropy(answers, targets, label_smoothing=smoothing, reduction="none")
        return (each * counts).sum() / group.total(counts.sum()).clamp(min=1)

    return total_loss(output, annealed)


def first(output: Tensor | AuxiliaryLogits, count: int) -> Tensor | AuxiliaryLogits:
    """Returns the output of the first `count` images."""
    if isinstance(output, AuxiliaryLogits):
        return AuxiliaryLogits(output.logits[:count], tuple(head[:count] for head in output.auxiliary), output.weight)
    return output[:count]
