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
    lr = recipe.optimizer.lr
    if recipe.optimizer.kind == "sgd":
        return SGD(groups, lr=lr, momentum=recipe.optimizer.momentum, nesterov=recipe.optimizer.nesterov, fused=True)
    if recipe.optimizer.kind == "rmsprop":
        decay = 0.9 if recipe.optimizer.rms_decay is None else recipe.optimizer.rms_decay
        return RMSProp(
            groups, lr=lr, decay=decay, momentum=recipe.optimizer.momentum, epsilon=recipe.optimizer.epsilon or 1e-8
        )
    if recipe.optimizer.kind == "muon":
        return Muon(
            groups,
            lr=lr,
            momentum=recipe.optimizer.momentum,
            nesterov=recipe.optimizer.nesterov,
            epsilon=recipe.optimizer.epsilon or 1e-8,
        )
    kind = Adam if recipe.optimizer.kind == "adam" else AdamW
    return kind(groups, lr=lr, eps=recipe.optimizer.epsilon or 1e-8, fused=True)


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The network's parameters with their weight decay: all with the recipe's, or norms and biases with none.

    Norms and biases are the parameters of one dimension, whatever the layer's class.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if recipe.optimizer.weight_decay_on == "all":
        return [{"params": parameters, "weight_decay": recipe.optimizer.weight_decay}]
    weights = [parameter for parameter in parameters if parameter.ndim > 1]
    spared = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": recipe.optimizer.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


class EachParameter(Optimizer):
    """An optimizer that updates one parameter after another, from its own gradient alone."""

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
        raise NotImplementedError


class RMSProp(EachParameter):
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


class Muon(EachParameter):
    """Muon for the kernels of convolutions, AdamW (betas 0.9 and 0.999) for every other parameter.

    A kernel (out, in / groups, height, width) counts as a matrix of `out` rows, all groups together, and a classifier
    that is a convolution as a kernel. Its step is the momentum of its gradients made orthogonal, and of AdamW's size:
    0.2 root mean square at full rank, so that both have one learning rate and one, decoupled, weight decay.

    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; the size is equation 4 of Liu et al. 2025,
    https://arxiv.org/abs/2502.16982. torch's own Muon takes matrices only.
    """

    def __init__(self, parameters: Any, *, lr: float, momentum: float, nesterov: bool, epsilon: float = 1e-8) -> None:
        super().__init__(
            parameters, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "epsilon": epsilon, "weight_decay": 0.0}
        )

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        assert parameter.grad is not None
        step = self._orthogonal if parameter.ndim == 4 else self._adam
        change = step(parameter, parameter.grad, group)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=group["lr"])

    def _orthogonal(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        matrix = orthogonal(direction.flatten(1))
        return matrix.view_as(parameter).mul(0.2 * max(matrix.shape) ** 0.5)

    def _adam(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[parameter]
        if not state:
            state |= {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter), "steps": 0}
        state["steps"] += 1
        mean = state["mean"].lerp_(gradient, 0.1) / (1 - 0.9 ** state["steps"])
        square = state["square"].lerp_(gradient.square(), 0.001) / (1 - 0.999 ** state["steps"])
        return torch.div(mean, square.sqrt().add(group["epsilon"]))


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix (rows, columns) with singular values moved to about 1 (0.68 to 1.2), its directions kept.

    Values below 0.2 % of the matrix's norm stay lower.

    Five steps of the Newton-Schulz iteration with the coefficients of Jordan et al. 2024.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide.div(wide.norm() + 1e-7)
    for _ in range(5):
        product = wide @ wide.T
        wide = 3.4445 * wide + (2.0315 * (product @ product) - 4.7750 * product) @ wide
    return wide if matrix.shape[0] <= matrix.shape[1] else wide.T
