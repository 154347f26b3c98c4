"""The optimizers by name, over the parameters that a recipe lets decay and the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from convatlas.recipe import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimizer over the network's parameters."""
    groups = parameter_groups(network, recipe)
    lr = recipe.lr
    fused = recipe.clip_norm is None  # Lightning refuses to clip for a fused optimizer in mixed precision
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)
    if recipe.optimizer == "rmsprop":
        decay = 0.9 if recipe.rms_decay is None else recipe.rms_decay
        return RMSProp(groups, lr=lr, decay=decay, momentum=recipe.momentum, epsilon=recipe.epsilon or 1e-8)
    kind = Adam if recipe.optimizer == "adam" else AdamW
    return kind(groups, lr=lr, eps=recipe.epsilon or 1e-8, fused=fused)


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The network's parameters with their weight decay: all with the recipe's, or norms and biases with none.

    Norms and biases are the parameters of one dimension, whatever the layer's class.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.weight_decay_on == "all":
        return [{"params": parameters, "weight_decay": recipe.weight_decay}]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    spared = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class RMSProp(Optimizer):
    """TensorFlow's RMSProp, with which Inception and EfficientNet were trained; PyTorch's is another one.

    mean = decay * mean + (1 - decay) * gradient^2, which begins at 1 and not at 0; the step is
    momentum * step + lr * gradient / sqrt(mean + epsilon), where epsilon stands inside the root and the learning rate
    inside the momentum. The difference matters: the papers' epsilons are 1 and 0.001. Weight decay is added to the
    gradient. `tf.compat.v1.train.RMSPropOptimizer`.
    """

    def __init__(
        self, parameters: Any, *, lr: float, decay: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-8
    ) -> None:
        super().__init__(
            parameters, {"lr": lr, "decay": decay, "momentum": momentum, "epsilon": epsilon, "weight_decay": 0.0}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step on the gradients, which `closure` computes first where it is given; its loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.ones_like(parameter)
            state["step"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
        state["mean"].lerp_(gradient.square(), 1 - group["decay"])
        root = (state["mean"] + group["epsilon"]).sqrt_()
        state["step"].mul_(group["momentum"]).addcdiv_(gradient, root, value=group["lr"])
        parameter.sub_(state["step"])
