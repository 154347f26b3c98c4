"""The effect of a teacher's labels on a student: the student's loss on labelled images after its step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Optimizer

from convatlas.device import network_input
from convatlas.layers import logits_of, total_loss

Named = dict[str, Tensor]


def trained(network: nn.Module) -> Named:
    """Returns the parameters of a network that are trained, by name."""
    return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}


def statistics(network: nn.Module) -> Named:
    """Returns copies of a network's buffers, such as the running statistics of its norms, by name."""
    return {name: buffer.clone() for name, buffer in network.named_buffers()}


def labelled_loss(
    student: nn.Module, tensors: Mapping[str, Tensor], images: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the summed cross entropy of images and the number of right answers, by a student of other tensors.

    The student works as in evaluation, without dropout and by the running statistics in `tensors`. So its losses before
    and after a step differ by the weights alone.
    """
    was_training = student.training
    student.eval()
    try:
        logits = logits_of(functional_call(student, dict(tensors), (network_input(images),)))
    finally:
        student.train(was_training)
    return F.cross_entropy(logits, targets, reduction="sum"), (logits.detach().argmax(1) == targets).sum()


def student_gradients(student: nn.Module, images: Tensor, probabilities: Tensor, *, smoothing: float = 0.0) -> Any:
    """Returns the student's loss on a teacher's probabilities (N, classes) and its gradients by name.

    Both can be differentiated by the probabilities.
    """
    wanted = probabilities * (1 - smoothing) + smoothing / probabilities.shape[1]
    loss = total_loss(student(network_input(images)), lambda logits: -(wanted * logits.log_softmax(1)).sum(1).mean())
    parameters = trained(student)
    gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True, allow_unused=True)
    return loss, {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
    }


def stepped(student: nn.Module, gradients: Named, optimizer: Optimizer) -> Named:
    """Returns the parameters that a step of SGD makes, which can be differentiated by the gradients.

    The optimizer, with its weight decay and momentum, stays as it is, and so does the student.
    """
    groups = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    after = {}
    for name, parameter in trained(student).items():
        group = groups[id(parameter)]
        change = gradients[name] + group["weight_decay"] * parameter.detach()
        if group["momentum"]:
            before = optimizer.state[parameter].get("momentum_buffer") if parameter in optimizer.state else None
            velocity = change if before is None else group["momentum"] * before + change
            change = change + group["momentum"] * velocity if group["nesterov"] else velocity
        after[name] = parameter.detach() - group["lr"] * change
    return after
